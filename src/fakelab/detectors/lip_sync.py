"""Do the lips of somebody in this video go with its sound, and whose? Experimental: it stands in no verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fakelab.faces.mouth import RATE, MouthStrip, mouths_in
from fakelab.faces.track import iou
from fakelab.media import Density, Limits, open_media
from fakelab.media.audio import windows
from fakelab.media.beside import SoundBeside
from fakelab.models.lips import (
    IN_STEP,
    LEAST_SPEECH_S,
    LONGEST_S,
    PLACES,
    SHORTEST_S,
    LipModel,
    stretch_of,
    together,
)
from fakelab.records import Box, Check, Finding, Progress

NAME = "lip_sync"
FINDER = "yunet"
"""Whatever finds the faces that are scored: this one gives points of eyes and nose, too."""
SAME_IOU, SAME_TIME_S = 0.5, 3.0
"""Overlap and distance in time up to which a face is taken for the person of another finding."""

HOW_TO_READ = (
    "Two linear maps, learnt from people who talk, say what of a mouth's picture and of a sound's spectrum moves "
    "together. The number is how far their correlation at the best shift rises over that at other shifts: near 0 where "
    "lips and sound have nothing to do with each other. The shift says by how much the sound is late (+) or early (-)."
)
WHEN_IT_MISLEADS = (
    "Lips that fit are no proof of a genuine clip: generated talking heads are made to fit, and often fit better. Lips "
    "that do not fit are found in honest films, too: a voice from off the picture, dubbing, translation, music, a face "
    "seen from the side, small or in the dark, cuts. Experimental: it moves no verdict."
)


@dataclass(frozen=True, slots=True)
class Together:
    """One person's lips with the sound: `score` (peak over median), `shift_s` above 0 where the sound is late."""

    person: int
    score: float
    shift_s: float
    seconds: float


def check_lips(path: str, faces: Finding | None, model: LipModel, limits: Limits, progress: Progress) -> Check:
    """The check of a video with sound; `faces` is the finding whose people it names. Raises as `open_media` does."""
    with open_media(path, limits) as media:
        info = media.info
        density = Density.every_frame(
            info.duration_s or LONGEST_S, info.fps or 25.0, longest_s=LONGEST_S, places=PLACES
        )
        expected = density.bursts * density.frames_per_burst
        strips = mouths_in(media.frames(density), FINDER, lambda seen: progress("lips", seen, max(expected, seen)))
    if not strips:
        return _nothing("No face is seen long and large enough to compare its lips with the sound.")
    sound = SoundBeside([(strip.start_s, strip.end_s) for strip in strips], windows(path, limits))
    if sound.speech_s < LEAST_SPEECH_S:
        return _nothing("The sound holds too little speech beside faces to compare it with lips.")
    found = compared(strips, sound, model)
    if not found:
        return _nothing(f"Nobody is seen for {SHORTEST_S:.0f} s beside sound.")
    lines = model.card.thresholds["video"]
    names = _names(strips, faces)
    return _said(found, names, float(lines["together"]), float(lines["apart"]), str(lines["error_rates"]["all"]))


def compared(strips: Sequence[MouthStrip], sound: SoundBeside, model: LipModel) -> list[Together]:
    """Every person who is seen for SHORTEST_S beside sound, the best fit first."""
    found = []
    for person in sorted({strip.person for strip in strips}):
        stretches = []
        for strip in (each for each in strips if each.person == person):
            stretch = stretch_of(strip.pictures, sound.samples(strip.start_s, len(strip.pictures) / RATE))
            if stretch is not None:
                stretches.append(stretch)
        seconds = sum(len(pictures) for pictures, _ in stretches) / RATE
        if seconds >= SHORTEST_S:
            score, shift = together(model.curve(stretches))
            found.append(Together(person, score, shift / RATE, seconds))
    return sorted(found, key=lambda each: -each.score)


def _names(strips: Sequence[MouthStrip], faces: Finding | None) -> dict[int, int]:
    """Person of the strips -> the person of the finding about faces who is at the same place at the same time."""
    found: dict[int, int] = {}
    if faces is None:
        return found
    for person in sorted({strip.person for strip in strips}):
        places = [place for strip in strips if strip.person == person for place in strip.places]
        votes: dict[int, float] = {}
        for other in faces.people:
            for time_s, box in places:
                near = min(other.faces, key=lambda face: abs(face.time_s - time_s))
                if abs(near.time_s - time_s) <= SAME_TIME_S:
                    votes[other.person] = max(votes.get(other.person, 0.0), _overlap(box, near.box))
        best = max(votes, key=lambda each: votes[each], default=None)
        if best is not None and votes[best] >= SAME_IOU and best not in found.values():
            found[person] = best
    return found


def _overlap(one: Box, other: Box) -> float:
    return float(iou(np.array([one], np.float32), np.array([other], np.float32))[0, 0])


def _said(found: Sequence[Together], names: dict[int, int], line: float, apart: float, rate: str) -> Check:
    facts = tuple(
        (
            _who(each.person, names).capitalize(),
            f"{each.score:.2f} at {_shift(each.shift_s)}, {each.seconds:.1f} s compared",
        )
        for each in found
    )
    facts = (*facts, ("Lips go with the sound from", f"{line:.2f}"), ("How often this is wrong", rate))
    best = found[0]
    who = _who(best.person, names)
    others = ", ".join(_who(each.person, names) for each in found[1:] if each.score >= line)
    more = f" So do those of: {others}." if others else ""
    if best.score >= line and abs(best.shift_s) <= IN_STEP / RATE + 1e-6:
        sentence = f"The lips of {who} go with the sound: this person speaks.{more}"
        return Check(NAME, "together", sentence, facts, (), (), HOW_TO_READ, WHEN_IT_MISLEADS)
    if best.score >= line:
        late = "late" if best.shift_s > 0 else "early"
        sentence = f"The lips of {who} go with the sound, which is {abs(best.shift_s):.2f} s too {late}.{more}"
        return Check(NAME, "out_of_step", sentence, facts, (), (), HOW_TO_READ, WHEN_IT_MISLEADS)
    if best.score < apart:
        sentence = (
            "Nobody's lips were found to go with the sound: it comes from elsewhere, or the lips are hard to read."
        )
        return Check(NAME, "apart", sentence, facts, (), (), HOW_TO_READ, WHEN_IT_MISLEADS)
    sentence = "Whether anybody's lips go with the sound cannot be told."
    return Check(NAME, "unclear", sentence, facts, (), (), HOW_TO_READ, WHEN_IT_MISLEADS)


def _who(person: int, names: dict[int, int]) -> str:
    return f"person {names[person]}" if person in names else f"a face that no other part names ({person})"


def _shift(seconds: float) -> str:
    return f"{seconds:+.2f} s" if seconds else "0 s"


def not_done(why: str) -> Check:
    """The check where the file cannot be read once more."""
    return Check(NAME, "failed", f"This check could not be done. {why}", (), (), (), HOW_TO_READ, WHEN_IT_MISLEADS)


def _nothing(sentence: str) -> Check:
    return Check(NAME, "not_applicable", sentence, (), (), (), HOW_TO_READ, WHEN_IT_MISLEADS)
