"""The REST interface, /api/v1: files handed in, results read, reports fetched, conclusions written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from fakelab.analyze import known_models
from fakelab.errors import ConflictError, UsageError, unknown_name
from fakelab.records import Level
from fakelab.service.accounts import Who
from fakelab.service.chain import sha256_of_json
from fakelab.service.intake import CHOICES, Taken, shown_name
from fakelab.service.jobs import DONE, FAILED, Asked, Job
from fakelab.service.reporting import FORMATS, sealed_report
from fakelab.service.runs import Run, Search
from fakelab.service.webhooks import Webhooks
from fakelab.web.auth import Admin, Analyst, Reader, Remover, Reviewer, house_of
from fakelab.web.events import shown
from fakelab.web.files import artifact_answer, media_answer
from fakelab.web.house import House
from fakelab.web.problems import MEDIA_TYPE as PROBLEM
from fakelab.web.receive import ReceivedFile, received
from fakelab.web.uploads import Upload, metadata

TUS = "1.0.0"
MOST_LISTED = 200
REPORT_TYPES = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "zip": "application/zip",
    "text": "text/plain; charset=utf-8",
}
Id = Annotated[str, Path(pattern="^[0-9a-z]{16}$", description="The identifier of an analysis.", examples=["0" * 16])]
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"description": text, "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for code, text in {
        400: "The request cannot be used",
        401: "Nobody is signed in, and no key was sent",
        403: "Whoever asks may not do this",
        404: "There is none",
        405: "No such method here",
        408: "Nothing came for a minute",
        409: "It does not fit the state that it is in",
        413: "Too large",
        415: "Not a kind of body or file that is read",
        422: "The request does not fit its description",
        429: "No room: Retry-After says when to come back",
    }.items()
}
router = APIRouter(prefix="/api/v1", responses=_PROBLEMS)


class Problem(BaseModel):
    """What went wrong, in the words of RFC 9457."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str


class Choices(BaseModel):
    """What may be chosen for an analysis; what is left out is as the server has it."""

    model_config = ConfigDict(extra="forbid")
    model: str | None = Field(None, max_length=64)
    finder: str | None = Field(None, max_length=64)
    thorough: bool | None = None
    every_s: float | None = Field(None, gt=0, le=86_400)
    prior: float | None = Field(None, gt=0, lt=1)


class NewAnalysis(Choices):
    """An analysis of an upload that is whole, or of a link."""

    upload: str | None = Field(None, max_length=64, description="The identifier of a finished upload.")
    url: str | None = Field(None, max_length=4096, description="A link; needs the extra 'url'.")
    webhook: str | None = Field(None, max_length=2048, description="Told when it is over, if the server allows it.")


class Analysis(BaseModel):
    """An analysis: how far it is, and its result once there is one."""

    id: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    name: str
    stage: str | None = None
    done: int | None = None
    total: int | None = None
    position: Annotated[int | None, Field(description="How many wait before it.")] = None
    sha256: str | None = None
    created: str | None = None
    ended: str | None = None
    error: dict[str, str] | None = None
    level: str | None = None
    p_fake: float | None = None
    sentence: str | None = None
    tags: list[str] = []
    conclusion: str | None = None
    known: Annotated[bool, Field(description="Whether the answer was in this desk's record already.")] = False
    links: dict[str, str] = {}
    result: Annotated[dict[str, Any] | None, Field(description="The document, in the schema fakelab.analysis/1.")] = (
        None
    )


class Analyses(BaseModel):
    """A page of analyses, and where the next one begins."""

    analyses: list[Analysis]
    cursor: str | None = None
    total: int


class NewReview(BaseModel):
    """An analyst's own conclusion, kept beside the machine's result."""

    model_config = ConfigDict(extra="forbid")
    conclusion: str = Field(min_length=1, max_length=500)
    notes: str = Field("", max_length=20_000)


class Review(NewReview):
    """A conclusion, with who wrote it, and when."""

    at: str
    actor: str


class Tags(BaseModel):
    """The words put on an analysis, all of them."""

    model_config = ConfigDict(extra="forbid")
    tags: list[Annotated[str, Field(min_length=1, max_length=60)]] = Field(max_length=30)


# -- uploads: tus 1.0.0 ------------------------------------------------------------------------------------------------


@router.options("/uploads", status_code=204, tags=["uploads"])
def upload_options(request: Request) -> Response:
    """What this server's uploads can do: the core of tus 1.0.0, and creation."""
    return Response(
        status_code=204,
        headers={
            "Tus-Resumable": TUS,
            "Tus-Version": TUS,
            "Tus-Extension": "creation,termination",
            "Tus-Max-Size": str(house_of(request).uploads.most_bytes),
        },
    )


@router.post("/uploads", status_code=201, tags=["uploads"])
def begin_upload(
    request: Request,
    who: Analyst,
    upload_length: Annotated[int, Header(ge=0, le=1 << 53, description="Bytes of the whole file.")],
    upload_metadata: Annotated[str, Header(max_length=4096, description="filename, in base64, as tus has it.")] = "",
) -> Response:
    """Begins a resumable upload; Location is where its bytes go."""
    house = house_of(request)
    house.intake.check_room()
    name = shown_name(metadata(upload_metadata).get("filename", "") or "file")
    made = house.uploads.begin(name, upload_length, who.desk)
    return Response(
        status_code=201,
        headers={"Location": f"/api/v1/uploads/{made.id}", "Tus-Resumable": TUS, "Upload-Offset": "0"},
    )


@router.head("/uploads/{upload}", tags=["uploads"])
def look_at_upload(request: Request, who: Analyst, upload: Id) -> Response:
    """How many bytes of an upload are here."""
    found = house_of(request).uploads.get(upload, who.desk)
    return Response(headers=_upload_headers(found) | {"Cache-Control": "no-store", "Upload-Length": str(found.size)})


@router.patch("/uploads/{upload}", status_code=204, tags=["uploads"])
async def add_to_upload(
    request: Request, who: Analyst, upload: Id, upload_offset: Annotated[int, Header(ge=0, le=1 << 53)]
) -> Response:
    """Adds bytes to an upload, at the offset where it is. The body is application/offset+octet-stream."""
    if request.headers.get("content-type") != "application/offset+octet-stream":
        return JSONResponse(
            {
                "type": "about:blank",
                "title": "Wrong kind of body",
                "status": 415,
                "detail": "Send offset+octet-stream.",
            },
            415,
            media_type=PROBLEM,
        )
    house = house_of(request)
    found = await run_in_threadpool(house.uploads.get, upload, who.desk)
    added = await house.uploads.add(found, upload_offset, request.stream())
    house.metrics.taken.inc(added.offset - found.offset)
    return Response(status_code=204, headers=_upload_headers(added))


@router.delete("/uploads/{upload}", status_code=204, tags=["uploads"])
def drop_upload(request: Request, who: Analyst, upload: Id) -> Response:
    """Takes an upload away."""
    uploads = house_of(request).uploads
    uploads.drop(uploads.get(upload, who.desk).id)
    return Response(status_code=204, headers={"Tus-Resumable": TUS})


def _upload_headers(upload: Upload) -> dict[str, str]:
    return {"Tus-Resumable": TUS, "Upload-Offset": str(upload.offset)}


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

    body = await request.body()
    if len(body) > 64 << 10:
        raise UsageError("the request is too large", "", "")
    try:
        return NewAnalysis.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise UsageError("the request cannot be used", f"{where}: {first['msg']}", "") from error


def _take_json(house: House, who: Who, asked: NewAnalysis, key: str) -> Taken:
    if bool(asked.upload) == bool(asked.url):
        raise UsageError("name either an upload or a url", "", "")
    choices = {name: value for name in CHOICES if (value := getattr(asked, name)) is not None}
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


def take_file(house: House, who: Who, file: ReceivedFile, fields: Mapping[str, Any], key: str = "") -> Taken:
    """A file that came becomes an analysis of whoever sent it."""
    choices = {name: value for name, value in fields.items() if name in CHOICES and value not in ("", None)}
    webhook = str(fields.get("webhook") or "")
    if webhook:
        Webhooks(house.settings.data_dir, house.settings.webhooks).check(webhook)
    return house.intake.take(
        Asked(
            name=shown_name(file.name),
            owner=who.desk,
            actor=who.name,
            acquired="upload",
            size_bytes=file.size,
            sha256=file.sha256,
            choices=choices,
            request_key=key,
            request_hash=sha256_of_json({"file": file.sha256, "choices": choices}) if key else "",
            webhook=webhook,
        ),
        file.path,
    )


def take_link(house: House, who: Who, url: str, choices: Mapping[str, Any], key: str = "", webhook: str = "") -> Taken:
    """A link becomes an analysis; its file is fetched when its turn comes."""
    if webhook:
        Webhooks(house.settings.data_dir, house.settings.webhooks).check(webhook)
    return house.intake.take_link(
        Asked(
            name="",
            owner=who.desk,
            actor=who.name,
            acquired="url",
            url=url,
            choices=choices,
            request_key=key,
            request_hash=sha256_of_json({"url": url, "choices": dict(choices)}) if key else "",
            webhook=webhook,
        )
    )


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
    made = history.review(found.id, actor=who.name, conclusion=body.conclusion, notes=body.notes)
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
        for card in known_models().values()
    ]


@router.get("/audit", tags=["audit"])
def audit(
    request: Request,
    who: Admin,
    after: Annotated[int, Query(ge=0, le=1 << 53)] = 0,
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
        raise unknown_name("analysis", run, []) from error
    if found.id != run:
        raise unknown_name("analysis", run, [])
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
