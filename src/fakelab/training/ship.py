"""A finished run -> a folder that `fakelab analyze --model FOLDER` takes: weights and their card.

The card of a fresh run says that it is not calibrated: its lines are set so that nothing reaches a level of evidence
until `fakelab calibrate` has measured real and fake files that the model was not trained on.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from fakelab.data.store import STORE_SPEC
from fakelab.errors import TrainingError
from fakelab.media.views import VIEWS_VERSION
from fakelab.models.card import COLOUR_ORDER, TOWER, UNCALIBRATED, WEIGHTS, sha256_of, write_card
from fakelab.records import CropSpec, ModelCard
from fakelab.training.export import shorten, write_onnx, write_tower, write_tuning
from fakelab.training.loop import TrainConfig
from fakelab.training.networks import FaceNet, backbone, clip_tower_state, make_network, tuned_state

TOWER_FILE = f"{TOWER}/tower.onnx"
CLIP_NETWORK = "clip_vit_b16"
GATE = {
    "min_face_px": 32.0,
    "small_face_px": 48.0,
    "min_blur": 3.0,
    "min_luma": 25.0,
    "min_bits_per_pixel": 0.005,
    "max_people": 40.0,
}
PICTURE_GATE = {"min_side_px": 64.0, "small_side_px": 200.0, "min_luma": 20.0}
VIEW_SPEC = CropSpec(VIEWS_VERSION, STORE_SPEC.size_px, 1.0, boxes_from="view")


def ship(network: FaceNet, config: TrainConfig, folder: Path, *, name: str, manifest_sha256: str) -> Path:
    """Writes the weights and an uncalibrated card to `folder`, which it returns."""
    folder.mkdir(parents=True, exist_ok=True)
    if config.network == CLIP_NETWORK and (config.tune or "norms") != "all":
        write_tuning(network, folder / "tuning.safetensors")
        files = {"tuning.safetensors": sha256_of(folder / "tuning.safetensors")}
        if not (WEIGHTS / TOWER_FILE).is_file():
            raise TrainingError(f"there is no shared tower at {WEIGHTS / TOWER_FILE}", "", "Reinstall fakelab-verify.")
        files[TOWER_FILE] = sha256_of(WEIGHTS / TOWER_FILE)
    else:
        write_onnx(network, folder / "model.onnx", STORE_SPEC.size_px)
        shorten(folder / "model.onnx")
        files = {"model.onnx": sha256_of(folder / "model.onnx")}
    row, pictures = backbone(config.network), config.task == "pictures"
    kinds = ("photo",) if pictures else ("video", "photo")
    card = ModelCard(
        name=name,
        version="0.1.0",
        summary=f"{config.network}, trained by `fakelab train`; not calibrated yet.",
        architecture=config.network,
        task="generated pictures" if pictures else "manipulated faces",
        crop=VIEW_SPEC if pictures else CropSpec(STORE_SPEC.version, STORE_SPEC.size_px, STORE_SPEC.margin),
        mean=row.mean,
        std=row.std,
        colour_order=COLOUR_ORDER,
        calibration={kind: {"slope": 1.0, "offset": 0.0} for kind in kinds},
        thresholds={kind: dict(UNCALIBRATED) for kind in kinds},
        gate=dict(PICTURE_GATE if pictures else GATE),
        files=files,
        training={**asdict(config), "manifest_sha256": manifest_sha256},
        data=(),
        metrics={},
        weak_spots=("Not calibrated: it gives no level of evidence.",),
        licence="Apache-2.0",
    )
    write_card(card, folder)
    return folder


def shared_tower(clip_file: Path) -> Path:
    """Writes the shared INT8 tower from an ONNX file of CLIP's image tower, and returns its path."""
    path = WEIGHTS / TOWER_FILE
    write_tower(clip_tower_state(clip_file), path)
    return path


def from_checkpoint(folder: Path) -> tuple[FaceNet, TrainConfig]:
    """The network with the averaged numbers of a run's checkpoint, and the run's configuration."""
    from safetensors import safe_open

    with safe_open(folder / "checkpoint.safetensors", "pt") as file:
        config = TrainConfig(**json.loads(file.metadata()["config"]))
        keys = [key for key in file.keys() if key.startswith("ema.")]  # noqa: SIM118
        ema: dict[str, Tensor] = {key.removeprefix("ema."): file.get_tensor(key) for key in keys}
    # What was frozen is not in the checkpoint. For CLIP it is the shared tower, which the numbers will be laid over;
    # else it comes from where the run took it, by the same seed if it was drawn.
    tune = config.tune or backbone(config.network).default_tune
    frozen = "clip" if config.network == CLIP_NETWORK and config.init != "none" else config.init
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = make_network(
            config.network,
            init="none" if tune == "all" else frozen,
            tune=tune,
            head=config.head,
            dropout=config.dropout,
        )
    wrong = set(ema) ^ set(tuned_state(network))
    if wrong:
        raise TrainingError(
            f"the checkpoint in {folder} does not fit {config.network}",
            f"missing or unknown: {', '.join(sorted(wrong)[:3])}",
            "Use the checkpoint with the FakeLab that made it.",
        )
    network.load_state_dict(ema, strict=False)
    return network, config
