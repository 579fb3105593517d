"""``fakelab users``: the accounts of a server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from fakelab.cli.runs import opened
from fakelab.cli.terminal import make_app, one_of
from fakelab.errors import UsageError

if TYPE_CHECKING:
    from fakelab.service.accounts import Accounts

app = make_app("The accounts of a server: add, reset, role, disable, enable, list.")
_NAME = typer.Argument(metavar="NAME", help="As `fakelab users list` shows it.")


@contextmanager
def accounts() -> Iterator[Accounts]:
    """The accounts of the settings' database."""
    from fakelab.service.accounts import Accounts

    with opened() as history:
        yield Accounts(history)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits, dots, hyphens.")],
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="viewer, analyst or admin.")] = "analyst",
    desk: Annotated[
        str, typer.Option("--desk", metavar="DESK", help="Accounts of one desk see the same records.")
    ] = "local",
) -> int:
    """Add an account. Its password is asked for, or read from one line of the standard input."""
    from fakelab.service.accounts import ROLES
    from fakelab.service.origin import who

    one_of("role", role, tuple(ROLES))
    with accounts() as kept:
        made = kept.add_user(name, _password(), role, desk, actor=who())
    print(f"{made.name}  {made.role}  {made.desk}")
    return 0


@app.command("reset")
def reset(name: Annotated[str, _NAME]) -> int:
    """Give an account another password; its sessions end."""
    from fakelab.service.origin import who

    with accounts() as kept:
        kept.user(name)
        kept.reset_password(name, _password(), actor=who())
    print(f"{name}: password set")
    return 0


@app.command("role")
def role(
    name: Annotated[str, _NAME],
    role: Annotated[str, typer.Argument(metavar="ROLE", help="viewer, analyst or admin.")],
) -> int:
    """Give an account another role; its sessions end."""
    from fakelab.service.origin import who

    with accounts() as kept:
        kept.set_role(name, role, actor=who())
    print(f"{name}: {role}")
    return 0


@app.command("disable")
def disable(name: Annotated[str, _NAME]) -> int:
    """End an account's sessions, and let it begin no more; what it did stays in the record."""
    from fakelab.service.origin import who

    with accounts() as kept:
        kept.disable(name, actor=who())
    print(f"{name}: disabled")
    return 0


@app.command("enable")
def enable(name: Annotated[str, _NAME]) -> int:
    """Let a disabled account sign in again."""
    from fakelab.service.origin import who

    with accounts() as kept:
        kept.enable(name, actor=who())
    print(f"{name}: enabled")
    return 0


@app.command("list")
def list_users(form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="text or json.")] = "text") -> int:
    """List the accounts."""
    one_of("format", form, ("text", "json"))
    with accounts() as kept:
        users = kept.users()
    if form == "json":
        print(json.dumps([asdict(each) for each in users], indent=2))
        return 0
    for each in users:
        print(f"{each.name:<24} {each.role:<8} {each.desk:<16} {'disabled' if each.disabled else ''}".rstrip())
    if not users:
        print("No account. `fakelab users add NAME --role admin` makes the first.", file=sys.stderr)
    return 0


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    import getpass

    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        raise UsageError("the passwords differ", "", "Type the same twice.")
    return first
