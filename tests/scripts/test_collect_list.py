"""The lists of public media: files out of clones, checked by their hash, as a manifest."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clone_maker import commit

from fakelab.data.manifest import read_manifest
from media_maker import make_video

LISTS = sorted((Path(__file__).parents[2] / "examples" / "lists").glob("*.csv"))
COLUMNS = (
    *("id", "kind", "repository", "path", "sha256", "crop", "span"),
    *("label", "source", "group", "forgery", "original", "split", "licence", "note"),
)


@pytest.fixture
def collect_list(script: Callable[[str], Any]) -> Any:
    return script("collect_list")


@pytest.fixture
def clones(tmp_path: Path) -> Path:
    """One clone, of a repository that holds a clip and a text."""
    clone = tmp_path / "clones" / "someone" / "clips"
    clone.mkdir(parents=True)
    make_video(clone / "a.mp4", 30, width_px=64, height_px=64)
    (clone / "b.jpg").write_bytes(b"\xff\xd8\xff")
    commit(clone)
    return tmp_path / "clones"


def listed(folder: Path, clones: Path, **changed: str) -> Path:
    clip = (clones / "someone" / "clips" / "a.mp4").read_bytes()
    row = dict.fromkeys(COLUMNS, "") | {
        "id": "one", "kind": "video", "repository": "someone/clips", "path": "a.mp4", "label": "fake", "group": "g",
        "source": "s", "split": "val", "original": "two", "sha256": hashlib.sha256(clip).hexdigest(),
    }  # fmt: skip
    photo = row | {"id": "two", "kind": "photo", "path": "b.jpg", "label": "real", "original": ""}
    photo["sha256"] = hashlib.sha256(b"\xff\xd8\xff").hexdigest()
    path = folder / "list.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows([row | changed, photo])
    return path


def test_files_come_out_of_clones_with_a_manifest_that_names_originals(
    collect_list: Any, tmp_path: Path, clones: Path
) -> None:
    count, missing = collect_list.collect(listed(tmp_path, clones), clones, tmp_path / "out")
    assert (count, missing) == (2, [])
    fake, real = read_manifest(tmp_path / "out" / "manifest.csv").rows
    assert fake.path.read_bytes() == (clones / "someone" / "clips" / "a.mp4").read_bytes()
    assert (fake.fake, real.fake, fake.original) == (True, False, "files/two.jpg")


def test_rows_of_one_split_are_taken_as_one_source_for_training(
    collect_list: Any, tmp_path: Path, clones: Path
) -> None:
    path = listed(tmp_path, clones)
    assert collect_list.collect(path, clones, tmp_path / "none", split="train") == (0, [])
    count, missing = collect_list.collect(path, clones, tmp_path / "out", split="val", source="clips", into="train")
    assert (count, missing) == (2, [])
    rows = read_manifest(tmp_path / "out" / "manifest.csv").rows
    assert {(row.source, row.group, row.split) for row in rows} == {("clips", "s:g", "train")}


def test_a_family_travels_into_the_manifest(collect_list: Any, tmp_path: Path, clones: Path) -> None:
    path = listed(tmp_path, clones)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{lines[0]},family", f"{lines[1]},StyleGAN", f"{lines[2]},"]))
    collect_list.collect(path, clones, tmp_path / "out")
    rows = read_manifest(tmp_path / "out" / "manifest.csv").rows
    assert [row.get("family") for row in rows] == ["StyleGAN", ""]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"repository": "nobody/nothing"}, "no clone"),
        ({"path": "c.mp4"}, "not in its HEAD"),
        ({"sha256": "0" * 64}, "another file by now"),
    ],
)
def test_what_is_missing_or_was_changed_is_told_and_left_out(
    changed: dict[str, str], words: str, collect_list: Any, tmp_path: Path, clones: Path
) -> None:
    count, missing = collect_list.collect(listed(tmp_path, clones, **changed), clones, tmp_path / "out")
    assert count == 1
    assert [words in each and "line 2" in each for each in missing] == [True]
    assert not (tmp_path / "out" / "files" / "one.mp4").exists()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_a_part_is_cut_as_the_list_says(collect_list: Any, tmp_path: Path, clones: Path) -> None:
    from fakelab.media import open_media

    collect_list.collect(listed(tmp_path, clones, crop="32:48:8:4", span="0:0.5"), clones, tmp_path / "out")
    rows = read_manifest(tmp_path / "out" / "manifest.csv").rows
    with open_media(rows[0].path) as media:
        assert (media.info.width_px, media.info.height_px) == (32, 48)
        assert media.info.duration_s == pytest.approx(0.5, abs=0.1)
    assert not (tmp_path / "out" / "files" / "one.mp4").exists(), "the whole clip is not kept beside its part"


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_our_lists_are_whole(path: Path) -> None:
    """Hashes, labels and paths of every row, and no identifier twice: a list with a hole is found when it is needed."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) in (COLUMNS, (*COLUMNS, "family"))
    assert len({row["id"] for row in rows}) == len(rows) > 100
    for row in rows:
        assert len(row["sha256"]) == 64
        assert row["label"] in ("real", "fake")
        assert bool(row["forgery"]) == (row["label"] == "fake")
        assert row["repository"].count("/") == 1
        assert row["path"] and not row["path"].startswith("/")
        assert row["source"] and row["group"]
