"""The maps of compression: bright where a part has another past, upright, and whole on large photos."""

from __future__ import annotations

import io
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from signed_maker import make_signer, photo, signed

from fakelab.evidence import compression, examine, judge_all
from fakelab.evidence.pictures import turned
from fakelab.evidence.traces import Traces, gathered, read_traces
from fakelab.media import Limits, begin_media
from fakelab.media.photo import PhotoReader, prepare
from fakelab.media.traces_child import reader
from fakelab.media.wire import Job, RefusedError
from fakelab.records import Check, Kind, MediaInfo


def textured(seed: int, side: int = 384) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(30, 225, (24, 24, 3), dtype=np.uint8)).resize((side, side), 3)
    return np.asarray(coarse, np.float32) + rng.normal(0, 6, (side, side, 3))


def saved(pixels: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8)).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def spliced() -> bytes:
    """A photo saved at 60 with a square that was never saved, saved again at 92."""
    ground = opened(saved(textured(1), 60)).astype(np.float32).copy()
    ground[128:256, 128:256] = textured(2)[128:256, 128:256]
    return saved(ground, 92)


def inside_and_out(values: np.ndarray) -> tuple[float, float]:
    side = values.shape[0]
    low, high = side // 3 + 1, 2 * side // 3 - 1
    outside = np.ones(values.shape, bool)
    outside[low - 2 : high + 2, low - 2 : high + 2] = False
    return float(np.median(values[low:high, low:high])), float(np.median(values[outside]))


def traces_of(tmp_path: Path, data: bytes) -> Traces:
    (tmp_path / "a.jpg").write_bytes(data)
    return read_traces(begin_media(tmp_path / "a.jpg", task="traces"))


def test_a_part_that_was_never_saved_before_stands_out(tmp_path: Path) -> None:
    traces = traces_of(tmp_path, spliced())
    assert traces.tiles is not None
    image = traces.tiles.image
    for name, values, times in (
        ("ghosts", compression.ghosts(image), 1.5),
        ("noise", compression.noise(image), 1.2),
        ("ela", compression.ela(image), 1.1),
    ):
        inside, outside = inside_and_out(values)
        assert inside > times * outside, (name, inside, outside)


@pytest.mark.parametrize("quality", [1, 30, 50, 75, 92, 100])
def test_the_quality_of_standard_tables_is_known(tmp_path: Path, quality: int) -> None:
    traces = traces_of(tmp_path, photo(quality=quality))
    check = next(each for each in judge_all(traces).checks if each.name == "jpeg_tables")
    assert dict(check.facts)["Tables"] == f"the IJG's (libjpeg), quality {quality}"


def test_maps_are_upright(tmp_path: Path) -> None:
    from PIL import ImageOps

    stored = np.arange(12, dtype=np.float32).reshape(3, 4)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(stored.astype(np.uint8))
        image.getexif()[0x0112] = orientation
        upright = np.asarray(ImageOps.exif_transpose(image))
        assert np.array_equal(turned(stored, orientation), upright), orientation


def test_a_large_photo_is_thinned_out_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(5, 3000))
    began = time.monotonic()
    checks = {each.name: each for each in examine(tmp_path / "a.jpg", Limits()).checks}
    assert time.monotonic() - began < 20
    assert "tile of 16 pixels" in dict(checks["ela"].facts)["Looked at"]
    assert checks["ela"].maps[0][1].shape[0] <= 300


def test_every_map_is_within_bounds_and_says_how_to_read_it(tmp_path: Path) -> None:
    checks = judge_all(traces_of(tmp_path, spliced())).checks
    drawn = [each for each in checks if each.maps]
    assert {each.name for each in drawn} == {"ela", "jpeg_ghosts", "double_compression", "noise"}
    for check in drawn:
        assert check.how_to_read and "CASIA" in check.when_it_misleads
        for _, values in check.maps:
            assert values.dtype == np.float32 and values.ndim == 2
            assert values.min() >= 0 and values.max() <= 1


def test_a_tiny_photo_gets_no_maps(tmp_path: Path) -> None:
    checks = judge_all(traces_of(tmp_path, photo(0, 40))).checks
    assert next(each for each in checks if each.name == "ela").state == "not_applicable"


def test_a_fault_is_a_fact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(image: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError

    monkeypatch.setattr(compression, "ela", fault)
    checks = {each.name: each for each in judge_all(traces_of(tmp_path, spliced())).checks}
    assert checks["ela"].state == "failed" and checks["noise"].state == "map"


def test_an_unreadable_file_is_a_fact(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(40))
    (check,) = examine(tmp_path / "a.jpg", Limits()).checks
    assert check.state == "failed"


def _in_this_process(data: bytes, path: Path) -> tuple[Check, ...]:
    """The checks without the confined child, whose start would take most of the time."""
    path.write_bytes(data)
    with path.open("rb") as file:
        job = Job(file, "jpeg", "", 1, 1 << 24)
        found = reader(PhotoReader)(job)
        width, height = found.facts()["width_px"], found.facts()["height_px"]
        info = MediaInfo(str(path), path.name, len(data), "0" * 64, Kind.PHOTO, "jpeg", width, height)
        parts = [(message, b"".join(payload)) for message, payload in found.parts({"rows": True})]
    return judge_all(gathered(info, parts)).checks


def test_200_mutated_photos_never_crash_a_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import ImageFile

    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    prepare("jpeg")
    exif = Image.Exif()
    exif[0x010F] = "Canon"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:01 10:00:00"
    plain = photo(6, 96, exif=exif, xmp=b"<x:xmpmeta><a xmp:CreatorTool='x'/></x:xmpmeta>", comment=b"hello")
    credential = signed(make_signer(), data=plain)
    rng = np.random.default_rng(7)
    judged = refused = 0
    began = time.monotonic()
    for number in range(200):
        data = bytearray(credential if number % 2 else plain)
        for _ in range(int(rng.integers(1, 12))):
            # Metadata lie at the start: most of the harm is done there.
            at = int(rng.integers(2, len(data) if rng.random() < 0.4 else min(len(data), 1500)))
            match int(rng.integers(4)):
                case 0:
                    data[at] = int(rng.integers(256))
                case 1:
                    del data[at : at + int(rng.integers(1, 30))]
                case 2:
                    data[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 20)), dtype=np.uint8))
                case _:
                    data[at] = 0xFF
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's, about damaged metadata
                checks = _in_this_process(bytes(data), tmp_path / "a.jpg")
        except RefusedError:
            refused += 1
            continue
        assert checks[0].name == "provenance"
        assert not [each for each in checks if each.state == "failed"]
        judged += 1
    assert judged > 100 and judged + refused == 200
    assert time.monotonic() - began < 20
