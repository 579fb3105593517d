"""Crops of public repositories: which are taken, and what the manifest says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clone_maker import commit

from fakelab.data.manifest import read_for_training, read_manifest


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


def test_other_pictures_of_each_group_are_kept_apart_for_false_alarms(
    collect_faces: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clones, out = tmp_path / "clones", tmp_path / "out"
    names = [
        f"{age}_{sex}_{ethnicity}_2017{n}"
        for age in (20, 60)
        for sex in (0, 1)
        for ethnicity in (1, 3)
        for n in range(4)
    ]
    names += ["12_0_1_2017", "40_1_2", "33_5_1_2017", "61_1_20170110"]
    repository(clones / "mattans+AgeProgression", {f"data/UTKFace/{n}.jpg": n for n in names})
    told = ["--clones", str(clones), "--out", str(out), "--utkface", "8", "--apart", "2"]
    monkeypatch.setattr("sys.argv", ["collect_faces", *told])
    assert collect_faces.main() == 0
    trained = {row.path.name for row in read_manifest(out / "manifest.csv").rows}
    rows = read_manifest(out / "apart.csv").rows
    assert len(trained) == 8
    assert not trained & {row.path.name for row in rows}
    assert {(row.label, row.source, row.split) for row in rows} == {("real", "utkface", "test")}
    cells = Counter((row.get("sex"), row.get("age"), row.get("ethnicity")) for row in rows)
    assert max(cells.values()) == 2
    assert {sex for sex, _, _ in cells} == {"male", "female"}
    assert {age for _, age, _ in cells} == {"18 to 34", "55 to 90"}
    assert {ethnicity for _, _, ethnicity in cells} == {"Black", "Indian"}
    for row in rows:
        assert row.path.name.startswith("20_" if row.get("age") == "18 to 34" else "60_")
