"""Was a voice in this sound synthesised or converted? The main path, top to bottom."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fakelab.media import Limits
from fakelab.media.audio import SHORTEST_S, levelled, speech_in, windows
from fakelab.models.voice import SHORTEST, VoiceModel
from fakelab.records import Finding, Kind, Level, Progress, Reason, TimeRange, WindowScore
from fakelab.verdict import Rules, level_of, log_odds, p_fake, reason, rules_of, shown_lines, stated_rate

LOOKS_FOR = "Voices that were synthesised, cloned or converted, in the sound alone."
DETECTOR = "voice"
NEIGHBOURS = 3
"""A stretch is judged over this many windows of speech that follow each other."""
MIN_STRETCHES = 4
"""With fewer independent stretches than this, the mean over the whole file decides alone."""


@dataclass(frozen=True, slots=True)
class VoiceOptions:
    """How a sound is judged, and what reading it may cost."""

    prior: float = 0.5
    limits: Limits | None = None


@dataclass(frozen=True, slots=True)
class HeardWindow:
    """One window: its logit where it holds speech, else why it holds none."""

    start_s: float
    end_s: float
    speech_s: float
    logit: float | None
    reason: Reason | None


def detect_voice(
    path: str | os.PathLike[str],
    kind: Kind,
    duration_s: float | None,
    model: VoiceModel,
    options: VoiceOptions,
    progress: Progress,
) -> Finding:
    """The finding for a recording or the sound track of a video. Raises what `media.audio.windows` raises."""
    heard = []
    for each in hear(path, model, options.limits):
        heard.append(each)
        progress("voice", round(each.end_s), None if duration_s is None else math.ceil(duration_s))
    return judge(heard, kind, model, options.prior)


def hear(path: str | os.PathLike[str], model: VoiceModel, limits: Limits | None = None) -> Iterator[HeardWindow]:
    """Every window of the sound, those with speech scored."""
    for window in windows(path, limits):
        speech = speech_in(window.samples)
        ready = levelled(window.samples)
        if speech.reason or len(ready) < SHORTEST:
            why = reason(f"sound_{speech.reason or 'too_little'}", speech.speech_s, SHORTEST_S)
            yield HeardWindow(window.start_s, window.end_s, speech.speech_s, None, why)
        else:
            yield HeardWindow(window.start_s, window.end_s, speech.speech_s, model.score_one(ready), None)


def judge(heard: Sequence[HeardWindow], kind: Kind, model: VoiceModel, prior: float = 0.5) -> Finding:
    """Windows -> finding: the mean over all windows of speech decides, or in a long sound its worst stretch.

    Little speech is inconclusive where it looks suspicious, else not analysable: it decides nothing beside faces.
    """
    card = model.card
    rules = rules_of(card.calibration, card.thresholds, card.gate, Kind.AUDIO, prior)
    spoken = [each for each in heard if each.logit is not None]
    shared: dict[str, Any] = {
        "detector": DETECTOR,
        "looks_for": LOOKS_FOR,
        "model": model.name,
        "windows": tuple(_scored(each, rules) for each in heard),
        "measured": _measured(heard, spoken, rules),
    }
    if not spoken:
        why = _why_nothing(heard)
        return Finding(
            level=Level.NOT_ANALYSABLE,
            p_fake=None,
            reasons=(why,),
            error_rate=stated_rate(card.thresholds, Kind.AUDIO, None),
            **shared,
        )
    evidence, stretches, count = evidence_of(spoken, rules)
    level, why = level_of(evidence, 1, rules)
    if count > 1 and level is Level.NONE_FOUND and stretches:
        level, why = Level.INCONCLUSIVE, reason("parts_disagree")
    if level is Level.NONE_FOUND:
        why = reason("voice_below_all", why.measured, why.limit)
    reasons: tuple[Reason, ...] = (why,)
    speech_s = _speech_s(spoken)
    if speech_s < rules.gate["min_speech_s"]:
        short = reason("speech_short", speech_s, rules.gate["min_speech_s"])
        if level not in (Level.MODERATE, Level.STRONG):
            rate = stated_rate(card.thresholds, Kind.AUDIO, None)
            return Finding(level=Level.NOT_ANALYSABLE, p_fake=None, reasons=(short,), error_rate=rate, **shared)
        level, reasons = Level.INCONCLUSIVE, (short, why)
    return Finding(
        level=level,
        p_fake=p_fake(evidence, 1, prior),
        reasons=reasons,
        suspicious=stretches,
        error_rate=stated_rate(card.thresholds, Kind.AUDIO, level),
        **shared,
    )


def evidence_of(spoken: Sequence[HeardWindow], rules: Rules) -> tuple[float, tuple[TimeRange, ...], int]:
    """The evidence of the whole sound, its suspicious stretches, and how many independent stretches it has.

    The worst of many stretches is high by chance: its odds are divided by how many independent ones there are.
    """
    logits = np.array([each.logit for each in spoken], dtype=np.float64)
    calibrated = rules.slope * logits + rules.offset
    # Windows overlap by half, so that two of them are one independent look.
    count = max(1, len(spoken) // (2 * NEIGHBOURS))
    span, line = min(NEIGHBOURS, len(spoken)), log_odds(rules.moderate)
    means = np.convolve(calibrated, np.ones(span) / span, mode="valid")
    marked = np.zeros(len(spoken), bool)
    for start in np.flatnonzero(means >= line):
        marked[start : start + span] |= calibrated[start : start + span] >= line
    whole = float(calibrated.mean())
    evidence = max(whole, float(means.max()) - math.log(count)) if count >= MIN_STRETCHES else whole
    return evidence, _ranges(spoken, marked.tolist()), count


def _ranges(spoken: Sequence[HeardWindow], marked: Sequence[bool]) -> tuple[TimeRange, ...]:
    """Marked windows as stretches; those that touch or overlap are one."""
    found: list[TimeRange] = []
    for each, suspicious in zip(spoken, marked, strict=True):
        if suspicious and found and each.start_s <= found[-1].end_s:
            found[-1] = TimeRange(found[-1].start_s, each.end_s)
        elif suspicious:
            found.append(TimeRange(each.start_s, each.end_s))
    return tuple(found)


def _scored(each: HeardWindow, rules: Rules) -> WindowScore:
    if each.logit is None:
        why = () if each.reason is None else (each.reason,)
        return WindowScore(each.start_s, each.end_s, Level.NOT_ANALYSABLE, None, None, why)
    evidence = rules.slope * each.logit + rules.offset
    level, _ = level_of(evidence, 1, rules)
    return WindowScore(each.start_s, each.end_s, level, each.logit, p_fake(evidence, 1, rules.prior))


def _why_nothing(heard: Sequence[HeardWindow]) -> Reason:
    """The commonest reason of the windows, or that there is no sound."""
    whys = [each.reason for each in heard if each.reason is not None]
    if not whys:
        return reason("no_sound")
    codes = [each.code for each in whys]
    return max(whys, key=lambda each: codes.count(each.code))


def _speech_s(spoken: Sequence[HeardWindow]) -> float:
    """Seconds of speech, what two overlapping windows share counted once."""
    total, end = 0.0, -math.inf
    for each in spoken:
        length = each.end_s - each.start_s
        fresh = min(length, max(0.0, each.end_s - max(each.start_s, end)))
        total += each.speech_s * (fresh / length if length else 0.0)
        end = max(end, each.end_s)
    return total


def _measured(heard: Sequence[HeardWindow], spoken: Sequence[HeardWindow], rules: Rules) -> dict[str, float]:
    measured = {"windows": float(len(heard)), "windows_of_speech": float(len(spoken)), "speech_s": _speech_s(spoken)}
    return measured | shown_lines(rules)
