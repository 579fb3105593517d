"""Reports of runs: written from the record and the kept faces, signed, and told to the log."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.errors import UsageError
from fakelab.reports import BINARY_WRITERS, SUFFIXES, WRITERS
from fakelab.reports.json_report import dumps
from fakelab.reports.read_json import read_document
from fakelab.service.chain import Event
from fakelab.service.history import History
from fakelab.service.seal import SEALED_FORMATS, Signer, fingerprint

FORMATS = {form: SUFFIXES[form] for form in SEALED_FORMATS}
"""Format -> ending of the file's name."""


def write_report(history: History, run: str, form: str) -> bytes:
    """The report of a run, unsigned. Raises UsageError for a file that could not be read, but for its JSON."""
    return _written(history, run, form, history.document(run))


def _written(
    history: History, run: str, form: str, document: dict[str, Any], record: Mapping[str, str] | None = None
) -> bytes:
    if form == "json":
        return dumps(document).encode()
    if "error" in document:
        raise UsageError(f"run {run} has no report in this format", "its file could not be read", "Use --format json.")
    known = {each.name for each in history.artifacts(run)}
    analysis = read_document(document, lambda name: _picture(history, run, name, known))
    if form in BINARY_WRITERS:
        with io.BytesIO() as out:
            BINARY_WRITERS[form](analysis, out, record)
            return out.getvalue()
    return WRITERS[form](analysis, record).encode()


def sealed_report(history: History, run: str, form: str, signer: Signer, *, actor: str) -> bytes:
    """The report of a run with its seal (see `fakelab.service.seal`); that it was exported is told to the log first."""
    document = history.document(run)
    told = history.note(actor, "exported", run, format=form)
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    report = _written(history, run, form, document, _record(history, run, told, signer, now))
    return signer.seal(report, form, run=run, document=document, head=(told.seq, told.hash), at=now)


def _record(history: History, run: str, told: Event, signer: Signer, now: str) -> dict[str, str]:
    """What people read of the record; the seal holds the same for machines."""
    found = history.get(run)
    rows = {
        "Run": f"{found.id}, {found.started} to {found.ended}, started by {found.actor}",
        "Machine": found.hardware,
        "Document": f"SHA-256 {found.document_sha256}",
        "Log": f"event {told.seq}, hash {told.hash}",
        "Signed": f"{now} with the key {fingerprint(signer.public_key)}; check it with `fakelab verify-report`",
    }
    for number, each in enumerate(history.reviews(run), start=1):
        notes = f" Notes: {each.notes}" if each.notes else ""
        rows[f"Analyst {number}"] = f"{each.conclusion} ({each.actor}, {each.at}; not the machine's result).{notes}"
    return rows


def _picture(history: History, run: str, name: str, known: set[str]) -> NDArray[np.uint8] | None:
    if name not in known:
        return None
    from PIL import Image

    with Image.open(io.BytesIO(history.artifact(run, name))) as image:
        pixels: NDArray[Any] = np.asarray(image)
    return pixels.astype(np.uint8)
