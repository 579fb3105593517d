"""How often somebody may fail to sign in: by name, by address, on several servers, and many at once."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
from account_maker import PASSWORD, Clock, actions, fail

from fakelab.errors import NotSignedInError, TooManyError
from fakelab.service.accounts import Accounts
from fakelab.service.history import History


def test_ten_failures_bar_the_name_for_a_while_on_every_server(
    accounts: Accounts, history: History, clock: Clock
) -> None:
    fail(accounts, 5)
    clock.turn(minutes=5)
    fail(accounts, 5)
    other_server = Accounts(history, clock)
    for each in (accounts, other_server):
        with pytest.raises(TooManyError, match="Try again in 10 minutes") as caught:
            each.sign_in("ada", PASSWORD)
        assert caught.value.retry_after_s == 600
        assert pickle.loads(pickle.dumps(caught.value)).retry_after_s == 600
    # What is barred is not tried, and not logged: the log does not grow by it.
    assert len(actions(history)) == 11
    clock.turn(minutes=9, seconds=59)
    with pytest.raises(TooManyError):
        accounts.sign_in("ada", PASSWORD)
    clock.turn(seconds=1)
    assert accounts.sign_in("ada", PASSWORD)[1].name == "ada"


def test_a_name_that_there_is_not_is_barred_in_the_same_way(accounts: Accounts) -> None:
    fail(accounts, 10, "nobody")
    with pytest.raises(TooManyError):
        accounts.sign_in("nobody", PASSWORD)
    assert accounts.sign_in("ada", PASSWORD)[1].name == "ada"


@pytest.mark.parametrize(
    ("where", "same", "other"),
    [
        ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"),
        ("2001:db8::1", "2001:db8::abcd:1", "2001:db8:0:1::1"),
        ("fe80::1%eth0", "fe80::2%eth1", "fe81::1"),
        ("unix", "unix", "testclient"),
    ],
)
def test_ten_failures_bar_the_address_whatever_the_name(accounts: Accounts, where: str, same: str, other: str) -> None:
    for number in range(10):
        fail(accounts, 1, f"name{number}", where)
    with pytest.raises(TooManyError):
        accounts.sign_in("ada", PASSWORD, where=same)
    assert accounts.sign_in("ada", PASSWORD, where=other)[1].name == "ada"


def test_success_forgives_the_name_but_not_the_address(accounts: Accounts) -> None:
    accounts.add_user("bob", PASSWORD, actor="cli")
    fail(accounts, 9, "ada", "192.0.2.7")
    accounts.sign_in("ada", PASSWORD, where="192.0.2.7")
    accounts.sign_in("ada", PASSWORD, where="192.0.2.7")
    fail(accounts, 9, "ada", "192.0.2.8")
    fail(accounts, 1, "bob", "192.0.2.7")
    with pytest.raises(TooManyError):
        accounts.sign_in("bob", PASSWORD, where="192.0.2.7")


def test_many_tries_at_once_do_not_slip_through(accounts: Accounts) -> None:
    def guess(number: int) -> str:
        try:
            accounts.sign_in("ada", f"guess number {number}")
        except (NotSignedInError, TooManyError) as error:
            return error.code
        return "in"

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(guess, range(24)))
    assert sorted(codes) == ["notsignedin"] * 10 + ["toomany"] * 14
