from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from fakelab.data.manifest import Row
from fakelab.training.copies import LONGEST_WEBP_PX, circulated, write_copies


def drawn(seed: int, width: int = 300, height: int = 260) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = Pillow.fromarray(rng.integers(0, 256, (5, 5, 3)).astype(np.uint8)).resize((width, height))
    return np.asarray(base)


def listed(folder: Path, count: int) -> list[Row]:
    rows = []
    for number in range(count):
        path = folder / f"{number}.png"
        Pillow.fromarray(drawn(number)).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(Row(path, "real", "s", f"g{number}", sha256=digest if number % 2 else ""))
    return rows


def looks(path: Path) -> np.ndarray:
    return np.asarray(Pillow.open(path).convert("RGB").resize((8, 8))).astype(float).ravel()


def test_a_copy_is_named_by_what_it_was_made_from_and_made_once(tmp_path: Path) -> None:
    rows = listed(tmp_path, 4)
    made = write_copies(rows, tmp_path / "copies", trusted=True)
    paths = [row.path for row in made if row is not None]
    assert len(set(paths)) == 4 and {path.suffix for path in paths} <= {".jpg", ".webp"}
    assert all(
        row is not None and row.sha256 == "" and row.group == old.group for row, old in zip(made, rows, strict=True)
    )
    for row, path in zip(rows, paths, strict=True):
        assert np.corrcoef(looks(row.path), looks(path))[0, 1] > 0.7
    paths[0].write_bytes(b"kept")
    # Another order, one row less: everybody keeps the copy of their own picture.
    again = write_copies(rows[:0:-1], tmp_path / "copies", trusted=True)
    assert [row.path for row in again if row is not None] == paths[:0:-1]
    assert paths[0].read_bytes() == b"kept"


def test_what_cannot_be_read_or_is_another_file_by_now_has_no_copy(tmp_path: Path) -> None:
    rows = listed(tmp_path, 3)
    (tmp_path / "0.png").write_text("no picture")
    Pillow.fromarray(drawn(9)).save(tmp_path / "1.png")
    told: list[int] = []
    made = write_copies(rows, tmp_path / "copies", trusted=True, progress=lambda done, total: told.append(done))
    assert [row is None for row in made] == [True, True, False] and told == [1, 2, 3]


def test_files_that_are_not_trusted_are_read_in_a_confined_process(tmp_path: Path) -> None:
    made = write_copies(listed(tmp_path, 1), tmp_path / "copies", workers=1)
    assert made[0] is not None and made[0].path.is_file()


@pytest.mark.parametrize(("width", "height"), [(1200, 900), (256, 256), (240, 300), (2000, 230)])
def test_no_side_is_made_shorter_than_a_view(width: int, height: int) -> None:
    sizes = [
        Pillow.open(io.BytesIO(circulated(drawn(1, width, height), "jpeg", np.random.default_rng(seed)))).size
        for seed in range(24)
    ]
    assert min(min(size) for size in sizes) >= min(width, height, 256)
    if min(width, height) > 600:
        assert len(set(sizes)) > 12 and min(min(size) for size in sizes) < 400


def test_a_picture_too_wide_for_webp_becomes_a_jpeg() -> None:
    wide = np.zeros((20, LONGEST_WEBP_PX + 5, 3), np.uint8)
    assert Pillow.open(io.BytesIO(circulated(wide, "webp", np.random.default_rng(0)))).format == "JPEG"
