"""A second JPEG compression is told from a first one, and an area that was copied inside a photo is marked."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakelab.evidence import examine
from fakelab.evidence.blocks import blocks_of, scaled_table
from fakelab.evidence.copies import copies_in
from fakelab.evidence.double import double_compression
from fakelab.evidence.tables import nearest_quality, origin_of
from fakelab.media import Limits
from fakelab.records import Check


def scene(seed: int, side: int = 384) -> np.ndarray:
    """A picture with detail of every size, as photos have it."""
    rng = np.random.default_rng(seed)
    total = np.zeros((side, side, 3), np.float32)
    for cells, weight in ((5, 60), (12, 35), (30, 20), (80, 12), (190, 8)):
        coarse = Image.fromarray(rng.integers(0, 255, (cells, cells, 3), dtype=np.uint8))
        total += (np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.float32) - 128) * weight / 90
    return (total + 128).clip(0, 255).round().astype(np.uint8)


def as_jpeg(pixels: np.ndarray, quality: int | str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def again(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def table(quality: int) -> np.ndarray:
    return scaled_table(quality).astype(int)


@pytest.mark.parametrize("quality", [75, 85, 95])
def test_saved_once_is_not_saved_twice(quality: int) -> None:
    found = double_compression(again(as_jpeg(scene(1), quality)), table(quality))
    assert found is not None and not found.found and found.gain < 0.01


@pytest.mark.parametrize(("first", "second"), [(55, 90), (70, 92), (80, 95)])
def test_saved_twice_is_found_with_the_first_quality(first: int, second: int) -> None:
    found = double_compression(again(as_jpeg(again(as_jpeg(scene(2), first)), second)), table(second))
    assert found is not None and found.found and found.gain > 0.05
    assert found.quality is not None and abs(found.quality - first) <= 3


def test_blocks_put_in_later_stand_out() -> None:
    ground = again(as_jpeg(scene(3), 60)).copy()
    ground[128:256, 128:256] = scene(4)[128:256, 128:256]
    found = double_compression(again(as_jpeg(ground, 92)), table(92))
    assert found is not None and found.found
    inside = found.heat[18:30, 18:30]
    outside = np.concatenate([found.heat[:12].ravel(), found.heat[36:].ravel()])
    assert np.median(inside) > 1 > np.median(outside)
    assert (inside > 0).mean() > 0.9 and (outside > 0).mean() < 0.1


def test_too_small_to_tell() -> None:
    assert double_compression(scene(1, 64), table(90)) is None


def test_coefficients_are_those_of_jpeg() -> None:
    blocks = blocks_of(again(as_jpeg(scene(5), 75)))
    assert blocks is not None
    steps = blocks.dct / table(75)
    assert np.abs(steps - np.round(steps))[..., 1:, 1:].mean() < 0.06


def paste(pixels: np.ndarray, flip: bool = False) -> np.ndarray:
    changed = pixels.copy()
    area = pixels[40:130, 40:140]
    changed[230:320, 220:320] = area[:, ::-1] if flip else area
    return again(as_jpeg(changed, 88))


def test_a_copied_area_is_marked_at_both_places() -> None:
    found = copies_in(paste(scene(6)))
    assert found.pairs >= 6
    assert found.heat[55:115, 55:125].mean() > 0.8 and found.heat[245:305, 235:305].mean() > 0.8
    elsewhere = found.heat.copy()
    elsewhere[30:140, 30:150] = elsewhere[220:330, 210:330] = 0
    assert elsewhere.mean() < 0.01


@pytest.mark.parametrize("seed", range(7, 12))
def test_nothing_is_marked_where_nothing_was_copied(seed: int) -> None:
    found = copies_in(again(as_jpeg(scene(seed), 88)))
    assert (found.pairs, found.share, float(found.heat.max())) == (0, 0.0, 0.0)


@pytest.mark.parametrize("shape", [(1, 1, 3), (8, 300, 3), (64, 64, 3)])
def test_flat_and_tiny_pictures_have_no_copies(shape: tuple[int, int, int]) -> None:
    assert copies_in(np.full(shape, 90, np.uint8)).pairs == 0


def test_origin_of_tables() -> None:
    from PIL.JpegPresets import presets

    assert origin_of(scaled_table(83).astype(int).ravel().tolist()).quality == 83
    luma, chroma = presets["high"]["quantization"][:2]
    assert origin_of(luma, chroma).adobe == "high" and "Adobe" in origin_of(luma, chroma).words
    own = [*scaled_table(83).astype(int).ravel().tolist()]
    own[5] += 3
    assert origin_of(own).quality is None and abs(nearest_quality(own) - 83) <= 1


def checks_of(path: Path, data: bytes) -> dict[str, Check]:
    path.write_bytes(data)
    return {each.name: each for each in examine(path, Limits()).checks}


def test_the_checks_say_it_in_words(tmp_path: Path) -> None:
    changed = scene(6).copy()
    changed[230:320, 220:320] = changed[40:130, 40:140]
    checks = checks_of(tmp_path / "a.jpg", as_jpeg(again(as_jpeg(changed, 60)), 93))
    assert checks["double_compression"].state == "found"
    assert "at least twice in the same grid, the first time near quality" in checks["double_compression"].sentence
    assert checks["copy_move"].state == "found" and "points that agree" in checks["copy_move"].sentence
    ((name, heat),) = checks["copy_move"].maps
    assert name == "twice" and heat.shape == (384, 384)


def test_a_camera_with_tables_of_adobe_is_a_contradiction(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Canon"
    buffer = io.BytesIO()
    Image.fromarray(scene(8, 128)).save(buffer, "JPEG", quality="high", exif=exif)
    check = checks_of(tmp_path / "a.jpg", buffer.getvalue())["jpeg_tables"]
    assert check.state == "contradictions" and "tables are those of Adobe" in check.contradictions[0]


def test_a_png_is_searched_for_copies_and_has_no_tables(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(scene(9, 200)).save(buffer, "PNG")
    checks = checks_of(tmp_path / "a.png", buffer.getvalue())
    assert checks["copy_move"].state == "none_found"
    assert "jpeg_tables" not in checks and "double_compression" not in checks
