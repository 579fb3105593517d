"""`fakelab verify-report` as people run it: each time a new process, on a file and a model that lie on the disk."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from fakelab.models.card import model_folder
from portrait_maker import portrait


def _fakelab(*words: str | Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "fakelab", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def _flip(path: Path, at: int) -> None:
    """Turns one bit of one byte."""
    with path.open("r+b") as file:
        file.seek(at, 2 if at < 0 else 0)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A photo, a copy of the model `tiny` with which it was analysed, and the signed report."""
    photo, model, report = tmp_path / "face.png", tmp_path / "model", tmp_path / "report.html"
    Image.fromarray(portrait()).save(photo)
    shutil.copytree(model_folder("tiny"), model)
    code, said = _fakelab("analyze", photo, "--model", model, "--format", "json")
    assert code == 0, said
    code, said = _fakelab("history", "--format", "json")
    [run] = json.loads(said)
    code, said = _fakelab("report", run["id"], "--out", report)
    assert code == 0, said
    return photo, model, report


def test_it_holds_and_is_refused_after_one_byte_of_the_file_or_of_the_weights(made: tuple[Path, Path, Path]) -> None:
    photo, model, report = made
    code, said = _fakelab("verify-report", report)
    assert code == 0 and "it holds." in said, said
    assert "ok       file" in said and "ok       models" in said and "ok       re-run" in said

    whole = photo.read_bytes()
    _flip(photo, -1)
    code, said = _fakelab("verify-report", report)
    assert code == 4 and "it does NOT hold." in said
    assert "FAILED   file" in said and "is another file" in said and "ok       report" in said
    photo.write_bytes(whole)

    [weights] = [each for each in model.iterdir() if each.suffix == ".onnx"]
    _flip(weights, weights.stat().st_size // 2)
    code, said = _fakelab("verify-report", report)
    assert code == 4 and "it does NOT hold." in said
    assert "FAILED   re-run" in said and weights.name in said and "ok       file" in said
    _flip(weights, weights.stat().st_size // 2)
    code, said = _fakelab("verify-report", report)
    assert code == 0, said


def test_weights_exchanged_together_with_their_card_are_another_model(made: tuple[Path, Path, Path]) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    _, model, report = made
    card = json.loads((model / "card.json").read_text())
    [weights] = card["files"]
    network = onnx.load(model / weights)
    network.doc_string = "another file of the same network"
    onnx.save(network, model / weights)
    card["files"][weights] = hashlib.sha256((model / weights).read_bytes()).hexdigest()
    (model / "card.json").write_text(json.dumps(card))
    code, said = _fakelab("verify-report", report)
    assert code == 4 and "FAILED   models" in said, said
    assert "ok       re-run" in said, "the same answer, and not the same model"
