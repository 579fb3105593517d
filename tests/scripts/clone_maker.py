"""Small repositories for tests of what is taken out of clones."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit(folder: Path) -> None:
    """Makes the folder a repository whose one commit holds all that is in it."""
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "media"]):
        subprocess.run([*git, *command], check=True)
