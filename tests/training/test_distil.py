# ruff: noqa: E402 (without torch the module is skipped before it imports what needs torch)
from __future__ import annotations

from pathlib import Path
from typing import Any

import lab_maker as lab
import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("timm", reason="the extra 'train' is not installed")
pytest.importorskip("sklearn", reason="the extra 'train' is not installed")

from fakelab.cli import main
from fakelab.data.store import FaceStore
from fakelab.errors import TrainingError
from fakelab.training import distil as distillery
from fakelab.training.distil import distil, load_teacher
from fakelab.training.networks import make_network

SIZE = 32


@pytest.fixture(scope="module")
def store() -> FaceStore:
    rows = lab.people("train", 12, each=2, fakes=1)
    return lab.make_store(rows, lab.faces(len(rows), SIZE))


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of EfficientNet-Lite0 under other names, and its classifier at the end, as they are published."""
    torch.manual_seed(0)
    state = make_network("efficientnet_lite0", init="none").body.state_dict()
    named = {f"_their.{n}.{name.split('.')[-1]}": value for n, (name, value) in enumerate(state.items())}
    path = tmp_path_factory.mktemp("teacher") / "lite0.pth"
    torch.save(named | {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}, path)
    return path


def test_a_teacher_under_other_names_sees_the_same(teacher_file: Path) -> None:
    torch.manual_seed(0)
    wanted = make_network("efficientnet_lite0", init="none").eval()
    picture = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(load_teacher(teacher_file).body(picture), wanted.body(picture))


def test_another_file_is_no_teacher(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"words")
    with pytest.raises(TrainingError, match="cannot be read"):
        load_teacher(tmp_path / "a.pth")
    torch.save(make_network("tiny", init="none").body.state_dict(), tmp_path / "b.pth")
    with pytest.raises(TrainingError, match="is not EfficientNet-Lite0"):
        load_teacher(tmp_path / "b.pth")


def test_the_student_comes_nearer_to_the_teacher_and_is_a_start_for_training(
    store: FaceStore, teacher_file: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    settings: dict[str, Any] = {"batch": 4, "learning_rate": 1e-3, "log": told.append}
    distil(store, load_teacher(teacher_file), tmp_path / "s.safetensors", steps=40, **settings)
    assert told[0].startswith("36 crops, in ")
    first, last = (float(line.split()[3]) for line in (told[1], told[-1]))
    assert last < 0.98 * first
    started = make_network("resnet18", init=str(tmp_path / "s.safetensors"))
    fresh = make_network("resnet18", init="none")
    key = "layer4.1.conv2.weight"
    assert not torch.equal(started.body.state_dict()[key], fresh.body.state_dict()[key])
    assert not (tmp_path / "s.safetensors.part").exists()


def test_a_run_that_was_cut_off_goes_on(
    store: FaceStore, teacher_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, out, told = load_teacher(teacher_file), tmp_path / "s.safetensors", list[str]()
    batches = distillery._batches

    def cut(*given: Any) -> Any:
        for number, each in enumerate(batches(*given)):
            if number == 5:
                raise KeyboardInterrupt
            yield each

    with monkeypatch.context() as patch:
        patch.setattr(distillery, "_batches", cut)
        with pytest.raises(KeyboardInterrupt):
            distil(store, teacher, out, steps=8, batch=2, save_every=2, log=told.append)
    assert not out.exists()
    distil(store, teacher, out, steps=8, batch=2, save_every=2, log=told.append)
    assert "resumed at step 4" in told and out.is_file()


def test_a_transformer_is_no_student(store: FaceStore, teacher_file: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="clip_vit_b16 cannot learn so"):
        distil(store, load_teacher(teacher_file), tmp_path / "s.safetensors", student="clip_vit_b16")


def test_the_command_makes_a_start_and_says_how_to_train_it(
    teacher_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = lab.people("train", 12, each=2, fakes=1)
    folder = lab.save_store(lab.make_store(rows, lab.faces(len(rows), SIZE)), tmp_path / "store")
    out = tmp_path / "start.safetensors"
    words = ["distil", "--store", str(folder), "--teacher", str(teacher_file), "--out", str(out)]
    assert main([*words, "--precision", "half"]) == 2 and "no precision is called 'half'" in capsys.readouterr().err
    assert main([*words, "--steps", "2", "--batch", "2", "--precision", "float32"]) == 0
    assert f"--network resnet18 --init {out}" in capsys.readouterr().out
    make_network("resnet18", init=str(out))
