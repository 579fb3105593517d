"""A file in the body of a request, written to disk as it comes and hashed on the way, whatever its size."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from fakelab.errors import LimitError, UsageError
from fakelab.service.history import new_id
from fakelab.web.uploads import Uploads, gathered

FIELD_BYTES = 64 << 10
MOST_FIELDS = 50
MOST_FILES = 100


@dataclass
class Received:
    """What a request brought: files (path, name, SHA-256, bytes) that are deleted unless moved, and plain fields."""

    files: list[ReceivedFile] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)


@dataclass
class ReceivedFile:
    """A file that came, on disk."""

    path: Path
    name: str
    sha256: str = ""
    size: int = 0


@asynccontextmanager
async def received(
    request: Request, uploads: Uploads, before_file: Callable[[dict[str, str]], None]
) -> AsyncIterator[Received]:
    """What the body of a request brings, multipart or the file itself; what is not moved is deleted afterwards.

    `before_file` gets the fields that came before the first file, and may refuse by raising. Raises LimitError for a
    file that is too large, UsageError for a body that cannot be read.
    """
    length = request.headers.get("content-length", "")
    with uploads.room_for(int(length) if length.isdigit() else 0) as came:
        sink = _Sink(uploads, before_file)
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        try:
            if kind == b"multipart/form-data":
                await _parts(request, options.get(b"boundary", b""), sink, came)
            else:
                before_file({})
                sink.begin_file(_raw_name(request))
                async for piece in gathered(request.stream()):
                    await run_in_threadpool(sink.file_data, piece)
                    came(len(piece))
                sink.end_file()
                if not sink.received.files[0].size:
                    sink.received.files[0].path.unlink(missing_ok=True)
                    sink.received.files.clear()
            yield sink.received
        finally:
            sink.close()


async def _parts(request: Request, boundary: bytes | str, sink: _Sink, came: Callable[[int], None]) -> None:
    if not boundary:
        raise UsageError("the body cannot be read", "its Content-Type names no boundary", "")
    parser = MultipartParser(boundary, sink.callbacks())
    try:
        async for piece in gathered(request.stream()):
            await run_in_threadpool(parser.write, piece)
            came(len(piece))
        parser.finalize()
    except FormParserError as error:
        raise UsageError("the body cannot be read", "it is no multipart/form-data", "") from error
    if sink.open_file:
        raise UsageError("the body cannot be read", "it ends in the middle of a file", "Send it again.")


def _raw_name(request: Request) -> str:
    """The name of a file that is the whole body: `?name=`, or Content-Disposition."""
    name = request.query_params.get("name", "")
    if not name:
        _, options = parse_options_header(request.headers.get("content-disposition", ""))
        name = _file_name(options)
    return name or "file"


def _file_name(options: dict[bytes, bytes]) -> str:
    if extended := options.get(b"filename*"):
        return unquote(extended.decode(errors="replace").rpartition("'")[2])
    return options.get(b"filename", b"").decode(errors="replace")


class _Sink:
    """Where the parts of a body go."""

    def __init__(self, uploads: Uploads, before_file: Callable[[dict[str, str]], None]) -> None:
        self.received = Received()
        self.open_file: BinaryIO | None = None
        self._uploads, self._before_file = uploads, before_file
        self._hash: Any = None
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._field = ""
        self._value = bytearray()
        self._total = 0
        self._folder = uploads.folder / new_id()

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._part_begins,
            "on_part_data": self._part_data,
            "on_part_end": self._part_ends,
        }

    def begin_file(self, name: str) -> None:
        if not self.received.files:
            self._before_file(self.received.fields)
        if len(self.received.files) >= MOST_FILES:
            raise LimitError("too many files in one request", f"at most {MOST_FILES} are taken", "Send them in parts.")
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{len(self.received.files)}"
        self.open_file = path.open("wb")
        self._hash = hashlib.sha256()
        self.received.files.append(ReceivedFile(path, name))

    def file_data(self, data: bytes) -> None:
        assert self.open_file is not None
        file = self.received.files[-1]
        file.size += len(data)
        self._total += len(data)
        if self._total > self._uploads.most_bytes:
            raise LimitError(
                "the file is too large", f"at most {self._uploads.most_bytes >> 20} MB are taken", "Cut it."
            )
        self.open_file.write(data)
        self._hash.update(data)

    def end_file(self) -> None:
        assert self.open_file is not None
        self.open_file.close()
        self.open_file = None
        self.received.files[-1].sha256 = self._hash.hexdigest()

    def close(self) -> None:
        """Deletes what nobody moved."""
        import shutil

        if self.open_file is not None:
            self.open_file.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _header_end(self) -> None:
        self._headers[bytes(self._header_name).lower()] = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _part_begins(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._value.clear()
        if b"filename" in options or b"filename*" in options:
            self.begin_file(_file_name(options))
        else:
            self._field = options.get(b"name", b"").decode(errors="replace")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self.open_file is not None:
            self.file_data(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > FIELD_BYTES:
            raise LimitError("a field of the form is too large", "", "")

    def _part_ends(self) -> None:
        if self.open_file is not None:
            self.end_file()
            # A form without a chosen file sends one without name and content.
            if not self.received.files[-1].name and not self.received.files[-1].size:
                self.received.files.pop().path.unlink(missing_ok=True)
            return
        if len(self.received.fields) >= MOST_FIELDS:
            raise LimitError("the form has too many fields", "", "")
        self.received.fields[self._field] = self._value.decode(errors="replace")
