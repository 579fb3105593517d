from __future__ import annotations

from dataclasses import replace

import analysis_maker as maker
from fakelab.records import Analysis, Level
from fakelab.reports.text import write_text


def test_the_order_is_name_verdict_reasons_and_what_it_does_not_say(any_analysis: Analysis) -> None:
    lines = write_text(any_analysis, width=1000).splitlines()
    assert lines[0] == any_analysis.file.name
    assert lines[1].rstrip(".") == any_analysis.verdict.sentence.rstrip(".")
    for reason in any_analysis.verdict.reasons:
        assert f"  - {reason.text}" in lines
    assert any_analysis.verdict.not_said in lines[lines.index("What this does not say") + 1]
    assert any_analysis.file.sha256 in lines[-1] or any_analysis.warnings


def test_a_person_has_score_level_and_time_ranges() -> None:
    text = write_text(maker.two_people())
    assert "Person 2   93 %  Strong evidence of manipulation (decides the verdict)" in text
    assert "suspicious 0:12.0–0:19.5, 0:30.2–0:34.0" in text
    assert "clip_face 1.0" in text
    assert "FaceForensics++ c23" in text


def test_a_crowd_is_summed_up() -> None:
    text = write_text(maker.crowd())
    assert "and 22 more people, score at most 54 %" in text
    assert "Person 9 " not in text


def test_a_photo_has_no_times() -> None:
    assert "seen" not in write_text(maker.photo())


def test_a_finding_without_people_has_its_score_and_what_was_looked_at() -> None:
    text = write_text(maker.generated())
    whole = text[text.index("The picture as a whole\n") :]
    assert "Result: 81 %  Moderate evidence" in whole
    assert "Looked at: the whole picture and 4 parts of it" in whole
    found = maker.generated().findings[1]
    alone = replace(found, measured={**found.measured, "views": 1.0})
    assert "Looked at: the whole picture\n" in write_text(replace(maker.generated(), findings=(alone,)))
    assert text.count("Result: ") == 1, "people have their own lines"


def test_a_person_who_could_not_be_judged_has_no_percentage() -> None:
    whole = maker.two_people()
    found = whole.findings[0]
    unjudged = replace(found.people[0], level=Level.NOT_ANALYSABLE, p_fake=float("nan"))
    text = write_text(replace(whole, findings=(replace(found, people=(unjudged, found.people[1])),)))
    assert "Person 1      –  Could not be analysed" in text


def test_prose_keeps_to_the_width() -> None:
    reason = replace(maker.no_face().verdict.reasons[0], text="word " * 60)
    verdict = replace(maker.no_face().verdict, reasons=(reason,), not_said="phrase " * 60)
    text = write_text(replace(maker.no_face(), verdict=verdict), width=60)
    assert all(len(line) <= 60 for line in text.splitlines() if "word" in line or "phrase" in line)


def test_colour_is_asked_for_and_is_no_hue(any_analysis: Analysis) -> None:
    assert "\x1b" not in write_text(any_analysis)
    assert "\x1b[1m" in write_text(any_analysis, colour=True)
    assert "\x1b[3" not in write_text(any_analysis, colour=True)
