"""The application: the pages, the REST interface, and what holds for every answer."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fakelab import __version__, reports
from fakelab.errors import FakeLabError, LimitError, unknown_name
from fakelab.web import api, pages_about, pages_history, pages_run, tus
from fakelab.web.auth import find_who
from fakelab.web.describe import describe
from fakelab.web.house import House
from fakelab.web.metrics import CONTENT_TYPE
from fakelab.web.problems import add_handlers, bug_answer, problem
from fakelab.web.render import STATIC, asset, page
from fakelab.web.rest_page import operations_of, shapes_of

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), interest-cohort=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
}
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]", "::1")
MOST_BODY = 2 << 20
STREAMED = ("/api/v1/analyses", "/analyse")
"""Bodies of any size are streamed to disk here, by handlers that count for themselves."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
access = logging.getLogger("fakelab.access")


def make_app(house: House) -> FastAPI:
    """The application on an open house."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await house.hub.close()

    app = FastAPI(
        title="FakeLab",
        version=__version__,
        description="How strong the evidence is that a video or photo was manipulated, and why.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.house = house
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    add_handlers(app)
    app.include_router(api.router)
    for each in (tus, pages_run, pages_history, pages_about):
        app.include_router(each.router)
    app.get("/healthz", include_in_schema=False)(_alive)
    app.get("/readyz", include_in_schema=False)(_ready)
    app.get("/metrics", include_in_schema=False)(_metrics)
    app.get("/api/docs", include_in_schema=False)(_docs)
    app.get("/static/{name:path}", include_in_schema=False)(_static)
    app.get("/favicon.ico", include_in_schema=False)(
        lambda: FileResponse(STATIC / "icon.svg", media_type="image/svg+xml")
    )
    hosts = [each.strip() for each in house.settings.hosts.split(",") if each.strip()]
    if house.local or hosts:
        # A page of another site, whose name an attacker's server points here, must not reach us.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK_HOSTS, *hosts], www_redirect=False)
    app.add_middleware(EveryAnswer, house=house)
    return app


def static_file(name: str) -> Path:
    """A file that pages load. Raises UnknownNameError."""
    if name == "report.css":
        return Path(reports.__file__).parent / "templates" / "report.css"
    path = STATIC / name
    if "/" in name or name.startswith(".") or not path.is_file():
        raise unknown_name("file", name, [])
    return path


class EveryAnswer:
    """Headers that keep a browser from harm, and a line in the log that names nobody and no file.

    Plain ASGI, so that bodies of any size stream through.
    """

    def __init__(self, app: ASGIApp, house: House) -> None:
        self._app, self._house = app, house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = secrets.token_hex(8)
        begun = False
        come = 0
        streams = scope["path"].startswith("/api/v1/uploads") or scope["path"] in STREAMED

        async def received() -> Message:
            nonlocal come
            message = await receive()
            come += len(message.get("body", b""))
            if come > MOST_BODY and not streams:
                raise LimitError("the request is too large", f"more than {MOST_BODY >> 20} MB", "")
            return message

        async def sent(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                headers["X-Request-Id"] = request_id
                self._note(scope, message["status"], time.perf_counter() - started, request_id)
            await send(message)

        try:
            if b"%00" in scope.get("raw_path", b"") or b"%00" in scope.get("query_string", b""):
                await JSONResponse(problem(400, "an address holds no NUL"), 400)(scope, receive, sent)
                return
            await self._app(scope, received, sent)
        except Exception as error:
            if begun:
                raise
            answer = bug_answer(Request(scope, receive), error)
            await answer(scope, receive, sent)

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = getattr(scope.get("route"), "path", "other")
        self._house.metrics.requests.labels(method, route, str(status)).inc()
        self._house.metrics.seconds.labels(route).observe(seconds)
        facts = {"id": request_id, "method": method, "route": route, "status": status, "ms": round(1000 * seconds, 1)}
        access.info("request", extra={"facts": facts})


def _static(request: Request, name: str) -> Response:
    types = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    path = static_file(name)
    marked = bool(request.url.query) and asset(name).endswith(f"?{request.url.query}")
    return FileResponse(
        path,
        media_type=types.get(path.suffix, "application/octet-stream"),
        # For ever only under an address that names its content: modules import each other without.
        headers={"Cache-Control": "public, max-age=31536000, immutable" if marked else "no-cache"},
    )


def _alive() -> dict[str, str]:
    return {"status": "ok", "version": __version__}


def _ready(request: Request) -> Response:
    """Whether the server can take files: its database answers, and it is not stopping."""
    house: House = request.app.state.house
    try:
        waiting = house.jobs.counts()
    except FakeLabError as error:
        return JSONResponse(problem(503, str(error)), 503)
    if house.stopping:
        return JSONResponse(problem(503, "the server is stopping"), 503)
    return JSONResponse({"status": "ready", "jobs": waiting})


async def _metrics(request: Request) -> Response:
    """For Prometheus: open to this machine, else with a key."""
    house: House = request.app.state.house
    client = request.client.host if request.client else ""
    who = await find_who(request)
    if not client.startswith("127.") and client not in ("::1", "testclient") and not (who and who.may("read")):
        return JSONResponse(problem(401, "send a key"), 401)
    return Response(await run_in_threadpool(house.metrics.text), media_type=CONTENT_TYPE)


async def _docs(request: Request) -> Response:
    """The page of the REST interface, made from its description."""
    await find_who(request)
    document = request.app.openapi()
    return page(
        request,
        "api.html.j2",
        openapi=document["openapi"],
        operations=operations_of(document, str(request.base_url).rstrip("/")),
        shapes=shapes_of(document),
    )
