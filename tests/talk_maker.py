"""People who talk, drawn: a mouth that opens as a speech-like sound grows loud."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from fakelab.faces.mouth import HEIGHT_PX, RATE, WIDTH_PX, MouthStrip
from fakelab.models.lips import sound_bands
from portrait_maker import portrait
from sound_maker import RATE as SOUND_RATE
from sound_maker import Wave, speech_like

Floats = NDArray[np.float32]


def loudness(wave: Wave, rate: int = RATE) -> Floats:
    """(N,) 0..1, `rate` a second."""
    size = SOUND_RATE // rate
    power = np.sqrt((wave[: len(wave) // size * size].reshape(-1, size) ** 2).mean(1))
    return np.asarray(power / max(float(power.max()), 1e-6), np.float32)


def mouths(wave: Wave, seed: int = 0) -> Floats:
    """(N, HEIGHT_PX, WIDTH_PX) grey 0..1: lips of one's own, open as the sound is loud; the head shakes a little."""
    rng = np.random.default_rng(seed)
    width, light = rng.uniform(6, 9), rng.uniform(0.5, 0.8)
    y, x = np.mgrid[:HEIGHT_PX, :WIDTH_PX].astype(np.float32)
    made = []
    for opening in loudness(wave):
        middle_x, middle_y = np.array([WIDTH_PX, HEIGHT_PX]) / 2 + rng.normal(0, 0.3, 2)
        height = 1 + 5 * opening
        inside = np.exp(-(((x - middle_x) / width) ** 4) - ((y - middle_y) / height) ** 4)
        made.append(light - 0.4 * inside + rng.normal(0, 0.02, inside.shape))
    return np.clip(np.stack(made), 0, 1).astype(np.float32)


def talk(seconds: float, seed: int, late_s: float = 0.0) -> tuple[Floats, Floats]:
    """Pictures and bands of somebody who talks, the sound `late_s` after the lips."""
    wave = speech_like(seconds + 1.0, seed)
    pictures = mouths(wave, seed)
    bands = sound_bands(np.roll(wave, round(late_s * SOUND_RATE)))
    count = round(seconds * RATE)
    return pictures[:count], bands[:count]


def strip(person: int, pictures: Floats, start_s: float = 0.0) -> MouthStrip:
    return MouthStrip(person, start_s, pictures, 150.0, ((start_s, (100.0, 80.0, 120.0, 150.0)),))


def talking_video(path: Path, wave: Wave, fps: int = 25, sound_of: Wave | None = None) -> Path:
    """The astronaut, her mouth painted open as `wave` is loud, with it or with another sound."""
    picture = cv2.resize(portrait()[:256, 96:352], (160, 160), interpolation=cv2.INTER_AREA)
    opening = loudness(wave, fps)
    with av.open(str(path), "w") as out:
        video, sound = out.add_stream("libx264", rate=fps), out.add_stream("aac", rate=SOUND_RATE, layout="mono")
        video.height, video.width = picture.shape[:2]
        video.pix_fmt, video.options = "yuv420p", {"preset": "ultrafast", "crf": "18"}
        for each in opening:
            frame = picture.copy()
            cv2.ellipse(frame, (79, 88), (9, 1 + round(6 * float(each))), 0, 0, 360, (60, 20, 25), -1)
            out.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(video.encode())
        heard = wave if sound_of is None else sound_of
        samples = np.ascontiguousarray((np.clip(heard, -1, 1) * 32767).astype(np.int16)[None])
        block = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        block.sample_rate = SOUND_RATE
        for piece in av.AudioResampler(format="fltp", layout="mono", rate=SOUND_RATE, frame_size=1024).resample(block):
            out.mux(sound.encode(piece))
        out.mux(sound.encode())
    return path
