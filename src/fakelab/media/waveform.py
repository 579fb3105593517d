"""The outline of a file's sound for its page. It is decoded in the child process, second by second."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fakelab.errors import DamagedMediaError
from fakelab.media.opening import nonsense
from fakelab.media.reader import open_media
from fakelab.media.sandbox import Limits
from fakelab.media.sniff import shown
from fakelab.media.wire import MalformedError, whole
from fakelab.records import Kind

FINER = 64
"""While the length is not known, at least this many bins are kept for each point asked for."""


def _none() -> NDArray[np.float32]:
    return np.empty(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Waveform:
    """The lowest and the highest sample, -1..1, of each of equal stretches over `duration_s`; empty without sound."""

    duration_s: float
    low: NDArray[np.float32] = field(default_factory=_none)
    high: NDArray[np.float32] = field(default_factory=_none)


def waveform(path: str | os.PathLike[str], points: int = 1000, limits: Limits | None = None) -> Waveform:
    """The outline of the first sound track, mixed to one channel, over the length of the video, or of the recording.

    Where a video has no sound, or none that can be decoded, the arrays are empty; so they are for pictures.
    Raises NotFoundError, UnsupportedMediaError, DamagedMediaError, LimitError, EnvironmentBrokenError.
    """
    if points < 1:
        raise ValueError("points must be at least 1")
    name, outline, rate = shown(path), _Outline(points * FINER), 0
    try:
        with open_media(path, limits, task="waveform") as media:
            info = media.info
            for message, data in media.parts({}):
                rate = whole(message, "rate", 1, 1 << 20)
                outline.add(np.frombuffer(data[: len(data) // 2 * 2], "<i2"))
    except MalformedError as error:
        raise nonsense(name, error) from error
    if not outline.count:
        if info.kind is Kind.AUDIO:
            raise DamagedMediaError(f"{name} cannot be read", "no sound of it could be decoded")
        return Waveform(info.duration_s or 0.0)
    heard_s = outline.count / rate
    duration_s = heard_s if info.kind is Kind.AUDIO or not info.duration_s else info.duration_s
    return Waveform(duration_s, *outline.over(duration_s * rate, points))


class _Outline:
    """Lowest and highest sample of equal bins, which are joined in pairs when they are more than twice `most`."""

    def __init__(self, most: int) -> None:
        self.count = 0
        self._most = most
        self._width = 32  # samples a bin
        self._low, self._high = np.empty(0, np.int16), np.empty(0, np.int16)
        self._rest = np.empty(0, np.int16)

    def add(self, samples: NDArray[np.int16]) -> None:
        """Takes the next samples."""
        self.count += len(samples)
        samples = np.concatenate([self._rest, samples])
        whole_bins = len(samples) // self._width
        whole_bins -= (len(self._low) + whole_bins) % 2  # an even number in all, which can be joined in pairs
        table = samples[: whole_bins * self._width].reshape(whole_bins, self._width)
        self._rest = samples[whole_bins * self._width :]
        self._low = np.concatenate([self._low, table.min(axis=1)])
        self._high = np.concatenate([self._high, table.max(axis=1)])
        while len(self._low) > 2 * self._most and len(self._low) % 2 == 0:
            self._low = self._low.reshape(-1, 2).min(axis=1)
            self._high = self._high.reshape(-1, 2).max(axis=1)
            self._width *= 2

    def over(self, length: float, points: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(points,) lowest and highest over `length` samples from the start on, -1..1; 0 where there is no sound."""
        rest = [self._rest[at : at + self._width] for at in range(0, len(self._rest), self._width)]
        self._low = np.append(self._low, [part.min() for part in rest])
        self._high = np.append(self._high, [part.max() for part in rest])
        # Each bin counts for the point that holds its middle.
        edges = np.rint(np.linspace(0, length / self._width, points + 1)).astype(int)
        low, high = np.zeros(points, np.float32), np.zeros(points, np.float32)
        for point in range(points):
            start = min(edges[point], len(self._low) - 1) if length <= self.count else edges[point]
            end = max(start + 1, edges[point + 1])
            if start < len(self._low):
                low[point] = self._low[start:end].min() / 32768
                high[point] = self._high[start:end].max() / 32768
        return low, high
