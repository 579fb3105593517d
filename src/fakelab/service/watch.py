"""A watched folder: what is put into it is analysed, where it lies."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from fakelab.errors import FakeLabError, MediaError, TooManyError, UsageError
from fakelab.service.history import LOCAL
from fakelab.service.intake import Intake, shown_name
from fakelab.service.jobs import Asked

LOOK_S = 2.0
SEEN_NAME = "watched.json"
log = logging.getLogger("fakelab.watch")
Stamp = tuple[int, int]


class Watch:
    """Looks into a folder, and its folders, every two seconds; a file is taken when it has stopped growing."""

    def __init__(self, folder: Path, intake: Intake, data_dir: Path, *, owner: str = LOCAL) -> None:
        self.folder, self._intake, self._owner = folder, intake, owner
        self._memory = data_dir / SEEN_NAME
        self._taken: dict[str, Stamp] = self._read()
        self._last: dict[str, Stamp] = {}

    def run(self, stop: threading.Event) -> None:
        """Looks until `stop` is set."""
        while not stop.wait(LOOK_S):
            try:
                self.look()
            except (FakeLabError, OSError) as error:
                log.warning("the watched folder cannot be read: %s", type(error).__name__)

    def look(self) -> int:
        """One look; how many files were taken. A file counts as whole when two looks found it the same."""
        now = dict(self._files())
        ready = [
            each for each, stamp in now.items() if self._last.get(each) == stamp and self._taken.get(each) != stamp
        ]
        self._last = now
        taken = 0
        for each in ready:
            try:
                self._take(Path(each))
            except TooManyError:
                break  # the next look goes on
            except (UsageError, MediaError) as error:
                log.warning("a watched file cannot be taken: %s", type(error).__name__)
            except Exception as error:
                # The machine's fault, or a name that cannot be kept: one file must not end the watch.
                log.warning("a watched file is tried again: %s", type(error).__name__)
                continue
            self._taken[each] = now[each]
            taken += 1
        if taken or len(self._taken) > len(now) * 2 + 1000:
            self._taken = {each: stamp for each, stamp in self._taken.items() if each in now}
            self._write()
        return taken

    def _take(self, path: Path) -> None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._intake.take_in_place(
            Asked(
                name=shown_name(path.name),
                owner=self._owner,
                actor="watch folder",
                acquired="watch folder",
                place=str(path),
                size_bytes=path.stat().st_size,
                sha256=digest,
            )
        )

    def _files(self) -> Iterator[tuple[str, Stamp]]:
        for root, folders, names in os.walk(self.folder):
            folders[:] = [each for each in folders if not each.startswith(".")]
            for name in names:
                path = Path(root) / name
                # A link could lead out of the folder, a name with a dot is often a file in the making.
                if name.startswith(".") or name.endswith((".part", ".tmp", ".crdownload")) or path.is_symlink():
                    continue
                try:
                    state = path.stat()
                except OSError:
                    continue
                if path.is_file() and state.st_size:
                    yield str(path), (state.st_mtime_ns, state.st_size)

    def _read(self) -> dict[str, Stamp]:
        try:
            kept = json.loads(self._memory.read_text(encoding="utf-8"))
            return {str(path): (int(stamp[0]), int(stamp[1])) for path, stamp in kept.items()}
        except (OSError, ValueError, AttributeError, TypeError, IndexError):
            return {}

    def _write(self) -> None:
        fresh = self._memory.with_suffix(".new")
        fresh.write_text(json.dumps(self._taken), encoding="utf-8")
        fresh.replace(self._memory)
