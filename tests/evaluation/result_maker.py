"""Results as `evaluation.run` gives them, drawn from two normal distributions of scores."""

from __future__ import annotations

from typing import Any

import numpy as np

LINES = {"threshold_moderate": 0.7, "threshold_strong": 0.9}


def one(
    label: str, p: float | None, number: int, *, source: str = "s", forgery: str = "", **more: Any
) -> dict[str, Any]:
    level = "not_analysable"
    if p is not None:
        level = "strong_evidence" if p >= 0.9 else "moderate_evidence" if p >= 0.7 else "no_evidence_found"
    result = {
        "path": f"{label}-{source}-{forgery}-{number}.mp4",
        "label": label,
        "source": source,
        "group": str(number),
        "forgery": forgery,
        "kind": "video",
        "p_fake": p,
        "logit": None if p is None else float(np.log(p / (1 - p))),
        "level": level,
        "reasons": ["no_face"] if p is None else ["below_all"],
        "people": 1,
        "frames": 16,
        "measured": dict(LINES) if p is not None else {},
        "made_by": "tiny 1 abc, finder yunet" if p is not None else None,
    }
    return result | more


def made_results(count: int = 20, *, seed: int = 0, gap: float = 1.5, failed: int = 0) -> list[dict[str, Any]]:
    """`count` originals of two sources with a good and a poor forgery of each; `failed` fakes could not be scored."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        source = f"s{number % 2}"
        for label, forgery, shift in (("real", "", 0.0), ("fake", "plain", 2 * gap), ("fake", "subtle", 0.2)):
            p = float(1 / (1 + np.exp(-(rng.normal() + shift - gap))))
            rows.append(one(label, p, number, source=source, forgery=forgery))
    rows += [one("fake", None, 1000 + number, source="s0", forgery="subtle") for number in range(failed)]
    return rows
