"""``fakelab distil``: a face store and a network that has seen much -> a start for ``fakelab train --init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fakelab.cli.options import flag
from fakelab.cli.terminal import make_app, safe
from fakelab.cli.train import log, require_extra
from fakelab.errors import unknown_name

app = make_app("Give a network a start by another one's sight (needs the extra 'train').")


@app.command()
def distil(
    store: Annotated[Path, typer.Option("--store", metavar="FOLDER", help="Folder of the face store.")],
    teacher: Annotated[
        Path, typer.Option("--teacher", metavar="FILE", help="EfficientNet-Lite0 with its ImageNet weights, a .pth.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The start, as safetensors; a run that was cut off goes on.")
    ],
    student: Annotated[str, typer.Option("--student", metavar="NAME", help="Network that learns.")] = "resnet18",
    steps: Annotated[int, typer.Option("--steps", metavar="N", min=1, help="Steps of the whole run.")] = 1700,
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=2, help="Crops in a step.")] = 24,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", metavar="RATE", help="Highest learning rate.")
    ] = 2e-3,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of everything drawn.")] = 0,
    precision: Annotated[
        str | None,
        flag("--precision", "NAME", "float32, bfloat16 or auto: the faster one here. [default: auto]"),
    ] = None,
) -> int:
    """Teach a network to see what a published one sees, where its own ImageNet weights cannot be had.

    At every place of its last feature map it learns to give the teacher's features there. No label is used, and no
    network is reached. What comes out is no detector: train it with fakelab train --network NAME --init FILE.
    """
    require_extra()
    from fakelab.data.store import open_store
    from fakelab.training.distil import distil as teach
    from fakelab.training.distil import load_teacher
    from fakelab.training.loop import PRECISIONS

    if precision not in (None, *PRECISIONS):
        raise unknown_name("precision", precision, PRECISIONS)
    short = None if precision in (None, "auto") else precision == "bfloat16"
    loss = teach(
        open_store(store),
        load_teacher(teacher),
        out,
        student=student,
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
        short=short,
        log=log,
    )
    print(f"Last loss {loss:.3f}, where guessing the teacher's mean gives 1. The start is in {safe(str(out))}.")
    print(f"Train it with: fakelab train --network {student} --init {safe(str(out))} --store {safe(str(store))}")
    return 0
