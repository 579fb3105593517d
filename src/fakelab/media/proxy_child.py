"""A file's pictures and sound to an MP4 for browsers, piece by piece. Runs inside the child process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from av.error import FFmpegError
from av.video.frame import VideoFrame

from fakelab.media.density import Density
from fakelab.media.encode import Encoder, Sink
from fakelab.media.sound import decoded
from fakelab.media.video import VideoReader, prepare
from fakelab.media.wire import Job, Message, RefusedError

prepare("")  # PyAV may be asked here by a file that it does not read

Part = tuple[Message, list[bytes]]
PROBED_PACKETS = 200
"""Packets in which one frame of sound must be found; else the file counts as silent."""
WIDEST_PIXEL = 8
"""A file that states pixels still wider or narrower is not believed."""


def reader(kind: type[Any]) -> Callable[[Job], Any]:
    """What opens a file that a reader of this kind reads. Raises RefusedError for a photo."""
    if issubclass(kind, VideoReader):
        return VideoProxy
    if kind.__name__ == "PhotoReader":
        raise RefusedError("unsupported", "it is a photo: there is nothing to play", "Give a video or a recording.")
    return lambda job: AnimationProxy(kind(job), job.threads)


class VideoProxy(VideoReader):
    """A video or a recording."""

    with_sound = True

    def parts(self, wanted: Message) -> Iterator[Part]:
        """The pieces of the MP4: where each belongs, how long it is, and how far in the file the work is."""
        sink = Sink()
        encoder = Encoder(sink, self._job.threads)
        sound = self._first_sound()
        if sound is not None:
            encoder.add_sound(sound.sample_rate, sound.layout.nb_channels)
        if self._stream is not None:
            encoder.add_pictures(self._first_frame(), self._turn, wanted["longest_px"], self._aspect(), self._rate())
        elif sound is None:
            raise RefusedError("damaged", "no sound of it could be decoded", "Try to get the file again.")
        begun_s = 0.0
        for time_s in self._encode(encoder, with_sound=sound is not None):
            if sink.full() or time_s >= begun_s + 1:
                begun_s = max(begun_s, time_s)
                yield from _pieces(sink, begun_s)
        encoder.close()
        yield from _pieces(sink, begun_s)

    def _encode(self, encoder: Encoder, with_sound: bool) -> Iterator[float]:
        """Everything in the order of the file; gives the time of each packet's last frame."""
        self._reopen()
        self.failed = 0
        audio = self._audio if with_sound else None
        origin_s = self._origin_s()
        for packet in self._packets(*(s for s in (self._stream, audio) if s is not None)):
            try:
                frames = decoded(packet)
            except FFmpegError:
                self.failed += 1
                continue
            time_s = 0.0
            for frame in frames:
                if packet.stream is audio:
                    stamp = None if frame.pts is None else float(frame.pts * frame.time_base) - origin_s
                    encoder.sound(frame, stamp)
                    time_s = stamp or 0.0
                elif frame.is_corrupt:
                    self.failed += 1
                else:
                    time_s = self._add_picture(encoder, frame, origin_s)
            yield time_s

    def _add_picture(self, encoder: Encoder, frame: Any, origin_s: float) -> float:
        self._position = self._ticks(frame)
        tick_s = float(self._time_base)
        time_s = self._position * tick_s - origin_s
        encoder.picture(frame, time_s, self._step * tick_s)
        return time_s

    def _first_sound(self) -> Any:
        """The first frame of sound, or None where there is none or it can't be decoded."""
        self._reopen()
        if self._audio is None or self._audio.codec_context is None:
            return None
        for count, packet in enumerate(self._packets(self._audio)):
            try:
                frames = decoded(packet)
            except FFmpegError:
                frames = []
            if frames:
                return frames[0]
            if count == PROBED_PACKETS:
                break
        return None

    def _aspect(self) -> Fraction:
        stated = self._stream.sample_aspect_ratio
        return stated if stated and Fraction(1, WIDEST_PIXEL) <= stated <= WIDEST_PIXEL else Fraction(1)

    def _rate(self) -> float:
        return 1 / max(1e-3, self._step * float(self._time_base))


class AnimationProxy:
    """A moving picture without sound."""

    def __init__(self, inner: Any, threads: int) -> None:
        self._inner, self._threads = inner, threads
        self._facts: Message = {}

    @property
    def failed(self) -> int:
        return int(self._inner.failed)

    @property
    def warnings(self) -> list[str]:
        return list(self._inner.warnings)

    def facts(self) -> Message:
        self._facts = self._inner.facts()
        return self._facts

    def parts(self, wanted: Message) -> Iterator[Part]:
        """The pieces of the MP4, as those of a video."""
        sink = Sink()
        encoder = Encoder(sink, self._threads)
        every = Density(bursts=1, frames_per_burst=self._facts["frames_count"])
        pictures = self._inner.frames(every)
        held: Any = None
        for picture in pictures:
            frame = _frame(picture)
            if held is None:
                encoder.add_pictures(frame, picture.turn, wanted["longest_px"], Fraction(1), self._facts["fps"])
            else:
                encoder.picture(held[0], held[1], picture.time_s - held[1])
            held = frame, picture.time_s
            if sink.full():
                yield from _pieces(sink, picture.time_s)
        if held is None:
            raise RefusedError("damaged", "no frame of it could be decoded")
        encoder.picture(held[0], held[1], self._facts["duration_s"] - held[1])
        encoder.close()
        yield from _pieces(sink, held[1])


def _frame(picture: Any) -> VideoFrame:
    """A picture of Pillow's as a frame of FFmpeg's, whose rows may be padded."""
    frame = VideoFrame(picture.width_px, picture.height_px, "rgb24")
    plane, row_bytes = frame.planes[0], picture.width_px * 3
    rows = b"".join(bytes(part) for part in picture.rows)
    padding = bytes(plane.line_size - row_bytes)
    if padding:
        rows = b"".join(rows[at : at + row_bytes] + padding for at in range(0, len(rows), row_bytes))
    plane.update(rows)
    return frame


def _pieces(sink: Sink, time_s: float) -> Iterator[Part]:
    for at, data in sink.take():
        yield {"at": at, "bytes": len(data), "time_s": max(0.0, time_s)}, [data]
