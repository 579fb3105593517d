"""EXIF, XMP, IPTC, PNG text, JPEG markers and stream tags as plain values. Runs inside the child process.

A place is never read: of a position only that there is one. Every text is cut, every count has a limit.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from PIL import Image, IptcImagePlugin, TiffImagePlugin

from fakelab.media.wire import Message

MOST_TEXT = 20_000
MOST_XMP = 1 << 18
EDGE_BYTES = 1 << 22
"""XMP is looked for in so much of the start and of the end of a file."""
MOST_JPEG = 1 << 27
IFD0 = {
    0x010E: "ImageDescription", 0x010F: "Make", 0x0110: "Model", 0x0131: "Software", 0x0132: "DateTime",
    0x013B: "Artist", 0x013C: "HostComputer", 0x8298: "Copyright", 0x000B: "ProcessingSoftware",
}  # fmt: skip
EXIF_IFD = {
    0x9003: "DateTimeOriginal", 0x9004: "DateTimeDigitized", 0x9010: "OffsetTime", 0x9011: "OffsetTimeOriginal",
    0xA002: "ExifImageWidth", 0xA003: "ExifImageHeight", 0xA434: "LensModel", 0x829A: "ExposureTime",
    0x829D: "FNumber", 0x8827: "ISOSpeedRatings", 0x920A: "FocalLength", 0x9286: "UserComment",
    0xA420: "ImageUniqueID",
}  # fmt: skip
GPS_IFD, EXIF_POINTER = 0x8825, 0x8769
GPS_LATITUDE, GPS_DATE, MAKER_NOTE = 2, 29, 0x927C
IPTC = {
    (2, 65): "OriginatingProgram", (2, 70): "ProgramVersion", (2, 55): "DateCreated", (2, 80): "Byline",
    (2, 110): "Credit", (2, 115): "Source", (2, 116): "Copyright", (2, 120): "Caption", (2, 40): "Instructions",
}  # fmt: skip


def exif(image: Any) -> Message:
    """Known EXIF tags by name as text, `has_location`, and `maker_note_bytes`."""
    found = _exif(image)
    values: Message = {}
    for ifd, names in ((found, IFD0), (found.get_ifd(EXIF_POINTER), EXIF_IFD)):
        for tag, name in names.items():
            if tag in ifd and (value := _text(ifd[tag])):
                values[name] = value
    gps = found.get_ifd(GPS_IFD)
    note = found.get_ifd(EXIF_POINTER).get(MAKER_NOTE)
    values["has_location"] = GPS_LATITUDE in gps
    if GPS_DATE in gps:
        values["GPSDateStamp"] = _text(gps[GPS_DATE])
    values["maker_note_bytes"] = len(note) if isinstance(note, bytes) else 0
    values["count"] = len(found)
    return values


def thumbnail(image: Any) -> bytes:
    """The JPEG embedded in EXIF; empty where there is none."""
    raw = image.info.get("exif", b"").removeprefix(b"Exif\0\0")
    if len(raw) < 8:
        return b""
    # Pillow's own list of directories leaves offsets out.
    file, ifd = io.BytesIO(raw), TiffImagePlugin.ImageFileDirectory_v2(raw[:8])
    file.seek(ifd.next)
    ifd.load(file)
    if not ifd.next:
        return b""
    file.seek(ifd.next)
    ifd.load(file)
    start, length = ifd.get(513), ifd.get(514)
    if not isinstance(start, int) or not isinstance(length, int) or not 0 < length <= 1 << 20:
        return b""
    data = bytes(raw[start : start + length])
    return data if data.startswith(b"\xff\xd8") else b""


def _exif(image: Any) -> Any:
    # The method of the base class: that of PNG would decode the whole picture to find late metadata.
    return Image.Image.getexif(image)


def xmp(file: BinaryIO) -> list[str]:
    """The XMP packets near the start and the end of the file, at most four."""
    size = file.seek(0, 2)
    file.seek(0)
    data = file.read(EDGE_BYTES)
    if size > EDGE_BYTES:
        file.seek(max(EDGE_BYTES, size - EDGE_BYTES))
        data += file.read(EDGE_BYTES)
    found: list[str] = []
    at = 0
    while len(found) < 4 and (start := data.find(b"<x:xmpmeta", at)) >= 0:
        end = data.find(b"</x:xmpmeta>", start, start + MOST_XMP)
        if end < 0:
            end = min(len(data), start + MOST_XMP)
        found.append(data[start:end].decode("utf-8", "replace"))
        at = end + 1
    return found


def iptc(image: Any) -> Message:
    """Known IPTC fields by name."""
    found = IptcImagePlugin.getiptcinfo(image) or {}
    return {name: text for key, name in IPTC.items() if (text := _text(found.get(key)))}


def texts(file: BinaryIO, image: Any) -> Message:
    """Text chunks of a PNG by keyword, and the comment of a JPEG or GIF."""
    values: Message = {}
    comment = image.info.get("comment")
    if text := _text(comment):
        values["comment"] = text
    if image.format == "PNG":
        for kind, data in _chunks(file):
            if len(values) < 40 and (pair := _png_text(kind, data)):
                values.setdefault(pair[0][:80], pair[1][:MOST_TEXT])
    return values


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"tEXt", b"zTXt", b"iTXt") and length <= 1 << 22:
            yield kind, file.read(length)
            file.seek(4, 1)
        elif kind == b"IEND":
            return
        else:
            file.seek(length + 4, 1)


def _png_text(kind: bytes, data: bytes) -> tuple[str, str] | None:
    name, _, rest = data.partition(b"\0")
    key = name.decode("latin-1")
    if kind == b"tEXt":
        return key, rest.decode("utf-8", "replace")
    try:
        if kind == b"zTXt":
            return key, _inflated(rest[1:]).decode("latin-1")
        packed = rest[:1] == b"\1"
        body = rest[2:].split(b"\0", 2)[-1]
        return key, (_inflated(body) if packed else body).decode("utf-8", "replace")
    except zlib.error:
        return None


def _inflated(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, 1 << 20)


def jpeg(file: BinaryIO) -> Message:
    """Markers in order, quantisation tables (natural order), sampling, and what follows the end of the picture."""
    file.seek(0)
    data = file.read(MOST_JPEG)
    found: Message = {"tables": {}, "markers": [], "apps": [], "sampling": [], "progressive": False}
    at = 2
    while at + 4 <= len(data) and len(found["markers"]) < 400:
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        found["markers"].append(marker)
        if marker == 0xD9:
            return found | {"after_end": len(data) - at - 2, "after_head": data[at + 2 : at + 6].hex()}
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        _segment(marker, body, found)
        at += 2 + length
        if marker == 0xDA:
            scan = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]").search(data, at)
            if scan is None:
                break
            at = scan.start()
    return found | {"after_end": None}


def _segment(marker: int, body: bytes, found: Message) -> None:
    if marker == 0xDB:
        at = 0
        while at < len(body):
            wide, number = body[at] >> 4, body[at] & 15
            size = 128 if wide else 64
            cells = body[at + 1 : at + 1 + size]
            if len(cells) < size:
                return
            values = struct.unpack(">64H", cells) if wide else tuple(cells)
            table = [0] * 64
            for place, value in zip(ZIGZAG, values, strict=True):
                table[place] = value
            found["tables"].setdefault(str(number), table)
            at += 1 + size
    elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(body) >= 6:
        found["progressive"] = marker in (0xC2, 0xC6, 0xCA, 0xCE)
        count = min(body[5], 4)
        parts = [body[6 + 3 * i : 9 + 3 * i] for i in range(count)]
        found["sampling"] = [[p[1] >> 4, p[1] & 15, p[2]] for p in parts if len(p) == 3]
    elif 0xE0 <= marker <= 0xEF and len(found["apps"]) < 40:
        name = re.match(rb"[ -~]{2,40}", body)
        found["apps"].append([marker - 0xE0, name.group().decode("ascii") if name else "", len(body)])


def _zigzag() -> list[int]:
    cells = sorted(
        ((y, x) for y in range(8) for x in range(8)),
        key=lambda c: (c[0] + c[1], c[0] if (c[0] + c[1]) % 2 else c[1]),
    )
    return [8 * y + x for y, x in cells]


ZIGZAG = _zigzag()
"""Place in the file -> place in the 8 x 8 table, row by row."""


def streams(container: Any) -> list[Message]:
    """The tags of the container (first) and of every stream."""
    found = [{"kind": "file", "tags": _tags(container.metadata)}]
    for stream in list(container.streams)[:20]:
        found.append({"kind": stream.type, "tags": _tags(stream.metadata)})
    return found


def coding(packets: Iterable[Any]) -> Message:
    """How frames are coded: their count, which of them, as stored, are key frames, and whether their order changes."""
    found = [packet for packet in packets if packet.size]
    times = [packet.pts for packet in found if packet.pts is not None]
    keys = [place for place, packet in enumerate(found) if packet.is_keyframe]
    return {"count": len(found), "keys": keys, "reordered": times != sorted(times)}


def _tags(metadata: Any) -> Message:
    kept = {}
    for key, value in list(dict(metadata).items())[:60]:
        name = str(key)[:80]
        kept[name] = "yes" if "location" in name.lower() else str(value)[:MOST_TEXT]
    return kept


def _text(value: Any) -> str:
    if isinstance(value, list | tuple) and value and isinstance(value[0], bytes):
        value = value[0]
    if isinstance(value, bytes):
        for mark, coding in ((b"UNICODE\0", "utf-16"), (b"ASCII\0\0\0", "utf-8")):
            if value.startswith(mark):
                value = value[8:]
                if coding == "utf-16":
                    coding = "utf-16-be" if value[:1] == b"\0" else "utf-16-le"
                return str(value.decode(coding, "replace"))[:MOST_TEXT].strip("\0 ")
        return value.decode("utf-8", "replace")[:MOST_TEXT].strip("\0 ")
    return "" if value is None else str(value)[:MOST_TEXT].strip("\0 ")
