"""The pages of handing files in and of one analysis: how far it is, its result, what is done with it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from fakelab.analyze import known_finders, known_models
from fakelab.errors import UsageError, unknown_name
from fakelab.service.copies import outline, plays, shots
from fakelab.service.jobs import DONE, FAILED, Job
from fakelab.service.runs import Run, Search
from fakelab.web.api import remove, report_answer
from fakelab.web.auth import Reader, check_csrf, house_of, known
from fakelab.web.files import media_answer, overlay_png, proxy_of
from fakelab.web.forms import Asked, Removed, Reviewed, run_of, to
from fakelab.web.house import House
from fakelab.web.receive import received
from fakelab.web.render import page
from fakelab.web.take import may_take_again, take_file, take_link, take_path, try_again
from fakelab.web.views import SEARCH_PAGES, Result, relatives, result_of, shot_lane, sound_lane, track_data

router = APIRouter(include_in_schema=False)


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


def is_path(text: str) -> bool:
    """Whether what was pasted is a path of this machine rather than a link."""
    return text.startswith(("/", "~", "\\\\")) or text[1:3] in (":\\", ":/")


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
            if who.via == "ticket" and is_path(url):
                taken += await run_in_threadpool(take_path, house, who, url, kept)
            else:
                taken.append(await run_in_threadpool(take_link, house, who, url, kept))
    if not taken:
        raise UsageError("nothing was handed in", "no file was chosen and no link given", "Choose a file.")
    return to(f"/runs/{taken[0].id}" if len(taken) == 1 else "/")


@router.post("/runs/{run}/cancel")
def cancel(request: Request, run: str, form: Asked) -> Response:
    """Stops an analysis."""
    house = house_of(request)
    house.queue.cancel(house.jobs.cancel(run, owner=form.who.desk, actor=form.who.name))
    return to(f"/runs/{run}")


@router.post("/runs/{run}/retry")
def retry(request: Request, run: str, form: Asked) -> Response:
    """Puts a cancelled one back; a failed one becomes an analysis of its own, for no record is replaced."""
    house = house_of(request)
    job = house.jobs.get(run, owner=form.who.desk)
    if job.state == FAILED:
        return to(f"/runs/{try_again(house, form.who, job).id}")
    house.queue.put(house.jobs.again(run, owner=form.who.desk, actor=form.who.name))
    return to(f"/runs/{run}")


@router.get("/runs/{run}")
def run_page(request: Request, who: Reader, run: str) -> Response:
    """The result of an analysis, or how far it is."""
    house = house_of(request)
    job = house.jobs.find(run, owner=who.desk)
    if job is not None and job.state not in (DONE, FAILED):
        return page(request, "progress.html.j2", job=job, position=house.jobs.waiting_before(job))
    found = run_of(house, who, run)
    if found.id != run:
        return to(f"/runs/{found.id}")
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
        "first": next(iter(house.history.several([job.repeats])), None) if job and job.repeats else None,
    }
    if found.error:
        document = house.history.document(found.id)
        again = house.jobs.repeating(found.id, owner=who.desk)
        became = {each.id: each for each in house.history.several([each.id for each in again])}
        return page(
            request,
            "failed.html.j2",
            error=document["error"],
            job=job,
            stored=may_take_again(who, found),
            again=[(each, became.get(each.id)) for each in again],
            **common,
        )
    document = house.history.document(found.id)
    result = result_of(house, found)
    proxy = proxy_of(house, found.id)
    there = _is_there(found)
    cuts = shots(house.history.media_of(found.id))
    playable = proxy is not None or (there and (result.kind == "audio" or plays(document["file"])))
    return page(
        request,
        "result.html.j2",
        r=result,
        tracks=track_data(result),
        media=f"/runs/{found.id}/media" if there else "",
        proxy=f"/runs/{found.id}/proxy" if proxy else "",
        plays=result.kind in ("video", "audio") and playable,
        copying=result.kind == "video" and there and not playable,
        sound=sound_lane(outline(house.history.media_of(found.id))),
        cuts=cuts,
        shot_lane=shot_lane(cuts, result.duration_s),
        search_pages=SEARCH_PAGES,
        prior=float(result.analysis.settings.get("prior", 0.5)),
        newer=_newer_models(found, result),
        **common,
    )


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
    found = run_of(house, who, run)
    document = house.history.document(found.id)
    return media_answer(house, found, container=document["file"]["container"] or "")


@router.get("/runs/{run}/proxy")
def run_proxy(request: Request, who: Reader, run: str) -> Response:
    """The copy that plays in browsers."""
    from fastapi.responses import FileResponse

    house = house_of(request)
    path = proxy_of(house, run_of(house, who, run).id)
    if path is None:
        raise unknown_name("copy", run, [])
    return FileResponse(path, media_type="video/mp4", headers={"Cache-Control": "private, max-age=3600"})


@router.get("/runs/{run}/overlays/{stem}")
def overlay(request: Request, who: Reader, run: str, stem: str) -> Response:
    """A face with its heat map over it."""
    history = house_of(request).history
    found = run_of(house_of(request), who, run)
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
    return report_answer(house, who, run_of(house, who, run), form)


@router.post("/runs/{run}/review")
def write_review(request: Request, run: str, form: Reviewed) -> Response:
    """An analyst's conclusion."""
    house = house_of(request)
    found = run_of(house, form.who, run)
    house.history.review(
        found.id, actor=form.who.name, conclusion=form.get("conclusion")[:500], notes=form.get("notes")[:20_000]
    )
    return to(f"/runs/{found.id}#conclusion")


@router.post("/runs/{run}/tags")
def write_tags(request: Request, run: str, form: Reviewed) -> Response:
    """The words put on a run."""
    house = house_of(request)
    found = run_of(house, form.who, run)
    house.history.tag(found.id, [each[:60] for each in form.get("tags").split(",")][:30], actor=form.who.name)
    return to(f"/runs/{found.id}#conclusion")


@router.post("/runs/{run}/delete")
def delete(request: Request, run: str, form: Removed) -> Response:
    """Takes a run away."""
    remove(house_of(request), form.who, run)
    return to("/history")
