"""`open_media`: the door of this room. One file in, its MediaInfo and its sampled frames out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np

from fakelab.errors import DamagedMediaError
from fakelab.media.density import Density
from fakelab.media.opening import Closable, Opening, begin_media, nonsense, warnings_in
from fakelab.media.quality import perceptual_hash
from fakelab.media.sandbox import Limits
from fakelab.media.wire import MalformedError, Message, number, whole
from fakelab.records import Frame, Image, Kind

PHASHES = 64
MOST_PART_BYTES = 1 << 26


def open_media(
    path: str | os.PathLike[str], limits: Limits | None = None, threads: int = 2, task: str | None = None
) -> Media:
    """The file at `path`, sniffed, hashed and probed, ready to be sampled. Close it, or use it in a ``with``.

    `threads` is what the decoder may use; `task`, one of `child.TASKS`, makes it ready for `Media.parts`. Raises
    NotFoundError, UnsupportedMediaError, DamagedMediaError, LimitError, and EnvironmentBrokenError where no reader
    process can start.
    """
    return Media(begin_media(path, limits, threads, task))


class Media(Closable):
    """One open file. `info` is known at once; `frames` may be asked for once. Raises what `open_media` raises."""

    def __init__(self, opening: Opening) -> None:
        self.info, self.warnings = opening.facts()
        """What a reader of the result should know: an incomplete picture, a file shorter than it declares ..."""
        self.frames_failed = 0
        """Packets and frames that could not be decoded so far."""
        self.phash: list[str] = []
        """Perceptual hashes of the first frame of each burst read so far, 16 hexadecimal digits each, at most 64."""
        self._child = opening.child
        self._limits = opening.limits
        self._name = opening.name
        self._asked = False

    def frames(self, density: Density | None = None) -> Iterator[Frame]:
        """The sampled frames in time order, images (H, W, 3) uint8 RGB, upright; one for a photo, none for sound.

        One frame is held at a time. Raises DamagedMediaError (also when nothing at all could be decoded), LimitError,
        and RuntimeError when called a second time.
        """
        if self._asked:
            raise RuntimeError("frames() may be called once: open the file again")
        self._asked = True
        return self._frames(density or Density())

    def at(self, times_s: Sequence[float], longest_px: int) -> Iterator[tuple[int, Frame]]:
        """The frames on show at these times, scaled down to `longest_px`, each with the place of its time in the list.

        Takes the place of `frames`, and raises what it raises.
        """
        self._asked = True
        if self.info.kind is Kind.AUDIO or not times_s:
            return
        self._child.say({"times_s": list(times_s), "longest_px": longest_px})
        for frame in self._received():
            if frame.burst >= len(times_s) or max(frame.image.shape) > max(3, longest_px):
                self.close()
                raise nonsense(self._name, MalformedError("a picture that was not asked for"))
            yield frame.burst, frame

    def parts(self, wanted: Message) -> Iterator[tuple[Message, bytes]]:
        """What the child's task gives: messages with their bytes, at most MOST_PART_BYTES each.

        Raises what `frames` raises, but nothing where there is no part; MalformedError is for the caller to turn into
        `nonsense`.
        """
        self._asked = True
        self._child.say(wanted)
        while (message := self._child.hear("part", "end"))["type"] == "part":
            data = bytearray(whole(message, "bytes", 0, MOST_PART_BYTES))
            self._child.read_into(memoryview(data))
            yield message, bytes(data)
        self.frames_failed = whole(message, "failed", 0, 1 << 48)
        self.warnings = warnings_in(message)
        self.close()

    def close(self) -> None:
        """Ends the reader process. Nothing is left behind; may be called twice."""
        self._asked = True
        self._child.close()

    def _frames(self, density: Density) -> Iterator[Frame]:
        if self.info.kind is Kind.AUDIO:
            return
        self._child.say(
            {
                "bursts": density.bursts,
                "frames_per_burst": density.frames_per_burst,
                "every_s": density.every_s,
            }
        )
        burst = -1
        for frame in self._received():
            if frame.burst != burst and len(self.phash) < PHASHES:
                self.phash.append(f"{perceptual_hash(frame.image):016x}")
            burst = frame.burst
            yield frame
            # Not while the next one is awaited: one frame is held at a time.
            del frame

    def _received(self) -> Iterator[Frame]:
        """The frames that the child sends, until it says that this was the last one."""
        index = 0
        try:
            while (message := self._child.hear("frame", "end"))["type"] == "frame":
                index += 1
                yield self._frame(message, index - 1)
            self.frames_failed = whole(message, "failed", 0, 1 << 48)
        except MalformedError as error:
            self.close()
            raise nonsense(self._name, error) from error
        self.warnings = warnings_in(message)
        self.close()
        if index == 0:
            raise DamagedMediaError(
                f"{self._name} cannot be read",
                f"no picture of it could be decoded ({self.frames_failed} damaged parts were skipped)",
                "Try to get the file again, from its source.",
            )

    def _frame(self, message: Message, index: int) -> Frame:
        width, height = (whole(message, key, 1, 1 << 20) for key in ("width_px", "height_px"))
        if width * height > self._limits.pixels:
            raise MalformedError("more pixels than the limit")
        self.frames_failed = whole(message, "failed", 0, 1 << 48)
        time_s, burst = number(message, "time_s", 0.0, 1e9), whole(message, "burst", 0, 1 << 32)
        turn = message.get("turn")
        if not isinstance(turn, list) or len(turn) != 3:
            raise MalformedError("turn is missing")
        image = np.empty((height, width, 3), np.uint8)
        self._child.read_into(image.data.cast("B"))
        return Frame(upright(image, *(flag is True for flag in turn)), float(time_s), index, burst)


def upright(image: Image, transpose: bool, flip_x: bool, flip_y: bool) -> Image:
    """The picture with its axes swapped, then mirrored left-right, then top-bottom, as told."""
    if transpose:
        image = image.transpose(1, 0, 2)
    if flip_x:
        image = image[:, ::-1]
    if flip_y:
        image = image[::-1]
    return np.ascontiguousarray(image)
