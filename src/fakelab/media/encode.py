"""Frames and sound to an MP4 that every browser plays and seeks exactly. Runs inside the child process.

The child may write no file, so the encoded bytes go to a `Sink`, which tells where in the file each piece belongs.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.codec.context import Flags
from av.filter import Graph
from av.video.frame import PictureType

from fakelab.media.sound import SoundFilter
from fakelab.media.wire import Turn, fitted

TICKS = 90_000
"""Time stamps of pictures are whole numbers of this part of a second: exact for every usual rate."""
KEY_EVERY_S = 1.0
CRF = 26
BITS_PER_S = 8_000_000
"""The most that pictures take: noise is not worth more."""
AAC_RATES = (16000, 22050, 24000, 32000, 44100, 48000)
AAC_SAMPLES = 1024
AAC_BITS_PER_S = 128_000
PIECE_BYTES = 1 << 18
SD_HEIGHT_PX = 720
"""Below this a picture that does not name its colour matrix is taken for BT.601, from here on for BT.709."""


class Sink:
    """A file that is written only: collects (place, bytes) until they are taken."""

    def __init__(self) -> None:
        self._place = self._end = self._held = 0
        self._pieces: list[tuple[int, bytes]] = []

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append((self._place, piece))
        self._place += len(piece)
        self._held += len(piece)
        self._end = max(self._end, self._place)
        return len(piece)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self._end)[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def full(self) -> bool:
        """Whether so much is held that it should be taken."""
        return self._held >= PIECE_BYTES

    def take(self) -> list[tuple[int, bytes]]:
        """What was written since this was last asked."""
        pieces, self._pieces, self._held = self._pieces, [], 0
        return pieces


class Encoder:
    """One MP4 in the making. Pictures and sound may come in any order, each of them in the order of time."""

    def __init__(self, sink: Sink, threads: int) -> None:
        self._out = av.open(sink, "w", format="mp4", options={"video_track_timescale": str(TICKS)})
        self._threads = threads
        self._video: Any = None
        self._audio: Any = None
        self._sound: SoundFilter | None = None
        self._graph: Any = None
        self._kind: tuple[Any, ...] = ()
        self._last = self._last_key = -TICKS * 1_000_000
        self._turn = Turn()

    def add_pictures(self, first: Any, turn: Turn, longest_px: int, aspect: Fraction, rate: float) -> None:
        """Makes room for pictures like `first`, to be turned; `aspect` is the width of one pixel by its height."""
        self._turn = turn
        width, height = max(1, round(first.width * aspect)), first.height
        width, height = (height, width) if turn.transpose else (width, height)
        stream: Any = self._out.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001) or 25)
        stream.width, stream.height = (max(2, side // 2 * 2) for side in fitted(width, height, longest_px))
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count = self._threads
        context.time_base = stream.time_base = Fraction(1, TICKS)
        context.flags |= Flags.frame_duration  # else the last picture is shown for the usual time
        context.color_range = 1
        context.colorspace = _matrix(first)
        context.options = {
            "preset": "veryfast",
            "crf": str(CRF),
            "bf": "0",  # no reordering: the time stamps need no edit list
            "forced-idr": "1",
            "maxrate": str(BITS_PER_S),
            "bufsize": str(2 * BITS_PER_S),
        }
        self._video = stream

    def add_sound(self, rate: int, channels: int) -> None:
        """Makes room for sound; whatever comes is brought to this rate, if AAC has it, and to one or two channels."""
        rate, layout = (rate if rate in AAC_RATES else 48000), "mono" if channels == 1 else "stereo"
        self._audio = self._out.add_stream("aac", rate=rate, layout=layout)
        self._audio.codec_context.bit_rate = AAC_BITS_PER_S
        self._sound = SoundFilter("fltp", layout, rate, AAC_SAMPLES)

    def picture(self, frame: Any, time_s: float, lasts_s: float) -> None:
        """Adds one picture; one that is not later than the last is left out."""
        at = max(0, round(time_s * TICKS))
        if at <= self._last:
            return
        ready = self._upright(frame)
        ready.pts, ready.time_base = at, Fraction(1, TICKS)
        ready.duration = max(1, round(lasts_s * TICKS))
        key = at - self._last_key >= KEY_EVERY_S * TICKS
        ready.pict_type = PictureType.I if key else PictureType.NONE
        self._last, self._last_key = at, at if key else self._last_key
        self._out.mux(self._video.encode(ready))

    def sound(self, frame: Any, time_s: float | None) -> None:
        """Adds one frame of sound."""
        if self._sound is not None:
            self._encode_sound(self._sound.push(frame, time_s))

    def close(self) -> None:
        """Writes what is still inside, and the index."""
        if self._sound is not None:
            self._encode_sound(self._sound.end())
            self._out.mux(self._audio.encode(None))
        if self._video is not None:
            self._out.mux(self._video.encode(None))
        self._out.close()

    def _encode_sound(self, frames: Iterator[Any]) -> None:
        for frame in frames:
            self._out.mux(self._audio.encode(frame))

    def _upright(self, frame: Any) -> Any:
        if not frame.format.is_rgb:
            frame.colorspace = _matrix(frame)
        kind = (frame.width, frame.height, frame.format.name, int(frame.colorspace), int(frame.color_range))
        if kind != self._kind:
            self._graph, self._kind = self._filters(frame), kind
        frame.time_base, frame.pts = Fraction(1, TICKS), 0
        self._graph.push(frame)
        return self._graph.pull()

    def _filters(self, frame: Any) -> Any:
        graph, turn = Graph(), self._turn
        graph.threads = 1
        size = (self._video.width, self._video.height)
        width, height = size[::-1] if turn.transpose else size
        nodes = [
            graph.add(
                "buffer",
                video_size=f"{frame.width}x{frame.height}",
                pix_fmt=frame.format.name,
                time_base=f"1/{TICKS}",
                pixel_aspect="1/1",
                colorspace=str(int(frame.colorspace)),
                range=str(int(frame.color_range)),
            ),
            graph.add(
                "scale",
                f"{width}:{height}:flags=bilinear:out_range=tv"
                f":out_color_matrix={_NAMES[int(self._video.codec_context.colorspace)]}",
            ),
            graph.add("format", "yuv420p"),
        ]
        if turn.transpose:
            nodes.append(graph.add("transpose", "cclock_flip"))  # swaps the axes, and no more
        nodes += [graph.add(name) for name, wanted in (("hflip", turn.flip_x), ("vflip", turn.flip_y)) if wanted]
        graph.link_nodes(*nodes, graph.add("buffersink")).configure()
        return graph


_NAMES = {1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}
"""FFmpeg's numbers of colour matrices that can be kept, and their names."""


def _matrix(frame: Any) -> int:
    """The colour matrix of a frame as players take it."""
    stated = int(frame.colorspace)
    if stated in _NAMES:
        return stated
    return 1 if frame.format.is_rgb or frame.height >= SD_HEIGHT_PX else 6
