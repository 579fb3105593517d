"""`fakelab data`, verb by verb, on a handful of pictures of one portrait."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from fakelab.cli import main
from fakelab.data.manifest import SPLITS, find_leaks, read_manifest
from fakelab.data.store import open_store

cv2 = pytest.importorskip("cv2")
data = pytest.importorskip("skimage.data")


@pytest.fixture(autouse=True)
def own_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "setNumThreads", lambda count: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """real/ and fake/ pictures of six people, who all look like one."""
    picture = np.asarray(data.astronaut())[:400, :400, ::-1]
    for k in range(6):
        for label, gain in (("real", 1.0), ("fake", 0.8)):
            path = tmp_path / "set" / label / f"person{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.clip(picture * gain + 2 * k, 0, 255))
    return tmp_path / "set"


def said(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    done = capsys.readouterr()
    return done.out, done.err


def test_from_a_folder_to_a_prepared_set(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest, store = str(tmp_path / "m.csv"), str(tmp_path / "store")
    assert main(["data", "add", "folders", str(folder), "--out", manifest, "--licence", "own"]) == 0
    assert "6 real and 6 fake files of 6 groups" in said(capsys)[0]
    assert main(["data", "split", manifest, "--shares", "1", "1", "1", "--seed", "1"]) == 0
    out = said(capsys)[0]
    assert all(f"split {name}" in out for name in SPLITS)
    rows = read_manifest(tmp_path / "m.csv").rows
    assert find_leaks(rows) == []
    assert {row.split for row in rows} == set(SPLITS)
    prepared = ["data", "prepare", manifest, "--out", store, "--trusted", "--workers", "1", "--size", "64"]
    assert main(prepared) == 0
    assert "12 crops of 12 files" in said(capsys)[0]
    assert open_store(tmp_path / "store").crops.shape == (12, 64, 64, 3)
    assert main(["data", "stats", manifest, "--store", store]) == 0
    assert "| all |  |  | 12 | 6 | 6 | 12 | 12 | 12 |" in said(capsys)[0]


def test_faces_that_are_nearly_the_same_are_refused_with_the_list_and_can_be_kept_together(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, store = str(tmp_path / "m.csv"), str(tmp_path / "store")
    main(["data", "add", "folders", str(folder), "--out", manifest])
    assert main(["data", "split", manifest, "--near", "48"]) == 2
    assert "give --store FOLDER" in said(capsys)[1]
    main(["data", "prepare", manifest, "--out", store, "--trusted", "--workers", "1", "--size", "64"])
    before = (tmp_path / "m.csv").read_bytes()
    assert main(["data", "split", manifest, "--store", store, "--near", "48"]) == 2
    err = said(capsys)[1]
    assert "show nearly the same face" in err and "person0.png" in err and " bits" in err
    assert (tmp_path / "m.csv").read_bytes() == before, "a refused split is not written"
    assert main(["data", "split", manifest, "--store", store, "--join-near"]) == 2
    assert "form 1 unit of people" in said(capsys)[1], "all six are one"


def test_a_planted_leak_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.csv"
    path.write_text("path,label,source,group,split\na.mp4,real,s,ann,train\nb.mp4,fake,s,ann,val\n")
    assert main(["data", "split", str(path), "--check"]) == 2
    assert "row 3: group 'ann' of s is in train and in val" in said(capsys)[1]
    path.write_text("path,label,source,group,split\na.mp4,real,s,ann,train\nb.mp4,fake,s,ben,val\n")
    before = path.read_bytes()
    assert main(["data", "split", str(path), "--check"]) == 0
    assert path.read_bytes() == before


def test_folds_are_a_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.csv"
    rows = "".join(f"{k}.mp4,real,s,g{k},train\n" for k in range(6))
    path.write_text(f"path,label,source,group,split\n{rows}")
    assert main(["data", "split", str(path), "--folds", "3", "--out", str(tmp_path / "f.csv")]) == 0
    with (tmp_path / "f.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert sorted(row["fold"] for row in found) == ["0", "0", "1", "1", "2", "2"]
    assert {row["split"] for row in found} == {"train"}
    assert "fold 2" in said(capsys)[0]


def test_sets_are_joined_and_copies_reported(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, both = (str(tmp_path / name) for name in ("1.csv", "2.csv", "sub/both.csv"))
    main(["data", "add", "folders", str(folder), "--out", one, "--source", "s"])
    main(["data", "add", "folders", str(folder), "--out", two, "--source", "t"])
    capsys.readouterr()
    assert main(["data", "combine", one, two, "--out", both]) == 0
    out, err = said(capsys)
    assert "12 real and 12 fake files of 12 groups" in out
    assert err.count("the same file twice") == 12
    assert main(["data", "combine", one, "--out", both, "--twins", one]) == 2
    assert "Give --store as well" in said(capsys)[1]


def test_what_cannot_be_added_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "m.csv")
    assert main(["data", "add", "fpp", str(tmp_path), "--out", out]) == 2
    assert "Did you mean 'ffpp'? Known: " in said(capsys)[1]
    assert main(["data", "add", "ffpp", str(tmp_path), "--out", out, "--download"]) == 2
    assert "give it on request" in said(capsys)[1]
    assert main(["data", "add", "labels", str(tmp_path), "--out", out, "--map", "file"]) == 2
    assert "Write --map OURS=THEIRS" in said(capsys)[1]
    assert not (tmp_path / "m.csv").exists()


def test_links_are_fetched_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetch(url: str, folder: Path, name: str) -> Path:
        asked.append(url)
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.mp4").write_text(url)
        return folder / f"{name}.mp4"

    monkeypatch.setattr("fakelab.media.download.download", fetch)
    links, out = tmp_path / "links.csv", str(tmp_path / "m.csv")
    links.write_text("url,label,group\nhttps://a.example/1,real,ann\nhttps://a.example/2,fake,ann\n")
    assert main(["data", "add", "youtube", str(links), "--out", out]) == 2
    assert "name 2 files that are not there" in said(capsys)[1]
    assert not asked
    assert main(["data", "add", "youtube", str(links), "--out", out, "--download"]) == 0
    assert asked == ["https://a.example/1", "https://a.example/2"]
    assert [row.group for row in read_manifest(tmp_path / "m.csv").rows] == ["ann", "ann"]


def test_the_known_sets_are_listed_with_their_terms(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "sets"]) == 0
    out = said(capsys)[0]
    assert "ffpp" in out and "FaceForensics++" in out and "https://github.com/ondyari/FaceForensics" in out
