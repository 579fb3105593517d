from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analysis_maker as maker
from fakelab.records import Level, Verdict
from fakelab.reports import words


@pytest.mark.parametrize(
    ("p_fake", "shown"),
    [(0.0, "1 %"), (0.004, "1 %"), (0.5, "50 %"), (0.996, "99 %"), (1.0, "99 %"), (None, "–"), (math.nan, "–")],
)
def test_percentages_are_never_0_or_100(p_fake: float | None, shown: str) -> None:
    assert words.percent(p_fake) == shown


@settings(deadline=None)
@given(st.text(st.characters(codec=None)))
def test_safe_text_is_one_printable_line(text: str) -> None:
    shown = words.safe(text)
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")
    assert words.safe(shown) == shown


def test_safe_keeps_what_people_write_and_shows_what_disguises() -> None:
    name = "Überraschung \u0646\u0627\u0645\u0647\u200c\u0647\u0627 東京 👩\u200d🔬.mp4"
    assert words.safe(name) == name
    assert words.safe("a\nb\u202egpj.exe\udcff\u200b") == "a\\nb\\u202egpj.exe\\xff\\u200b"


@pytest.mark.parametrize(
    ("time_s", "shown"), [(0, "0:00.0"), (2.14, "0:02.1"), (59.96, "1:00.0"), (3599.99, "1:00:00.0"), (-1, "0:00.0")]
)
def test_clock(time_s: float, shown: str) -> None:
    assert words.clock(time_s) == shown


@pytest.mark.parametrize(
    ("duration_s", "shown"),
    [(42.5, "42.5 seconds"), (59.97, "1 min 0 s"), (200, "3 min 20 s"), (3725.2, "1 h 2 min 5 s")],
)
def test_length(duration_s: float, shown: str) -> None:
    assert words.length(duration_s) == shown


def test_byte_size() -> None:
    assert [words.byte_size(n) for n in (0, 999, 1500, 812_004, 10**10)] == [
        "0 bytes",
        "999 bytes",
        "1.5 kB",
        "812 kB",
        "10.0 GB",
    ]


def test_nothing_found_always_says_what_it_does_not_show() -> None:
    verdict = Verdict(Level.NONE_FOUND, 0.2, "Nothing found.", "Only faces were looked at.")
    assert words.not_said(verdict).startswith("This does not show that the file is authentic.")


def test_a_sentence_that_repeats_the_level_is_said_once() -> None:
    assert words.headline(Verdict(Level.INCONCLUSIVE, 0.4, "Inconclusive.", "")) == ("Inconclusive", "")


def test_every_level_has_words_and_a_meaning() -> None:
    assert set(words.LEVEL_WORDS) == set(words.LEVEL_MEANINGS) == set(Level)


def test_who_decides_stands_first() -> None:
    people = words.by_suspicion(maker.two_people().findings[0])
    assert [each.person for each in people] == [2, 1]


def test_an_unknown_measurement_is_shown_under_its_own_name() -> None:
    found = maker.finding(Level.NONE_FOUND, 0.2, (), measured={"yaw_range": 12.0, "gap_s": 3.25, **maker.LINES})
    assert [row[:2] for row in words.measured_rows(found)] == [("Yaw range", "12"), ("Gap", "3.25 s")]
