"""The pages of many analyses: the history, its export, what is done with several, and two compared."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse

from fakelab.analyze import known_models
from fakelab.errors import UsageError, unknown_name
from fakelab.records import Level
from fakelab.service.export import as_json, write_csv
from fakelab.service.history import new_id
from fakelab.service.runs import Run, Search
from fakelab.web.api import remove
from fakelab.web.auth import Posted, Reader, house_of
from fakelab.web.forms import Asked, Looked, run_of, to
from fakelab.web.house import House
from fakelab.web.render import page
from fakelab.web.views import diverging, result_of

RUNS_SHOWN = 50
COMPARED = 2
router = APIRouter(include_in_schema=False)


def _search(
    who: Reader,
    q: Annotated[str, Query(max_length=500)] = "",
    level: str = "",
    kind: str = "",
    model: str = "",
    tag: str = "",
    since: str = "",
    until: str = "",
    sort: str = "newest",
) -> Search:
    """What the address of a list asks for, of the desk of whoever asks."""
    return Search(q, level, kind, model, tag, who.desk, since, until, sort)


Searched = Annotated[Search, Depends(_search)]


@router.get("/history")
def history_page(request: Request, who: Reader, search: Searched, cursor: str = "") -> Response:
    """Every inference that was run: searched, filtered with counts, sorted, selected."""
    house = house_of(request)
    found = house.history.page(search, cursor=cursor, limit=RUNS_SHOWN)
    chosen = {
        name: value
        for name, value in asdict(search).items()
        if value and name not in ("owner", "words") and (name, value) != ("sort", "newest")
    } | ({"q": search.words} if search.words else {})

    def address(**changed: str) -> str:
        values = {name: value for name, value in (chosen | changed).items() if value}
        return "/history?" + urlencode(values) if values else "/history"

    return page(
        request,
        "history.html.j2",
        search=search,
        chosen=chosen,
        runs=found.runs,
        next=address(cursor=found.cursor) if found.cursor else "",
        first=address() if cursor else "",
        total=house.history.total(search),
        everything=house.history.total(Search(owner=who.desk)),
        counts=_ordered(house.history.counts(search)),
        address=address,
        may={scope: who.may(scope) for scope in ("analyse", "delete")},
        models=list(known_models()),
    )


def _ordered(counts: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Levels from worst to mildest; everything else by how often it is there."""
    levels: dict[str, int] = {str(each): counts["level"][each] for each in Level if each in counts["level"]}
    rest = {
        name: dict(sorted(values.items(), key=lambda each: (-each[1], each[0])))
        for name, values in counts.items()
        if name != "level"
    }
    return {"level": levels, **rest}


@router.get("/history/export.{form}")
def export(request: Request, search: Searched, form: str) -> Response:
    """The runs of a search as a table for other programs."""
    return _exported(list(house_of(request).history.every(search)), form)


def _exported(runs: list[Run], form: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="fakelab-history.{form}"', "Cache-Control": "no-store"}
    if form == "json":
        return Response(as_json(runs), media_type="application/json", headers=headers)
    if form != "csv":
        raise unknown_name("format", form, ("csv", "json"))
    out = io.StringIO()
    write_csv(runs, out)
    return PlainTextResponse(out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


@router.post("/history/selected")
def selected(request: Request, form: Looked) -> Response:
    """What is done with the runs that were ticked: compared, exported, analysed again, deleted."""
    house = house_of(request)
    runs = [run_of(house, form.who, each) for each in form.every("run")[:1000]]
    if not runs:
        raise UsageError("no analysis is selected", "", "Tick some in the list.")
    match form.get("do"):
        case "compare":
            if len(runs) != COMPARED:
                raise UsageError("two analyses can be compared", f"{len(runs)} are selected", "Tick two.")
            return to(f"/compare?a={runs[0].id}&b={runs[1].id}")
        case "csv" | "json" as kind:
            return _exported(runs, kind)
        case "again":
            form.who.need("analyse")
            return _again(house, form, runs)
        case "delete":
            form.who.need("delete")
            for each in runs:
                remove(house, form.who, each.id)
            return to("/history")
        case other:
            raise unknown_name("action", other, ("compare", "csv", "json", "again", "delete"))


@router.post("/runs/{run}/again")
def again(request: Request, run: str, form: Asked) -> Response:
    """One run done again."""
    house = house_of(request)
    return _again(house, form, [run_of(house, form.who, run)])


def _again(house: House, form: Posted, runs: list[Run]) -> Response:
    batch = new_id()
    model = form.get("model") or house.settings.model
    taken = 0
    why = ""
    done: set[str] = set()
    for each in runs:
        if each.error or each.sha256 in done:
            continue
        done.add(each.sha256)
        try:
            house.intake.again(each, model, actor=form.who.name, batch=batch)
            taken += 1
        except UsageError as error:
            why = str(error)
    if not taken:
        raise UsageError("nothing can be analysed again", why or "the files could not be read then", "")
    return to(f"/rescored/{batch}")


@router.get("/rescored/{batch}")
def rescored_page(request: Request, who: Reader, batch: str) -> Response:
    """Old runs done again: what changed, and what still waits."""
    house = house_of(request)
    jobs = house.jobs.of_batch(batch, owner=who.desk)
    if not jobs:
        raise unknown_name("batch", batch, [])
    runs = {each.id: each for each in house.history.several([name for job in jobs for name in (job.id, job.repeats)])}
    rows = [(job, runs.get(job.repeats), runs.get(job.id)) for job in jobs]
    changed = [row for row in rows if row[1] and row[2] and row[1].level != row[2].level]
    return page(
        request,
        "rescored.html.j2",
        rows=sorted(rows, key=lambda row: row not in changed),
        changed=len(changed),
        waiting=sum(job.open for job in jobs),
        model=jobs[0].choices.get("model", ""),
    )


@router.get("/compare")
def compare_page(request: Request, who: Reader, a: str = "", b: str = "") -> Response:
    """Two runs side by side."""
    house = house_of(request)
    if not a or not b:
        recent = house.history.page(Search(owner=who.desk), limit=RUNS_SHOWN).runs
        return page(request, "compare.html.j2", results=(), differences=(), recent=recent, a=a, b=b)
    runs = [run_of(house, who, each) for each in (a, b)]
    for each in runs:
        if each.error:
            raise UsageError(f"'{each.name}' cannot be compared", "it could not be analysed", "Choose another.")
    results = [result_of(house, each, prefix=side) for each, side in zip(runs, "ab", strict=True)]
    recent = house.history.page(Search(owner=who.desk), limit=RUNS_SHOWN).runs
    return page(
        request,
        "compare.html.j2",
        results=results,
        differences=diverging(*results),
        recent=recent,
        a=runs[0].id,
        b=runs[1].id,
    )
