"""How many files a server takes at once, what its durable steps are called, and where a file that is no media ends."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path

import pytest
from PIL import Image

import fakelab.service.queue as queue
from fakelab import analyze
from fakelab.errors import UnsupportedMediaError
from fakelab.service.queue import default_jobs

GB = 1 << 30
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("cores", "memory", "jobs"),
    [
        (1, 16 * GB, 1),
        (2, 16 * GB, 1),
        (3, 16 * GB, 1),
        (4, 16 * GB, 2),
        (64, 256 * GB, 32),
        (64, 16 * GB, 8),
        (64, 5 * GB, 2),
        (64, 4 * GB - 1, 1),
        (8, GB, 1),
        (1, 0, 1),
    ],
)
def test_jobs_are_bounded_by_cores_and_by_memory(cores: int, memory: int, jobs: int) -> None:
    assert default_jobs(cores, memory) == jobs


def test_the_machine_is_asked_for_what_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 6 * GB // 4096}
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    monkeypatch.setattr(os, "sysconf", asked.__getitem__)
    assert default_jobs() == 3, "three times 2 GB"
    assert default_jobs(cores=4) == 2

    def unknown(name: str) -> int:
        raise ValueError(name)

    # A system that does not tell its memory is taken to have 4 GB, one that does not count its cores to have one.
    monkeypatch.setattr(os, "sysconf", unknown)
    assert default_jobs() == 2
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert default_jobs() == 1


def test_every_durable_step_is_described() -> None:
    steps = set(re.findall(r"DBOS\.step\(name=\"(\w+)\"", Path(queue.__file__).read_text(encoding="utf-8")))
    page = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    assert steps == {"analyse", "copy", "tell"}
    assert {name for name in steps if f"| step `{name}`" not in page} == set()


def test_a_file_that_is_no_media_ends_before_a_model_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    module = importlib.import_module("fakelab.analyze")  # the package's own `analyze` is the function
    for load in ("_model", "_voice"):
        monkeypatch.setattr(module, load, lambda settings, load=load: loaded.append(load))
    (tmp_path / "a.mp4").write_text("no video at all")
    with pytest.raises(UnsupportedMediaError):
        analyze(tmp_path / "a.mp4", model="clip_face")
    assert loaded == []
    # A photo without a face does ask for one: the stand-ins are in the way of every model.
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    analyze(tmp_path / "a.png", model="clip_face")
    assert loaded == ["_model"]
