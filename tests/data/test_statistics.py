from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import set_maker as make

import media_maker
from fakelab.data.manifest import Row
from fakelab.data.spool import NUMBERS, Prepared
from fakelab.data.statistics import draw, markdown, statistics
from fakelab.data.store import FaceStore, open_store, write_store
from portrait_maker import face_crop


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """A clip and two photos of one person, one of another, a file that is gone."""
    media_maker.make_video(tmp_path / "a.mp4", 5)
    for name in ("b.png", "c.png", "d.png"):
        make.write_picture(tmp_path / name, face_crop(32))
    made = [
        make.row("a.mp4", "fake", "ann", split="train", original="o1"),
        make.row("b.png", "real", "ann", split="train", original="o1"),
        make.row("c.png", "real", "ann", split="train", original="o2"),
        make.row("d.png", "real", "ben", split="val", source="t|u"),
        make.row("gone.png", "real", "cem", source="t|u"),
    ]
    return [dataclasses.replace(row, path=tmp_path / row.path) for row in made]


@pytest.fixture
def store(rows: list[Row], tmp_path: Path) -> FaceStore:
    """Two people in two frames of the clip, one face in each of two photos."""
    numbers = np.zeros(6, NUMBERS)
    numbers["person"] = [1, 1, 2, 2, 1, 1]
    numbers["time_s"] = [0, 1, 0, 1, 0, 0]
    numbers["side_px"] = [10, 20, 30, 40, 50, 60]
    (tmp_path / "s").mkdir()
    crops = np.zeros((6, 16, 16, 3), np.uint8)
    write_store(Prepared(rows, "", crops, numbers, np.array([0, 0, 0, 0, 1, 3]), []), tmp_path / "s")
    return open_store(tmp_path / "s")


def test_every_source_label_and_split_has_a_line_and_all_have_one(rows: list[Row], store: FaceStore) -> None:
    lines = statistics(rows, store)
    assert [(x.source, x.label, x.split, x.videos, x.photos, x.missing, x.people, x.originals) for x in lines] == [
        ("s", "real", "train", 0, 2, 0, 1, 2),
        ("s", "fake", "train", 1, 0, 0, 1, 1),
        ("t|u", "real", "val", 0, 1, 0, 1, 0),
        ("t|u", "real", "", 0, 0, 1, 1, 0),
        ("all", "", "", 1, 3, 1, 3, 2),
    ]
    assert [(x.frames, x.faces, x.tracks, x.face_px) for x in lines] == [
        (1, 1, 1, 50.0),
        (2, 4, 2, 25.0),
        (1, 1, 1, 60.0),
        (0, 0, 0, 0.0),
        (4, 6, 4, 35.0),
    ]


def test_the_table_shows_faces_only_where_they_are_known(rows: list[Row], store: FaceStore) -> None:
    seen: list[tuple[int, int]] = []
    without = markdown(statistics(rows, progress=lambda *told: seen.append(told))).splitlines()
    assert without[0] == "| source | label | split | videos | photos | missing | people | originals |"
    assert without[2] == "| s | real | train | 0 | 2 | 0 | 1 | 2 |"
    assert r"| t\|u | real | val |" in without[4]
    assert seen[-1] == (5, 5)
    with_faces = markdown(statistics(rows, store)).splitlines()
    assert with_faces[0].endswith("| frames | faces | tracks | face px |")
    assert with_faces[3] == "| s | fake | train | 1 | 0 | 0 | 1 | 1 | 2 | 4 | 2 | 25 |"
    assert "missing" not in markdown(statistics(rows[:4]))


def test_the_figure_is_drawn_and_the_same_twice(rows: list[Row], store: FaceStore, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'train' is not installed")
    lines = statistics(rows, store)
    for name in ("one.png", "two.png"):
        draw(lines, tmp_path / "out" / name)
    data = (tmp_path / "out" / "one.png").read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) > 5000
    assert data == (tmp_path / "out" / "two.png").read_bytes()
    draw(statistics(rows), tmp_path / "out" / "files.svg")
    text = (tmp_path / "out" / "files.svg").read_text()
    assert "<svg" in text and "dc:date" not in text
