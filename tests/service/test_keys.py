"""Keys of programs: what they may, when they end, and what is known of their use."""

from __future__ import annotations

import pytest
from account_maker import Clock, actions

from fakelab.errors import ConflictError, DeniedError, UnknownNameError, UsageError
from fakelab.service.accounts import Accounts
from fakelab.service.history import History


def test_a_key_may_what_its_scopes_say(accounts: Accounts, history: History) -> None:
    secret, key = accounts.add_key(" cms ", ["read", "analyse"], desk="verify", actor="ada")
    assert secret.startswith(f"fl_{key.id}_") and len(secret) > len(f"fl_{key.id}_") + 40
    who = accounts.who_of_key(secret)
    assert who is not None
    assert (who.name, who.desk, who.via, who.csrf) == ("key:cms", "verify", "key", "")
    assert who.scopes == {"read", "analyse"}
    with pytest.raises(DeniedError, match="delete"):
        who.need("delete")
    may_delete = accounts.who_of_key(accounts.add_key("sweeper", ["delete"], actor="ada")[0])
    assert may_delete is not None and may_delete.scopes == {"delete"}
    assert actions(history)[-2:] == [("ada", "key added"), ("ada", "key added")]


def test_only_the_whole_secret_is_the_key(accounts: Accounts) -> None:
    secret, key = accounts.add_key("cms", ["read"], actor="ada")
    other, _ = accounts.add_key("cms2", ["read"], actor="ada")
    swapped = f"fl_{key.id}_{other[14:]}"
    last = "A" if secret[-1] != "A" else "B"
    wrong = ["", "fl", "fl__", f"fl_{key.id}_", key.id, secret[:-1], secret[:-1] + last, secret + "A", f" {secret}"]
    for each in [*wrong, secret.replace("fl_", "FL_"), swapped, f"fl_{key.id}\0_x", "fl_zzzzzzzzzz" + secret[13:]]:
        assert accounts.who_of_key(each) is None, each
    assert accounts.who_of_key(secret) is not None


def test_a_key_ends_when_it_expires_or_is_revoked(accounts: Accounts, clock: Clock, history: History) -> None:
    short, key = accounts.add_key("short", ["read"], days=30, actor="ada")
    long, other = accounts.add_key("long", ["read"], actor="ada")
    assert key.expires.startswith("2026-04-13T") and other.expires == ""
    clock.turn(days=29, hours=23)
    assert accounts.who_of_key(short) is not None
    clock.turn(hours=1)
    assert accounts.who_of_key(short) is None
    assert accounts.who_of_key(long) is not None
    accounts.revoke(other.id, actor="bob")
    assert accounts.who_of_key(long) is None
    listed = accounts.keys()
    assert {each.name: each.revoked for each in listed} == {"short": False, "long": True}
    assert actions(history)[-1] == ("bob", "key revoked")
    with pytest.raises(UnknownNameError):
        accounts.revoke("nothing", actor="bob")


def test_the_last_use_of_a_key_is_known_by_the_day(accounts: Accounts, clock: Clock) -> None:
    secret, _ = accounts.add_key("cms", ["read"], actor="ada")
    assert accounts.keys()[0].used == ""
    accounts.who_of_key(secret[:-1])
    assert accounts.keys()[0].used == ""
    for _ in range(2):
        accounts.who_of_key(secret)
        assert accounts.keys()[0].used == "2026-03-14"
    clock.turn(days=1)
    accounts.who_of_key(secret)
    assert accounts.keys()[0].used == "2026-03-15"


def test_two_keys_in_use_never_share_a_name(accounts: Accounts) -> None:
    _, key = accounts.add_key("cms", ["read"], actor="ada")
    with pytest.raises(ConflictError, match="already"):
        accounts.add_key("cms", ["read"], actor="ada")
    accounts.revoke(key.id, actor="ada")
    assert accounts.add_key("cms", ["read"], actor="ada")[1].id != key.id


@pytest.mark.parametrize(
    ("name", "scopes", "desk", "days", "said"),
    [
        ("cms", [], "local", None, "name and a scope"),
        ("  ", ["read"], "local", None, "name and a scope"),
        ("a\nb", ["read"], "local", None, "name and a scope"),
        ("a" * 81, ["read"], "local", None, "name and a scope"),
        ("cms", ["raed"], "local", None, "Did you mean 'read'"),
        ("cms", ["read"], "", None, "desk"),
        ("cms", ["read"], "local", 0, "0 days"),
        ("cms", ["read"], "local", 10**9, "days"),
    ],
)
def test_a_key_that_does_not_fit_is_refused(
    sqlite_history: History, name: str, scopes: list[str], desk: str, days: int | None, said: str
) -> None:
    accounts = Accounts(sqlite_history)
    with pytest.raises(UsageError, match=said):
        accounts.add_key(name, scopes, desk=desk, days=days, actor="cli")
    assert accounts.keys() == []
