"""Templates -> pages. Every page gets who looks at it, the language, and the token of its forms."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from markupsafe import Markup, escape

from fakelab import __version__
from fakelab.records import LEVEL_WORDS, Level
from fakelab.reports import charts, words
from fakelab.web import i18n

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """The templates; everything that goes into a page is escaped, and trouble in names made visible."""

    def shown(value: Any) -> Any:
        return value if hasattr(value, "__html__") else words.safe(value).replace(" %", "\u00a0%")

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "version": __version__,
        "level_mark": lambda level: Markup(charts.level_mark(Level(level))),
        "level_words": {each.value: text for each, text in LEVEL_WORDS.items()},
        "languages": i18n.LANGUAGES,
        "asset": asset,
    }
    made.filters |= {
        "percent": words.percent,
        "byte_size": words.byte_size,
        "clock": words.clock,
        "when": when,
        "with_code": _with_code,
        "lines": lambda text: escape("\n".join(words.safe(each) for each in text.splitlines())),
        "as_it_is": lambda text: escape(words.safe(text)),
        "day": lambda moment: moment[:10],
    }
    return made


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> Response:
    """A rendered page."""
    language = i18n.language_of(request)
    texts = i18n.catalogue(language)

    def translate(text: str, **parts: Any) -> str:
        found = texts.get(text, text)
        if "`" in found:
            return _with_code(found)
        return found.format(**parts) if parts else found

    who = getattr(request.state, "who", None)
    body = (
        environment()
        .get_template(template)
        .render(
            request=request,
            here=request.url.path,
            language=language,
            direction=i18n.direction(language),
            _=translate,
            who=who,
            csrf=who.csrf if who else "",
            local=request.app.state.house.local,
            **values,
        )
    )
    return HTMLResponse(body, status, dict(headers or {}))


def _with_code(text: str) -> Markup:
    """A text of ours, what stands between backticks as code."""
    parts = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(each) if at % 2 else each for at, each in enumerate(parts))


def error_page(
    request: Request, status: int, title: str, detail: str, do: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The page of an error: what failed, why, and what to do."""
    return page(
        request, "error.html.j2", status=status, headers=headers, title=title, detail=detail, do=do, code=status
    )


def when(moment: str) -> str:
    """An RFC 3339 time as people read it: `2026-11-26 09:14 UTC`."""
    return f"{moment[:10]} {moment[11:16]} UTC" if len(moment) >= 16 else moment


@lru_cache
def asset(name: str) -> str:
    """The address of a static file, with a mark of its content, so that browsers may keep it for ever."""
    import hashlib

    from fakelab.web.app import static_file

    return f"/static/{name}?{hashlib.sha256(static_file(name).read_bytes()).hexdigest()[:12]}"
