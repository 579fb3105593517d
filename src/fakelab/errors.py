"""Every error that FakeLab raises on purpose.

Each message has three parts: what failed (with the path), why, and what to do. The class carries the exit
code of the command line and the HTTP status of the web service::

    FakeLabError                 4   500
    ├── UsageError               2   400   a wrong flag, name or value
    │   ├── UnknownNameError     2   404   a name that no table holds; says the known ones and the nearest
    │   ├── ConflictError        2   409   it does not fit the state that the thing is in
    │   ├── NotSignedInError     2   401   nobody is signed in, or the key is none of ours
    │   ├── DeniedError          2   403   whoever asks may not do this
    │   └── TooManyError         2   429   come back later; says when
    ├── MediaError               3   422   the file cannot be analysed
    │   ├── NotFoundError        3   404   no such file, or no permission to read it
    │   ├── UnsupportedMediaError 3  415   not a video, photo or recording that we read
    │   ├── DamagedMediaError    3   422   right kind, but nothing could be decoded
    │   └── LimitError           3   413   over a limit on pixels, memory, time or size
    ├── ModelError               4   500   weights or card missing, altered or not matching
    ├── EnvironmentBrokenError   4   500   something that the installation needs is missing
    ├── DataError                2   400   a manifest, a data set or a face store that cannot be used
    └── TrainingError            2   400   settings or a checkpoint that training cannot use
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class FakeLabError(Exception):
    """Base of all errors raised on purpose: ``what`` failed, ``why``, and what to ``do`` about it."""

    exit_code: ClassVar[int] = 4
    http_status: ClassVar[int] = 500

    def __init__(self, what: str, why: str = "", do: str = "") -> None:
        self.what, self.why, self.do = what, why, do
        super().__init__(self._text())

    def _text(self) -> str:
        text = self.what
        if self.why:
            text += f": {self.why}"
        if not text.endswith((".", "?", "!")):
            text += "."
        return f"{text} {self.do}".rstrip()

    @property
    def code(self) -> str:
        """The error's class as a stable word for machines: notfound, damagedmedia, limit, ..."""
        return type(self).__name__.removesuffix("Error").lower()

    def __reduce__(self) -> tuple[type[FakeLabError], tuple[str, str, str]]:
        return type(self), (self.what, self.why, self.do)


class UsageError(FakeLabError):
    """The caller asked for something that does not exist or does not fit."""

    exit_code = 2
    http_status = 400


class UnknownNameError(UsageError):
    """A name that no table holds. Build it with `unknown_name`."""

    http_status = 404


class ConflictError(UsageError):
    """What is asked for does not fit the state that the thing is in."""

    http_status = 409


class NotSignedInError(UsageError):
    """Nobody is signed in, or the key is none of ours."""

    http_status = 401


class DeniedError(UsageError):
    """Whoever asks may not do this."""

    http_status = 403


class TooManyError(UsageError):
    """There is no room now, or it was tried too often: `retry_after_s` says when to come back."""

    http_status = 429

    def __init__(self, what: str, why: str = "", do: str = "", retry_after_s: float = 60.0) -> None:
        super().__init__(what, why, do)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type[TooManyError], tuple[str, str, str, float]]:  # type: ignore[override]
        return type(self), (self.what, self.why, self.do, self.retry_after_s)


class MediaError(FakeLabError):
    """The file cannot be analysed."""

    exit_code = 3
    http_status = 422


class NotFoundError(MediaError):
    """There is no such file, or it may not be read."""

    http_status = 404


class UnsupportedMediaError(MediaError):
    """The first bytes are of no kind that FakeLab reads."""

    http_status = 415


class DamagedMediaError(MediaError):
    """The file claims a known kind, but nothing could be decoded from it."""


class LimitError(MediaError):
    """The file is over a limit on pixels, memory, time or size."""

    http_status = 413


class ModelError(FakeLabError):
    """Weights or their card are missing, altered, or do not fit each other."""


class EnvironmentBrokenError(FakeLabError):
    """Something that the installation needs is missing or does not work."""


class DataError(FakeLabError):
    """A manifest, a data set on disk or a face store cannot be used as it is."""

    exit_code = 2
    http_status = 400


class TrainingError(FakeLabError):
    """Training cannot use the settings or the checkpoint it was given."""

    exit_code = 2
    http_status = 400


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a `name` of this `kind` that is not `known`: lists the known ones, nearest first."""
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    hint = f"Did you mean '{nearest[0]}'? " if nearest else ""
    return UnknownNameError(f"no {kind} is called '{name}'", "", f"{hint}Known: {', '.join(names) or 'none'}.")
