"""A video's pictures as tiny grey ones, for finding its cuts. Runs inside the child process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from av.error import FFmpegError

from fakelab.media.sound import decoded
from fakelab.media.video import VideoReader
from fakelab.media.wire import Job, Message

WIDTH_PX, HEIGHT_PX = 32, 18
AT_ONCE = 64
"""Pictures in one message."""


def reader(kind: type[Any]) -> Callable[[Job], Any]:
    """What opens a file that a reader of this kind reads."""
    return ShotsReader if issubclass(kind, VideoReader) else type("Still", (kind,), {"parts": lambda *_: iter(())})


class ShotsReader(VideoReader):
    """The pictures of a video, every one."""

    def parts(self, wanted: Message) -> Iterator[tuple[Message, list[bytes]]]:
        """Pictures in the order of the file: their times in seconds, and WIDTH_PX * HEIGHT_PX grey bytes each."""
        self._reopen()
        self.failed = 0
        if self._stream is None:
            return
        origin_s, tick_s = self._origin_s(), float(self._time_base)
        times: list[float] = []
        pictures: list[bytes] = []
        for packet in self._packets(self._stream):
            try:
                frames = decoded(packet)
            except FFmpegError:
                self.failed += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.failed += 1
                    continue
                times.append(self._ticks(frame) * tick_s - origin_s)
                pictures.append(_tiny(frame))
            if len(times) >= AT_ONCE:
                yield {"times_s": times, "bytes": sum(map(len, pictures))}, pictures
                times, pictures = [], []
        if times:
            yield {"times_s": times, "bytes": sum(map(len, pictures))}, pictures


def _tiny(frame: Any) -> bytes:
    plane = frame.reformat(width=WIDTH_PX, height=HEIGHT_PX, format="gray", interpolation="AREA").planes[0]
    data = bytes(plane)
    return b"".join(data[at : at + WIDTH_PX] for at in range(0, HEIGHT_PX * plane.line_size, plane.line_size))
