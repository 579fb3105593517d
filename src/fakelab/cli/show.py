"""``fakelab show``: one run of the history, with its reviews and events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fakelab.cli.runs import opened
from fakelab.cli.terminal import make_app, safe

if TYPE_CHECKING:
    from fakelab.service.history import History

app = make_app("Show one analysis of the history, and what was done with it.")


@app.command()
def show(
    run: Annotated[str, typer.Argument(metavar="ID", help="Identifier of the run, or its beginning.")],
    tags: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="Give the run this tag; may be repeated.")
    ] = None,
    conclude: Annotated[
        str, typer.Option("--conclude", metavar="TEXT", help="Keep your own conclusion, beside the machine's result.")
    ] = "",
    notes: Annotated[str, typer.Option("--notes", metavar="TEXT", help="Notes to the conclusion.")] = "",
) -> int:
    """Print a run: the result as it was, the file, the analyst's conclusions, the events."""
    from fakelab.errors import UsageError
    from fakelab.service.origin import who

    if notes and not conclude:
        raise UsageError("--notes cannot stand alone", "", "Give --conclude TEXT as well.")
    with opened() as history:
        found = history.get(run)
        if tags:
            history.tag(found.id, [*found.tags, *tags], actor=who())
        if conclude:
            history.review(found.id, actor=who(), conclusion=conclude, notes=notes)
        _print(history, found.id)
        history.note(who(), "viewed", found.id)
    return 0


def _print(history: History, run_id: str) -> None:
    from fakelab.reports import WRITERS
    from fakelab.reports.read_json import read_document

    run, document = history.get(run_id), history.document(run_id)
    if "error" in document:
        print(safe(f"{run.name}: {document['error']['what']}: {document['error']['why']}"))
    else:
        print(WRITERS["text"](read_document(document)), end="")
    print()
    rows = [
        ("Run", run.id),
        ("Started", f"{run.started} by {run.actor}, {run.acquired}"),
        ("FakeLab", f"{run.fakelab}; {run.models}"),
        ("Machine", run.hardware),
        ("Record", f"SHA-256 {run.document_sha256}"),
    ]
    rows += [("Tags", ", ".join(run.tags))] if run.tags else []
    rows += [
        ("Concluded", f"{each.conclusion} ({each.actor}, {each.at}) {each.notes}") for each in history.reviews(run.id)
    ]
    rows += [("Event", f"{each.seq} {each.at} {each.action} by {each.actor}") for each in history.events(run.id)]
    earlier = [each.id for each in history.same_file(run.sha256) if each.id != run.id] if run.sha256 else []
    rows += [("Same file", " ".join(earlier))] if earlier else []
    alike = [f"{each.id} ({each.name})" for each in history.similar(run.phash, but=run.sha256)]
    rows += [("Looks alike", ", ".join(alike))] if alike else []
    for name, value in rows:
        print(f"{name:<12} {safe(value)}".rstrip())
