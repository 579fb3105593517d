"""What `fakelab analyze` keeps: each result goes into the history, and no fault of the history costs a result."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from fakelab.cli.inputs import Link, Source
from fakelab.cli.terminal import warn
from fakelab.errors import FakeLabError
from fakelab.records import Analysis
from fakelab.settings import Settings

if TYPE_CHECKING:
    from fakelab.service.history import History


class Diary:
    """Opens the history with the first result; says once that it cannot, and then keeps nothing."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.wanted = settings, settings.history
        self._history: History | None = None
        self._actor = ""
        self._importing: threading.Thread | None = None

    def prepare(self) -> None:
        """Begins to import what the history needs, beside the analysis: a photo does not take much longer to score."""
        if self.wanted and self._importing is None:
            self._importing = threading.Thread(target=_import_history, name="fakelab-history", daemon=True)
            self._importing.start()

    def result(self, analysis: Analysis, acquired: str = "path") -> None:
        """Keeps an analysis, and how its file was acquired: `path` or `url`."""
        faces = self.settings.keep_faces
        self._keep(lambda history: history.add(analysis, actor=self._actor, acquired=acquired, keep_faces=faces))

    def failure(self, path: Source, error: FakeLabError) -> None:
        """Keeps that a file could not be analysed."""
        acquired = "url" if isinstance(path, Link) else "path"
        self._keep(lambda history: history.add_failure(str(path), error, actor=self._actor, acquired=acquired))

    def close(self) -> None:
        """Gives the history back."""
        if self._importing is not None:
            self._importing.join()
        if self._history is not None:
            self._history.close()

    def _keep(self, write: Callable[[History], object]) -> None:
        if not self.wanted:
            return
        try:
            if self._history is None:
                # Not two imports of one module at a time: when the other fails, what it leaves is half a module.
                if self._importing is not None:
                    self._importing.join()
                from fakelab.service.history import History
                from fakelab.service.origin import who

                self._actor = who()
                self._history = History(self.settings.data_dir, self.settings.database)
            write(self._history)
        except FakeLabError as error:
            self.wanted = False
            warn(f"the results are not kept in the history: {error} --no-history leaves it out.")


def _import_history() -> None:
    # What cannot be imported is told when a result is kept.
    with suppress(Exception):
        importlib.import_module("fakelab.service.history")
