"""Clips of people who talk -> the two maps that say whether lips go with a sound, with lines from sources left out.

Canonical correlation between mouths and sound (Hotelling 1936), as in Slaney and Covell 2000, "FaceSync". What a wrong
sound scores is measured by giving each clip the sound of others; nothing here says whether a clip is genuine.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.data.manifest import Row, replace_file
from fakelab.errors import MediaError, TrainingError
from fakelab.evaluation.metrics import auc, with_interval
from fakelab.faces.mouth import SMALLEST_PX, mouths_in
from fakelab.media import Density, open_media
from fakelab.media.audio import windows
from fakelab.media.beside import SoundBeside
from fakelab.models.card import COLOUR_ORDER, write_card
from fakelab.models.lips import (
    AROUND_MOUTH,
    AROUND_SOUND,
    FILE,
    IN_STEP,
    LEAST_SPEECH_S,
    LONGEST_S,
    PLACES,
    RATE,
    SHORTEST_S,
    LipModel,
    around,
    components,
    evened,
    normal,
    stretch_of,
    together,
    written,
)
from fakelab.records import ModelCard
from fakelab.training.voice_ship import NO_CROP, interval

Floats = NDArray[np.float32]
Stretch = tuple[Floats, Floats]
"""Pictures of mouths (N, H, W) and bands of sound (N, B) of the same moments."""

COMPONENTS, PAIRS = 20, 4
RIDGE = 0.05
"""Added to the variances, in shares of their mean: columns that hardly vary must not decide."""
FOLDS, OTHERS = 5, 6
"""Parts that are left out in turn; sounds of others that each clip is given."""
WRONG_SHARE, RIGHT_SHARE = 0.05, 0.05
"""Of wrong sounds over the line of 'together'; of genuine clips' own sounds under that of 'apart'."""
SKIPPED = "skipped.csv"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Talker:
    """One clip: its longest person's stretches, and the part of the data it is left out with."""

    row: Row
    stretches: tuple[Stretch, ...]
    side_px: float
    part: int

    @property
    def moments(self) -> int:
        return sum(len(pictures) for pictures, _ in self.stretches)


@dataclass(frozen=True, slots=True, eq=False)
class LeftOut:
    """What clips scored by maps that knew none of their part: own sound, shift in moments, sounds of others."""

    own: NDArray[np.float64]
    shift: NDArray[np.int64]
    others: NDArray[np.float64]
    """(N, OTHERS)."""
    fake: NDArray[np.bool_]
    source: NDArray[np.str_]


def talkers_of(rows: Sequence[Row], folder: Path, progress: Progress | None = None) -> list[Talker]:
    """The clips in which somebody is seen for SHORTEST_S beside speech; the others are listed in skipped.csv.

    What was found of each clip lies in `folder`, by its number, so that a run that was cut off goes on.
    Clips that share a source or a group are one part. Raises TrainingError where there are fewer than FOLDS parts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found, skipped, parts = [], [], _parts(rows)
    for number, row in enumerate(rows):
        try:
            stretches, side = _seen(row, folder / f"{number:05d}.npz")
            found.append(Talker(row, stretches, side, parts[number]))
        except (MediaError, _UnfitError) as error:
            skipped.append((str(row.path), str(error)))
        if progress:
            progress(number + 1, len(rows))
    text = io.StringIO()
    csv.writer(text).writerows([("path", "why"), *skipped])
    replace_file(folder / SKIPPED, text.getvalue().encode("utf-8"))
    if len({each.part for each in found}) < FOLDS:
        raise TrainingError(
            "there is too little to learn lips from",
            f"{len(found)} clips that can be used, of {len({each.part for each in found})} unrelated sources",
            f"Give talking people of at least {FOLDS} sources.",
        )
    return found


class _UnfitError(Exception):
    """Why a clip that can be read is of no use here."""


def _seen(row: Row, kept: Path) -> tuple[tuple[Stretch, ...], float]:
    if not kept.is_file():
        with open_media(row.path) as media:
            info = media.info
            seconds, fps = info.duration_s or LONGEST_S, info.fps or 25.0
            strips = mouths_in(media.frames(Density.every_frame(seconds, fps, longest_s=LONGEST_S, places=PLACES)))
        arrays: dict[str, Any] = {"side": 0.0}
        sound = SoundBeside([(each.start_s, each.end_s) for each in strips], windows(row.path)) if strips else None
        if sound is not None and sound.speech_s >= LEAST_SPEECH_S:
            seen = Counter[int]()
            for strip in strips:
                seen[strip.person] += len(strip.pictures)
            longest = max(seen, key=lambda each: seen[each])
            for number, strip in enumerate(each for each in strips if each.person == longest):
                stretch = stretch_of(strip.pictures, sound.samples(strip.start_s, len(strip.pictures) / RATE))
                if stretch is not None:
                    arrays[f"mouth{number}"] = (stretch[0] * 255).round().astype(np.uint8)
                    arrays[f"sound{number}"] = stretch[1]
                    arrays["side"] = strip.side_px
        part = kept.with_suffix(".part.npz")
        np.savez(part, **arrays)
        part.replace(kept)
    with np.load(kept) as file:
        mouths = sorted(name for name in file.files if name.startswith("mouth"))
        stretches = tuple((file[n].astype(np.float32) / 255, file[n.replace("mouth", "sound")]) for n in mouths)
        side = float(file["side"])
    if sum(len(pictures) for pictures, _ in stretches) < SHORTEST_S * RATE:
        raise _UnfitError(f"nobody is seen for {SHORTEST_S:.0f} s, {SMALLEST_PX:.0f} px or more, beside speech")
    return stretches, side


def _parts(rows: Sequence[Row]) -> list[int]:
    """A number for each row; rows that share a source or a group, also by way of others, have the same."""
    first: dict[tuple[str, str], int] = {}
    root = list(range(len(rows)))

    def top(k: int) -> int:
        while root[k] != k:
            k = root[k]
        return k

    for number, row in enumerate(rows):
        for key in (("source", row.source), ("group", row.group)):
            root[top(number)] = top(first.setdefault(key, number))
    return [top(number) for number in range(len(rows))]


def fit_maps(talkers: Sequence[Talker], card: ModelCard) -> LipModel:
    """The maps of these clips, each clip with the same weight however long it is."""
    stretches = [(pictures, bands, 1 / talker.moments) for talker in talkers for pictures, bands in talker.stretches]
    mean = np.average(
        [evened(pictures).mean(0) for pictures, _, _ in stretches],
        axis=0,
        weights=[weight * len(pictures) for pictures, _, weight in stretches],
    ).astype(np.float32)
    covariance = np.zeros((len(mean), len(mean)))
    for pictures, _, weight in stretches:
        flat = (evened(pictures) - mean).astype(np.float64)
        # What varies over time, not how one face differs from another.
        flat -= flat.mean(0)
        covariance += weight * flat.T @ flat
    faces = np.linalg.eigh(covariance)[1][:, ::-1][:, :COMPONENTS].T.astype(np.float32)
    rows, columns = COMPONENTS * (2 * AROUND_MOUTH + 1), stretches[0][1].shape[1] * (2 * AROUND_SOUND + 1)
    seen, heard, both = np.zeros((rows, rows)), np.zeros((columns, columns)), np.zeros((rows, columns))
    for pictures, bands, weight in stretches:
        x = around(normal(components(pictures, mean, faces)), AROUND_MOUTH).astype(np.float64)
        y = around(normal(bands), AROUND_SOUND).astype(np.float64)
        seen += weight * x.T @ x
        heard += weight * y.T @ y
        both += weight * x.T @ y
    mouth, sound = _canonical(seen, heard, both)
    return LipModel(card, mean, faces, mouth, sound)


def _canonical(
    seen: NDArray[np.float64], heard: NDArray[np.float64], both: NDArray[np.float64]
) -> tuple[Floats, Floats]:
    """Weights (P, PAIRS) and (Q, PAIRS) of the pairs of sums that correlate most, from the three covariances."""
    left, right = _whitener(seen), _whitener(heard)
    u, _, v = np.linalg.svd(left.T @ both @ right)
    return (left @ u[:, :PAIRS]).astype(np.float32), (right @ v[:PAIRS].T).astype(np.float32)


def _whitener(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    ridge = RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance + ridge)
    return np.asarray(vectors / np.sqrt(np.maximum(values, 1e-12)))


def left_out(talkers: Sequence[Talker], card: ModelCard, seed: int = 0) -> LeftOut:
    """Every clip's scores by maps fitted without its part, with its own sound and with sounds of other parts."""
    rng = np.random.default_rng(seed)
    parts = sorted({each.part for each in talkers})
    fold_of = {part: number % FOLDS for number, part in enumerate(rng.permutation(parts).tolist())}
    own, shift = np.zeros(len(talkers)), np.zeros(len(talkers), np.int64)
    others = np.zeros((len(talkers), OTHERS))
    for fold in range(FOLDS):
        model = fit_maps([each for each in talkers if fold_of[each.part] != fold], card)
        for number, talker in enumerate(talkers):
            if fold_of[talker.part] != fold:
                continue
            own[number], shift[number] = together(model.curve(talker.stretches))
            strangers = [each for each in talkers if each.part != talker.part]
            for column, other in enumerate(rng.permutation(len(strangers))[:OTHERS].tolist()):
                others[number, column] = together(model.curve(_with_sound(talker, strangers[other])))[0]
    return LeftOut(
        own,
        shift,
        others[:, : max(1, min(OTHERS, len(talkers) - 1))],
        np.array([each.row.fake for each in talkers]),
        np.array([each.row.source for each in talkers]),
    )


def _with_sound(talker: Talker, other: Talker) -> list[Stretch]:
    """The clip's mouths beside the other's sound, which begins again where it is shorter."""
    bands = np.concatenate([each for _, each in other.stretches])
    found, at = [], 0
    for pictures, _ in talker.stretches:
        found.append((pictures, np.take(bands, np.arange(at, at + len(pictures)), axis=0, mode="wrap")))
        at += len(pictures)
    return found


def thresholds_of(found: LeftOut) -> dict[str, Any]:
    """The lines of 'together' and 'apart' with how often each is wrong, in words."""
    genuine = ~found.fake
    line = float(np.quantile(found.others, 1 - WRONG_SHARE))
    apart = float(min(line, np.quantile(found.own[genuine], RIGHT_SHARE)))
    hit, total = int((found.own[genuine] >= line).sum()), int(genuine.sum())
    low, high = interval(hit, total)
    wrong = float((found.others >= line).mean())
    missed, caught = float((found.own[genuine] < apart).mean()), float((found.others < apart).mean())
    sources = len(set(found.source[genuine].tolist()))
    words = (
        f"Of {total} genuine clips of {sources} sources, each judged by maps that knew none of its source,"
        f" {100 * hit / total:.0f} % (95 % interval {100 * low:.0f} to {100 * high:.0f} %) are found to go with their"
        f" sound, and {100 * wrong:.0f} % go with a stranger's; {100 * missed:.0f} % are taken for apart, where"
        f" {100 * caught:.0f} % of strangers' sounds are."
    )
    return {"together": line, "apart": apart, "error_rates": {"all": words}}


def metrics_of(found: LeftOut, seed: int = 0) -> dict[str, Any]:
    """AUC of own against strangers' sound, and the share of shifts within IN_STEP, genuine and generated."""
    told: dict[str, Any] = {"protocol": f"{FOLDS} folds over unrelated sources; {OTHERS} strangers' sounds a clip"}
    for name, mask in (("genuine", ~found.fake), ("generated", found.fake)):
        if not mask.any():
            continue
        scores = np.concatenate([found.own[mask], found.others[mask].ravel()])
        is_own = np.arange(len(scores)) < mask.sum()
        groups = [*found.source[mask].tolist(), *np.repeat(found.source[mask], found.others.shape[1]).tolist()]
        told[name] = {
            "clips": int(mask.sum()),
            "sources": len(set(found.source[mask].tolist())),
            "auc": str(with_interval(auc, scores, is_own, groups, rounds=200, seed=seed)),
            "shift_right": round(float((np.abs(found.shift[mask]) <= IN_STEP).mean()), 3),
        }
    return told


def write_lips(talkers: Sequence[Talker], folder: Path, facts: dict[str, Any], seed: int = 0) -> ModelCard:
    """Writes maps of all clips and the card, whose lines and numbers come from parts left out. Returns the card."""
    folder.mkdir(parents=True, exist_ok=True)
    card = ModelCard(
        architecture="canonical_correlation",
        crop=NO_CROP,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        colour_order=COLOUR_ORDER,
        calibration={},
        thresholds={},
        gate={"min_face_px": SMALLEST_PX, "min_seconds": SHORTEST_S},
        files={},
        metrics={},
        **facts,
    )
    found = left_out(talkers, card, seed)
    model = fit_maps(talkers, card)
    digest = written(folder / FILE, model.mean, model.faces, model.mouth, model.sound)
    card = dataclasses.replace(
        card, thresholds={"video": thresholds_of(found)}, metrics=metrics_of(found), files={FILE: digest}
    )
    write_card(card, folder)
    return card
