"""`fakelab verify-report` as people run it: each time a new process, on a file and a model that lie on the disk."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from fakelab.models.card import model_folder
from fakelab.service.history import History
from portrait_maker import portrait


def _flip(path: Path, at: int) -> None:
    """Turns one bit of one byte."""
    with path.open("r+b") as file:
        file.seek(at, 2 if at < 0 else 0)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


@dataclass(frozen=True)
class Made:
    """A photo, a copy of the model `tiny` with which it was analysed, and the signed report; where they are kept."""

    folder: Path
    database: str

    @property
    def photo(self) -> Path:
        return self.folder / "face.png"

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    def fakelab(self, *words: str | Path) -> tuple[int, str]:
        """A verb's exit code, and what it printed."""
        mine = {name: value for name, value in os.environ.items() if not name.upper().startswith("FAKELAB_")}
        mine |= {"FAKELAB_DATA_DIR": str(self.folder / "kept"), "FAKELAB_DATABASE": self.database}
        command = [sys.executable, "-m", "fakelab", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=mine)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def signed(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Made:
    """Made once on each database, for all tests."""
    new: Callable[[], str] = str if request.param == "sqlite" else request.getfixturevalue("new_postgres")
    made = Made(tmp_path_factory.mktemp("made"), new())
    Image.fromarray(portrait()).save(made.photo)
    shutil.copytree(model_folder("tiny"), made.model)
    code, said = made.fakelab("analyze", made.photo, "--model", made.model, "--format", "json")
    assert code == 0, said
    history = History(made.folder / "kept", made.database)
    [run] = history.every()
    history.close()
    code, said = made.fakelab("report", run.id, "--out", made.report)
    assert code == 0, said
    return made


@pytest.fixture
def made(signed: Made, tmp_path: Path) -> Iterator[Made]:
    """The same, whose photo and model are afterwards as they were, whatever a test did to them."""
    shutil.copy2(signed.photo, tmp_path / "photo")
    shutil.copytree(signed.model, tmp_path / "model")
    yield signed
    shutil.copy2(tmp_path / "photo", signed.photo)
    shutil.rmtree(signed.model)
    shutil.copytree(tmp_path / "model", signed.model)


def test_it_holds_and_is_refused_after_one_byte_of_the_file_or_of_the_weights(made: Made) -> None:
    photo, model, report = made.photo, made.model, made.report
    code, said = made.fakelab("verify-report", report)
    assert code == 0 and "it holds." in said, said
    assert "ok       file" in said and "ok       models" in said and "ok       re-run" in said
    assert "ok       log" in said and "ok       record" in said

    whole = photo.read_bytes()
    _flip(photo, -1)
    code, said = made.fakelab("verify-report", report)
    assert code == 4 and "it does NOT hold." in said
    assert "FAILED   file" in said and "is another file" in said and "ok       report" in said
    photo.write_bytes(whole)

    [weights] = [each for each in model.iterdir() if each.suffix == ".onnx"]
    _flip(weights, weights.stat().st_size // 2)
    code, said = made.fakelab("verify-report", report)
    assert code == 4 and "it does NOT hold." in said
    assert "FAILED   re-run" in said and weights.name in said and "ok       file" in said
    _flip(weights, weights.stat().st_size // 2)
    code, said = made.fakelab("verify-report", report)
    assert code == 0, said


def test_weights_exchanged_together_with_their_card_are_another_model(made: Made) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    model = made.model
    card = json.loads((model / "card.json").read_text())
    [weights] = card["files"]
    network = onnx.load(model / weights)
    network.doc_string = "another file of the same network"
    onnx.save(network, model / weights)
    card["files"][weights] = hashlib.sha256((model / weights).read_bytes()).hexdigest()
    (model / "card.json").write_text(json.dumps(card))
    code, said = made.fakelab("verify-report", made.report)
    assert code == 4 and "FAILED   models" in said, said
    assert "ok       re-run" in said, "the same answer, and not the same model"
