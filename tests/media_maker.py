"""Media made by the tests: clips whose every frame carries its own number, and recordings.

A numbered frame has a bar code of 16 blocks (white = 1, most significant first) in its upper half, so a test can read
from the pixels which frame of the clip it got, after any codec. Its lower half is a gradient with a red left edge and
a blue bottom edge, so a test can see how it was turned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

Image = NDArray[np.uint8]
BITS = 16


def numbered(number: int, width_px: int = 160, height_px: int = 96) -> Image:
    """(height, width, 3) uint8 RGB: the picture of frame `number`."""
    image = np.full((height_px, width_px, 3), 96, np.uint8)
    image[height_px // 2 :, :, :] = np.linspace(60, 180, width_px).astype(np.uint8)[None, :, None]
    for bit in range(BITS):
        on = number >> (BITS - 1 - bit) & 1
        image[: height_px // 2, bit * width_px // BITS : (bit + 1) * width_px // BITS] = 235 if on else 20
    image[height_px // 2 :, : width_px // 10] = (220, 20, 20)
    image[-height_px // 8 :, width_px // 10 :] = (20, 20, 220)
    return image


def read_number(image: Image) -> int:
    """The number of an upright frame made by `numbered`."""
    height, width = image.shape[:2]
    row = image[height // 8 : height * 3 // 8].mean(axis=(0, 2))
    bits = [row[int((b + 0.25) * width / BITS) : int((b + 0.75) * width / BITS)].mean() > 128 for b in range(BITS)]
    return int("".join("1" if b else "0" for b in bits), 2)


def is_upright(image: Image) -> bool:
    """Whether the red edge is on the left and the blue one at the bottom."""
    height, width = image.shape[:2]
    left = image[height // 2 + 4 : -height // 6, : width // 20].mean(axis=(0, 1))
    bottom = image[-height // 16 :, width // 4 :].mean(axis=(0, 1))
    return bool(left[0] > left[2] + 80 and bottom[2] > bottom[0] + 80)


def make_video(
    path: Path,
    frames: int = 50,
    *,
    fps: int = 25,
    width_px: int = 160,
    height_px: int = 96,
    codec: str = "libx264",
    container: str | None = None,
    gop: int = 25,
    times: Sequence[float] | None = None,
    clockwise_deg: int = 0,
    mirror: bool = False,
    sound_s: float = 0.0,
    options: dict[str, str] | None = None,
    picture: Callable[[int, int, int], Image] = numbered,
    muxer: dict[str, str] | None = None,
    cover: bool = False,
) -> Path:
    """A clip of numbered frames at `path`. `times` gives each frame its second (a variable frame rate).

    With `clockwise_deg` the stored frames lie on their side and a display matrix turns them upright, as phones do.
    """
    turns = -clockwise_deg // 90
    with av.open(str(path), "w", format=container, container_options=muxer or {}) as out:
        stream = out.add_stream(codec, rate=fps, options={"preset": "ultrafast"} if codec == "libx264" else {})
        sideways = clockwise_deg % 180 == 90
        stream.width, stream.height = (height_px, width_px) if sideways else (width_px, height_px)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        if options:
            stream.codec_context.options = {**stream.codec_context.options, **options}
        tick = Fraction(1, 1000) if times else Fraction(1, fps)
        stream.time_base = stream.codec_context.time_base = tick
        if clockwise_deg or mirror:
            stream.set_display_rotation(-clockwise_deg, hflip=mirror)  # PyAV counts anticlockwise
        sound = out.add_stream("aac", rate=16000, layout="mono") if sound_s else None
        picture_of_cover = _add_cover(out) if cover else None
        for i in range(frames):
            image = picture(i, width_px, height_px)
            if mirror:
                image = image[:, ::-1]
            # np.rot90 turns anticlockwise: stored = what a clockwise turn makes upright again.
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.rot90(image, -turns)), format="rgb24")
            frame.pts = round(times[i] * 1000) if times else i
            frame.time_base = tick
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
        if picture_of_cover is not None:
            _fill_cover(out, picture_of_cover)
        if sound is not None:
            _add_sound(out, sound, sound_s)
    return path


def make_sound(
    path: Path, seconds: float = 1.0, codec: str = "aac", container: str | None = None, *, cover: bool = False
) -> Path:
    """A recording of a 440 Hz tone, mono, 16 kHz (48 kHz for Opus)."""
    with av.open(str(path), "w", format=container) as out:
        sound = out.add_stream(codec, rate=48000 if codec == "libopus" else 16000, layout="mono")
        if cover:
            _fill_cover(out, _add_cover(out))
        _add_sound(out, sound, seconds)
    return path


def _add_cover(out: av.container.OutputContainer) -> av.VideoStream:
    stream = out.add_stream("png", rate=1)
    stream.width, stream.height, stream.pix_fmt = 640, 640, "rgb24"
    stream.disposition = Disposition.attached_pic
    return stream


def _fill_cover(out: av.container.OutputContainer, stream: av.VideoStream) -> None:
    frame = av.VideoFrame.from_ndarray(np.full((640, 640, 3), 200, np.uint8), format="rgb24")
    for packet in [*stream.encode(frame), *stream.encode()]:
        out.mux(packet)


def _add_sound(out: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    rate = stream.codec_context.sample_rate
    resampler = av.AudioResampler(format=stream.codec_context.format.name, layout="mono", rate=rate)
    fifo = av.AudioFifo()
    wave = (np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate) * 8000).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(wave[None, :], format="s16", layout="mono")
    frame.sample_rate, frame.pts = rate, 0
    for part in resampler.resample(frame):
        fifo.write(part)
    for part in fifo.read_many(stream.codec_context.frame_size or 1024, partial=True):
        for packet in stream.encode(part):
            out.mux(packet)
    for packet in stream.encode():
        out.mux(packet)
