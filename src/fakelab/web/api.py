"""The REST interface, /api/v1: files handed in, results read, reports fetched, conclusions written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from fakelab.analyze import known_cards
from fakelab.errors import ConflictError, LimitError, UsageError
from fakelab.records import Level
from fakelab.service.accounts import Who
from fakelab.service.history import LARGEST
from fakelab.service.intake import CHOICES, Taken
from fakelab.service.jobs import DONE, FAILED, Job, not_there
from fakelab.service.reporting import FORMATS, sealed_report
from fakelab.service.runs import Run, Search
from fakelab.web.auth import Admin, Analyst, Reader, Remover, Reviewer, house_of
from fakelab.web.events import shown
from fakelab.web.files import artifact_answer, media_answer
from fakelab.web.house import House
from fakelab.web.receive import ReceivedFile, received
from fakelab.web.shapes import PROBLEMS, Analyses, Analysis, Id, NewAnalysis, NewReview, Review, Tags
from fakelab.web.take import take_file, take_link, take_path

TUS = "1.0.0"
MOST_LISTED = 200
JSON_BYTES = 64 << 10
REPORT_TYPES = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "zip": "application/zip",
    "text": "text/plain; charset=utf-8",
}
router = APIRouter(prefix="/api/v1", responses=PROBLEMS)


# -- analyses ----------------------------------------------------------------------------------------------------------

_BODIES = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/NewAnalysis"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        **{name: {"type": "string"} for name in (*CHOICES, "webhook")},
                    },
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.post(
    "/analyses",
    status_code=202,
    tags=["analyses"],
    responses={200: {"model": Analysis, "description": "This desk has the answer already"}},
    response_model=Analysis,
    openapi_extra=_BODIES,
)
async def new_analysis(
    request: Request,
    who: Analyst,
    idempotency_key: Annotated[str, Header(max_length=200, description="A key of the client's own.")] = "",
    name: Annotated[str, Query(max_length=500, description="The name of a file that is the whole body.")] = "",
) -> Response:
    """Hands in a file: multipart, as the whole body, as a finished upload, or as a link.

    202 with the address of the analysis; 200 where the same desk's record has the answer for the same bytes, models,
    settings and version. A repeated Idempotency-Key gives what the first request made.
    """
    house = house_of(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        asked = await _json_body(request)
        taken = await run_in_threadpool(_take_json, house, who, asked, idempotency_key)
    else:
        await run_in_threadpool(house.intake.check_room)
        async with received(request, house.uploads, lambda fields: None) as brought:
            if len(brought.files) != 1:
                raise UsageError("hand in one file", f"{len(brought.files)} came", "Send several requests for several.")
            house.metrics.taken.inc(brought.files[0].size)
            taken = await run_in_threadpool(take_file, house, who, brought.files[0], brought.fields, idempotency_key)
    answer = await run_in_threadpool(_shown, house, who, taken.id)
    answer.known = taken.known
    return JSONResponse(
        answer.model_dump(),
        200 if taken.known else 202,
        {"Location": f"/api/v1/analyses/{taken.id}"},
    )


async def _json_body(request: Request) -> NewAnalysis:
    from pydantic import ValidationError

    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > JSON_BYTES:
            raise LimitError("the request is too large", f"more than {JSON_BYTES >> 10} kB", "")
    try:
        return NewAnalysis.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise UsageError("the request cannot be used", f"{where}: {first['msg']}", "") from error


def _take_json(house: House, who: Who, asked: NewAnalysis, key: str) -> Taken:
    if sum(map(bool, (asked.upload, asked.url, asked.path))) != 1:
        raise UsageError("name an upload, a url or a path", "one of them", "")
    choices = {name: value for name in CHOICES if (value := getattr(asked, name)) is not None}
    if asked.path:
        return take_path(house, who, asked.path, choices)[0]
    if asked.url:
        return take_link(house, who, asked.url, choices, key, asked.webhook or "")
    file, name, sha256 = house.uploads.finish(asked.upload or "", who.desk)
    size = file.stat().st_size
    if not size:
        raise UsageError("the file is empty", "", "")
    taken = take_file(
        house, who, ReceivedFile(file, name, sha256, size), choices | {"webhook": asked.webhook or ""}, key
    )
    house.uploads.drop(asked.upload or "")
    return taken


@router.get("/analyses", tags=["analyses"], response_model=Analyses)
def list_analyses(
    request: Request,
    who: Reader,
    cursor: Annotated[str, Query(pattern="^[0-9]{0,18}$")] = "",
    q: Annotated[str, Query(max_length=500, description="Beginnings of words.")] = "",
    level: Annotated[Level | Literal[""], Query()] = "",
    kind: Annotated[Literal["", "video", "photo", "audio"], Query()] = "",
    model: Annotated[str, Query(max_length=100)] = "",
    tag: Annotated[str, Query(max_length=60)] = "",
    since: Annotated[str, Query(max_length=40, pattern="^[0-9TZ:.-]*$")] = "",
    until: Annotated[str, Query(max_length=40, pattern="^[0-9TZ:.-]*$")] = "",
    sort: Annotated[Literal["newest", "oldest", "suspicious"], Query()] = "newest",
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 50,
) -> Analyses:
    """The analyses of this desk that are over, a page at a time."""
    history = house_of(request).history
    search = Search(q, level, kind, model, tag, who.desk, since, until, sort)
    page = history.page(search, cursor=cursor, limit=limit)
    return Analyses(
        analyses=[_of_run(each) for each in page.runs], cursor=page.cursor or None, total=history.total(search)
    )


@router.get("/jobs", tags=["analyses"])
def list_jobs(request: Request, who: Reader) -> list[dict[str, Any]]:
    """What this desk asked for last, newest first, also what still waits or runs."""
    return [shown(each) for each in house_of(request).jobs.recent(owner=who.desk)]


@router.get("/events", tags=["analyses"], response_class=StreamingResponse)
async def all_events(request: Request, who: Reader) -> StreamingResponse:
    """Server-sent events: every change of this desk's analyses, until the client leaves."""
    return _stream(house_of(request).hub.stream(owner=who.desk))


@router.get("/analyses/{run}", tags=["analyses"], response_model=Analysis)
def get_analysis(request: Request, who: Reader, run: Id) -> Analysis:
    """An analysis: how far it is, and its result once there is one."""
    return _shown(house_of(request), who, run, result=True)


@router.get("/analyses/{run}/events", tags=["analyses"], response_class=StreamingResponse)
async def events(request: Request, who: Reader, run: Id) -> StreamingResponse:
    """Server-sent events of one analysis; they end with it."""
    house = house_of(request)
    await run_in_threadpool(_shown, house, who, run)
    return _stream(house.hub.stream(owner=who.desk, job=run))


@router.get("/analyses/{run}/report.{form}", tags=["analyses"])
def report(
    request: Request, who: Reader, run: Id, form: Annotated[Literal["json", "html", "pdf", "zip", "text"], Path()]
) -> Response:
    """The report of an analysis, signed."""
    house = house_of(request)
    found = house.history.get(run, owner=who.desk)
    return report_answer(house, who, found, form)


def report_answer(house: House, who: Who, run: Run, form: str) -> Response:
    """A signed report to keep."""
    data = sealed_report(house.history, run.id, form, house.signer, actor=who.name)
    headers = {
        "Content-Disposition": f'attachment; filename="fakelab-{run.id}{FORMATS[form]}"',
        "Cache-Control": "private, no-store",
    }
    return Response(data, media_type=REPORT_TYPES[form], headers=headers)


@router.get("/analyses/{run}/artifacts/{name}", tags=["analyses"], response_class=FileResponse)
def artifact(request: Request, who: Reader, run: Id, name: Annotated[str, Path(max_length=120)]) -> Response:
    """A file made from the media: a face, a heat map, a key frame. Takes Range."""
    return artifact_answer(house_of(request), run, name, who.desk)


@router.get("/analyses/{run}/media", tags=["analyses"], response_class=FileResponse)
def media(request: Request, who: Reader, run: Id) -> Response:
    """The file itself, as long as it is kept. Takes Range."""
    house = house_of(request)
    return media_answer(house, house.history.get(run, owner=who.desk), download=True)


@router.post("/analyses/{run}/review", tags=["analyses"], response_model=Review, status_code=201)
def review(request: Request, who: Reviewer, run: Id, body: Annotated[NewReview, Body()]) -> Review:
    """Adds an analyst's conclusion. The machine's result stays as it is."""
    history = house_of(request).history
    found = history.get(run, owner=who.desk)
    made = history.review(
        found.id, actor=who.name, conclusion=body.conclusion.replace("\0", ""), notes=body.notes.replace("\0", "")
    )
    return Review(**asdict(made))


@router.get("/analyses/{run}/review", tags=["analyses"], response_model=list[Review])
def reviews(request: Request, who: Reader, run: Id) -> list[Review]:
    """What analysts concluded, oldest first."""
    history = house_of(request).history
    return [Review(**asdict(each)) for each in history.reviews(history.get(run, owner=who.desk).id)]


@router.put("/analyses/{run}/tags", tags=["analyses"], response_model=Tags)
def tags(request: Request, who: Reviewer, run: Id, body: Annotated[Tags, Body()]) -> Tags:
    """Gives an analysis exactly these tags."""
    history = house_of(request).history
    return Tags(tags=list(history.tag(history.get(run, owner=who.desk).id, body.tags, actor=who.name)))


@router.post("/analyses/{run}/cancel", tags=["analyses"], response_model=Analysis)
def cancel(request: Request, who: Analyst, run: Id) -> Analysis:
    """Takes an analysis out of the queue, or stops it."""
    house = house_of(request)
    house.queue.cancel(house.jobs.cancel(run, owner=who.desk, actor=who.name))
    return _shown(house, who, run)


@router.post("/analyses/{run}/retry", tags=["analyses"], response_model=Analysis)
def retry(request: Request, who: Analyst, run: Id) -> Analysis:
    """Puts a cancelled analysis back into the queue."""
    house = house_of(request)
    house.queue.put(house.jobs.again(run, owner=who.desk, actor=who.name))
    return _shown(house, who, run)


@router.delete("/analyses/{run}", status_code=204, tags=["analyses"])
def delete(request: Request, who: Remover, run: Id) -> Response:
    """Takes an analysis away, with its file and pictures; that it was there stays in the log."""
    remove(house_of(request), who, run)
    return Response(status_code=204)


def remove(house: House, who: Who, run: str) -> None:
    """Deletes a run, or a job that never became one. Raises ConflictError while it waits or runs."""
    job = house.jobs.find(run, owner=who.desk)
    if job is not None and job.open:
        raise ConflictError(f"'{job.name}' cannot be deleted yet", f"it is {job.state}", "Cancel it first.")
    if job is not None and job.state not in (DONE, FAILED):
        house.jobs.forget(run)
        house.history.note(who.name, "deleted", run, why="cancelled before it was analysed")
        return
    house.history.delete(house.history.get(run, owner=who.desk).id, actor=who.name)


@router.get("/models", tags=["models"])
def models(who: Reader) -> list[dict[str, Any]]:
    """The models that there are, with their hashes and what was measured of them."""
    return [
        {
            "name": card.name,
            "version": card.version,
            "summary": card.summary,
            "metrics": card.metrics,
            "files": card.files,
        }
        for card in known_cards()
    ]


@router.get("/audit", tags=["audit"])
def audit(
    request: Request,
    who: Admin,
    after: Annotated[int, Query(ge=0, le=LARGEST)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> dict[str, Any]:
    """The log from an event on, each line bound to the one before by its hash."""
    found = house_of(request).history.events_after(after, limit)
    return {"events": [asdict(each) | {"hash": each.hash} for each in found]}


# -- shown -------------------------------------------------------------------------------------------------------------


def _shown(house: House, who: Who, run: str, *, result: bool = False) -> Analysis:
    job = house.jobs.find(run, owner=who.desk)
    if job is not None and job.state not in (DONE, FAILED):
        return _of_job(house, job)
    if job is not None and job.state == FAILED:
        answer = _of_job(house, job)
        answer.result = house.history.document(run) if result else None
        return answer
    try:
        found = house.history.get(run, owner=who.desk)
    except UsageError as error:
        raise not_there() from error
    if found.id != run:
        raise not_there()
    answer = _of_run(found)
    answer.result = house.history.document(run) if result else None
    return answer


def _of_job(house: House, job: Job) -> Analysis:
    told = shown(job)
    waits = job.state == "waiting"
    kept = ("id", "state", "name", "stage", "done", "total", "sha256", "created", "ended", "error")
    return Analysis(
        **{name: told[name] for name in kept},
        position=house.jobs.waiting_before(job) if waits else None,
        links=_links(job.id, done=False),
    )


def _of_run(run: Run) -> Analysis:
    return Analysis(
        id=run.id,
        state="failed" if run.error else "done",
        name=run.name,
        sha256=run.sha256 or None,
        created=run.started,
        ended=run.ended,
        error={"what": run.error} if run.error else None,
        level=run.level,
        p_fake=run.p_fake,
        sentence=run.sentence,
        tags=list(run.tags),
        conclusion=run.conclusion or None,
        links=_links(run.id, done=not run.error),
    )


def _links(run: str, *, done: bool) -> dict[str, str]:
    base = f"/api/v1/analyses/{run}"
    links = {"self": base, "page": f"/runs/{run}", "events": f"{base}/events"}
    return links | ({form: f"{base}/report.{form}" for form in REPORT_TYPES} if done else {})


def _stream(lines: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(
        lines, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
