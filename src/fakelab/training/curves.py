"""The curves of a run, curves.csv in its folder: read, and drawn."""

from __future__ import annotations

import csv
from pathlib import Path


def read_curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Each curve of a run as (step, value) in the order written; empty without a curves.csv."""
    path, series = folder / "curves.csv", dict[str, list[tuple[int, float]]]()
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                series.setdefault(row["name"], []).append((int(row["step"]), float(row["value"])))
    return series


def draw_curves(folder: Path) -> None:
    """Writes curves.png from curves.csv: loss on top, AUC and accuracy on `val` below."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    series = read_curves(folder)
    if not series:
        return
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 7), sharex=True, layout="constrained")
    for name, points in sorted(series.items()):
        axis = top if "loss" in name else bottom
        axis.plot(*zip(*points, strict=True), label=name)
    top.set_ylabel("loss")
    bottom.set_ylabel("on val")
    bottom.set_xlabel("step")
    for axis in (top, bottom):
        if axis.lines:
            axis.legend(fontsize=8)
    figure.savefig(folder / "curves.png", dpi=120)
    plt.close(figure)
