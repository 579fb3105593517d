"""The reference pages, made from the code: ``python -m fakelab.cli.docs [--check]``, run from the project's root."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from fakelab.cli import EXIT_CODES, VERBS
from fakelab.settings import table

_MADE = "<!-- Made by `make docs` from the code: edit the code, not this page. -->"


def cli_page() -> str:
    """docs/reference/cli.md: every command with its arguments, options and exit codes."""
    lines = ["# Command line", "", _MADE, "", "```", "fakelab [--debug] [--version] [--help] COMMAND ...", "```", ""]
    lines += [
        "Results go to stdout, progress and warnings to stderr. Without a terminal no bars are drawn, and `NO_COLOR`"
    ]
    lines += ["is honoured. `--debug` (or `FAKELAB_DEBUG=1`) shows where in the code an error came from.", ""]
    lines += ["| exit code | meaning |", "|---|---|", *(f"| {code} | {text} |" for code, text in EXIT_CODES.items())]
    for verb, (module, _) in VERBS.items():
        command: Any = typer.main.get_command(import_module(module).app)
        for name, each in _commands(f"fakelab {verb}", command):
            lines += ["", f"## {name}", "", *_command(name, each)]
    return "\n".join(lines) + "\n"


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    below: dict[str, Any] = getattr(command, "commands", {})
    if not below:
        yield name, command
    for key, each in below.items():
        yield from _commands(f"{name} {key}", each)


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    usage = " ".join([name, *(["[OPTIONS]"] if options else []), *map(_shown, arguments)])
    yield from ("```", usage, "```", "", *(line.strip() for line in command.help.strip().splitlines()))
    if arguments or options:
        yield from ("", "| | |", "|---|---|")
    for each in arguments:
        yield f"| `{_cell(_shown(each))}` | {_cell(each.help)} |"
    for each in options:
        names = "`, `".join([*each.opts, *each.secondary_opts])
        value = f" {each.metavar}" if each.metavar else ""
        default = f" [default: {each.default}]" if each.show_default is not False and each.default else ""
        required = " (required)" if each.required else ""
        yield f"| `{_cell(names + value)}` | {_cell(each.help)}{default}{required} |"


def _shown(argument: Any) -> str:
    name = f"{argument.metavar}..." if argument.nargs == -1 else str(argument.metavar)
    return name if argument.required else f"[{name}]"


def settings_page() -> str:
    """docs/reference/settings.md: every setting with its flag, environment variable and default."""
    lines = ["# Settings", "", _MADE, ""]
    lines += [
        "A flag goes before the environment variable, and that before the default. `fakelab config show` prints the"
    ]
    lines += ["values that hold now, and where each comes from.", ""]
    lines += ["| setting | flag | environment variable | default | meaning |", "|---|---|---|---|---|"]
    for row in table().values():
        flag = f"`{row.flag}`" if row.flag else ""
        lines.append(f"| {row.name} | {flag} | `{row.variable}` | {row.default} | {_cell(row.help)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/cli.md": cli_page,
    "docs/reference/settings.md": settings_page,
}


def stale(root: Path) -> list[str]:
    """The pages below `root` that are not what the code says now."""
    return [
        page
        for page, make in PAGES.items()
        if not (root / page).is_file() or (root / page).read_text(encoding="utf-8") != make()
    ]


def write(root: Path) -> None:
    """Writes every page below `root`."""
    for page, make in PAGES.items():
        (root / page).parent.mkdir(parents=True, exist_ok=True)
        (root / page).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    if "--check" in sys.argv:
        old = stale(Path())
        if old:
            sys.exit(f"out of date: {', '.join(old)}; run 'make docs'")
    else:
        write(Path())
