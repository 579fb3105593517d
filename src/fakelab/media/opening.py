"""A file on its way in: sniffed, being hashed, its reader process started, what that process finds awaited.

Nothing here needs numpy: a caller with several things to prepare starts the reader process first of all.
"""

from __future__ import annotations

import os
import threading
from typing import Self

from fakelab.errors import DamagedMediaError, LimitError
from fakelab.media.probe import Hash, media_info, open_file, reader_at
from fakelab.media.sandbox import OPEN_WALL_S, Child, Limits
from fakelab.media.sniff import identify, shown
from fakelab.media.wire import MalformedError, Message, text
from fakelab.records import MediaInfo


class Closable:
    """What has to be closed, for use in a ``with``."""

    def close(self) -> None:
        """Gives back all that it holds. May be called twice."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Opening(Closable):
    """One file that is being opened. `Media` takes it over; until then close it, or use it in a ``with``.

    `kind` is what the first bytes say: of a container that may hold either, VIDEO until `facts` are known.
    """

    def __init__(
        self, path: str | os.PathLike[str], limits: Limits, threads: int, task: str | None, digest: Hash | None
    ) -> None:
        self.limits, self.name = limits, shown(path)
        self._path = os.fspath(path)
        self._lock = threading.Lock()
        self._own: Hash | None = None
        self._fd, self._size_bytes = open_file(path)
        try:
            if limits.file_bytes is not None and self._size_bytes > limits.file_bytes:
                raise LimitError(
                    f"{self.name} cannot be read",
                    f"it has {self._size_bytes} bytes, the limit is {limits.file_bytes}",
                    "Cut it, or raise the limit on file size.",
                )
            self._sniffed = identify(reader_at(self._fd), self._path)
            self.kind = self._sniffed.kind
            self.child = Child(self._order(threads, task), limits, self.name, self._fd)
        except BaseException:
            self._give_back()
            raise
        if digest is None:
            self.digest = self._own = Hash(self._fd, self.name)
        else:
            self.digest = digest
            self._give_back()  # the child has a descriptor of its own by now

    def facts(self) -> tuple[MediaInfo, tuple[str, ...]]:
        """What the file is, and warnings, once the child and the hash know. Raises what `open_media` raises."""
        try:
            self.child.hear("ready", within_s=OPEN_WALL_S)
            answer = self.child.hear("facts", within_s=OPEN_WALL_S)
            facts = answer.get("facts")
            found = facts if isinstance(facts, dict) else {}
            info = media_info(self._path, self._size_bytes, self.digest.result(), self._sniffed, found)
        except BaseException as error:
            self.close()
            if isinstance(error, MalformedError):
                raise nonsense(self.name, error) from error
            raise
        self._give_back()
        return info, warnings_in(answer)

    def close(self) -> None:
        """Ends the reader process and the hash. May be called twice, and from another thread."""
        self.child.close()
        if self._own is not None:
            self._own.cancel()
        self._give_back()

    def _order(self, threads: int, task: str | None) -> Message:
        order: Message = {
            "reader": self._sniffed.reader,
            "container": self._sniffed.container,
            "demuxer": self._sniffed.demuxer,
            "threads": max(1, threads),
        }
        order |= {"fd": self._fd} if os.name == "posix" else {"path": os.path.abspath(self._path)}
        return order | ({"task": task} if task else {})

    def _give_back(self) -> None:
        """Closes the descriptor, once."""
        with self._lock:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def begin_media(
    path: str | os.PathLike[str],
    limits: Limits | None = None,
    threads: int = 2,
    task: str | None = None,
    digest: Hash | None = None,
) -> Opening:
    """The file at `path`, its reader process started; `open_media` says what the arguments are.

    A second opening of one file takes the `digest` of the first, so that the file is hashed once. Raises
    NotFoundError, UnsupportedMediaError, LimitError, and EnvironmentBrokenError where no reader process can start.
    """
    return Opening(path, limits or Limits(), threads, task, digest)


def warnings_in(message: Message) -> tuple[str, ...]:
    """The warnings that the child tells with a message, as printable lines."""
    found = message.get("warnings")
    items = found[:20] if isinstance(found, list) else []
    return tuple(t for item in items if (t := text({"warning": item}, "warning")))


def nonsense(name: str, error: MalformedError) -> DamagedMediaError:
    """The error for a file whose reader process sent what no honest one sends."""
    return DamagedMediaError(
        f"{name} cannot be read", f"its decoder answered with nonsense ({error}), as after a crash or an attack"
    )
