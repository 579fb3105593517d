"""What an ONNX file says of itself, read without the onnx package, which the base install lacks.

ONNX Runtime takes an overlaid initializer of an unknown name or another shape without a word: who lays numbers over
a file has to ask the file first. The format is Protocol Buffers; fields are those of onnx.proto.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

_MODEL_GRAPH, _GRAPH_INITIALIZER = 7, 5
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME = 1, 2, 8
FLOAT = 1
"""TensorProto.FLOAT, 32 bits."""


def initializers(path: Path) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Name -> (data type as onnx.proto numbers it, shape) of each initializer. Raises ValueError for another file."""
    found = {}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            for graph in _children(data, (0, len(data)), _MODEL_GRAPH):
                for tensor in _children(data, graph, _GRAPH_INITIALIZER):
                    name, kind, shape = _tensor(data, tensor)
                    found[name] = (kind, shape)
        except (IndexError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no ONNX file") from error
    return found


def _tensor(data: mmap.mmap, span: tuple[int, int]) -> tuple[str, int, tuple[int, ...]]:
    name, kind, shape = "", 0, []
    for number, value in _fields(data, span):
        if number == _TENSOR_NAME and isinstance(value, tuple):
            name = data[slice(*value)].decode()
        elif number == _TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number == _TENSOR_DIMS:
            shape += [value] if isinstance(value, int) else list(_packed(data, value))
    return name, kind, tuple(shape)


def _children(data: mmap.mmap, span: tuple[int, int], wanted: int) -> Iterator[tuple[int, int]]:
    return (value for number, value in _fields(data, span) if number == wanted and isinstance(value, tuple))


def _fields(data: mmap.mmap, span: tuple[int, int]) -> Iterator[tuple[int, int | tuple[int, int]]]:
    """(field number, the integer or where the bytes lie) of each field of the message at `span`."""
    at, end = span
    while at < end:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire == 2:
            length, at = _varint(data, at)
            yield number, (at, at + length)
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise IndexError(at)
    if at != end:
        raise IndexError(at)


def _packed(data: mmap.mmap, span: tuple[int, int]) -> Iterator[int]:
    at = span[0]
    while at < span[1]:
        value, at = _varint(data, at)
        yield value


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise IndexError(at)
