"""Bursts of neighbouring frames from a video, upright, by seeking to keyframes. Runs inside the child process.

A 10-minute clip costs about what a 10 s one does: the reader jumps to each burst, decodes forward to it, and never
holds more than the frame it is about to hand on.
"""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Iterator
from typing import Any

import av
from av.error import FFmpegError
from av.stream import Discard, Disposition
from av.video.reformatter import VideoReformatter

from fakelab.media.density import Density, Segment, plan
from fakelab.media.ffmpeg import as_refusal, raise_if_memory, refuse_to_open, turn_of
from fakelab.media.wire import Job, Message, Picture, RefusedError, Turn, fitted

HEAD_PACKETS = 600
"""Packets read to tell frame rate and regularity; a shorter clip is known to the last packet."""
CUT_FRAMES = 16
"""Frames at the end of what is read whose order is not complete: the most that H.264 and HEVC may reorder."""
BAD_PACKETS = 1000
"""Packets in a row that give no picture before the file is called damaged."""
BAD_READS = 64
"""Read errors in a row before the rest of a file is given up."""
WORTH_A_SEEK_S = 1.0
"""Decoding this far forward costs no more than a seek and its keyframe."""
SLACK_S = 0.001
"""A moment this far before a frame still means that frame: written times are rounded."""


def prepare(container: str) -> None:
    """Imports what PyAV would import later: once the child is confined it can open no module."""
    for name in ("av.audio.codeccontext", "av.subtitles.codeccontext", "av.subtitles.stream", "av.video.stream"):
        importlib.import_module(name)


class VideoReader:
    """The main picture stream of one file. Cover pictures are no video; a file with sound alone has kind audio."""

    with_sound = False
    """Whether the first sound track is read as well."""

    def __init__(self, job: Job) -> None:
        self.failed = 0
        self.warnings: list[str] = []
        self.longest_px: int | None = None
        self._job = job
        self._first = self._last = 0.0  # ticks of the stream's time base
        self._step = 1.0
        self._count: int | None = None
        self._seekable = True
        self._without_pts = False
        self._turn = Turn()
        self._converter = VideoReformatter()
        self._position = -math.inf  # of the last frame that was decoded
        self._reach = 0.0  # distance from which on seeking pays
        self._open()

    def facts(self) -> Message:
        """Size, duration, rates, codecs, rotation. Reads the head and the tail, and decodes one frame."""
        audio = next(iter(self._container.streams.audio), None)
        sound = audio.codec_context.codec.canonical_name if audio else None
        if self._stream is None:
            if audio is None:
                raise RefusedError("damaged", "it holds neither pictures nor sound")
            return {"kind": "audio", "audio_codec": sound, "duration_s": self._container_duration_s()}
        regular = self._survey()
        frame = self._first_frame()
        # Asked of one frame alone: reading `side_data` keeps a frame in memory for ever (PyAV 18.1).
        self._turn = turn = turn_of(frame)
        size = (frame.height, frame.width) if turn.transpose else (frame.width, frame.height)
        tick_s = float(self._time_base)
        span_s = (self._last - self._first) * tick_s
        duration_s = span_s + self._step * tick_s
        declared_s = self._stream.duration * tick_s if self._stream.duration else None
        if declared_s and declared_s - duration_s > max(1.0, 0.05 * declared_s):
            self.warnings.append(f"the file declares {declared_s:.1f} s of video, {duration_s:.1f} s could be read")
        return {
            "kind": "video",
            "width_px": size[0],
            "height_px": size[1],
            "duration_s": duration_s,
            "fps": self._fps(span_s),
            "variable_frame_rate": not regular,
            "rotation_deg": turn.clockwise_deg,
            "video_codec": self._stream.codec_context.codec.canonical_name,
            "audio_codec": sound,
            "pixel_format": frame.format.name,
            "video_bitrate_bps": self._stream.bit_rate or None,
            "frames_count": self._count or self._stream.frames or None,
        }

    def _fps(self, span_s: float) -> float | None:
        """Average frame rate: as stated, unless counting says something else."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        stated = float(rate) if rate else None
        counted = (self._count - 1) / span_s if self._count and self._count > 1 and span_s > 0 else None
        if stated is None or counted is None:
            return stated or counted
        return stated if abs(stated / counted - 1) < 0.1 else counted

    def frames(self, density: Density) -> Iterator[Picture]:
        """Bursts spread over the whole clip, each frame at most once, in time order."""
        if self._stream is None:
            return
        self.failed = 0
        self._position = -math.inf
        self._reach = WORTH_A_SEEK_S / float(self._time_base)
        source = self._from_start()
        for burst, segment in enumerate(self._segments(density)):
            before, jumped = self._position, False
            if self._seekable and segment.target - max(before, self._first) > self._reach:
                jumped = self._seek(segment.target)
                source = self._decoded() if jumped else self._from_start()
            yield from self._burst(source, segment, burst, density.frames_per_burst, jumped)
            if jumped and self._position == before and before < segment.target:
                # The index led nowhere: from here on one pass without seeking.
                self._seekable = False
                source = self._from_start()
                yield from self._burst(source, segment, burst, density.frames_per_burst, False)

    def at(self, times_s: list[float]) -> Iterator[Picture]:
        """The frame on show at each time, in time order; `burst` is the time's place in the list.

        That is the last frame at or before the time; the first one for earlier times.
        """
        if self._stream is None:
            return
        tick_s = float(self._time_base)
        slack = min(SLACK_S / tick_s, self._step / 4)
        source, shown = self._timed(self._from_start()), None
        ahead = next(source, None)
        for time_s, index in sorted((time_s, index) for index, time_s in enumerate(times_s)):
            place = min((time_s + self._origin_s()) / tick_s, self._last) + slack
            passed = shown or ahead
            if passed and self._seekable and place - passed[0] > WORTH_A_SEEK_S / tick_s and self._seek(place):
                source, shown = self._timed(self._decoded()), None
                ahead = next(source, None)
                if ahead is None or ahead[0] > place:
                    # The index led nowhere: from here on one pass without seeking.
                    self._seekable = False
                    source = self._timed(self._from_start())
                    ahead = next(source, None)
            while ahead is not None and ahead[0] <= place:
                shown, ahead = ahead, next(source, None)
            if found := shown or ahead:
                yield self._picture(found[1], found[0], index)

    def _timed(self, source: Iterator[Any]) -> Iterator[tuple[float, Any]]:
        """Each whole frame of `source` with its place."""
        for frame in source:
            if frame.is_corrupt:
                self.failed += 1
                continue
            self._position = self._ticks(frame)
            yield self._position, frame

    def _burst(
        self, source: Iterator[Any], segment: Segment, burst: int, wanted: int, jumped: bool
    ) -> Iterator[Picture]:
        """Up to `wanted` neighbouring frames from the segment's target on, none that was passed before."""
        start, taken = segment.target, 0
        for frame in source:
            now = self._ticks(frame)
            if jumped:
                jumped = False
                if now <= self._position:
                    # The keyframe lies behind us: in this file seeking over such a distance does not pay.
                    self._reach = max(self._reach, 2 * (self._position - now))
                elif segment.low <= now < start - WORTH_A_SEEK_S / float(self._time_base):
                    start = now  # a keyframe in the burst's own share of the clip, with nothing to decode before it
            if now <= self._position:
                continue
            self._position = now
            if now < start:
                continue
            if frame.is_corrupt:
                self.failed += 1
                continue
            yield self._picture(frame, now, burst)
            taken += 1
            if taken == wanted:
                return

    def _segments(self, density: Density) -> list[Segment]:
        span = self._last - self._first
        bursts = density.bursts_for((span + self._step) * float(self._time_base))
        count = self._count or int(span / self._step) + 1
        if count <= bursts * density.frames_per_burst:
            every = Segment(-math.inf, -math.inf)
            return [every] * math.ceil(count / density.frames_per_burst)
        return plan(bursts, density.frames_per_burst, self._first, self._last, self._step)

    def _picture(self, frame: Any, now: float, burst: int) -> Picture:
        self._check_size(frame.width, frame.height)
        width, height = fitted(frame.width, frame.height, self.longest_px)
        rgb = self._converter.reformat(frame, width, height, format="rgb24", threads=1)
        plane, row_bytes = rgb.planes[0], rgb.width * 3
        view = memoryview(plane).cast("B")
        stride = plane.line_size
        rows = (
            [view[: row_bytes * rgb.height]]
            if stride == row_bytes
            else [view[y * stride : y * stride + row_bytes] for y in range(rgb.height)]
        )
        time_s = max(0.0, float(now * self._time_base) - self._origin_s())
        return Picture(rgb.width, rgb.height, rows, time_s, burst, self._turn)

    def _origin_s(self) -> float:
        """Where a player's clock says 0: the start of the file's earliest stream."""
        start = self._container.start_time
        if self._stream is None:
            return float((start or 0) / av.time_base)
        first_s = float(self._first * self._time_base)
        return first_s if start is None else min(first_s, start / av.time_base)

    def _open(self) -> None:
        job = self._job
        job.file.seek(0)
        options = {"protocol_whitelist": "none", "max_pixels": str(job.pixels)}
        if job.demuxer == "mov":
            options |= {"enable_drefs": "0", "use_absolute_path": "0"}
        try:
            self._container = av.open(
                job.file,
                mode="r",
                format=job.demuxer,
                options=options,
                metadata_errors="ignore",
                buffer_size=1 << 16,
                io_open=refuse_to_open,
            )
        except FFmpegError as error:
            raise_if_memory(error)
            raise as_refusal(error, job.container) from error
        self._stream = self._main_stream()
        self._audio = next(iter(self._container.streams.audio), None) if self.with_sound else None
        for stream in self._container.streams:
            if stream is not self._stream and stream is not self._audio:
                stream.discard = Discard.all
        if self._stream is None:
            return
        if self._stream.time_base is None:
            raise RefusedError("damaged", "its picture stream has no time base")
        self._time_base = self._stream.time_base
        context = self._stream.codec_context
        self._check_size(context.width, context.height)
        context.thread_count = self._job.threads
        context.thread_type = "AUTO"
        context.options = {"max_pixels": str(job.pixels)}

    def _main_stream(self) -> Any:
        """The largest of the picture streams that are no cover and no preview; the default one among equals."""
        previews = Disposition.attached_pic | Disposition.timed_thumbnails
        streams = [s for s in self._container.streams.video if not s.disposition & previews and s.codec_context]
        if len(streams) > 1:
            self.warnings.append(f"the file holds {len(streams)} picture streams, the largest one was read")
        return max(
            streams,
            key=lambda s: (s.width * s.height, bool(s.disposition & Disposition.default)),
            default=None,
        )

    def _container_duration_s(self) -> float | None:
        duration = self._container.duration
        return duration / av.time_base if duration and duration > 0 else None

    def _check_size(self, width_px: int, height_px: int) -> None:
        if width_px * height_px > self._job.pixels:
            raise RefusedError(
                "limit",
                f"its pictures have {width_px} x {height_px} pixels, the limit is {self._job.pixels / 1e6:g} million",
            )

    def _survey(self) -> bool:
        """Learns where the first and the last frame lie, by reading packets without decoding. True if regular."""
        head = self._positions(HEAD_PACKETS)
        if not head:
            raise RefusedError("damaged", "it holds no picture data", "The download or copy may be incomplete.")
        head.sort()
        gaps = [b - a for a, b in itertools.pairwise(head) if b > a]
        # A clip cut without re-encoding ends with holes where late B-frames are missing: no variable frame rate.
        gaps = sorted(gaps[:-CUT_FRAMES] if len(gaps) > 2 * CUT_FRAMES else gaps)
        self._step = gaps[len(gaps) // 2] if gaps else self._usual_step()
        self._first, self._last = head[0], head[-1]
        if len(head) < HEAD_PACKETS:
            self._count = len(head)
        else:
            self._find_last()
        # 1.5 ticks of slack: Matroska rounds to milliseconds.
        return not gaps or (gaps[-1] <= 1.5 * self._step + 1.5 and gaps[0] >= 0.5 * self._step - 1.5)

    def _find_last(self) -> None:
        """The last frame's place: from the tail where the header's duration leads there, else by reading it all."""
        declared_s = self._container_duration_s()
        if declared_s and self._seek(self._first + declared_s / float(self._time_base)):
            tail = self._walk()
            if tail is not None and tail[2] > self._last:
                self._last = tail[2]
                if tail[1] <= self._first:
                    self._count = tail[0]
                return
        self._rewind()
        whole = self._walk()
        if whole is not None:
            self._count, self._first, self._last = whole

    def _walk(self) -> tuple[int, float, float] | None:
        """Number, first and last place of the packets from here to the end; None if there is none."""
        count, first, last = 0, math.inf, -math.inf
        for packet in self._packets():
            place = packet.dts if self._without_pts else packet.pts
            if packet.size and place is not None:
                count, first, last = count + 1, min(first, place), max(last, place)
        return (count, first, last) if count else None

    def _positions(self, most: int) -> list[float]:
        """The places of the first `most` packets. Files that carry decoding times alone (AVI) are noticed here."""
        packets = [(p.pts, p.dts) for p in itertools.islice(self._packets(), most) if p.size]
        self._without_pts = sum(pts is None for pts, _ in packets) > len(packets) // 2
        return [place for p in packets if (place := p[1] if self._without_pts else p[0]) is not None]

    def _usual_step(self) -> float:
        rate = self._stream.average_rate or self._stream.guessed_rate or 25
        return max(1.0, float(1 / (rate * self._time_base)))

    def _ticks(self, frame: Any) -> float:
        place = frame.dts if self._without_pts else frame.pts
        if place is not None:
            return float(place)
        return self._first if self._position == -math.inf else self._position + self._step

    def _first_frame(self) -> Any:
        for frame in self._from_start():
            return frame
        raise RefusedError("damaged", "no frame of it could be decoded", "Try to get the file again, from its source.")

    def _from_start(self) -> Iterator[Any]:
        self._rewind()
        return self._decoded()

    def _rewind(self) -> None:
        if not (self._seekable and self._seek(self._first)):
            self._reopen()

    def _reopen(self) -> None:
        self._container.close()
        self._open()

    def _seek(self, place: float) -> bool:
        """Goes to the last keyframe at or before `place`; False, and never tried again, where the file can't."""
        try:
            self._container.seek(int(place), stream=self._stream, backward=True)
        except FFmpegError as error:
            raise_if_memory(error)
            self._seekable = False
        return self._seekable

    def _packets(self, *streams: Any) -> Iterator[Any]:
        """Packets of the picture stream, or of these, from here on; damaged stretches are skipped and counted."""
        bad = 0
        while bad < BAD_READS:
            try:
                for packet in self._container.demux(*(streams or (self._stream,))):
                    bad = 0
                    yield packet
                return
            except FFmpegError as error:
                raise_if_memory(error)
                bad += 1
                self.failed += 1

    def _decoded(self) -> Iterator[Any]:
        """Decoded frames from here on. Ends after BAD_PACKETS in a row that give none."""
        silent = 0
        for packet in self._packets():
            try:
                frames = packet.decode()
            except EOFError:
                return
            except FFmpegError as error:
                raise_if_memory(error)
                self.failed += 1
                frames = []
            silent = 0 if frames else silent + 1
            yield from frames
            if silent > BAD_PACKETS:
                return
