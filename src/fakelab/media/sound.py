"""Decoded sound as one stream without gaps that begins at 0 s of its file. Runs inside the child process."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from av.audio.frame import AudioFrame
from av.error import FFmpegError
from av.filter import Graph

WIDEST_GAP_S = 0.5
"""Gaps up to this are filled by the filter at once; wider ones second by second, so that memory does not grow."""

MOST_GAP_S = 3600.0
"""A frame that claims to lie still further on is put where the last one ended: its time is damaged."""


class SoundFilter:
    """Turns frames of any kind into frames of one format, layout, rate and size, with silence where there are none."""

    def __init__(self, form: str, layout: str, rate: int, samples: int) -> None:
        self._form, self._layout, self._rate, self._samples = form, layout, rate, samples
        self._graph: Any = None
        self._kind: tuple[str, str, int] | None = None
        self._next_s = 0.0  # where the sound that went in ends
        self._done = 0  # samples that came out

    def push(self, frame: Any, time_s: float | None) -> Iterator[Any]:
        """The frames that are complete once this one, at `time_s` of the file or where the last one ended, is in."""
        if time_s is None or time_s - self._next_s > MOST_GAP_S:
            time_s = self._next_s
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            yield from self.end()
            self._begin(kind)
        while time_s - self._next_s > WIDEST_GAP_S:
            yield from self._put(_silence(kind, min(1.0, time_s - self._next_s)), self._next_s)
        yield from self._put(frame, time_s)

    def end(self) -> Iterator[Any]:
        """The frames that were still inside; the last one may be shorter."""
        if self._graph is not None:
            self._graph.push(None)
            yield from self._ready()
            self._graph = self._kind = None

    def _put(self, frame: Any, time_s: float) -> Iterator[Any]:
        frame.pts, frame.time_base = round(time_s * frame.sample_rate), Fraction(1, frame.sample_rate)
        self._next_s = max(self._next_s, time_s + frame.samples / frame.sample_rate)
        self._graph.push(frame)
        yield from self._ready()

    def _ready(self) -> Iterator[Any]:
        while True:
            try:
                frame = self._graph.pull()
            except (BlockingIOError, EOFError):
                return
            frame.pts, frame.time_base = self._done, Fraction(1, self._rate)
            self._done += frame.samples
            yield frame

    def _begin(self, kind: tuple[str, str, int]) -> None:
        form, layout, rate = kind
        graph = Graph()
        graph.threads = 1
        graph.link_nodes(
            graph.add("abuffer", sample_fmt=form, channel_layout=layout, sample_rate=str(rate), time_base=f"1/{rate}"),
            graph.add("aresample", f"{self._rate}:async=1:first_pts={self._done}"),
            graph.add("aformat", f"sample_fmts={self._form}:channel_layouts={self._layout}:sample_rates={self._rate}"),
            graph.add("abuffersink"),
        ).configure()
        graph.set_audio_frame_size(self._samples)
        self._graph, self._kind = graph, kind


def _silence(kind: tuple[str, str, int], seconds: float) -> Any:
    form, layout, rate = kind
    frame = AudioFrame(form, layout, max(1, round(seconds * rate)))
    frame.sample_rate = rate
    for plane in frame.planes:
        plane.update((b"\x80" if form.startswith("u8") else b"\0") * plane.buffer_size)
    return frame


def decoded(packet: Any) -> list[Any]:
    """The frames of a packet; an error of the decoder is raised as FFmpegError, or as MemoryError."""
    try:
        return list(packet.decode())
    except EOFError:
        return []
    except FFmpegError as error:
        if isinstance(error, MemoryError):
            raise MemoryError from error
        raise
