"""Errors as answers: problem details (RFC 9457) for programs, a page for people."""

from __future__ import annotations

import logging
import math
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from fakelab.errors import FakeLabError, NotSignedInError, TooManyError
from fakelab.web.render import error_page

MEDIA_TYPE = "application/problem+json"
log = logging.getLogger("fakelab.server")
_TITLES = {
    400: "The request cannot be used",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "This address does not take that method",
    408: "Nothing came for too long",
    409: "It does not fit the state that it is in",
    413: "Too large",
    415: "Not a kind of file that is read",
    416: "The file has no such range",
    422: "Not analysable",
    429: "Come back later",
    500: "FakeLab failed",
    503: "Not ready",
}


def add_handlers(app: FastAPI) -> None:
    """Makes every error of this application an answer that says what failed, why, and what to do."""
    app.add_exception_handler(FakeLabError, _ours)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)


def problem(status: int, detail: str, **more: Any) -> dict[str, Any]:
    """A problem in the words of RFC 9457."""
    return {"type": "about:blank", "title": _TITLES.get(status, "Error"), "status": status, "detail": detail} | more


def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, FakeLabError)
    status = error.http_status
    headers = {}
    if isinstance(error, TooManyError):
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    if isinstance(error, NotSignedInError):
        headers["WWW-Authenticate"] = "Bearer"
    if status >= 500:
        log.error("request failed: %s", error.code)
    told = {"code": error.code, "what": error.what, "why": error.why, "do": error.do}
    return _answer(request, status, str(error), headers, **told)


def _unfit(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(each) for each in first["loc"] if each not in ("body", "query", "path", "header"))
    return _answer(
        request, 422, f"{where or 'the request'}: {first['msg'][:1].lower()}{first['msg'][1:]}.", {}, code="usage"
    )


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = "There is nothing at this address." if error.status_code == 404 else str(error.detail)
    return _answer(request, error.status_code, detail, dict(error.headers or {}), code="http")


def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)


def bug_answer(request: Request, error: Exception) -> Response:
    """The answer to a request that met a fault of ours, which the log tells of."""
    if isinstance(error, FakeLabError):
        return _ours(request, error)
    log.error("request failed: a bug, %s", type(error).__name__, exc_info=error)
    return _answer(
        request, 500, f"FakeLab has a bug: {type(error).__name__}. The server's log says where.", {}, code="bug"
    )


def _answer(request: Request, status: int, detail: str, headers: dict[str, str], **more: Any) -> Response:
    if is_page(request):
        if status == 401 and request.method == "GET":
            return RedirectResponse(f"/login?next={_here(request)}", status_code=303)
        return error_page(request, status, _TITLES.get(status, "Error"), detail, more.get("do", ""), headers)
    return JSONResponse(problem(status, detail, **more), status, headers, MEDIA_TYPE)


def is_page(request: Request) -> bool:
    """Whether a person's browser asks, for a page."""
    path = request.url.path
    return not path.startswith(("/api/", "/static/", "/healthz", "/readyz", "/metrics")) and "text/html" in (
        request.headers.get("accept", "")
    )


def _here(request: Request) -> str:
    from urllib.parse import quote

    query = f"?{request.url.query}" if request.url.query else ""
    return quote(f"{request.url.path}{query}", safe="")
