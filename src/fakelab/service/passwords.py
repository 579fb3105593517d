"""Passwords of accounts: kept as argon2id, and checked in the same time whether there is such an account or not."""

from __future__ import annotations

import secrets
import threading
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from fakelab.errors import UsageError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST = 12
LONGEST = 1024
_AT_ONCE = threading.BoundedSemaphore(4)
"""Each check takes 64 MiB for a moment: a crowd at the door must not take all of the memory."""


def hashed(password: str) -> str:
    """What is kept of a password. Raises UsageError for one that is too short or too long."""
    data = _bytes(password)
    if not SHORTEST <= len(password) <= LONGEST:
        few = len(password) < SHORTEST
        raise UsageError(
            "this password cannot be used",
            f"it has fewer than {SHORTEST} characters" if few else f"it has more than {LONGEST} characters",
            f"Take a {'longer' if few else 'shorter'} one.",
        )
    with _AT_ONCE:
        return _hasher().hash(data)


def fits(kept: str | None, password: str) -> bool:
    """Whether it is this password. Without an account (None) it never is, which takes as long to find."""
    from argon2.exceptions import VerificationError

    nobody = _nobody()
    known = kept is not None and len(password) <= LONGEST
    try:
        with _AT_ONCE:
            return _hasher().verify(kept if known and kept else nobody, _bytes(password[:LONGEST])) and known
    except VerificationError:
        return False


def outdated(kept: str) -> bool:
    """Whether a password was hashed by weaker rules than today's."""
    return _hasher().check_needs_rehash(kept)


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()


@lru_cache(maxsize=1)
def _nobody() -> str:
    """The hash that a password is checked against where there is no account."""
    return _hasher().hash(secrets.token_bytes(32))


def _bytes(password: str) -> bytes:
    # One keyboard sends é as one sign, another as two; a terminal may send bytes that are no text.
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
