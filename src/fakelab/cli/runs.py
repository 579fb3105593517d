"""What the verbs of the history share: opening it, and a run on a line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fakelab.settings import read_settings

if TYPE_CHECKING:
    from fakelab.service.history import History
    from fakelab.service.runs import Run


@contextmanager
def opened() -> Iterator[History]:
    """The history of the settings, closed afterwards."""
    from fakelab.service.history import History

    settings = read_settings()
    history = History(settings.data_dir, settings.database)
    try:
        yield history
    finally:
        history.close()


def line(run: Run) -> str:
    """A run on one line: identifier, when, level, p_fake, name, tags, the analyst's conclusion."""
    from fakelab.cli.terminal import safe, score

    when = f"{run.started[:16].replace('T', ' ')}Z"
    parts = [run.id, when, f"{run.level:<17}", f"{score(run.p_fake):>5}", safe(run.name)]
    parts += [f"[{safe(', '.join(run.tags))}]"] if run.tags else []
    parts += [f"concluded: {safe(run.conclusion)}"] if run.conclusion else []
    return "  ".join(parts)
