"""How often somebody may fail to sign in: ten times in a quarter of an hour, by name and by address.

The failures are rows of the history's database, so that they count whichever server was asked.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from fakelab.errors import TooManyError
from fakelab.reports.json_report import rfc3339
from fakelab.service.database import SignInRow

TRIES = 10
WITHIN = timedelta(minutes=15)


def count(session: Session, name: str, where: str, now: datetime) -> list[int]:
    """Counts a try as a failure, which it is until it proves right: so many at once do not slip through.

    Comes out with what `forget` takes. Raises TooManyError.
    """
    marks = _marks(name, where)
    for mark in marks:
        query = select(SignInRow.at).where(SignInRow.mark == mark, SignInRow.at > rfc3339(now - WITHIN))
        times = list(session.scalars(query.order_by(SignInRow.at.desc()).limit(TRIES)))
        if len(times) == TRIES:
            wait = datetime.fromisoformat(times[-1]) + WITHIN - now
            raise TooManyError(
                "signing in is barred for a while",
                f"it failed {TRIES} times",
                f"Try again in {math.ceil(wait / timedelta(minutes=1))} minutes.",
                wait.total_seconds(),
            )
    rows = [SignInRow(mark=mark, at=rfc3339(now)) for mark in marks]
    session.add_all(rows)
    session.flush()
    return [row.id for row in rows]


def forget(session: Session, name: str, tries: list[int]) -> None:
    """It proved right: neither this try nor earlier ones for the name count any more; others of the address do."""
    session.execute(delete(SignInRow).where(or_(SignInRow.mark == _marks(name, "")[0], SignInRow.id.in_(tries))))


def prune(session: Session, now: datetime) -> None:
    """Takes away what no longer counts."""
    session.execute(delete(SignInRow).where(SignInRow.at <= rfc3339(now - WITHIN)))


def _marks(name: str, where: str) -> list[str]:
    """What failures are counted by: the name, and the address if there is one, as hashes."""
    words = [f"name {name}", *([f"from {_network(where)}"] if where else [])]
    return [hashlib.sha256(each.encode(errors="replace")).hexdigest() for each in words]


def _network(where: str) -> str:
    """The address, or for IPv6 the network of it that one customer has alone."""
    try:
        address = ipaddress.ip_address(where.partition("%")[0])
    except ValueError:
        return where
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
