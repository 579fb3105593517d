"""Words in other languages: catalogues from the English text to the other one, one JSON file per language.

What the machine writes into a record (sentences, reasons) stays in English, as it was signed.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from fastapi import Request

LOCALE = Path(__file__).parent / "locale"
LANGUAGES = {"en": "English", "ar": "العربية"}
RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})
COOKIE = "fakelab_language"


@lru_cache
def catalogue(language: str) -> dict[str, str]:
    """English text -> text; empty for English."""
    path = LOCALE / f"{language}.json"
    if language not in LANGUAGES or not path.is_file():
        return {}
    loaded: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def language_of(request: Request) -> str:
    """The language that was chosen, else the first that the browser prefers and that there is, else English."""
    chosen = request.cookies.get(COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    for part in request.headers.get("accept-language", "").split(","):
        short = part.split(";")[0].strip()[:2].lower()
        if short in LANGUAGES:
            return short
    return "en"


def direction(language: str) -> str:
    """`rtl` or `ltr`."""
    return "rtl" if language in RIGHT_TO_LEFT else "ltr"
