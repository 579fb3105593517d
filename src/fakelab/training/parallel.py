"""The figure of a search: an axis for each setting and each budget, a line for each trial, coloured by its val AUC."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fakelab.training.space import Axis

TICKS = 5


def draw_parallel(
    axes: Sequence[Axis], rows: Sequence[tuple[dict[str, Any], dict[int, float]]], budgets: Sequence[int], path: Path
) -> None:
    """Writes a PNG of trials: (drawn settings, budget -> val AUC), each with at least one AUC.

    The colour is the AUC at the last budget that a trial reached; its line ends there. The best is thick.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.colors import Normalize

    values = [value for _, auc in rows for value in auc.values()]
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.01, high + 0.01
    scores = [Axis(f"val AUC at step {budget}", low=low, high=high) for budget in budgets]
    columns = [*axes, *scores]
    figure, plot = plt.subplots(figsize=(max(7.0, 1.5 * len(columns) + 1.5), 5.5), layout="constrained")
    colours, scale = plt.get_cmap("viridis"), Normalize(low, high)
    # The best is drawn last, over the others.
    order = sorted(range(len(rows)), key=lambda at: (max(rows[at][1]), rows[at][1][max(rows[at][1])]))
    for at in order:
        drawn, auc = rows[at]
        # Lines of one choice lie a little apart.
        apart = 0.03 * (at / max(1, len(rows) - 1) - 0.5)
        heights = [place(axis, drawn[axis.name]) + (apart if axis.choices else 0.0) for axis in axes]
        heights += [place(score, auc[budget]) for score, budget in zip(scores, budgets, strict=True) if budget in auc]
        best = at == order[-1]
        colour = colours(scale(auc[max(auc)]))
        plot.plot(heights, color=colour, linewidth=3.5 if best else 1.3, alpha=1.0 if best else 0.75, marker=".")
    for at, axis in enumerate(columns):
        plot.axvline(at, color="0.35", linewidth=0.8)
        for value in ticks(axis):
            text = value if isinstance(value, str) else f"{value:.3g}"
            plot.annotate(
                text, (at, place(axis, value)), (4, 0), "data", "offset points", fontsize=9, va="center",
                bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
            )  # fmt: skip
    names = [textwrap.fill(axis.name.replace("_", " "), 12) for axis in columns]
    plot.set_xticks(range(len(columns)), names, fontsize=11)
    plot.xaxis.tick_top()
    plot.set_yticks([])
    plot.set_xlim(-0.15, len(columns) - 0.4)
    plot.set_ylim(-0.05, 1.05)
    for spine in plot.spines.values():
        spine.set_visible(False)
    plot.tick_params(length=0)
    figure.colorbar(plt.cm.ScalarMappable(scale, colours), ax=plot, label="val AUC at the last step reached")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def place(axis: Axis, value: Any) -> float:
    """Where a value lies on its axis, 0 to 1; choices in even steps, by size where they are numbers."""
    if axis.choices:
        known = _choices(axis)
        return known.index(value) / (len(known) - 1) if len(known) > 1 else 0.5
    if axis.log:
        return math.log(value / axis.low) / math.log(axis.high / axis.low)
    return float(value - axis.low) / (axis.high - axis.low)


def ticks(axis: Axis) -> list[Any]:
    """The values that an axis names."""
    if axis.choices:
        return _choices(axis)
    shares = [step / (TICKS - 1) for step in range(TICKS)]
    if axis.log:
        return [axis.low * (axis.high / axis.low) ** share for share in shares]
    return [axis.low + (axis.high - axis.low) * share for share in shares]


def _choices(axis: Axis) -> list[Any]:
    return list(dict.fromkeys(axis.choices if isinstance(axis.choices[0], str) else sorted(axis.choices)))
