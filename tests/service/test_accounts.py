"""Accounts, sessions, tickets and keys: who is let in, who no longer, and what stands in the log and the tables."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from account_maker import OTHER, PASSWORD, Clock, actions, fail
from argon2 import PasswordHasher
from sqlalchemy import func, select, text

import analysis_maker as maker
from fakelab.errors import ConflictError, DeniedError, NotSignedInError, UnknownNameError, UsageError
from fakelab.service import accounts as module
from fakelab.service import passwords
from fakelab.service.accounts import ROLES, SCOPES, Accounts
from fakelab.service.audit import check
from fakelab.service.database import Base, KeyRow, SessionRow, SignInRow, TicketRow
from fakelab.service.history import History
from fakelab.service.runs import Search


def _count(history: History, table: type[Base]) -> int:
    with history.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def _everything(history: History) -> str:
    """All that the tables of accounts and the log hold, as one text."""
    with history.engine.connect() as connection:
        names = ("users", "sessions", "tickets", "api_keys", "sign_ins", "events")
        return "\n".join(str(tuple(row)) for name in names for row in connection.execute(text(f"SELECT * FROM {name}")))


# -- accounts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "local", "Ada", "a b", ".hidden", "a" * 65, "a\0", "ada\n", "größe", "a/b"])
def test_a_name_that_does_not_fit_is_refused(sqlite_history: History, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        Accounts(sqlite_history).add_user(name, PASSWORD, actor="cli")
    assert Accounts(sqlite_history).users() == []


@pytest.mark.parametrize(
    ("password", "role", "desk", "said"),
    [
        ("eleven char", "viewer", "local", "fewer than 12"),
        ("e" * 1025, "viewer", "local", "more than 1024"),
        (PASSWORD, "analist", "local", "Did you mean 'analyst'"),
        # An empty owner would be everybody's.
        (PASSWORD, "viewer", "", "desk"),
        (PASSWORD, "viewer", "A desk", "desk"),
    ],
)
def test_what_does_not_fit_an_account_is_refused(
    sqlite_history: History, password: str, role: str, desk: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        Accounts(sqlite_history).add_user("ada", password, role, desk, actor="cli")
    assert sqlite_history.events() == []


def test_accounts_are_listed_and_a_name_is_given_once(accounts: Accounts, history: History) -> None:
    accounts.add_user("1st.desk_x", PASSWORD, "viewer", actor="cli")
    assert [(each.name, each.role, each.desk, each.disabled) for each in accounts.users()] == [
        ("1st.desk_x", "viewer", "local", False),
        ("ada", "analyst", "verify", False),
    ]
    with pytest.raises(ConflictError, match="already"):
        accounts.add_user("ada", OTHER, "admin", actor="cli")
    assert accounts.sign_in("ada", PASSWORD)[1].role == "analyst"


def test_an_account_that_there_is_not_cannot_be_changed(accounts: Accounts) -> None:
    for change in (accounts.disable, accounts.enable):
        with pytest.raises(UnknownNameError, match="Did you mean 'ada'"):
            change("adda", actor="cli")
    with pytest.raises(UnknownNameError):
        accounts.reset_password("adda", PASSWORD, actor="cli")
    with pytest.raises(UnknownNameError):
        accounts.set_role("local", "viewer", actor="cli")


def test_passwords_are_kept_as_argon2id_with_the_rules_of_its_library() -> None:
    kept = passwords.hashed(PASSWORD)
    assert kept.startswith("$argon2id$") and PASSWORD not in kept
    assert passwords.hashed(PASSWORD) != kept
    assert not passwords.outdated(kept)
    assert passwords.fits(kept, PASSWORD) and not passwords.fits(kept, PASSWORD + "x")
    assert not passwords.fits(None, PASSWORD)


def test_a_password_is_the_same_from_another_keyboard_and_may_be_no_text(accounts: Accounts) -> None:
    accounts.add_user("eve", "caf\u00e9 caf\u00e9 caf\u00e9", actor="cli")
    assert accounts.sign_in("eve", "cafe\u0301 cafe\u0301 cafe\u0301")[1].name == "eve"
    accounts.add_user("bob", "caf\udce9" * 4, actor="cli")
    assert accounts.sign_in("bob", "caf\udce9" * 4)[1].name == "bob"


def test_a_password_that_only_begins_like_a_long_one_is_wrong(accounts: Accounts) -> None:
    accounts.add_user("eve", "e" * 1024, actor="cli")
    accounts.sign_in("eve", "e" * 1024)
    with pytest.raises(NotSignedInError):
        accounts.sign_in("eve", "e" * 1025)


def test_a_hash_by_weaker_rules_is_renewed_at_the_next_sign_in(
    accounts: Accounts, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    stronger = PasswordHasher(time_cost=2, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", lambda: stronger)
    accounts.sign_in("ada", PASSWORD)
    assert "t=2" in _everything(history)
    assert accounts.sign_in("ada", PASSWORD)[1].name == "ada"


# -- roles and scopes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        ("viewer", {"read"}),
        ("analyst", {"read", "analyse", "review"}),
        ("admin", {"read", "analyse", "review", "delete", "admin"}),
    ],
)
def test_a_role_may_what_its_table_says(accounts: Accounts, role: str, scopes: set[str]) -> None:
    accounts.set_role("ada", role, actor="cli")
    _, who = accounts.sign_in("ada", PASSWORD)
    assert who.scopes == ROLES[role] == scopes
    for scope in SCOPES:
        assert who.may(scope) is (scope in scopes)
        if scope in scopes:
            who.need(scope)
        else:
            with pytest.raises(DeniedError, match=f"right to {scope}"):
                who.need(scope)
    assert not who.may("everything")


def test_another_desk_sees_nothing_of_a_run(accounts: Accounts, history: History) -> None:
    accounts.add_user("bob", PASSWORD, "admin", "sports", actor="cli")
    accounts.add_user("cyd", PASSWORD, "viewer", "verify", actor="cli")
    ada, bob, cyd = (accounts.sign_in(name, PASSWORD)[1] for name in ("ada", "bob", "cyd"))
    run = history.add(maker.photo(), actor=ada.name, owner=ada.desk)
    assert history.get(run.id, owner=cyd.desk) == run
    with pytest.raises(UnknownNameError):
        history.get(run.id, owner=bob.desk)
    assert history.total(Search(owner=bob.desk)) == 0
    key, _ = accounts.add_key("cms", ["read"], desk="sports", actor="bob")
    of_key = accounts.who_of_key(key)
    assert of_key is not None and of_key.desk == bob.desk


# -- sessions --------------------------------------------------------------------------------------------------------


def test_a_name_and_its_password_begin_a_session(accounts: Accounts, history: History) -> None:
    token, who = accounts.sign_in(" Ada ", PASSWORD, where="192.0.2.7")
    assert (who.name, who.desk, who.role, who.via) == ("ada", "verify", "analyst", "login")
    assert accounts.who_of_session(token) == who
    assert accounts.sign_in("ada", PASSWORD)[0] != token
    accounts.sign_out(token)
    assert accounts.who_of_session(token) is None
    accounts.sign_out(token)
    accounts.sign_out("never was")
    assert actions(history) == [
        ("cli:root", "account added"),
        ("ada", "signed in"),
        ("ada", "signed in"),
        ("ada", "signed out"),
    ]


@pytest.mark.parametrize(
    ("name", "password"),
    [("ada", "wrong horse battery"), ("ada", ""), ("adda", PASSWORD), ("a\0da", PASSWORD), ("local", ""), ("", "")],
)
def test_what_is_wrong_is_not_said(accounts: Accounts, history: History, name: str, password: str) -> None:
    with pytest.raises(NotSignedInError, match="the name or the password is wrong"):
        accounts.sign_in(name, password)
    assert _count(history, SessionRow) == 0
    assert actions(history)[-1] == ("ada" if name == "ada" else "unknown", "sign-in refused")


def test_a_wrong_name_is_checked_as_a_wrong_password_is(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)

    class Watched:
        def hash(self, data: bytes) -> str:
            return hasher.hash(data)

        def verify(self, kept: str, data: bytes) -> bool:
            checked.append(kept.rpartition("$")[0].rpartition("$")[0])
            return hasher.verify(kept, data)

    monkeypatch.setattr(passwords, "_hasher", Watched)
    accounts.disable("ada", actor="cli")
    for name in ("ada", "nobody", "Not A Name"):
        with pytest.raises(NotSignedInError):
            accounts.sign_in(name, OTHER)
    # One check each, by the same rules.
    assert len(checked) == 3 and len(set(checked)) == 1


def test_neither_secrets_nor_addresses_are_kept(accounts: Accounts, history: History) -> None:
    token, who = accounts.sign_in("ada", PASSWORD, where="192.0.2.7")
    ticket = accounts.new_ticket()
    secret, _ = accounts.add_key("cms", ["read"], actor="ada")
    with pytest.raises(NotSignedInError):
        accounts.sign_in("my secret phrase", OTHER, where="192.0.2.7")
    kept = _everything(history)
    assert hashlib.sha256(token.encode()).hexdigest() in kept
    for each in (token, who.csrf, ticket, secret, PASSWORD, OTHER, "192.0.2.7", "my secret phrase"):
        assert each not in kept


def test_a_session_ends_twelve_hours_after_its_last_use(accounts: Accounts, clock: Clock) -> None:
    token, who = accounts.sign_in("ada", PASSWORD)
    for _ in range(3):
        clock.turn(hours=11, minutes=59)
        assert accounts.who_of_session(token) == who
    clock.turn(hours=12)
    assert accounts.who_of_session(token) is None


def test_a_session_ends_after_a_week_however_much_it_is_used(accounts: Accounts, clock: Clock) -> None:
    token, _ = accounts.sign_in("ada", PASSWORD)
    for _ in range(20):
        clock.turn(hours=8)
        assert accounts.who_of_session(token) is not None
    clock.turn(hours=8)
    assert accounts.who_of_session(token) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda accounts: accounts.reset_password("ada", OTHER, actor="cli"),
        lambda accounts: accounts.disable("ada", actor="cli"),
    ],
    ids=["reset", "disabled"],
)
def test_all_sessions_of_an_account_end_with_it(accounts: Accounts, change: Callable[[Accounts], None]) -> None:
    accounts.add_user("bob", PASSWORD, actor="cli")
    tokens = [accounts.sign_in("ada", PASSWORD)[0] for _ in range(2)]
    others, _ = accounts.sign_in("bob", PASSWORD)
    change(accounts)
    assert [accounts.who_of_session(each) for each in tokens] == [None, None]
    assert accounts.who_of_session(others) is not None
    with pytest.raises(NotSignedInError):
        accounts.sign_in("ada", PASSWORD)


def test_a_disabled_account_signs_in_again_once_it_is_enabled(accounts: Accounts) -> None:
    token, _ = accounts.sign_in("ada", PASSWORD)
    accounts.disable("ada", actor="cli")
    assert accounts.users()[0].disabled
    with pytest.raises(NotSignedInError):
        accounts.sign_in("ada", PASSWORD)
    assert actions(accounts.history)[-1] == ("ada", "sign-in refused")
    accounts.enable("ada", actor="cli")
    assert accounts.who_of_session(token) is None
    assert accounts.sign_in("ada", PASSWORD)[1].name == "ada"


def test_no_session_begins_with_a_password_that_is_reset_meanwhile(
    accounts: Accounts, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(kept: str | None, password: str) -> bool:
        accounts.reset_password("ada", OTHER, actor="cli")
        return passwords.fits(kept, password)

    monkeypatch.setattr(module, "fits", slow)
    with pytest.raises(NotSignedInError):
        accounts.sign_in("ada", PASSWORD)
    assert _count(history, SessionRow) == 0


def test_the_token_of_forms_is_the_sessions_own(accounts: Accounts) -> None:
    token, who = accounts.sign_in("ada", PASSWORD)
    _, again = accounts.sign_in("ada", PASSWORD)
    assert len(who.csrf) == 40 and who.csrf != again.csrf
    assert who.csrf not in token and token not in who.csrf
    found = accounts.who_of_session(token)
    assert found is not None and found.csrf == who.csrf


# -- tickets ---------------------------------------------------------------------------------------------------------


def test_a_ticket_lets_one_browser_in_once(accounts: Accounts, history: History) -> None:
    ticket = accounts.new_ticket()
    token, who = accounts.redeem(ticket)
    assert (who.name, who.desk, who.role, who.via) == ("local", "local", "admin", "ticket")
    assert who.scopes == set(SCOPES) and who.csrf
    assert accounts.who_of_session(token) == who
    for wrong in (ticket, "", "nothing", "\0"):
        with pytest.raises(NotSignedInError, match="used already"):
            accounts.redeem(wrong)
    assert actions(history)[-1] == ("local", "signed in")


def test_two_browsers_at_once_are_not_both_let_in(accounts: Accounts) -> None:
    ticket = accounts.new_ticket()

    def enter(_: int) -> bool:
        try:
            accounts.redeem(ticket)
        except NotSignedInError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(enter, range(8))) == 1


def test_a_ticket_is_good_for_a_day(accounts: Accounts, clock: Clock) -> None:
    early, late = accounts.new_ticket(), accounts.new_ticket()
    clock.turn(hours=23, minutes=59)
    accounts.redeem(early)
    clock.turn(minutes=1)
    with pytest.raises(NotSignedInError):
        accounts.redeem(late)


def test_a_server_with_accounts_takes_no_ticket_nor_what_one_began(
    accounts: Accounts, history: History, clock: Clock
) -> None:
    token, _ = accounts.redeem(accounts.new_ticket())
    ticket = accounts.new_ticket()
    strict = Accounts(history, clock, tickets=False)
    assert strict.who_of_session(token) is None
    with pytest.raises(NotSignedInError, match="account"):
        strict.redeem(ticket)
    assert strict.who_of_session(strict.sign_in("ada", PASSWORD)[0]) is not None
    assert accounts.redeem(ticket)[1].name == "local"


# -- all together ----------------------------------------------------------------------------------------------------


def test_what_is_over_is_taken_away_and_nothing_else(accounts: Accounts, history: History, clock: Clock) -> None:
    accounts.sign_in("ada", PASSWORD)
    accounts.new_ticket()
    fail(accounts, 1, where="192.0.2.7")
    clock.turn(hours=13)
    token, who = accounts.sign_in("ada", PASSWORD)
    accounts.add_key("cms", ["read"], days=1, actor="ada")
    fail(accounts, 1, where="192.0.2.7")
    accounts.prune()
    assert (_count(history, SessionRow), _count(history, TicketRow), _count(history, SignInRow)) == (1, 1, 2)
    assert accounts.who_of_session(token) == who
    clock.turn(days=8)
    accounts.prune()
    assert (_count(history, SessionRow), _count(history, TicketRow), _count(history, SignInRow)) == (0, 0, 0)
    # A key that is over stays in the list, so that what it did can be told.
    assert _count(history, KeyRow) == 1 and len(accounts.users()) == 1


def test_every_event_of_accounts_is_in_the_chain(accounts: Accounts, history: History) -> None:
    token, _ = accounts.sign_in("ada", PASSWORD, where="192.0.2.7")
    fail(accounts, 1, where="192.0.2.7")
    accounts.sign_out(token)
    accounts.redeem(accounts.new_ticket())
    accounts.set_role("ada", "admin", actor="cli")
    accounts.reset_password("ada", OTHER, actor="cli")
    _, key = accounts.add_key("cms", ["read"], actor="ada")
    accounts.revoke(key.id, actor="ada")
    accounts.disable("ada", actor="cli")
    run = history.add(maker.photo(), actor="ada", owner="verify")
    found = check(history)
    assert (found.events, found.runs, found.faults) == (len(actions(history)), 1, ())
    assert [action for _, action in actions(history)] == [
        "account added",
        "signed in",
        "sign-in refused",
        "signed out",
        "signed in",
        "role set to admin",
        "password reset",
        "key added",
        "key revoked",
        "account disabled",
        "created",
    ]
    assert [each.run for each in history.events(run.id)] == [run.id]
    with history.engine.begin() as connection:
        connection.execute(text("DELETE FROM events WHERE action = 'sign-in refused'"))
    assert "missing" in check(history).faults[0]
