# ruff: noqa: E402 (without torch the module is skipped before it imports what needs torch)
from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import lab_maker as lab
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")

from fakelab.data.store import FaceStore
from fakelab.errors import TrainingError
from fakelab.training import twin
from fakelab.training.pairs import PairSource
from fakelab.training.twin import TwinMaker, make_twins, rows_for_twins

SIZE = 48
ENCODER, DECODER = "taef2_encoder.pth", "taef2_decoder.pth"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the files, under the names and in the 16 bits of TAEF2's."""
    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("taef2")
    torch.save(twin._encoder().half().state_dict(), folder / ENCODER)
    torch.save(twin._decoder().half().state_dict(), folder / DECODER)
    return folder


def test_the_parts_have_the_shape_of_taef2s_files() -> None:
    """Names and shapes as madebyollin/taesd publishes them: 2.7 MB each in 16 bits."""
    encoder, decoder = twin._encoder().state_dict(), twin._decoder().state_dict()
    assert encoder["0.weight"].shape == (64, 3, 3, 3)
    assert encoder["14.weight"].shape == (32, 64, 3, 3)
    assert decoder["1.weight"].shape == (64, 32, 3, 3)
    assert decoder["19.weight"].shape == (3, 64, 3, 3)
    for state in (encoder, decoder):
        assert 1_330_000 < sum(each.numel() for each in state.values()) < 1_350_000


@pytest.mark.parametrize("side", [96, 112])
def test_a_twin_has_the_shape_of_its_picture_and_lies_within_0_and_1(weights: Path, side: int) -> None:
    """96 px go through in float32, more in bfloat16."""
    maker = TwinMaker(weights)
    pictures = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        made, same, other = (maker(pictures, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert made.shape == pictures.shape
    assert made.dtype == torch.float32
    assert made.min() >= 0
    assert made.max() <= 1
    assert made.std() > 0
    assert torch.equal(made, same)
    assert not torch.equal(made, other), "latents are disturbed by the generator that is handed in"


def test_the_maker_is_not_trained(weights: Path) -> None:
    maker = TwinMaker(weights)
    assert not maker.training
    assert not any(parameter.requires_grad for parameter in maker.parameters())


def test_every_way_to_disturb_latents_keeps_their_shape_and_changes_them_a_little() -> None:
    latent = torch.randn(2, 32, 6, 6, generator=torch.Generator().manual_seed(0))
    changes = [float((twin._disturb(latent, np.random.default_rng(seed)) - latent).std()) for seed in range(80)]
    assert 5 < sum(change == 0 for change in changes) < 25, "15 % stay as they are"
    assert max(changes) < 0.6


class Payload:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('the pickle ran')",)


FAULTS = ["missing", "empty", "no pickle", "code", "no state", "lacks a layer", "another layer", "swapped"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_file_is_refused(weights: Path, fault: str, tmp_path: Path) -> None:
    state = torch.load(weights / ENCODER, weights_only=True)
    torch.save(state, tmp_path / ENCODER)
    torch.save(torch.load(weights / DECODER, weights_only=True), tmp_path / DECODER)
    file = tmp_path / ENCODER
    if fault == "missing":
        file.unlink()
    elif fault == "empty":
        file.write_bytes(b"")
    elif fault == "no pickle":
        file.write_bytes(b"<html>404</html>" * 40)
    elif fault == "code":
        file.write_bytes(pickle.dumps(Payload(), protocol=2))
    elif fault == "no state":
        torch.save([1, 2], file)
    elif fault == "lacks a layer":
        torch.save({key: value for key, value in state.items() if key != "0.bias"}, file)
    elif fault == "another layer":
        torch.save(state | {"99.weight": torch.zeros(1)}, file)
    else:
        file.write_bytes((weights / DECODER).read_bytes())
    with pytest.raises(TrainingError, match=rf"(?s){ENCODER} cannot be used.*madebyollin/taesd"):
        TwinMaker(tmp_path)


# -- a folder of twins ---------------------------------------------------------------------------------------------


class Maker(torch.nn.Module):
    """Darkens, with noise from the generator that is handed in; stops when told to."""

    def __init__(self, batches: int = 1000) -> None:
        super().__init__()
        self.left, self.sides = batches, list[int]()

    def forward(self, pictures: Any, rng: np.random.Generator) -> Any:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.sides.append(pictures.shape[-1])
        assert pictures.shape[-1] == pictures.shape[-2]
        noise = torch.from_numpy(rng.normal(0, 0.02, pictures.shape).astype(np.float32))
        return (pictures * 0.5 + noise).clamp(0, 1)


@pytest.fixture(scope="module")
def store() -> FaceStore:
    return lab.make_store(lab.people("train", 24), lab.faces(24, SIZE))


ROWS = np.array([5, 3, 20, 7, 11, 0, 2, 19, 4, 8])


def test_each_row_gets_its_own_twin(store: FaceStore, tmp_path: Path) -> None:
    maker, progress = Maker(), list[tuple[int, int]]()
    make_twins(store, ROWS, maker, tmp_path, batch=4, progress=lambda *done: progress.append(done))  # type: ignore[arg-type]
    twins = np.load(tmp_path / "twins.npy")
    assert (twins.shape, twins.dtype) == ((10, SIZE, SIZE, 3), np.uint8)
    assert np.array_equal(np.load(tmp_path / "rows.npy"), ROWS)
    for made, row in zip(twins, ROWS, strict=True):
        errors = [np.abs(made.astype(float) - store.crops[each] * 0.5).mean() for each in range(24)]
        assert int(np.argmin(errors)) == row
        assert min(errors) < 6
    assert progress == [(4, 10), (8, 10), (10, 10)]
    assert all(96 <= side <= 224 and side % 16 == 0 for side in maker.sides)


@pytest.mark.parametrize("batches", [1, 2])
def test_a_run_that_was_cut_off_makes_the_same_twins_as_one_that_was_not(
    batches: int, store: FaceStore, tmp_path: Path
) -> None:
    make_twins(store, ROWS, Maker(), tmp_path / "whole", batch=4, seed=6)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        make_twins(store, ROWS, Maker(batches), tmp_path / "cut", batch=4, seed=6)  # type: ignore[arg-type]
    assert (tmp_path / "cut" / "done.txt").read_text() == str(4 * batches)
    resumed = Maker()
    make_twins(store, ROWS, resumed, tmp_path / "cut", batch=4, seed=6)  # type: ignore[arg-type]
    assert len(resumed.sides) == 3 - batches
    whole, cut = (np.load(tmp_path / name / "twins.npy") for name in ("whole", "cut"))
    assert np.array_equal(whole, cut)
    make_twins(store, ROWS, Maker(), tmp_path / "other", batch=4, seed=7)  # type: ignore[arg-type]
    assert not np.array_equal(whole, np.load(tmp_path / "other" / "twins.npy"))


@pytest.mark.parametrize("changed", ["rows", "store"])
def test_a_folder_of_other_twins_is_not_gone_on_with(changed: str, store: FaceStore, tmp_path: Path) -> None:
    """Old twins under new row numbers would be pairs of two people."""
    with pytest.raises(KeyboardInterrupt):
        make_twins(store, ROWS, Maker(1), tmp_path, batch=4)  # type: ignore[arg-type]
    other = lab.make_store(lab.people("train", 24), store.crops, sha256="of another manifest")
    with pytest.raises(TrainingError, match="are of other faces"):
        make_twins(
            other if changed == "store" else store,
            ROWS[::-1] if changed == "rows" else ROWS,
            Maker(),  # type: ignore[arg-type]
            tmp_path,
            batch=4,
        )
    assert np.array_equal(np.load(tmp_path / "rows.npy"), ROWS)


def test_pairs_are_made_from_the_twins_that_are_finished(store: FaceStore, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        make_twins(store, ROWS, Maker(1), tmp_path, batch=4)  # type: ignore[arg-type]
    pairs = PairSource(store, tmp_path, "train", {"twin_whole": 1.0}, {}, "default", 0)
    assert pairs.twin_at == {5: 0, 3: 1, 20: 2, 7: 3}


def test_twins_are_made_of_clear_genuine_faces_and_of_each_source_of_at_most_so_many() -> None:
    rows = [*lab.people("train", 10, source="a"), *lab.people("train", 3, source="b", fakes=1)]
    store = lab.make_store(rows, lab.numbered(len(rows), SIZE))
    every = rows_for_twins(store, None, seed=3)
    assert sorted(every.tolist()) == np.flatnonzero(~store.fake).tolist()
    assert len(every) == 13 < len(rows)
    few = rows_for_twins(store, 4, seed=3)
    assert {name: int((store.source[few] == name).sum()) for name in "ab"} == {"a": 4, "b": 3}
    assert few.tolist() == [row for row in every.tolist() if row in set(few.tolist())], "of the same order"
    assert rows_for_twins(store, 4, seed=4).tolist() != few.tolist()
