"""AUC of an image-level score and F1 of the map of each compression check, on edited photos with masks.

    python scripts/measure_evidence.py FOLDER

FOLDER holds authentic/, tampered/ and masks/ (a mask has its picture's name, .png; white = changed).
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fakelab.evidence import compression as c
from fakelab.evidence.double import double_compression
from fakelab.evidence.traces import Traces, read_traces
from fakelab.media import begin_media


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
    "high": lambda m: float(np.percentile(m, 98)),
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


def as_is(path: Path, number: int, fake: bool) -> bytes:
    """The file."""
    return path.read_bytes()


def saved_again(path: Path, number: int, fake: bool) -> bytes:
    """Saved once more at quality 90, whatever it is."""
    return _saved(path, 90)


def same_history(path: Path, number: int, fake: bool) -> bytes:
    """An edited one as it is, an untouched one saved with the tables of one, in the proportions of CASIA v1."""
    return path.read_bytes() if fake else _saved(path, TABLES[number * 7 % len(TABLES)])


def _saved(path: Path, quality: int | str) -> bytes:
    buffer = io.BytesIO()
    Image.open(path).convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


TABLES = ["medium"] * 25 + ["high"] * 24 + ["web_maximum"] * 11
HISTORIES = (as_is, same_history, saved_again)


def all_maps(paths: list[Path], history: Callable[[Path, int, bool], bytes], fake: bool) -> list[dict[str, np.ndarray]]:
    """The maps of each file, as it would be with this history."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(paths):
            copy = Path(folder, path.name)
            copy.write_bytes(history(path, number, fake))
            found.append(maps_of(read_traces(begin_media(copy, task="traces"))))
    return found


def main(folder: Path) -> None:
    """Prints one line for each check and history."""
    untouched, edited = (sorted((folder / name).glob("*.jpg")) for name in ("authentic", "tampered"))
    masks = [cv2.imread(str(folder / "masks" / f"{p.stem}.png"), 0) for p in edited]
    print(f"{len(untouched)} authentic, {len(edited)} tampered, {sum(m is not None for m in masks)} masks")
    for history in HISTORIES:
        measure(history.__name__, all_maps(untouched, history, False), all_maps(edited, history, True), masks)


def measure(title: str, real: list[dict], fake: list[dict], masks: list) -> None:
    """Prints one line for each check."""
    for name in real[0]:
        scores = {score: auc([of(m[name]) for m in real], [of(m[name]) for m in fake]) for score, of in SCORES.items()}
        best: dict[int, float] = {}
        curves, everything, inside = [], [], []
        for maps, mask in zip(fake, masks, strict=True):
            if mask is None:
                continue
            m = maps[name]
            truth = cv2.resize(mask, m.shape[::-1], interpolation=cv2.INTER_AREA) > 127
            smooth = cv2.blur(c.shown(m), (3, 3))
            curves.append([f1(smooth > t, truth) for t in np.linspace(0, 0.95, 39)])
            everything.append(f1(np.ones_like(truth), truth))
            if truth.any() and not truth.all():
                inside.append(auc(list(m[~truth]), list(m[truth])))
        table = np.array(curves)
        for half in (0, 1):
            chosen = int(table[half::2].mean(axis=0).argmax())
            best[half] = float(table[1 - half :: 2, chosen].mean())
        shown = ", ".join(f"{score} {value:.2f}" for score, value in scores.items())
        print(
            f"{title} {name}: AUC of photos {shown}; of blocks {np.mean(inside):.2f}; "
            f"F1 {np.mean(list(best.values())):.2f} (all marked: {np.mean(everything):.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
