"""The words and figures that every report shares: levels, percentages, times, sizes, names made safe to show."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence

from fakelab.records import LEVEL_WORDS, Analysis, Check, Finding, Level, PersonScore, Reason, TimeRange, Verdict

LEVEL_MEANINGS: dict[Level, str] = {
    Level.STRONG: "The score is above a line that very few genuine test files cross. The error rate beside each"
    " finding says how few.",
    Level.MODERATE: "Suspicious, but genuine files reach this score too often for it to stand alone.",
    Level.INCONCLUSIVE: "The detector is unsure, or the file is unlike those it was tested on. It says nothing in"
    " either direction.",
    Level.NONE_FOUND: "The detector found no traces of the kinds it knows. Other kinds, or strong compression, can hide"
    " them.",
    Level.NOT_ANALYSABLE: "There was nothing here that the detector can judge. The reason says what would help.",
}
NOT_SHOWN = "This does not show that the file is authentic."
"""Always follows a level of no_evidence_found."""

DETECTOR_WORDS = {
    "face_video": "Faces in the video",
    "face_photo": "Faces in the photo",
    "generated_photo": "The picture as a whole",
    "voice": "Voice",
    "declared": "What the file says of itself",
}
CHECK_WORDS = {
    "provenance": "Content Credentials (C2PA)",
    "generator_traces": "Traces of a picture generator",
    "metadata": "Metadata",
    "jpeg_tables": "JPEG tables",
    "ela": "Error level (ELA)",
    "jpeg_ghosts": "JPEG ghosts",
    "double_compression": "Double compression",
    "noise": "Noise level",
    "copy_move": "Copied areas",
    "lip_sync": "Lips and sound (experimental)",
}
"""A check's name for people who have not read the code."""
STATE_WORDS = {
    "none": "None",
    "valid": "Valid",
    "untrusted_issuer": "Untrusted issuer",
    "invalid": "Invalid",
    "incomplete": "Incomplete",
    "found": "Found",
    "none_found": "Nothing found",
    "noted": "For information",
    "contradictions": "Contradictions",
    "map": "A map to look at",
    "together": "They go together",
    "out_of_step": "Out of step",
    "apart": "No relation found",
    "unclear": "Cannot be told",
    "not_applicable": "Not applicable",
    "failed": "Could not be done",
}
CHECKS_TITLE = "Provenance, metadata and compression"

MEASURED: dict[str, tuple[str, str, str]] = {
    "bits_per_pixel": (
        "Video bits per pixel",
        "",
        "How much of the picture the compression kept; below 0.05, traces begin to be lost",
    ),
    "median_blur": ("Sharpness of the faces", "", "How much fine detail the faces hold; lower is blurrier"),
    "median_luma": ("Brightness of the faces", "", "0 is black, 255 is white"),
    "largest_face_px": ("Largest face", "px", "Small faces hold too few pixels to show traces"),
    "median_face_px": ("Usual size of a face", "px", "Half of the faces are larger, half are smaller"),
    "windows": ("Stretches of sound", "", "Each is four seconds long; neighbours overlap"),
    "windows_of_speech": ("Stretches with speech", "", "Only these can be judged"),
    "speech_s": ("Speech", "s", "The more speech, the more the score can be relied on"),
    "views": ("Views of the picture", "", "All of it made small, and parts at full size"),
    "logit": ("Score of the network", "", "Before calibration; higher is more like a generated picture"),
    "logit_whole": ("of the whole, made small", "", "Before calibration"),
    "logit_parts": ("of the parts, on average", "", "Before calibration"),
    "people_judged": ("People judged", "", "In a crowd, one of many faces can score high by chance"),
    "p_fake_compressed": ("Score, compressed once more", "", "At even odds, as in a copy of the file"),
    "p_fake_halved": ("Score, at half the size", "", "At even odds, as in a copy of the file"),
    "p_fake_cut": ("Score, cut a little closer", "", "At even odds, as in a copy of the file"),
}
"""Key in `Finding.measured` -> label, unit, what it means. An unknown key is shown under its own name."""
THRESHOLD_KEYS = {"threshold_moderate": Level.MODERATE, "threshold_strong": Level.STRONG}
"""Keys in `Finding.measured` that are lines of the score, drawn in the time line and not listed as measurements."""

# Joiners that Persian, Indic scripts and emoji need; every other format character can disguise a name.
_HARMLESS_FORMAT = "\u200c\u200d"
_UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def safe(text: object) -> str:
    r"""The text on one line, with control characters, line breaks, bidi overrides and stray bytes as visible escapes.

    A byte that was no valid UTF-8 (a lone surrogate after `os.fsdecode`) is shown as ``\xNN``.
    """
    return "".join(map(_escaped, str(text)))


def _escaped(char: str) -> str:
    if char in _HARMLESS_FORMAT or unicodedata.category(char) not in _UNSAFE_CATEGORIES:
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char)
    return short or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def percent(p_fake: float | None) -> str:
    """The score as shown, such as ``97 %``, never below 1 or above 99; ``–`` where there is none.

    No detector is certain, so no report says 0 or 100.
    """
    if p_fake is None or not math.isfinite(p_fake):
        return "–"
    return f"{min(99, max(1, round(100 * p_fake)))} %"


def person_percent(person: PersonScore) -> str:
    """The score of a person as shown; ``–`` for one who could not be judged."""
    return percent(None if person.level is Level.NOT_ANALYSABLE else person.p_fake)


def others(people: Sequence[PersonScore]) -> str:
    """One line for people who are not shown one by one, such as ``22 more people, score at most 54 %``."""
    text = count(len(people), "more person", "more people")
    judged = [each.p_fake for each in people if each.level is not Level.NOT_ANALYSABLE and math.isfinite(each.p_fake)]
    return f"{text}, score at most {percent(max(judged))}" if judged else f"{text}, none of whom could be judged"


def clock(time_s: float) -> str:
    """A time in a file as ``0:02.1``, or ``1:02:03.0`` from an hour on."""
    tenths = round(max(0.0, time_s) * 10)
    minutes, rest = divmod(tenths, 600)
    if minutes < 60:
        return f"{minutes}:{rest // 10:02d}.{rest % 10}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}.{rest % 10}"


def length(duration_s: float) -> str:
    """How long a file is, as people say it: ``42.5 seconds``, ``3 min 20 s``, ``1 h 2 min 5 s``."""
    if not math.isfinite(duration_s):
        return "unknown"
    if duration_s < 59.95:
        return f"{duration_s:.1f} seconds"
    whole = round(duration_s)
    hours, minutes = divmod(whole // 60, 60)
    return (f"{hours} h " if hours else "") + f"{minutes} min {whole % 60} s"


def span(start_s: float, end_s: float) -> str:
    """A stretch as ``0:02.1–0:05.3``, or one time where both are the same."""
    start, end = clock(start_s), clock(end_s)
    return start if start == end else f"{start}–{end}"


def spans(ranges: Iterable[TimeRange]) -> str:
    """All stretches, separated by commas; empty if there are none."""
    return ", ".join(span(each.start_s, each.end_s) for each in ranges)


def byte_size(size_bytes: int) -> str:
    """A file size as people say it, such as ``3.4 MB`` (of a million bytes)."""
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def figure(value: float) -> str:
    """A measured number with about three digits."""
    if not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def count(number: int, one: str, many: str) -> str:
    """``1 face``, ``2 faces``."""
    return f"{number} {one if number == 1 else many}"


def looked_at(finding: Finding) -> str:
    """How much a detector saw or heard: frames and faces, or stretches of sound and how many of them hold speech."""
    if finding.detector == "declared":
        return "credentials and metadata"
    if finding.windows:
        spoken = sum(each.level is not Level.NOT_ANALYSABLE for each in finding.windows)
        return f"{count(len(finding.windows), 'stretch', 'stretches')} of sound, {spoken} with speech"
    if finding.detector == "voice":
        return "no sound"
    if finding.detector == "generated_photo":
        parts = int(finding.measured.get("views", 1)) - 1
        return f"the whole picture and {count(parts, 'part', 'parts')} of it" if parts > 0 else "the whole picture"
    failed = f"; {finding.frames_failed} could not be decoded" if finding.frames_failed else ""
    frames, faces = count(finding.frames_sampled, "frame", "frames"), count(finding.faces_found, "face", "faces")
    return f"{frames}, {faces}{failed}"


def headline(verdict: Verdict) -> tuple[str, str]:
    """The level in words, and the sentence that follows it (empty where the sentence only repeats the level)."""
    words = LEVEL_WORDS[verdict.level]
    sentence = verdict.sentence.strip()
    return words, "" if sentence.rstrip(".").casefold() == words.casefold() else sentence


def not_said(verdict: Verdict) -> str:
    """What the verdict does not show. After no_evidence_found it always says so in the agreed words."""
    said = verdict.not_said.strip()
    if verdict.level is Level.NONE_FOUND and "does not show" not in said:
        return f"{NOT_SHOWN} {said}".strip()
    return said or NOT_SHOWN


def by_suspicion(finding: Finding) -> list[PersonScore]:
    """The people of a finding: who decided first, then from the most suspicious to the least."""

    def place(each: PersonScore) -> tuple[bool, float, int]:
        return each.person != finding.decided_by, -_order(each.p_fake), each.person

    return sorted(finding.people, key=place)


def all_reasons(analysis: Analysis) -> list[tuple[str, Reason]]:
    """Every reason once, with where it applies: the file, a detector, or a person."""
    rows: list[tuple[str, Reason]] = []
    seen: set[str] = set()

    def add(where: str, reasons: Iterable[Reason]) -> None:
        for reason in reasons:
            if reason.text not in seen:
                seen.add(reason.text)
                rows.append((where, reason))

    add("The file", analysis.verdict.reasons)
    for finding in analysis.findings:
        add(detector_words(finding.detector), finding.reasons)
        for person in finding.people:
            add(f"Person {person.person}", person.reasons)
    return rows


def detector_words(detector: str) -> str:
    """A detector's name for people who have not read the code."""
    return DETECTOR_WORDS.get(detector, detector.replace("_", " ").capitalize())


def check_words(check: Check) -> tuple[str, str]:
    """A check's title and its state, for people."""
    title = CHECK_WORDS.get(check.name, check.name.replace("_", " ").capitalize())
    return title, STATE_WORDS.get(check.state, check.state.replace("_", " ").capitalize())


def thresholds(finding: Finding) -> dict[Level, float]:
    """The lines of the score that the finding names, by the level that begins there; empty if it names none."""
    found = {level: finding.measured.get(key) for key, level in THRESHOLD_KEYS.items()}
    return {level: line for level, line in found.items() if line is not None and 0 < line < 1}


def measured_rows(finding: Finding) -> list[tuple[str, str, str]]:
    """What the gate measured as (label, value with unit, what it means), in the order it was measured."""
    rows = []
    for key, value in finding.measured.items():
        if key in THRESHOLD_KEYS:
            continue
        label, unit, meaning = MEASURED.get(key) or _unknown_measure(key)
        rows.append((label, f"{figure(value)} {unit}".strip(), meaning))
    return rows


def _unknown_measure(key: str) -> tuple[str, str, str]:
    suffix = re.search(r"_(s|px|hz|fps|bps|db)$", key)
    unit = suffix.group(1) if suffix else ""
    label = key.removesuffix(f"_{unit}").replace("_", " ").capitalize()
    return label, {"hz": "Hz", "db": "dB", "bps": "bit/s"}.get(unit, unit), ""


def _order(p_fake: float) -> float:
    return p_fake if math.isfinite(p_fake) else -1.0
