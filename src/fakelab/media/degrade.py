"""Pictures as they come back from real codecs and rescaling: what training, robustness and stability share.

All functions take and give (H, W, 3) uint8 RGB of unchanged size. A codec that this PyAV build lacks raises ValueError.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from fakelab.records import Image

VIDEO_CODECS = {"h264": "libx264", "h265": "libx265", "mpeg4": "mpeg4", "vp9": "libvpx-vp9"}
PHOTO_FORMATS = {"jpeg": ".jpg", "webp": ".webp"}


def photo_codec(image: Image, fmt: str, quality: int) -> Image:
    """The picture after JPEG or WebP at `quality` 1..100."""
    import cv2

    key = cv2.IMWRITE_JPEG_QUALITY if fmt == "jpeg" else cv2.IMWRITE_WEBP_QUALITY
    ok, data = cv2.imencode(PHOTO_FORMATS[fmt], image[:, :, ::-1], [key, int(quality)])
    if not ok:
        raise ValueError(f"cannot encode {fmt}")
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
