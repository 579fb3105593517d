"""How the learning rate of every run goes: a linear warm-up, then a cosine to zero."""

from __future__ import annotations

import math


def rate_share(step: int, steps: int, warmup: int) -> float:
    """Share 0..1 of the highest learning rate at `step` (from 0) of `steps`, the first `warmup` of which rise."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))
