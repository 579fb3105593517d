"""What a file is, by its first bytes: never by its name.

FFmpeg opens by content, and a text file named .mp4 that holds a playlist makes it open other files. So the first
bytes are read here, in plain Python, and FFmpeg is told the one demuxer that they name.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from fakelab.errors import UnsupportedMediaError
from fakelab.records import Kind

HEAD_BYTES = 4096
ReadAt = Callable[[int, int], bytes]
"""read_at(offset, n) -> up to n bytes from offset."""

DO = (
    "Give a video (MP4, MOV, MKV, WebM, AVI, MPEG, FLV), a photo (JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP, GIF) or a "
    "recording (WAV, MP3, M4A, AAC, FLAC, OGG)."
)


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What the first bytes name. `kind` of a container that may hold either is VIDEO until its streams are seen."""

    container: str
    kind: Kind
    demuxer: str
    """FFmpeg's name of the one demuxer allowed to read the file; empty for pictures, which Pillow reads."""
    reader: str
    """video, photo or animation: the module of `fakelab.media` that reads it in the child."""


@dataclass(frozen=True, slots=True)
class _Format:
    container: str
    kind: Kind
    demuxer: str
    matches: Callable[[bytes], bool]


def _starts(*prefixes: bytes, at: int = 0) -> Callable[[bytes], bool]:
    return lambda head: head[at:].startswith(prefixes)


def _riff(form: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == form


def _brands(head: bytes) -> list[bytes]:
    """The major and the compatible brands of an ISO base media file."""
    if head[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return [head[8:12], *(head[i : i + 4] for i in range(16, end - 3, 4))]


def _is_heif(head: bytes) -> bool:
    brands = _brands(head)
    stills = {b"heic", b"heix", b"heim", b"heis", b"avif", b"avis", b"mif1", b"msf1", b"hevc", b"hevx"}
    return bool(brands) and (brands[0] in stills)


def _is_m4a(head: bytes) -> bool:
    return _brands(head)[:1] in ([b"M4A "], [b"M4B "], [b"F4A "])


def _is_mov(head: bytes) -> bool:
    """QuickTime's brand, or its boxes without ftyp, as in files from before 2001."""
    return _brands(head)[:1] == [b"qt  "] or (
        head[4:8] in (b"moov", b"mdat", b"wide", b"pnot", b"free", b"skip") and head[:1] == b"\0"
    )


def _ebml(doctype: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(b"\x1a\x45\xdf\xa3") and doctype in head[:128]


def _is_mpegts(head: bytes) -> bool:
    """Sync bytes of five packets of 188 bytes, or of 192 with a time code before each (M2TS)."""
    return any(
        len(head) > first + step and all(head[i] == 0x47 for i in range(first, min(len(head), first + 5 * step), step))
        for first, step in ((0, 188), (4, 192))
    )


_MP3_KBPS = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG-1 layer III
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG-2 and 2.5
}
_MP3_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _is_mp3(head: bytes) -> bool:
    """An ID3 tag, or two MPEG layer III frame headers at the distance that the first one states."""
    if head.startswith(b"ID3"):
        return True
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return False
    version, rate, hz = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or rate in (0, 15) or hz == 3:
        return False
    kbps = _MP3_KBPS[3 if version == 3 else 2][rate]
    size = (144 if version == 3 else 72) * kbps * 1000 // _MP3_HZ[version][hz] + (head[2] >> 1 & 1)
    return head[size : size + 1] == b"\xff" and head[size + 1] & 0xE6 == 0xE2 if len(head) > size + 1 else False


def _is_adts(head: bytes) -> bool:
    """Two AAC (ADTS) headers at the distance that the first one states."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return False
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return size >= 7 and len(head) > size + 1 and head[size] == 0xFF and head[size + 1] & 0xF6 == 0xF0


def _is_bmp(head: bytes) -> bool:
    return head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in (12, 40, 52, 56, 64, 108, 124)


_FORMATS = (
    _Format("jpeg", Kind.PHOTO, "", _starts(b"\xff\xd8\xff")),
    _Format("png", Kind.PHOTO, "", _starts(b"\x89PNG\r\n\x1a\n")),
    _Format("gif", Kind.PHOTO, "", _starts(b"GIF87a", b"GIF89a")),
    _Format("webp", Kind.PHOTO, "", _riff(b"WEBP")),
    _Format("heif", Kind.PHOTO, "", _is_heif),
    _Format("tiff", Kind.PHOTO, "", _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    _Format("bmp", Kind.PHOTO, "", _is_bmp),
    _Format("m4a", Kind.AUDIO, "mov", _is_m4a),
    _Format("mov", Kind.VIDEO, "mov", _is_mov),
    _Format("mp4", Kind.VIDEO, "mov", _starts(b"ftyp", at=4)),
    _Format("webm", Kind.VIDEO, "matroska", _ebml(b"webm")),
    _Format("matroska", Kind.VIDEO, "matroska", _ebml(b"matroska")),
    _Format("avi", Kind.VIDEO, "avi", _riff(b"AVI ")),
    _Format("mpeg", Kind.VIDEO, "mpeg", _starts(b"\0\0\1\xba")),
    _Format("mpegts", Kind.VIDEO, "mpegts", _is_mpegts),
    _Format("flv", Kind.VIDEO, "flv", _starts(b"FLV\1")),
    _Format("asf", Kind.VIDEO, "asf", _starts(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11")),
    _Format("ogg", Kind.VIDEO, "ogg", _starts(b"OggS")),
    _Format("wav", Kind.AUDIO, "wav", _riff(b"WAVE")),
    _Format("flac", Kind.AUDIO, "flac", _starts(b"fLaC")),
    _Format("amr", Kind.AUDIO, "amr", _starts(b"#!AMR")),
    _Format("aac", Kind.AUDIO, "aac", _is_adts),
    _Format("mp3", Kind.AUDIO, "mp3", _is_mp3),
)

DEMUXERS = {f.container: f.demuxer for f in _FORMATS if f.demuxer}
"""Container -> FFmpeg's demuxer."""

_TEXTS = (
    ("#extm3u", "an HLS or M3U playlist, a text that points at other files"),
    ("ffconcat", "an FFmpeg playlist (ffconcat), a text that points at other files"),
    ("v=0", "an SDP session description, a text that points at a network stream"),
    ("[playlist]", "a PLS playlist, a text that points at other files"),
    ("<mpd", "a DASH manifest, a text that points at other files"),
    ("<svg", "an SVG drawing"),
    ("<!doctype html", "a web page"),
    ("<html", "a web page"),
)
_KNOWN_OTHERS = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"8BPS", "a Photoshop document"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b".RMF", "a RealMedia file"),
    (b"SQLite format", "a database"),
)


def identify(read_at: ReadAt, name: str) -> Sniffed:
    """What the file is, from its first bytes; `name` is for messages only. Raises UnsupportedMediaError."""
    head = read_at(0, HEAD_BYTES)
    found = next((f for f in _FORMATS if f.matches(head)), None)
    if found is None:
        raise UnsupportedMediaError(f"{shown(name)} cannot be analysed", f"it is {describe(head)}", DO)
    if found.container == "mp3" and head.startswith(b"ID3"):
        found = _behind_id3(head, read_at, found)
    if found.demuxer:
        return Sniffed(found.container, found.kind, found.demuxer, "video")
    if _moves(found.container, head, read_at):
        return Sniffed(found.container, Kind.VIDEO, "", "animation")
    return Sniffed(found.container, Kind.PHOTO, "", "photo")


def describe(head: bytes) -> str:
    """What unsupported first bytes look like, in words that follow "it is"."""
    if not head:
        return "empty (0 bytes)"
    if not head.strip(b"\0"):
        return "only zero bytes, as left by an unfinished download or copy"
    for magic, words in _KNOWN_OTHERS:
        if head.startswith(magic):
            return f"{words}, not a video, photo or recording"
    text = _as_text(head)
    if text is None:
        return f"of no kind that FakeLab knows (first bytes: {head[:8].hex(' ')})"
    start = text.lstrip().lower()
    for prefix, words in _TEXTS:
        if start.startswith(prefix) or (prefix.startswith("<") and prefix in start[:400]):
            return f"{words}, not a video, photo or recording"
    return "a text, not a video, photo or recording"


def shown(path: str | os.PathLike[str]) -> str:
    """The path in quotes, fit for a terminal and a log: control and direction-changing characters are escaped."""
    return "'" + "".join(_visible(c) for c in os.fspath(path)) + "'"


def _visible(character: str) -> str:
    # Cc control, Cf direction marks (they can disguise a file's name), Cs undecodable bytes, Zl and Zp line ends.
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") or character in "'\\":
        return character.encode("unicode_escape").decode() if character != "'" else "\\'"
    return character


def _as_text(head: bytes) -> str | None:
    """The head as text, or None where it is no text."""
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    text = head.decode(encoding, errors="replace")
    strange = sum(1 for c in text if c == "�" or (ord(c) < 32 and c not in "\t\r\n\f"))
    return text if strange <= len(text) // 50 else None


def _behind_id3(head: bytes, read_at: ReadAt, mp3: _Format) -> _Format:
    """FLAC or AAC files may carry an ID3 tag too: what follows the tag decides."""
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    inner = read_at(10 + size, HEAD_BYTES)
    return next((f for f in _FORMATS if f.container in ("flac", "aac") and f.matches(inner)), mp3)


def _moves(container: str, head: bytes, read_at: ReadAt) -> bool:
    """Whether a picture format holds more than one frame."""
    match container:
        case "gif":
            return _gif_has_two(read_at)
        case "webp":
            return head[12:16] == b"VP8X" and bool(head[20:21]) and bool(head[20] & 2) and _webp_has_two(read_at)
        case "png":
            at = head.find(b"acTL")
            return at > 0 and (b"IDAT" not in head[:at]) and int.from_bytes(head[at + 4 : at + 8], "big") > 1
        case "heif":
            return _brands(head)[0] in (b"avis", b"hevc", b"hevx")
        case _:
            return False


def _gif_has_two(read_at: ReadAt) -> bool:
    """Walks the blocks of a GIF up to its second picture, decoding nothing."""
    screen = read_at(0, 13)
    at = 13 + _gif_palette_bytes(screen[10:11])
    pictures = 0
    for _ in range(200_000):  # a picture of 50 MB; more is not walked
        block = read_at(at, 10)
        if block[:1] == b"\x21":
            at += 2
        elif block[:1] == b"\x2c" and len(block) == 10:
            pictures += 1
            if pictures == 2:
                return True
            at += 11 + _gif_palette_bytes(block[9:10])
        else:
            return False
        while size := read_at(at, 1):
            at += 1 + size[0]
            if not size[0]:
                break
    return False


def _gif_palette_bytes(flags: bytes) -> int:
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _webp_has_two(read_at: ReadAt) -> bool:
    """Walks the chunks of a WebP up to its second animation frame."""
    at, frames = 12, 0
    for _ in range(10_000):
        chunk = read_at(at, 8)
        if len(chunk) < 8:
            return False
        frames += chunk[:4] == b"ANMF"
        if frames == 2:
            return True
        size = int.from_bytes(chunk[4:], "little")
        at += 8 + size + size % 2
    return False
