"""Files on their way in: written to disk as they come, hashed on the way, resumed after a broken connection.

The protocol is tus 1.0.0 (core and creation): POST makes an upload, PATCH adds bytes at an offset, HEAD says how far it
is. What came is never held in memory beyond a piece of a megabyte.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import json
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from fakelab.errors import ConflictError, LimitError, UsageError, unknown_name
from fakelab.service.history import new_id

PIECE = 1 << 20
CHUNK_WAIT_S = 60.0
"""A client that sends nothing for so long is given up; it can resume."""
KEPT_S = 2 * 24 * 3600.0
RESERVED_S = 3600.0
"""An upload that nobody adds to for so long no longer keeps room from others."""
SPARE_BYTES = 1 << 30
"""Room that stays free on the disk."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on its way: `offset` bytes of `size` are here."""

    id: str
    owner: str
    name: str
    size: int
    offset: int

    @property
    def whole(self) -> bool:
        """Whether all bytes are here."""
        return self.offset == self.size


class TooSlowError(UsageError):
    """Nothing came for a minute."""

    http_status = 408


class Uploads:
    """The uploads of a server, in a folder. `most_bytes` is the largest file that it takes."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder, self.most_bytes = folder, most_bytes
        self._coming: dict[str, int] = {}
        """Bytes that are still to come of bodies under way."""
        self._room = threading.RLock()
        self._hashes: dict[str, tuple[int, Any]] = {}
        self._writing: set[str] = set()

    def begin(self, name: str, size: int, owner: str) -> Upload:
        """Makes room for a file of this size. Raises LimitError where there is none."""
        made = Upload(new_id(), owner, name, size, 0)
        folder = self._folder(made.id)
        meta = json.dumps({"owner": owner, "name": name, "size": size})
        with self._room:
            self.check_size(size)
            folder.mkdir(parents=True, mode=0o700)
            (folder / "meta.json").write_text(meta, encoding="utf-8")
            self._data(made.id).touch(mode=0o600)
        self._hashes[made.id] = (0, hashlib.sha256())
        return made

    def check_size(self, size: int) -> None:
        """Raises LimitError for a file that is larger than is taken, or than the disk has room for."""
        if size > self.most_bytes:
            raise LimitError("the file is too large", f"at most {self.most_bytes >> 20} MB are taken", "Cut it.")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        free, coming = shutil.disk_usage(self.folder).free, self.under_way()
        if free < size + SPARE_BYTES:
            raise LimitError("there is no room for the file", "the server's disk is full", "Delete old records.")
        if free < size + SPARE_BYTES + coming:
            raise LimitError(
                "there is no room for the file",
                f"the server's disk is full once the {max(1, coming >> 20)} MB are here that others are sending",
                "Try again later, or delete old records.",
            )

    @contextlib.contextmanager
    def room_for(self, size: int) -> Iterator[Callable[[int], None]]:
        """Keeps room for the body of a request while it comes; what is given is told how many bytes came.

        Raises LimitError where there is none.
        """
        key = new_id()
        with self._room:
            self.check_size(size)
            self._coming[key] = size

        def came(count: int) -> None:
            self._coming[key] = max(0, self._coming[key] - count)

        try:
            yield came
        finally:
            del self._coming[key]

    def under_way(self) -> int:
        """How many announced bytes are still to come: of bodies, and of uploads that were added to within an hour."""
        missing = sum(list(self._coming.values()))
        for meta in self.folder.glob("*/meta.json"):
            with contextlib.suppress(OSError, ValueError):  # taken away a moment ago
                data = meta.with_name("data").stat()
                if time.time() - data.st_mtime < RESERVED_S:
                    missing += max(0, json.loads(meta.read_text(encoding="utf-8"))["size"] - data.st_size)
        return missing

    def get(self, upload: str, owner: str) -> Upload:
        """How far an upload is. Raises UnknownNameError, also for somebody else's."""
        try:
            if not upload.isalnum():
                raise ValueError(upload)
            meta = json.loads((self._folder(upload) / "meta.json").read_text(encoding="utf-8"))
            offset = self._data(upload).stat().st_size
        except (OSError, ValueError) as error:
            raise unknown_name("upload", upload, []) from error
        if meta["owner"] != owner:
            raise unknown_name("upload", upload, [])
        return Upload(upload, owner, meta["name"], meta["size"], offset)

    async def add(self, upload: Upload, offset: int, pieces: AsyncIterator[bytes]) -> Upload:
        """Adds bytes at an offset, which must be where the upload is. What came before a break is kept.

        Raises ConflictError for another offset, or while another request adds to it; LimitError for more bytes than
        were announced; TooSlowError.
        """
        if offset != upload.offset or upload.id in self._writing:
            raise ConflictError(
                "the upload is elsewhere", f"{upload.offset} bytes are here", "Ask, and go on from there."
            )
        self._writing.add(upload.id)
        try:
            state = await run_in_threadpool(self._hash_at, upload.id, offset)
            with self._data(upload.id).open("ab") as file:
                async for piece in gathered(pieces):
                    if offset + len(piece) > upload.size:
                        raise LimitError("more bytes came than were announced", "", "Begin a new upload.")
                    await run_in_threadpool(_write, file, state, piece)
                    offset += len(piece)
                    self._hashes[upload.id] = (offset, state)
            return self.get(upload.id, upload.owner)
        finally:
            self._writing.discard(upload.id)

    def finish(self, upload: str, owner: str) -> tuple[Path, str, str]:
        """The file, its name and its SHA-256, once it is whole. It belongs to the caller, who calls `drop` then.

        Raises ConflictError while bytes are missing.
        """
        found = self.get(upload, owner)
        if not found.whole or upload in self._writing:
            raise ConflictError(
                f"'{found.name}' is not whole yet", f"{found.offset} of {found.size} bytes are here", "Send the rest."
            )
        return self._data(upload), found.name, str(self._hash_at(upload, found.size).hexdigest())

    def drop(self, upload: str) -> None:
        """Takes an upload away."""
        self._hashes.pop(upload, None)
        shutil.rmtree(self._folder(upload), ignore_errors=True)

    def prune(self) -> None:
        """Takes those away that nobody added to for two days."""
        with contextlib.suppress(OSError):
            for each in self.folder.iterdir():
                data = each / "data"
                if time.time() - (data if data.exists() else each).stat().st_mtime > KEPT_S:
                    self.drop(each.name)

    def _hash_at(self, upload: str, offset: int) -> Any:
        known = self._hashes.get(upload)
        if known and known[0] == offset:
            return known[1]
        # The server was started anew since: what is here is read once more.
        state = hashlib.sha256()
        with self._data(upload).open("rb") as file:
            while piece := file.read(PIECE):
                state.update(piece)
        self._hashes[upload] = (offset, state)
        return state

    def _folder(self, upload: str) -> Path:
        return self.folder / upload

    def _data(self, upload: str) -> Path:
        return self.folder / upload / "data"


def _write(file: Any, state: Any, piece: bytes) -> None:
    file.write(piece)
    file.flush()
    state.update(piece)


async def gathered(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of about a megabyte; what is left when the client breaks off comes too.

    Raises TooSlowError where nothing comes for a minute.
    """
    held = bytearray()
    iterator = aiter(pieces)
    while True:
        try:
            piece = await asyncio.wait_for(anext(iterator), CHUNK_WAIT_S)
        except StopAsyncIteration:
            break
        except TimeoutError as error:
            if held:
                yield bytes(held)
            raise TooSlowError("the upload stopped", f"nothing came for {CHUNK_WAIT_S:.0f} s", "Resume it.") from error
        except Exception:
            if held:
                yield bytes(held)
            raise
        held += piece
        if len(held) >= PIECE:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def metadata(header: str) -> dict[str, str]:
    """The fields of a tus Upload-Metadata header. Raises UsageError for one that cannot be read."""
    found = {}
    for pair in filter(None, (each.strip() for each in header.split(","))):
        name, _, value = pair.partition(" ")
        try:
            found[name] = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise UsageError("Upload-Metadata cannot be read", f"'{name}' is no base64 of UTF-8", "") from error
    return found
