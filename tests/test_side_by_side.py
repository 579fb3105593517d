"""What `analyze` does at once: both child processes, then the model, then the faces; and that nothing outlives it."""

from __future__ import annotations

import importlib
import os
import signal
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fakelab import analyze
from fakelab.errors import DamagedMediaError, ModelError, NotFoundError
from fakelab.faces import scan
from fakelab.media import opening as openings
from fakelab.media.sandbox import Child
from fakelab.models import runtime
from fakelab.models.card import load_card
from fakelab.records import Crop, Kind
from media_maker import make_sound, make_video
from portrait_maker import portrait

module = importlib.import_module("fakelab.analyze")
posix = pytest.mark.skipif(os.name != "posix", reason="sends signals")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    Image.fromarray(portrait()).save(path)
    return path


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was begun, in order: the children, then `model` when it is asked for."""
    found: list[Any] = []

    class Noted(Child):
        def __init__(self, order: dict[str, Any], *rest: Any) -> None:
            super().__init__(order, *rest)
            found.append((order.get("task", "frames"), self))

    plain = module._model

    def model(settings: Any) -> Any:
        found.append(("model", None))
        return plain(settings)

    monkeypatch.setattr(openings, "Child", Noted)
    monkeypatch.setattr(module, "_model", model)
    return found


def names(events: list[Any]) -> list[str]:
    return [name for name, _ in events]


def children(events: list[Any]) -> list[Child]:
    return [child for _, child in events if child is not None]


def all_gone(events: list[Any]) -> bool:
    """Whether every child ended, and every thread of the analysis."""
    threads = [each.name for each in threading.enumerate() if each.name.startswith(("fakelab-", "score"))]
    return all(child._process.returncode is not None for child in children(events)) and not threads


def test_the_children_begin_before_the_model(photo: Path, events: list[Any]) -> None:
    assert analyze(photo, model="tiny").findings[0].faces_found == 1
    assert names(events) == ["frames", "traces", "model"]
    assert all_gone(events)


def test_faces_are_found_while_the_model_is_on_its_way(
    photo: Path, events: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, found = module._model, threading.Event()

    def late(settings: Any) -> Any:
        assert found.wait(timeout=60)
        return plain(settings)

    cut = scan.cut_face

    def noted(*given: Any) -> Any:
        found.set()
        return cut(*given)

    monkeypatch.setattr(module, "_model", late)
    monkeypatch.setattr(scan, "cut_face", noted)
    assert analyze(photo, model="tiny").findings[0].faces_found == 1


def test_the_file_is_hashed_once(photo: Path, events: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    hashes: list[str] = []
    plain = openings.Hash

    def noted(fd: int, name: str) -> Any:
        hashes.append(name)
        return plain(fd, name)

    monkeypatch.setattr(openings, "Hash", noted)
    analyze(photo, model="tiny")
    assert len(hashes) == 1 and len(children(events)) == 2


def test_a_recording_needs_no_model_of_faces(tmp_path: Path, events: list[Any]) -> None:
    recording = make_sound(tmp_path / "sound.wav", 2.0)
    assert analyze(recording, model="tiny").file.kind is Kind.AUDIO
    assert "model" not in names(events)


def test_a_container_of_sound_alone_gets_along_with_a_broken_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(settings: Any) -> Any:
        raise ModelError("the model cannot be used", "it was altered", "Install it again.")

    monkeypatch.setattr(module, "_model", broken)
    recording = make_sound(tmp_path / "sound.m4a", 2.0, container="mp4")
    analysis = analyze(recording, model="tiny")
    assert [each["name"] for each in analysis.models] == ["voice"]


@pytest.mark.parametrize("grey", [False, True])
def test_a_model_that_cannot_be_loaded_is_told_with_or_without_a_face(
    grey: bool, photo: Path, events: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(settings: Any) -> Any:
        raise ModelError("the model cannot be used", "it was altered", "Install it again.")

    monkeypatch.setattr(module, "_model", broken)
    if grey:
        Image.new("RGB", (300, 300), (128, 128, 128)).save(photo)
    with pytest.raises(ModelError, match="altered"):
        analyze(photo, model="tiny")
    assert all_gone(events)


def test_a_damaged_file_is_told_before_a_broken_model(
    tmp_path: Path, events: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(settings: Any) -> Any:
        raise ModelError("the model cannot be used", "it was altered", "Install it again.")

    monkeypatch.setattr(module, "_model", broken)
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01")
    with pytest.raises(DamagedMediaError, match="cut"):
        analyze(tmp_path / "cut.jpg", model="tiny")
    assert len(children(events)) == 2 and all_gone(events)


def test_for_a_missing_file_nothing_is_begun(tmp_path: Path, events: list[Any]) -> None:
    with pytest.raises(NotFoundError):
        analyze(tmp_path / "nowhere.jpg", model="tiny")
    assert events == []


@pytest.mark.parametrize("stage", ["model", "faces"])
def test_cancelling_ends_every_child(stage: str, tmp_path: Path, events: list[Any]) -> None:
    clip = make_video(tmp_path / "clip.mp4", 300, width_px=320, height_px=320, picture=_portrait)

    def cancel(told: str, done: int, total: int | None) -> None:
        if told == stage:
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        analyze(clip, model="tiny", progress=cancel)
    assert len(children(events)) == 2 and all_gone(events)
    assert time.monotonic() - began < 30


@posix
def test_cancelling_does_not_wait_for_a_child_that_hangs(photo: Path, events: list[Any]) -> None:
    def cancel(told: str, done: int, total: int | None) -> None:
        if told == "model":
            os.kill(children(events)[1].pid, signal.SIGSTOP)
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        analyze(photo, model="tiny", progress=cancel)
    assert all_gone(events)
    assert time.monotonic() - began < 30


@posix
def test_a_crash_of_the_second_child_costs_its_checks_alone(photo: Path, events: list[Any]) -> None:
    def crash(told: str, done: int, total: int | None) -> None:
        if told == "open":
            threading.Thread(target=_kill_second, args=(events,)).start()

    analysis = analyze(photo, model="tiny", progress=crash)
    assert analysis.findings[0].faces_found == 1
    assert [(each.name, each.state) for each in analysis.evidence] == [("metadata", "failed")]
    assert "signal SIGKILL" in analysis.evidence[0].sentence
    assert all_gone(events)


def test_a_model_on_its_way_scores_what_it_will() -> None:
    ready, card = runtime.load_model("tiny", threads=1), load_card("tiny")
    size = card.crop.size_px
    crop = Crop(np.random.default_rng(0).integers(0, 255, (size, size, 3), np.uint8), card.crop.version)
    for check in (_scores_alike, _fails):
        loading: Future[runtime.FaceModel] = Future()
        coming = runtime.ComingModel("tiny", card, loading, 2)
        assert coming.lanes == 2
        timer = threading.Timer(0.1, _end, [loading, ready if check is _scores_alike else None])
        timer.start()
        check(coming, ready, crop)
        timer.join()


def _end(loading: Any, model: Any) -> None:
    if model is None:
        loading.set_exception(ModelError("the model cannot be used", "it was altered", "Install it again."))
    else:
        loading.set_result(model)


def _scores_alike(coming: Any, ready: Any, crop: Any) -> None:
    logits, maps = coming.score([crop])
    assert logits[0] == np.float32(ready.score_one(crop)[0])
    assert np.array_equal(maps[0], ready.score_one(crop)[1])


def _fails(coming: Any, ready: Any, crop: Any) -> None:
    with pytest.raises(ModelError, match="altered"):
        coming.score([crop])


def _portrait(i: int, width: int, height: int) -> Any:
    return np.asarray(Image.fromarray(portrait()).resize((width, height)))


def _kill_second(events: list[Any]) -> None:
    while len(children(events)) < 2:
        time.sleep(0.001)
    os.kill(children(events)[1].pid, signal.SIGKILL)
