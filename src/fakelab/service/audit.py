"""Whether the history still is what was written: the chain of events, the records, the derived files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import undefer

from fakelab.service.chain import first_break, sha256_of_json
from fakelab.service.database import EventRow, RunRow
from fakelab.service.history import History
from fakelab.service.runs import Soundness
from fakelab.service.store import event_of


def check(history: History) -> Soundness:
    """Whether the log is whole, and every record and derived file still is what the log says was written."""
    faults: list[str] = []
    with history.reading() as session:
        rows = list(session.scalars(select(EventRow).order_by(EventRow.seq)))
        broken = first_break((event_of(each), each.hash) for each in rows)
        faults += [broken] if broken else []
        created = {each.run: json.loads(each.detail) for each in rows if each.action == "created"}
        count = 0
        # Page by page, the documents being long.
        last = 0
        while True:
            query = select(RunRow).options(undefer(RunRow.document)).where(RunRow.seq > last)
            part = list(session.scalars(query.order_by(RunRow.seq).limit(200)))
            for row in part:
                faults += _faults_of(history, row, created.get(row.id))
            count += len(part)
            if not part:
                break
            last = part[-1].seq
            session.expunge_all()
    return Soundness(len(rows), count, tuple(faults))


def _faults_of(history: History, row: RunRow, created: dict[str, Any] | None) -> Iterator[str]:
    if created is None:
        yield f"run {row.id} has no event that made it"
        return
    doc = json.loads(row.document)
    if sha256_of_json(doc) != created["document"] or row.document_sha256 != created["document"]:
        yield f"the record of run {row.id} was altered"
    shown = (doc["verdict"]["level"], doc["verdict"]["p_fake"], doc["file"]["name"], doc["file"]["sha256"] or "")
    if (row.level, row.p_fake, row.name, row.sha256) != shown:
        yield f"what lists show of run {row.id} was altered"
    for name, digest in created["files"].items():
        path = history.files_of(row.id) / name
        if not path.is_file():
            yield f"the file {name} of run {row.id} is missing"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            yield f"the file {name} of run {row.id} was altered"
