"""Who asks, and whether they may: a cookie of a session, or a key in the header Authorization.

Pages are protected from other pages by three things at once: the cookie is SameSite=Strict, the browser's own word
(Sec-Fetch-Site, Origin) must not name another site, and every request that changes something carries the session's
token, in a header or in a field of its form.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from fakelab.errors import DeniedError, LimitError, NotSignedInError
from fakelab.service.accounts import Who
from fakelab.web.house import House

COOKIE = "fakelab"
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
FORM_BYTES = 1 << 20
FORM_FIELDS = 5000
SESSION_S = 7 * 24 * 3600


def house_of(request: Request) -> House:
    """The house that the application was made for."""
    found: House = request.app.state.house
    return found


async def find_who(request: Request) -> Who | None:
    """Who asks, if it is known; looked up once for each request."""
    if not hasattr(request.state, "who"):
        request.state.who = await run_in_threadpool(_look_up, request)
    found: Who | None = request.state.who
    return found


def _look_up(request: Request) -> Who | None:
    accounts = house_of(request).accounts
    header = request.headers.get("authorization", "")
    if header:
        kind, _, secret = header.partition(" ")
        return accounts.who_of_key(secret.strip()) if kind.lower() == "bearer" else None
    token = request.cookies.get(COOKIE, "")
    return accounts.who_of_session(token) if token else None


async def known(request: Request) -> Who:
    """Who asks. Raises NotSignedInError, and DeniedError for a request from another site."""
    who = await find_who(request)
    if who is None:
        raise NotSignedInError(
            "you are not signed in",
            "",
            "Open the address that `fakelab serve` printed, or send a key: Authorization: Bearer fl_...",
        )
    house_of(request).rates.take(f"{who.via} {who.name} {who.desk}")
    if who.via != "key":
        refuse_other_sites(request)
    return who


def refuse_other_sites(request: Request) -> None:
    """Raises DeniedError if the browser says that another site's page made this request change something."""
    if request.method in SAFE:
        return
    site = request.headers.get("sec-fetch-site", "none")
    origin = request.headers.get("origin", "")
    host = request.headers.get("host", "")
    if site not in ("same-origin", "none") or (origin and urlsplit(origin).netloc != host):
        raise DeniedError("this request came from another site", "", "Use FakeLab's own pages.")


def check_csrf(request: Request, who: Who, token: str | None = None) -> None:
    """Raises DeniedError for a request by cookie that does not carry the session's token."""
    if who.via == "key" or request.method in SAFE:
        return
    given = token if token is not None else request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(given.encode(), who.csrf.encode()):
        raise DeniedError("this form is out of date", "its token does not fit", "Reload the page and try again.")


def allowed(scope: str) -> Callable[[Request], Awaitable[Who]]:
    """A dependency: whoever asks may do this, and a request that changes something carries the token as a header."""

    async def check(request: Request) -> Who:
        who = await known(request)
        check_csrf(request, who)
        who.need(scope)
        return who

    return check


@dataclass(frozen=True, slots=True)
class Posted:
    """A form that was sent: by whom, and its fields, the first of each name, and all."""

    who: Who
    fields: dict[str, str]
    all: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """A field without spaces around it; empty if it was not sent."""
        return self.fields.get(name, "").replace("\0", "").strip()

    def every(self, name: str) -> list[str]:
        """All values of a field."""
        return [value for key, value in self.all if key == name]


async def small_form(request: Request) -> tuple[tuple[str, str], ...]:
    """The fields of a urlencoded form. Raises LimitError above a megabyte."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES:
            raise LimitError("this form is too large", f"more than {FORM_BYTES >> 20} MB", "")
    try:
        return tuple(parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=FORM_FIELDS))
    except ValueError as error:
        raise LimitError("this form has too many fields", f"more than {FORM_FIELDS}", "") from error


def posted(scope: str) -> Callable[[Request], Awaitable[Posted]]:
    """A dependency: a form with the session's token in it, from someone who may do this."""

    async def check(request: Request) -> Posted:
        who = await known(request)
        rows = await small_form(request)
        fields: dict[str, str] = {}
        for name, value in rows:
            fields.setdefault(name, value)
        check_csrf(request, who, fields.get(CSRF_FIELD, ""))
        who.need(scope)
        return Posted(who, fields, rows)

    return check


Reader = Annotated[Who, Depends(allowed("read"))]
Analyst = Annotated[Who, Depends(allowed("analyse"))]
Reviewer = Annotated[Who, Depends(allowed("review"))]
Remover = Annotated[Who, Depends(allowed("delete"))]
Admin = Annotated[Who, Depends(allowed("admin"))]


def set_cookie(request: Request, response: Response, token: str) -> None:
    """Gives the browser its session: out of reach of scripts, sent to this site alone, over TLS where there is any."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
        path="/",
    )
