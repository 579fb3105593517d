"""A start for a network whose ImageNet weights cannot be had: it learns to see what another network sees.

The teacher, frozen, is EfficientNet-Lite0 with its published ImageNet weights; the student learns to give, at every
place of its last feature map, the teacher's features there (FitNets, Romero et al. 2015). No label is used. What comes
out is a start for `fakelab train --init FILE`, not a detector.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakelab.data.store import FaceStore
from fakelab.errors import TrainingError
from fakelab.training.augment import crop_inside, flip, jitter
from fakelab.training.checkpoint import optimizer_tensors, restore_optimizer
from fakelab.training.networks import FaceNet, backbone, bfloat16_pays, make_network
from fakelab.training.schedule import rate_share

TEACHER = "efficientnet_lite0"
WARMUP = 60
Log = Callable[[str], None]


def load_teacher(path: Path) -> FaceNet:
    """EfficientNet-Lite0 with the weights of a published state dict, whose names may differ from ours.

    Tensors are matched by order and shape, both of which the architecture fixes. Raises TrainingError for another file.
    """
    try:
        # weights_only: a pickle from elsewhere may hold code.
        given = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, UnpicklingError, EOFError) as error:
        raise TrainingError(
            f"the teacher {path} cannot be read", str(error), "Give EfficientNet-Lite0's .pth."
        ) from error
    network = make_network(TEACHER, init="none")
    own = [name for name in network.body.state_dict() if "num_batches" not in name]
    theirs = [value for name, value in given.items() if "num_batches" not in name][: len(own)]
    shapes = [tuple(network.body.state_dict()[name].shape) for name in own]
    if shapes != [tuple(value.shape) for value in theirs]:
        raise TrainingError(f"the teacher {path} is not EfficientNet-Lite0", "", "Give EfficientNet-Lite0's .pth.")
    network.body.load_state_dict(dict(zip(own, theirs, strict=True)), strict=False)
    return network.eval().requires_grad_(False)


def distil(
    store: FaceStore,
    teacher: FaceNet,
    out: Path,
    *,
    student: str = "resnet18",
    steps: int = 1200,
    batch: int = 24,
    learning_rate: float = 2e-3,
    seed: int = 0,
    save_every: int = 100,
    short: bool | None = None,
    log: Log = print,
) -> float:
    """Trains `student` on the store's train crops and writes its body to `out`, safetensors; returns the last loss.

    The loss is the mean squared difference to the teacher's features, each scaled to variance 1 over the first batch:
    1 is what guessing their mean gives. Products are in bfloat16 if `short`; None tries what is faster here. A run that
    was cut off goes on from `out`.part, except for the order of crops.
    """
    from safetensors.torch import load_file, save_file

    if backbone(student).transformer:
        raise TrainingError(f"{student} cannot learn so", "a transformer has no feature map of the teacher's size", "")
    torch.manual_seed(seed)
    network = make_network(student, init="none").train()
    rows = np.flatnonzero((store.split == "train") & store.good())
    if not len(rows):
        raise TrainingError("there is nothing to distil on", "the store holds no clear face of split train", "")
    project = nn.Conv2d(backbone(student).features, backbone(teacher.name).features, 1)
    parts = nn.ModuleDict({"body": network.body, "project": project})
    optimizer = torch.optim.AdamW(parts.parameters(), lr=learning_rate, weight_decay=0.01)
    named = dict(parts.named_parameters())
    step, scale = 0, dict[str, Tensor]()
    part = out.with_name(out.name + ".part")
    if part.is_file():
        tensors = load_file(part)
        parts.load_state_dict({k.removeprefix("net."): v for k, v in tensors.items() if k.startswith("net.")})
        restore_optimizer(optimizer, named, tensors)
        step, scale = int(tensors["at"].item()), {"mean": tensors["mean"], "std": tensors["std"]}
        log(f"resumed at step {step}")
    losses: list[float] = []
    short = bfloat16_pays() if short is None else short
    log(f"{len(rows):,} crops, in {'bfloat16' if short else 'float32'}")
    started = time.monotonic()
    for crops in _batches(store, rows, batch, seed + step):
        if step >= steps:
            break
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=short):
            wanted = teacher.body(_normal(crops, teacher.name)).float().clone()
        if not scale:
            scale["mean"] = wanted.mean((0, 2, 3), keepdim=True).clone()
            scale["std"] = wanted.std((0, 2, 3), keepdim=True).clone().clamp(min=1e-3)
        wanted = ((wanted - scale["mean"]) / scale["std"]).clamp(-5, 5)
        with torch.autocast("cpu", torch.bfloat16, enabled=short):
            found = project(network.body(_normal(crops, student)))
        loss = nn.functional.mse_loss(found.float(), wanted)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * rate_share(step, steps, WARMUP)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
        optimizer.step()
        step += 1
        losses.append(float(loss.item()))
        if step % 20 == 0:
            rate = len(losses) * batch / (time.monotonic() - started)
            log(f"step {step}/{steps}  loss {np.mean(losses[-20:]):.3f}  {rate:.1f} pictures/s")
        if step % save_every == 0:
            tensors = {f"net.{k}": v.contiguous() for k, v in parts.state_dict().items()}
            tensors |= optimizer_tensors(optimizer, named) | scale | {"at": torch.tensor(step)}
            save_file(tensors, part.with_name(part.name + ".new"))
            part.with_name(part.name + ".new").replace(part)
    _write(network, out)
    part.unlink(missing_ok=True)
    return float(np.mean(losses[-50:])) if losses else float("nan")


def _batches(store: FaceStore, rows: NDArray[np.int64], batch: int, seed: int) -> Iterator[Tensor]:
    """(B, 3, S, S) float 0..1, without end: crops mirrored, cut into, a little changed in light."""
    rng = np.random.default_rng(seed)
    while True:
        made = []
        for row in rng.choice(rows, batch):
            crop = np.array(store.crops[int(row)])
            mask = np.zeros(crop.shape[:2], np.float32)
            crop, mask = flip(crop, mask, rng)
            crop, _ = crop_inside(crop, mask, rng, keep=(0.4, 1.0))
            made.append(jitter(crop, rng, 0.3))
        yield torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).float() / 255


def _normal(crops: Tensor, name: str) -> Tensor:
    row = backbone(name)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (row.mean, row.std))
    return ((crops - mean) / std).contiguous(memory_format=torch.channels_last)


def _write(network: FaceNet, out: Path) -> None:
    from safetensors.torch import save_file

    save_file({k: v.contiguous() for k, v in network.body.state_dict().items()}, out)
