"""What an ONNX file says of itself, read without the onnx package, which the base install lacks.

ONNX Runtime takes an overlaid initializer of an unknown name or another shape without a word: who lays numbers over
a file has to ask the file first. And it computes the whole graph, whatever is asked for: who needs early layers only
cuts the rest off (`subgraph`). The format is Protocol Buffers; fields are those of onnx.proto.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

_MODEL_GRAPH, _GRAPH_INITIALIZER = 7, 5
_GRAPH_NODE, _GRAPH_OUTPUT, _GRAPH_VALUE_INFO = 1, 12, 13
_NODE_INPUT, _NODE_OUTPUT = 1, 2
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


def subgraph(path: Path, outputs: Sequence[str]) -> bytes:
    """The ONNX file cut down to what computes the tensors named `outputs`, which become its outputs, float32.

    Nodes and initializers that they do not need are gone. Raises ValueError for a name that no node computes, and
    for another file. Nodes that hold graphs (loops, branches) are not looked into.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            fields = list(_fields(data, (0, len(data))))
            graph = next(span for number, span in fields if number == _MODEL_GRAPH and isinstance(span, tuple))
            kept = _cut(data, graph, outputs)
            parts = [(_MODEL_GRAPH, kept) if number == _MODEL_GRAPH else (number, value) for number, value in fields]
            return b"".join(_written(data, number, value) for number, value in parts)
        except (IndexError, UnicodeDecodeError, StopIteration) as error:
            raise ValueError(f"{path} is no ONNX file") from error


def _cut(data: mmap.mmap, graph: tuple[int, int], outputs: Sequence[str]) -> bytes:
    """The graph's message with the needed nodes and initializers and these outputs."""
    fields = list(_fields(data, graph))
    needed, nodes = set(outputs), set[int]()
    # Nodes come in the order in which they can be computed.
    for at in range(len(fields) - 1, -1, -1):
        number, span = fields[at]
        if number == _GRAPH_NODE and isinstance(span, tuple):
            given, made = (_texts(data, span, each) for each in (_NODE_INPUT, _NODE_OUTPUT))
            if needed & set(made):
                nodes.add(at)
                needed -= set(made)
                needed |= set(given)
    written = []
    computed = {name for at in nodes for name in _texts(data, fields[at][1], _NODE_OUTPUT)}
    if lacking := [name for name in outputs if name not in computed]:
        raise ValueError(f"no node computes {', '.join(lacking)}")
    for at, (number, value) in enumerate(fields):
        drop = number in (_GRAPH_OUTPUT, _GRAPH_VALUE_INFO) or (number == _GRAPH_NODE and at not in nodes)
        if number == _GRAPH_INITIALIZER and isinstance(value, tuple):
            drop = _tensor(data, value)[0] not in needed
        if not drop:
            written.append(_written(data, number, value))
    return b"".join([*written, *(_output(name) for name in outputs)])


def _output(name: str) -> bytes:
    """A ValueInfoProto of this name, a float32 tensor of any shape, as a field of a graph."""
    kind = _message(2, _message(1, bytes([1 << 3, FLOAT])))  # type { tensor_type { elem_type: FLOAT } }
    return _message(_GRAPH_OUTPUT, _message(1, name.encode()) + kind)


def _written(data: mmap.mmap, number: int, value: int | tuple[int, int] | bytes) -> bytes:
    """A field as it was read, or with a new message in it."""
    if isinstance(value, int):
        return _varint_bytes(number << 3) + _varint_bytes(value)
    return _message(number, value if isinstance(value, bytes) else data[slice(*value)])


def _message(number: int, body: bytes) -> bytes:
    return _varint_bytes(number << 3 | 2) + _varint_bytes(len(body)) + body


def _varint_bytes(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _texts(data: mmap.mmap, span: int | tuple[int, int], wanted: int) -> list[str]:
    if isinstance(span, int):
        raise IndexError(span)
    return [data[slice(*value)].decode() for value in _children(data, span, wanted)]


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
