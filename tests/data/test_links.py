from __future__ import annotations

from pathlib import Path

import pytest
import set_maker as make

from fakelab.data.layouts import Options
from fakelab.data.links import DOWNLOADS, download_missing, name_of
from fakelab.data.sources import Wishes, add
from fakelab.errors import DamagedMediaError, DataError

A, B, C = (f"https://video.example/watch?v={name}" for name in "abc")


@pytest.fixture
def links(tmp_path: Path) -> Path:
    path = tmp_path / "links.csv"
    path.write_text(
        f"url,file,label,group,forgery\n{A},,real,ann,\n{B},,fake,ann,swap\n,own/clip.mp4,real,ben,\n{C},,fake,,lipsync\n"
    )
    make.touch(tmp_path, "own/clip.mp4", f"{DOWNLOADS}/{name_of(A)}.webm", f"{DOWNLOADS}/{name_of(B)}.mp4.part")
    return path


def test_links_whose_files_are_there_become_rows_and_the_others_are_missing(links: Path) -> None:
    added = add("youtube", links, Wishes(hashed=False))
    assert [(row.path.name, row.label, row.group, row.source, row.get("url")) for row in added.rows] == [
        (f"{name_of(A)}.webm", "real", "ann", "youtube", A),
        ("clip.mp4", "real", "ben", "youtube", ""),
    ]
    assert [path.name for path in added.missing] == [f"{name_of(B)}.mp4", f"{name_of(C)}.mp4"]


def test_what_is_missing_is_fetched_once_and_a_link_that_fails_is_told(links: Path) -> None:
    asked: list[tuple[str, str, str]] = []

    def fetch(url: str, folder: Path, name: str) -> Path:
        asked.append((url, folder.name, name))
        if url == C:
            raise DamagedMediaError("it cannot be downloaded", "the video is private")
        make.touch(folder, f"{name}.mp4")
        return folder / f"{name}.mp4"

    seen: list[tuple[int, int]] = []
    failed = download_missing(links, Options(), fetch, lambda *told: seen.append(told))
    assert asked == [(B, DOWNLOADS, name_of(B)), (C, DOWNLOADS, name_of(C))]
    assert failed == [(C, "the video is private")]
    assert seen == [(1, 2), (2, 2)]
    rows = add("youtube", links, Wishes(hashed=False)).rows
    assert [(row.label, row.forgery) for row in rows] == [("real", ""), ("fake", "swap"), ("real", "")]
    assert download_missing(links, Options(), fetch) == [(C, "the video is private")]


def test_a_list_without_links_and_files_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "links.csv"
    path.write_text("label,group\nreal,ann\n")
    with pytest.raises(DataError, match="no column url and no column file"):
        add("youtube", path)
    path.write_text("url,label\n,real\n")
    with pytest.raises(DataError, match=r"row 2 .*no url and no file"):
        add("youtube", path)
