from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import model_maker as maker
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fakelab.errors import ModelError, UnknownNameError
from fakelab.models.card import MODELS, WEIGHTS, read_card
from fakelab.models.runtime import FaceModel, load_model, open_session
from fakelab.records import Crop, CropSpec

MEAN_OF_ALL = np.full((3, 1), 1 / 3, np.float32)


@pytest.fixture(scope="module")
def tiny() -> FaceModel:
    return load_model("tiny", threads=1)


def some_crops(count: int, size: int = 224) -> list[Crop]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8) // np.arange(1, count + 1).reshape(
        -1, 1, 1, 1
    )
    return [Crop(image.astype(np.uint8), 1) for image in images]


def flat(*colour: int) -> Crop:
    return Crop(np.full((maker.SIZE, maker.SIZE, 3), colour, np.uint8), 1)


# -- the models that ship ------------------------------------------------------------------------------------------


def test_scores_are_a_logit_and_a_map_for_each_crop(tiny: FaceModel) -> None:
    logits, maps = tiny.score(some_crops(3))
    assert (logits.shape, logits.dtype) == ((3,), np.float32)
    assert (maps.shape, maps.dtype) == ((3, 14, 14), np.float32)
    assert np.isfinite(logits).all()
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert maps.std() > 0


def test_no_crops_give_no_scores(tiny: FaceModel) -> None:
    logits, maps = tiny.score([])
    assert len(logits) == len(maps) == 0
    assert maps.ndim == 3


@pytest.mark.parametrize("name", MODELS)
def test_a_crop_scores_the_same_alone_and_in_a_list(name: str, tiny: FaceModel) -> None:
    """The 8-bit tower finds its activation scale per call: in one batch a neighbour would change the answer."""
    model, crops = tiny if name == "tiny" else load_model(name, threads=1), some_crops(3)
    logits, maps = model.score(crops)
    assert len(set(logits.tolist())) == 3
    for at, crop in enumerate(crops):
        logit, heat_map = model.score_one(crop)
        assert np.float32(logit) == logits[at]
        assert np.array_equal(heat_map, maps[at])
    assert np.array_equal(model.score(crops[::-1])[0][::-1], logits)


def test_progress_is_told_after_each_crop(tiny: FaceModel) -> None:
    told: list[tuple[int, int]] = []
    tiny.score(some_crops(2), lambda *done: told.append(done))
    assert told == [(1, 2), (2, 2)]


def test_lanes_change_neither_scores_nor_order(tiny: FaceModel) -> None:
    crops = some_crops(9)
    side_by_side = load_model("tiny", threads=3)
    assert (tiny.lanes, side_by_side.lanes) == (1, 3)
    scored = list(side_by_side.score_ahead(enumerate(crops), lambda item: item[1]))
    assert [item[0] for item, _, _ in scored] == list(range(9))
    logits, maps = tiny.score(crops)
    assert [np.float32(logit) for _, logit, _ in scored] == logits.tolist()
    assert np.array_equal(np.stack([heat_map for *_, heat_map in scored]), maps)


def test_no_more_than_a_few_items_wait_for_a_slow_caller(tiny: FaceModel) -> None:
    taken: list[int] = []
    items = ((taken.append(number), crop)[1] for number, crop in enumerate(some_crops(12)))
    scoring = tiny.score_ahead(items, lambda crop: crop)
    next(scoring)
    assert len(taken) == 3
    next(scoring)
    assert len(taken) == 4
    scoring.close()


def test_what_breaks_while_items_are_made_or_scored_comes_through(tiny: FaceModel) -> None:
    def broken() -> Iterator[Crop]:
        yield some_crops(1)[0]
        raise OSError("the file ended")

    with pytest.raises(OSError, match="the file ended"):
        list(tiny.score_ahead(broken(), lambda crop: crop))
    with pytest.raises(ModelError, match="does not fit"):
        list(tiny.score_ahead(some_crops(2, size=100), lambda crop: crop))
    assert not [each for each in threading.enumerate() if each.name.startswith("score")]


@pytest.mark.parametrize("name", ["tinny", "clip-face"])
def test_an_unknown_model_answers_with_the_known_ones(name: str) -> None:
    with pytest.raises(
        UnknownNameError, match=r"Did you mean .* Known: clip_face, generated_photo, lip_sync, tiny, voice"
    ):
        load_model(name)


# -- crops that do not fit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crop", "words"),
    [
        (Crop(np.zeros((224, 224, 3), np.uint8), 2), "of version 2"),
        (Crop(np.zeros((223, 224, 3), np.uint8), 1), r"\(223, 224, 3\)"),
        (Crop(np.zeros((112, 112, 3), np.uint8), 1), "224 px"),
        (Crop(np.zeros((224, 224), np.uint8), 1), r"\(224, 224\)"),
        (Crop(np.zeros((224, 224, 4), np.uint8), 1), r"\(224, 224, 4\)"),
        (Crop(np.zeros((3, 224, 224), np.uint8), 1), r"\(3, 224, 224\)"),
    ],
)
def test_a_crop_of_another_cropper_or_size_is_refused(crop: Crop, words: str, tiny: FaceModel) -> None:
    with pytest.raises(ModelError, match=words):
        tiny.score([crop])


# -- normalisation, with a model whose logit is known --------------------------------------------------------------


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    """A file whose logit is the mean of all that it is fed; its map is 2 x that."""
    pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    numbers = {"head.1.weight": MEAN_OF_ALL, "patch_head.weight": 2 * MEAN_OF_ALL}
    return maker.write_linear(tmp_path / "model.onnx", numbers)


@pytest.mark.parametrize("value", [0, 51, 255])
def test_pixels_are_fed_as_0_to_1(value: int, linear: Path) -> None:
    logit, heat_map = open_session("m", maker.card(), linear, None, 1).score_one(flat(value, value, value))
    assert logit == pytest.approx(value / 255, abs=1e-6)
    assert heat_map.ravel() == pytest.approx(1 / (1 + np.exp(-2 * value / 255)), abs=1e-6)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    ],
)
def test_pixels_are_normalised_as_the_card_says_channel_by_channel(mean: Any, std: Any, tmp_path: Path) -> None:
    """The founding study trained with ImageNet's statistics and ran with .5/.5."""
    pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    colour = (200, 100, 40)
    for channel in range(3):
        weight = np.zeros((3, 1), np.float32)
        weight[channel] = 1
        path = maker.write_linear(tmp_path / f"{channel}.onnx", {"head.1.weight": weight})
        logit, _ = open_session("m", maker.card(mean=mean, std=std), path, None, 1).score_one(flat(*colour))
        wanted = (colour[channel] / 255 - mean[channel]) / std[channel]
        assert logit == pytest.approx(wanted, abs=1e-5), "channel 0 is red"


def test_an_extreme_map_stays_within_0_and_1(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    for weight in (-9999.0, 9999.0):
        numbers = {"patch_head.weight": np.full((3, 1), weight, np.float32)}
        path = maker.write_linear(tmp_path / "m.onnx", numbers)
        _, heat_map = open_session("m", maker.card(), path, None, 1).score_one(flat(255, 255, 255))
        assert heat_map.ravel() == pytest.approx(float(weight > 0), abs=1e-6)


# -- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["model.onnx"])
def test_an_altered_file_is_refused(file: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(WEIGHTS / "tiny", tmp_path / "tiny"))
    load_model(str(folder), threads=1)
    data = bytearray((folder / file).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / file).write_bytes(data)
    with pytest.raises(ModelError, match=rf"{file} is altered.*fakelab models verify"):
        load_model(str(folder))
    (folder / file).unlink()
    with pytest.raises(ModelError, match=f"{file} is missing"):
        load_model(str(folder))


def test_a_model_is_loaded_from_a_folder_by_its_path(linear: Path) -> None:
    name = maker.write_card(linear.parent, maker.card(), "model.onnx")
    assert load_model(name, threads=1).score_one(flat(51, 51, 51))[0] == pytest.approx(0.2, abs=1e-6)


def test_a_card_that_names_no_onnx_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"its card names no \.onnx file"):
        load_model(maker.write_card(tmp_path, maker.card()))


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"<html>404</html>" * 9)
    with pytest.raises(ModelError, match="cannot be started"):
        load_model(maker.write_card(tmp_path, maker.card(), "model.onnx"))


def test_a_file_made_for_crops_of_another_size_is_refused_when_it_is_loaded(linear: Path) -> None:
    card = maker.card(crop=CropSpec(1, 64, 1.0))
    with pytest.raises(ModelError, match=r"the card wants pixels \(1, 3, 64, 64\)"):
        open_session("m", card, linear, None, 1)


@pytest.mark.parametrize(
    ("names", "words"),
    [(("input", "logit", "map"), "its input is"), (("pixels", "map", "logit"), "outputs are not logit and map")],
)
def test_a_file_with_other_inputs_or_outputs_is_refused(names: tuple[str, ...], words: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    path = maker.write_linear(tmp_path / "m.onnx", {}, names=names)
    with pytest.raises(ModelError, match=words):
        open_session("m", maker.card(), path, None, 1)


# -- tuned numbers laid over a file --------------------------------------------------------------------------------


def tuning(**changed: Any) -> dict[str, Any]:
    numbers = {
        "head.1.weight": MEAN_OF_ALL,
        "head.1.bias": np.array([5], np.float32),
        "patch_head.weight": np.zeros((3, 1), np.float32),
        "patch_head.bias": np.zeros(1, np.float32),
    }
    return {name: value for name, value in (numbers | changed).items() if value is not None}


@pytest.fixture
def tower(tmp_path: Path) -> Path:
    pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    return maker.write_linear(tmp_path / "tower.onnx", {})


def laid_over(tower: Path, numbers: dict[str, Any]) -> FaceModel:
    save_file(numbers, tower.parent / "tuning.safetensors")
    return open_session("m", maker.card(), tower, tower.parent / "tuning.safetensors", 1)


def test_tuned_numbers_take_the_place_of_the_towers(tower: Path) -> None:
    assert open_session("m", maker.card(), tower, None, 1).score_one(flat(51, 51, 51))[0] == 0
    assert laid_over(tower, tuning()).score_one(flat(51, 51, 51))[0] == pytest.approx(5.2, abs=1e-5)


def test_biases_laid_over_the_shipped_tower_count(tmp_path: Path) -> None:
    """They are zero in its file, and ONNX Runtime drops the addition of zero unless it is told not to."""
    card, found = read_card(WEIGHTS / "clip_face" / "card.json"), []
    numbers = load_file(WEIGHTS / "clip_face" / "tuning.safetensors")
    crop = Crop(np.full((224, 224, 3), 90, np.uint8), card.crop.version)
    for bias in (0.0, 3.0):
        moved = {name: np.array([bias], np.float32) for name in ("head.1.bias", "patch_head.bias")}
        save_file({**numbers, **moved}, tmp_path / "tuning.safetensors")
        model = open_session("m", card, WEIGHTS / "clip_tower" / "tower.onnx", tmp_path / "tuning.safetensors", 1)
        found.append(model.score_one(crop))
    (logit, first), (moved_logit, second) = found
    assert moved_logit - logit == pytest.approx(3.0, abs=0.01)
    log_odds = [np.log(each / (1 - each)) for each in (first, second)]
    assert np.allclose(log_odds[1] - log_odds[0], 3.0, atol=0.05)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"head.weight": MEAN_OF_ALL}, r"'head.weight' \(3, 1\)"),
        ({"body.head.1.bias": np.zeros(1, np.float32)}, "'body.head.1.bias'"),
        ({"head.1.weight": MEAN_OF_ALL.T.copy()}, r"'head.1.weight' \(1, 3\)"),
        ({"head.1.weight": np.full((3, 2), 1 / 3, np.float32)}, r"'head.1.weight' \(3, 2\)"),
        ({"head.1.bias": np.zeros(1, np.float64)}, "'head.1.bias'"),
        ({"head.1.bias": np.zeros(1, np.float16)}, "'head.1.bias'"),
        ({"to.1": np.ones(1, np.float32)}, "'to.1'"),
        ({"head.1.weight": None}, "lacks head.1.weight"),
        ({"head.1.bias": None, "patch_head.bias": None}, "lacks head.1.bias, patch_head.bias"),
    ],
)
def test_tuned_numbers_that_the_tower_has_no_place_for_or_too_few_are_refused(
    changed: dict[str, Any], words: str, tower: Path
) -> None:
    """ONNX Runtime passes over an initializer of an unknown name, and takes one of another shape, without a word."""
    with pytest.raises(ModelError, match=words):
        laid_over(tower, tuning(**changed))


def test_a_damaged_tuning_is_a_model_error(tower: Path) -> None:
    (tower.parent / "tuning.safetensors").write_bytes(b"not this")
    with pytest.raises(ModelError, match="cannot be started"):
        open_session("m", maker.card(), tower, tower.parent / "tuning.safetensors", 1)


def test_tuned_numbers_outlive_what_they_were_read_from(tower: Path) -> None:
    """The session reads the memory that was handed to it for as long as it lives."""
    models = [laid_over(tower, tuning(**{"head.1.bias": np.array([k], np.float32)})) for k in range(5)]
    (tower.parent / "tuning.safetensors").unlink()
    np.random.default_rng(0).random(200_000)
    assert [model.score_one(flat(0, 0, 0))[0] for model in models] == [0, 1, 2, 3, 4]


def test_importing_the_room_loads_neither_onnxruntime_nor_anything_that_reads_media() -> None:
    code = (
        "import sys, fakelab.models.runtime, fakelab.models.card;"
        "print(sorted({'onnxruntime', 'torch', 'av', 'cv2', 'PIL', 'onnx'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout
    assert out.strip() == "[]"
