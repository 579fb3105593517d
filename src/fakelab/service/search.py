"""A search -> the query for it, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Select, func, select, text

from fakelab.errors import unknown_name
from fakelab.records import Level
from fakelab.service.database import RunRow, TagRow
from fakelab.service.runs import Search


def split(asked: str) -> list[str]:
    """The words of a text: letters and digits alone, folded, so that both databases cut them alike."""
    return re.findall(r"[^\W_]+", asked.casefold())


def words_of(*parts: str) -> str:
    """What the full-text search reads of a run."""
    return " ".join(split(" ".join(parts)))


def filtered(query: Select[Any], search: Search, dialect: str) -> Select[Any]:
    """The query, narrowed to what is searched for. Raises UnknownNameError for a level that there is not."""
    for column, value in ((RunRow.kind, search.kind), (RunRow.models, search.model), (RunRow.owner, search.owner)):
        query = query.where(column == value) if value else query
    if search.level:
        if search.level not in list(Level):
            raise unknown_name("level", search.level, [each.value for each in Level])
        query = query.where(RunRow.level == search.level)
    if search.tag:
        query = query.where(RunRow.id.in_(select(TagRow.run).where(TagRow.tag == search.tag)))
    # Byte order, whatever the language of the database: times sort as they read.
    started = RunRow.started.collate("C") if dialect == "postgresql" else RunRow.started
    if search.since:
        query = query.where(started >= search.since)
    if search.until:
        # Its beginning is enough: everything started on a day sorts before that day followed by a tilde.
        query = query.where(started <= search.until + "~")
    words = split(search.words)
    if words and dialect == "postgresql":
        asked = " & ".join(f"{each}:*" for each in words)
        query = query.where(
            func.to_tsvector(text("'simple'"), RunRow.words).op("@@")(func.to_tsquery(text("'simple'"), asked))
        )
    elif words:
        asked = " ".join(f'"{each}"*' for each in words)
        matching = text("SELECT rowid FROM runs_words WHERE runs_words MATCH :asked").bindparams(asked=asked)
        query = query.where(RunRow.seq.in_(matching))
    return query
