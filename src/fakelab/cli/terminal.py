"""What the verbs share on the terminal: running a Typer app, errors in three parts, safe names, progress bars."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import typer

from fakelab.errors import FakeLabError, UsageError, unknown_name

Progress = Callable[[str, int, int | None], None]
"""progress(stage, done, total)."""
_JOINERS = "\u200c\u200d"
"""Persian, Indic scripts and emoji need these two; every other invisible character can disguise a name."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a verb knows of its call."""

    debug: bool = False


def make_app(help_text: str) -> typer.Typer:
    """A Typer app with our ways: plain help, no shell completion, errors left to `fakelab.cli.main`."""
    return typer.Typer(
        help=help_text,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )


def run(app: typer.Typer, name: str, words: Sequence[str], debug: bool) -> int:
    """Runs an app of ours; returns the exit code that its function returned. Raises UsageError."""
    command = typer.main.get_command(app)
    try:
        with command.make_context(name, list(words), obj=Run(debug)) as context:
            code = command.invoke(context)
    except typer.Exit as leave:
        return leave.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.TyperException as error:
        raise UsageError(error.format_message().rstrip("."), "", f"'{name} --help' explains the command.") from error
    return code if isinstance(code, int) else 0


def safe(text: str) -> str:
    """The text on one line, with line breaks, control and direction-changing characters as visible escapes."""
    return "".join(
        c if c.isprintable() or c in _JOINERS else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def score(p_fake: float | None) -> str:
    """The score as a list shows it, in signs that every terminal has; a hyphen where there is none."""
    from fakelab.reports.words import percent

    return "-" if p_fake is None else percent(p_fake)


def print_error(error: FakeLabError) -> None:
    """Prints what failed, why, and what to do, to stderr."""
    print(f"Error: {safe(error.what)}", file=sys.stderr)
    if error.why:
        print(f"  Why: {safe(error.why)}", file=sys.stderr)
    if error.do:
        print(f"  Do:  {safe(error.do)}", file=sys.stderr)


def warn(text: str) -> None:
    """Prints a warning to stderr."""
    print(f"Warning: {safe(text)}", file=sys.stderr)


def one_of(kind: str, name: str, known: Sequence[str]) -> str:
    """The name, which must be known. Raises UnknownNameError, which names the nearest."""
    if name not in known:
        raise unknown_name(kind, name, known)
    return name


def shows_bars() -> bool:
    """Whether stderr is a terminal that can redraw a line."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") != "dumb"


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """A progress callback that draws a bar on stderr while the context lasts; without a terminal it does nothing."""
    if not shows_bars():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns: list[Any] = [TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()]
    # Transient: results printed afterwards stand alone.
    with Bar(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task(safe(title), total=None)

        def show(stage: str, done: int, total: int | None) -> None:
            drawn.update(task, description=f"{safe(title)}: {safe(stage)}", completed=done, total=total)

        yield show
