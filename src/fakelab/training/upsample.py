"""Small autoencoders of many builds, trained on real pictures in a minute each: twins with other traces.

A latent-diffusion decoder is one way to make pixels out of features. GANs, super-resolution and older generators use
others: transposed convolutions of several kernels, nearest-neighbour or bilinear enlargement before a convolution, and
shuffled channels, each with a periodic trace of its own (Odena et al. 2016, "Deconvolution and checkerboard artifacts";
Zhang et al. 2019, "Detecting and simulating artifacts in GAN fake images"). Each build here is drawn from a seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakelab.errors import TrainingError

WAYS = ("transposed_4", "transposed_3", "transposed_2", "nearest", "bilinear", "shuffle")
"""How features are enlarged."""
PATCH_PX = 96
BATCH = 8


@dataclass(frozen=True, slots=True)
class Build:
    """One architecture: the picture is made 2**`halvings` times smaller, and enlarged again as often."""

    way: str
    halvings: int
    width: int
    latent: int
    sharp: float
    """Weight of the loss on differences of neighbouring pixels."""


def draw_build(number: int, seed: int = 0) -> Build:
    """The build of this number: every way comes in turn, the rest is drawn."""
    rng = np.random.default_rng((seed, number))
    halvings = int(rng.choice([1, 2, 2, 3]))
    latent = {1: 6, 2: 14, 3: 36}[halvings]
    return Build(
        WAYS[number % len(WAYS)], halvings, int(rng.choice([16, 24, 32])), latent, float(rng.choice([0.0, 0.5, 2.0]))
    )


class Upsampler(nn.Module):
    """Pictures (B, 3, H, W) float 0..1, sides multiples of 16 px -> what is left of them, same shape."""

    def __init__(self, build: Build) -> None:
        super().__init__()
        self.build = build
        down: list[nn.Module] = []
        channels = 3
        for _ in range(build.halvings):
            down += [nn.Conv2d(channels, build.width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            channels = build.width
        self.down = nn.Sequential(*down, nn.Conv2d(channels, build.latent, 3, padding=1))
        up: list[nn.Module] = [nn.Conv2d(build.latent, build.width, 3, padding=1), nn.LeakyReLU(0.2)]
        for _ in range(build.halvings):
            up += [*_enlarge(build.way, build.width), nn.LeakyReLU(0.2)]
        self.up = nn.Sequential(*up, nn.Conv2d(build.width, 3, 3, padding=1))

    def forward(self, pictures: Tensor, rng: np.random.Generator | None = None) -> Tensor:
        """With `rng` latents are disturbed a little, as a generator's never are those of a real picture."""
        latent = self.down(pictures)
        if rng is not None and rng.random() < 0.5:
            noise = torch.from_numpy(rng.standard_normal(latent.shape).astype(np.float32))
            latent = latent + noise * latent.std() * float(rng.uniform(0.0, 0.15))
        made: Tensor = self.up(latent)
        return made if self.training else made.clamp(0, 1)


def _enlarge(way: str, width: int) -> list[nn.Module]:
    if way == "transposed_4":
        return [nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)]
    if way == "transposed_3":
        return [nn.ConvTranspose2d(width, width, 3, stride=2, padding=1, output_padding=1)]
    if way == "transposed_2":
        return [nn.ConvTranspose2d(width, width, 2, stride=2)]
    if way == "shuffle":
        return [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2)]
    return [nn.Upsample(scale_factor=2, mode=way), nn.Conv2d(width, width, 3, padding=1)]


def fit(
    build: Build, crops: NDArray[np.uint8], rows: NDArray[np.int64], *, steps: int = 160, seed: int = 0
) -> Upsampler:
    """A trained Upsampler of this build, from patches of the crops (N, S, S, 3) in `rows`.

    Raises TrainingError where the crops are smaller than a patch.
    """
    size = crops.shape[1]
    if size < PATCH_PX or not len(rows):
        raise TrainingError(
            "no up-sampler can be trained", f"{len(rows)} crops of {size} px", f"{PATCH_PX} px or more."
        )
    rng = np.random.default_rng((seed, 1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Upsampler(build)
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(steps):
        patches = np.empty((BATCH, PATCH_PX, PATCH_PX, 3), np.uint8)
        for at, row in enumerate(rng.choice(rows, BATCH)):
            y, x = rng.integers(0, size - PATCH_PX + 1, 2)
            patches[at] = crops[row, y : y + PATCH_PX, x : x + PATCH_PX]
        wanted = torch.from_numpy(patches).permute(0, 3, 1, 2).float() / 255
        made = network(wanted)
        loss = (made - wanted).abs().mean()
        for axis in (2, 3):
            loss = loss + build.sharp * (made.diff(dim=axis) - wanted.diff(dim=axis)).abs().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval().requires_grad_(False)
    return network


def upsamplers(
    crops: NDArray[np.uint8],
    rows: NDArray[np.int64],
    folder: Path,
    *,
    count: int,
    seed: int = 0,
    steps: int = 160,
    progress: Callable[[int, int], None] | None = None,
) -> list[Upsampler]:
    """`count` trained up-samplers of different builds, kept in `folder` as safetensors: none is trained twice."""
    from safetensors.torch import load_file, save_file

    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(count):
        build, path = draw_build(number, seed), folder / f"up_{seed}_{number}.safetensors"
        if path.is_file():
            network = Upsampler(build)
            network.load_state_dict(load_file(path), strict=True)
            network.eval().requires_grad_(False)
        else:
            network = fit(build, crops, rows, steps=steps, seed=seed * 1000 + number)
            save_file(network.state_dict(), path)
        made.append(network)
        if progress:
            progress(number + 1, count)
    return made
