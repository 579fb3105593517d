"""An MP4 with its index moved to the front, so that a browser can begin to play before it has the rest.

Works on the boxes alone, in plain Python: no decoder ever sees the file in this process.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from fakelab.media.wire import MalformedError

MOST_INDEX_BYTES = 1 << 28
_CONTAINERS = (b"trak", b"mdia", b"minf", b"stbl")


def faststart(source: BinaryIO, target: BinaryIO) -> None:
    """Writes the MP4 `source` to `target` with `moov` right behind `ftyp`. Raises MalformedError."""
    boxes = list(_boxes(source))
    heads = [box for box in boxes if box[0] == b"ftyp"]
    indexes = [box for box in boxes if box[0] == b"moov"]
    if [box[0] for box in boxes[:1]] != [b"ftyp"] or len(heads) != 1 or len(indexes) != 1:
        raise MalformedError("no MP4")
    _, start, size = indexes[0]
    if size > MOST_INDEX_BYTES:
        raise MalformedError("an index of an impossible size")
    source.seek(start)
    index = bytearray(source.read(size))
    # What lies between the two and the old index moves back by the index's size; what lay behind it stays.
    _shift(index, 8, len(index), before=start, by=size)
    _copy(source, target, heads[0])
    target.write(index)
    for box in boxes:
        if box[0] not in (b"ftyp", b"moov"):
            _copy(source, target, box)


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, size) of each box of the file's top level."""
    end = file.seek(0, 2)
    at = 0
    while at < end:
        file.seek(at)
        head = file.read(16)
        size, header = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(head[8:16], "big"), 16
        size = size or end - at
        if len(head) < header or size < header or at + size > end:
            raise MalformedError("boxes that do not fit")
        yield head[4:8], at, size
        at += size


def _shift(index: bytearray, at: int, end: int, *, before: int, by: int) -> None:
    """Adds `by` to every place of the index's chunk tables that lies `before` the old index."""
    while at + 8 <= end:
        size, name = struct.unpack_from(">I4s", index, at)
        if size < 8 or at + size > end:
            raise MalformedError("boxes that do not fit")
        if name in _CONTAINERS:
            _shift(index, at + 8, at + size, before=before, by=by)
        elif name in (b"stco", b"co64") and size >= 16:
            width = 4 if name == b"stco" else 8
            count = int.from_bytes(index[at + 12 : at + 16], "big")
            if 16 + count * width > size:
                raise MalformedError("a table that does not fit")
            table = np.frombuffer(index, f">u{width}", count, at + 16)
            moved = np.where(table < before, table.astype(np.uint64) + np.uint64(by), table)
            if count and int(moved.max()) >= 1 << 8 * width:
                raise MalformedError("a table that does not fit")
            table[:] = moved
        at += size


def _copy(source: BinaryIO, target: BinaryIO, box: tuple[bytes, int, int]) -> None:
    _, start, left = box
    source.seek(start)
    while left:
        data = source.read(min(left, 1 << 20))
        if not data:
            raise MalformedError("it ends early")
        target.write(data)
        left -= len(data)
