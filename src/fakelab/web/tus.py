"""Resumable uploads over the REST interface: tus 1.0.0."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from fakelab.service.intake import shown_name
from fakelab.web.auth import Analyst, house_of
from fakelab.web.problems import MEDIA_TYPE as PROBLEM
from fakelab.web.shapes import PROBLEMS, Id
from fakelab.web.uploads import Upload, metadata

TUS = "1.0.0"
router = APIRouter(prefix="/api/v1", responses=PROBLEMS, tags=["uploads"])


@router.options("/uploads", status_code=204)
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


@router.post("/uploads", status_code=201)
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


@router.head("/uploads/{upload}")
def look_at_upload(request: Request, who: Analyst, upload: Id) -> Response:
    """How many bytes of an upload are here."""
    found = house_of(request).uploads.get(upload, who.desk)
    return Response(headers=_upload_headers(found) | {"Cache-Control": "no-store", "Upload-Length": str(found.size)})


@router.patch("/uploads/{upload}", status_code=204)
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


@router.delete("/uploads/{upload}", status_code=204)
def drop_upload(request: Request, who: Analyst, upload: Id) -> Response:
    """Takes an upload away."""
    uploads = house_of(request).uploads
    uploads.drop(uploads.get(upload, who.desk).id)
    return Response(status_code=204, headers={"Tus-Resumable": TUS})


def _upload_headers(upload: Upload) -> dict[str, str]:
    return {"Tus-Resumable": TUS, "Upload-Offset": str(upload.offset)}
