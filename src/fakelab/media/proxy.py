"""What browsers can play: whether they play a file as it is, and a small copy of it that they all play."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from fakelab.errors import DamagedMediaError, EnvironmentBrokenError
from fakelab.media.faststart import faststart
from fakelab.media.opening import nonsense
from fakelab.media.reader import Media, open_media
from fakelab.media.sandbox import Limits
from fakelab.media.sniff import shown
from fakelab.media.wire import MalformedError, number, whole

LONGEST_PX = 854
LONGER = 8
"""How often the times of `Limits`, meant for a sample of the frames, pass while every frame is decoded and encoded."""
MOST_BYTES_PER_S = 2_000_000
"""Twice the rate to which the encoder is bound; more is no work of ours."""
LARGER = 8
"""A copy may also have this many times the bytes of the file: a long recording of speech is stored in few."""
MOST_BYTES = (64 << 20, 16 << 30)
"""Whatever the length, a copy may have the first number of bytes, and not the second."""

Tell = Callable[[int, int | None], None]
"""tell(done_s, length_s): whole seconds of the file that are done, and in all; None where that is not known."""

_PLAYED = {
    "mp4": ({"h264"}, {"aac", "mp3"}),
    "mov": ({"h264"}, {"aac", "mp3"}),
    "webm": ({"vp8", "vp9", "av1"}, {"opus", "vorbis"}),
}
"""Container -> the codecs of pictures and of sound that Chromium, Firefox and Safari play in it."""
_HEARD = {
    "m4a": {"aac"},
    "mp4": {"aac", "mp3"},
    "mp3": {"mp3"},
    "wav": {"pcm_s16le", "pcm_u8"},
    "flac": {"flac"},
    "webm": {"opus", "vorbis"},
}
"""Container -> the codecs of a recording that they play in it."""
_PIXELS = {"yuv420p", "yuvj420p"}


def playable(file: Mapping[str, Any]) -> bool:
    """Whether Chromium, Firefox and Safari play this file as it is; False where that is not certain, and for photos.

    `file` is that of a ``fakelab.analysis/1`` document.
    """
    container, sound = file.get("container"), file.get("audio_codec")
    match file.get("kind"):
        case "audio":
            return sound in _HEARD.get(str(container), ())
        case "video" if container in _PLAYED:
            pictures, sounds = _PLAYED[container]
            turned_where_it_counts = container == "webm" and bool(file.get("rotation_deg"))
            return (
                file.get("video_codec") in pictures
                and (sound is None or sound in sounds)
                and file.get("pixel_format") in _PIXELS
                and not turned_where_it_counts
            )
    return False


def write_proxy(
    path: str | os.PathLike[str],
    target: Path,
    limits: Limits | None = None,
    *,
    longest_px: int = LONGEST_PX,
    tell: Tell | None = None,
) -> None:
    """Writes a copy of a video or a recording at `target` that every browser plays, and seeks to the exact frame.

    An MP4 with H.264 of at most `longest_px` on the longer side, upright, with square pixels and the file's own times,
    and AAC. Every frame is decoded and encoded in the child process, for which the times of `limits` are multiplied
    by LONGER. `target` appears when it is complete.

    Raises NotFoundError, UnsupportedMediaError (a photo), DamagedMediaError, LimitError, EnvironmentBrokenError.
    """
    if longest_px < 2:
        raise ValueError("longest_px must be at least 2")
    limits = limits or Limits()
    limits = dataclasses.replace(limits, cpu_s=limits.cpu_s * LONGER, wall_s=limits.wall_s * LONGER)
    name = shown(path)
    try:
        with open_media(path, limits, task="proxy") as media, _written(target, name) as (raw, final):
            length_s = _receive(media, raw, longest_px, tell)
            if not raw.tell():
                raise DamagedMediaError(f"{name} cannot be read", "nothing of it could be decoded")
            faststart(raw, final)
    except MalformedError as error:
        raise nonsense(name, error) from error
    if tell and length_s is not None:
        tell(length_s, length_s)


def _receive(media: Media, raw: BinaryIO, longest_px: int, tell: Tell | None) -> int | None:
    """Puts what the child sends where it belongs, and the place at the file's end. Returns the length in seconds."""
    length_s = media.info.duration_s
    base, cap = MOST_BYTES
    most = min(cap, base + LARGER * media.info.size_bytes + int((length_s or 0.0) * MOST_BYTES_PER_S))
    total_s = None if length_s is None else max(1, round(length_s))
    told = -1
    for message, data in media.parts({"longest_px": longest_px}):
        raw.seek(whole(message, "at", 0, most - len(data)))
        raw.write(data)
        done_s = int(number(message, "time_s", 0.0, 1e9))
        if total_s is not None:
            done_s = min(done_s, total_s)
        if tell and done_s > told:
            tell(done_s, total_s)
            told = done_s
    raw.seek(0, os.SEEK_END)
    return total_s


@contextlib.contextmanager
def _written(target: Path, name: str) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """A nameless file and one that becomes `target` if all goes well; nothing is left behind if not."""
    target = Path(target)
    part: str | None = None
    try:
        with tempfile.TemporaryFile(dir=target.parent) as raw:
            fd, part = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
            with os.fdopen(fd, "wb") as final:
                yield raw, final
        os.replace(part, target)
        part = None
    except OSError as error:
        raise EnvironmentBrokenError(
            f"the copy of {name} for browsers cannot be written",
            error.strerror or str(error),
            f"Look at the folder {shown(target.parent)} and the room on its disk.",
        ) from error
    finally:
        if part is not None:
            with contextlib.suppress(OSError):
                os.unlink(part)
