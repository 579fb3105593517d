"""AUC of an image-level score and F1 of the map of each compression check, on edited photos with masks.

    python scripts/measure_evidence.py FOLDER

FOLDER holds authentic/, tampered/ and masks/ (a mask has its picture's name, .png; white = changed).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from fakelab.evidence import compression as c
from fakelab.evidence.double import double_compression
from fakelab.evidence.traces import Traces, read_traces
from fakelab.media import Limits


def maps_of(traces: Traces) -> dict[str, np.ndarray]:
    """Every check's raw map."""
    assert traces.tiles is not None
    image = traces.tiles.image
    table = np.array(traces.tag("jpeg")["tables"]["0"]).reshape(8, 8)
    double = double_compression(image, table)
    assert double is not None
    return {
        "ela": c.ela(image),
        "jpeg_ghosts": c.ghosts(image),
        "double_compression": double.heat,
        "noise": c.noise(image),
    }


SCORES: dict[str, Callable[[np.ndarray], float]] = {
    "spread": lambda m: float(m.std() / (m.mean() + 1e-6)),
    "top": lambda m: float(np.percentile(m, 98) / (np.median(m) + 1e-6)),
    "mean": lambda m: float(m.mean()),
    "clump": lambda m: float(cv2.blur(m, (3, 3)).std() / (m.std() + 1e-6)),
}


def auc(real: list[float], fake: list[float]) -> float:
    """The share of (edited, untouched) pairs that the score puts in order."""
    a, b = np.array(fake)[:, None], np.array(real)[None]
    return float((a > b).mean() + (a == b).mean() / 2)


def f1(found: np.ndarray, truth: np.ndarray) -> float:
    """F1 of two masks."""
    hit = float((found & truth).sum())
    return 2 * hit / max(1.0, float(found.sum() + truth.sum()))


def main(folder: Path) -> None:
    """Prints one line for each check."""
    real = [maps_of(read_traces(p, Limits())) for p in sorted((folder / "authentic").glob("*.jpg"))]
    paths = sorted((folder / "tampered").glob("*.jpg"))
    fake = [maps_of(read_traces(p, Limits())) for p in paths]
    masks = [cv2.imread(str(folder / "masks" / f"{p.stem}.png"), 0) for p in paths]
    print(f"{len(real)} authentic, {len(fake)} tampered, {sum(m is not None for m in masks)} masks")
    for name in real[0]:
        scores = {score: auc([of(m[name]) for m in real], [of(m[name]) for m in fake]) for score, of in SCORES.items()}
        best: dict[int, float] = {}
        curves, everything = [], []
        for maps, mask in zip(fake, masks, strict=True):
            if mask is None:
                continue
            m = maps[name]
            truth = cv2.resize(mask, m.shape[::-1], interpolation=cv2.INTER_AREA) > 127
            smooth = cv2.blur(c.shown(m), (3, 3))
            curves.append([f1(smooth > t, truth) for t in np.linspace(0, 0.95, 39)])
            everything.append(f1(np.ones_like(truth), truth))
        table = np.array(curves)
        for half in (0, 1):
            chosen = int(table[half::2].mean(axis=0).argmax())
            best[half] = float(table[1 - half :: 2, chosen].mean())
        shown = ", ".join(f"{score} {value:.2f}" for score, value in scores.items())
        print(f"{name}: AUC {shown}; F1 {np.mean(list(best.values())):.2f} (all marked: {np.mean(everything):.2f})")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
