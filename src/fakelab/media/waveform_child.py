"""A file's sound as one channel of 16-bit samples, at the rate asked for. Runs inside the child process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from av.error import FFmpegError

from fakelab.media.sound import SoundFilter, decoded
from fakelab.media.video import VideoReader
from fakelab.media.wire import Job, Message

SAMPLES = 1 << 14
HIGHEST_RATE = 48_000


def reader(kind: type[Any]) -> Callable[[Job], Any]:
    """What opens a file that a reader of this kind reads."""
    return SoundReader if issubclass(kind, VideoReader) else type("Silent", (kind,), {"parts": lambda *_: iter(())})


class SoundReader(VideoReader):
    """The first sound track of a video or a recording."""

    with_sound = True

    def parts(self, wanted: Message) -> Iterator[tuple[Message, list[bytes]]]:
        """Samples from 0 s of the file on, without gaps: how many a second, how many bytes, and the bytes.

        `wanted` may hold a `rate`; without one it is that of the sound, at most HIGHEST_RATE.
        """
        asked = wanted.get("rate")
        self._reopen()
        self.failed = 0
        if self._audio is None or self._audio.codec_context is None:
            return
        origin_s, sound, rate = self._origin_s(), None, HIGHEST_RATE
        for packet in self._packets(self._audio):
            try:
                frames = decoded(packet)
            except FFmpegError:
                self.failed += 1
                continue
            for frame in frames:
                if sound is None:
                    rate = asked if isinstance(asked, int) else min(HIGHEST_RATE, frame.sample_rate)
                    sound = SoundFilter("s16", "mono", rate, SAMPLES)
                time_s = None if frame.pts is None else float(frame.pts * frame.time_base) - origin_s
                for part in sound.push(frame, time_s):
                    yield _samples(part, rate)
        if sound is not None:
            for part in sound.end():
                yield _samples(part, rate)


def _samples(frame: Any, rate: int) -> tuple[Message, list[bytes]]:
    data = bytes(frame.planes[0])[: 2 * frame.samples]
    return {"rate": rate, "bytes": len(data)}, [data]
