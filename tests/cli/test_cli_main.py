"""The command `fakelab` itself: help, errors, interruption, and what it must not load."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

import fakelab.cli.config
from fakelab import __version__
from fakelab.cli import VERBS, main
from fakelab.cli.terminal import bar, safe
from fakelab.errors import EnvironmentBrokenError

FAKELAB = [sys.executable, "-m", "fakelab"]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from fakelab.cli import main; main(['--help']); "
        "sys.exit(' '.join(m for m in ('torch', 'av', 'cv2', 'onnxruntime', 'numpy', 'typer', 'rich', 'pydantic') "
        "if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(verb in done.stdout for verb in VERBS)


def test_help_is_quick() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(5):
        subprocess.run([*FAKELAB, "--help"], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time, not the clock's: other work may go on beside the tests. About .06 s on a quiet machine.
    assert (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 5 < 0.3


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_without_loading_torch(verb: str) -> None:
    code = (
        f"import sys; from fakelab.cli import main; code = main(['{verb}', '--help']); "
        "sys.exit(code or ' '.join(m for m in ('torch', 'av', 'cv2', 'onnxruntime') if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: fakelab {verb}" in done.stdout


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fakelab {__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Usage: fakelab"),
        (["analyse"], "Did you mean 'analyze'?"),
        (["--versoin"], "Did you mean '--version'?"),
        (["models", "shew"], "No such command"),
        (["models", "show", "tyni"], "Did you mean 'tiny'?"),
        (["models", "show", "tiny", "--format", "jsn"], "Did you mean 'json'?"),
    ],
)
def test_wrong_usage_ends_with_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


def _raising(error: BaseException) -> object:
    def table() -> object:
        raise error

    return table


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            EnvironmentBrokenError("a thing is broken", "it is old", "Renew it."),
            4,
            "Error: a thing is broken\n  Why: it is old",
        ),
        (ZeroDivisionError("by zero"), 4, "FakeLab has a bug, and stopped: ZeroDivisionError: by zero"),
        (ModuleNotFoundError("No module named 'rich'", name="rich"), 4, "the Python package 'rich' is missing"),
        (KeyboardInterrupt(), 130, "Interrupted."),
    ],
)
def test_errors_are_said_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    monkeypatch.setattr(fakelab.cli.config, "table", _raising(error))
    assert main(["config", "show"]) == code
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("how", ["before", "after", "environment"])
def test_debug_shows_where(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: str) -> None:
    monkeypatch.setattr(fakelab.cli.config, "table", _raising(ZeroDivisionError("by zero")))
    words = ["config", "show"]
    if how == "environment":
        monkeypatch.setenv("FAKELAB_DEBUG", "1")
    else:
        words.insert(0 if how == "before" else 2, "--debug")
    assert main(words) == 4
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*FAKELAB, "config", "show"], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name.mp4", "plain name.mp4"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u202etxt", "\\u202etxt"),
        ("caf\udce9", "caf\\udce9"),
        ("می\u200cرود 日本 é", "می\u200cرود 日本 é"),
    ],
)
def test_safe(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_no_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("clip.mp4") as progress:
        progress("decode", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("fakelab.cli.terminal.shows_bars", lambda: True)
    with bar("[bold]clip\n.mp4") as progress:
        progress("decode", 1, 2)
        progress("score", 5, None)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("call", "kept"),
    [("main()", True), ("main(['--version'])", False), ("sys.modules['torch'] = sys; main()", False)],
)
def test_the_last_search_for_garbage_is_left_out_of_a_process_that_ends(call: str, kept: bool) -> None:
    code = f"import gc, sys; from fakelab.cli import main; {call}; print(gc.get_freeze_count() > 0)"
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["fakelab", __version__, str(kept)]
