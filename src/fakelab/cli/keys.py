"""``fakelab keys``: keys with which programs use a server."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from fakelab.cli.terminal import make_app, one_of, safe
from fakelab.cli.users import accounts

app = make_app("Keys with which programs use a server: add, list, revoke.")


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.")],
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope", metavar="SCOPE", help="read, analyse, review, delete or admin; may be given several times."
        ),
    ],
    desk: Annotated[str, typer.Option("--desk", metavar="DESK", help="The desk whose records it sees.")] = "local",
    days: Annotated[
        int | None, typer.Option("--days", metavar="N", min=1, help="Days until it ends; never without.")
    ] = None,
) -> int:
    """Add a key, and print its secret: only now, since only its hash is kept."""
    from fakelab.service.origin import who

    with accounts() as kept:
        secret, _ = kept.add_key(name, scope, actor=who(), desk=desk, days=days)
    print(secret)
    return 0


@app.command("list")
def list_keys(form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="text or json.")] = "text") -> int:
    """List the keys, without their secrets."""
    one_of("format", form, ("text", "json"))
    with accounts() as kept:
        keys = kept.keys()
    if form == "json":
        print(json.dumps([asdict(each) | {"scopes": sorted(each.scopes)} for each in keys], indent=2))
        return 0
    for each in keys:
        state = "revoked" if each.revoked else f"until {each.expires[:10]}" if each.expires else ""
        used = f"used {each.used}" if each.used else "never used"
        scopes = ",".join(sorted(each.scopes))
        print(f"{each.id}  {safe(each.name):<24} {scopes:<24} {each.desk:<12} {used}  {state}".rstrip())
    if not keys:
        print("No key.", file=sys.stderr)
    return 0


@app.command("revoke")
def revoke(key: Annotated[str, typer.Argument(metavar="ID", help="As `fakelab keys list` shows it.")]) -> int:
    """End a key."""
    from fakelab.service.origin import who

    with accounts() as kept:
        kept.revoke(key, actor=who())
    print(f"{key}: revoked")
    return 0
