"""What is known of a file after reading it once: its SHA-256, and the facts that the child process found.

The hash runs in a thread of the parent while the child probes. Both use one descriptor: the hash reads at stated
offsets, so it never moves the child's place in the file.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
from pathlib import PurePath

from fakelab.errors import DamagedMediaError, NotFoundError
from fakelab.media.sniff import ReadAt, Sniffed, shown
from fakelab.media.wire import MalformedError, Message, number, whole
from fakelab.records import Kind, MediaInfo

CHUNK_BYTES = 1 << 22
_CODEC = re.compile(r"[A-Za-z0-9_.\-]{1,40}")


class Hash:
    """SHA-256 of an open file, computed in the background from the moment this is made."""

    def __init__(self, fd: int, name: str) -> None:
        self._fd, self._name = fd, name
        self._hex = ""
        self._error: OSError | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fakelab-sha256", daemon=True)
        self._thread.start()

    def result(self) -> str:
        """The hash in hex, once the whole file is read. Raises DamagedMediaError."""
        self._thread.join()
        if self._error is not None:
            raise DamagedMediaError(
                f"{self._name} cannot be read to its end",
                self._error.strerror or "read error",
                "Check the disk, or copy the file from its source again.",
            )
        return self._hex

    def cancel(self) -> None:
        """Stops early; the descriptor may be closed afterwards."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            before = os.fstat(self._fd)
            digest, at = hashlib.sha256(), 0
            while not self._stop.is_set():
                chunk = read_at(self._fd, at, CHUNK_BYTES)
                if not chunk:
                    break
                digest.update(chunk)
                at += len(chunk)
            after = os.fstat(self._fd)
            if not self._stop.is_set() and (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                raise OSError(0, "it changed while it was being read: a copy or download is still running")
            self._hex = digest.hexdigest()
        except OSError as error:
            self._error = error


def open_file(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(descriptor, size in bytes) of a regular file. Raises NotFoundError."""
    what = f"{shown(path)} cannot be opened"
    try:
        # Non-blocking: opening a named pipe would otherwise wait for a writer.
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise NotFoundError(what, "there is no such file", "Check the path.") from error
    except PermissionError as error:
        do = "Give a file." if os.path.isdir(path) else "Give yourself the right to read it, or copy it."
        raise NotFoundError(what, "you have no permission to read it", do) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise NotFoundError(what, reason, "Check the path.") from error
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode):
        return fd, status.st_size
    os.close(fd)
    if stat.S_ISDIR(status.st_mode):
        raise NotFoundError(what, "it is a folder", "Give a file.")
    raise NotFoundError(what, "it is a device or a pipe, not a file", "Copy its content into a file first.")


def read_at(fd: int, offset: int, size: int) -> bytes:
    """Up to `size` bytes from `offset`, without moving the file's place where the system allows."""
    if hasattr(os, "pread"):
        return os.pread(fd, size, offset)
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, size)


def reader_at(fd: int) -> ReadAt:
    """`read_at` for one open file."""
    return lambda offset, size: read_at(fd, offset, size)


def media_info(path: str, size_bytes: int, sha256: str, sniffed: Sniffed, facts: Message) -> MediaInfo:
    """The child's `facts` as a MediaInfo, each value checked. Raises MalformedError."""
    kind = facts.get("kind")
    if kind not in list(Kind):
        raise MalformedError("kind is unknown")
    duration_s = _optional(facts, "duration_s", 1e9)
    bitrate = _optional(facts, "video_bitrate_bps", 1e12)
    if bitrate is None and kind == Kind.VIDEO and duration_s:
        bitrate = size_bytes * 8 / duration_s
    frames = facts.get("frames_count")
    return MediaInfo(
        path=path,
        name=PurePath(path).name,
        size_bytes=size_bytes,
        sha256=sha256,
        kind=Kind(kind),
        container=sniffed.container,
        width_px=None if kind == Kind.AUDIO else whole(facts, "width_px", 1, 1 << 20),
        height_px=None if kind == Kind.AUDIO else whole(facts, "height_px", 1, 1 << 20),
        duration_s=duration_s,
        fps=_optional(facts, "fps", 1e6),
        variable_frame_rate=facts.get("variable_frame_rate") is True,
        rotation_deg=whole({"rotation_deg": 0} | facts, "rotation_deg", 0, 270),
        video_codec=_codec(facts.get("video_codec")),
        audio_codec=_codec(facts.get("audio_codec")),
        video_bitrate_bps=bitrate,
        pixel_format=_codec(facts.get("pixel_format")),
        frames_count=None if frames is None else whole(facts, "frames_count", 0, 1 << 48),
    )


def _optional(facts: Message, key: str, high: float) -> float | None:
    return None if facts.get(key) is None else float(number(facts, key, 0.0, high))


def _codec(value: object) -> str | None:
    return value if isinstance(value, str) and _CODEC.fullmatch(value) else None
