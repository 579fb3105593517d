"""Was a face in this video manipulated? The main path, top to bottom."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakelab.detectors import stability
from fakelab.faces.scan import find_and_crop
from fakelab.faces.track import track_people
from fakelab.media import Density, Media, bits_per_pixel
from fakelab.models.runtime import FaceModel
from fakelab.records import (
    Crop,
    Face,
    FaceScore,
    Finding,
    Kind,
    Level,
    PersonScore,
    Progress,
    Track,
)
from fakelab.verdict import (
    Judged,
    Rules,
    Sample,
    decide,
    file_gate,
    gate_reasons,
    judge_person,
    log_odds,
    p_fake,
    rules_of,
    shown_lines,
    sigmoid,
    stated_rate,
)

FULL_CROPS = 256
"""Beyond this many faces the crops kept for the report are thumbnails, so that memory does not grow with length."""
THUMBNAIL_PX = 96
FACES_SHOWN = 6
"""Per person, the most suspicious faces keep crop and heat map for the report."""
LOOKS_FOR = "Faces that were swapped, reenacted, lip-synced or generated, in the picture alone."


@dataclass(frozen=True, slots=True)
class FaceOptions:
    """How a file is sampled and judged."""

    finder: str = "yunet"
    density: Density = dataclasses.field(default_factory=Density)
    prior: float = 0.5
    stability: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ScoredFace:
    """A found face with its logit and heat map."""

    face: Face
    logit: float
    heat_map: NDArray[np.float32]
    full: Crop | None = None
    """The crop in full, where it is at hand: of a few faces once the others' are thumbnails."""


def detect_faces_in_video(media: Media, model: FaceModel, options: FaceOptions, progress: Progress) -> Finding:
    """The finding for a video. Raises what `media.frames` raises."""
    frames = media.frames(options.density)
    faces = find_and_crop(frames, options.finder, model.card.crop)
    expected = options.density.bursts_for(media.info.duration_s or 0.0) * options.density.frames_per_burst
    scored = score_faces(faces, model, lambda: progress("faces", faces.frames_seen, expected))
    return judge(scored, media, model, options, Kind.VIDEO, faces.frames_seen)


def score_faces(faces: Iterable[Face], model: FaceModel, tick: Callable[[], None]) -> list[ScoredFace]:
    """Every face scored while the next ones are found. Crops are thinned out once there are many.

    Of every fourth face then, and of fewer the longer it goes on, the crop stays in full for the stability test.
    """
    scored: list[ScoredFace] = []
    stride = 4
    for face, logit, heat_map in model.score_ahead(faces, lambda face: face.crop):
        scored.append(ScoredFace(face, logit, heat_map, face.crop))
        tick()
        if len(scored) == FULL_CROPS + 1:
            scored = [_thinned(each, at % stride == 0) for at, each in enumerate(scored)]
        elif len(scored) > FULL_CROPS:
            scored[-1] = _thinned(scored[-1], (len(scored) - 1) % stride == 0)
        if len(scored) > FULL_CROPS * stride:
            stride *= 2
            scored = [
                each if at % stride == 0 else dataclasses.replace(each, full=None) for at, each in enumerate(scored)
            ]
    return scored


def judge(
    scored: Sequence[ScoredFace], media: Media, model: FaceModel, options: FaceOptions, kind: Kind, frames: int
) -> Finding:
    """People from faces, each person judged, the most suspicious one decides."""
    card = model.card
    rules = rules_of(card.calibration, card.thresholds, card.gate, kind, options.prior)
    by_face = {id(each.face): each for each in scored}
    size = scored[0].face.crop.image.shape[0] if scored else card.crop.size_px
    tracks = track_people([each.face for each in scored], dataclasses.replace(card.crop, size_px=size), options.finder)
    counted = people_that_count(tracks, by_face, kind, rules)
    people = tuple(_person(track, by_face, counted, kind, rules) for track in tracks)
    bits = bits_per_pixel(media.info) if kind is Kind.VIDEO else None
    level, p, decided_by, reasons = decide(
        people, file_gate(counted, bits, rules, media.info.container) if scored else ()
    )
    measured = _measured(scored, bits, counted)
    if options.stability and level in stability.ASKED and p is not None:
        deciding = next(track for track in tracks if track.person == decided_by)
        found = _stability(deciding, by_face, p, level, model, rules, options, kind)
        measured |= found.measured
        if found.reasons:
            level, reasons = Level.INCONCLUSIVE, (*found.reasons, *reasons)
            people = tuple(
                dataclasses.replace(each, level=level, reasons=reasons) if each.person == decided_by else each
                for each in people
            )
    suspicious = next((each.suspicious for each in people if each.person == decided_by), ())
    return Finding(
        detector=f"face_{kind.value}",
        looks_for=LOOKS_FOR,
        level=level,
        p_fake=p,
        reasons=reasons,
        model=model.name,
        finder=options.finder,
        people=people,
        decided_by=decided_by,
        suspicious=suspicious,
        frames_sampled=frames,
        frames_failed=media.frames_failed,
        faces_found=len(scored),
        error_rate=stated_rate(card.thresholds, kind, level),
        measured=measured | shown_lines(rules),
    )


def _stability(
    track: Track,
    by_face: dict[int, ScoredFace],
    p: float,
    level: Level,
    model: FaceModel,
    rules: Rules,
    options: FaceOptions,
    kind: Kind,
) -> stability.Stability:
    """The stability test of the person who decided; nothing where none of the person's crops is at hand in full."""
    each = [by_face[id(face)] for face in track.faces]
    faces = [(one.face, one.full, one.logit) for one in each if one.full is not None]
    if not faces:
        return stability.Stability({}, ())
    even = sigmoid(log_odds(p) - log_odds(rules.prior))
    return stability.check(faces, even, level, model, rules, kind, options.finder)


def people_that_count(tracks: Sequence[Track], by_face: dict[int, ScoredFace], kind: Kind, rules: Rules) -> int:
    """How many people could have decided: a passer-by who cannot be judged does not dilute the others."""
    usable = sum(not gate_reasons(_samples(track, by_face), kind, rules) for track in tracks)
    return max(1, usable)


def _samples(track: Track, by_face: dict[int, ScoredFace]) -> list[Sample]:
    return [
        Sample(face.time_s, face.burst, by_face[id(face)].logit, max(face.box[2:]), face.blur, face.luma)
        for face in track.faces
    ]


def _person(track: Track, by_face: dict[int, ScoredFace], people: int, kind: Kind, rules: Rules) -> PersonScore:
    judged: Judged = judge_person(_samples(track, by_face), people, kind, rules)
    shown = set(_most_suspicious(track, by_face))
    scores = tuple(
        FaceScore(
            time_s=face.time_s,
            box=face.box,
            logit=by_face[id(face)].logit,
            p_fake=p_fake(rules.evidence(by_face[id(face)].logit), people, rules.prior),
            heat_map=by_face[id(face)].heat_map if id(face) in shown else None,
            crop=face.crop.image if id(face) in shown else None,
        )
        for face in track.faces
    )
    return PersonScore(
        person=track.person,
        logit=judged.mean_logit,
        p_fake=p_fake(judged.evidence, people, rules.prior),
        level=judged.level,
        reasons=judged.reasons,
        faces=scores,
        suspicious=judged.suspicious,
    )


def _most_suspicious(track: Track, by_face: dict[int, ScoredFace]) -> Iterator[int]:
    """The ids of the faces to show, at most one per burst while there are enough bursts."""
    ranked = sorted(track.faces, key=lambda face: -by_face[id(face)].logit)
    firsts: list[int] = []
    rest: list[int] = []
    seen: set[int] = set()
    for face in ranked:
        (rest if face.burst in seen else firsts).append(id(face))
        seen.add(face.burst)
    yield from (firsts + rest)[:FACES_SHOWN]


def _measured(scored: Sequence[ScoredFace], bits: float | None, people: int) -> dict[str, float]:
    measured: dict[str, float] = {"people_judged": float(people if scored else 0)}
    if scored:
        measured["largest_face_px"] = max(max(each.face.box[2:]) for each in scored)
        measured["median_face_px"] = float(np.median([max(each.face.box[2:]) for each in scored]))
        measured["median_blur"] = float(np.median([each.face.blur for each in scored]))
        measured["median_luma"] = float(np.median([each.face.luma for each in scored]))
    if bits is not None:
        measured["bits_per_pixel"] = bits
    return measured


def _thinned(scored: ScoredFace, keep: bool) -> ScoredFace:
    import cv2

    crop = scored.face.crop
    small = cv2.resize(crop.image, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    face = dataclasses.replace(scored.face, crop=Crop(np.asarray(small, dtype=np.uint8), crop.version))
    return dataclasses.replace(scored, face=face, full=scored.full if keep else None)
