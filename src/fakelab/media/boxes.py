"""What the boxes of an MP4 or MOV file say: brands, times, edit lists, handlers. Runs inside the child process."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from fakelab.media.wire import Message

MOST_BOXES = 4000
MOST_DEPTH = 6
NESTED = {b"moov", b"trak", b"edts", b"mdia", b"udta"}
EPOCH_1904 = 2_082_844_800
"""Seconds from 1904, where the times in MP4 begin, to 1970."""


def facts(file: BinaryIO) -> Message:
    """Brands, order of the outer boxes, times in seconds since 1970 (None where not set), edit lists, handler names."""
    found: Message = {"brands": [], "order": [], "created": None, "modified": None, "edits": [], "handlers": []}
    size = file.seek(0, 2)
    for depth, kind, start, length in _walk(file, 0, size, [MOST_BOXES]):
        if depth == 0 and len(found["order"]) < 20:
            found["order"].append(kind.decode("latin-1"))
        if kind == b"ftyp":
            data = _read(file, start, min(length, 64))
            found["brands"] = [data[i : i + 4].decode("latin-1") for i in (0, *range(8, len(data) - 3, 4))]
        elif kind == b"mvhd":
            data = _read(file, start, 20)
            wide = data[:1] == b"\1"
            times = struct.unpack_from(">QQ" if wide else ">II", data, 4) if len(data) >= (20 if wide else 12) else ()
            found["created"], found["modified"] = (*(t - EPOCH_1904 if t else None for t in times), None, None)[:2]
        elif kind == b"elst" and len(found["edits"]) < 20:
            found["edits"].append(_edits(_read(file, start, min(length, 8 + 20 * 100))))
        elif kind == b"hdlr" and len(found["handlers"]) < 20:
            name = _read(file, start, min(length, 24 + 80))[24:]
            found["handlers"].append(name.strip(b"\0\x0c\x1f ").decode("utf-8", "replace"))
    return found


def _edits(data: bytes) -> list[list[float]]:
    """[duration, media time] of each entry, in units of the file; a media time of -1 is an empty stretch."""
    if len(data) < 8:
        return []
    form = ">Qqi" if data[0] == 1 else ">Iii"
    count, step = struct.unpack_from(">I", data, 4)[0], struct.calcsize(form)
    rows = []
    for at in range(8, min(len(data) - step + 1, 8 + step * min(count, 100)), step):
        duration, media, _rate = struct.unpack_from(form, data, at)
        rows.append([duration, media])
    return rows


def _walk(
    file: BinaryIO, start: int, end: int, left: list[int], depth: int = 0
) -> Iterator[tuple[int, bytes, int, int]]:
    """(depth, kind, start, length of the content) of each box; `left` holds how many more may be read."""
    at = start
    while at + 8 <= end and left[0] > 0:
        left[0] -= 1
        head = _read(file, at, 16)
        if len(head) < 8:
            return
        length, kind = struct.unpack_from(">I4s", head)
        body = 8
        if length == 1 and len(head) == 16:
            length, body = struct.unpack_from(">Q", head, 8)[0], 16
        elif length == 0:
            length = end - at
        if length < body or at + length > end:
            return
        yield depth, kind, at + body, length - body
        if kind in NESTED and depth < MOST_DEPTH:
            yield from _walk(file, at + body, at + length, left, depth + 1)
        at += length


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)
