"""Photos, genuine and generated -> linear heads on tokens of the untouched tower, in closed form, with left-out scores.

What a head of this kind says of a picture it was trained on is worth nothing, and neither is what it says of another
picture of the same generator or the same camera. So every score that counts comes from a head that knew neither:
`left_out` holds back generators and sources together. Source of the idea: Ojha et al., CVPR 2023, "Towards universal
fake image detectors that generalize across generative models"; the head here is ridge regression, not a neighbour.
What is read of the tower: `models.tokens`.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fakelab.data.manifest import Row
from fakelab.data.store import FaceStore
from fakelab.errors import TrainingError
from fakelab.models.card import COLOUR_ORDER, UNCALIBRATED, WEIGHTS, sha256_of, write_card
from fakelab.models.session import pixels_of, processors
from fakelab.models.tokens import ARCHITECTURE, BIAS, FILE, PART, VIEWS, WHOLE, WIDTH, TokenTower
from fakelab.records import ModelCard
from fakelab.training.networks import backbone
from fakelab.training.ship import CLIP_NETWORK, PICTURE_GATE, TOWER_FILE, VIEW_SPEC

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Progress = Callable[[int, int], None]

RIDGE, FOLDS = 0.2, 8
SCALE = 20.0
"""Heads fitted to -1 and 1 answer within about .3; times this, their answers look like the logits of other models."""
NAMES = tuple(sorted({*WHOLE, *PART}))
LEAST = 20
"""Of either class, over at least LEAST_NAMES sources and generators."""
LEAST_NAMES = 4
KEPT_EVERY = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """`weight` (D,) and `bias`, on features as `features_of` gives them."""

    weight: Floats
    bias: float

    def __call__(self, features: Floats) -> Floats:
        """Logits (N,) of features (N, D)."""
        return np.asarray(features @ self.weight + self.bias)


def features_of(store: FaceStore, rows: Sequence[Row], kept: Path, progress: Progress | None = None) -> Floats32:
    """(N, D) float32: the tokens that heads read, of each row's views in the store: the whole's, then its part's.

    What was seen lies in the file `kept` by the view's own hash, so that a run that was cut off goes on, and of a list
    that grew only new pictures go through the tower. A picture too small for a part stands for its part. Raises
    TrainingError where the tower is not there.
    """
    mine = _views(store, rows)
    tokens = view_tokens(store.crops, kept, progress)
    at = {name: number for number, name in enumerate(NAMES)}
    wanted = [[at[name] for name in names] for names in (WHOLE, PART)]
    return np.stack(
        [np.concatenate([tokens[own[0], wanted[0]], tokens[own[-1], wanted[1]]]).ravel() for own in mine]
    ).astype(np.float32)


def seen_of(store: FaceStore, rows: Sequence[Row]) -> tuple[Floats, Floats]:
    """(N,) the shorter side in px of each row's picture, and (N,) the mean luma 0..255 of its square."""
    first = [own[0] for own in _views(store, rows)]
    return store.side_px[first].astype(np.float64), store.luma[first].astype(np.float64)


def _views(store: FaceStore, rows: Sequence[Row]) -> list[list[int]]:
    """Where each row's views are in the store, the whole first."""
    views: dict[str, list[int]] = {}
    for number, path in enumerate(() if store.path is None else store.path.tolist()):
        views.setdefault(path, []).append(number)
    return [views[os.path.abspath(row.path)] for row in rows]


def view_tokens(views: NDArray[np.uint8], kept: Path, progress: Progress | None = None) -> NDArray[np.float16]:
    """(N, len(NAMES), 768) float16 of views (N, 224, 224, 3) uint8 RGB, as `features_of` keeps them."""
    made_by = _made_by()
    known = _read_kept(kept, made_by)
    names = [hashlib.sha256(np.ascontiguousarray(view).data).hexdigest() for view in views]
    missing = [number for number, name in enumerate(names) if name not in known]
    if missing:
        token_of = _tower()
        with ThreadPoolExecutor(processors(), thread_name_prefix="token") as pool:
            found = pool.map(lambda number: token_of(views[number]), missing)
            for done, (number, tokens) in enumerate(zip(missing, found, strict=True), start=1):
                known[names[number]] = tokens
                if done % KEPT_EVERY == 0 or done == len(missing):
                    part = kept.with_suffix(".part.npz")
                    values = np.stack(list(known.values()))
                    np.savez(part, names=np.array(list(known)), tokens=values, made_by=made_by)
                    part.replace(kept)
                if progress:
                    progress(len(names) - len(missing) + done, len(names))
    return np.stack([known[name] for name in names])


def _read_kept(kept: Path, made_by: str) -> dict[str, NDArray[np.float16]]:
    """What was kept, unless another tower, another ONNX Runtime or other blocks gave it, or it cannot be read."""
    try:
        with np.load(kept) as file:
            if str(file["made_by"]) == made_by:
                return dict(zip(file["names"].tolist(), file["tokens"], strict=True))
    except (OSError, ValueError, KeyError, BadZipFile):
        pass
    return {}


def _made_by() -> str:
    import onnxruntime

    if not (WEIGHTS / TOWER_FILE).is_file():
        raise TrainingError(f"there is no shared tower at {WEIGHTS / TOWER_FILE}", "", "Reinstall fakelab-verify.")
    return " ".join((*NAMES, sha256_of(WEIGHTS / TOWER_FILE), onnxruntime.__version__))


def _tower() -> Callable[[NDArray[np.uint8]], NDArray[np.float16]]:
    """(224, 224, 3) uint8 RGB -> (len(NAMES), 768), by the very file and arithmetic that an analysis runs."""
    row, tower = backbone(CLIP_NETWORK), TokenTower(WEIGHTS / TOWER_FILE, NAMES)
    mean, std = (np.array(each, np.float32).reshape(3, 1, 1) for each in (row.mean, row.std))

    def token_of(view: NDArray[np.uint8]) -> NDArray[np.float16]:
        found = tower.tokens(pixels_of(view, mean, std))
        return np.stack([found[name] for name in NAMES]).astype(np.float16)

    return token_of


def fit_head(features: NDArray[Any], fake: NDArray[np.bool_], weights: Floats, ridge: float = RIDGE) -> Head:
    """The head that answers -1 for genuine and 1 for generated pictures best, by ridge regression in closed form.

    `weights` (N,) say how much a picture counts. Features are standardised first; `ridge` counts in shares of their
    number, so that it means the same however many there are. Solved over pictures or over features, the fewer.
    """
    own = weights / weights.sum()
    mean = own @ features
    deviation = np.sqrt(own @ (features - mean) ** 2) + 1e-6
    x = (features - mean) / deviation * np.sqrt(own)[:, None]
    target = np.where(fake, 1.0, -1.0)
    middle = float(own @ target)
    wanted, kept_small = np.sqrt(own) * (target - middle), ridge * x.shape[1] / WIDTH
    if len(x) <= x.shape[1]:
        weight = x.T @ np.linalg.solve(x @ x.T + kept_small * np.eye(len(x)), wanted)
    else:
        weight = np.linalg.solve(x.T @ x + kept_small * np.eye(x.shape[1]), x.T @ wanted)
    weight = SCALE * weight / deviation
    return Head(weight, SCALE * middle - float(mean @ weight))


def weights_of(rows: Sequence[Row]) -> Floats:
    """(N,) Classes weigh alike, and inside a class a source or generator by the root of its number of pictures."""
    names = [("fake", generator_of(row)) if row.fake else ("real", row.source) for row in rows]
    count = Counter(names)
    weights = np.array([1 / np.sqrt(count[name]) for name in names])
    for fake in (False, True):
        mine = np.array([row.fake is fake for row in rows])
        weights[mine] /= max(weights[mine].sum(), 1e-12)
    return weights


def generator_of(row: Row) -> str:
    """Who made a generated picture: its forgery, or its source where the list names none."""
    return row.forgery or row.source


def left_out(features: NDArray[Any], rows: Sequence[Row], *, ridge: float = RIDGE, seed: int = 0) -> Floats:
    """(N,) The logit of each picture by a head that knew neither its generator nor its source nor its family.

    Generators and sources are dealt into FOLDS parts. A part's head is fitted without its generators, without its
    sources, and without whatever else shares a source or a family with a picture that is judged by it. A family is
    named in the manifest's column of that name: generators that share a network, sources that share photos.
    """
    rng = np.random.default_rng(seed)
    fold: dict[tuple[bool, str], int] = {}
    for fake in (False, True):
        names = sorted({generator_of(row) if row.fake else row.source for row in rows if row.fake is fake})
        fold |= {(fake, str(name)): at % FOLDS for at, name in enumerate(rng.permutation(names))}
    part = np.array([fold[row.fake, generator_of(row) if row.fake else row.source] for row in rows])
    fakes = np.array([row.fake for row in rows])
    logits = np.full(len(rows), np.nan)
    for number in range(FOLDS):
        judged = part == number
        if not judged.any():
            continue
        met = {name for row, mine in zip(rows, judged, strict=True) if mine for name in _ties(row)}
        known = np.array([not met & _ties(row) for row in rows]) & ~judged
        if fakes[known].all() or not fakes[known].any():
            raise TrainingError(
                "nothing is left to learn from when a part is held back",
                "its sources or families hold every picture of a class",
                "Give pictures of more sources, or narrower families.",
            )
        chosen = [row for row, mine in zip(rows, known, strict=True) if mine]
        logits[judged] = fit_head(features[known], fakes[known], weights_of(chosen), ridge)(features[judged])
    return logits


def _ties(row: Row) -> set[tuple[str, str]]:
    """What a picture must not have in common with what it is judged by."""
    family = row.get("family")
    return {("source", row.source)} | ({("family", family)} if family else set())


def check_enough(rows: Sequence[Row]) -> None:
    """Raises TrainingError where the pictures are too few, or of too few sources and generators."""
    for fake, what, whose in ((False, "genuine photos", "sources"), (True, "generated pictures", "generators")):
        mine = [row for row in rows if row.fake is fake]
        names = {generator_of(row) if fake else row.source for row in mine}
        if len(mine) < LEAST or len(names) < LEAST_NAMES:
            raise TrainingError(
                "there is too little to learn generated pictures from",
                f"{len(mine)} {what} of {len(names)} {whose}",
                f"Give at least {LEAST} of {LEAST_NAMES}.",
            )


def write_head(head: Head, folder: Path, facts: dict[str, Any]) -> ModelCard:
    """Writes the heads and an uncalibrated card to `folder`, as `fakelab analyze --picture-model` takes them."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    row = backbone(CLIP_NETWORK)
    names = [f"{view}.{name}" for view, read in VIEWS.items() for name in read]
    parts = np.split(head.weight.astype(np.float32), len(names))
    heads = dict(zip(names, parts, strict=True)) | {BIAS: np.array([head.bias], np.float32)}
    save_file({name: np.ascontiguousarray(value) for name, value in heads.items()}, folder / FILE)
    card = ModelCard(
        architecture=ARCHITECTURE,
        crop=VIEW_SPEC,
        mean=row.mean,
        std=row.std,
        colour_order=COLOUR_ORDER,
        calibration={"photo": {"slope": 1.0, "offset": 0.0}},
        thresholds={"photo": dict(UNCALIBRATED)},
        gate={**PICTURE_GATE, "small_side_px": float(VIEW_SPEC.size_px), "parts": 1.0},
        files={FILE: sha256_of(folder / FILE), TOWER_FILE: sha256_of(WEIGHTS / TOWER_FILE)},
        metrics={},
        **facts,
    )
    write_card(card, folder)
    return card
