"""``fakelab train``: a manifest of files -> a face store, twins, and a trained network."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fakelab.cli.options import flag
from fakelab.cli.terminal import bar, make_app, safe
from fakelab.errors import EnvironmentBrokenError, TrainingError, UsageError

if TYPE_CHECKING:
    from fakelab.training.loop import TrainConfig

app = make_app("Train a detector (needs the extra 'train').")
NEEDS = ("torch", "timm", "safetensors", "sklearn")


@app.command()
def train(
    out: Annotated[Path, flag("--out", "FOLDER", "Folder of the run: checkpoint, curves. A run in it is resumed.")],
    config: Annotated[
        Path | None, flag("--config", "FILE", "TOML file with any of the settings; flags go before it.")
    ] = None,
    manifest: Annotated[
        Path | None, flag("--manifest", "FILE", "CSV of files: path, label, source, group, split. Builds the --store.")
    ] = None,
    mesh: Annotated[
        Path | None, flag("--mesh", "FILE", "face_landmark.tflite, for finer masks, while the store is built.")
    ] = None,
    make_twins: Annotated[
        Path | None, flag("--make-twins", "FOLDER", "Folder of the TAEF2 files; makes twins of the store in --twins.")
    ] = None,
    upsamplers: Annotated[
        int,
        flag("--upsamplers", "N", "Train N small up-samplers first, which make twins, too: half of them beside TAEF2."),
    ] = 0,
    twin_faces: Annotated[
        int | None, flag("--twin-faces", "N", "Twins of at most so many faces of each source. [default: all]")
    ] = None,
    store: Annotated[str | None, flag("--store", "FOLDER", "Folder of the face store.")] = None,
    twins: Annotated[str | None, flag("--twins", "FOLDER", "Folder of the twins; without it no twin is drawn.")] = None,
    task: Annotated[
        str | None, flag("--task", "NAME", "faces, or pictures: whole photos, generated or not. [default: faces]")
    ] = None,
    network: Annotated[str | None, flag("--network", "NAME", "Network to train. [default: clip_vit_b16]")] = None,
    init: Annotated[
        str | None, flag("--init", "START", "clip, imagenet, none or a file. [default: what suits the network]")
    ] = None,
    tune: Annotated[str | None, flag("--tune", "PART", "all, norms or head. [default: what suits the network]")] = None,
    head: Annotated[str | None, flag("--head", "NAME", "linear or hidden. [default: linear]")] = None,
    dropout: Annotated[float | None, flag("--dropout", "SHARE", "Dropout before the head. [default: 0]")] = None,
    augment: Annotated[
        str | None, flag("--augment", "NAME", "Law of degradation for both classes. [default: default]")
    ] = None,
    steps: Annotated[int | None, flag("--steps", "N", "Steps of the whole run. [default: 900]")] = None,
    pairs: Annotated[
        int | None, flag("--pairs", "N", "Pairs of a real and a forged crop in a step. [default: 8]")
    ] = None,
    learning_rate: Annotated[
        float | None, flag("--learning-rate", "RATE", "Highest learning rate. [default: 0.001]")
    ] = None,
    weight_decay: Annotated[
        float | None, flag("--weight-decay", "RATE", "Weight decay of AdamW. [default: 0.01]")
    ] = None,
    warmup_steps: Annotated[
        int | None, flag("--warmup-steps", "N", "Steps of rising learning rate. [default: 60]")
    ] = None,
    label_smoothing: Annotated[
        float | None, flag("--label-smoothing", "SHARE", "Doubt in each label. [default: 0.03]")
    ] = None,
    ema: Annotated[
        float | None, flag("--ema", "SHARE", "Memory of the moving average that is kept. [default: 0.99]")
    ] = None,
    patch_drop: Annotated[
        float | None,
        flag("--patch-drop", "SHARE", "Share of patches that a transformer is not shown in training. [default: 0]"),
    ] = None,
    patch_loss: Annotated[
        float | None, flag("--patch-loss", "WEIGHT", "Weight of the heat map's loss. [default: 0.25]")
    ] = None,
    real_spread: Annotated[
        float | None,
        flag("--real-spread", "WEIGHT", "Weight of the spread of genuine logits in a batch. [default: 0]"),
    ] = None,
    given_weight: Annotated[
        float | None, flag("--given-weight", "WEIGHT", "Weight of forgeries that came with the data. [default: 0.6]")
    ] = None,
    seed: Annotated[int | None, flag("--seed", "N", "Seed of everything drawn. [default: 0]")] = None,
    save_every: Annotated[int | None, flag("--save-every", "STEPS", "Steps between checkpoints. [default: 25]")] = None,
    check_every: Annotated[
        int | None, flag("--check-every", "STEPS", "Steps between checks on val. [default: 100]")
    ] = None,
    check_pairs: Annotated[int | None, flag("--check-pairs", "N", "Pairs drawn for a check. [default: 120]")] = None,
    threads: Annotated[int | None, flag("--threads", "N", "Processor threads. [default: all cores]")] = None,
    precision: Annotated[
        str | None, flag("--precision", "NAME", "float32, bfloat16 or auto: the faster one here. [default: auto]")
    ] = None,
    fuse: Annotated[
        bool | None, flag("--fuse", "", "Fuse operations first: faster; needs a C++ compiler. [default: off]")
    ] = None,
) -> int:
    """Train a detector: build the face store and the twins where asked, then train, or go on where a run stopped.

    The shares of the kinds of forgery and of the sources are set in the TOML file, under [kinds] and [sources].
    """
    flags = {
        "store": store, "twins": twins, "task": task, "network": network, "init": init, "tune": tune, "head": head,
        "dropout": dropout, "augment": augment, "steps": steps, "pairs": pairs, "learning_rate": learning_rate,
        "weight_decay": weight_decay, "warmup_steps": warmup_steps, "label_smoothing": label_smoothing, "ema": ema,
        "patch_drop": patch_drop, "patch_loss": patch_loss, "real_spread": real_spread, "given_weight": given_weight,
        "seed": seed, "save_every": save_every, "check_every": check_every, "check_pairs": check_pairs,
        "threads": threads, "precision": precision, "fuse": fuse,
    }  # fmt: skip
    require_extra()
    from fakelab.training.loop import Trainer, read_config
    from fakelab.training.networks import check_start

    chosen = read_config(config, **flags)
    if not chosen.store:
        raise TrainingError("there is nothing to train on", "no face store was named", "Give --store FOLDER.")
    if manifest is None and mesh is not None:
        raise UsageError("--mesh has no use here", "it is used while a store is built", "Give --manifest FILE as well.")
    wants_twins = make_twins is not None or upsamplers > 0
    if twin_faces is not None and twin_faces < 1:
        raise UsageError(f"{twin_faces} faces have no twins", "", "Give --twin-faces 1 or more.")
    if twin_faces is not None and not wants_twins:
        raise UsageError(
            "--twin-faces has no use here", "no twins are made", "Give --make-twins or --upsamplers as well."
        )
    if wants_twins and not chosen.twins:
        raise UsageError("the twins have no place", "they are to be made, without --twins", "Give --twins FOLDER.")
    if manifest is not None or wants_twins:
        # Cutting faces and making twins takes hours: weights that cannot be had must be known before.
        check_start(chosen.network, init=chosen.init, tune=chosen.tune, head=chosen.head)
    if manifest is not None:
        _build_store(manifest, Path(chosen.store), mesh)
    if wants_twins:
        _make_twins(chosen, make_twins, upsamplers, twin_faces)
    trainer = Trainer(chosen, out, log=log)
    trainer.run()
    from fakelab.data.duplicates import write_known
    from fakelab.training.ship import from_checkpoint, ship

    trained, _ = from_checkpoint(out)
    model = ship(trained, chosen, out / "model", name=out.resolve().name, manifest_sha256=trainer.store.sha256)
    # Beside the model, not in it: blurred likenesses of the faces can be made from these hashes.
    write_known(trainer.store, trainer.train_pairs.rows, out / "known.npy")
    print(f"The run is in {safe(str(out))}. Use its model with: fakelab analyze --model {safe(str(model))} FILE")
    print("It is not calibrated, so it gives no level of evidence yet: fakelab evaluate, then fakelab calibrate.")
    return 0


def require_extra() -> None:
    """Raises EnvironmentBrokenError without the extra 'train'."""
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise EnvironmentBrokenError(
            "training cannot start",
            f"the extra 'train' is not installed (no {', '.join(missing)})",
            "Install it with: pip install 'fakelab-verify[train]'",
        )


def log(line: str) -> None:
    """Prints a line of progress to stderr."""
    print(safe(line), file=sys.stderr, flush=True)


def _counted(stage: str, progress: Callable[[str, int, int | None], None]) -> Callable[[int, int], None]:
    return lambda done, total: progress(stage, done, total)


def _build_store(manifest: Path, folder: Path, mesh: Path | None) -> None:
    from fakelab.data.prepare import build_store

    with bar("Face store") as progress:
        made = build_store(manifest, folder, mesh=mesh, progress=_counted("finding faces", progress))
    log(f"face store: {len(made.crops)} faces in {folder}")


def _make_twins(config: TrainConfig, maker_folder: Path | None, upsamplers: int, most: int | None) -> None:
    from fakelab.data.store import open_store
    from fakelab.training import upsample
    from fakelab.training.twin import Maker, TwinMaker, make_twins, one_of, rows_for_twins

    store, target = open_store(Path(config.store)), Path(config.twins)
    rows = rows_for_twins(store, most, config.seed)
    makers: list[Maker] = [] if maker_folder is None else [TwinMaker(maker_folder)]
    shares = [1.0] * len(makers)
    if upsamplers:
        # Not from faces that the network is checked on.
        own = rows[store.split[rows] == "train"]
        with bar("Up-samplers") as progress:
            counted = _counted("training", progress)
            makers += upsample.upsamplers(
                store.crops, own, target, count=upsamplers, seed=config.seed, progress=counted
            )
        shares += [1 / upsamplers] * upsamplers
    with bar("Twins") as progress:
        make_twins(
            store,
            rows,
            one_of(makers, shares),
            target,
            seed=config.seed,
            # What was scaled looks softer: of whole pictures that is all that would be learnt.
            full_size=config.task == "pictures",
            progress=_counted("making", progress),
        )
    log(f"twins: {len(rows)} in {config.twins}")
