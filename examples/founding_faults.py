"""The faults of the founding study, each put back alone: what it reports with the fault, and mended."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fakelab.data.store import FaceStore, open_store, write_index
from fakelab.evaluation.metrics import auc
from fakelab.evaluation.tables import arrays
from fakelab.media.degrade import video_codec
from fakelab.training.loop import TrainConfig, Trainer
from fakelab.training.networks import FaceNet, backbone, make_network
from fakelab.training.ship import from_checkpoint

BATCH = 32
VOTES = 5
"""Frames whose votes were the stored "prob"."""
STRONG_CRF = 40

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fault:
    """A line of the table."""

    name: str
    what: str
    wrong: str
    mended: str


@dataclass(frozen=True, slots=True)
class Bench:
    """What the faults are put back into: a finished run, its store and its results."""

    folder: Path
    config: Callable[..., TrainConfig]
    run: Path
    store: Path
    results: Sequence[dict[str, Any]]
    seed: int
    tell: Callable[[str], None]


def faults(bench: Bench) -> list[Fault]:
    """Every fault of the list that a number can show, then those that are counted."""
    store = open_store(bench.store)
    network, config = from_checkpoint(bench.run)
    test = np.flatnonzero(store.split == "test")
    logits = score(network, config, store, test)
    return [
        hard_predictions(bench.results),
        checkpoint_on_test(bench, store),
        people_in_training(bench, store, logits, test),
        other_normalisation(network, config, store, logits, test),
        loose_loading(config, store, logits, test),
        dropout_at_inference(network, config, store, logits, test),
        votes(store, logits, test),
        no_compression(bench, network, config, store, test),
        *counted(bench.results),
    ]


def score(
    network: FaceNet,
    config: TrainConfig,
    store: FaceStore,
    rows: NDArray[Any],
    *,
    normalised: bool = True,
    training: bool = False,
    change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
) -> Floats:
    """Logits (N,) of crops of the store."""
    row = backbone(config.network)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (row.mean, row.std))
    network.train(training)
    found = []
    for start in range(0, len(rows), BATCH):
        crops = np.stack([store.crops[each] for each in rows[start : start + BATCH]])
        crops = change(crops) if change else crops
        pictures = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            found.append(network((pictures - mean) / std if normalised else pictures)[0].float().numpy())
    network.eval()
    return np.concatenate(found).astype(np.float64)


def by_file(store: FaceStore, rows: NDArray[Any], logits: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """The mean logit of each file (F,), and whether it is a fake (F,)."""
    assert store.path is not None
    _, which = np.unique(store.path[rows], return_inverse=True)
    counts = np.bincount(which)
    fake = np.bincount(which, store.fake[rows]) > 0
    return np.bincount(which, logits) / counts, fake


def file_auc(store: FaceStore, rows: NDArray[Any], logits: Floats) -> float:
    """The AUC of the files' mean logits."""
    return auc(*by_file(store, rows, logits))


def hard_predictions(results: Sequence[dict[str, Any]]) -> Fault:
    """The AUC of which side of .5 a file is on, and that of its score."""
    p, fake, _ = arrays([each for each in results if each["p_fake"] is not None])
    hard = auc((p >= 0.5).astype(np.float64), fake)
    return Fault("AUC from hard predictions", "AUC", _three(hard), _three(auc(p, fake)))


def checkpoint_on_test(bench: Bench, store: FaceStore) -> Fault:
    """The best of the kept checkpoints on test, and the one that `val` chooses."""
    val, test = (np.flatnonzero(store.split == name) for name in ("val", "test"))
    seen: list[tuple[float, float]] = []
    for kept in sorted((bench.run / "kept").iterdir()):
        network, config = from_checkpoint(kept)
        parts = [file_auc(store, rows, score(network, config, store, rows)) for rows in (val, test)]
        seen.append((parts[0], parts[1]))
    best, chosen = max(test_auc for _, test_auc in seen), max(seen, key=lambda each: each[0])[1]
    return Fault(
        "checkpoint chosen on the reported set", f"test AUC, of {len(seen)} checkpoints", _three(best), _three(chosen)
    )


def people_in_training(bench: Bench, store: FaceStore, logits: Floats, test: NDArray[Any]) -> Fault:
    """The same training on a split by file: its own test files show people that it was trained on."""
    leaky = bench.folder / "leaky.store"
    if not (leaky / "index.npz").is_file():
        _split_by_file(bench.store, leaky, bench.seed)
    bench.tell("fault: people of test left in training")
    network, config = _trained(bench, "leaky", leaky)
    other = open_store(leaky)
    rows, learnt = np.flatnonzero(other.split == "test"), other.split == "train"
    seen = set(zip(other.source[learnt], other.group[learnt], strict=True))
    known = np.mean([each in seen for each in zip(other.source[rows], other.group[rows], strict=True)])
    value = file_auc(other, rows, score(network, config, other, rows))
    return Fault(
        "people of test left in training",
        f"AUC; {_percent(float(known))} of test crops show people of training",
        _three(value),
        _three(file_auc(store, test, logits)),
    )


def _split_by_file(store: Path, leaky: Path, seed: int) -> None:
    """A copy of the store whose files are dealt to the splits by chance, whoever they show."""
    shutil.copytree(store, leaky, dirs_exist_ok=True)
    with np.load(store / "index.npz") as index:
        arrays = {name: index[name] for name in index.files if name not in ("sha256", "skipped")}
        sha256, skipped = str(index["sha256"]), int(index["skipped"])
    files, first, which = np.unique(arrays["path"], return_index=True, return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(arrays["split"][first])
    assert len(dealt) == len(files)
    write_index(leaky / "index.npz", arrays | {"split": dealt[which]}, sha256=sha256, skipped=skipped)


def other_normalisation(
    network: FaceNet, config: TrainConfig, store: FaceStore, logits: Floats, test: NDArray[Any]
) -> Fault:
    """The network shown pictures of 0 to 1 as they are."""
    wrong = score(network, config, store, test, normalised=False)
    moved = float(np.abs(wrong - logits).mean())
    return Fault(
        "other normalisation at inference",
        f"AUC; mean logit moved by {moved:.2f}",
        _three(file_auc(store, test, wrong)),
        _three(file_auc(store, test, logits)),
    )


def loose_loading(config: TrainConfig, store: FaceStore, logits: Floats, test: NDArray[Any]) -> Fault:
    """A network whose head kept its random numbers, since nobody said that they were missing."""
    torch.manual_seed(config.seed + 1)
    start = "none" if config.network != "clip_vit_b16" else config.init
    loose = make_network(config.network, init=start, head=config.head, dropout=config.dropout)
    value = file_auc(store, test, score(loose, config, store, test))
    return Fault("weights loaded with strict=False", "AUC", _three(value), _three(file_auc(store, test, logits)))


def dropout_at_inference(
    network: FaceNet, config: TrainConfig, store: FaceStore, logits: Floats, test: NDArray[Any]
) -> Fault:
    """Two scorings of the same files: how many change sides. Statistics of batch norm are put back afterwards."""
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        drawn.append(by_file(store, test, score(network, config, store, test, training=True))[0] > 0)
        network.load_state_dict(kept)
    changed = float((drawn[0] != drawn[1]).mean())
    return Fault(
        "dropout on at inference", "files that change sides when asked twice", _percent(changed), _percent(0.0)
    )


def votes(store: FaceStore, logits: Floats, test: NDArray[Any]) -> Fault:
    """The share of the first frames of a file that are called fake, in place of a score."""
    assert store.path is not None
    kept = np.concatenate([np.flatnonzero(store.path[test] == name)[:VOTES] for name in np.unique(store.path[test])])
    share, fake = by_file(store, test[kept], (logits[kept] > 0).astype(np.float64))
    levels = len(np.unique(share))
    return Fault(
        "share of five frames as probability",
        f"AUC; different scores: {levels} of {len(share)} files",
        _three(auc(share, fake)),
        _three(file_auc(store, test, logits)),
    )


def no_compression(bench: Bench, network: FaceNet, config: TrainConfig, store: FaceStore, test: NDArray[Any]) -> Fault:
    """The augmentation of 2020 against ours, on test crops after H.264."""
    bench.tell("fault: no compression in the augmentation")
    ours, own = _trained(bench, "compressed", bench.store, augment="default")

    def coded(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.stack([video_codec([crop], "h264", STRONG_CRF)[0] for crop in crops])

    values = [file_auc(store, test, score(net, of, store, test, change=coded)) for net, of in
              ((network, config), (ours, own))]  # fmt: skip
    return Fault("no compression in the augmentation", f"AUC, crops after H.264 CRF {STRONG_CRF}", *map(_three, values))


def counted(results: Sequence[dict[str, Any]]) -> list[Fault]:
    """Faults that are no number of a network: how many of the files meet them."""
    total = len(results)
    faceless = sum("no_face" in each.get("reasons", ()) for each in results)
    several = sum(each.get("tracks", 0) > 1 for each in results)
    return [
        Fault("crash when no face is found", "files", f"{faceless} of {total} end the run", "a level with its reason"),
        Fault("only the first face is judged", "files", f"{several} of {total} show several", "every person is judged"),
        Fault("whole video in memory", "frames held at once", "all of them", "1 (frames stream)"),
    ]


def _trained(bench: Bench, name: str, store: Path, **changed: Any) -> tuple[FaceNet, TrainConfig]:
    """A training with one thing changed: trained, resumed, or found."""
    folder = bench.folder / name
    Trainer(bench.config(store, **changed), folder, log=lambda line: None).run()
    return from_checkpoint(folder)


def _three(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "not measured"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
