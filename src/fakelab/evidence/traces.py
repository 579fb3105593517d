"""What a file carries beside its picture, taken in from the confined child and checked: the ground of every check."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.media import Media, Opening
from fakelab.media.wire import MalformedError, Message, whole
from fakelab.records import Image, MediaInfo

TILE_PX = 16
"""Side of the tiles that a large photo is thinned out to: two JPEG blocks, one block of halved colour."""
MOST_PIXELS = 1_500_000
MOST_TEXT = 300


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """The stored picture, not turned: every `step`-th tile of TILE_PX in both directions, side by side."""

    image: Image
    step: int


@dataclass(frozen=True, slots=True, eq=False)
class Traces:
    """Credentials and tags as the child told them, and what the checks need of the picture."""

    info: MediaInfo
    credentials: Message
    tags: Message
    small: Image | None = None
    thumbnail: Image | None = None
    tiles: Tiles | None = None

    def tag(self, name: str) -> dict[str, Any]:
        """The tags of one kind as a mapping; empty where there are none."""
        found = self.tags.get(name)
        return found if isinstance(found, dict) else {}

    @property
    def orientation(self) -> int:
        value = self.tags.get("orientation")
        return value if isinstance(value, int) and 1 <= value <= 8 else 1


@dataclass(slots=True)
class _Rows:
    """Strips of a picture, thinned out as they come."""

    step: int
    kept: list[NDArray[np.uint8]] = field(default_factory=list)
    _row: int = 0

    def add(self, strip: NDArray[np.uint8]) -> None:
        """Takes the next strip; the last one may end in a part of a tile, which is left out."""
        tile = TILE_PX
        width = strip.shape[1] // tile * tile
        for top in range(0, strip.shape[0] // tile * tile, tile):
            if self._row % self.step == 0 and width:
                row = strip[top : top + tile, :width].reshape(tile, width // tile, tile, 3)[:, :: self.step]
                self.kept.append(row.reshape(tile, -1, 3).copy())
            self._row += 1


def read_traces(opening: Opening, anchors: str = "") -> Traces:
    """The traces of a file that is being opened for the task `traces`; `anchors` are trusted authorities as PEM.

    Raises what `open_media` raises, and MalformedError where the child answered with nonsense.
    """
    with Media(opening) as media:
        return gathered(media.info, media.parts({"trust_anchors": anchors, "rows": True}))


def gathered(info: MediaInfo, parts: Iterable[tuple[Message, bytes]]) -> Traces:
    """The traces in the parts that the child sent. Raises MalformedError."""
    credentials: Message = {}
    tags: Message = {}
    pictures: dict[str, Image] = {}
    step = 1
    while (info.width_px or 0) * (info.height_px or 0) > MOST_PIXELS * step * step:
        step += 1
    rows = _Rows(step)
    for message, data in parts:
        match message.get("what"):
            case "c2pa":
                credentials = _document(data)
            case "tags":
                tags = _document(data)
            case "small" | "thumbnail" as what:
                pictures[what] = _picture(message, data)
            case "rows":
                rows.add(_picture(message, data))
            case _:
                raise MalformedError("a part that was not asked for")
    tiles = Tiles(np.concatenate(rows.kept), step) if rows.kept else None
    return Traces(info, credentials, tags, pictures.get("small"), pictures.get("thumbnail"), tiles)


def _document(data: bytes) -> Message:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedError("not JSON") from error
    if not isinstance(found, dict):
        raise MalformedError("no mapping")
    return found


def _picture(message: Message, data: bytes) -> Image:
    width, height = (whole(message, key, 1, 1 << 20) for key in ("width_px", "height_px"))
    if len(data) != width * height * 3:
        raise MalformedError("a picture of another size")
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def said(value: object, longest: int = MOST_TEXT) -> str:
    """A value from the file as one printable line; empty for what is no text or number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in str(value)).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def mapping(value: object) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def rows_of(value: object) -> list[dict[str, Any]]:
    """The mappings in a list; empty for anything else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
