"""The record of every inference: written once, found again, told apart from what people concluded, and defended.

A run is never changed after it was written; reviews and tags stand beside it, and everything that is done is an event
in a log chained by hash (`fakelab.service.chain`). Deleting a run takes its content and leaves its events.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session, undefer

from fakelab.errors import EnvironmentBrokenError, FakeLabError, UsageError, unknown_name
from fakelab.records import Analysis
from fakelab.reports.json_report import document, error_document, rfc3339
from fakelab.service.chain import canonical
from fakelab.service.database import ArtifactRow, JobRow, ReviewRow, RunRow, TagRow
from fakelab.service.origin import hardware, pictures
from fakelab.service.recipe import recipe_of_document
from fakelab.service.runs import Page, Review, Run, Search
from fakelab.service.search import filtered, words_of
from fakelab.service.store import Store

PAGE = 50
SIMILAR_BITS = 10
"""Two frames whose 64-bit perceptual hashes differ in at most this many bits look alike."""
LOCAL = "local"
"""The owner of everything in local mode, and of what the command line does."""
LARGEST = 2**31 - 1
"""What a number of a run or an event can be on every database."""
_ID = re.compile(r"[0-9a-z]{4,16}")
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


class History(Store):
    """The history in a folder, or in the database of a URL with the files in the folder.

    Every method raises EnvironmentBrokenError where the database does not answer.
    """

    # -- writing -----------------------------------------------------------------------------------------------

    def add(
        self, analysis: Analysis, *, actor: str, acquired: str = "path", owner: str = LOCAL, keep_faces: bool = True
    ) -> Run:
        """Keeps an analysis, with the faces that its report shows, and returns it as a run."""
        doc = document(analysis)
        return self.add_document(
            doc,
            recipe=recipe_of_document(doc),
            actor=actor,
            acquired=acquired,
            owner=owner,
            ended=rfc3339(datetime.now(UTC)),
            place=_text(_place(analysis.file.path)),
            phash=analysis.file.phash,
            artifacts=pictures(analysis) if keep_faces else {},
        )

    def add_failure(
        self, path: str | Path, error: FakeLabError, *, actor: str, acquired: str = "path", owner: str = LOCAL
    ) -> Run:
        """Keeps that a file could not be analysed, and why."""
        place = _place(str(path))
        name = place if _ADDRESS.match(place) else Path(path).name
        doc = error_document(str(path), name, error.code, error.what, error.why, error.do)
        now = rfc3339(datetime.now(UTC))
        return self.add_document(doc, actor=actor, acquired=acquired, owner=owner, ended=now, place=_text(place))

    def add_document(
        self,
        doc: Mapping[str, Any],
        *,
        actor: str,
        acquired: str,
        owner: str,
        ended: str,
        place: str = "",
        phash: Sequence[str] = (),
        artifacts: Mapping[str, bytes] | None = None,
        recipe: str = "",
        run_id: str = "",
    ) -> Run:
        """Keeps a document of the schema fakelab.analysis/1 with its derived files.

        With a `run_id` given, a run that is there already is left as it is and returned: a step done twice keeps one.
        """
        file, verdict = doc["file"], doc["verdict"]
        body = canonical(doc)
        if run_id and (kept := self._kept(run_id)):
            return kept
        run_id = run_id or new_id()
        row = RunRow(
            id=run_id,
            owner=owner,
            actor=actor,
            acquired=acquired,
            started=doc["started"],
            ended=ended,
            place=place,
            name=file["name"],
            kind=file["kind"] or "",
            size_bytes=file["size_bytes"],
            duration_s=file["duration_s"],
            sha256=file["sha256"] or "",
            phash=" ".join(phash),
            level=verdict["level"],
            p_fake=verdict["p_fake"],
            sentence=verdict["sentence"],
            models=", ".join(f"{each['name']} {each['version']}" for each in doc["models"]),
            fakelab=doc["versions"].get("fakelab", ""),
            error=doc.get("error", {}).get("what", ""),
            hardware=hardware(),
            document=body.decode(),
            document_sha256=hashlib.sha256(body).hexdigest(),
            recipe=recipe,
            words=words_of(
                file["name"], file["path"], file["sha256"] or "", verdict["sentence"], run_id, *_reasons(doc)
            ),
        )
        files = self.keep_files(run_id, artifacts or {})
        try:
            with self.writing() as session:
                session.add(row)
                session.flush()
                session.add_all(
                    ArtifactRow(run=run_id, name=each.name, sha256=each.sha256, size_bytes=each.size_bytes)
                    for each in files
                )
                detail = {"document": row.document_sha256, "files": {each.name: each.sha256 for each in files}}
                self.append(session, actor, "created", run_id, detail)
        except BaseException:
            shutil.rmtree(self.files_of(run_id), ignore_errors=True)
            raise
        return self.get(run_id)

    def _kept(self, run_id: str) -> Run | None:
        with self.reading() as session:
            row = session.scalar(select(RunRow).where(RunRow.id == run_id))
            if row is None:
                # What a writer left that was killed before its record was written.
                shutil.rmtree(self.files_of(run_id), ignore_errors=True)
                return None
            return self._runs(session, [row])[0]

    def review(self, run: str, *, actor: str, conclusion: str, notes: str = "") -> Review:
        """Keeps what an analyst concluded, beside what the machine said. Raises UsageError without a conclusion."""
        if not conclusion.strip():
            raise UsageError("a review needs a conclusion", "", "Write what you concluded in a few words.")
        run = self.get(run).id
        row = ReviewRow(run=run, at=rfc3339(datetime.now(UTC)), actor=actor, conclusion=conclusion.strip(), notes=notes)
        made = Review(row.at, row.actor, row.conclusion, row.notes)
        with self.writing() as session:
            session.add(row)
            self.append(session, actor, "reviewed", run, {"conclusion": made.conclusion, "notes": made.notes})
            self._index(session, run)
        return made

    def tag(self, run: str, tags: Sequence[str], *, actor: str) -> tuple[str, ...]:
        """Gives a run exactly these tags."""
        run = self.get(run).id
        wanted = tuple(sorted({each.strip() for each in tags if each.strip()}))
        with self.writing() as session:
            session.execute(delete(TagRow).where(TagRow.run == run))
            session.add_all(TagRow(run=run, tag=each) for each in wanted)
            self.append(session, actor, "tagged", run, {"tags": list(wanted)})
            self._index(session, run)
        return wanted

    def delete(self, run: str, *, actor: str, why: str = "") -> None:
        """Takes a run's record and files away; that it was there, and who took it away, stays in the log."""
        found = self.get(run)
        with self.writing() as session:
            session.execute(delete(RunRow).where(RunRow.id == found.id))
            session.execute(delete(JobRow).where(JobRow.id == found.id))
            self.append(session, actor, "deleted", found.id, {"document": found.document_sha256, "why": why})
        for folder in (self.files_of(found.id), self.media_of(found.id)):
            shutil.rmtree(folder, ignore_errors=True)

    def prune(self, before: str, *, actor: str) -> int:
        """Deletes every run that ended before this time (RFC 3339); how many. The retention rule."""
        with self.reading() as session:
            old = list(session.scalars(select(RunRow.id).where(RunRow.ended < before)))
        for each in old:
            self.delete(each, actor=actor, why=f"retention: ended before {before}")
        return len(old)

    # -- reading -----------------------------------------------------------------------------------------------

    def get(self, run: str, *, owner: str = "") -> Run:
        """The run with this id, or with an id that begins so. Raises UnknownNameError, UsageError if several do."""
        wanted = run.strip().lower()
        with self.reading() as session:
            query = select(RunRow).where(RunRow.id == wanted)
            if owner:
                query = query.where(RunRow.owner == owner)
            row = session.scalar(query)
            if row is None and _ID.fullmatch(wanted):
                starts = select(RunRow).where(RunRow.id.startswith(wanted, autoescape=True)).limit(2)
                rows = list(session.scalars(starts.where(RunRow.owner == owner) if owner else starts))
                if len(rows) > 1:
                    raise UsageError(f"several runs begin with '{run}'", "", "Give more of the identifier.")
                row = rows[0] if rows else None
            if row is None:
                newest = list(session.scalars(select(RunRow.id).order_by(RunRow.seq.desc()).limit(5)))
                raise unknown_name("run", run, newest if not owner else [])
            return self._runs(session, [row])[0]

    def several(self, ids: Sequence[str]) -> list[Run]:
        """Those of these runs that there are."""
        with self.reading() as session:
            return self._runs(session, list(session.scalars(select(RunRow).where(RunRow.id.in_(ids)))))

    def document(self, run: str) -> dict[str, Any]:
        """The whole result, as it was written. Raises EnvironmentBrokenError if it no longer has its hash."""
        with self.reading() as session:
            row = session.scalar(select(RunRow).options(undefer(RunRow.document)).where(RunRow.id == self.get(run).id))
        assert row is not None
        if hashlib.sha256(row.document.encode()).hexdigest() != row.document_sha256:
            raise EnvironmentBrokenError(f"the record of run {row.id} was altered", "its hash does not fit", "")
        loaded: dict[str, Any] = json.loads(row.document)
        return loaded

    def page(self, search: Search | None = None, *, cursor: str = "", limit: int = PAGE) -> Page:
        """A page of runs, newest first (or `oldest`, `suspicious`)."""
        search = search or Search()
        query = self._found(select(RunRow), search)
        offset = 0
        match search.sort:
            case "newest":
                query = query.order_by(RunRow.seq.desc())
                query = query.where(RunRow.seq < _number(cursor)) if cursor else query
            case "oldest":
                query = query.order_by(RunRow.seq)
                query = query.where(RunRow.seq > _number(cursor)) if cursor else query
            case "suspicious":
                # Many runs share a score or have none, so that the place is the cursor.
                offset = _number(cursor) if cursor else 0
                query = query.order_by(RunRow.p_fake.desc().nulls_last(), RunRow.seq.desc()).offset(offset)
            case other:
                raise unknown_name("order", other, ("newest", "oldest", "suspicious"))
        with self.reading() as session:
            rows = list(session.scalars(query.limit(limit + 1)))
            runs = self._runs(session, rows[:limit])
        more = len(rows) > limit
        following = str(offset + limit if search.sort == "suspicious" else runs[-1].seq) if more else ""
        return Page(tuple(runs), following)

    def every(self, search: Search | None = None) -> Iterator[Run]:
        """All runs of a search, page by page."""
        cursor = ""
        while True:
            page = self.page(search, cursor=cursor, limit=200)
            yield from page.runs
            cursor = page.cursor
            if not cursor:
                return

    def counts(self, search: Search | None = None) -> dict[str, dict[str, int]]:
        """For each filter, its values with how many runs of the search have them; a filter's own choice left aside."""
        search = search or Search()
        found: dict[str, dict[str, int]] = {}
        with self.reading() as session:
            for name, column in (("level", RunRow.level), ("kind", RunRow.kind), ("model", RunRow.models)):
                others = dataclasses.replace(search, **{name: ""})
                query = self._found(select(column, func.count()), others).group_by(column)
                found[name] = {value: count for value, count in session.execute(query) if value}
            others = dataclasses.replace(search, tag="")
            ids = self._found(select(RunRow.id), others)
            tagged = select(TagRow.tag, func.count()).where(TagRow.run.in_(ids)).group_by(TagRow.tag)
            found["tag"] = dict(session.execute(tagged).all())
        return found

    def total(self, search: Search | None = None) -> int:
        """How many runs a search finds."""
        with self.reading() as session:
            return session.scalar(self._found(select(func.count(RunRow.seq)), search or Search())) or 0

    def reviews(self, run: str) -> list[Review]:
        """What analysts concluded, oldest first."""
        with self.reading() as session:
            rows = session.scalars(select(ReviewRow).where(ReviewRow.run == run).order_by(ReviewRow.id))
            return [Review(each.at, each.actor, each.conclusion, each.notes) for each in rows]

    def same_file(self, sha256: str, *, owner: str = "") -> list[Run]:
        """Earlier runs of the same bytes, newest first."""
        query = select(RunRow).where(RunRow.sha256 == sha256).order_by(RunRow.seq.desc()).limit(PAGE)
        with self.reading() as session:
            return self._runs(session, list(session.scalars(query.where(RunRow.owner == owner) if owner else query)))

    def answered(self, recipe: str, *, owner: str) -> Run | None:
        """The newest run of this owner with this recipe, if any: the same file asked the same way."""
        query = select(RunRow).where(RunRow.recipe == recipe, RunRow.owner == owner, RunRow.error == "")
        with self.reading() as session:
            rows = list(session.scalars(query.order_by(RunRow.seq.desc()).limit(1))) if recipe else []
            return self._runs(session, rows)[0] if rows else None

    def similar(self, phash: Sequence[str], *, owner: str = "", but: str = "") -> list[Run]:
        """Runs of files that look alike (half of the frames or more find a near one), nearest and newest first."""
        mine = [int(each, 16) for each in phash]
        if not mine:
            return []
        query = select(RunRow.id, RunRow.seq, RunRow.phash).where(RunRow.phash != "", RunRow.sha256 != but)
        with self.reading() as session:
            found: list[tuple[float, int, str]] = []
            for run_id, seq, theirs in session.execute(query.where(RunRow.owner == owner) if owner else query):
                hashes = [int(each, 16) for each in theirs.split()]
                nearest = [min((each ^ other).bit_count() for other in hashes) for each in mine]
                near = sum(bits <= SIMILAR_BITS for bits in nearest)
                if 2 * near >= len(mine):
                    found.append((sum(nearest) / len(nearest), -seq, run_id))
            ids = [run_id for *_, run_id in sorted(found)[:PAGE]]
            rows = {each.id: each for each in session.scalars(select(RunRow).where(RunRow.id.in_(ids)))}
            return self._runs(session, [rows[each] for each in ids])

    # -- inside ------------------------------------------------------------------------------------------------

    def _index(self, session: Session, run: str) -> None:
        """Makes the newest reviews and tags findable."""
        session.flush()
        row = session.scalar(
            select(RunRow).options(undefer(RunRow.words), undefer(RunRow.document)).where(RunRow.id == run)
        )
        assert row is not None
        doc = json.loads(row.document)
        tags = session.scalars(select(TagRow.tag).where(TagRow.run == run))
        reviews = session.scalars(select(ReviewRow).where(ReviewRow.run == run))
        said = [part for each in reviews for part in (each.conclusion, each.notes)]
        row.words = words_of(row.name, doc["file"]["path"], row.sha256, row.sentence, run, *_reasons(doc), *tags, *said)

    def _found(self, query: Any, search: Search) -> Any:
        return filtered(query, search, self.engine.dialect.name)

    def _runs(self, session: Session, rows: Sequence[RunRow]) -> list[Run]:
        ids = [each.id for each in rows]
        tags: dict[str, list[str]] = {}
        for run, tag in session.execute(select(TagRow.run, TagRow.tag).where(TagRow.run.in_(ids))):
            tags.setdefault(run, []).append(tag)
        newest = dict(
            session.execute(
                select(ReviewRow.run, ReviewRow.conclusion).where(ReviewRow.run.in_(ids)).order_by(ReviewRow.id)
            ).all()
        )
        columns = [name for name in Run.__slots__ if name not in ("phash", "tags", "conclusion")]
        return [
            Run(
                **{name: getattr(row, name) for name in columns},
                phash=tuple(row.phash.split()),
                tags=tuple(sorted(tags.get(row.id, ()))),
                conclusion=newest.get(row.id, ""),
            )
            for row in rows
        ]


def _reasons(doc: Mapping[str, Any]) -> list[str]:
    return [each["code"].replace("_", " ") for each in doc["verdict"]["reasons"]]


def _place(path: str) -> str:
    """The whole path of a file, or the address that led to it."""
    return path if _ADDRESS.match(path) else os.path.abspath(path)


def _text(path: str) -> str:
    """A path as a database can hold it; bytes that are no text are seen, and no longer lead to the file."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _number(cursor: str) -> int:
    if not cursor.isdecimal() or int(cursor) > LARGEST:
        raise UsageError(f"the cursor '{cursor}' is none of ours", "", "Take the one that the page before gave.")
    return int(cursor)


def new_id() -> str:
    """16 characters that no page address, file system or spreadsheet stumbles over; 80 random bits."""
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    return "".join(secrets.choice(alphabet) for _ in range(16))
