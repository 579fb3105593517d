"""Twins: a real face sent through a generator's own autoencoder, to train detectors with.

The twin shows the same person, pose, light and file format; only the trace of generation differs, so a network can
learn nothing else from the pair. Sources: Rajan et al. 2025, "Aligned datasets improve detection of latent
diffusion-generated images"; Guillaro et al. 2025, B-Free. The autoencoder is TAEF2, the tiny distillation of FLUX.2's
(MIT): 8 x spatial reduction, 32 latent channels, pictures in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakelab.data.store import FaceStore
from fakelab.errors import TrainingError
from fakelab.training.networks import has_bfloat16

LATENT_CHANNELS = 32
WIDTH = 64
MULTIPLE_PX = 16
FLOAT_SIDE_PX = 96
STORE_FILE = "store.txt"
"""Says which store's rows the twins are of; twins made before it was written lack it."""


class _Unit(nn.Module):
    """Three convolutions beside a plain path; near the latents also a pooled path with group norm."""

    def __init__(self, pooled: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU()]
        self.conv = nn.Sequential(*layers[:-1])
        self.pool: nn.Sequential | None = None
        if pooled:
            wide = 4 * WIDTH
            self.pool = nn.Sequential(
                nn.Conv2d(WIDTH, wide, 1, bias=False),
                nn.GroupNorm(4, wide),
                nn.ReLU(),
                nn.Conv2d(wide, WIDTH, 1, bias=False),
            )

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


class _Squash(nn.Module):
    def forward(self, latent: Tensor) -> Tensor:
        return 3 * torch.tanh(latent / 3)


def _encoder() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, WIDTH, 3, padding=1), _Unit()]
    for stage in range(3):
        layers.append(nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1, bias=False))
        layers += [_Unit(pooled=stage == 2) for _ in range(3)]
    return nn.Sequential(*layers, nn.Conv2d(WIDTH, LATENT_CHANNELS, 3, padding=1))


def _decoder() -> nn.Sequential:
    layers: list[nn.Module] = [_Squash(), nn.Conv2d(LATENT_CHANNELS, WIDTH, 3, padding=1), nn.ReLU()]
    for stage in range(3):
        layers += [_Unit(pooled=stage == 0) for _ in range(3)]
        layers += [nn.Upsample(scale_factor=2), nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)]
    return nn.Sequential(*layers, _Unit(), nn.Conv2d(WIDTH, 3, 3, padding=1))


class TwinMaker(nn.Module):
    """Pictures (B, 3, H, W) float 0..1, sides multiples of 16 px -> their twins, same shape."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.encoder, self.decoder = _encoder(), _decoder()
        for part, name in ((self.encoder, "taef2_encoder.pth"), (self.decoder, "taef2_decoder.pth")):
            try:
                # weights_only: a pickle from elsewhere may hold code.
                part.load_state_dict(torch.load(folder / name, map_location="cpu", weights_only=True), strict=True)
            except (OSError, RuntimeError, UnpicklingError, EOFError, TypeError) as error:
                raise TrainingError(
                    f"the twin maker's file {folder / name} cannot be used",
                    str(error),
                    "Take taef2_encoder.pth and taef2_decoder.pth from madebyollin/taesd.",
                ) from error
        self.eval().requires_grad_(False)

    def forward(self, pictures: Tensor, rng: np.random.Generator) -> Tensor:
        # Large pictures in bfloat16, 2.4 times as fast; small ones, and the last layer always, in float32, so that
        # the rounding of the short type does not become the trace that is learnt.
        short = pictures.shape[-1] > FLOAT_SIDE_PX and has_bfloat16()
        with torch.autocast("cpu", torch.bfloat16, enabled=short):
            features = self.decoder[:-1](_disturb(self.encoder(pictures), rng))
        return torch.as_tensor(self.decoder[-1](features.float())).clamp(0, 1)


def _disturb(latent: Tensor, rng: np.random.Generator) -> Tensor:
    """Latents as a generator leaves them: noisy (35 %), smoothed (30 %), rounded (20 %), or as they are."""
    kind = rng.random()
    if kind < 0.35:
        noise = torch.from_numpy(rng.standard_normal(latent.shape).astype(np.float32))
        return latent + noise.to(latent.dtype) * latent.std() * float(rng.uniform(0.03, 0.4))
    if kind < 0.65:
        smooth = nn.functional.avg_pool2d(latent, 3, stride=1, padding=1, count_include_pad=False)
        return torch.lerp(latent, smooth, float(rng.uniform(0.03, 0.3)))
    if kind < 0.85:
        step = latent.std() * float(rng.uniform(0.1, 0.5))
        return torch.round(latent / step) * step
    return latent


Maker = Callable[[Tensor, np.random.Generator], Tensor]
"""Pictures (B, 3, H, W) float 0..1, sides multiples of 16 px, and a generator -> their twins, same shape."""


def one_of(makers: Sequence[Maker], shares: Sequence[float]) -> Maker:
    """A maker that lets one of `makers`, drawn by its share, make each batch."""
    chances = np.array(shares, dtype=np.float64) / np.sum(shares)

    def make(pictures: Tensor, rng: np.random.Generator) -> Tensor:
        return makers[int(rng.choice(len(makers), p=chances))](pictures, rng)

    return make


def rows_for_twins(store: FaceStore, most: int | None, seed: int) -> NDArray[np.int64]:
    """The clear genuine faces that twins are made of, shuffled; of each source at most `most`."""
    # Shuffled once, so that a run cut short has twins of every source.
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(store.good() & ~store.fake))
    if most is None:
        return rows
    kept = np.zeros(len(rows), bool)
    for name in np.unique(store.source[rows]):
        kept[np.flatnonzero(store.source[rows] == name)[:most]] = True
    return rows[kept]


def make_twins(
    store: FaceStore,
    rows: NDArray[np.int64],
    maker: Maker,
    target: Path,
    *,
    seed: int = 0,
    batch: int = 8,
    full_size: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes one twin of each crop in `rows` to `target`: twins.npy (len(rows), S, S, 3) uint8 RGB and rows.npy.

    Resumable: a partial file goes on where it stopped. Each batch is sent through at its own scale, from 96 to 224 px,
    and larger crops from 3/7 of their side to all of it; with `full_size` at the crops' own: no twin was scaled.
    Raises TrainingError when the twins in `target` are of other rows or of another store.
    """
    size = store.crops.shape[1]
    target.mkdir(parents=True, exist_ok=True)
    done_file, part = target / "done.txt", target / "twins.npy"
    done = int(done_file.read_text()) if done_file.is_file() else 0
    shape = (len(rows), size, size, 3)
    if done and not _same_work(store, rows, target):
        raise TrainingError(
            f"the twins in {target} are of other faces",
            "the store or its rows changed",
            "Choose another --twins folder.",
        )
    twins = np.lib.format.open_memmap(part, mode="r+" if done else "w+", dtype=np.uint8, shape=None if done else shape)
    np.save(target / "rows.npy", rows)
    (target / STORE_FILE).write_text(store.sha256, encoding="utf-8")
    for start in range(done, len(rows), batch):
        # Seeded by place, so that a resumed run makes the same twins.
        rng = np.random.default_rng((seed, start))
        low, high = (max(each, size * each // 224) // MULTIPLE_PX for each in (96, 224))
        # Two draws, the smaller: costs fall with the square.
        side = size if full_size else min(int(each) for each in rng.integers(low, high + 1, 2)) * MULTIPLE_PX
        pictures = (
            torch.from_numpy(np.array(store.crops[rows[start : start + batch]])).permute(0, 3, 1, 2).float() / 255
        )
        small = nn.functional.interpolate(pictures, size=(side, side), mode="bilinear", antialias=True)
        with torch.inference_mode():
            made = maker(small, rng)
            full = nn.functional.interpolate(made, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
        twins[start : start + batch] = (full * 255).round().byte().permute(0, 2, 3, 1).numpy()
        done_file.write_text(str(min(start + batch, len(rows))))
        if progress:
            progress(min(start + batch, len(rows)), len(rows))


def _same_work(store: FaceStore, rows: NDArray[np.int64], target: Path) -> bool:
    told = target / STORE_FILE
    if told.is_file() and told.read_text(encoding="utf-8") != store.sha256:
        return False
    return np.array_equal(np.load(target / "rows.npy"), rows)
