"""What is made of a file for its player once the verdict stands: a copy that plays, the outline of its sound, its cuts.

All lie beside the file, and are no evidence: they can be made again, and no record names them.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakelab.errors import FakeLabError
from fakelab.settings import Settings

if TYPE_CHECKING:
    from fakelab.media import Limits
    from fakelab.service.history import History

PROXY = "proxy.mp4"
OUTLINE = "outline.json"
SHOTS = "shots.json"
POINTS = 600
log = logging.getLogger("fakelab.work")


def plays(file: Mapping[str, Any]) -> bool:
    """Whether browsers play this file (the `file` of a document) as it is."""
    from fakelab.media.proxy import playable

    return playable(file)


def make_copies(folder: Path, place: str, file: Mapping[str, Any], settings: Settings) -> bool:
    """Makes what the player of a file needs and what is not there yet; whether all of it could be made.

    The verdict stands without: a page shows key frames where nothing plays.
    """
    from fakelab.media import Limits

    if file["kind"] not in ("video", "audio") or not os.path.isfile(place):
        return True
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    limits = Limits(memory_mb=settings.memory_mb, wall_s=settings.wall_s)
    done = True
    if not plays(file) and not (folder / PROXY).exists():
        done &= _tried("a copy that plays", lambda: _proxy(place, folder / PROXY, limits))
    if file["audio_codec"] and not (folder / OUTLINE).exists():
        done &= _tried("an outline of its sound", lambda: _outline(place, folder / OUTLINE, limits))
    if file["kind"] == "video" and not (folder / SHOTS).exists():
        done &= _tried("its shots", lambda: _shots(place, folder / SHOTS, limits))
    return done


def shots(folder: Path) -> list[float]:
    """The times in seconds at which a video cuts to another shot; empty where they were not looked for."""
    try:
        return [float(each) for each in json.loads((folder / SHOTS).read_text(encoding="ascii"))]
    except (OSError, ValueError, TypeError):
        return []


def outline(folder: Path) -> list[tuple[float, float]]:
    """The lowest and highest sample, -1..1, of equal stretches of the file; empty without sound."""
    try:
        rows = json.loads((folder / OUTLINE).read_text(encoding="ascii"))
        return [(float(low), float(high)) for low, high in rows]
    except (OSError, ValueError, TypeError):
        return []


def prune_orphans(history: History, older_than_s: float = 24 * 3600.0) -> int:
    """Deletes files that belong to nothing, left by a server that was killed while it took one in; how many."""
    from sqlalchemy import select

    from fakelab.service.database import JobRow, RunRow

    gone = 0
    for folder in (history.folder / "media").glob("*/*"):
        if time.time() - folder.stat().st_mtime < older_than_s:
            continue
        with history.reading() as session:
            wanted = (select(row.id).where(row.id == folder.name) for row in (RunRow, JobRow))
            known = any(session.scalar(query) for query in wanted)
        if not known:
            shutil.rmtree(folder, ignore_errors=True)
            gone += 1
    return gone


def _proxy(place: str, target: Path, limits: Limits) -> None:
    from fakelab.media.proxy import write_proxy

    write_proxy(place, target, limits)


def _outline(place: str, target: Path, limits: Limits) -> None:
    from fakelab.media.waveform import waveform

    found = waveform(place, POINTS, limits)
    rows = [[round(float(low), 3), round(float(high), 3)] for low, high in zip(found.low, found.high, strict=True)]
    _write(target, rows)


def _shots(place: str, target: Path, limits: Limits) -> None:
    from fakelab.media.shots import cuts

    _write(target, cuts(place, limits))


def _write(target: Path, value: Any) -> None:
    fresh = target.with_suffix(".new")
    fresh.write_text(json.dumps(value), encoding="ascii")
    fresh.replace(target)


def _tried(what: str, make: Any) -> bool:
    try:
        make()
    except FakeLabError as error:
        log.info("a file has not %s: %s", what, error.code)
        return False
    return True
