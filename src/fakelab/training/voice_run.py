"""A table of clips -> a voice model: features, degraded copies, twins, sources left out, lines, weights and card."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fakelab.errors import TrainingError
from fakelab.evaluation.metrics import auc, eer, with_interval
from fakelab.media.audio import Samples, levelled, windows
from fakelab.training.voice import VoiceFeatures, features_of
from fakelab.training.voice_head import Floats, HeadConfig, Rows, fit_head, left_out_logits
from fakelab.training.voice_ship import calibrated, lines, write_voice
from fakelab.training.voice_twin import Random, degraded

SHORTEST = 8000
TwinMaker = Callable[[Samples, Random], Samples]


def read_clips(table: Path) -> Iterator[tuple[Samples, bool, str]]:
    """The first levelled window, whether it is fake, and the source, of each row: file, label (real, fake), source.

    Files are named as seen from the table. Raises TrainingError for a table without these columns.
    """
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if not {"file", "label", "source"} <= set(row):
                raise TrainingError(
                    f"{table} is no table of clips", f"it has {', '.join(row)}", "Name file, label, source."
                )
            window = next(windows(table.parent / row["file"]), None)
            samples = np.zeros(0, np.float32) if window is None else levelled(window.samples)
            if len(samples) >= SHORTEST:
                yield samples, row["label"] == "fake", row["source"]


def rows_of(
    clips: list[tuple[Samples, bool, str]], features: VoiceFeatures, twin: TwinMaker | None = None, seed: int = 0
) -> tuple[Rows, Rows]:
    """Rows of the clips and of one degraded copy of each, to be tested; and these with twins, to be trained on."""
    random = np.random.default_rng(seed)
    found: list[tuple[Floats, bool, str, bool]] = []
    for change in (None, degraded):
        for samples, fake, source in clips:
            heard = samples if change is None else change(samples, random)
            heard = heard if len(heard) >= SHORTEST else samples
            found.append((features_of(features, heard).astype(np.float64), fake, source, False))
    tested = _rows(found)
    for samples, fake, source in clips if twin is not None else ():
        if not fake and twin is not None:
            made = twin(samples, random)
            if len(made) >= SHORTEST:
                found.append((features_of(features, made).astype(np.float64), True, source, True))
    return tested, _rows(found)


def train_voice(
    clips: list[tuple[Samples, bool, str]],
    features: VoiceFeatures,
    folder: Path,
    *,
    facts: dict[str, Any],
    twin: TwinMaker | None = None,
    config: HeadConfig | None = None,
    seed: int = 0,
) -> Path:
    """Writes weights and card to `folder`: numbers by sources left out, the head from all. Returns the folder.

    `facts` are the card's fields that no number decides; `metrics` gains `auc` and `eer` of clips and copies pooled.
    """
    tested, trained = rows_of(clips, features, twin, seed)
    logits = left_out_logits(tested, trained, config, seed)
    calibration = calibrated(logits, tested.fake)
    p = 1 / (1 + np.exp(-(calibration["slope"] * logits + calibration["offset"])))
    pooled = with_interval(auc, logits, tested.fake, tested.source.tolist(), rounds=200)
    metrics = {**facts.get("metrics", {}), "auc": str(pooled), "eer": f"{eer(logits, tested.fake):.3f}"}
    return write_voice(
        features,
        fit_head(trained, config),
        folder,
        calibration=calibration,
        thresholds=lines(p, tested.fake, tested.source, experimental=pooled.value < 0.8),
        facts={**facts, "metrics": metrics},
    )


def _rows(found: list[tuple[Floats, bool, str, bool]]) -> Rows:
    features, fake, source, twin = zip(*found, strict=True)
    return Rows(np.stack(features), np.array(fake), np.array(source), np.array(twin))
