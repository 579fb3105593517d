"""What was named on the command line -> the files to analyse, and those that cannot be."""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fakelab.errors import FakeLabError, NotFoundError, UnsupportedMediaError, UsageError

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


@dataclass(slots=True)
class Inputs:
    """Files to analyse in order, files that will not be and why, and how many others a folder held."""

    files: list[Path] = field(default_factory=list)
    bad: list[tuple[Path, FakeLabError]] = field(default_factory=list)
    others: int = 0


def gather(names: Sequence[str]) -> Inputs:
    """The files named, and the media in the folders named: recursive, sorted, chosen by their first bytes.

    A file that was named itself is always taken, whatever it is. In a folder, what is no media is left out and
    counted, but a file whose name claims to be media and whose bytes do not is listed as bad. Raises UsageError for
    an address of the web.
    """
    found = Inputs()
    for name in names:
        if _ADDRESS.match(name):
            raise UsageError(
                f"'{name}' cannot be analysed", "this version reads files only", "Download it first, and give the file."
            )
        path = Path(name)
        if path.is_dir():
            _add_folder(path, found)
        else:
            found.files.append(path)
    return found


def _add_folder(folder: Path, found: Inputs) -> None:
    for path, error in _walk(folder):
        if error is not None:
            found.bad.append((path, error))
        elif path.is_file():  # no pipes, no devices
            problem = _not_media(path)
            if problem is None:
                found.files.append(path)
            elif not isinstance(problem, UnsupportedMediaError) or _claims_media(path):
                found.bad.append((path, problem))
            else:
                found.others += 1


def _walk(folder: Path) -> Iterator[tuple[Path, FakeLabError | None]]:
    """Every entry below a folder, sorted, links to folders not followed; folders that cannot be read with an error."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield (
            folder,
            NotFoundError(f"the folder '{folder}' cannot be read", str(error.strerror), "Check who may read it."),
        )
        return
    for entry in entries:
        if entry.is_dir():
            if not entry.is_symlink():
                yield from _walk(entry)
        else:
            yield entry, None


def _not_media(path: Path) -> FakeLabError | None:
    """Why the first bytes are of no media, or None where they are."""
    from fakelab.media import identify

    try:
        with path.open("rb") as file:

            def read_at(offset: int, count: int) -> bytes:
                return os.pread(file.fileno(), count, offset)

            identify(read_at, str(path))
    except UnsupportedMediaError as error:
        return error
    except OSError as error:
        return NotFoundError(f"'{path}' cannot be read", str(error.strerror), "Check who may read it.")
    return None


def _claims_media(path: Path) -> bool:
    kind = (mimetypes.guess_type(path.name)[0] or "").partition("/")
    return kind[0] in ("video", "image", "audio") and kind[2] != "svg+xml"
