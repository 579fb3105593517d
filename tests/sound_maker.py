"""Sound made by the tests: silence, noise, tones, and something with the pitch, syllables and formants of speech."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

RATE = 16_000
Wave = NDArray[np.float32]


def silence(seconds: float) -> Wave:
    return np.zeros(round(RATE * seconds), np.float32)


def noise(seconds: float, seed: int = 0) -> Wave:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(RATE * seconds))).astype(np.float32)


def tone(seconds: float, hz: float = 440.0) -> Wave:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(RATE * seconds)) / RATE)).astype(np.float32)


def speech_like(seconds: float, seed: int = 0) -> Wave:
    """Syllables of 150 to 300 ms: a gliding pulse train or hiss, shaped by two formants, with pauses between."""
    random, parts = np.random.default_rng(seed), list[Wave]()
    while sum(map(len, parts)) < RATE * seconds:
        count = int(RATE * random.uniform(0.15, 0.3))
        if random.random() < 0.25:
            source = random.standard_normal(count) * 0.3
        else:
            pitch = np.linspace(random.uniform(100, 180), random.uniform(90, 160), count)
            source = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0.0) * 3
        spectrum, hz = np.fft.rfft(source), np.fft.rfftfreq(count, 1 / RATE)
        first, second = random.uniform(300, 800), random.uniform(1000, 2600)
        shape = 1 / (1 + ((hz - first) / 120) ** 2) + 0.5 / (1 + ((hz - second) / 200) ** 2) + 0.003
        voiced = np.fft.irfft(spectrum * shape, count) * np.hanning(count)
        parts += [(0.4 * voiced / (np.abs(voiced).max() + 1e-9)).astype(np.float32)]
        parts += [np.zeros(int(RATE * random.uniform(0.02, 0.12)), np.float32)]
    quiet = 1e-4 * random.standard_normal(round(RATE * seconds))
    return np.asarray(np.concatenate(parts)[: len(quiet)] + quiet, dtype=np.float32)


def save(path: Path, wave: Wave, codec: str = "pcm_s16le", rate: int = RATE) -> Path:
    """A mono recording of the samples, encoded as told; the container follows the path's ending."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        samples = np.ascontiguousarray((np.clip(wave, -1, 1) * 32767).astype(np.int16)[None])
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(stream.codec_context.format.name, "mono", rate, frame_size=size)
        for each in [*resampler.resample(frame), *resampler.resample(None)]:
            for packet in stream.encode(each):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    return path
