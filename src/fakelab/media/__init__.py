"""Files -> arrays: what a file is, and its pictures as (H, W, 3) uint8 RGB; untrusted bytes stay in a child process.

    with open_media("clip.mp4") as media:
        print(media.info.duration_s)
        for frame in media.frames(Density()):
            ...

Importing this loads no decoder: names are fetched when they are first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fakelab.media.density import Density
    from fakelab.media.opening import Opening, begin_media
    from fakelab.media.quality import bits_per_pixel, blur, luma
    from fakelab.media.reader import Media, open_media
    from fakelab.media.sandbox import Limits, confinement
    from fakelab.media.sniff import Sniffed, identify, shown

_HOME = {
    "Density": "density",
    "Limits": "sandbox",
    "Media": "reader",
    "Opening": "opening",
    "Sniffed": "sniff",
    "begin_media": "opening",
    "bits_per_pixel": "quality",
    "blur": "quality",
    "confinement": "sandbox",
    "identify": "sniff",
    "luma": "quality",
    "open_media": "reader",
    "shown": "sniff",
}

__all__ = [
    "Density",
    "Limits",
    "Media",
    "Opening",
    "Sniffed",
    "begin_media",
    "bits_per_pixel",
    "blur",
    "confinement",
    "identify",
    "luma",
    "open_media",
    "shown",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
