"""Crops of public repositories: which are taken, and what the manifest says of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clone_maker import commit

from fakelab.data.manifest import read_for_training


@pytest.fixture
def collect_faces(script: Callable[[str], Any]) -> Any:
    return script("collect_faces")


def repository(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    commit(folder)


def test_originals_with_their_forgeries_adults_and_one_picture_a_person_are_taken(
    collect_faces: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clones, out = tmp_path / "clones", tmp_path / "out"
    lines = ["videoname,original_width,original_height,label,original"]
    for name, width in (("aa", 200), ("bb", 130), ("small", 90), ("anndvqgoko", 300)):
        lines += [f"{name}.mp4,{width},9,REAL,", f"{name}f.mp4,{width},9,FAKE,{name}.mp4"]
    names = [line.split(".")[0] for line in lines[1:]]
    repository(clones / "i-Shreyansh" / "DeepFake-Detection", {"metadata.csv": "\n".join(lines)} | {
        f"faces_224/{name}.jpg": name for name in names
    })  # fmt: skip
    repository(clones / "mattans+AgeProgression", {f"data/UTKFace/{n}.jpg": n for n in ("9_0_1", "40_1_2", "x")})
    out.mkdir()
    monkeypatch.setattr("sys.argv", ["collect_faces", "--clones", str(clones), "--out", str(out), "--val", "1"])
    assert collect_faces.main() == 0
    rows = read_for_training(out / "manifest.csv").rows
    assert sorted(row.path.name for row in rows) == ["40_1_2.jpg", "aa.jpg", "aaf.jpg", "bb.jpg", "bbf.jpg"]
    assert all(row.path.read_text() == row.path.stem for row in rows), "each file holds its own crop"
    for row in rows:
        assert row.fake == (row.path.stem in ("aaf", "bbf"))
        assert row.tight == (row.source == "dfdc")
    splits = {row.group: row.split for row in rows if row.source == "dfdc"}
    assert sorted(splits.values()) == ["train", "val"]
    assert all(row.split == splits[row.group] for row in rows if row.source == "dfdc"), (
        "a forgery goes with its original"
    )


def test_no_clone_at_all_is_a_failure(collect_faces: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["collect_faces", "--clones", str(tmp_path), "--out", str(tmp_path)])
    assert collect_faces.main() == 1
