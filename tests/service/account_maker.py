"""What tests of accounts share: passwords, a clock, failures to sign in, and what the log says of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fakelab.errors import NotSignedInError
from fakelab.service.accounts import Accounts
from fakelab.service.history import History

PASSWORD = "correct horse battery"
OTHER = "staple of a bookbinder"


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **span: float) -> None:
        self.now += timedelta(**span)


def fail(accounts: Accounts, times: int, name: str = "ada", where: str = "") -> None:
    """Fails to sign in, so many times."""
    for _ in range(times):
        with pytest.raises(NotSignedInError):
            accounts.sign_in(name, OTHER, where=where)


def actions(history: History) -> list[tuple[str, str]]:
    """(actor, action) of every event."""
    return [(each.actor, each.action) for each in history.events()]
