"""The mean of tunings of one tower, as one more tuning: what two runs learnt, at the price of one at run time.

Runs that began at the same weights mostly lie in one basin, so that the mean of their numbers is a model as good as
the mean of their answers (Wortsman et al. 2022, "Model soups").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fakelab.errors import TrainingError
from fakelab.models.card import TOWER, UNCALIBRATED, read_card, sha256_of, write_card
from fakelab.records import ModelCard

TUNING = "tuning.safetensors"


def average(folders: Sequence[Path], out: Path) -> ModelCard:
    """Writes the mean of the models' tunings to `out` with an uncalibrated card that names them, and returns the card.

    Raises TrainingError for fewer than two, for models without a tuning, and for tunings that do not fit each other;
    ModelError for a card that cannot be read.
    """
    from safetensors.numpy import load_file, save_file

    if len(folders) < 2:
        raise TrainingError("there is nothing to average", "it takes two models or more", "Name another folder.")
    cards = [read_card(folder / "card.json") for folder in folders]
    first = cards[0]
    for folder, card in zip(folders, cards, strict=True):
        if TUNING not in card.files or not (folder / TUNING).is_file():
            raise TrainingError(
                f"{folder} cannot be averaged",
                "it is no tuning of the shared tower",
                "Only tunings have a common frame.",
            )
        if (card.crop, card.mean, card.std, _tower(card)) != (first.crop, first.mean, first.std, _tower(first)):
            raise TrainingError(
                f"{folder} and {folders[0]} cannot be averaged", "their crops, normalisation or towers differ", ""
            )
    parts: list[dict[str, NDArray[np.float32]]] = [load_file(folder / TUNING) for folder in folders]
    for folder, part in zip(folders, parts, strict=True):
        if {name: value.shape for name, value in part.items()} != {n: v.shape for n, v in parts[0].items()}:
            raise TrainingError(f"{folder} and {folders[0]} cannot be averaged", "they tune other numbers", "")
    mean = {name: np.mean([part[name] for part in parts], axis=0, dtype=np.float64) for name in parts[0]}
    out.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(value, np.float32) for name, value in mean.items()}, out / TUNING)
    card = dataclasses.replace(
        first,
        summary=f"Mean of {len(folders)} tunings of {first.architecture}; not calibrated yet.",
        calibration={kind: {"slope": 1.0, "offset": 0.0} for kind in first.calibration},
        thresholds={kind: dict(UNCALIBRATED) for kind in first.thresholds},
        files={TUNING: sha256_of(out / TUNING)} | {k: v for k, v in first.files.items() if k != TUNING},
        training={"mean_of": [{"name": c.name, "version": c.version, "training": c.training} for c in cards]},
        data=tuple({row["name"]: row for card in cards for row in card.data}.values()),
        metrics={},
        weak_spots=("Not calibrated: it gives no level of evidence.",),
    )
    write_card(card, out)
    return card


def _tower(card: ModelCard) -> str | None:
    return card.files.get(f"{TOWER}/tower.onnx")
