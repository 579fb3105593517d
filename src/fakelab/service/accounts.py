"""Who may use a server: accounts with passwords, sessions of browsers, one-time tickets, keys of programs.

Passwords are kept as argon2id (`fakelab.service.passwords`). What is long and random by itself (tokens of sessions,
tickets, keys) is kept as its SHA-256: a slow hash protects what can be guessed, and nobody guesses 192 random bits or
more; looking it up stays quick. Everything is in the history's database, so that several servers share it, and what is
done to accounts stands in its log, which names accounts and never an address.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from fakelab.errors import ConflictError, DeniedError, NotSignedInError, UsageError, unknown_name
from fakelab.reports.json_report import rfc3339
from fakelab.service import throttle
from fakelab.service.database import KeyRow, SessionRow, TicketRow, UserRow
from fakelab.service.history import LOCAL, History, new_id
from fakelab.service.passwords import fits, hashed, outdated

SCOPES = ("read", "analyse", "review", "delete", "admin")
ROLES: dict[str, frozenset[str]] = {
    "viewer": frozenset({"read"}),
    "analyst": frozenset({"read", "analyse", "review"}),
    "admin": frozenset(SCOPES),
}
"""Role -> what it may."""
IDLE = timedelta(hours=12)
AGE = timedelta(days=7)
TICKET_AGE = timedelta(hours=24)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SECRET = re.compile(r"fl_([0-9a-z]{10})_[A-Za-z0-9_-]{43}")
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
    """The accounts, sessions, tickets and keys of a history's database.

    Without `tickets` neither a ticket nor a session that one began lets anybody in: a server with accounts asks
    everybody for theirs. `clock` tells the time, for tests.
    """

    def __init__(
        self, history: History, clock: Callable[[], datetime] = lambda: datetime.now(UTC), *, tickets: bool = True
    ) -> None:
        self.history, self._clock, self._tickets = history, clock, tickets

    # -- accounts ------------------------------------------------------------------------------------------------

    def add_user(self, name: str, password: str, role: str = "analyst", desk: str = LOCAL, *, actor: str) -> User:
        """A new account. Raises UsageError for a name that is taken or does not fit, or a short password."""
        if not _NAME.fullmatch(name) or name == LOCAL:
            raise UsageError(
                f"an account cannot be called '{name}'", "", "Use small letters, digits, dots and hyphens; not 'local'."
            )
        _check_role(role)
        _check_desk(desk)
        kept = hashed(password)
        with self.history.writing() as session:
            if session.get(UserRow, name) is not None:
                raise ConflictError(
                    f"there is an account '{name}' already", "", "`fakelab users reset` sets its password."
                )
            session.add(UserRow(name=name, password=kept, role=role, desk=desk, created=self._now(), disabled=False))
            self.history.append(session, actor, "account added", "", {"account": name, "role": role, "desk": desk})
        return self.user(name)

    def reset_password(self, name: str, password: str, *, actor: str) -> None:
        """Gives an account another password; its sessions end."""
        self._change(name, "password reset", actor, password=hashed(password))

    def set_role(self, name: str, role: str, *, actor: str) -> None:
        """Gives an account another role; its sessions end."""
        _check_role(role)
        self._change(name, f"role set to {role}", actor, role=role)

    def disable(self, name: str, *, actor: str) -> None:
        """Ends an account's sessions, and lets it begin no more."""
        self._change(name, "account disabled", actor, disabled=True)

    def enable(self, name: str, *, actor: str) -> None:
        """Lets a disabled account sign in again."""
        self._change(name, "account enabled", actor, disabled=False)

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

    def sign_in(self, name: str, password: str, *, where: str = "") -> tuple[str, Who]:
        """A session's token for a name and its password.

        Raises NotSignedInError, which does not say which of the two was wrong, and TooManyError after ten failures in
        a quarter of an hour for the name or for `where` the request came from.
        """
        name = name.strip().lower()
        with self.history.writing() as session:
            tries = throttle.count(session, name, where, self._clock())
            row = session.get(UserRow, name) if _NAME.fullmatch(name) else None
        right = fits(row.password if row is not None else None, password)
        if row is None or row.disabled or not right:
            # What was typed for a name that there is not may be a password.
            self.history.note(row.name if row is not None else "unknown", "sign-in refused")
            raise _refused()
        better = hashed(password) if outdated(row.password) else row.password
        with self.history.writing() as session:
            # Disabled or given another password in the meantime: then this session must not begin.
            still = (UserRow.name == name, UserRow.password == row.password, UserRow.disabled.is_(False))
            if not session.execute(update(UserRow).where(*still).values(password=better)).rowcount:  # type: ignore[attr-defined]
                raise _refused()
            throttle.forget(session, name, tries)
            token = self._begin(session, name, "login")
        return token, self._who(token)

    def sign_in_as(self, name: str) -> tuple[str, Who]:
        """A session's token for an account that an identity provider vouches for. Raises DeniedError if disabled."""
        self.user(name)
        with self.history.writing() as session:
            still = (UserRow.name == name, UserRow.disabled.is_(False))
            if not session.scalar(select(func.count()).where(*still)):
                raise DeniedError(f"the account '{name}' is disabled", "", "Ask an admin.")
            token = self._begin(session, name, "oidc")
        return token, self._who(token)

    def sign_out(self, token: str) -> None:
        """Ends a session, if it is one."""
        with self.history.writing() as session:
            row = session.get(SessionRow, _sha256(token))
            if row is not None:
                session.delete(row)
                self.history.append(session, row.user, "signed out", "", {})

    def who_of_session(self, token: str) -> Who | None:
        """Who a session belongs to; None once it is over: 12 hours after its last use, 7 days after its start."""
        now = self._clock()
        with self.history.reading() as session:
            row = session.get(SessionRow, _sha256(token))
            user = session.get(UserRow, row.user) if row is not None else None
        if row is None or row.used <= rfc3339(now - IDLE) or row.created <= rfc3339(now - AGE):
            return None
        if row.via == "ticket" and not self._tickets:
            return None
        if row.via != "ticket" and (user is None or user.disabled):
            return None
        if row.used < rfc3339(now - _STEP):
            with self.history.writing() as session:
                session.execute(update(SessionRow).where(SessionRow.token == row.token).values(used=rfc3339(now)))
        if row.via == "ticket":
            return Who(LOCAL, LOCAL, "admin", ROLES["admin"], "ticket", _csrf(token))
        assert user is not None
        return Who(user.name, user.desk, user.role, ROLES[user.role], "login", _csrf(token))

    def _who(self, token: str) -> Who:
        who = self.who_of_session(token)
        if who is None:
            raise _refused()
        return who

    def _begin(self, session: Session, user: str, via: str) -> str:
        token = secrets.token_urlsafe(32)
        now = self._now()
        session.add(SessionRow(token=_sha256(token), user=user, via=via, created=now, used=now))
        self.history.append(session, user, "signed in", "", {"via": via})
        return token

    # -- tickets -------------------------------------------------------------------------------------------------

    def new_ticket(self) -> str:
        """A token that lets the person at this machine in, once, within 24 hours."""
        ticket = secrets.token_urlsafe(24)
        with self.history.writing() as session:
            session.add(TicketRow(ticket=_sha256(ticket), created=self._now()))
        return ticket

    def redeem(self, ticket: str) -> tuple[str, Who]:
        """A session for a ticket, which is used up by it. Raises NotSignedInError."""
        if not self._tickets:
            raise NotSignedInError("this server asks for an account", "", "Sign in with a name and a password.")
        query = delete(TicketRow).where(TicketRow.ticket == _sha256(ticket))
        query = query.where(TicketRow.created > rfc3339(self._clock() - TICKET_AGE))
        with self.history.writing() as session:
            if not session.execute(query).rowcount:  # type: ignore[attr-defined]
                raise NotSignedInError(
                    "this address was used already", "it lets one browser in, once", "Start `fakelab serve` again."
                )
            token = self._begin(session, LOCAL, "ticket")
        return token, self._who(token)

    # -- keys ----------------------------------------------------------------------------------------------------

    def add_key(
        self, name: str, scopes: Iterable[str], *, actor: str, desk: str = LOCAL, days: int | None = None
    ) -> tuple[str, Key]:
        """A key for a program: its secret, which is shown once, and the key.

        Raises UsageError, and ConflictError where another key of that name is in use: the log names keys by it.
        """
        name = name.strip()
        wanted = frozenset(scopes)
        for scope in wanted:
            if scope not in SCOPES:
                raise unknown_name("scope", scope, SCOPES)
        if not wanted or not 0 < len(name) <= 80 or not name.isprintable():
            raise UsageError("a key needs a name and a scope", "", f"Scopes are {', '.join(SCOPES)}.")
        _check_desk(desk)
        if days is not None and not 0 < days <= 36500:
            raise UsageError(f"a key cannot last {days} days", "", "Give 1 or more, or none for a key without an end.")
        key_id = new_id()[:10]
        secret = f"fl_{key_id}_{secrets.token_urlsafe(32)}"
        expires = rfc3339(self._clock() + timedelta(days=days)) if days else ""
        with self.history.writing() as session:
            in_use = select(KeyRow.id).where(KeyRow.name == name, KeyRow.revoked.is_(False))
            if session.scalar(in_use.limit(1)) is not None:
                raise ConflictError(f"there is a key '{name}' already", "", "Take another name, or revoke it.")
            session.add(
                KeyRow(
                    id=key_id,
                    secret=_sha256(secret),
                    name=name,
                    desk=desk,
                    scopes=" ".join(sorted(wanted)),
                    created=self._now(),
                    expires=expires,
                    used="",
                    revoked=False,
                )
            )
            detail = {"key": key_id, "name": name, "scopes": sorted(wanted), "desk": desk}
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
        parts = _SECRET.fullmatch(secret)
        if parts is None:
            return None
        now = self._now()
        with self.history.reading() as session:
            row = session.get(KeyRow, parts[1])
        if row is None or not hmac.compare_digest(row.secret, _sha256(secret)):
            return None
        if row.revoked or (row.expires and row.expires <= now):
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
            session.execute(delete(SessionRow).where(SessionRow.used <= rfc3339(now - IDLE)))
            session.execute(delete(SessionRow).where(SessionRow.created <= rfc3339(now - AGE)))
            session.execute(delete(TicketRow).where(TicketRow.created <= rfc3339(now - TICKET_AGE)))
            throttle.prune(session, now)

    def _now(self) -> str:
        return rfc3339(self._clock())


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise unknown_name("role", role, ROLES)


def _check_desk(desk: str) -> None:
    if not _NAME.fullmatch(desk):
        raise UsageError(f"a desk cannot be called '{desk}'", "", "Use small letters, digits, dots and hyphens.")


def _refused() -> NotSignedInError:
    return NotSignedInError("you are not signed in", "the name or the password is wrong", "Try again.")


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
