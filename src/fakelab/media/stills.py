"""Single frames of a file for its page, at given moments; the child process scales them down."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from fakelab.errors import DamagedMediaError
from fakelab.media.reader import open_media
from fakelab.media.sandbox import Limits
from fakelab.media.sniff import shown
from fakelab.records import Image, Kind

MOST_PX = 1280


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """One frame, upright, (H, W, 3) uint8 RGB, and the time in seconds from which on it is shown."""

    time_s: float
    image: Image


def stills(
    path: str | os.PathLike[str],
    times_s: Sequence[float],
    limits: Limits | None = None,
    *,
    longest_px: int = MOST_PX,
) -> list[Still]:
    """The frames on show at `times_s`, one for each time and in its order, at most `longest_px` on the longer side.

    A time past the end gives the last frame, one before the start the first; a photo gives itself; a recording gives
    an empty list. Raises NotFoundError, UnsupportedMediaError, DamagedMediaError, LimitError, EnvironmentBrokenError.
    """
    if longest_px < 1 or not all(math.isfinite(time_s) for time_s in times_s):
        raise ValueError("longest_px must be at least 1, and every time finite")
    if not times_s:
        return []
    found: dict[int, Still] = {}
    with open_media(path, limits) as media:
        for place, frame in media.at(times_s, longest_px):
            found[place] = Still(frame.time_s, frame.image)
        kind = media.info.kind
    if kind is Kind.AUDIO:
        return []
    if set(found) != set(range(len(times_s))):
        raise DamagedMediaError(
            f"{shown(path)} cannot be read", "some of its frames could not be decoded", "Try to get the file again."
        )
    return [found[place] for place in range(len(times_s))]
