"""What the pages of the documentation tell people to type exists: every command, flag and variable."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from fakelab.cli import VERBS
from fakelab.settings import table

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
OTHER_VARIABLES = {"FAKELAB_DEBUG"}
"""Read before there are settings."""
_TOLD = re.compile(r"(?:^|(?<!from)[\s(/`])fakelab +([a-z](?:[^#|;>)`\n]|\|(?=\S))*)")
_ARRAY = re.compile(r"^CMD (\[.*\])$", re.MULTILINE)


def commands(page: str) -> Iterator[list[str]]:
    """The words behind `fakelab` wherever a page shows a command: in blocks, or in a line's backticks."""
    shown = re.findall(r"^```[^\n]*\n(.*?)^```|^ {4}(.*?)$|`(fakelab [^`]+)`", page, re.MULTILINE | re.DOTALL)
    for text in ("\n".join(parts) for parts in shown):
        for found in _TOLD.findall(text):
            # `sudo -u fakelab /opt/fakelab/bin/fakelab users`: the last of them is the command.
            yield re.split(r"(?:^|[\s/])fakelab ", found)[-1].split()
        for array in _ARRAY.findall(text):
            name, *words = json.loads(array)
            assert name == "fakelab"
            yield words


def problem(words: list[str]) -> str:
    """What of a command does not exist; empty where all of it does."""
    import typer

    names = words[0].split("|")
    for verb in names:
        if verb not in VERBS:
            return f"no command {verb}"
        command: Any = typer.main.get_command(import_module(VERBS[verb][0]).app)
        rest = words[1:]
        if below := getattr(command, "commands", None):
            if not rest:
                continue
            for each in rest[0].split("|"):
                if each not in below:
                    return f"no command {verb} {each}"
            command, rest = below[rest[0].split("|")[0]], rest[1:]
        known = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)} | {"--help", "--debug"}
        for word in rest:
            flag = word.strip("[],.").partition("=")[0]
            if flag.startswith("--") and flag not in known:
                return f"no flag {flag} of {verb}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_variable_of_a_page_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert {" ".join(words): told for words in commands(text) if (told := problem(words))} == {}
    if page.name != "CHANGELOG.md":
        variables = {row.variable for row in table().values()} | OTHER_VARIABLES
        assert set(re.findall(r"\bFAKELAB_[A-Z_]+\b", text)) - variables == set()


def test_a_command_that_does_not_exist_is_found() -> None:
    shown = "    sudo /opt/bin/fakelab serv --port 1\n\n```ini\nExecStart=/opt/bin/fakelab serve --prot 1\n```\n"
    assert [problem(each) for each in commands(shown)] == ["no command serv", "no flag --prot of serve"]
    assert [problem(each) for each in commands('```\nCMD ["fakelab", "users", "ad"]\n```\n')] == ["no command users ad"]
    assert [problem(each) for each in commands("`fakelab users add|rest NAME`")] == ["no command users rest"]


def test_extras_that_pages_name_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {name for page in PAGES for name in re.findall(r"fakelab-verify\[(\w+)\]", page.read_text("utf-8"))}
    assert named and named <= set(extras)


@pytest.mark.parametrize("flags", [["--accounts"], ["--host", "0.0.0.0"]])
def test_a_server_without_its_first_admin_ends_with_2_and_says_how_it_is_made(flags: list[str], tmp_path: Path) -> None:
    # In a process of its own: a server sets up the log of its whole process.
    command = [sys.executable, "-m", "fakelab", "serve", *flags, "--port", "0"]
    environment = os.environ | {"FAKELAB_DATA_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert "fakelab users add NAME --role admin" in done.stderr
    page = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    assert "RestartPreventExitStatus=2" in page
    for made in ("/opt/fakelab/bin/fakelab users add anna --role admin", "fakelab fakelab users add anna --role admin"):
        assert made in page
