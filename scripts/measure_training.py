"""Pictures a second of preparation and training beside plain torchvision code, and a run killed with -9 and resumed.

    python scripts/measure_training.py MANIFEST FOLDER [CROPS] [STEPS]

MANIFEST lists photos with one face each (`fakelab data add`), FOLDER takes what is made. Both roads find, cut and save
the same CROPS files one after another and as `fakelab data prepare` does; then both train ResNet18 from nothing with
the founding transforms on what they cut, STEPS steps of 16 pictures, one process that loads and all threads that learn.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torchvision.transforms import v2

from fakelab.data.manifest import Row, read_manifest, write_manifest
from fakelab.data.prepare import Choices, prepare
from fakelab.faces.find import finder_called
from fakelab.training.curves import read_curves
from fakelab.training.loop import TrainConfig, Trainer

BATCH, MARGIN, SIZE = 16, 0.93, 224
FOUNDING: dict[str, Any] = {
    "network": "resnet18", "init": "none", "tune": "all", "augment": "founding", "pairs": BATCH // 2,
    "kinds": {"self": 1.0}, "patch_loss": 0.0, "learning_rate": 1e-4, "check_every": 10_000, "save_every": 10_000,
    "precision": "float32",
}  # fmt: skip


def clocked(work: Callable[[], int]) -> tuple[float, float]:
    """What `work` counts, per second of wall time, and the seconds."""
    started = time.perf_counter()
    count = work()
    seconds = time.perf_counter() - started
    return count / seconds, seconds


def plainly_prepared(rows: list[Row], out: Path) -> int:
    """Every face cut and saved as PNG by a loop as one would write it with torchvision and OpenCV."""
    find, count = finder_called("yunet")(), 0
    for row in rows:
        try:
            picture = torchvision.io.decode_image(str(row.path), torchvision.io.ImageReadMode.RGB)
        except RuntimeError:
            continue
        faces = find(np.ascontiguousarray(picture.permute(1, 2, 0).numpy()))
        if not faces:
            continue
        x, y, width, height = max((each.box for each in faces), key=lambda box: box[2] * box[3])
        side = round(max(width, height) * MARGIN)
        left, top = round(x + width / 2 - side / 2), round(y + height / 2 - side / 2)
        crop = v2.functional.resized_crop(picture, top, left, side, side, [SIZE, SIZE], antialias=True)
        folder = out / row.label
        folder.mkdir(parents=True, exist_ok=True)
        torchvision.io.write_png(crop, str(folder / f"{count}.png"))
        count += 1
    return count


def plainly_trained(folder: Path, steps: int) -> int:
    """ResNet18 on the folder's crops with torchvision's own transforms."""
    change = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(40, scale=(0.9, 1.1)),
            v2.RandomPerspective(0.2),
            v2.ColorJitter(0.5, 0.5, 0.5),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomErasing(scale=(0.02, 0.16), ratio=(0.3, 1.6)),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    crops = torchvision.datasets.ImageFolder(str(folder), change)
    chosen = torch.utils.data.RandomSampler(crops, replacement=True, num_samples=steps * BATCH)
    loader = torch.utils.data.DataLoader(crops, BATCH, sampler=chosen, num_workers=1, prefetch_factor=4)
    network = torchvision.models.resnet18(num_classes=1).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    for pictures, labels in loader:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(pictures).squeeze(1), labels.float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return steps * BATCH


def killed_and_resumed(config: TrainConfig, folder: Path) -> float:
    """The largest difference of the loss curves of a run left alone and of one killed with -9."""
    short = dataclasses.replace(config, steps=30, save_every=5)
    Trainer(short, folder / "whole", log=lambda line: None).run()
    told = ("store", "network", "init", "tune", "augment", "steps", "pairs", "save_every", "precision")
    flags = [word for name in told for word in (f"--{name.replace('_', '-')}", str(getattr(short, name)))]
    toml = folder / "kinds.toml"
    toml.write_text(
        f"learning_rate = {short.learning_rate}\npatch_loss = 0.0\ncheck_every = {short.check_every}\n"
        "[kinds]\nself = 1.0\n"
    )
    command = [sys.executable, "-m", "fakelab", "train", "--config", str(toml), "--out", str(folder / "cut"), *flags]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert run.stderr is not None
    for line in run.stderr:
        if line.startswith("step 20/"):
            break
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    one, other = (dict(read_curves(folder / name)["train_loss"]) for name in ("whole", "cut"))
    assert one.keys() == other.keys(), (one, other)
    return max(abs(one[step] - other[step]) for step in one)


def main(manifest: Path, folder: Path, crops: int, steps: int) -> None:
    """Prints both tables."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [dataclasses.replace(row, split="train", tight=False) for row in read_manifest(manifest).rows[:crops]]
    listed = folder / "some.csv"
    write_manifest(rows, listed)
    workers = len(os.sched_getaffinity(0))
    table = []
    for name, ours, plain in (
        (
            "files prepared a second, one process",
            lambda: prepare(listed, folder / "one", choices=Choices(), trusted=True, workers=1).crops,
            lambda: plainly_prepared(rows, folder / "plain"),
        ),
        (
            f"files prepared a second, {workers} processes",
            lambda: prepare(listed, folder / "store", choices=Choices(), trusted=True, workers=workers).crops,
            None,
        ),
    ):
        table.append((name, clocked(ours), clocked(plain) if plain else None))
    config = TrainConfig(store=str(folder / "store"), steps=steps, **FOUNDING)
    trainer = Trainer(config, folder / "run", log=lambda line: None)
    ours = clocked(lambda: trainer.run() and steps * BATCH)
    table.append(("pictures trained on a second", ours, clocked(lambda: plainly_trained(folder / "plain", steps))))
    print("| | FakeLab | plain torchvision | ratio |\n|---|---|---|---|")
    for name, (rate, seconds), other in table:
        beside = "" if other is None else f"{other[0]:.1f} ({other[1]:.0f} s)"
        ratio = "" if other is None else f"{rate / other[0]:.2f}"
        print(f"| {name} | {rate:.1f} ({seconds:.0f} s) | {beside} | {ratio} |")
    difference = killed_and_resumed(config, folder / "killed")
    print(f"\nKilled with -9 after 20 of 30 steps and resumed: the loss differs by {difference:.6f} at most.")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    numbers = [int(each) for each in sys.argv[3:5]]
    main(Path(sys.argv[1]), Path(sys.argv[2]), *(numbers + [2000, 60][len(numbers) :]))
