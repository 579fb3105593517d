"""The pages about the instance: models, training runs, settings, the log, help; and signing in."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from fakelab.analyze import known_cards, versions
from fakelab.errors import FakeLabError, unknown_name
from fakelab.records import LEVEL_WORDS, Level, ModelCard
from fakelab.reports.html import meanings
from fakelab.service.audit import check
from fakelab.service.history import LARGEST
from fakelab.service.seal import fingerprint
from fakelab.service.trainings import trainings
from fakelab.settings import origin, table
from fakelab.web import i18n, oidc
from fakelab.web.auth import Admin, Reader, find_who, house_of, set_cookie
from fakelab.web.curves import FALSE_ALARMS, curve_svg, reliability_svg, roc_readings, roc_svg
from fakelab.web.forms import Looked, inside, to
from fakelab.web.render import page

EVENTS_SHOWN = 100
_MANY = {"video": "videos", "photo": "photos", "audio": "recordings"}
router = APIRouter(include_in_schema=False)


@router.get("/models")
def models_page(request: Request, who: Reader) -> Response:
    """The cards of the models."""
    cards = known_cards()
    return page(
        request,
        "models.html.j2",
        cards=cards,
        default=house_of(request).settings.model,
        charts={card.name: charts_of(card) for card in cards},
        false_alarms=FALSE_ALARMS,
    )


def charts_of(card: ModelCard) -> dict[str, Any]:
    """The figures of a card with their tables: ROC curves by set, reliability by kind of media; why any is missing."""
    curves = {
        name.replace("_", " "): row["roc"]
        for name, row in card.metrics.items()
        if isinstance(row, dict) and row.get("roc")
    }
    bins = {kind: row["reliability"] for kind, row in card.calibration.items() if row.get("reliability")}
    return {
        "roc": roc_svg(curves, f"roc-{card.name}", card.name) if curves else None,
        "roc_rows": [(name, roc_readings(points)) for name, points in curves.items()],
        "reliability": [
            (
                _MANY[kind],
                reliability_svg(rows, f"reliability-{card.name}-{kind}", f"Reliability of {card.name}, {_MANY[kind]}"),
                rows,
            )
            for kind, rows in bins.items()
        ],
        "missing": _missing(card, roc=not curves),
    }


def _missing(card: ModelCard, *, roc: bool) -> list[str]:
    """What a card has no figure of, each with the reason. Cards that name a `method` could record reliability."""
    if not card.metrics:
        return ["Nothing was measured of this model."]
    said = ["No ROC curve: this card was made before points of it were recorded."] if roc else []
    if not card.calibration:
        return [*said, "No reliability diagram: this model states no probability."]
    lacking = {kind: "method" in row for kind, row in card.calibration.items() if not row.get("reliability")}
    early = " and ".join(_MANY[kind] for kind, could in lacking.items() if not could)
    few = " and ".join(_MANY[kind] for kind, could in lacking.items() if could)
    if early:
        said.append(f"No reliability diagram of {early}: this card was made before reliability was recorded.")
    if few:
        said.append(f"No reliability diagram of {few}: too few sources were measured to judge each without itself.")
    return said


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
    hidden = {"database", "oidc_secret", "webhooks"}
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
def audit_page(
    request: Request, who: Admin, before: Annotated[int, Query(ge=0, le=LARGEST)] = 0, verify: bool = False
) -> Response:
    """The log of everything that was done, newest first, and whether it is whole."""
    history = house_of(request).history
    events = history.newest_events(EVENTS_SHOWN, before)
    return page(
        request,
        "audit.html.j2",
        events=events,
        # A deleted record's events stay, without a page that they could lead to.
        there={run.id for run in history.several(sorted({each.run for each in events if each.run}))},
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
    answer = to(back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/")
    answer.set_cookie(i18n.COOKIE, language, max_age=365 * 24 * 3600, samesite="strict", httponly=True, path="/")
    return answer


@router.get("/login")
async def login_page(request: Request, next: str = "/") -> Response:
    """Where people sign in; in local mode, how to."""
    if await find_who(request):
        return to(inside(next))
    return page(request, "login.html.j2", next=inside(next), wrong="", provider=house_of(request).provider is not None)


@router.post("/login")
async def login(request: Request) -> Response:
    """Signs in with a name and a password."""
    from fakelab.errors import TooManyError
    from fakelab.web.auth import refuse_other_sites, small_form

    refuse_other_sites(request)
    fields = dict(reversed(await small_form(request)))
    house = house_of(request)
    request.state.who = None
    target = inside(fields.get("next", "/"))
    where = request.client.host if request.client else ""
    try:
        token, _ = await run_in_threadpool(
            house.accounts.sign_in, fields.get("name", "").strip(), fields.get("password", ""), where=where
        )
    except TooManyError:
        raise
    except FakeLabError as error:
        provider = house.provider is not None
        return page(
            request, "login.html.j2", status=error.http_status, next=target, wrong=str(error), provider=provider
        )
    answer = to(target)
    set_cookie(request, answer, token)
    return answer


@router.get("/oidc/start")
def oidc_start(request: Request, next: str = "/") -> Response:
    """Sends the browser to the identity provider."""
    provider = house_of(request).provider
    if provider is None:
        raise unknown_name("way to sign in", "oidc", [])
    start = provider.start(_callback(request), inside(next))
    answer = to(start.address)
    # Lax, since the browser comes back from another site.
    answer.set_cookie(
        oidc.COOKIE,
        start.cookie,
        max_age=oidc.FRESH_S,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
        path=oidc.PATH,
    )
    return answer


@router.get("/oidc/callback")
def oidc_callback(request: Request, state: str = "", code: str = "") -> Response:
    """Where the identity provider sends the browser back to."""
    house = house_of(request)
    if house.provider is None:
        raise unknown_name("way to sign in", "oidc", [])
    token, _, target = house.provider.finish(request.cookies.get(oidc.COOKIE, ""), state, code)
    request.state.who = None
    # A page of ours in between: on a road that began at another site browsers would hold our cookie back.
    answer = page(request, "entered.html.j2", target=target)
    set_cookie(request, answer, token)
    answer.delete_cookie(oidc.COOKIE, path=oidc.PATH)
    return answer


def _callback(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers.get('host', '')}{oidc.PATH}/callback"


@router.get("/enter")
def enter(request: Request, ticket: str = "") -> Response:
    """The address that `fakelab serve` printed: its one-time token becomes a session."""
    from fakelab.errors import NotSignedInError
    from fakelab.web.auth import COOKIE

    house = house_of(request)
    try:
        token, _ = house.accounts.redeem(ticket)
    except NotSignedInError:
        # Opened once more, as a bookmark: whoever has a session already just goes in.
        current = request.cookies.get(COOKIE, "")
        if current and house.accounts.who_of_session(current):
            return to("/")
        raise
    answer = to("/")
    set_cookie(request, answer, token)
    return answer


@router.post("/logout")
def logout(request: Request, form: Looked) -> Response:
    """Ends the session."""
    from fakelab.web.auth import COOKIE

    house_of(request).accounts.sign_out(request.cookies.get(COOKIE, ""))
    answer = to("/login")
    answer.delete_cookie(COOKIE, path="/")
    return answer


@router.get("/strings.json")
def strings(request: Request) -> Response:
    """The words that scripts show, in the language of the page."""
    return JSONResponse(i18n.catalogue(i18n.language_of(request)))
