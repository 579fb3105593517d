"""Kind and container by first bytes, whatever a file is called, and what is said of the others."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakelab.errors import UnsupportedMediaError
from fakelab.media import identify, shown
from fakelab.media.sniff import DEMUXERS
from fakelab.records import Kind


def kind_of(data: bytes) -> tuple[str, Kind, str]:
    found = identify(lambda offset, size: data[offset : offset + size], "x.mp4")
    return found.container, found.kind, found.reader


MP3_FRAME = b"\xff\xfb\x90\x00" + bytes(413)  # 128 kbit/s, 44.1 kHz: 417 bytes
ADTS_FRAME = bytes([0xFF, 0xF1, 0x50, 0x80, 0x02, 0x1F, 0xFC]) + bytes(9)  # 16 bytes


@pytest.mark.parametrize(
    ("head", "container", "kind"),
    [
        (b"\0\0\0\x18ftypisom\0\0\2\0isommp41", "mp4", Kind.VIDEO),
        (b"\0\0\0\x14ftyp3gp4\0\0\2\0" + b"3gp4", "mp4", Kind.VIDEO),
        (b"\0\0\0\x14ftypqt  \0\0\2\0qt  ", "mov", Kind.VIDEO),
        (b"\0\0\0\x08wide\0\0\1\0mdat", "mov", Kind.VIDEO),
        (b"\0\0\0\x18ftypM4A \0\0\2\0M4A mp42", "m4a", Kind.AUDIO),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heif", Kind.PHOTO),
        (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", "heif", Kind.PHOTO),
        (b"\0\0\0\x18ftypavis\0\0\0\0avifavis", "heif", Kind.VIDEO),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm", "webm", Kind.VIDEO),
        (b"\x1a\x45\xdf\xa3\xa3\x42\x82\x88matroska", "matroska", Kind.VIDEO),
        (b"RIFF\0\0\0\0AVI LIST", "avi", Kind.VIDEO),
        (b"RIFF\0\0\0\0WAVEfmt ", "wav", Kind.AUDIO),
        (b"RIFF\0\0\0\0WEBPVP8 ", "webp", Kind.PHOTO),
        (b"\0\0\1\xba\x44\0\4", "mpeg", Kind.VIDEO),
        ((b"\x47" + bytes(187)) * 6, "mpegts", Kind.VIDEO),
        ((bytes(4) + b"\x47" + bytes(187)) * 6, "mpegts", Kind.VIDEO),
        (b"FLV\1\5\0\0\0\x09", "flv", Kind.VIDEO),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", "asf", Kind.VIDEO),
        (b"OggS\0\2", "ogg", Kind.VIDEO),
        (b"fLaC\0\0\0\x22", "flac", Kind.AUDIO),
        (b"#!AMR\n", "amr", Kind.AUDIO),
        (MP3_FRAME * 3, "mp3", Kind.AUDIO),
        (b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + MP3_FRAME * 2, "mp3", Kind.AUDIO),
        (b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + b"fLaC\0\0\0\x22", "flac", Kind.AUDIO),
        (ADTS_FRAME * 4, "aac", Kind.AUDIO),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "jpeg", Kind.PHOTO),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "png", Kind.PHOTO),
        (b"GIF89a\1\0\1\0\0\0\0", "gif", Kind.PHOTO),
        (b"II*\0\x08\0\0\0", "tiff", Kind.PHOTO),
        (b"MM\0*\0\0\0\x08", "tiff", Kind.PHOTO),
        (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "bmp", Kind.PHOTO),
    ],
)
def test_first_bytes(head: bytes, container: str, kind: Kind) -> None:
    assert kind_of(head)[:2] == (container, kind)


def test_every_container_of_sound_and_video_has_a_demuxer_that_ffmpeg_knows() -> None:
    import av

    assert set(DEMUXERS.values()) <= av.formats_available


@pytest.mark.parametrize(
    ("head", "seen"),
    [
        (b"", "empty"),
        (bytes(4096), "zero bytes"),
        (b"#EXTM3U\n#EXTINF:2,\nneighbour.mp4\n", "HLS or M3U playlist"),
        (b"\xef\xbb\xbf\n #extm3u\n", "HLS or M3U playlist"),
        (b"ffconcat version 1.0\nfile neighbour.mp4\n", "FFmpeg playlist"),
        (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n", "SDP"),
        (b"[playlist]\nFile1=neighbour.mp4\n", "PLS playlist"),
        (b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash">', "DASH manifest"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b'<svg xmlns="http://www.w3.org/2000/svg">', "SVG"),
        (b"Dear editor,\nplease find attached", "a text"),
        ("Sehr geehrte Redaktion, schöne Grüße".encode("utf-16"), "a text"),
        (b"BM is not always a bitmap", "a text"),
        (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
        (b"PK\x03\x04\x14\0", "ZIP"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"\x8f\x11\x9a\xc3\x01\xf0\x0f\xee" * 50, "8f 11 9a c3"),
    ],
)
def test_what_is_refused_and_how_it_is_named(head: bytes, seen: str) -> None:
    with pytest.raises(UnsupportedMediaError) as caught:
        kind_of(head)
    error = caught.value
    assert seen in error.why
    assert "x.mp4" in error.what
    assert "Give a video" in error.do


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_are_either_named_or_refused(data: bytes) -> None:
    with contextlib.suppress(UnsupportedMediaError):
        assert kind_of(data)[0]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([b"GIF89a", b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\2\0\0\0", b"ID3\4\0\0\x7f\x7f"]),
    st.binary(max_size=300),
)
def test_the_walk_over_blocks_always_ends(start: bytes, rest: bytes) -> None:
    assert kind_of(start + rest)[0] in ("gif", "webp", "mp3", "flac", "aac")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a b.mp4", "'a b.mp4'"),
        ("a'b.mp4", r"'a\'b.mp4'"),
        ("a\nb\x1b[31m.mp4", r"'a\nb\x1b[31m.mp4'"),
        ("שלום مرحبا.mp4", "'שלום مرحبا.mp4'"),
        ("photo\u202egpj.exe", r"'photo\u202egpj.exe'"),
        (os.fsdecode(b"\xff.mp4"), r"'\udcff.mp4'"),
    ],
)
def test_names_are_shown_safely(name: str, safe: str) -> None:
    assert shown(name) == safe
    assert shown(Path(name)) == safe
    shown(name).encode()
