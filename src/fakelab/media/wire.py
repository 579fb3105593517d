"""Messages between the reader process and its parent: one line of JSON, then raw bytes. No pickle, nothing executable.

The child that writes these may have been taken over by the file it reads, so the parent checks every value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from fakelab.media.density import Density

MAX_LINE_BYTES = 1 << 16
EXIT_MEMORY = 87
"""The child's exit code when it ran out of memory: sending a message would need memory."""
Message = dict[str, Any]


class RefusedError(Exception):
    """Raised in the child: the file cannot be read. `kind` is damaged, limit or unsupported."""

    def __init__(self, kind: str, why: str, do: str = "") -> None:
        super().__init__(why)
        self.kind, self.why, self.do = kind, why, do


class MalformedError(Exception):
    """Raised in the parent: the child sent something that no message looks like."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How to turn a stored picture upright: swap its axes, then mirror left-right, then top-bottom."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def clockwise_deg(self) -> int:
        """The rotation part, 0, 90, 180 or 270 degrees clockwise; a mere mirror is 0."""
        if not self.transpose:
            return 180 if self.flip_x and self.flip_y else 0
        return 90 if self.flip_x else 270


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture on its way out of the child: `rows` yields width * height * 3 bytes of RGB in all."""

    width_px: int
    height_px: int
    rows: Iterable[Any]
    time_s: float = 0.0
    burst: int = 0
    turn: Turn = Turn()


def fitted(width_px: int, height_px: int, longest_px: int | None) -> tuple[int, int]:
    """The size scaled down so that the longer side has at most `longest_px`; as it is where that is None."""
    if longest_px is None or max(width_px, height_px) <= longest_px:
        return width_px, height_px
    scale = longest_px / max(width_px, height_px)
    return max(1, round(width_px * scale)), max(1, round(height_px * scale))


class FileReader(Protocol):
    """What reads one kind of file inside the child. Its methods raise `RefusedError`."""

    failed: int
    """Packets and frames that could not be decoded so far."""
    warnings: list[str]
    longest_px: int | None
    """Pictures are scaled down to this on their longer side."""

    def facts(self) -> Message:
        """What `probe.media_info` turns into a MediaInfo."""

    def frames(self, density: Density) -> Iterator[Picture]:
        """The sampled pictures in time order."""

    def at(self, times_s: list[float]) -> Iterator[Picture]:
        """The picture on show at each time, in any order; `burst` is the time's place in the list."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the child is told to do: read the open `file` as `container`, never using more than `pixels` a picture."""

    file: BinaryIO
    container: str
    demuxer: str
    threads: int
    pixels: int


def send(pipe: BinaryIO, message: Message, payload: Iterable[Any] = ()) -> None:
    """Writes one message, then its bytes."""
    pipe.write(json.dumps(message).encode() + b"\n")
    pipe.writelines(payload)
    pipe.flush()


def receive(pipe: BinaryIO) -> Message | None:
    """The next message, or None at the end of the pipe. Raises MalformedError."""
    line = pipe.readline(MAX_LINE_BYTES)
    if not line:
        return None
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MalformedError("not JSON") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise MalformedError("no type")
    return message


def number(message: Message, key: str, low: float, high: float) -> float:
    """The finite number under `key`, between `low` and `high`. Raises MalformedError."""
    value = message.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise MalformedError(f"{key} is no number")
    if not low <= value <= high:
        raise MalformedError(f"{key} is out of range")
    return value


def whole(message: Message, key: str, low: int, high: int) -> int:
    """The whole number under `key`, between `low` and `high`. Raises MalformedError."""
    value = number(message, key, low, high)
    if not isinstance(value, int):
        raise MalformedError(f"{key} is no whole number")
    return value


def text(message: Message, key: str, longest: int = 300) -> str:
    """The text under `key` without control characters, cut at `longest` characters; empty if there is none."""
    value = message.get(key)
    if not isinstance(value, str):
        return ""
    return "".join(c if c.isprintable() else "?" for c in value[:longest])
