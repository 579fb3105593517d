"""How densely a clip is sampled, and where its bursts lie. Pure arithmetic, shared by parent and child process."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Density:
    """A sampling plan: `bursts` groups of `frames_per_burst` neighbouring frames, spread over the whole clip.

    Faces are followed inside a burst, so its frames are neighbours; people are joined across bursts. With `every_s`
    there is one burst for each `every_s` seconds of the clip, and never fewer than `bursts`.
    """

    bursts: int = 8
    frames_per_burst: int = 2
    every_s: float | None = None

    def __post_init__(self) -> None:
        if self.bursts < 1 or self.frames_per_burst < 1:
            raise ValueError("bursts and frames_per_burst must be at least 1")
        if self.every_s is not None and not self.every_s > 0:
            raise ValueError("every_s must be above 0")

    @classmethod
    def thorough(cls) -> Density:
        """One burst for every 2 s of the clip, at least 8: what ``--thorough`` asks for."""
        return cls(every_s=2.0)

    @classmethod
    def every_frame(cls, duration_s: float, fps: float, *, longest_s: float, places: int) -> Density:
        """Every frame of `longest_s` seconds: of the whole of a shorter clip, of `places` places of a longer one."""
        fps = min(max(fps, 1.0), 120.0)
        if duration_s <= longest_s:
            return cls(bursts=1, frames_per_burst=max(1, math.ceil(duration_s * fps) + 1))
        return cls(bursts=places, frames_per_burst=max(1, round(longest_s / places * fps)))

    def bursts_for(self, duration_s: float) -> int:
        """The number of bursts for a clip of `duration_s` seconds."""
        if self.every_s is None:
            return self.bursts
        return max(self.bursts, math.ceil(max(0.0, duration_s) / self.every_s))


@dataclass(frozen=True, slots=True)
class Segment:
    """One burst's share of the clip, in the plan's units: it begins at `low`, its burst should start at `target`."""

    low: float
    target: float


def plan(bursts: int, frames_per_burst: int, first: float, last: float, step: float) -> list[Segment]:
    """Equal segments over `first`..`last`, each with its burst in its middle, in order.

    `first` and `last` are the positions of the first and the last frame, `step` is the mean distance of two frames,
    all in one unit (ticks of a stream, or frame numbers). Every burst lies inside the clip, and where the clip has
    more frames than the plan wants no two bursts overlap.
    """
    width = (last - first) / bursts
    half_burst = (frames_per_burst - 1) / 2 * step
    latest = last - (frames_per_burst - 1) * step
    return [
        Segment(first + i * width, max(first, min(latest, first + (i + 0.5) * width - half_burst)))
        for i in range(bursts)
    ]
