"""What was named on the command line -> the files to analyse, and those that cannot be."""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

from fakelab.errors import FakeLabError, NotFoundError, UnsupportedMediaError, UsageError

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


@dataclass(frozen=True, slots=True)
class Link:
    """The address of a file, which is fetched when its turn comes."""

    url: str

    @property
    def name(self) -> str:
        """What its file is called here, without an ending: the last part of the address, or its host."""
        parts = urlsplit(self.url)
        last = unquote(parts.path).rstrip("/").rpartition("/")[2]
        stem = Path(last).stem if last else str(parts.hostname)
        return re.sub(r"[^\w.-]", "_", stem).lstrip(".")[:80] or "download"

    def __str__(self) -> str:
        return self.url


Source = Path | Link


@dataclass(slots=True)
class Inputs:
    """Files and links to analyse in order, files that will not be and why, and how many others a folder held."""

    files: list[Source] = field(default_factory=list)
    bad: list[tuple[Path, FakeLabError]] = field(default_factory=list)
    others: int = 0


def gather(names: Sequence[str]) -> Inputs:
    """The files named, and the media in the folders named: recursive, sorted, chosen by their first bytes.

    A file that was named itself is always taken, whatever it is. In a folder, what is no media is left out and
    counted, but a file whose name claims to be media and whose bytes do not is listed as bad. An address is not
    opened yet: raises UsageError where it is none of http or https, EnvironmentBrokenError without a downloader.
    """
    found = Inputs()
    for name in names:
        if _ADDRESS.match(name):
            from fakelab.media.download import check_address, check_downloader

            found.files.append(Link(check_address(name)))
            check_downloader()
            continue
        path = Path(name)
        if path.is_dir():
            _add_folder(path, found)
        else:
            found.files.append(path)
    return found


@contextmanager
def fetched(link: Link, keep: Path | None, most_bytes: int) -> Iterator[Path]:
    """The file behind a link, in a folder of its own that goes afterwards, or in `keep`, under a name not taken there.

    Raises what `fakelab.media.download.download` raises, and UsageError where `keep` cannot be written.
    """
    from fakelab.media.download import download

    try:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
        room = TemporaryDirectory(prefix=".fakelab-", dir=keep)
    except OSError as error:
        raise UsageError(
            f"downloads cannot be kept in '{keep}'", str(error.strerror), "Choose another --keep."
        ) from error
    with room as folder:
        file = download(link.url, Path(folder), link.name, most_bytes=most_bytes)
        yield file if keep is None else file.rename(_free_name(keep, file))


def _free_name(folder: Path, file: Path) -> Path:
    target, number = folder / file.name, 2
    while target.exists():
        target, number = folder / f"{file.stem}-{number}{file.suffix}", number + 1
    return target


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
