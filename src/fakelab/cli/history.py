"""``fakelab history``: every analysis that was made, searched, filtered, exported, checked, deleted."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from fakelab.cli.runs import line, opened
from fakelab.cli.terminal import make_app, one_of, safe
from fakelab.errors import FakeLabError, UsageError

if TYPE_CHECKING:
    from fakelab.service.history import History
    from fakelab.service.runs import Run

FORMATS = ("text", "json", "csv")
app = make_app("Every analysis that was made: search, filter, export, check, delete.")


@app.command()
def history(
    query: Annotated[
        list[str] | None, typer.Argument(metavar="WORD", help="Beginnings of words in names, hashes, reasons, reviews.")
    ] = None,
    level: Annotated[str, typer.Option("--level", metavar="LEVEL", help="Only runs with this level.")] = "",
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="Only video, photo or audio.")] = "",
    tag: Annotated[str, typer.Option("--tag", metavar="TAG", help="Only runs with this tag.")] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="DATE", help="Started then or later: 2026, 2026-11 ...")
    ] = "",
    until: Annotated[str, typer.Option("--until", metavar="DATE", help="Started then or before.")] = "",
    sort: Annotated[str, typer.Option("--sort", metavar="ORDER", help="newest, oldest or suspicious.")] = "newest",
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="At most so many; 0 for all.", min=0)] = 50,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help=f"{', '.join(FORMATS)}.")] = "text",
    check: Annotated[
        bool, typer.Option("--check", help="Check that no event, record or file was altered; exit code 4 if one was.")
    ] = False,
    delete: Annotated[
        list[str] | None, typer.Option("--delete", metavar="ID", help="Delete this run; may be given several times.")
    ] = None,
    older_than: Annotated[
        int | None, typer.Option("--delete-older-than", metavar="DAYS", help="Delete runs older than this.", min=0)
    ] = None,
) -> int:
    """List the analyses that were made, newest first.

    A deleted run loses its record and its pictures of faces; that it was there stays in the log.
    """
    from fakelab.service.runs import Search

    one_of("format", form, FORMATS)
    with opened() as kept:
        if check:
            return _check(kept)
        if delete or older_than is not None:
            return _delete(kept, delete or [], older_than)
        search = Search(" ".join(query or []), level, kind, "", tag, "", since, until, sort)
        runs = list(kept.every(search) if limit == 0 else kept.page(search, limit=limit).runs)
        if form == "text":
            _print(runs, kept.total(search))
        else:
            _export(runs, form)
    return 0


def _print(runs: list[Run], total: int) -> None:
    for run in runs:
        print(line(run))
    if not runs:
        print("Nothing found." if total == 0 else "", file=sys.stderr)
    elif total > len(runs):
        print(f"{len(runs)} of {total}; --limit 0 shows all.", file=sys.stderr)


def _export(runs: Iterable[Run], form: str) -> None:
    from fakelab.service.export import as_json, write_csv

    if form == "json":
        print(as_json(runs))
    else:
        write_csv(runs, sys.stdout)


def _check(kept: History) -> int:
    from fakelab.service.audit import check

    found = check(kept)
    for fault in found.faults:
        print(f"BROKEN  {safe(fault)}")
    seq, head = kept.head()
    print(f"{found.events} events, {found.runs} runs, {len(found.faults)} faults; head {seq} {head}")
    return FakeLabError.exit_code if found.faults else 0


def _delete(kept: History, ids: list[str], older_than: int | None) -> int:
    from fakelab.reports.json_report import rfc3339
    from fakelab.service.origin import who

    if ids and older_than is not None:
        raise UsageError("--delete and --delete-older-than cannot be used together", "", "Give one of them.")
    if older_than is not None:
        before = datetime.now(UTC) - timedelta(days=older_than)
        count = kept.prune(rfc3339(before), actor=who())
        print(f"{count} runs deleted")
        return 0
    # All must be known before the first is deleted.
    for each in [kept.get(run).id for run in ids]:
        kept.delete(each, actor=who())
        print(f"{each} deleted")
    return 0
