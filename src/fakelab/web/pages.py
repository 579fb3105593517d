"""The pages, each with a permanent address; forms that work without a script."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from fakelab.analyze import known_finders, known_models, versions
from fakelab.errors import FakeLabError, UsageError, unknown_name
from fakelab.records import LEVEL_WORDS, Level
from fakelab.reports.html import meanings
from fakelab.service.accounts import Who
from fakelab.service.audit import check
from fakelab.service.history import new_id
from fakelab.service.jobs import DONE, FAILED, Job
from fakelab.service.runs import Run, Search
from fakelab.service.seal import fingerprint
from fakelab.service.trainings import trainings
from fakelab.settings import origin, table
from fakelab.web import i18n
from fakelab.web.api import remove, report_answer, take_file, take_link
from fakelab.web.auth import Admin, Posted, Reader, check_csrf, find_who, house_of, known, posted
from fakelab.web.curves import curve_svg
from fakelab.web.files import media_answer, overlay_png, proxy_of
from fakelab.web.house import House
from fakelab.web.receive import received
from fakelab.web.render import page
from fakelab.web.views import SEARCH_PAGES, Result, diverging, lines_of, relatives, result_of, track_data

RUNS_SHOWN = 50
EVENTS_SHOWN = 100
COMPARED = 2
EXPORTED = (
    *("id", "started", "level", "p_fake", "name", "kind", "sha256", "models", "fakelab", "actor", "acquired"),
    *("duration_s", "size_bytes", "tags", "conclusion", "error"),
)
router = APIRouter(include_in_schema=False)
Reviewed = Annotated[Posted, Depends(posted("review"))]
Asked = Annotated[Posted, Depends(posted("analyse"))]
Looked = Annotated[Posted, Depends(posted("read"))]
Removed = Annotated[Posted, Depends(posted("delete"))]


def _to(address: str) -> RedirectResponse:
    return RedirectResponse(address, status_code=303)


# -- analyse -----------------------------------------------------------------------------------------------------------


@router.get("/")
def analyse_page(request: Request, who: Reader) -> Response:
    """Files dropped, links pasted, and what became of the last ones."""
    house = house_of(request)
    jobs = house.jobs.recent(owner=who.desk, limit=25)
    levels = {each.id: each for each in _runs_of(house, jobs)}
    return page(
        request,
        "analyse.html.j2",
        jobs=jobs,
        runs=levels,
        models=list(known_models().values()),
        finders=known_finders(),
        settings=house.settings,
        links=_links_work(),
        total=house.history.total(Search(owner=who.desk)),
    )


def _runs_of(house: House, jobs: list[Job]) -> list[Run]:
    return house.history.several([each.id for each in jobs if each.state in (DONE, FAILED)])


def _links_work() -> bool:
    from importlib.util import find_spec

    return find_spec("yt_dlp") is not None


@router.post("/analyse")
async def hand_in(request: Request) -> Response:
    """Files or a link from the page's form, where no script does it better."""
    house = house_of(request)
    who = await known(request)

    def before_file(fields: dict[str, str]) -> None:
        check_csrf(request, who, fields.get("csrf", ""))
        who.need("analyse")

    await run_in_threadpool(house.intake.check_room)
    async with received(request, house.uploads, before_file) as brought:
        before_file(brought.fields)
        url = brought.fields.get("url", "").strip()
        choices = {name: value for name, value in brought.fields.items() if name not in ("csrf", "url", "webhook")}
        taken = [await run_in_threadpool(take_file, house, who, each, choices) for each in brought.files if each.size]
        if url:
            kept = {name: value for name, value in choices.items() if value}
            taken.append(await run_in_threadpool(take_link, house, who, url, kept))
    if not taken:
        raise UsageError("nothing was handed in", "no file was chosen and no link given", "Choose a file.")
    return _to(f"/runs/{taken[0].id}" if len(taken) == 1 else "/")


@router.post("/runs/{run}/cancel")
def cancel(request: Request, run: str, form: Asked) -> Response:
    """Stops an analysis."""
    house = house_of(request)
    house.queue.cancel(house.jobs.cancel(run, owner=form.who.desk, actor=form.who.name))
    return _to(f"/runs/{run}")


@router.post("/runs/{run}/retry")
def retry(request: Request, run: str, form: Asked) -> Response:
    """Puts a cancelled one back."""
    house = house_of(request)
    house.queue.put(house.jobs.again(run, owner=form.who.desk, actor=form.who.name))
    return _to(f"/runs/{run}")


# -- result ------------------------------------------------------------------------------------------------------------


@router.get("/runs/{run}")
def run_page(request: Request, who: Reader, run: str) -> Response:
    """The result of an analysis, or how far it is."""
    house = house_of(request)
    job = house.jobs.find(run, owner=who.desk)
    if job is not None and job.state not in (DONE, FAILED):
        return page(request, "progress.html.j2", job=job, position=house.jobs.waiting_before(job))
    found = _run(house, who, run)
    if found.id != run:
        return _to(f"/runs/{found.id}")
    if request.headers.get("purpose") != "prefetch":
        house.history.note(who.name, "viewed", found.id)
    same, like = relatives(house, found)
    common: dict[str, Any] = {
        "run": found,
        "reviews": house.history.reviews(found.id),
        "same": same,
        "like": like,
        "events": house.history.events(found.id),
        "may": {scope: who.may(scope) for scope in ("analyse", "review", "delete")},
    }
    if found.error:
        document = house.history.document(found.id)
        return page(request, "failed.html.j2", error=document["error"], job=job, **common)
    result = result_of(house, found)
    proxy = proxy_of(house, found.id)
    there = _is_there(found)
    return page(
        request,
        "result.html.j2",
        r=result,
        tracks=track_data(result),
        lines=lines_of(result),
        media=f"/runs/{found.id}/media" if there else "",
        proxy=f"/runs/{found.id}/proxy" if proxy else "",
        plays=result.kind in ("video", "audio") and (proxy is not None or there),
        search_pages=SEARCH_PAGES,
        prior=float(result.analysis.settings.get("prior", 0.5)),
        newer=_newer_models(found, result),
        **common,
    )


def _run(house: House, who: Who, run: str) -> Run:
    try:
        return house.history.get(run, owner=who.desk)
    except UsageError as error:
        raise unknown_name("analysis", run, []) from error


def _is_there(run: Run) -> bool:
    import os

    return bool(run.place) and os.path.isfile(run.place)


def _newer_models(run: Run, result: Result) -> list[str]:
    """The models that this run could be done again with: all but tiny, unless it was made with it."""
    used = {(each["name"], each["version"], each["sha256"]) for each in result.analysis.models}
    names = {name for name, _, _ in used}
    return [name for name in known_models() if name != "tiny" or "tiny" in names]


@router.get("/runs/{run}/media")
def run_media(request: Request, who: Reader, run: str) -> Response:
    """The analysed file, as the player reads it."""
    house = house_of(request)
    found = _run(house, who, run)
    document = house.history.document(found.id)
    return media_answer(house, found, container=_container(document["file"]))


def _container(file: dict[str, Any]) -> str:
    container = str(file.get("container") or "")
    return container if container != "heif" else "heif"


@router.get("/runs/{run}/proxy")
def run_proxy(request: Request, who: Reader, run: str) -> Response:
    """The copy that plays in browsers."""
    from fastapi.responses import FileResponse

    house = house_of(request)
    path = proxy_of(house, _run(house, who, run).id)
    if path is None:
        raise unknown_name("copy", run, [])
    return FileResponse(path, media_type="video/mp4", headers={"Cache-Control": "private, max-age=3600"})


@router.get("/runs/{run}/overlays/{stem}")
def overlay(request: Request, who: Reader, run: str, stem: str) -> Response:
    """A face with its heat map over it."""
    history = house_of(request).history
    found = _run(house_of(request), who, run)
    paths = [history.artifact_path(found.id, f"{stem}-{part}.png") for part in ("crop", "map")]
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return Response(overlay_png(*paths), media_type="image/png", headers=headers)


@router.get("/runs/{run}/report.{form}")
def run_report(request: Request, who: Reader, run: str, form: str) -> Response:
    """A signed report."""
    from fakelab.service.reporting import FORMATS

    if form not in FORMATS:
        raise unknown_name("format", form, FORMATS)
    house = house_of(request)
    return report_answer(house, who, _run(house, who, run), form)


@router.post("/runs/{run}/review")
def write_review(request: Request, run: str, form: Reviewed) -> Response:
    """An analyst's conclusion."""
    house = house_of(request)
    found = _run(house, form.who, run)
    house.history.review(
        found.id, actor=form.who.name, conclusion=form.get("conclusion")[:500], notes=form.get("notes")[:20_000]
    )
    return _to(f"/runs/{found.id}#conclusion")


@router.post("/runs/{run}/tags")
def write_tags(request: Request, run: str, form: Reviewed) -> Response:
    """The words put on a run."""
    house = house_of(request)
    found = _run(house, form.who, run)
    house.history.tag(found.id, [each[:60] for each in form.get("tags").split(",")][:30], actor=form.who.name)
    return _to(f"/runs/{found.id}#conclusion")


@router.post("/runs/{run}/delete")
def delete(request: Request, run: str, form: Removed) -> Response:
    """Takes a run away."""
    remove(house_of(request), form.who, run)
    return _to("/history")


# -- history -----------------------------------------------------------------------------------------------------------


@router.get("/history")
def history_page(
    request: Request,
    who: Reader,
    q: Annotated[str, Query(max_length=500)] = "",
    level: str = "",
    kind: str = "",
    model: str = "",
    tag: str = "",
    since: str = "",
    until: str = "",
    sort: str = "newest",
    cursor: str = "",
) -> Response:
    """Every inference that was run: searched, filtered with counts, sorted, selected."""
    house = house_of(request)
    search = Search(q, level, kind, model, tag, who.desk, since, until, sort)
    found = house.history.page(search, cursor=cursor, limit=RUNS_SHOWN)
    chosen = {
        name: value
        for name, value in asdict(search).items()
        if value and name not in ("owner", "words") and (name, value) != ("sort", "newest")
    } | ({"q": q} if q else {})

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
        counts=house.history.counts(search),
        address=address,
        may={scope: who.may(scope) for scope in ("analyse", "delete")},
        models=list(known_models()),
    )


@router.get("/history/export.{form}")
def export(
    request: Request,
    who: Reader,
    form: str,
    q: str = "",
    level: str = "",
    kind: str = "",
    model: str = "",
    tag: str = "",
    since: str = "",
    until: str = "",
    sort: str = "newest",
) -> Response:
    """The runs of a search as a table for other programs."""
    house = house_of(request)
    runs = house.history.every(Search(q, level, kind, model, tag, who.desk, since, until, sort))
    return _exported(list(runs), form)


def _exported(runs: list[Run], form: str) -> Response:
    rows = [{name: value for name, value in asdict(run).items() if name in EXPORTED} for run in runs]
    headers = {"Content-Disposition": f'attachment; filename="fakelab-history.{form}"', "Cache-Control": "no-store"}
    if form == "json":
        text = json.dumps(rows, indent=2, ensure_ascii=False)
        return Response(text, media_type="application/json", headers=headers)
    if form != "csv":
        raise unknown_name("format", form, ("csv", "json"))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(EXPORTED)
    for row in rows:
        row["tags"] = " ".join(row["tags"])
        writer.writerow([_cell(row[name]) for name in EXPORTED])
    return PlainTextResponse(out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _cell(value: object) -> object:
    # A spreadsheet takes a cell that begins so for a formula.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


@router.post("/history/selected")
def selected(request: Request, form: Looked) -> Response:
    """What is done with the runs that were ticked: compared, exported, analysed again, deleted."""
    house = house_of(request)
    runs = [_run(house, form.who, each) for each in form.every("run")[:1000]]
    if not runs:
        raise UsageError("no analysis is selected", "", "Tick some in the list.")
    match form.get("do"):
        case "compare":
            if len(runs) != COMPARED:
                raise UsageError("two analyses can be compared", f"{len(runs)} are selected", "Tick two.")
            return _to(f"/compare?a={runs[0].id}&b={runs[1].id}")
        case "csv" | "json" as kind:
            return _exported(runs, kind)
        case "again":
            form.who.need("analyse")
            return _again(house, form, runs)
        case "delete":
            form.who.need("delete")
            for each in runs:
                remove(house, form.who, each.id)
            return _to("/history")
        case other:
            raise unknown_name("action", other, ("compare", "csv", "json", "again", "delete"))


@router.post("/runs/{run}/again")
def again(request: Request, run: str, form: Asked) -> Response:
    """One run done again."""
    house = house_of(request)
    return _again(house, form, [_run(house, form.who, run)])


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
    return _to(f"/rescored/{batch}")


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
    runs = [_run(house, who, each) for each in (a, b)]
    for each in runs:
        if each.error:
            raise UsageError(f"'{each.name}' cannot be compared", "it could not be analysed", "Choose another.")
    results = [result_of(house, each) for each in runs]
    # Both lie on one page: what is unique on a page must differ.
    results = [
        replace(each, findings=tuple(replace(view, key=f"{side}-{view.key}") for view in each.findings))
        for side, each in zip("ab", results, strict=True)
    ]
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


# -- models, training, settings, help ----------------------------------------------------------------------------------


@router.get("/models")
def models_page(request: Request, who: Reader) -> Response:
    """The cards of the models."""
    return page(
        request, "models.html.j2", cards=list(known_models().values()), default=house_of(request).settings.model
    )


@router.get("/training")
def training_page(request: Request, who: Reader) -> Response:
    """Training runs: their curves and settings."""
    house = house_of(request)
    runs = trainings(house.settings.data_dir)
    drawn = [(each, curve_svg(each, key=f"t{number}")) for number, each in enumerate(runs[:20])]
    return page(request, "training.html.j2", runs=drawn, folder=house.settings.data_dir / "training")


@router.get("/settings")
def settings_page(request: Request, who: Reader) -> Response:
    """Every setting with its value and where it comes from; the versions; the key that signs."""
    house = house_of(request)
    hidden = {"database"}
    rows = [
        (
            row,
            "set" if name in hidden and getattr(house.settings, name) else getattr(house.settings, name),
            origin(name),
        )
        for name, row in table().items()
    ]
    admin = who.may("admin")
    return page(
        request,
        "settings.html.j2",
        rows=rows,
        versions=versions(),
        fingerprint=fingerprint(house.signer.public_key),
        public_key=house.signer.public_key,
        users=house.accounts.users() if admin and not house.local else [],
        keys=house.accounts.keys() if admin else [],
        counts=house.jobs.counts(),
        admin=admin,
    )


@router.get("/audit")
def audit_page(request: Request, who: Admin, before: Annotated[int, Query(ge=0)] = 0, verify: bool = False) -> Response:
    """The log of everything that was done, newest first, and whether it is whole."""
    history = house_of(request).history
    events = history.newest_events(EVENTS_SHOWN, before)
    return page(
        request,
        "audit.html.j2",
        events=events,
        older=events[-1].seq if events and events[-1].seq > 1 else 0,
        before=before,
        head=history.head(),
        sound=check(history) if verify else None,
    )


@router.get("/help")
def help_page(request: Request, who: Reader) -> Response:
    """How to read a result, limits, glossary."""
    return page(request, "help.html.j2", meanings=meanings(), levels=LEVEL_WORDS, Level=Level)


@router.post("/language")
def choose_language(request: Request, form: Looked) -> Response:
    """Takes another language for this browser."""
    language = form.get("language")
    if language not in i18n.LANGUAGES:
        raise unknown_name("language", language, i18n.LANGUAGES)
    back = form.get("back")
    answer = _to(back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/")
    answer.set_cookie(i18n.COOKIE, language, max_age=365 * 24 * 3600, samesite="strict", httponly=True, path="/")
    return answer


# -- signing in --------------------------------------------------------------------------------------------------------


@router.get("/login")
async def login_page(request: Request, next: str = "/") -> Response:
    """Where people sign in; in local mode, how to."""
    if await find_who(request):
        return _to(_inside(next))
    return page(request, "login.html.j2", next=_inside(next), wrong="")


@router.post("/login")
async def login(request: Request) -> Response:
    """Signs in with a name and a password."""
    from fakelab.errors import TooManyError
    from fakelab.web.auth import refuse_other_sites, set_cookie, small_form

    refuse_other_sites(request)
    fields = dict(reversed(await small_form(request)))
    house = house_of(request)
    request.state.who = None
    target = _inside(fields.get("next", "/"))
    where = request.client.host if request.client else ""
    try:
        token, _ = await run_in_threadpool(
            house.accounts.sign_in, fields.get("name", "").strip(), fields.get("password", ""), where=where
        )
    except TooManyError:
        raise
    except FakeLabError as error:
        return page(request, "login.html.j2", status=error.http_status, next=target, wrong=str(error))
    answer = _to(target)
    set_cookie(request, answer, token)
    return answer


@router.get("/enter")
def enter(request: Request, ticket: str = "") -> Response:
    """The address that `fakelab serve` printed: its one-time token becomes a session."""
    from fakelab.errors import NotSignedInError
    from fakelab.web.auth import COOKIE, set_cookie

    house = house_of(request)
    try:
        token, _ = house.accounts.redeem(ticket)
    except NotSignedInError:
        # Opened once more, as a bookmark: whoever has a session already just goes in.
        current = request.cookies.get(COOKIE, "")
        if current and house.accounts.who_of_session(current):
            return _to("/")
        raise
    answer = _to("/")
    set_cookie(request, answer, token)
    return answer


@router.post("/logout")
def logout(request: Request, form: Looked) -> Response:
    """Ends the session."""
    from fakelab.web.auth import COOKIE

    house_of(request).accounts.sign_out(request.cookies.get(COOKIE, ""))
    answer = _to("/login")
    answer.delete_cookie(COOKIE, path="/")
    return answer


def _inside(address: str) -> str:
    """An address of ours, never one of somebody else's."""
    return address if address.startswith("/") and not address.startswith(("//", "/\\")) else "/"


@router.get("/strings.json")
def strings(request: Request) -> Response:
    """The words that scripts show, in the language of the page."""
    return JSONResponse(i18n.catalogue(i18n.language_of(request)))
