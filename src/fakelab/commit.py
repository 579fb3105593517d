"""The commit that this FakeLab was made from, read from files alone: git is never started."""

from __future__ import annotations

import importlib.metadata
import json
import re
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).parent
FILE_NAME = "commit.txt"
"""What a build writes into the package; see hatch_build.py."""
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@lru_cache(maxsize=1)
def commit() -> str:
    """The commit of the checkout that this runs from, else of the build that is installed; empty where none is known.

    Changes that were not committed do not show.
    """
    if PACKAGE.parent.name == "src" and (found := commit_of(PACKAGE.parents[1])):
        return found
    return _checked(_text(PACKAGE / FILE_NAME)) or _installed_from()


def commit_of(checkout: Path) -> str:
    """The commit that a checkout stands on, a worktree's too; empty where there is none."""
    git = checkout / ".git"
    if git.is_file():  # a worktree: its own folder lies elsewhere
        git = checkout / _text(git).removeprefix("gitdir:").strip()
    head = _text(git / "HEAD")
    if not head.startswith("ref:"):
        return _checked(head)
    name = head.removeprefix("ref:").strip()
    common = git / (_text(git / "commondir") or ".")
    for folder in (git, common):
        if found := _checked(_text(folder / name)):
            return found
    for line in _text(common / "packed-refs").splitlines():
        value, _, packed = line.partition(" ")
        if packed == name:
            return _checked(value)
    return ""


def _installed_from() -> str:
    """The commit that an installer noted when it was given an address of a repository (PEP 610)."""
    try:
        noted = importlib.metadata.distribution("fakelab-verify").read_text("direct_url.json")
        return _checked(str(json.loads(noted or "{}").get("vcs_info", {}).get("commit_id", "")))
    except (importlib.metadata.PackageNotFoundError, ValueError, AttributeError, OSError):
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _checked(text: str) -> str:
    return text if _COMMIT.fullmatch(text) else ""
