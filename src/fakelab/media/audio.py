"""A file's sound for a detector: windows of 16 kHz mono samples, and which of them hold speech.

Sound is decoded in the child process and streamed; one window is held at a time. Whether a window holds speech is read
from its loudness, its spectrum and how both change: a small step, which music with a voice-like melody can deceive.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakelab.media.opening import nonsense
from fakelab.media.reader import open_media
from fakelab.media.sandbox import Limits
from fakelab.media.sniff import shown
from fakelab.media.wire import MalformedError, whole

Samples = NDArray[np.float32]
"""(N,) float32 at RATE, -1..1."""

RATE = 16_000
WINDOW_S, STEP_S = 4.0, 2.0
MOST_WINDOWS = 1800
"""A longer recording is looked at in wider steps, so that neither time nor result grows without end."""
SHORTEST_S = 1.0
"""Less speech than this in a window says too little."""
LEVEL = 0.08
"""The root mean square of a levelled window's loud parts."""
_FRAME = 400
_SILENT_DB = -58.0
_BELOW_DB = 35.0
"""Parts this far under the loud ones count as silence."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A stretch of the sound. The last one may be shorter than WINDOW_S."""

    start_s: float
    end_s: float
    samples: Samples


@dataclass(frozen=True, slots=True)
class Speech:
    """What was measured in a window. `reason` is empty where it holds speech, else what it holds in its place."""

    speech_s: float
    level_db: float
    flatness: float
    """0..1 over the loud parts: 1 is white noise."""
    swing_db: float
    """How much loudness rises and falls: speech does so with every syllable, a tone or a fan does not."""
    reason: str


def windows(path: str | os.PathLike[str], limits: Limits | None = None) -> Iterator[Window]:
    """Windows of WINDOW_S every STEP_S seconds of the first sound track, in time order; none where there is no sound.

    Raises NotFoundError, UnsupportedMediaError, DamagedMediaError, LimitError, EnvironmentBrokenError.
    """
    with open_media(path, limits, task="waveform") as media:
        duration_s = media.info.duration_s or 0.0
        step = round(RATE * max(STEP_S, duration_s / MOST_WINDOWS))
        try:
            yield from _cut(_blocks(media.parts({"rate": RATE})), step)
        except MalformedError as error:
            raise nonsense(shown(path), error) from error


def _blocks(parts: Iterator[tuple[dict[str, object], bytes]]) -> Iterator[Samples]:
    for message, data in parts:
        if whole(message, "rate", 1, 1 << 20) != RATE:
            raise MalformedError("another sample rate than was asked for")
        yield np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) / np.float32(32768)


def _cut(blocks: Iterator[Samples], step: int) -> Iterator[Window]:
    """Full windows every `step` samples, and one of the rest where half a second of it was not seen yet."""
    size, start, given = round(RATE * WINDOW_S), 0, 0
    held = np.zeros(0, np.float32)  # begins at `start`, or before it while a step is wider than a window
    at = 0
    for block in blocks:
        held = np.concatenate([held, block])
        while at + len(held) >= start + size:
            held, at = held[start - at :], start
            yield _window(held[:size], start)
            given, start = start + size, start + step
            drop = min(len(held), start - at)
            held, at = held[drop:], at + drop
    if at + len(held) - max(given, start) > (RATE // 2 if given else 0):
        yield _window(held[start - at :][:size], start)


def _window(samples: Samples, start: int) -> Window:
    return Window(start / RATE, (start + len(samples)) / RATE, np.ascontiguousarray(samples))


def speech_in(samples: Samples) -> Speech:
    """How much speech a window holds, and why none where there is too little."""
    frames = _framed(samples)
    if len(frames) == 0:
        return Speech(0.0, -120.0, 0.0, 0.0, "silence")
    energy = 10 * np.log10((frames**2).mean(axis=1) + 1e-12)
    loudest = float(np.percentile(energy, 95))
    loud = energy > max(loudest - 25.0, _SILENT_DB)
    speech_s = float(loud.sum() * _FRAME / RATE)
    if loudest < _SILENT_DB:
        return Speech(0.0, loudest, 0.0, 0.0, "silence")
    spectrum = np.abs(np.fft.rfft(frames[loud] * np.hanning(_FRAME).astype(np.float32), axis=1)) ** 2 + 1e-10
    flatness = float(np.median(np.exp(np.log(spectrum).mean(axis=1)) / spectrum.mean(axis=1)))
    swing_db = float(np.std(energy[energy > loudest - 45.0]))
    change = np.log(spectrum[:, 2:160])
    change -= change.mean(axis=1, keepdims=True)
    moved = float(np.mean(np.std(change, axis=0)))
    if speech_s < SHORTEST_S:
        return Speech(speech_s, loudest, flatness, swing_db, "too_little")
    if flatness > NOISE_FLATNESS:
        return Speech(speech_s, loudest, flatness, swing_db, "noise")
    if swing_db < STEADY_DB or moved < STEADY_SPECTRUM:
        return Speech(speech_s, loudest, flatness, swing_db, "steady")
    return Speech(speech_s, loudest, flatness, swing_db, "")


NOISE_FLATNESS = 0.12
STEADY_DB = 4.0
STEADY_SPECTRUM = 1.45
"""Lines measured on 1,676 clips of speech, of which less than 2 % fall outside."""


def levelled(samples: Samples) -> Samples:
    """Without silence at both ends, and its loud parts at LEVEL: what training and detection both feed the network."""
    frames = _framed(samples)
    if len(frames) >= 4:
        energy = 10 * np.log10((frames**2).mean(axis=1) + 1e-10)
        kept = np.flatnonzero(energy > np.percentile(energy, 95) - _BELOW_DB)
        samples = samples[kept[0] * _FRAME : (kept[-1] + 1) * _FRAME]
        frames = _framed(samples)
    samples = samples - samples.mean() if len(samples) else samples
    if len(frames):
        power = (_framed(samples) ** 2).mean(axis=1)
        power = power[power >= np.percentile(power, 95) * 1e-3]
        samples = samples * np.float32(LEVEL / np.sqrt(power.mean() + 1e-12))
    return np.ascontiguousarray(samples, dtype=np.float32)


def _framed(samples: Samples) -> Samples:
    return samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
