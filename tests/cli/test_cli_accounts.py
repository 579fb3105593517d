"""`fakelab users` and `fakelab keys`: what they print, what they ask for, and what they never take as an argument."""

from __future__ import annotations

import getpass
import io
import json
import sys
from collections.abc import Callable

import pytest

from fakelab.cli import main
from fakelab.errors import NotSignedInError
from fakelab.service.accounts import Accounts
from fakelab.service.history import History

PASSWORD = "correct horse battery"


@pytest.fixture
def accounts(kept: History) -> Accounts:
    """The accounts that the command line changes."""
    return Accounts(kept)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """typed(text) is what comes on the standard input, which is no terminal."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """terminal("a", "b") answers to questions without echo; the list that comes out tells what was asked."""

    def answer(*words: str) -> list[str]:
        asked: list[str] = []
        left = list(words)

        def ask(prompt: str) -> str:
            asked.append(prompt)
            return left.pop(0)

        stdin = io.StringIO()
        stdin.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(getpass, "getpass", ask)
        return asked

    return answer


def test_an_account_is_made_with_a_password_from_the_standard_input(
    accounts: Accounts, typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed(f"{PASSWORD}\nanother line\n")
    assert main(["users", "add", "ada", "--role", "admin", "--desk", "verify"]) == 0
    assert capsys.readouterr().out == "ada  admin  verify\n"
    who = accounts.sign_in("ada", PASSWORD)[1]
    assert (who.role, who.desk) == ("admin", "verify")
    assert accounts.history.events()[0].actor.startswith("cli")


def test_on_a_terminal_the_password_is_asked_for_twice(
    accounts: Accounts, terminal: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = terminal(PASSWORD, PASSWORD)
    assert main(["users", "add", "ada"]) == 0
    assert len(asked) == 2 and PASSWORD not in "".join(capsys.readouterr())
    assert accounts.sign_in("ada", PASSWORD)[1].role == "analyst"
    terminal(PASSWORD, PASSWORD + "x")
    assert main(["users", "add", "bob"]) == 2
    assert "the passwords differ" in capsys.readouterr().err
    assert [each.name for each in accounts.users()] == ["ada"]


def test_nothing_is_asked_where_it_would_be_in_vain(
    accounts: Accounts, terminal: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = terminal()
    assert main(["users", "add", "ada", "--role", "boss"]) == 2
    assert main(["users", "reset", "nobody"]) == 2
    assert asked == []
    err = capsys.readouterr().err
    assert "no role is called 'boss'" in err and "no account is called 'nobody'" in err
    assert accounts.users() == []


def test_no_password_is_taken_from_the_command_line(typed: Callable[[str], None]) -> None:
    typed(f"{PASSWORD}\n")
    assert main(["users", "add", "ada", "--password", PASSWORD]) == 2
    assert main(["users", "add", "ada", PASSWORD]) == 2


@pytest.mark.parametrize("line", ["", "\n", "short\n"])
def test_a_password_that_is_too_short_is_told(
    line: str, accounts: Accounts, typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed(line)
    assert main(["users", "add", "ada"]) == 2
    assert "fewer than 12 characters" in capsys.readouterr().err
    assert accounts.users() == []


def test_an_account_is_given_another_password_and_role_disabled_and_enabled(
    accounts: Accounts, typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    accounts.add_user("ada", PASSWORD, actor="test")
    token, _ = accounts.sign_in("ada", PASSWORD)
    typed("staple of a bookbinder\n")
    assert main(["users", "reset", "ada"]) == 0
    assert accounts.who_of_session(token) is None
    assert main(["users", "role", "ada", "viewer"]) == 0
    assert accounts.sign_in("ada", "staple of a bookbinder")[1].role == "viewer"
    assert main(["users", "disable", "ada"]) == 0
    with pytest.raises(NotSignedInError):
        accounts.sign_in("ada", "staple of a bookbinder")
    assert capsys.readouterr().out == "ada: password set\nada: viewer\nada: disabled\n"
    assert main(["users", "list"]) == 0
    assert capsys.readouterr().out.split() == ["ada", "viewer", "local", "disabled"]
    assert main(["users", "enable", "ada"]) == 0
    assert accounts.sign_in("ada", "staple of a bookbinder")[1].name == "ada"


def test_accounts_are_listed_as_json_without_anything_secret(
    accounts: Accounts, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["users", "list"]) == 0
    assert "No account" in capsys.readouterr().err
    made = accounts.add_user("ada", PASSWORD, actor="test")
    assert main(["users", "list", "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row == {"name": "ada", "role": "analyst", "desk": "local", "created": made.created, "disabled": False}


def test_a_keys_secret_is_printed_once_and_alone(accounts: Accounts, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["keys", "add", "cms", "--scope", "read", "--scope", "analyse", "--desk", "verify", "--days", "30"]
    assert main(words) == 0
    said = capsys.readouterr()
    secret = said.out.strip()
    assert said.out == f"{secret}\n" and said.err == ""
    who = accounts.who_of_key(secret)
    assert who is not None and (who.desk, who.scopes) == ("verify", {"read", "analyse"})
    assert main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert "analyse,read" in listed and "until" in listed and secret not in listed
    assert main(["keys", "list", "--format", "json"]) == 0
    out = capsys.readouterr().out
    (row,) = json.loads(out)
    assert (row["name"], row["scopes"], row["revoked"]) == ("cms", ["analyse", "read"], False)
    assert secret.rpartition("_")[2] not in out and "secret" not in row
    assert main(["keys", "revoke", row["id"]]) == 0
    assert accounts.who_of_key(secret) is None
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    assert "revoked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["keys", "add", "cms"], "--scope"),
        (["keys", "add", "cms", "--scope", "read", "--days", "0"], "--days"),
        (["keys", "list", "--format", "csv"], "Did you mean"),
        (["users", "list", "--format", "csv"], "Did you mean"),
    ],
)
def test_a_wrong_word_is_told(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["keys", "add", "cms", "--scope", "raed"], "Did you mean 'read'"),
        (["keys", "revoke", "nothing"], "no key is called 'nothing'"),
        (["users", "role", "nobody", "viewer"], "no account is called"),
        (["users", "disable", "nobody"], "no account is called"),
    ],
)
def test_what_the_accounts_do_not_know_is_told_and_nothing_is_changed(
    words: list[str], said: str, accounts: Accounts, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err
    assert accounts.keys() == [] and accounts.history.head()[0] == 0
