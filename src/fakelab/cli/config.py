"""``fakelab config``: every setting, its value, and where the value comes from."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from fakelab.cli.options import resolve
from fakelab.cli.terminal import make_app, one_of, safe
from fakelab.settings import origin, table

app = make_app("Show every setting, its value and where the value comes from.")


@app.callback()
def config() -> None:
    """Show every setting, its value and where the value comes from."""


@app.command("show")
def show(form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="text or json.")] = "text") -> int:
    """Print every setting: its value, where the value comes from, and what it means.

    A value comes from a flag, else from the environment variable, else it is the default.
    """
    one_of("format", form, ("text", "json"))
    settings = resolve()
    rows = table()
    values = settings.model_dump(mode="json")
    if form == "json":
        print(json.dumps({name: {"value": values[name], "from": origin(name)} for name in rows}, indent=2))
        return 0
    for name, row in rows.items():
        value = row.default if origin(name) == "default" and values[name] is None else str(values[name])
        print(f"{name:<10} = {safe(value)}  ({origin(name)})")
        ways = [row.flag.partition("/")[0], row.variable]
        print(f"             {row.help} Set it with {' or '.join(way for way in ways if way)}.")
    return 0
