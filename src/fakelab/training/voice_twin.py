"""Twins and degraded copies of speech, for training the voice detector.

A twin is a real recording resynthesised: same speaker, words and room, and only the trace of a vocoder differs. Both
classes are degraded by one law (codec, band, noise, room), so that no habit of a source can stand for its class.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.media.audio import RATE, Samples, levelled

Random = np.random.Generator
Floats = NDArray[np.float64]

CODECS: tuple[tuple[str, str, int, int], ...] = (
    ("libmp3lame", "mp3", 16_000, 24_000),
    ("libmp3lame", "mp3", 22_050, 32_000),
    ("libmp3lame", "mp3", 44_100, 64_000),
    ("libmp3lame", "mp3", 44_100, 96_000),
    ("aac", "adts", 16_000, 24_000),
    ("aac", "adts", 44_100, 48_000),
    ("aac", "adts", 44_100, 96_000),
    ("libopus", "ogg", 48_000, 16_000),
    ("libopus", "ogg", 48_000, 24_000),
    ("libopus", "ogg", 48_000, 48_000),
    ("pcm_mulaw", "wav", 8_000, 0),
)
"""Encoder, container, sample rate, bits a second (0: as the codec has it). The last one is the telephone."""
_MEL_BREAK_HZ, _MEL_STEP = 1000.0, np.log(6.4) / 27


def through_codec(wave: Floats, row: tuple[str, str, int, int]) -> Floats:
    """The samples at RATE after encoding and decoding by a row of CODECS; a little longer or shorter than before."""
    import av
    from scipy.signal import resample_poly

    encoder, container, rate, bits = row
    wave = np.clip(resample_poly(wave, rate, RATE), -1, 1)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream: Any = out.add_stream(encoder, rate=rate, layout="mono")
        if bits:
            stream.bit_rate = bits
        context = stream.codec_context
        form = context.format.name if context.format else "s16"
        resampler = av.AudioResampler(form, "mono", rate, frame_size=context.frame_size or 1024)
        frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], "flt", "mono")
        frame.sample_rate = rate
        for each in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(each))
        out.mux(stream.encode(None))
    buffer.seek(0)
    parts = []
    with av.open(buffer, "r") as file:
        resampler = av.AudioResampler("fltp", "mono", RATE)
        for decoded in [*file.decode(audio=0), None]:
            parts += [each.to_ndarray()[0] for each in resampler.resample(decoded)]
    return np.concatenate(parts).astype(np.float64)


def degraded(samples: Samples, random: Random, codec: int | None = None) -> Samples:
    """A levelled copy through the codec of that row alone, or through room, filter, noise and codec drawn by chance."""
    from scipy.signal import butter, fftconvolve, sosfilt

    wave = np.asarray(samples, np.float64)
    wave = wave / max(1e-6, float(np.abs(wave).max())) * random.uniform(0.3, 0.95)
    count = len(wave)
    if codec is None:
        if random.random() < 0.25:
            time = np.arange(int(RATE * 0.3))
            room = random.standard_normal(len(time)) * np.exp(-time / (RATE * random.uniform(0.02, 0.09))) * 0.05
            room[0] = 1
            wave = fftconvolve(wave, room)[:count]
        if random.random() < 0.4:
            wave = np.convolve(wave, [1, random.uniform(-0.35, 0.35)])[:count]
        if random.random() < 0.4:
            noise = random.standard_normal(count)
            if random.random() < 0.5:
                noise = sosfilt(butter(1, random.uniform(200, 2000), fs=RATE, output="sos"), noise)
            wave = wave + noise / noise.std() * wave.std() * 10 ** (-random.uniform(12, 40) / 20)
        if random.random() < 0.2:
            wave = sosfilt(butter(8, random.uniform(3300, 7500), fs=RATE, output="sos"), wave)
    if codec is not None or random.random() < 0.8:
        row = CODECS[int(random.integers(len(CODECS))) if codec is None else codec]
        wave = through_codec(wave / max(1.0, 1.02 * float(np.abs(wave).max())), row)
    return levelled(wave.astype(np.float32))


def griffin_lim(samples: Samples, random: Random) -> Samples:
    """A twin whose phase, and mostly whose fine spectrum, was thrown away and guessed again."""
    from scipy.signal import istft, stft

    size, hop = int(random.choice([800, 1024])), int(random.choice([200, 256]))
    bank = mel_bank(int(random.choice([64, 80, 80, 128])), size, RATE, 8000.0)
    _, _, spectrum = stft(samples, nperseg=size, noverlap=size - hop)
    wanted = np.abs(spectrum)
    if random.random() < 0.7:
        wanted = np.maximum(np.linalg.pinv(bank) @ (bank @ wanted), 1e-7)
    guess = wanted * np.exp(2j * np.pi * random.random(wanted.shape))
    before = np.zeros_like(guess)
    for _ in range(int(random.choice([16, 30]))):
        _, wave = istft(guess, nperseg=size, noverlap=size - hop)
        _, _, again = stft(wave, nperseg=size, noverlap=size - hop)
        again = again[:, : wanted.shape[1]]
        guess = wanted * np.exp(1j * np.angle(again + 0.474 * (again - before)))
        before = again
    _, wave = istft(guess, nperseg=size, noverlap=size - hop)
    return levelled(wave[: len(samples)].astype(np.float32))


def source_filter(samples: Samples, random: Random) -> Samples:
    """A twin of pulses and noise through a smooth envelope, as a parametric vocoder makes it."""
    size, hop = 1024, 80
    spectra = _frames(np.pad(np.asarray(samples, np.float64), (0, size)), size, hop)
    cepstrum = np.fft.irfft(np.log(np.abs(spectra) + 1e-5))
    kept = int(random.choice([40, 60]))
    lifter = np.zeros(size)
    lifter[0], lifter[1:kept] = 1, 2
    envelope = np.exp(np.fft.rfft(cepstrum * lifter))
    likeness = np.fft.irfft(np.abs(spectra) ** 2)
    shortest, longest = RATE // 400, RATE // 70
    likeness = likeness[:, shortest:longest] / (likeness[:, :1] + 1e-9)
    period, voiced = likeness.argmax(axis=1) + shortest, likeness.max(axis=1) > 0.45
    pulses, at = np.zeros(len(samples) + size), 0
    while at < len(samples):
        frame = min(at // hop, len(period) - 1)
        if voiced[frame]:
            pulses[at] += np.sqrt(period[frame])
        at += int(period[frame]) if voiced[frame] else hop
    noise, out = random.standard_normal(len(pulses)), np.zeros(len(samples) + 3 * size)
    window = np.hanning(2 * hop + 1)[:-1]
    for frame in range(min(len(spectra), len(samples) // hop)):
        start = frame * hop
        share = 0.15 if voiced[frame] else 1.0
        source = pulses[start : start + 2 * hop] + share * noise[start : start + 2 * hop]
        out[start : start + size] += np.fft.irfft(np.fft.rfft(source * window, size) * envelope[frame])
    return levelled(out[: len(samples)].astype(np.float32))


def neural_vocoder(onnx_file: Path) -> Callable[[Samples, Random], Samples]:
    """A twin maker from a HiFi-GAN in ONNX (80 mel bands, 22.05 kHz, hop 256); its input blurred or noisy by chance."""
    import onnxruntime as ort
    from scipy.signal import resample_poly

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(onnx_file), options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0].name
    bank = mel_bank(80, 1024, 22_050, 8000.0)

    def twin(samples: Samples, random: Random) -> Samples:
        wave = resample_poly(np.asarray(samples, np.float64), 441, 320) * random.uniform(0.5, 1.5)
        padded = np.pad(wave, ((1024 - 256) // 2,) * 2, mode="reflect")
        power = np.abs(_frames(padded, 1024, 256).T) ** 2
        mel = np.log(np.maximum(bank @ np.sqrt(power + 1e-9), 1e-5))
        chance = random.random()
        if chance < 0.35:
            mel = mel + random.standard_normal(mel.shape) * random.uniform(0.02, 0.15)
        elif chance < 0.7:
            share, kernel = random.uniform(0.1, 0.6), [0.25, 0.5, 0.25]
            mel = (1 - share) * mel + share * np.array([np.convolve(row, kernel, "same") for row in mel])
        made = session.run(None, {given: mel[None].astype(np.float32)})[0].ravel()
        return levelled(resample_poly(made, 320, 441)[: len(samples)].astype(np.float32))

    return twin


def mel_bank(bands: int, size: int, rate: int, top_hz: float) -> Floats:
    """(bands, size // 2 + 1) triangles on Slaney's mel scale, each of unit area, from 0 to `top_hz`."""
    top = 15 + np.log(max(top_hz, _MEL_BREAK_HZ) / _MEL_BREAK_HZ) / _MEL_STEP
    mels = np.linspace(0, top, bands + 2)
    edges = np.where(mels < 15, mels * 200 / 3, _MEL_BREAK_HZ * np.exp((mels - 15) * _MEL_STEP))
    hz = np.fft.rfftfreq(size, 1 / rate)
    rise = (hz[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - hz[None]) / (edges[2:] - edges[1:-1])[:, None]
    bank: Floats = np.maximum(0, np.minimum(rise, fall)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return bank


def _frames(wave: Floats, size: int, hop: int) -> NDArray[np.complex128]:
    at = np.arange(size)[None] + hop * np.arange((len(wave) - size) // hop + 1)[:, None]
    return np.fft.rfft(wave[at] * np.hanning(size + 1)[:-1])
