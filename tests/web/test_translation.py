"""Every text of a page or a script has its translation, with the same parts to fill in."""

from __future__ import annotations

import re

import pytest

from fakelab.records import LEVEL_WORDS
from fakelab.web.i18n import LANGUAGES, RIGHT_TO_LEFT, catalogue, direction
from fakelab.web.render import STATIC, TEMPLATES


def _texts() -> set[str]:
    found: set[str] = set(LEVEL_WORDS.values())
    for path in [*TEMPLATES.glob("*.j2"), *STATIC.glob("*.js")]:
        found |= set(re.findall(r'\b_\(\s*"([^"]*)"', path.read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
def test_every_text_is_translated(language: str) -> None:
    texts = catalogue(language)
    assert not sorted(_texts() - set(texts))
    for english, other in texts.items():
        assert other.strip()
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", other)), english


def test_directions() -> None:
    assert direction("ar") == "rtl" and direction("en") == "ltr"
    assert set(LANGUAGES) & RIGHT_TO_LEFT
