"""Left-out logits -> calibration and lines; head and features -> a folder with weights and card."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.models.card import COLOUR_ORDER, sha256_of, write_card
from fakelab.records import CropSpec, ModelCard
from fakelab.training.voice import VoiceFeatures, VoiceNet, write_onnx
from fakelab.training.voice_head import Bools, Floats, Head

STRONG_SHARE, MODERATE_SHARE, UNSURE_SHARE = 0.01, 0.04, 0.10
"""Shares of genuine clips of sources left out that may reach each line."""
GATE = {"min_speech_s": 2.0}
NO_CROP = CropSpec(version=0, size_px=0, margin=0.0, boxes_from="none")
UNREACHED = 1.1
"""A line that no probability reaches."""


def calibrated(logits: Floats, fake: Bools) -> dict[str, float]:
    """Slope and offset that turn a logit into the logarithm of the odds, both classes weighing the same."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e3, class_weight="balanced").fit(logits[:, None], fake)
    return {"slope": float(model.coef_[0, 0]), "offset": float(model.intercept_[0])}


def lines(p: Floats, fake: Bools, source: NDArray[np.str_], experimental: bool) -> dict[str, Any]:
    """The lines of evidence on p_fake, with how often genuine clips reach them. Experimental: none is strong."""
    real = p[~fake]
    sources = len(set(source[~fake].tolist()))
    found = {
        name: float(np.quantile(real, 1 - share))
        for name, share in (("strong", STRONG_SHARE), ("moderate", MODERATE_SHARE), ("unsure", UNSURE_SHARE))
    }
    if experimental:
        found["strong"] = UNREACHED
    rates = {f"{name}_evidence": _rate(real, found[name], sources, name) for name in ("strong", "moderate")}
    if experimental:
        del rates["strong_evidence"]
    return {**found, "error_rates": {**rates, "all": " ".join(rates.values())}}


def interval(count: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z = 1.959964
    middle = (count + z * z / 2) / (total + z * z)
    half = z / (total + z * z) * math.sqrt(count * (total - count) / total + z * z / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def write_voice(
    features: VoiceFeatures,
    head: Head,
    folder: Path,
    *,
    calibration: dict[str, Any],
    thresholds: dict[str, Any],
    facts: dict[str, Any],
) -> Path:
    """Writes model.onnx and card.json to `folder`, which it returns. `facts` holds the rest of the card's fields."""
    folder.mkdir(parents=True, exist_ok=True)
    write_onnx(VoiceNet(features, head), folder / "model.onnx")
    card = ModelCard(
        crop=NO_CROP,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        colour_order=COLOUR_ORDER,
        calibration={"audio": calibration},
        thresholds={"audio": thresholds},
        gate=dict(GATE),
        files={"model.onnx": sha256_of(folder / "model.onnx")},
        **facts,
    )
    write_card(card, folder)
    return folder


def _rate(real: Floats, line: float, sources: int, name: str) -> str:
    count, total = int((real >= line).sum()), len(real)
    low, high = interval(count, total)
    reached = "strong evidence" if name == "strong" else "moderate or strong evidence"
    return (
        f"{100 * count / total:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f} %) of genuine recordings of"
        f" {sources} sources ({total} clips and degraded copies), each source judged without itself, reach {reached}."
    )
