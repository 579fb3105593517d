"""Scores -> verdict: aggregation, calibration, applicability gate. Pure functions of numbers, each rule named.

The road of a file: every face has a logit; a person's score is the mean over the faces; calibration (per media kind,
from the card) turns it into a probability; the most suspicious person decides, its odds divided by the number of
people, since one forged face among K is what is looked for and the highest of K genuine ones is high by chance.

`p_fake` assumes even odds before looking, unless a prior is given. Levels are read from the evidence alone, so a
prior moves the number and never the level, whose false-alarm rate was measured without one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fakelab.records import LEVEL_WORDS, Finding, Kind, Level, PersonScore, Reason, TimeRange, Verdict

MIN_FACES_IN_VIDEO = 3
"""Fewer sampled frames with a person's face say too little: one bad frame would decide."""
MIN_WINDOWS = 4
WINDOW_BURSTS = 3
"""A stretch is judged over this many neighbouring bursts."""

REASONS: dict[str, str] = {
    "no_face": "No face was found. FakeLab looks at faces only.",
    "face_too_small": "The faces are too small: {measured:.0f} pixels wide, at least {limit:.0f} are needed.",
    "face_small": "The largest face is {measured:.0f} pixels wide; below {limit:.0f} pixels the result is unreliable.",
    "blurred": "The faces are blurred (sharpness {measured:.1f}, at least {limit:.1f} is needed).",
    "dark": "The faces are dark (brightness {measured:.0f} of 255, at least {limit:.0f} is needed).",
    "too_short": "A face is visible in {measured:.0f} of the sampled frames only; at least {limit:.0f} are needed.",
    "low_bitrate": "The video is strongly compressed ({measured:.3f} bits per pixel, below {limit:.3f}).",
    "few_colours": "The file has at most {limit:.0f} colours (GIF). Colour steps and dithering look like traces of "
    "manipulation: look for the original.",
    "many_people": "There are {measured:.0f} people; with more than {limit:.0f} the result is unreliable.",
    "unstable_compression": "The verdict flips when the faces are compressed once more: p_fake {measured:.2f}, the "
    "line is {limit:.2f}.",
    "unstable_size": "The verdict flips at half the size: p_fake {measured:.2f}, the line is {limit:.2f}.",
    "unstable_cut": "The verdict flips when the faces are cut a little closer: p_fake {measured:.2f}, the line is "
    "{limit:.2f}.",
    "unsure": "The score lies where genuine and manipulated files mix.",
    "parts_disagree": "Parts of the file look manipulated, the rest does not: see the marked stretches.",
    "above_strong": "The score is above the line for strong evidence.",
    "above_moderate": "The score is above the line for moderate evidence, below that for strong.",
    "above_highest": "The score is above the line for moderate evidence, the highest that this model gives.",
    "below_all": "No face scored above the lines for evidence.",
    "unreadable": "The file could not be read: {detail}",
    "declared_generated": "A valid, trusted signature vouches for this: {detail}",
    "declared_composite": "A valid, trusted signature vouches for this: {detail}",
    "stated_generated": "{detail}",
    "no_detector": "No detector for this kind of file was asked.",
    "picture_below_all": "The picture as a whole scored below the lines for evidence.",
    "picture_too_small": "The picture is too small to judge as a whole: {measured:.0f} px, at least {limit:.0f} px.",
    "picture_small": "The picture is small ({measured:.0f} px); below {limit:.0f} px the result is unreliable.",
    "picture_dark": "The picture is dark (mean brightness {measured:.0f} of 255); below {limit:.0f} it is unreliable.",
    "voice_below_all": "No stretch of speech scored above the lines for evidence.",
    "no_sound": "The file has no sound that could be decoded.",
    "sound_silence": "There is silence, or sound too faint to judge.",
    "sound_noise": "There is noise, no voice clear enough to judge.",
    "sound_steady": "There is a tone, a hum or music, no voice that could be judged.",
    "sound_too_little": "There is too little speech: {measured:.1f} s in 4 s, at least {limit:.0f} s is needed.",
    "speech_short": "There are only {measured:.1f} s of speech; below {limit:.0f} s the result is unreliable.",
}
"""Every reason by its code: the sentence that is shown, with what was measured and the limit."""

GATE_CODES = ("face_too_small", "face_small", "blurred", "dark", "too_short")
"""The reasons that put one person outside what the model was tested on."""
FILE_GATE_CODES = (
    *("few_colours", "many_people", "low_bitrate"),
    *("picture_too_small", "picture_small", "picture_dark"),
)
"""The reasons that put the whole file outside."""
PALETTES = {"gif": 256}
"""Containers whose pictures have few colours, and how many."""
DECLARED: dict[str, tuple[Level, float]] = {
    "declared_generated": (Level.STRONG, 0.99),
    "declared_composite": (Level.MODERATE, 0.9),
    "stated_generated": (Level.MODERATE, 0.9),
}
"""What a file can declare of its own making -> level and p_fake. The numbers stand for a statement and were not
measured. Only a valid credential of a trusted issuer is strong: anyone can write the rest into any file."""
NOT_SAID: dict[Level, str] = {
    Level.STRONG: "This does not show who changed what, or why. Some genuine files score as high: see the error rate.",
    Level.MODERATE: "This is a hint, not a finding: genuine files score like this, too. See the error rate.",
    Level.INCONCLUSIVE: "This says nothing for or against the file.",
    Level.NONE_FOUND: "This does not show that the file is authentic. Manipulations that FakeLab does not know, "
    "or that compression has wiped out, leave nothing to find.",
    Level.NOT_ANALYSABLE: "This says nothing for or against the file.",
}
SEVERITY = (Level.NOT_ANALYSABLE, Level.NONE_FOUND, Level.INCONCLUSIVE, Level.MODERATE, Level.STRONG)
"""From mildest to worst, as `--fail-on` and the choice among findings order them."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the card says of one media kind: calibration, lines and gate."""

    slope: float
    offset: float
    strong: float
    moderate: float
    unsure: float
    gate: dict[str, float]
    prior: float = 0.5
    curve: tuple[tuple[float, float], ...] = ()
    """Knots (logit, evidence) of an isotonic calibration; without them it is the line of slope and offset."""

    def evidence(self, logit: float) -> float:
        """The calibrated evidence of a logit, in log-odds at even odds."""
        if not self.curve:
            return self.slope * logit + self.offset
        (first, low), (last, high) = self.curve[0], self.curve[-1]
        if logit <= first:
            return low + self.slope * (logit - first)
        if logit >= last:
            return high + self.slope * (logit - last)
        return float(np.interp(logit, [x for x, _ in self.curve], [y for _, y in self.curve]))


@dataclass(frozen=True, slots=True)
class Sample:
    """One scored face, as numbers."""

    time_s: float
    burst: int
    logit: float
    side_px: float
    blur: float
    luma: float


@dataclass(frozen=True, slots=True)
class Judged:
    """One person judged: the evidence logit (calibrated, even odds, this person alone), level, reasons, stretches."""

    mean_logit: float
    evidence: float
    level: Level
    reasons: tuple[Reason, ...]
    suspicious: tuple[TimeRange, ...]


def rules_of(
    calibration: dict[str, Any], thresholds: dict[str, Any], gate: dict[str, float], kind: Kind, prior: float
) -> Rules:
    """The rules for a media kind from a card's three tables."""
    own, lines = calibration[kind.value], thresholds[kind.value]
    curve = tuple((float(x), float(y)) for x, y in own.get("curve", ()))
    slope, offset = own["slope"], own["offset"]
    return Rules(slope, offset, lines["strong"], lines["moderate"], lines["unsure"], dict(gate), prior, curve)


def shown_lines(rules: Rules) -> dict[str, float]:
    """The lines of evidence as p_fake, moved by the prior as p_fake is: what a chart draws of those within reach."""
    shift = log_odds(rules.prior)
    lines = {"threshold_moderate": rules.moderate, "threshold_strong": rules.strong}
    return {name: sigmoid(log_odds(line) + shift) for name, line in lines.items() if line < 1.0}


def stated_rate(thresholds: dict[str, Any], kind: Kind, level: Level | None) -> str:
    """A card's sentence on how often this level is wrong on genuine files; that on all levels where it has none."""
    rates = thresholds[kind.value].get("error_rates", {})
    return str(rates.get(level.value if level else "all", rates.get("all", "")))


def reason(code: str, measured: float | None = None, limit: float | None = None, detail: str = "") -> Reason:
    """The named reason with its sentence filled in. Raises KeyError for a code that `REASONS` lacks."""
    text = REASONS[code].format(measured=measured or 0.0, limit=limit or 0.0, detail=detail)
    return Reason(code, text, measured, limit)


def sigmoid(x: float) -> float:
    """1 / (1 + e^-x), safe for any x."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def log_odds(p: float) -> float:
    """The natural logarithm of the odds; p is kept off 0 and 1."""
    p = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))


def p_fake(evidence: float, people: int, prior: float) -> float:
    """The probability from a person's evidence, given how many people the file shows and the odds before looking."""
    return sigmoid(evidence - math.log(max(1, people)) + log_odds(prior))


def judge_person(samples: Sequence[Sample], people: int, kind: Kind, rules: Rules) -> Judged:
    """One person's evidence, level, reasons and suspicious stretches. `samples` in time order, at least one."""
    mean = float(np.mean([each.logit for each in samples]))
    whole = rules.evidence(mean)
    stretches, best_window, windows = _windows(samples, rules) if kind is Kind.VIDEO else ((), whole, 1)
    # The best of many windows is high by chance: its odds are divided by how many independent ones there are. With few
    # windows the mean over the whole file decides alone, as in the files that the lines were measured on.
    evidence = max(whole, best_window - math.log(windows)) if windows >= MIN_WINDOWS else whole
    level, why = level_of(evidence, people, rules)
    if windows > 1 and level is Level.NONE_FOUND and stretches:
        # "Nothing found" beside a marked stretch would contradict itself.
        level, why = Level.INCONCLUSIVE, reason("parts_disagree")
    gate = gate_reasons(samples, kind, rules)
    hard = [each for each in gate if each.code == "face_too_small"]
    if hard:
        return Judged(mean, evidence, Level.NOT_ANALYSABLE, tuple(hard), ())
    if gate:
        return Judged(mean, evidence, Level.INCONCLUSIVE, (*gate, why), stretches)
    return Judged(mean, evidence, level, (why,), stretches)


def level_of(evidence: float, people: int, rules: Rules) -> tuple[Level, Reason]:
    """The level that this much evidence reaches, and the reason with score and line."""
    p = p_fake(evidence, people, 0.5)
    level = level_at(p, rules)
    code, line = {
        Level.STRONG: ("above_strong", rules.strong),
        Level.MODERATE: ("above_moderate" if rules.strong <= 1 else "above_highest", rules.moderate),
        Level.INCONCLUSIVE: ("unsure", rules.unsure),
        Level.NONE_FOUND: ("below_all", rules.unsure),
    }[level]
    return level, reason(code, p, line)


def level_at(p: float, rules: Rules) -> Level:
    """The level that a p_fake at even odds reaches, before the gate."""
    if p >= rules.strong:
        return Level.STRONG
    if p >= rules.moderate:
        return Level.MODERATE
    return Level.INCONCLUSIVE if p >= rules.unsure else Level.NONE_FOUND


def flips(before: Level, after: Level) -> bool:
    """Whether one is a level of evidence and the other says that nothing was found: what lies between is no flip."""
    levels = {before, after}
    return Level.NONE_FOUND in levels and bool(levels & {Level.STRONG, Level.MODERATE})


def shifted(p: float, by: float) -> float:
    """The probability after evidence of `by` was added to it, in log-odds."""
    return sigmoid(log_odds(p) + by)


def gate_reasons(samples: Sequence[Sample], kind: Kind, rules: Rules) -> list[Reason]:
    """Why this person's faces are outside what the model was tested on; empty when they are inside."""
    gate, found = rules.gate, []
    side = float(np.median([each.side_px for each in samples]))
    if side < gate["min_face_px"]:
        return [reason("face_too_small", side, gate["min_face_px"])]
    if side < gate["small_face_px"]:
        found.append(reason("face_small", side, gate["small_face_px"]))
    for code, values, limit in (
        ("blurred", [each.blur for each in samples], gate["min_blur"]),
        ("dark", [each.luma for each in samples], gate["min_luma"]),
    ):
        middle = float(np.median(values))
        if middle < limit:
            found.append(reason(code, middle, limit))
    if kind is Kind.VIDEO and len(samples) < MIN_FACES_IN_VIDEO:
        found.append(reason("too_short", len(samples), MIN_FACES_IN_VIDEO))
    return found


def file_gate(people: int, bits_per_pixel: float | None, rules: Rules, container: str = "") -> list[Reason]:
    """Why the whole file is outside what the model was tested on; empty when it is inside."""
    found = []
    if container in PALETTES:
        found.append(reason("few_colours", PALETTES[container], PALETTES[container]))
    if people > rules.gate["max_people"]:
        found.append(reason("many_people", people, rules.gate["max_people"]))
    if bits_per_pixel is not None and bits_per_pixel < rules.gate["min_bits_per_pixel"]:
        found.append(reason("low_bitrate", bits_per_pixel, rules.gate["min_bits_per_pixel"]))
    return found


def _windows(samples: Sequence[Sample], rules: Rules) -> tuple[tuple[TimeRange, ...], float, int]:
    """Suspicious stretches, the best window's evidence, and how many independent windows there are.

    A window is `WINDOW_BURSTS` neighbouring bursts of this person; with fewer than two windows' worth of bursts the
    whole file is the only one, and it is marked from end to end when its score is above the line.
    """
    bursts = sorted({each.burst for each in samples})
    count = max(1, len(bursts) // WINDOW_BURSTS)
    by_burst = {b: [each for each in samples if each.burst == b] for b in bursts}
    span = min(WINDOW_BURSTS, len(bursts))
    line = log_odds(rules.moderate)
    best, marked = -math.inf, np.zeros(len(bursts), bool)
    for start in range(len(bursts) - span + 1):
        logits = [each.logit for b in bursts[start : start + span] for each in by_burst[b]]
        evidence = rules.evidence(float(np.mean(logits)))
        if len(logits) >= MIN_FACES_IN_VIDEO:
            best = max(best, evidence)
            if evidence >= line:
                # The window's own bursts above the line, so that a stretch does not bleed into its neighbours.
                for at in range(start, start + span):
                    own = float(np.mean([each.logit for each in by_burst[bursts[at]]]))
                    marked[at] |= rules.evidence(own) >= line
    ranges: list[TimeRange] = []
    at = 0
    while at < len(bursts):
        if marked[at]:
            end = at
            while end + 1 < len(bursts) and marked[end + 1]:
                end += 1
            ranges.append(TimeRange(by_burst[bursts[at]][0].time_s, by_burst[bursts[end]][-1].time_s))
            at = end
        at += 1
    return tuple(ranges), best, count


def decide(
    finding_people: Sequence[PersonScore], file_reasons: Sequence[Reason]
) -> tuple[Level, float | None, int | None, tuple[Reason, ...]]:
    """Level, p_fake, deciding person and reasons of a file: the most suspicious person that can be judged decides.

    A face in the background that is too small or blurred to be relied on, and that looks unsuspicious, does not decide
    beside people who can be judged; a suspicious one makes the file inconclusive. A reason that concerns the whole
    file makes any other level inconclusive. Without a judgeable person the file is not analysable.
    """
    judged = [each for each in finding_people if each.level is not Level.NOT_ANALYSABLE]
    judged = [each for each in judged if not _unremarkable_and_gated(each)] or judged
    if not judged:
        reasons = finding_people[0].reasons if finding_people else (reason("no_face"),)
        return Level.NOT_ANALYSABLE, None, None, reasons
    worst = max(judged, key=lambda each: (SEVERITY.index(each.level), each.p_fake))
    level, reasons = worst.level, worst.reasons
    if file_reasons:
        level, reasons = Level.INCONCLUSIVE, (*file_reasons, *reasons)
    return level, worst.p_fake, worst.person, reasons


def _unremarkable_and_gated(person: PersonScore) -> bool:
    codes = [each.code for each in person.reasons]
    return codes[0] in GATE_CODES and codes[-1] in ("below_all", "unsure")


def declared(code: str, detail: str, prior: float = 0.5) -> Finding:
    """The finding from what a file declares of its own making; `code` is one of `DECLARED`, `detail` the sentence."""
    level, p = DECLARED[code]
    return Finding(
        detector="declared",
        looks_for="What the file itself declares of how it was made: credentials, AI fields, names of generators.",
        level=level,
        p_fake=p_fake(log_odds(p), 1, prior),
        reasons=(reason(code, detail=detail),),
        error_rate="Not measured: this is a statement in the file, and the score only stands for its weight.",
    )


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """The file's verdict: that of its most severe finding, and what is suspect. Raises ValueError without findings."""
    worst = max(findings, key=lambda each: (SEVERITY.index(each.level), each.p_fake or 0.0))
    sentence = f"{LEVEL_WORDS[worst.level]}."
    if len(findings) > 1:
        sentence += f" {_parts(findings)}"
    return Verdict(worst.level, worst.p_fake, sentence, NOT_SAID[worst.level], worst.reasons)


PARTS = {
    "face_video": "the faces",
    "face_photo": "the faces",
    "generated_photo": "the picture as a whole",
    "voice": "the voice",
    "declared": "what the file says of itself",
}
"""What a detector judges, in a sentence."""
_SAID = {
    Level.STRONG: "suspect",
    Level.MODERATE: "suspect",
    Level.INCONCLUSIVE: "inconclusive",
    Level.NONE_FOUND: "no evidence found",
    Level.NOT_ANALYSABLE: "could not be judged",
}


def _parts(findings: Sequence[Finding]) -> str:
    """Every part of the file with what was found of it, the worst first."""
    ordered = sorted(findings, key=lambda each: -SEVERITY.index(each.level))
    text = "; ".join(f"{PARTS.get(each.detector, each.detector)}: {_SAID[each.level]}" for each in ordered)
    return f"{text[0].upper()}{text[1:]}."
