"""One upright RGB picture from a photo. Runs inside the child process.

The header's size is checked before a pixel is decoded. Every mode ends as 8-bit RGB: transparency is laid on grey,
16 bits are cut to the upper 8, CMYK and palettes are converted.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from PIL import Image, ImageFile, UnidentifiedImageError

from fakelab.media.density import Density
from fakelab.media.wire import Job, Message, Picture, RefusedError, fitted

PILLOW_FORMATS = {
    "jpeg": ("JPEG", "MPO"),
    "png": ("PNG",),
    "gif": ("GIF",),
    "webp": ("WEBP",),
    "tiff": ("TIFF",),
    "bmp": ("BMP",),
    "heif": ("AVIF", "HEIF"),
}
"""Container -> the only plugins of Pillow that may read it."""
BACKGROUND = (128, 128, 128)
"""What transparent parts are laid on: mid grey, neither a dark nor a bright edge around a cut-out face."""
STRIP_ROWS = 256
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the stored picture upright."""


def prepare(container: str) -> None:
    """Imports what Pillow would import later: once the child is confined it can open no module."""
    needs = {"heif": ("AvifImagePlugin",), "jpeg": ("JpegImagePlugin", "MpoImagePlugin"), "webp": ("WebPImagePlugin",)}
    names = needs.get(container, (f"{container.capitalize()}ImagePlugin",))
    for name in (*names, "TiffImagePlugin", "ImagePalette", "ImageCms"):
        importlib.import_module(f"PIL.{name}")
    Image.preinit()
    if container == "heif":
        importlib.import_module("pillow_heif").register_heif_opener()


class PhotoReader:
    """One still picture."""

    def __init__(self, job: Job) -> None:
        self.failed = 0
        self.warnings: list[str] = []
        self.longest_px: int | None = None
        self._job = job
        self._image = open_image(job)
        self._orientation = orientation_of(self._image)

    def facts(self) -> Message:
        """Upright size, and one frame."""
        width, height = self._image.size
        if self._orientation >= 5:
            width, height = height, width
        return {"kind": "photo", "width_px": width, "height_px": height, "frames_count": 1}

    def frames(self, density: Density) -> Iterator[Picture]:
        """The picture, once."""
        image = to_rgb(self._load())
        turn = UPRIGHT.get(self._orientation)
        yield picture_of(scaled(image if turn is None else image.transpose(turn), self.longest_px))

    def at(self, times_s: list[float]) -> Iterator[Picture]:
        """The picture for each time."""
        picture = next(self.frames(Density()))
        rows = list(picture.rows)
        return (dataclasses.replace(picture, rows=rows, burst=index) for index in range(len(times_s)))

    def _load(self) -> Any:
        """The decoded image; of a truncated file the part that is there, with a warning."""
        try:
            self._image.load()
            return self._image
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            reason = str(error)
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        self._image = open_image(self._job)
        try:
            self._image.load()
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise _damaged(str(error)) from error
        if all(low == high for low, high in _extrema(self._image)):
            raise _damaged(reason)
        self.failed += 1
        self.warnings.append(f"the picture is incomplete, only a part could be decoded ({reason})")
        return self._image


def open_image(job: Job) -> Any:
    """Pillow's image with its header read and its size within the limit. Raises RefusedError."""
    Image.MAX_IMAGE_PIXELS = None  # our own limit holds
    if job.container == "heif":
        import pillow_heif

        pillow_heif.options.DECODE_THREADS = job.threads
    job.file.seek(0)
    try:
        image = Image.open(cast(BinaryIO, _Plain(job.file)), formats=PILLOW_FORMATS[job.container])
    except (UnidentifiedImageError, KeyError) as error:  # Pillow knows the name MPO, but no opener for it
        raise _damaged("its header could not be read") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise _damaged(str(error)) from error
    width, height = image.size
    if width * height > job.pixels:
        raise RefusedError(
            "limit",
            f"it has {width} x {height} pixels, the limit is {job.pixels / 1e6:g} million",
            "Scale it down, or raise the limit on pixels.",
        )
    return image


def orientation_of(image: Any) -> int:
    """EXIF orientation 1..8, read without decoding; 1 where it is absent or unreadable."""
    if image.format == "TIFF":
        return 1  # Pillow turns TIFFs itself, and states their size as turned
    try:
        # The method of the base class: that of PNG would decode the whole picture to find late metadata.
        value = Image.Image.getexif(image).get(0x0112, 1)
    except Exception:
        return 1  # damaged metadata may raise anything, and must not hide the picture
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def to_rgb(image: Any) -> Any:
    """The image as 8-bit RGB, transparency laid on BACKGROUND."""
    if image.mode.startswith("I;16"):
        return _upper_bytes(image)
    match image.mode:
        case "RGB":
            return image
        case "I":  # 16-bit samples in 32-bit cells
            return image.point(lambda v: v * (1 / 256)).convert("L").convert("RGB")
        case "F":
            low, high = image.getextrema()
            if low >= 0 and high <= 255:  # written as 0..1 or as 0..255
                low, high = 0, 1 if high <= 1 else 255
            scale = 255 / (high - low) if high > low else 0
            return image.point(lambda v: v * scale - low * scale).convert("L").convert("RGB")
        case "LAB":
            from PIL import ImageCms

            profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGB", image.size, BACKGROUND)
        ground.paste(image, mask=image.getchannel("A"))
        return ground
    return image.convert("RGB")


def scaled(rgb: Any, longest_px: int | None) -> Any:
    """The RGB image with at most `longest_px` on its longer side."""
    width, height = rgb.size
    size = fitted(width, height, longest_px)
    return rgb if size == (width, height) else rgb.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def picture_of(rgb: Any, time_s: float = 0.0, burst: int = 0) -> Picture:
    """An RGB image on its way out, in strips: a second whole copy of a large photo is never made."""
    width, height = rgb.size
    rows = (rgb.crop((0, top, width, min(height, top + STRIP_ROWS))).tobytes() for top in range(0, height, STRIP_ROWS))
    return Picture(width, height, rows, time_s, burst)


def _upper_bytes(image: Any) -> Any:
    """16-bit grey: Pillow would clip it at 255, so the upper byte of each sample is taken."""
    samples = image.tobytes()
    upper = samples[0::2] if image.mode.endswith("B") else samples[1::2]
    return Image.frombytes("L", image.size, upper).convert("RGB")


def _extrema(image: Any) -> list[tuple[float, float]]:
    found = image.getextrema()
    return [found] if isinstance(found[0], int | float) else list(found)


def _damaged(why: str) -> RefusedError:
    return RefusedError("damaged", why, "The download or copy may be incomplete: try to get the file again.")


class _Plain:
    """A file without a descriptor: Pillow's TIFF reader would duplicate it, which the sandbox forbids."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell
        self.closed = False
