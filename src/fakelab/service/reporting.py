"""Reports of runs: written from the record and the kept faces, signed, and told to the log."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.errors import UsageError
from fakelab.reports import BINARY_WRITERS, WRITERS
from fakelab.reports.json_report import dumps
from fakelab.reports.read_json import read_document
from fakelab.service.chain import Event
from fakelab.service.history import History
from fakelab.service.seal import Signer, fingerprint

FORMATS = {"html": ".html", "pdf": ".pdf", "zip": ".zip", "json": ".json", "text": ".txt"}
"""Format -> ending of the file's name."""


def write_report(history: History, run: str, form: str, record: Sequence[tuple[str, str]] = ()) -> bytes:
    """The report of a run, unsigned, with what `record` adds to it.

    Raises UsageError for a file that could not be read, but for its JSON.
    """
    document = history.document(run)
    if form == "json":
        return dumps(document).encode()
    if "error" in document:
        raise UsageError(f"run {run} has no report in this format", "its file could not be read", "Use --format json.")
    known = {each.name for each in history.artifacts(run)}
    analysis = read_document(document, lambda name: _picture(history, run, name, known))
    if form in BINARY_WRITERS:
        with io.BytesIO() as out:
            BINARY_WRITERS[form](analysis, out, dict(record) or None)
            return out.getvalue()
    return WRITERS[form](analysis, record).encode()


def sealed_report(history: History, run: str, form: str, signer: Signer, *, actor: str) -> bytes:
    """The report of a run with its seal (see `fakelab.service.seal`); that it was exported is told to the log first."""
    document = history.document(run)
    told = history.note(actor, "exported", run, format=form)
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    report = write_report(history, run, form, _record(history, run, told, signer, now))
    return signer.seal(report, form, run=run, document=document, head=(told.seq, told.hash), at=now)


def _record(history: History, run: str, told: Event, signer: Signer, now: str) -> list[tuple[str, str]]:
    """What people read of the record; the seal holds the same for machines."""
    found = history.get(run)
    rows = [
        ("Run", f"{found.id}, {found.started} to {found.ended}, started by {found.actor}"),
        ("Machine", found.hardware),
        ("Document", f"SHA-256 {found.document_sha256}"),
        ("Log", f"event {told.seq}, hash {told.hash}"),
        ("Signed", f"{now} with the key {fingerprint(signer.public_key)}; check it with `fakelab verify-report`"),
    ]
    for number, each in enumerate(history.reviews(run), start=1):
        notes = f" Notes: {each.notes}" if each.notes else ""
        rows.append(
            (f"Analyst {number}", f"{each.conclusion} ({each.actor}, {each.at}; not the machine's result).{notes}")
        )
    return rows


def _picture(history: History, run: str, name: str, known: set[str]) -> NDArray[np.uint8] | None:
    if name not in known:
        return None
    from PIL import Image

    with Image.open(io.BytesIO(history.artifact(run, name))) as image:
        pixels: NDArray[Any] = np.asarray(image)
    return pixels.astype(np.uint8)
