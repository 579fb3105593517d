"""The command line: one file per verb, each a Typer app that is loaded only when its verb is called.

Results go to stdout, progress and warnings to stderr. This module imports nothing but the standard library and the
error tree, so that ``fakelab --help`` answers at once.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from fakelab import __version__
from fakelab.errors import EnvironmentBrokenError, FakeLabError, unknown_name

if TYPE_CHECKING:
    from typer import Typer

VERBS: dict[str, tuple[str, str]] = {
    "analyze": (
        "fakelab.cli.analyze",
        "Say how strong the evidence is that a face or a voice in a file was manipulated.",
    ),
    "history": ("fakelab.cli.history", "List the analyses that were made: search, filter, export, check, delete."),
    "show": ("fakelab.cli.show", "Show one of them; add tags and your own conclusion."),
    "report": ("fakelab.cli.report", "Write a signed report of one."),
    "verify-report": ("fakelab.cli.verify_report", "Check a signed report, and do its run again."),
    "rescore": ("fakelab.cli.rescore", "Do old ones again with another model; list the verdicts that changed."),
    "serve": ("fakelab.cli.serve", "Open the pages and the REST interface on this machine."),
    "worker": ("fakelab.cli.worker", "Analyse what servers took in (needs PostgreSQL)."),
    "users": ("fakelab.cli.users", "The accounts of a server: add, reset, role, disable, list."),
    "keys": ("fakelab.cli.keys", "Keys with which programs use a server: add, list, revoke."),
    "models": ("fakelab.cli.models", "List the models, show a model's card, check the weights."),
    "data": ("fakelab.cli.data", "Make data sets: list files with labels, join, split, cut faces, count."),
    "train": ("fakelab.cli.train", "Train a detector (needs the extra 'train')."),
    "distil": ("fakelab.cli.distil", "Give a network a start for training (needs the extra 'train')."),
    "train-voice": ("fakelab.cli.train_voice", "Train a model of voices (needs the extra 'train')."),
    "train-photo": ("fakelab.cli.train_photo", "Train a model of generated photos (needs the extra 'train')."),
    "train-lips": ("fakelab.cli.train_lips", "Learn how lips go with sound (needs the extra 'train')."),
    "search": ("fakelab.cli.search", "Search for the settings of a training (needs the extra 'train')."),
    "evaluate": ("fakelab.cli.evaluate", "Measure a model on files whose truth is known."),
    "robustness": ("fakelab.cli.robustness", "Measure a model on degraded copies of such files."),
    "calibrate": ("fakelab.cli.calibrate", "Fill in a model's card from such measurements."),
    "config": ("fakelab.cli.config", "Show every setting, its value and where the value comes from."),
    "doctor": ("fakelab.cli.doctor", "Check the installation: what works, what is missing, how decoding is confined."),
}
"""Verb -> the module whose `app` it is, and the line that the help shows."""

EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "a file reached the level of --fail-on (even if other files could not be analysed)",
    2: "wrong usage: a flag, a name or a value that does not fit",
    3: "some files could not be analysed",
    4: "no file could be analysed, or the installation is broken",
    130: "interrupted from the keyboard",
    141: "whoever read the output stopped reading",
}

_HELP = """\
Usage: fakelab [--debug] COMMAND ...

Says how strong the evidence is that a face in a video or photo was manipulated, and why. Nothing leaves this machine.

Commands:
{verbs}

Options:
  --debug     show where in the code an error came from (or set FAKELAB_DEBUG=1)
  --version   print the version
  -h, --help  print this; 'fakelab COMMAND --help' explains a command

Exit codes:
{codes}
"""


def help_text() -> str:
    """What ``fakelab --help`` prints."""
    verbs = "\n".join(f"  {name:<14} {line}" for name, (_, line) in VERBS.items())
    codes = "\n".join(f"  {code:>3}  {line}" for code, line in EXIT_CODES.items())
    return _HELP.format(verbs=verbs, codes=codes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code, having printed any error to stderr.

    Without `arguments` it runs that of the process, whose end is near then: nothing is tidied up that ends with it.
    """
    try:
        return _run(arguments)
    finally:
        if arguments is None and "torch" not in sys.modules:
            # Else Python would search all that the libraries made for garbage, only to let go of it. Torch's own
            # libraries complain at length about what was not let go of, and its verbs take minutes anyway.
            gc.freeze()


def _run(arguments: Sequence[str] | None) -> int:
    words, debug = _take_debug(list(sys.argv[1:] if arguments is None else arguments))
    for stream in (sys.stdout, sys.stderr):
        # File names may hold bytes that no encoding knows: better shown as escapes than as a crash.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    try:
        code = _dispatch(words, debug)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Python flushes stdout once more at exit, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    except FakeLabError as error:
        return _report(error, debug)
    except ModuleNotFoundError as error:
        return _report(_missing(error), debug)
    except Exception as error:
        return _report_bug(error, debug)


def _dispatch(words: list[str], debug: bool) -> int:
    match words:
        case []:
            print(help_text(), end="", file=sys.stderr)
            return 2
        case ["--help" | "-h" | "help", *_]:
            print(help_text(), end="")
            return 0
        case ["--version", *_]:
            print(f"fakelab {__version__}")
            return 0
        case [verb, *rest]:
            if verb not in VERBS:
                raise unknown_name("option" if verb.startswith("-") else "command", verb, _words_for(verb))
            app: Typer = import_module(VERBS[verb][0]).app
            from fakelab.cli.terminal import run

            return run(app, f"fakelab {verb}", rest, debug)
    raise AssertionError(words)


def _words_for(verb: str) -> list[str]:
    return ["--debug", "--help", "--version"] if verb.startswith("-") else list(VERBS)


def _take_debug(words: list[str]) -> tuple[list[str], bool]:
    """The words without ``--debug``, which may stand anywhere before a lone ``--``, and whether it is asked for.

    The environment is read here, not by `fakelab.settings`, which must be able to fail with a traceback.
    """
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--debug"]
    wished = os.environ.get("FAKELAB_DEBUG", "").lower() in ("1", "true", "yes", "on")
    return kept + words[end:], wished or len(kept) < end


def _missing(error: ModuleNotFoundError) -> FakeLabError:
    name = (error.name or "a module").partition(".")[0]
    if name == "fakelab":
        return EnvironmentBrokenError("a part of FakeLab is missing", str(error), "Install fakelab-verify again.")
    return EnvironmentBrokenError(
        f"the Python package '{name}' is missing", "", "Run 'fakelab doctor' to see what else is missing."
    )


def _report(error: FakeLabError, debug: bool) -> int:
    from fakelab.cli.terminal import print_error

    if debug:
        _print_traceback()
    print_error(error)
    return error.exit_code


def _report_bug(error: Exception, debug: bool) -> int:
    from fakelab.cli.terminal import safe

    if debug:
        _print_traceback()
        return 4
    print(
        f"Error: FakeLab has a bug, and stopped: {type(error).__name__}: {safe(str(error))}\n"
        "  Do:  run the same command with --debug to see where, and report it with what you see.",
        file=sys.stderr,
    )
    return 4


def _print_traceback() -> None:
    import traceback

    traceback.print_exc()
