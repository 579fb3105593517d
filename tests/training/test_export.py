# ruff: noqa: E402 (without torch the module is skipped before it imports what needs torch)
from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import portrait_maker

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("timm", reason="the extra 'train' is not installed")
onnx = pytest.importorskip("onnx", reason="the extra 'train' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'train' is not installed")

import onnxruntime as ort
from safetensors.numpy import load_file
from safetensors.torch import save_file

from fakelab.errors import TrainingError
from fakelab.media.views import VIEWS_VERSION
from fakelab.models.card import load_card, model_file, read_card
from fakelab.models.onnx_file import FLOAT, initializers
from fakelab.models.runtime import load_model, open_session
from fakelab.records import Crop
from fakelab.training.export import QUANTISED, shorten, write_onnx, write_tower, write_tuning
from fakelab.training.loop import TrainConfig, read_config
from fakelab.training.networks import CLIP, FaceNet, _shipped_tower, clip_tower_state, make_network, tuned_state
from fakelab.training.ship import from_checkpoint, ship


def normal(crops: Any, mean: Any, std: Any) -> Any:
    pictures = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    return (pictures - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)


def crops(count: int) -> list[Any]:
    return [portrait_maker.face_crop(224, seed) for seed in range(count)]


# -- one ONNX file -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny() -> FaceNet:
    torch.manual_seed(11)
    network = make_network("tiny", head="hidden", dropout=0.5)
    network.head[3].running_mean.normal_()
    return network


@pytest.fixture(scope="module")
def shipped(tiny: FaceNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = TrainConfig(network="tiny", head="hidden", dropout=0.5)
    return ship(tiny, config, tmp_path_factory.mktemp("shipped"), name="mine", manifest_sha256="abc")


def test_the_onnx_file_answers_as_the_network_does(tiny: FaceNet, shipped: Path) -> None:
    session = ort.InferenceSession(str(shipped / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["pixels"]
    assert [each.name for each in session.get_outputs()] == ["logit", "map"]
    for seed in range(4):
        pictures = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            wanted = tiny.eval()(pictures)
        got = session.run(None, {"pixels": pictures.numpy()})
        for ours, theirs in zip(got, wanted, strict=True):
            assert ours.shape == tuple(theirs.shape)
            assert np.allclose(ours, theirs, atol=1e-4)


def test_a_shipped_network_answers_through_the_runtime_as_it_did_in_training(tiny: FaceNet, shipped: Path) -> None:
    """The road of a user, normalisation included, against torch with the table's mean and deviation."""
    model = load_model(str(shipped), threads=1)
    images = crops(4)
    logits, maps = model.score([Crop(image, 1) for image in images])
    with torch.inference_mode():
        wanted, patches = tiny.eval()(normal(images, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    assert np.allclose(logits, wanted, atol=1e-4)
    assert np.allclose(maps, torch.sigmoid(patches), atol=1e-4)
    assert np.ptp(logits) > 1e-3


def test_large_weights_take_a_quarter_of_the_space_and_answer_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, path = make_network("resnet18", init="none").eval(), tmp_path / "model.onnx"
    pixels = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    write_onnx(network, path, 64)
    size = path.stat().st_size
    logit, heat = ort.InferenceSession(path).run(None, {"pixels": pixels})
    shorten(path)
    assert path.stat().st_size < 0.27 * size
    short_logit, short_heat = ort.InferenceSession(path).run(None, {"pixels": pixels})
    assert short_logit == pytest.approx(logit, abs=0.01 * float(np.abs(logit).max()) + 0.005)
    assert np.corrcoef(heat.ravel(), short_heat.ravel())[0, 1] > 0.999
    assert not np.array_equal(heat, short_heat)


def test_the_card_of_a_fresh_run_reaches_no_level_of_evidence(shipped: Path) -> None:
    card = read_card(shipped / "card.json")
    assert (card.name, card.architecture, card.training["manifest_sha256"]) == ("mine", "tiny", "abc")
    for kind in ("video", "photo"):
        assert card.thresholds[kind]["moderate"] > 1
        assert card.thresholds[kind]["strong"] > 1
    assert any("ot calibrated" in each for each in card.weak_spots)


def test_a_network_of_whole_pictures_says_so_on_its_card(tiny: FaceNet, tmp_path: Path) -> None:
    config = read_config(None, task="pictures", network="tiny")
    card = read_card(ship(tiny, config, tmp_path, name="mine", manifest_sha256="abc") / "card.json")
    assert card.task == "generated pictures"
    assert (card.crop.boxes_from, card.crop.size_px, card.crop.version) == ("view", 224, VIEWS_VERSION)
    assert list(card.calibration) == list(card.thresholds) == ["photo"], "videos are not its business"
    assert card.gate["min_side_px"] > 0


# -- a checkpoint --------------------------------------------------------------------------------------------------


def checkpoint(network: FaceNet, config: TrainConfig, folder: Path, **changed: Any) -> None:
    tensors = {f"ema.{name}": value.clone() for name, value in tuned_state(network).items()}
    tensors = {name: value for name, value in (tensors | changed).items() if value is not None}
    save_file(tensors, folder / "checkpoint.safetensors", metadata={"step": "1", "config": json.dumps(asdict(config))})


@pytest.mark.parametrize("tune", ["all", "norms", "head"])
def test_the_network_of_a_checkpoint_is_the_one_that_was_trained_frozen_parts_included(
    tune: str, tmp_path: Path
) -> None:
    """Frozen numbers are not in a checkpoint: a network that drew them anew would be another one."""
    config = TrainConfig(network="tiny", init="none", tune=tune, seed=5)
    torch.manual_seed(config.seed)
    trained = make_network("tiny", init="none", tune=tune)
    with torch.no_grad():
        for parameter in trained.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3)
    checkpoint(trained, config, tmp_path)
    torch.manual_seed(99)
    network, read = from_checkpoint(tmp_path)
    assert read == config
    wanted = trained.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in network.state_dict().items())


def test_a_network_that_was_started_from_a_file_is_started_from_it_again(tmp_path: Path) -> None:
    torch.manual_seed(1)
    body = dict(make_network("tiny").body.state_dict())
    save_file(body, tmp_path / "start.safetensors")
    config = TrainConfig(network="tiny", init=str(tmp_path / "start.safetensors"), tune="head")
    checkpoint(make_network("tiny", init=config.init, tune="head"), config, tmp_path)
    network, _ = from_checkpoint(tmp_path)
    assert all(torch.equal(value, body[name]) for name, value in network.body.state_dict().items())


def test_a_checkpoint_with_a_missing_or_unknown_number_is_refused(tmp_path: Path) -> None:
    config = TrainConfig(network="tiny")
    network = make_network("tiny")
    for changed in ({"ema.body.0.bias": None}, {"ema.body.7.bias": torch.zeros(1)}):
        checkpoint(network, config, tmp_path, **changed)
        with pytest.raises(TrainingError, match="does not fit tiny"):
            from_checkpoint(tmp_path)


# -- CLIP: the shared tower, and tuned numbers laid over it --------------------------------------------------------


@pytest.fixture(scope="module")
def tuned(clip: FaceNet) -> Iterator[FaceNet]:
    """CLIP with the shipped tuning in it, every number of which is a little changed; taken out again at the end."""
    kept = {name: value.clone() for name, value in tuned_state(clip).items()}
    numbers = load_file(model_file("clip_face", "tuning.safetensors"))
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in clip.named_parameters():
            if parameter.requires_grad:
                shipped = torch.from_numpy(numbers[name.removeprefix("body.")])
                noise = torch.randn(parameter.shape, generator=generator) * 0.02 * shipped.abs().mean()
                parameter.copy_((shipped.T if "head" in name and shipped.ndim > 1 else shipped) + noise)
    yield clip
    clip.load_state_dict(kept, strict=False)


def varied() -> list[Any]:
    """The face as it is, upside down, with its colours inverted and blurred; two other places; noise; nothing."""
    face, picture = portrait_maker.face_crop(224, 0), portrait_maker.portrait()
    return [
        face,
        np.ascontiguousarray(face[::-1]),
        255 - face,
        cv2.GaussianBlur(face, (0, 0), 8),
        picture[280:504, 100:324].copy(),
        picture[:224, 288:].copy(),
        np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8),
        np.full((224, 224, 3), 120, np.uint8),
    ]


def test_a_tuning_bears_names_and_shapes_of_the_towers_initializers(tuned: FaceNet, tmp_path: Path) -> None:
    write_tuning(tuned, tmp_path / "tuning.safetensors")
    tower, numbers = initializers(_shipped_tower()), load_file(tmp_path / "tuning.safetensors")
    assert sum(value.size for value in numbers.values()) == 124_418
    assert {name: (FLOAT, value.shape) for name, value in numbers.items()} == {name: tower[name] for name in numbers}


def test_a_tuning_is_a_start_for_the_next_run(tuned: FaceNet, tmp_path: Path) -> None:
    write_tuning(tuned, tmp_path / "tuning.safetensors")
    again = make_network("clip_vit_b16", init=str(tmp_path / "tuning.safetensors"))
    wanted = tuned.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in again.state_dict().items())


def test_a_whole_clip_network_is_a_start_too_and_is_not_taken_for_a_tuning(tuned: FaceNet, tmp_path: Path) -> None:
    wanted = tuned.state_dict()
    save_file(wanted, tmp_path / "whole.safetensors")
    again = make_network("clip_vit_b16", init=str(tmp_path / "whole.safetensors"))
    assert all(torch.equal(value, wanted[name]) for name, value in again.state_dict().items())


def test_a_tuning_of_another_shape_or_with_unknown_numbers_is_refused(tmp_path: Path) -> None:
    numbers = load_file(model_file("clip_face", "tuning.safetensors"))
    shipped = {name: torch.from_numpy(value) for name, value in numbers.items()}
    for wrong in ("norm.weight", "blocks.99.norm1.weight"):
        save_file({**shipped, wrong: torch.zeros(5)}, tmp_path / "wrong.safetensors")
        with pytest.raises(TrainingError, match="do not fit clip_vit_b16"):
            make_network("clip_vit_b16", init=str(tmp_path / "wrong.safetensors"))


def test_the_shipped_tuning_tunes_what_training_tunes(clip: FaceNet) -> None:
    numbers = load_file(model_file("clip_face", "tuning.safetensors"))
    assert set(numbers) == {name.removeprefix("body.") for name in tuned_state(clip)}


def test_the_integer_tower_with_a_tuning_agrees_with_the_float_network(tuned: FaceNet, tmp_path: Path) -> None:
    write_tuning(tuned, tmp_path / "tuning.safetensors")
    card = replace(load_card("clip_face"), mean=CLIP[0], std=CLIP[1])
    model = open_session("mine", card, _shipped_tower(), tmp_path / "tuning.safetensors", 0)
    logits, maps = model.score([Crop(image, 1) for image in varied()])
    torch.set_num_threads(os.cpu_count() or 1)
    with torch.inference_mode():
        wanted, patches = tuned(normal(varied(), *CLIP))
    torch.set_num_threads(1)
    assert np.corrcoef(logits, wanted)[0, 1] > 0.95
    assert np.abs(logits - wanted.numpy()).max() < 0.3 * np.ptp(wanted.numpy())
    assert np.corrcoef(maps.ravel(), torch.sigmoid(patches).numpy().ravel())[0, 1] > 0.93


def test_a_tuning_of_what_the_tower_cannot_take_is_refused(clip: FaceNet, tmp_path: Path) -> None:
    network = FaceNet("tiny", "hidden")
    with pytest.raises(TrainingError, match="hidden head cannot be laid over the tower"):
        write_tuning(network, tmp_path / "tuning.safetensors")
    matrix = clip.body.blocks[0].mlp.fc1.weight
    matrix.requires_grad_(True)
    try:
        with pytest.raises(TrainingError, match=r"'blocks.0.mlp.fc1.weight' cannot be laid over the tower"):
            write_tuning(clip, tmp_path / "tuning.safetensors")
    finally:
        matrix.requires_grad_(False)
    assert not (tmp_path / "tuning.safetensors").exists()


def test_a_tower_that_is_written_and_read_back_keeps_names_and_numbers(
    tower_state: dict[str, Any], tmp_path: Path
) -> None:
    write_tower(tower_state, tmp_path / "tower.onnx")
    assert initializers(tmp_path / "tower.onnx") == initializers(_shipped_tower())
    again = clip_tower_state(tmp_path / "tower.onnx")
    assert set(again) == set(tower_state)
    for name, value in tower_state.items():
        assert torch.allclose(again[name], value, atol=1e-6), name
    assert sum(any(f"{part}.weight" in name for part in QUANTISED) for name in tower_state) == 48
