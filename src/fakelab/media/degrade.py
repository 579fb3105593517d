"""Pictures as they come back from real codecs and rescaling: what training, robustness and stability share.

Functions take and give (H, W, 3) uint8 RGB of unchanged size, or a file's bytes. A codec that this PyAV build lacks
raises ValueError.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fakelab.records import Image, Kind

VIDEO_CODECS = {"h264": "libx264", "h265": "libx265", "mpeg4": "mpeg4", "vp9": "libvpx-vp9"}
PHOTO_FORMATS = {"jpeg": ".jpg", "webp": ".webp"}


def encode_photo(image: Image, fmt: str, quality: int) -> bytes:
    """The picture as a JPEG or WebP file of `quality` 1..100."""
    import cv2

    key = cv2.IMWRITE_JPEG_QUALITY if fmt == "jpeg" else cv2.IMWRITE_WEBP_QUALITY
    ok, data = cv2.imencode(PHOTO_FORMATS[fmt], image[:, :, ::-1], [key, int(quality)])
    if not ok:
        raise ValueError(f"cannot encode {fmt}")
    return bytes(data)


def photo_codec(image: Image, fmt: str, quality: int) -> Image:
    """The picture after JPEG or WebP at `quality` 1..100."""
    import cv2

    data = np.frombuffer(encode_photo(image, fmt, quality), np.uint8)
    decoded: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(decoded[:, :, ::-1])


def video_codec(frames: Sequence[Image], codec: str = "h264", crf: int = 23, preset: str = "veryfast") -> list[Image]:
    """The frames, in order, after a real video encoder: same count and size. Odd sides are padded and cut back.

    `crf` is the constant rate factor of H.264 and H.265 (0 best, 51 worst); for mpeg4 it is scaled to a quantiser.
    """
    import av

    height, width = frames[0].shape[:2]
    even = [np.pad(f, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") for f in frames]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        stream: Any = out.add_stream(VIDEO_CODECS[codec], rate=25)
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, 25)
        stream.options = _options(codec, crf, preset, len(even))
        for image in even:
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    buffer.seek(0)
    with av.open(buffer, "r") as back:
        back.streams.video[0].codec_context.thread_count = 1
        decoded = [frame.to_ndarray(format="rgb24") for frame in back.decode(video=0)]
    return [np.ascontiguousarray(image[:height, :width]) for image in decoded]


def _options(codec: str, crf: int, preset: str, count: int) -> dict[str, str]:
    if codec == "h264":
        return {"crf": str(crf), "preset": preset}
    if codec == "h265":
        # x265 4.2's cuTree writes past its arrays for small pictures, and it leaves the decoding times of a clip that
        # ends before its B-frames are sorted (one or two frames) uninitialised.
        few = ":bframes=0" if count < 3 else ""
        params = f"log-level=none:pools=none:frame-threads=1:no-cutree=1{few}"
        return {"crf": str(crf), "preset": "ultrafast", "x265-params": params}
    if codec == "vp9":
        return {"crf": str(crf), "b": "0", "deadline": "realtime", "cpu-used": "8"}
    return {"qmin": str(max(2, crf // 2 - 4)), "qmax": str(max(3, crf // 2 - 2))}


def rescale(image: Image, factor: float, *, interpolation: str = "area") -> Image:
    """The picture shrunk by `factor` (0..1) and enlarged back to its size, so that fine detail is gone."""
    import cv2

    kinds = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST, "cubic": cv2.INTER_CUBIC}
    height, width = image.shape[:2]
    size = (max(4, round(width * factor)), max(4, round(height * factor)))
    small = cv2.resize(image, size, interpolation=kinds[interpolation])
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


JPEG_FOR_CRF: tuple[list[float], list[float]] = ([18, 23, 28, 32, 40, 51], [95, 90, 75, 60, 30, 10])
"""Where a photo stands for a video: H.264's factors, JPEG qualities about as bad; between them, straight."""


def degraded_copy(source: Path, folder: Path, *, crf: int, scale: float = 1.0, cut: float = 0.0) -> Path:
    """Writes the file anew into `folder`: `cut` of width and height cut off, shrunk to `scale`, compressed; its path.

    A video becomes H.264 in MP4 at `crf`, times and rotation kept and sound left out; a photo becomes a JPEG of about
    the same loss. The file is decoded in this very process: only for files that are trusted. Raises ValueError where
    it cannot be decoded or written, UnsupportedMediaError for what is no media.
    """
    import av

    from fakelab.media.sniff import identify

    with source.open("rb") as file:
        kind = identify(lambda at, count: _read_at(file, at, count), str(source)).kind
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / ("copy.jpg" if kind is Kind.PHOTO else "copy.mp4")
    try:
        (_photo_copy if kind is Kind.PHOTO else _video_copy)(source, target, crf, scale, cut)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise ValueError(f"{source.name} cannot be copied: {error}") from error
    return target


def _read_at(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def _photo_copy(source: Path, target: Path, crf: int, scale: float, cut: float) -> None:
    import cv2

    picture: Any = cv2.imdecode(np.fromfile(source, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{source.name} cannot be decoded")
    height, width = picture.shape[:2]
    top, left = round(height * cut / 2), round(width * cut / 2)
    picture = picture[top : height - top, left : width - left]
    size = (max(2, round(picture.shape[1] * scale)), max(2, round(picture.shape[0] * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale != 1.0 else picture
    quality = round(float(np.interp(crf, *JPEG_FOR_CRF)))
    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(small), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ValueError(f"{source.name} cannot be encoded")
    target.write_bytes(data.tobytes())


def _video_copy(source: Path, target: Path, crf: int, scale: float, cut: float) -> None:
    import av

    with av.open(str(source)) as given, av.open(str(target), "w", format="mp4") as out:
        stream: Any = None
        last, step = -1, Fraction(1, 25)
        for frame in given.decode(video=0):
            if stream is None:
                rate = given.streams.video[0].average_rate or Fraction(25)
                step = 1 / rate
                left, top = _even(frame.width * cut / 2), _even(frame.height * cut / 2)
                width, height = frame.width - 2 * left, frame.height - 2 * top
                stream = out.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": "veryfast"})
                stream.width, stream.height = max(16, _even(width * scale)), max(16, _even(height * scale))
                stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
                stream.codec_context.time_base = stream.time_base = Fraction(1, TICKS)
                if frame.rotation:
                    stream.set_display_rotation(frame.rotation)
                path = _filters(frame, f"crop={width}:{height}:{left}:{top},scale={stream.width}:{stream.height}")
            path.vpush(frame)
            copy = path.vpull()
            time_s = frame.time if frame.time is not None else (last + 1) / TICKS + float(step)
            copy.pts, copy.time_base = max(last + 1, round(time_s * TICKS)), Fraction(1, TICKS)
            last = copy.pts
            for packet in stream.encode(copy):
                out.mux(packet)
        if stream is None:
            raise ValueError(f"{source.name} has no picture")
        for packet in stream.encode():
            out.mux(packet)


TICKS = 90_000
"""Ticks a second of a copy's times."""


def _even(size: float) -> int:
    return int(size) // 2 * 2


def _filters(frame: Any, words: str) -> Any:
    """A filter graph for frames like this one, made yuv420p without a change of colours."""
    from av.filter import Graph

    graph = Graph()
    last: Any = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    for each in [*words.split(","), "format=yuv420p", "buffersink"]:
        name, _, arguments = each.partition("=")
        link: Any = graph.add(name, arguments)
        last.link_to(link)
        last = link
    graph.configure()
    return graph
