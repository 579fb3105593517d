"""Old runs done again: verified from a report, or rescored, with the tiny model and made pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from fakelab import analyze
from fakelab.service.history import History
from fakelab.service.reporting import sealed_report
from fakelab.service.rerun import rescore, verify
from fakelab.service.runs import Search
from fakelab.service.seal import Seal, Signer, read_seal


def _save(path: Path, brighter: float = 1.0) -> Path:
    """Scikit-image's public-domain astronaut, one face."""
    Image.fromarray((data.astronaut() * brighter).clip(0, 255).astype("uint8")).save(path)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return _save(tmp_path / "face.png")


def _sealed(history: History, photo: Path) -> tuple[Seal, str]:
    run = history.add(analyze(photo, model="tiny"), actor="cli")
    signer = Signer(history.folder)
    return read_seal(sealed_report(history, run.id, "html", signer, actor="cli"), "html"), signer.public_key


def _failed(seal: Seal, history: History | None, key: str, media: Path | None = None) -> dict[str, bool | None]:
    found = verify(seal, history, media=media, own_key=key)
    assert found.sound == all(each.ok is not False for each in found.checks)
    return {each.name: each.ok for each in found.checks if each.ok is not True}


def test_a_report_holds_when_nothing_changed(history: History, photo: Path) -> None:
    seal, key = _sealed(history, photo)
    found = verify(seal, history, media=None, own_key=key)
    assert [each.name for each in found.checks] == ["report", "key", "log", "record", "file", "models", "re-run"]
    assert found.sound and all(each.ok for each in found.checks) and found.differs == ()


def test_a_stranger_can_verify_with_the_file_alone(history: History, photo: Path, tmp_path: Path) -> None:
    seal, _ = _sealed(history, photo)
    moved = photo.rename(tmp_path / "moved.png")
    # Without the file there is nothing to repeat, which is no failure; another's key only they can vouch for.
    assert _failed(seal, None, "00" * 32) == {"key": None, "file": None, "re-run": None}
    assert _failed(seal, None, "00" * 32, moved) == {"key": None}


def test_one_byte_of_the_file_is_noticed(history: History, photo: Path) -> None:
    seal, key = _sealed(history, photo)
    photo.write_bytes(photo.read_bytes() + b"\0")
    assert _failed(seal, history, key) == {"file": False, "re-run": None}


def test_a_model_that_is_no_longer_the_same_is_noticed(history: History, photo: Path) -> None:
    seal, key = _sealed(history, photo)
    seal.document["models"][0]["sha256"] = "0" * 64
    # The record is not what was written either.
    assert _failed(seal, history, key) == {"record": False, "models": False}


def test_another_answer_is_noticed(history: History, photo: Path) -> None:
    seal, _ = _sealed(history, photo)
    seal.document["verdict"]["p_fake"] += 0.02
    seal.document["versions"]["numpy"] = "1.0"
    found = verify(seal, None, media=None, own_key="")
    assert [each.name for each in found.checks if each.ok is False] == ["re-run"]
    assert [each.split()[0] for each in found.differs] == ["numpy"]


def test_a_deleted_run_and_a_rewritten_log_are_noticed(history: History, photo: Path, tmp_path: Path) -> None:
    seal, key = _sealed(history, photo)
    other = History(tmp_path / "other")
    other.note("cli", "viewed")
    assert _failed(seal, other, key) == {"log": False, "record": False}
    other.close()


def test_rescoring_keeps_the_new_runs_and_tells_what_it_could_not_do(history: History, photo: Path) -> None:
    first = history.add(analyze(photo, model="tiny"), actor="cli")
    history.add(analyze(photo, model="tiny"), actor="cli")
    gone = _save(photo.with_name("gone.png"), 0.9)
    lost = history.add(analyze(gone, model="tiny"), actor="cli")
    gone.unlink()
    changes = {each.before.id: each for each in rescore(history, Search(), actor="ada", prior=0.1)}
    # One file analysed twice is done once, from its newest run.
    assert len(changes) == 2 and first.id not in changes
    assert changes[lost.id].again is None and "cannot be read" in changes[lost.id].why
    done = next(each for each in changes.values() if each.again is not None)
    assert done.again is not None and done.again.actor == "ada" and not done.changed
    assert done.again.p_fake is not None and done.before.p_fake is not None and done.again.p_fake < done.before.p_fake
    told = [each for each in history.events(done.before.id) if each.action == "re-run"]
    assert told[0].detail == {"again": done.again.id}
    assert history.total() == 4
