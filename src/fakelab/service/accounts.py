"""Who may use a server: accounts with passwords, sessions of browsers, one-time tickets, keys of programs.

Passwords are kept as argon2id. What is long and random by itself (tokens of sessions, tickets, keys) is kept as its
SHA-256: there is nothing to guess, and looking it up stays quick. Everything is in the history's database, so that
several servers share it, and what is done to accounts stands in its log.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update

from fakelab.errors import DeniedError, NotSignedInError, TooManyError, UsageError, unknown_name
from fakelab.reports.json_report import rfc3339
from fakelab.service.database import KeyRow, SessionRow, SignInRow, TicketRow, UserRow
from fakelab.service.history import LOCAL, History, new_id

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SCOPES = ("read", "analyse", "review", "delete", "admin")
ROLES: dict[str, frozenset[str]] = {
    "viewer": frozenset({"read"}),
    "analyst": frozenset({"read", "analyse", "review"}),
    "admin": frozenset(SCOPES),
}
"""Role -> what it may."""
SHORTEST = 12
LONGEST = 1024
IDLE = timedelta(hours=12)
AGE = timedelta(days=7)
TICKET_AGE = timedelta(hours=24)
TRIES = 10
TRIES_WITHIN = timedelta(minutes=15)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_STEP = timedelta(minutes=1)
"""A session's last use is written down at most this often."""


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks: `desk` owns what they hand in; `via` is ticket, login or key; `csrf` goes into their forms."""

    name: str
    desk: str
    role: str
    scopes: frozenset[str]
    via: str
    csrf: str = ""

    def may(self, scope: str) -> bool:
        """Whether they may do what needs this scope."""
        return scope in self.scopes

    def need(self, scope: str) -> None:
        """Raises DeniedError if they may not."""
        if not self.may(scope):
            raise DeniedError(f"{self.name} may not do this", f"it needs the right to {scope}", "Ask an admin.")


@dataclass(frozen=True, slots=True)
class User:
    """An account."""

    name: str
    role: str
    desk: str
    created: str
    disabled: bool


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a program, without its secret. `expires` and `used` are empty where there is none."""

    id: str
    name: str
    desk: str
    scopes: frozenset[str]
    created: str
    expires: str
    used: str
    revoked: bool


class Accounts:
    """The accounts, sessions, tickets and keys of a history's database. `clock` tells the time, for tests."""

    def __init__(self, history: History, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.history, self._clock = history, clock

    # -- accounts ------------------------------------------------------------------------------------------------

    def add_user(self, name: str, password: str, role: str = "analyst", desk: str = LOCAL, *, actor: str) -> User:
        """A new account. Raises UsageError for a name that is taken or does not fit, or a short password."""
        if not _NAME.fullmatch(name) or name == LOCAL:
            raise UsageError(
                f"an account cannot be called '{name}'", "", "Use small letters, digits, dots and hyphens; not 'local'."
            )
        _check_role(role)
        _check_desk(desk)
        hashed = _hashed(password)
        with self.history.writing() as session:
            if session.get(UserRow, name) is not None:
                raise UsageError(
                    f"there is an account '{name}' already", "", "`fakelab users reset` sets its password."
                )
            session.add(UserRow(name=name, password=hashed, role=role, desk=desk, created=self._now(), disabled=False))
            self.history.append(session, actor, "account added", "", {"account": name, "role": role, "desk": desk})
        return self.user(name)

    def reset_password(self, name: str, password: str, *, actor: str) -> None:
        """Gives an account another password; its sessions end."""
        hashed = _hashed(password)
        self._change(name, "password reset", actor, password=hashed)

    def set_role(self, name: str, role: str, *, actor: str) -> None:
        """Gives an account another role; its sessions end."""
        _check_role(role)
        self._change(name, f"role set to {role}", actor, role=role)

    def disable(self, name: str, *, actor: str) -> None:
        """Ends an account's sessions, and lets it begin no more."""
        self._change(name, "account disabled", actor, disabled=True)

    def users(self) -> list[User]:
        """Every account, by name."""
        with self.history.reading() as session:
            return [_user(row) for row in session.scalars(select(UserRow).order_by(UserRow.name))]

    def user(self, name: str) -> User:
        """An account. Raises UnknownNameError."""
        with self.history.reading() as session:
            row = session.get(UserRow, name)
        if row is None:
            raise unknown_name("account", name, [each.name for each in self.users()])
        return _user(row)

    def _change(self, name: str, action: str, actor: str, **values: object) -> None:
        self.user(name)
        with self.history.writing() as session:
            session.execute(update(UserRow).where(UserRow.name == name).values(**values))
            session.execute(delete(SessionRow).where(SessionRow.user == name))
            self.history.append(session, actor, action, "", {"account": name})

    # -- sessions ------------------------------------------------------------------------------------------------

    def sign_in(self, name: str, password: str, *, where: str) -> tuple[str, Who]:
        """A session's token for a name and its password.

        Raises NotSignedInError, which does not say which of the two was wrong, and TooManyError after ten failures in
        a quarter of an hour for the name or for `where` the request came from.
        """
        name = name[:64]
        marks = [f"name:{name}", f"where:{hashlib.sha256(where.encode()).hexdigest()[:16]}"]
        self._check_tries(marks)
        with self.history.reading() as session:
            row = session.get(UserRow, name)
        # A name that there is not takes as long as a wrong password.
        right = _fits(row.password if row is not None else _nobody(), password) and row is not None
        if not right or row is None or row.disabled:
            with self.history.writing() as session:
                session.add_all(SignInRow(mark=mark, at=self._now()) for mark in marks)
                self.history.append(session, row.name if row else "unknown", "sign-in refused", "", {})
            raise NotSignedInError("you are not signed in", "the name or the password is wrong", "Try again.")
        with self.history.writing() as session:
            session.execute(delete(SignInRow).where(SignInRow.mark == marks[0]))
        self.history.note(name, "signed in")
        return self._begin(name, "login")

    def sign_out(self, token: str) -> None:
        """Ends a session."""
        with self.history.writing() as session:
            session.execute(delete(SessionRow).where(SessionRow.token == _sha256(token)))

    def who_of_session(self, token: str) -> Who | None:
        """Who a session belongs to; None once it is over: 12 hours after its last use, 7 days after its start."""
        now = self._clock()
        with self.history.reading() as session:
            row = session.get(SessionRow, _sha256(token))
            user = session.get(UserRow, row.user) if row is not None else None
        if row is None or row.used < rfc3339(now - IDLE) or row.created < rfc3339(now - AGE):
            return None
        if row.used < rfc3339(now - _STEP):
            with self.history.writing() as session:
                session.execute(update(SessionRow).where(SessionRow.token == row.token).values(used=rfc3339(now)))
        if row.via == "ticket":
            return Who(LOCAL, LOCAL, "admin", ROLES["admin"], "ticket", _csrf(token))
        if user is None or user.disabled:
            return None
        return Who(user.name, user.desk, user.role, ROLES[user.role], "login", _csrf(token))

    def _begin(self, user: str, via: str) -> tuple[str, Who]:
        token = secrets.token_urlsafe(32)
        now = self._now()
        with self.history.writing() as session:
            session.add(SessionRow(token=_sha256(token), user=user, via=via, created=now, used=now))
        who = self.who_of_session(token)
        assert who is not None
        return token, who

    def _check_tries(self, marks: Iterable[str]) -> None:
        since = rfc3339(self._clock() - TRIES_WITHIN)
        with self.history.reading() as session:
            for mark in marks:
                query = select(func.count()).where(SignInRow.mark == mark, SignInRow.at >= since)
                if (session.scalar(query) or 0) >= TRIES:
                    raise TooManyError(
                        "signing in is barred for a while",
                        f"it failed {TRIES} times",
                        "Try again in a quarter of an hour.",
                        TRIES_WITHIN.total_seconds(),
                    )

    # -- tickets -------------------------------------------------------------------------------------------------

    def new_ticket(self) -> str:
        """A token that lets the person at this machine in, once, within 24 hours."""
        ticket = secrets.token_urlsafe(24)
        with self.history.writing() as session:
            session.add(TicketRow(ticket=_sha256(ticket), created=self._now()))
        return ticket

    def redeem(self, ticket: str) -> tuple[str, Who]:
        """A session for a ticket, which is used up by it. Raises NotSignedInError."""
        since = rfc3339(self._clock() - TICKET_AGE)
        with self.history.writing() as session:
            gone = session.execute(
                delete(TicketRow).where(TicketRow.ticket == _sha256(ticket), TicketRow.created >= since)
            )
            used = bool(gone.rowcount)  # type: ignore[attr-defined]
        if not used:
            raise NotSignedInError(
                "this address was used already", "it lets one browser in, once", "Start `fakelab serve` again."
            )
        self.history.note(LOCAL, "signed in")
        return self._begin(LOCAL, "ticket")

    # -- keys ----------------------------------------------------------------------------------------------------

    def add_key(
        self, name: str, scopes: Iterable[str], *, actor: str, desk: str = LOCAL, days: int | None = None
    ) -> tuple[str, Key]:
        """A key for a program: its secret, which is shown once, and the key. Raises UsageError."""
        wanted = frozenset(scopes)
        for scope in wanted:
            if scope not in SCOPES:
                raise unknown_name("scope", scope, SCOPES)
        if not wanted or not name.strip():
            raise UsageError("a key needs a name and a scope", "", f"Scopes are {', '.join(SCOPES)}.")
        _check_desk(desk)
        key_id = new_id()[:10]
        secret = f"fl_{key_id}_{secrets.token_urlsafe(32)}"
        expires = rfc3339(self._clock() + timedelta(days=days)) if days else ""
        with self.history.writing() as session:
            session.add(
                KeyRow(
                    id=key_id,
                    secret=_sha256(secret),
                    name=name.strip()[:80],
                    desk=desk,
                    scopes=" ".join(sorted(wanted)),
                    created=self._now(),
                    expires=expires,
                    used="",
                    revoked=False,
                )
            )
            detail = {"key": key_id, "name": name.strip()[:80], "scopes": sorted(wanted), "desk": desk}
            self.history.append(session, actor, "key added", "", detail)
        return secret, next(each for each in self.keys() if each.id == key_id)

    def keys(self) -> list[Key]:
        """Every key, the newest first."""
        with self.history.reading() as session:
            rows = session.scalars(select(KeyRow).order_by(KeyRow.created.desc(), KeyRow.id))
            return [_key(row) for row in rows]

    def revoke(self, key: str, *, actor: str) -> None:
        """Ends a key. Raises UnknownNameError."""
        known = [each.id for each in self.keys()]
        if key not in known:
            raise unknown_name("key", key, known)
        with self.history.writing() as session:
            session.execute(update(KeyRow).where(KeyRow.id == key).values(revoked=True))
            self.history.append(session, actor, "key revoked", "", {"key": key})

    def who_of_key(self, secret: str) -> Who | None:
        """Who a key belongs to; None for one that is none of ours, revoked or expired."""
        parts = secret.split("_", 2)
        if len(parts) != 3 or parts[0] != "fl":
            return None
        now = self._now()
        with self.history.reading() as session:
            row = session.get(KeyRow, parts[1])
        if row is None or not hmac.compare_digest(row.secret, _sha256(secret)):
            return None
        if row.revoked or (row.expires and row.expires < now):
            return None
        if row.used != now[:10]:
            # By the day: enough to find keys that nobody needs, and no trace of who did what when.
            with self.history.writing() as session:
                session.execute(update(KeyRow).where(KeyRow.id == row.id).values(used=now[:10]))
        return Who(f"key:{row.name}", row.desk, "key", frozenset(row.scopes.split()), "key")

    def prune(self) -> None:
        """Takes away what is over: sessions, tickets, and failures that count no more."""
        now = self._clock()
        with self.history.writing() as session:
            session.execute(delete(SessionRow).where(SessionRow.used < rfc3339(now - IDLE)))
            session.execute(delete(SessionRow).where(SessionRow.created < rfc3339(now - AGE)))
            session.execute(delete(TicketRow).where(TicketRow.created < rfc3339(now - TICKET_AGE)))
            session.execute(delete(SignInRow).where(SignInRow.at < rfc3339(now - TRIES_WITHIN)))

    def _now(self) -> str:
        return rfc3339(self._clock())


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise unknown_name("role", role, ROLES)


def _check_desk(desk: str) -> None:
    if not _NAME.fullmatch(desk):
        raise UsageError(f"a desk cannot be called '{desk}'", "", "Use small letters, digits, dots and hyphens.")


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()


def _hashed(password: str) -> str:
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(
            "this password cannot be used", f"it has fewer than {SHORTEST} characters", "Take a longer one."
        )
    return _hasher().hash(password)


@lru_cache(maxsize=1)
def _nobody() -> str:
    """The hash that a name is checked against which there is not."""
    return _hasher().hash(secrets.token_urlsafe(16))


def _fits(hashed: str, password: str) -> bool:
    from argon2.exceptions import VerificationError

    try:
        return _hasher().verify(hashed, password[:LONGEST])
    except VerificationError:
        return False


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _csrf(token: str) -> str:
    """The token of a session's forms: made from the session's own, which it does not give away."""
    return hmac.digest(token.encode(), b"fakelab csrf", hashlib.sha256).hex()[:40]


def _user(row: UserRow) -> User:
    return User(row.name, row.role, row.desk, row.created, row.disabled)


def _key(row: KeyRow) -> Key:
    scopes = frozenset(row.scopes.split())
    return Key(row.id, row.name, row.desk, scopes, row.created, row.expires, row.used, row.revoked)
