"""Photos of every format, mode and orientation end as one upright RGB picture."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import media_maker as maker
from fakelab.errors import DamagedMediaError, LimitError
from fakelab.media import Density, Limits, open_media
from fakelab.records import Frame, Kind, MediaInfo

SCENE = Image.fromarray(maker.numbered(5, 320, 192))


def read(path: Path, **kwargs: Limits) -> tuple[MediaInfo, Frame, tuple[str, ...]]:
    with open_media(path, **kwargs) as media:
        frames = list(media.frames())
    assert len(frames) == 1
    assert (frames[0].time_s, frames[0].burst, frames[0].index) == (0.0, 0, 0)
    assert frames[0].image.dtype == np.uint8
    assert frames[0].image.shape == (media.info.height_px, media.info.width_px, 3)
    return media.info, frames[0], media.warnings


def save_heif(path: Path, image: Image.Image = SCENE, **options: object) -> Path:
    import pillow_heif

    pillow_heif.from_pillow(image).save(path, quality=90, **options)
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.bmp", "a.gif", "a.avif", "a.heic"])
def test_formats(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "a.heic":
        save_heif(path)
    else:
        SCENE.save(path)
    info, frame, warnings = read(path)
    assert info.kind is Kind.PHOTO
    names = {"jpg": "jpeg", "tif": "tiff", "heic": "heif", "avif": "heif"}
    assert info.container == names.get(path.suffix[1:], path.suffix[1:])
    assert (info.width_px, info.height_px) == (320, 192)
    assert maker.is_upright(frame.image)
    assert maker.read_number(frame.image) == 5
    assert not warnings


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff(compression: str, tmp_path: Path) -> None:
    SCENE.save(tmp_path / "a.tif", compression=compression)
    assert maker.read_number(read(tmp_path / "a.tif")[1].image) == 5


TURNS = {
    1: lambda i: i,
    2: lambda i: i[:, ::-1],
    3: lambda i: i[::-1, ::-1],
    4: lambda i: i[::-1],
    5: lambda i: i.transpose(1, 0, 2),
    6: lambda i: np.rot90(i, 1),
    7: lambda i: i[::-1, ::-1].transpose(1, 0, 2),
    8: lambda i: np.rot90(i, -1),
}


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.avif", "a.heic"])
@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_orientation(name: str, orientation: int, tmp_path: Path) -> None:
    stored = Image.fromarray(np.ascontiguousarray(TURNS[orientation](np.asarray(SCENE))))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / name
    if name == "a.heic":
        save_heif(path, stored, exif=exif.tobytes())
    else:
        stored.save(path, exif=exif)
    info, frame, _ = read(path)
    assert (info.width_px, info.height_px) == (320, 192)
    assert maker.is_upright(frame.image)
    assert maker.read_number(frame.image) == 5


@pytest.mark.parametrize("orientation", TURNS)
def test_every_jpeg_orientation(orientation: int, tmp_path: Path) -> None:
    stored = Image.fromarray(np.ascontiguousarray(TURNS[orientation](np.asarray(SCENE))))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.jpg", exif=exif)
    _, frame, _ = read(tmp_path / "a.jpg")
    assert maker.is_upright(frame.image)
    assert maker.read_number(frame.image) == 5


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("L", "a.jpg"),
        ("CMYK", "a.jpg"),
        ("CMYK", "a.tif"),
        ("1", "a.png"),
        ("P", "a.png"),
        ("LA", "a.png"),
        ("RGBA", "a.webp"),
        ("RGBA", "a.tif"),
        ("LAB", "a.tif"),
        ("I;16", "a.png"),
        ("I;16", "a.tif"),
        ("F", "a.tif"),
        ("YCbCr", "a.jpg"),
    ],
)
def test_modes(mode: str, name: str, tmp_path: Path) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.asarray(SCENE.convert("L")).astype(np.uint16) * 257)
    elif mode == "LAB":
        from PIL import ImageCms

        image = ImageCms.profileToProfile(
            SCENE, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    else:
        image = SCENE.convert(mode)
    image.save(tmp_path / name)
    _, frame, _ = read(tmp_path / name)
    assert maker.read_number(frame.image) == 5
    grey = np.asarray(SCENE.convert("L")).astype(int)
    if mode != "1":
        assert np.abs(frame.image.mean(axis=2) - np.asarray(SCENE).mean(axis=2)).mean() < 25
    if mode in ("I;16", "F", "L"):
        assert np.abs(frame.image[:, :, 0].astype(int) - grey).mean() < 8


def test_transparent_parts_lie_on_grey(tmp_path: Path) -> None:
    image = np.zeros((40, 60, 4), np.uint8)
    image[:, :30] = (250, 10, 10, 255)
    Image.fromarray(image).save(tmp_path / "a.png")
    _, frame, _ = read(tmp_path / "a.png")
    assert frame.image[20, 10].tolist() == [250, 10, 10]
    assert frame.image[20, 50].tolist() == [128, 128, 128]


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.fromarray(np.repeat(np.array([[0, 1]], np.uint8), 20, axis=1).repeat(10, axis=0), "P")
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "a.png", transparency=1)
    _, frame, _ = read(tmp_path / "a.png")
    assert frame.image[5, 5].tolist() == [255, 0, 0]
    assert frame.image[5, 35].tolist() == [128, 128, 128]


def test_sixteen_bit_colour_png(tmp_path: Path) -> None:
    value = np.full((8, 8, 3), 0x80FF, ">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in value)
    (tmp_path / "a.png").write_bytes(png(8, 8, zlib.compress(rows), depth=16))
    _, frame, _ = read(tmp_path / "a.png")
    assert np.abs(frame.image.astype(int) - 0x80).max() <= 1


def png(width: int, height: int, data: bytes, depth: int = 8) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_header_that_declares_2500_million_pixels_is_refused_before_decoding(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png(50_000, 50_000, zlib.compress(bytes(1000))))
    with pytest.raises(LimitError, match=r"bomb\.png.*50000 x 50000 pixels.*100 million"):
        open_media(tmp_path / "bomb.png")


def test_the_limit_on_pixels_is_a_parameter(tmp_path: Path) -> None:
    SCENE.save(tmp_path / "a.jpg")
    with pytest.raises(LimitError):
        open_media(tmp_path / "a.jpg", limits=Limits(pixels=1000))


def test_a_truncated_jpeg_gives_what_is_there_with_a_warning(tmp_path: Path) -> None:
    SCENE.save(tmp_path / "a.jpg", quality=95)
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) * 3 // 4])
    with open_media(tmp_path / "a.jpg") as media:
        frame = next(iter(list(media.frames())))
    assert maker.read_number(frame.image) == 5
    assert media.frames_failed == 1
    assert any("incomplete" in w for w in media.warnings)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.bmp", "a.avif", "a.heic"])
def test_a_photo_cut_after_its_header_is_damaged(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    save_heif(path) if name == "a.heic" else SCENE.save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DamagedMediaError, match=r"a\."), open_media(path) as media:
        list(media.frames())


def test_a_truncated_png_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noisy = np.asarray(SCENE) // 2 + rng.integers(0, 60, (192, 320, 3), np.uint8)
    Image.fromarray(noisy).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) * 3 // 4])
    with open_media(tmp_path / "a.png") as media:
        assert media.info.width_px == 320
        image = next(iter(list(media.frames()))).image
    assert np.abs(image[:90].astype(int) - noisy[:90]).max() == 0
    assert media.warnings


def test_damaged_metadata_does_not_hide_the_picture(tmp_path: Path) -> None:
    SCENE.save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(200)))
    assert maker.read_number(read(tmp_path / "a.jpg")[1].image) == 5


def test_animations_are_videos(tmp_path: Path) -> None:
    frames = [Image.fromarray(maker.numbered(i, 320, 96)) for i in range(100)]
    for name in ("a.gif", "a.webp", "a.png", "a.avif"):
        path = tmp_path / name
        options = {"lossless": True} if name == "a.webp" else {"quality": 60, "speed": 10} if name == "a.avif" else {}
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, **options)  # type: ignore[arg-type]
        with open_media(path) as media:
            got = list(media.frames())
        info = media.info
        assert (info.kind, info.frames_count) == (Kind.VIDEO, 100), name
        assert info.duration_s == pytest.approx(5.0)
        assert info.fps == pytest.approx(20)
        numbers = [maker.read_number(f.image) for f in got]
        assert len(set(numbers)) == 16, name
        assert numbers[:4] == [6, 7, 19, 20]
        assert numbers[-1] > 90
        for frame, number in zip(got, numbers, strict=True):
            assert frame.time_s == pytest.approx(number * 0.05, abs=0.001)


def test_an_animation_of_a_few_frames_gives_each_once(tmp_path: Path) -> None:
    frames = [Image.fromarray(maker.numbered(i, 320, 96)) for i in range(5)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[50, 500, 50, 50, 50])
    with open_media(tmp_path / "a.gif") as media:
        assert media.info.variable_frame_rate
        assert [maker.read_number(f.image) for f in media.frames(Density(bursts=4))] == [0, 1, 2, 3, 4]
