"""Flags of the command line: those of the table of settings, and others whose default stands in their help."""

from __future__ import annotations

from typing import Any

import typer

from fakelab.cli.terminal import warn
from fakelab.settings import Settings, read_settings, table, unknown_variables


def setting_flag(name: str, metavar: str | None = None) -> Any:
    """The Typer option of the setting called `name`. Its value is None where the flag is not given."""
    row = table()[name]
    text = f"{row.help} [default: {row.default}; env: {row.variable}]"
    return typer.Option(row.flag, help=text, show_default=False, metavar=metavar)


def flag(name: str, metavar: str, help_text: str) -> Any:
    """A Typer option whose help says the default in its own words; an empty `metavar` is for one that is on or off."""
    return typer.Option(name, metavar=metavar or None, help=help_text, show_default=False)


def resolve(**flags: Any) -> Settings:
    """The settings of this run, with a warning for each environment variable that looks like ours and is not."""
    for name in unknown_variables():
        warn(f"the environment variable {name} is no setting of FakeLab; 'fakelab config show' lists them")
    return read_settings(**flags)
