"""Where a video cuts from one shot to the next. All of it is decoded in the child process, as tiny pictures."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fakelab.media.opening import nonsense
from fakelab.media.reader import Media, open_media
from fakelab.media.sandbox import Limits
from fakelab.media.shots_child import HEIGHT_PX, WIDTH_PX
from fakelab.media.sniff import shown
from fakelab.media.wire import MalformedError

LEAST_CHANGE = 14.0
"""Mean change of a pixel (of 255) from one frame to the next below which there is no cut."""
TIMES_USUAL = 4.0
"""How many times the usual change around it a cut is."""
AROUND = 8
"""Frames before it by which the usual change is told."""
APART_S = 0.25
"""Two cuts that are closer than this are one: a flash, or a frame that was repeated."""


def cuts(path: str | os.PathLike[str], limits: Limits | None = None) -> list[float]:
    """The times in seconds at which a new shot begins, without the first at 0; empty for anything but a video.

    A cut is a change between neighbouring frames that is large, and large against those before it; slow transitions
    are not found. Raises NotFoundError, UnsupportedMediaError, DamagedMediaError, LimitError, EnvironmentBrokenError.
    """
    name = shown(path)
    found: list[float] = []
    before: NDArray[np.int16] | None = None
    usual: deque[float] = deque(maxlen=AROUND)
    try:
        with open_media(path, limits, task="shots") as media:
            for time_s, picture in _pictures(media):
                if before is not None:
                    change = float(np.abs(picture - before).mean())
                    middle = float(np.median(usual)) if usual else 0.0
                    if change > max(LEAST_CHANGE, TIMES_USUAL * middle):
                        if not found or time_s - found[-1] > APART_S:
                            found.append(time_s)
                    else:
                        usual.append(change)
                before = picture
    except MalformedError as error:
        raise nonsense(name, error) from error
    return [round(each, 3) for each in found]


def _pictures(media: Media) -> Iterator[tuple[float, NDArray[np.int16]]]:
    size = WIDTH_PX * HEIGHT_PX
    for message, data in media.parts({}):
        times = message.get("times_s")
        if not isinstance(times, list) or len(data) != size * len(times):
            raise MalformedError("pictures without their times")
        if not all(isinstance(each, (int, float)) and abs(each) < 1e9 for each in times):
            raise MalformedError("times that are none")
        grey = np.frombuffer(data, np.uint8).reshape(len(times), size).astype(np.int16)
        yield from zip(map(float, times), grey, strict=True)
