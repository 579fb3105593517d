"""Photos, genuine and generated -> a linear head on the untouched shared tower, in closed form, with left-out scores.

What a head of this kind says of a picture it was trained on is worth nothing, and neither is what it says of another
picture of the same generator or the same camera. So every score that counts comes from a head that knew neither:
`left_out` holds back generators and sources together. Source of the idea: Ojha et al., CVPR 2023, "Towards universal
fake image detectors that generalize across generative models"; the head here is ridge regression, not a neighbour.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.data.manifest import Row
from fakelab.errors import TrainingError
from fakelab.models.card import COLOUR_ORDER, UNCALIBRATED, WEIGHTS, sha256_of, write_card
from fakelab.models.onnx_file import subgraph
from fakelab.records import ModelCard
from fakelab.training.networks import backbone
from fakelab.training.ship import CLIP_NETWORK, PICTURE_GATE, TOWER_FILE, VIEW_SPEC

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

RIDGE, FOLDS = 3.0, 8
SCALE = 20.0
"""A head fitted to -1 and 1 answers within about .3; times this, its answers look like the logits of other models."""
TOKEN = "head.1.tokens"
"""The tower's value that its head multiplies: the class token after the last norm, (1, 1, 768)."""
LEAST = 20
"""Of either class, over at least LEAST_NAMES sources and generators."""
LEAST_NAMES = 4
TUNING = "tuning.safetensors"
KEPT_EVERY = 100


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """`weight` (768,) and `bias`, on features as the tower gives them."""

    weight: Floats
    bias: float

    def __call__(self, features: Floats) -> Floats:
        """Logits (N,) of features (N, 768)."""
        return np.asarray(features @ self.weight + self.bias)


def class_tokens(views: NDArray[np.uint8], kept: Path, progress: Progress | None = None) -> NDArray[np.float32]:
    """(N, 768) float32: what the shipped 8-bit tower, nothing tuned, says of each of the views (N, 224, 224, 3).

    What was seen lies in the file `kept` by the view's own hash, so that a run that was cut off goes on and a list
    that grew costs what is new alone. Raises TrainingError where the tower is not there.
    """
    known = _read_kept(kept)
    names = [hashlib.sha256(np.ascontiguousarray(view).data).hexdigest() for view in views]
    missing = [number for number, name in enumerate(names) if name not in known]
    token_of = _tower() if missing else None
    for done, number in enumerate(missing, start=1):
        assert token_of is not None
        known[names[number]] = token_of(views[number])
        if done % KEPT_EVERY == 0 or done == len(missing):
            part = kept.with_suffix(".part.npz")
            np.savez(part, names=np.array(list(known)), tokens=np.stack(list(known.values())))
            part.replace(kept)
        if progress:
            progress(len(names) - len(missing) + done, len(names))
    return np.stack([known[name] for name in names])


def _read_kept(kept: Path) -> dict[str, NDArray[np.float32]]:
    if not kept.is_file():
        return {}
    with np.load(kept) as file:
        return dict(zip(file["names"].tolist(), file["tokens"], strict=True))


def _tower() -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """(224, 224, 3) uint8 RGB -> (768,), by the very file and arithmetic that an analysis runs."""
    import onnxruntime

    path = WEIGHTS / TOWER_FILE
    if not path.is_file():
        raise TrainingError(f"there is no shared tower at {path}", "", "Reinstall fakelab-verify.")
    session = onnxruntime.InferenceSession(subgraph(path, [TOKEN]), providers=["CPUExecutionProvider"])
    row, given = backbone(CLIP_NETWORK), session.get_inputs()[0].name
    mean, std = (np.array(each, np.float32).reshape(3, 1, 1) for each in (row.mean, row.std))

    def token_of(view: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = (np.asarray(view).transpose(2, 0, 1).astype(np.float32) / 255 - mean) / std
        # One picture a call: the 8-bit tower finds its activation scale per call.
        return np.asarray(session.run([TOKEN], {given: pixels[None]})[0], np.float32).ravel()

    return token_of


def fit_head(features: NDArray[Any], fake: NDArray[np.bool_], weights: Floats, ridge: float = RIDGE) -> Head:
    """The head that answers -1 for genuine and 1 for generated pictures best, by ridge regression in closed form.

    `weights` (N,) say how much a picture counts. Features are standardised first; `ridge` is in units of their
    number, so that it means the same whatever the count of pictures.
    """
    own = weights / weights.sum()
    mean = own @ features
    deviation = np.sqrt(own @ (features - mean) ** 2) + 1e-6
    x = (features - mean) / deviation
    target = np.where(fake, 1.0, -1.0)
    middle = float(own @ target)
    gram = (x * own[:, None]).T @ x + ridge * np.eye(x.shape[1])
    weight = SCALE * np.linalg.solve(gram, x.T @ (own * (target - middle))) / deviation
    return Head(weight, SCALE * middle - float(mean @ weight))


def weights_of(rows: Sequence[Row]) -> Floats:
    """(N,) Classes weigh alike, and inside a class a source or generator by the root of its number of pictures."""
    names = [("fake", generator_of(row)) if row.fake else ("real", row.source) for row in rows]
    count = {name: names.count(name) for name in set(names)}
    weights = np.array([1 / np.sqrt(count[name]) for name in names])
    for fake in (False, True):
        mine = np.array([row.fake is fake for row in rows])
        weights[mine] /= max(weights[mine].sum(), 1e-12)
    return weights


def generator_of(row: Row) -> str:
    """Who made a generated picture: its forgery, or its source where the list names none."""
    return row.forgery or row.source


def left_out(features: NDArray[Any], rows: Sequence[Row], *, ridge: float = RIDGE, seed: int = 0) -> Floats:
    """(N,) The logit of each picture by a head that knew neither its generator nor its source nor its group.

    Generators and sources are dealt into FOLDS parts. A part's head is fitted without its generators, without its
    sources, and without whatever else shares a source or a group with a picture that is judged by it.
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
        met = {name for row, mine in zip(rows, judged, strict=True) if mine for name in (row.source, row.group)}
        known = np.array([not met & {row.source, row.group} for row in rows]) & ~judged
        if fakes[known].all() or not fakes[known].any():
            raise TrainingError(
                "nothing is left to learn from when a part is held back",
                "its sources or groups hold every picture of a class",
                "Give pictures of more sources, or narrower groups.",
            )
        chosen = [row for row, mine in zip(rows, known, strict=True) if mine]
        logits[judged] = fit_head(features[known], fakes[known], weights_of(chosen), ridge)(features[judged])
    return logits


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
    """Writes the head and an uncalibrated card to `folder`, as `fakelab analyze --picture-model` takes it."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    row = backbone(CLIP_NETWORK)
    size = len(head.weight)
    save_file(
        {
            "head.1.weight": head.weight.reshape(size, 1).astype(np.float32),
            "head.1.bias": np.array([head.bias], np.float32),
            "patch_head.weight": np.zeros((size, 1), np.float32),
            "patch_head.bias": np.zeros(1, np.float32),
        },
        folder / TUNING,
    )
    card = ModelCard(
        architecture=CLIP_NETWORK,
        crop=VIEW_SPEC,
        mean=row.mean,
        std=row.std,
        colour_order=COLOUR_ORDER,
        calibration={"photo": {"slope": 1.0, "offset": 0.0}},
        thresholds={"photo": dict(UNCALIBRATED)},
        gate={**PICTURE_GATE, "parts": 0.0},
        files={TUNING: sha256_of(folder / TUNING), TOWER_FILE: sha256_of(WEIGHTS / TOWER_FILE)},
        metrics={},
        **facts,
    )
    write_card(card, folder)
    return card
