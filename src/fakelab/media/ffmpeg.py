"""What the readers that ask FFmpeg share: how a frame is turned, what an error means. Runs inside the child process."""

from __future__ import annotations

import struct
from typing import Any, NoReturn

from av.error import FFmpegError

from fakelab.media.wire import RefusedError, Turn


def turn_of(frame: Any) -> Turn:
    """How the frame's display matrix turns and mirrors it, to the nearest quarter."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return Turn()
    a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])
    # x' = a x + c y, y' = b x + d y: which of the two pairs is the larger says whether the axes are swapped.
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Turn(False, a < 0, d < 0)
    return Turn(True, c < 0, b < 0)


def refuse_to_open(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    """FFmpeg asks here whenever the content of a file makes it want another one."""
    raise RefusedError(
        "unsupported",
        "its content asks for another file or address, which a media file may not",
        "Give the media itself, not a text that points at it.",
    )


def raise_if_memory(error: FFmpegError) -> None:
    """Raises MemoryError where FFmpeg ran out of memory."""
    if isinstance(error, MemoryError):
        raise MemoryError from error


def as_refusal(error: FFmpegError, container: str) -> RefusedError:
    """The refusal of a file whose structure FFmpeg could not read."""
    why = f"its {container} structure could not be read ({error.strerror or type(error).__name__})"
    return RefusedError("damaged", why, "The download or copy may be incomplete: try to get the file again.")
