"""Files that are trusted, decoded in this very process: for training sets of many small photos, never for evidence.

The readers are those of the child process, so the pixels are the same; what is saved is a process for every file, and
what is lost is its confinement: a hostile file may crash this process, or take it over.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fakelab.errors import DamagedMediaError, LimitError, MediaError, UnsupportedMediaError
from fakelab.media.child import READERS
from fakelab.media.density import Density
from fakelab.media.probe import media_info, open_file, reader_at
from fakelab.media.reader import upright
from fakelab.media.sandbox import Limits
from fakelab.media.sniff import identify, shown
from fakelab.media.wire import FileReader, Job, MalformedError, RefusedError
from fakelab.records import Frame, Kind, MediaInfo

_KINDS = {"limit": LimitError, "unsupported": UnsupportedMediaError}


class TrustedMedia:
    """What `Media` is, without a child process: `info`, and `frames` once."""

    def __init__(self, info: MediaInfo, reader: FileReader, name: str) -> None:
        self.info = info
        self._reader, self._name = reader, name

    def frames(self, density: Density | None = None) -> Iterator[Frame]:
        """The sampled frames as `Media.frames` gives them. Raises DamagedMediaError, LimitError."""
        if self.info.kind is Kind.AUDIO:
            return
        index = 0
        with _refusals(self._name):
            for picture in self._reader.frames(density or Density()):
                image = np.empty((picture.height_px, picture.width_px, 3), np.uint8)
                view, at = image.data.cast("B"), 0
                for rows in picture.rows:
                    part = memoryview(rows).cast("B")
                    view[at : at + len(part)] = part
                    at += len(part)
                turn = picture.turn
                image = upright(image, turn.transpose, turn.flip_x, turn.flip_y)
                yield Frame(image, picture.time_s, index, picture.burst)
                index += 1
        if not index:
            raise DamagedMediaError(f"{self._name} cannot be read", "no picture of it could be decoded")


@contextmanager
def open_trusted(
    path: str | os.PathLike[str], limits: Limits | None = None, threads: int = 1
) -> Iterator[TrustedMedia]:
    """The file at `path` as `open_media` opens it, but decoded here. Of the limits, only that on pixels holds.

    Raises NotFoundError, UnsupportedMediaError, DamagedMediaError, LimitError.
    """
    name = shown(path)
    fd, size_bytes = open_file(path)
    with os.fdopen(fd, "rb") as file:
        sniffed = identify(reader_at(fd), os.fspath(path))
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        with _refusals(name):
            module = importlib.import_module(f"fakelab.media.{sniffed.reader}")
            module.prepare(sniffed.container)
            _forget_truncated()
            job = Job(file, sniffed.container, sniffed.demuxer, threads, (limits or Limits()).pixels)
            reader: FileReader = getattr(module, READERS[sniffed.reader])(job)
            info = media_info(os.fspath(path), size_bytes, digest, sniffed, reader.facts())
        yield TrustedMedia(info, reader, name)


def _forget_truncated() -> None:
    """Undoes what the photo reader sets for a truncated file: in the child, that ended with the process."""
    if module := sys.modules.get("PIL.ImageFile"):
        module.LOAD_TRUNCATED_IMAGES = False  # type: ignore[attr-defined]


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    """Turns what a reader raises into the MediaError that the parent of a child would raise."""
    try:
        yield
    except (MediaError, GeneratorExit):
        raise
    except RefusedError as refusal:
        kind = _KINDS.get(refusal.kind, DamagedMediaError)
        raise kind(f"{name} cannot be read", refusal.why, refusal.do) from refusal
    except MalformedError as error:
        raise DamagedMediaError(f"{name} cannot be read", str(error)) from error
    except Exception as error:
        raise DamagedMediaError(f"{name} cannot be read", f"{type(error).__name__}: {error}") from error
