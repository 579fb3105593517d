"""Mouths and sound -> how well they go together, by two linear maps learnt side by side.

Canonical correlation (Hotelling 1936): of pictures of mouths and of a spectrum, each over some neighbouring moments,
those weighted sums that vary together in people who talk. What is measured is how much they do here, at each shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fakelab.errors import ModelError
from fakelab.models.card import LIPS, model_folder, read_card, sha256_of
from fakelab.records import ModelCard

Floats = NDArray[np.float32]

FILE = "maps.safetensors"
SOUND_RATE = 16_000
RATE = 25
"""Moments a second, of mouths and of sound alike."""
BANDS = 24
AROUND_MOUTH, AROUND_SOUND = 2, 3
"""Moments before and after that count with each."""
LONGEST_S, PLACES = 12.0, 3
"""Seconds of a clip that are looked at, in so many places of a longer one."""
SHORTEST_S, LEAST_SPEECH_S = 3.0, 1.5
"""Less than this of a mouth, or of speech beside it, says nothing."""
IN_STEP = 3
"""Moments by which sound may be late or early and still count as together: what people do not notice."""
MOST_SHIFT = 12
"""Moments by which the sound is shifted at most, to either side: .48 s."""
_HOP = SOUND_RATE // 100
_WINDOW = 400


@dataclass(frozen=True, slots=True, eq=False)
class LipModel:
    """Loaded maps. `faces`: (P, H*W) components of mouths; `mouth`: (P * 5, K); `sound`: (BANDS * 7, K)."""

    card: ModelCard
    mean: Floats
    faces: Floats
    mouth: Floats
    sound: Floats

    def curve(self, stretches: Sequence[tuple[Floats, Floats]]) -> Floats:
        """(2 * MOST_SHIFT + 1,) correlation at each shift of the sound, from early to late, -1..1, over all stretches.

        A stretch is pictures of mouths (N, H, W) and bands of sound (N, BANDS) of the same N moments, more than
        4 * MOST_SHIFT of them.
        """
        total = np.zeros(2 * MOST_SHIFT + 1)
        weight = 0.0
        for pictures, bands in stretches:
            seen = around(normal(components(pictures, self.mean, self.faces)), AROUND_MOUTH) @ self.mouth
            heard = around(normal(bands), AROUND_SOUND) @ self.sound
            total += len(seen) * _correlations(seen, heard)
            weight += len(seen)
        return np.asarray(total / max(weight, 1.0), np.float32)


def load_lips(name: str = "lip_sync") -> LipModel:
    """The maps of the model called `name`, checked by SHA-256. Raises UnknownNameError and ModelError."""
    from safetensors.numpy import load_file

    folder = model_folder(name, LIPS)
    card = read_card(folder / "card.json")
    path = folder / FILE
    if not path.is_file() or sha256_of(path) != card.files.get(FILE):
        raise ModelError(
            f"the model '{name}' cannot be used", f"{path} is missing or altered", "Reinstall fakelab-verify."
        )
    maps = load_file(path)
    return LipModel(card, maps["mean"], maps["faces"], maps["mouth"], maps["sound"])


def components(pictures: Floats, mean: Floats, faces: Floats) -> Floats:
    """(N, P) how much of each component the pictures (N, H, W) hold, each picture brought to one contrast first."""
    return np.asarray((evened(pictures) - mean) @ faces.T, np.float32)


def evened(pictures: Floats) -> Floats:
    """(N, H*W) pictures of one strip with its mean light taken out and its contrast brought to 1."""
    flat = pictures.reshape(len(pictures), -1)
    flat = flat - flat.mean()
    return np.asarray(flat / max(float(flat.std()), 1e-3), np.float32)


def normal(values: Floats) -> Floats:
    """(N, D) with mean 0 and deviation 1 over time in each column; what does not vary stays 0."""
    values = values - values.mean(0)
    return np.asarray(values / np.maximum(values.std(0), 1e-4), np.float32)


def around(values: Floats, span: int) -> Floats:
    """(N, D * (2 * span + 1)): each moment with those before and after it; at the ends the last one is repeated."""
    padded = np.pad(values, ((span, span), (0, 0)), mode="edge")
    return np.concatenate([padded[k : k + len(values)] for k in range(2 * span + 1)], axis=1)


def stretch_of(pictures: Floats, samples: Floats) -> tuple[Floats, Floats] | None:
    """Pictures and bands of as many moments as both hold; None where these are too few to be shifted.

    `pictures` (N, H, W) at RATE and `samples` (S,) at SOUND_RATE begin at one moment.
    """
    bands = sound_bands(samples)[: len(pictures)]
    return (pictures[: len(bands)], bands) if len(bands) > 4 * MOST_SHIFT else None


def sound_bands(samples: Floats) -> Floats:
    """(N, BANDS) logarithm of energy in mel bands, RATE a second, of (S,) samples at SOUND_RATE.

    The first moment is at the first sample. The scale is Slaney's formula 2595 log10(1 + f / 700), 100 to 7,000 Hz.
    """
    count = len(samples) * RATE // SOUND_RATE
    hops = count * (SOUND_RATE // RATE // _HOP)
    padded = np.pad(samples, (_WINDOW // 2, _WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP][:hops]
    power = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW).astype(np.float32), 512, axis=1)) ** 2
    bands = np.log(power @ _filters() + 1e-8)
    return np.asarray(bands.reshape(count, -1, BANDS).mean(1), np.float32)


def _filters() -> Floats:
    """(257, BANDS) triangles on the mel scale."""
    edges = 700 * (
        10 ** (np.linspace(2595 * np.log10(1 + 100 / 700), 2595 * np.log10(1 + 7000 / 700), BANDS + 2) / 2595) - 1
    )
    bins = np.arange(257) * SOUND_RATE / 512
    rise = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    return np.asarray(np.clip(np.minimum(rise, fall), 0, None), np.float32)


def _correlations(seen: Floats, heard: Floats) -> NDArray[np.float64]:
    """Mean correlation of the K pairs of columns at each shift of the second, by -MOST_SHIFT to MOST_SHIFT."""
    inner = slice(MOST_SHIFT, len(seen) - MOST_SHIFT)
    first = normal(seen[inner])
    found = []
    for shift in range(-MOST_SHIFT, MOST_SHIFT + 1):
        second = normal(heard[MOST_SHIFT + shift : len(heard) - MOST_SHIFT + shift])
        found.append(float((first * second).mean(0).mean()))
    return np.array(found)


def together(curve: Floats) -> tuple[float, int]:
    """What a curve says: how far its peak rises over its median, and at which shift, moments, sound late if above 0."""
    best = int(curve.argmax())
    return float(curve[best] - np.median(curve)), best - MOST_SHIFT


def written(path: Path, mean: Floats, faces: Floats, mouth: Floats, sound: Floats) -> str:
    """Writes the maps, and gives the file's SHA-256."""
    from safetensors.numpy import save_file

    save_file({"mean": mean, "faces": faces, "mouth": mouth, "sound": sound}, path)
    return sha256_of(path)
