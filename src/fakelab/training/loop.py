"""Training, top to bottom: pairs of one real crop and a forgery of it -> a tuned network, its curves and checkpoint.

A step's batch is drawn from the seed and the step's number alone, so a run that was cut off goes on where it was; with
the `default` augmentation not bit for bit, since x264 does not always encode two or three frames alike. Checkpoints are
safetensors and JSON. The network that is exported is the exponential moving average (EMA). Checkpoints are compared on
`val` rows only; nothing here opens `test`.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakelab.data.store import FaceStore, open_store
from fakelab.errors import TrainingError, unknown_name
from fakelab.evaluation.metrics import auc
from fakelab.training.augment import AUGMENTS
from fakelab.training.checkpoint import optimizer_tensors, restore_optimizer
from fakelab.training.curves import draw_curves, read_curves
from fakelab.training.networks import FaceNet, backbone, bfloat16_pays, make_network, shorten_frozen, tuned_state
from fakelab.training.pairs import FACE_KINDS, KINDS, PairSource
from fakelab.training.schedule import rate_share

Log = Callable[[str], None]
PRECISIONS = ("auto", "float32", "bfloat16")
TASKS = ("faces", "pictures")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Every choice of a run; a TOML file may set any of them, and flags override the file."""

    store: str = ""
    """Folder of the face store."""
    twins: str = ""
    """Folder of twins made from the store; without it no twin is drawn."""
    task: str = "faces"
    """faces, or pictures: whole photos, generated or not, from a store of `--region view` with twice the side."""
    network: str = "clip_vit_b16"
    init: str = ""
    """clip, imagenet, none or a path; empty: what suits the network."""
    tune: str = ""
    head: str = "linear"
    dropout: float = 0.0
    augment: str = "default"
    steps: int = 900
    pairs: int = 8
    """Pairs a batch: twice as many pictures."""
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_steps: int = 60
    label_smoothing: float = 0.03
    ema: float = 0.99
    patch_drop: float = 0.0
    """Share of a picture's patches that a transformer is not shown in training: a step costs as much less."""
    patch_loss: float = 0.25
    """Weight of the loss that teaches the heat map where a blended face lies."""
    real_spread: float = 0.0
    """Weight of the variance of a batch's genuine logits: one scale for every source, which a threshold needs."""
    given_weight: float = 0.6
    """Loss weight of forgeries that came with the data: their labels are noisy."""
    kinds: dict[str, float] = field(
        default_factory=lambda: {"self": 0.3, "cross": 0.1, "twin_blend": 0.25, "twin_whole": 0.22, "given": 0.13}
    )
    """How often each kind of forgery is drawn."""
    sources: dict[str, float] = field(default_factory=dict)
    """How often each source of real crops is drawn; empty: in proportion to the square root of its size."""
    seed: int = 0
    save_every: int = 25
    check_every: int = 100
    check_pairs: int = 120
    threads: int = 0
    """0: all cores."""
    precision: str = "auto"
    """float32, bfloat16, or auto: the faster of both on this processor, kept when a run is resumed."""
    fuse: bool = False
    """Fuse the network's operations first: about a quarter faster on a processor; needs a C++ compiler."""


_FOR_PICTURES: dict[str, Any] = {"augment": "photo", "kinds": {"twin_whole": 1.0}, "patch_loss": 0.0}
"""What is not asked of whole pictures: they have no face to blend."""


def read_config(path: Path | None, **flags: Any) -> TrainConfig:
    """The configuration of a TOML file with flags laid over it (None means not given).

    Raises TrainingError for a file that cannot be read, UnknownNameError for a setting that does not exist.
    """
    import tomllib

    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise TrainingError(f"the configuration {path} cannot be read", str(error), "Give a TOML file.") from error
    values |= {key: value for key, value in flags.items() if value is not None}
    known = [each.name for each in fields(TrainConfig)]
    for name in values:
        if name not in known:
            raise unknown_name("training setting", name, known)
    config = TrainConfig(**(_FOR_PICTURES | values if values.get("task") == "pictures" else values))
    for kind in config.kinds:
        if kind not in KINDS:
            raise unknown_name("kind of forgery", kind, KINDS)
        if config.task == "pictures" and kind in FACE_KINDS:
            raise TrainingError(f"whole pictures have no forgery of kind '{kind}'", "it needs a face", "Leave it out.")
    if config.task not in TASKS:
        raise unknown_name("task", config.task, TASKS)
    if config.precision not in PRECISIONS:
        raise unknown_name("precision", config.precision, PRECISIONS)
    if config.augment not in AUGMENTS:
        raise unknown_name("augmentation", config.augment, AUGMENTS)
    return config


class Trainer:
    """One run in one folder: `run` trains to the last step, resuming from the folder's checkpoint."""

    def __init__(self, config: TrainConfig, folder: Path, log: Log = print) -> None:
        if not config.store:
            raise TrainingError("there is nothing to train on", "no face store was given", "Give --store FOLDER.")
        self.config, self.folder, self.log = config, folder, log
        folder.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(config.threads or torch.get_num_threads())
        torch.manual_seed(config.seed)
        self.store: FaceStore = open_store(Path(config.store))
        twins = Path(config.twins) if config.twins else None
        self.train_pairs = PairSource(
            self.store, twins, "train", config.kinds, config.sources, config.augment, config.seed
        )
        self.val_pairs = PairSource(self.store, twins, "val", config.kinds, {}, config.augment, config.seed + 1)
        self.network = make_network(
            config.network,
            init=config.init,
            tune=config.tune,
            head=config.head,
            dropout=config.dropout,
            patch_drop=config.patch_drop,
        )
        self.short = self._short()
        if self.short:
            shorten_frozen(self.network)
        # The same numbers under another call: names of what is saved stay those of the plain network.
        self.learner: Any = torch.compile(self.network) if config.fuse else self.network
        row = backbone(config.network)
        self.mean, self.std = (torch.tensor(each).view(1, 3, 1, 1) for each in (row.mean, row.std))
        self.tuned = {k: p for k, p in self.network.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(
            self.tuned.values(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.ema = {k: v.detach().clone() for k, v in tuned_state(self.network).items()}
        self.step = 0
        self._resume()
        # Not before: a folder whose checkpoint is refused keeps its own configuration.
        (folder / "config.json").write_text(json.dumps(asdict(config), indent=2), encoding="utf-8")

    # -- the story ---------------------------------------------------------------------------------------------

    def run(self, until: int | None = None) -> dict[str, Tensor]:
        """The EMA of the tuned numbers after the last step, or step `until`; curves and checkpoint in the folder."""
        config, started, losses = self.config, time.monotonic(), []
        count, kind = sum(p.numel() for p in self.tuned.values()), "bfloat16" if self.short else "float32"
        self.log(f"{config.network}: {count:,} numbers to tune in {kind}, step {self.step}")
        last = config.steps if until is None else min(until, config.steps)
        for pictures, masks, labels, weights in self._batches(last):
            losses.append(self._learn(pictures, masks, labels, weights))
            self.step += 1
            if self.step % 10 == 0:
                rate = len(losses) * 2 * config.pairs / (time.monotonic() - started)
                self._curve("train_loss", float(np.mean(losses[-10:])))
                self.log(f"step {self.step}/{config.steps}  loss {np.mean(losses[-10:]):.3f}  {rate:.1f} pictures/s")
            if self.step % config.check_every == 0 or self.step == last:
                self._check()
            if self.step % config.save_every == 0 or self.step == last:
                self._save()
        draw_curves(self.folder)
        return self.ema

    def _learn(self, pictures: Tensor, masks: Tensor, labels: Tensor, weights: Tensor) -> float:
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * rate_share(self.step, config.steps, config.warmup_steps)
        # Dropout must not depend on where a run was resumed.
        torch.manual_seed(config.seed * 1_000_003 + self.step)
        self.network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.short):
            logits, patches = self.learner(self._normal(pictures))
        loss = pair_loss(logits.float(), patches.float(), masks, labels, weights, config)
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss is {loss.item()} at step {self.step}", "", "Lower --learning-rate.")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(list(self.tuned.values()), 1.0)
        self.optimizer.step()
        state = self.network.state_dict()
        # Short runs would otherwise average in the untrained start.
        keep = min(config.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.ema.items():
            if value.is_floating_point():
                value.lerp_(state[name], 1 - keep)
            else:
                value.copy_(state[name])
        return float(loss.item())

    def val_auc(self) -> float:
        """Val AUC of the EMA as it is now, to five places: from the curves, or checked now. NaN without val rows."""
        for looked in (False, True):
            if looked:
                self._check()
            values = read_curves(self.folder).get("val_auc", ())
            if values and values[-1][0] == self.step:
                return values[-1][1]
        return math.nan

    def _check(self) -> None:
        """Val AUC of the EMA by kind of forgery, against the same reals, written to the curves."""
        if not self.val_pairs.usable:
            return
        scores: dict[str, tuple[list[float], list[float]]] = {}
        with self.averaged():
            for number in range(self.config.check_pairs):
                kind, real, fake, _ = self.val_pairs.pair(number)
                logits = self.score(np.stack([real, fake]))
                scores.setdefault(kind, ([], []))[0].append(float(logits[0]))
                scores[kind][1].append(float(logits[1]))
        reals = [each for real, _ in scores.values() for each in real]
        for kind, (_, fakes) in sorted(scores.items()):
            value = auc(*_labelled(reals, fakes))
            self._curve(f"val_auc_{kind}", value)
            self.log(f"  val {kind}: AUC {value:.3f} ({len(fakes)} forgeries)")
        every, is_fake = _labelled(reals, [each for _, fakes in scores.values() for each in fakes])
        self._curve("val_auc", auc(every, is_fake))
        self._curve("val_accuracy", float(np.mean((every > 0) == is_fake)))

    def score(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits (N,) of crops (N, S, S, 3), by the network as it is now, dropout off."""
        self.network.eval()
        pictures = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self.short):
            return np.asarray(self.network(self._normal(pictures))[0].float().numpy())

    @contextmanager
    def averaged(self) -> Iterator[FaceNet]:
        """The network with the EMA in it, for as long as the context lasts."""
        kept = {k: v.detach().clone() for k, v in tuned_state(self.network).items()}
        self.network.load_state_dict(self.ema, strict=False)
        try:
            yield self.network
        finally:
            self.network.load_state_dict(kept, strict=False)

    def _short(self) -> bool:
        """Whether the frozen weights and the products are in bfloat16, as the folder's checkpoint was if undecided."""
        if self.config.precision != "auto":
            return self.config.precision == "bfloat16"
        from safetensors import safe_open

        path, kept = self.folder / "checkpoint.safetensors", None
        if path.is_file():
            with safe_open(path, "pt") as file:
                kept = (file.metadata() or {}).get("precision")
        return bfloat16_pays() if kept is None else bool(kept == "bfloat16")

    # -- batches, checkpoints, curves --------------------------------------------------------------------------

    def _normal(self, pictures: Tensor) -> Tensor:
        # Colours side by side: convolutions are a sixth faster so, and what they give keeps the layout.
        return ((pictures - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def _batches(self, last: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        loader: Any = torch.utils.data.DataLoader(
            _Steps(self.train_pairs, self.config.pairs, self.step, last),
            batch_size=None,
            num_workers=1,
            prefetch_factor=4,
        )
        for crops, masks, labels, weights in loader:
            yield crops.permute(0, 3, 1, 2).float() / 255, masks, labels, weights

    def _save(self) -> None:
        from safetensors.torch import save_file

        tensors = {f"ema.{k}": v for k, v in self.ema.items()}
        tensors |= {f"net.{k}": v.detach().clone() for k, v in tuned_state(self.network).items()}
        tensors |= optimizer_tensors(self.optimizer, self.tuned)
        part = self.folder / "checkpoint.part"
        metadata = {"step": str(self.step), "config": json.dumps(asdict(self.config))}
        save_file(tensors, part, metadata=metadata | {"precision": "bfloat16" if self.short else "float32"})
        part.replace(self.folder / "checkpoint.safetensors")

    def _resume(self) -> None:
        from safetensors import safe_open

        path = self.folder / "checkpoint.safetensors"
        if not path.is_file():
            return
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        theirs = json.loads(metadata["config"])
        if theirs["network"] != self.config.network:
            raise TrainingError(
                f"the checkpoint in {self.folder} is of another network", "", "Choose another --out folder."
            )
        self.step = int(metadata["step"])
        net = {k.removeprefix("net."): v for k, v in tensors.items() if k.startswith("net.")}
        if set(net) != set(self.ema):
            raise TrainingError(f"the checkpoint in {self.folder} tunes other numbers", "", "Choose another --out.")
        self.network.load_state_dict(net, strict=False)
        self.ema = {k: tensors[f"ema.{k}"] for k in self.ema}
        restore_optimizer(self.optimizer, self.tuned, tensors)
        self._forget_curves()
        mine = asdict(self.config).items()
        changed = [f"{key} {theirs.get(key)} -> {value}" for key, value in mine if theirs.get(key) != value]
        self.log(f"resumed at step {self.step}" + (f", with changed settings: {'; '.join(changed)}" if changed else ""))

    def _forget_curves(self) -> None:
        """Drops what a run that was cut off wrote into its curves after its last checkpoint."""
        path = self.folder / "curves.csv"
        if path.is_file():
            head, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [row for row in rows if int(row.split(",")[0]) <= self.step]
            path.write_text("".join([head, *kept]), encoding="utf-8")

    def _curve(self, name: str, value: float) -> None:
        path = self.folder / "curves.csv"
        new = not path.is_file()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(("step", "name", "value"))
            writer.writerow((self.step, name, f"{value:.5f}"))


class _Steps(torch.utils.data.Dataset[tuple[Tensor, ...]]):
    """Step number -> that step's batch, made in the loader's process."""

    def __init__(self, pairs: PairSource, count: int, start: int, stop: int) -> None:
        self.pairs, self.count, self.start, self.stop = pairs, count, start, stop

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def __getitem__(self, at: int) -> tuple[Tensor, ...]:
        if at >= len(self):
            raise IndexError(at)
        first = (self.start + at) * self.count
        made = [self.pairs.pair(first + each) for each in range(self.count)]
        crops = np.stack([crop for _, real, fake, _ in made for crop in (real, fake)])
        masks = np.stack([mask for *_, pair_masks in made for mask in pair_masks])
        labels = torch.tensor([0.0, 1.0] * self.count)
        given = [kind == "given" for kind, *_ in made]
        weights = torch.tensor([[1.0, 0.0 if each else 1.0] for each in given]).flatten()
        return torch.from_numpy(crops), torch.from_numpy(masks), labels, weights


def pair_loss(
    logits: Tensor, patches: Tensor, masks: Tensor, labels: Tensor, known_mask: Tensor, config: TrainConfig
) -> Tensor:
    """Binary cross-entropy of logits (B,), and of patch logits (B, h, w) against masks (B, S, S) where known.

    With `real_spread` the variance of the genuine logits is added: a batch draws them from several sources, and a
    threshold needs all of them on one scale (in the spirit of V-REx, Krueger et al. 2021, on logits instead of risks).

    `known_mask` (B,) is 0 for forgeries that came with the data: they weigh `given_weight`, and teach no map. Patch
    logits that are NaN were not seen, and count for nothing.
    """
    smooth = config.label_smoothing
    targets = labels * (1 - smooth) + smooth / 2
    each = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    weights = torch.where(known_mask > 0, 1.0, config.given_weight)
    loss = (each * weights).sum() / weights.sum()
    if config.real_spread > 0:
        loss = loss + config.real_spread * logits[labels == 0].var(correction=0)
    if config.patch_loss > 0:
        side = (int(patches.shape[1]), int(patches.shape[2]))
        wanted = nn.functional.adaptive_avg_pool2d(masks.unsqueeze(1), side).squeeze(1)
        seen = torch.isfinite(patches)
        patch = nn.functional.binary_cross_entropy_with_logits(patches.where(seen, 0.0), wanted, reduction="none")
        patch = (patch * seen).sum((1, 2)) / seen.sum((1, 2)).clamp(min=1)
        loss = loss + config.patch_loss * (patch * known_mask).sum() / known_mask.sum().clamp(min=1)
    return loss


def _labelled(reals: list[float], fakes: list[float]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores (N,) of both, and which of them are of fakes (N,)."""
    return np.array(reals + fakes, np.float64), np.arange(len(reals) + len(fakes)) >= len(reals)
