"""The verdict: aggregation, calibration by number of people, gate, levels."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakelab.models.card import NEVER
from fakelab.records import LEVEL_WORDS, Finding, Kind, Level, PersonScore, Reason
from fakelab.verdict import (
    FILE_GATE_CODES,
    GATE_CODES,
    MIN_FACES_IN_VIDEO,
    NOT_SAID,
    REASONS,
    SEVERITY,
    Rules,
    Sample,
    decide,
    file_gate,
    judge_person,
    level_of,
    log_odds,
    p_fake,
    reason,
    sigmoid,
    verdict_of,
)

GATE = {
    "min_face_px": 32.0,
    "small_face_px": 48.0,
    "min_blur": 3.0,
    "min_luma": 25.0,
    "min_bits_per_pixel": 0.005,
    "max_people": 40.0,
}
RULES = Rules(slope=1.0, offset=0.0, strong=0.95, moderate=0.8, unsure=0.5, gate=GATE)


def samples(
    logits: list[float], *, per_burst: int = 4, side: float = 150, blur: float = 50, luma: float = 120
) -> list[Sample]:
    return [Sample(i / 10 + (i // per_burst) * 2, i // per_burst, x, side, blur, luma) for i, x in enumerate(logits)]


def person(number: int, level: Level, p: float) -> PersonScore:
    return PersonScore(number, log_odds(p), p, level, (Reason("x", "x"),), ())


def finding(level: Level, p: float | None) -> Finding:
    return Finding("face_video", "faces", level, p, (reason("unsure", 0.5, 0.5),))


@pytest.mark.parametrize(
    ("logit", "level"),
    [(5.0, Level.STRONG), (2.0, Level.MODERATE), (0.5, Level.INCONCLUSIVE), (-2.0, Level.NONE_FOUND)],
)
def test_the_mean_logit_of_a_person_gives_the_level(logit: float, level: Level) -> None:
    judged = judge_person(samples([logit - 0.4, logit, logit + 0.4] * 4), 1, Kind.VIDEO, RULES)
    assert judged.level is level
    assert judged.mean_logit == pytest.approx(logit)


def test_one_bad_frame_does_not_make_a_person_fake() -> None:
    judged = judge_person(samples([-2.0] * 31 + [9.0]), 1, Kind.VIDEO, RULES)
    assert judged.level is Level.NONE_FOUND


def test_a_person_seen_in_too_few_frames_is_never_evidence() -> None:
    judged = judge_person(samples([9.0] * (MIN_FACES_IN_VIDEO - 1)), 1, Kind.VIDEO, RULES)
    assert judged.level is Level.INCONCLUSIVE
    assert judged.reasons[0].code == "too_short"


def test_one_face_is_enough_in_a_photo() -> None:
    assert judge_person(samples([9.0]), 1, Kind.PHOTO, RULES).level is Level.STRONG


@pytest.mark.parametrize(
    ("change", "code", "level"),
    [
        ({"side": 20.0}, "face_too_small", Level.NOT_ANALYSABLE),
        ({"side": 40.0}, "face_small", Level.INCONCLUSIVE),
        ({"blur": 1.0}, "blurred", Level.INCONCLUSIVE),
        ({"luma": 10.0}, "dark", Level.INCONCLUSIVE),
    ],
)
def test_faces_outside_what_was_tested_are_gated_with_a_named_reason(
    change: dict[str, float], code: str, level: Level
) -> None:
    judged = judge_person(samples([9.0] * 8, **change), 1, Kind.VIDEO, RULES)
    assert judged.level is level
    assert judged.reasons[0].code == code
    assert judged.reasons[0].measured is not None
    assert "{" not in judged.reasons[0].text


def test_a_crowd_of_genuine_people_raises_no_alarm_where_one_alone_would() -> None:
    alone = judge_person(samples([3.2] * 8), 1, Kind.VIDEO, RULES)
    crowd = judge_person(samples([3.2] * 8), 30, Kind.VIDEO, RULES)
    assert alone.level is Level.STRONG
    assert crowd.level is Level.NONE_FOUND


def test_the_odds_of_the_worst_of_k_people_are_divided_by_k() -> None:
    assert log_odds(p_fake(2.0, 5, 0.5)) == pytest.approx(2.0 - math.log(5))


def test_a_model_without_strong_evidence_does_not_speak_of_its_line() -> None:
    assert level_of(2.0, 1, RULES)[1].code == "above_moderate"
    level, why = level_of(9.0, 1, dataclasses.replace(RULES, strong=NEVER))
    assert level is Level.MODERATE and why.code == "above_highest" and "strong" not in why.text


def test_a_prior_moves_the_number_and_not_the_level() -> None:
    low = Rules(1.0, 0.0, 0.95, 0.8, 0.5, GATE, prior=0.01)
    a, b = (judge_person(samples([4.0] * 8), 1, Kind.VIDEO, rules) for rules in (RULES, low))
    assert a.level is b.level is Level.STRONG
    assert p_fake(a.evidence, 1, 0.01) < 0.5 < p_fake(a.evidence, 1, 0.5)


def test_a_forged_stretch_of_a_long_file_is_found_with_its_time_range() -> None:
    logits = [-2.0] * 400
    logits[200:224] = [7.0] * 24
    judged = judge_person(samples(logits), 1, Kind.VIDEO, RULES)
    assert judged.level in (Level.INCONCLUSIVE, Level.MODERATE, Level.STRONG)
    assert len(judged.suspicious) == 1
    stretch = judged.suspicious[0]
    everything = samples(logits)
    assert everything[200].time_s <= stretch.start_s <= everything[204].time_s
    assert everything[219].time_s <= stretch.end_s <= everything[223].time_s


def test_a_weaker_stretch_makes_the_file_inconclusive_because_its_parts_disagree() -> None:
    logits = [-2.0] * 400
    logits[200:224] = [3.2] * 24
    judged = judge_person(samples(logits), 1, Kind.VIDEO, RULES)
    assert judged.level is Level.INCONCLUSIVE
    assert judged.reasons[-1].code == "parts_disagree"


def test_nothing_found_never_stands_beside_a_marked_stretch() -> None:
    for strength in (1.0, 1.5, 2.0, 2.5, 3.0):
        logits = [-2.0] * 400
        logits[200:224] = [strength] * 24
        judged = judge_person(samples(logits), 1, Kind.VIDEO, RULES)
        assert not (judged.level is Level.NONE_FOUND and judged.suspicious)


def test_a_genuine_long_file_has_no_suspicious_stretch() -> None:
    judged = judge_person(samples([-1.0, -2.0] * 200), 1, Kind.VIDEO, RULES)
    assert judged.level is Level.NONE_FOUND
    assert judged.suspicious == ()


def test_the_most_suspicious_person_decides() -> None:
    people = [person(1, Level.NONE_FOUND, 0.1), person(2, Level.STRONG, 0.97), person(3, Level.MODERATE, 0.9)]
    level, p, number, _ = decide(people, ())
    assert (level, p, number) == (Level.STRONG, 0.97, 2)


def test_a_person_that_cannot_be_judged_does_not_decide() -> None:
    people = [person(1, Level.NOT_ANALYSABLE, 0.99), person(2, Level.NONE_FOUND, 0.1)]
    assert decide(people, ())[0] is Level.NONE_FOUND


def gated(number: int, p: float, last: str) -> PersonScore:
    reasons = (reason("blurred", 1.0, 3.0), reason(last, p, 0.5))
    return PersonScore(number, log_odds(p), p, Level.INCONCLUSIVE, reasons, ())


def test_a_blurred_passer_by_does_not_make_a_clear_file_inconclusive() -> None:
    assert decide([person(1, Level.NONE_FOUND, 0.1), gated(2, 0.2, "below_all")], ())[:3] == (Level.NONE_FOUND, 0.1, 1)


def test_a_blurred_face_that_looks_forged_does_make_it_inconclusive() -> None:
    level, _, number, _ = decide([person(1, Level.NONE_FOUND, 0.1), gated(2, 0.97, "above_strong")], ())
    assert (level, number) == (Level.INCONCLUSIVE, 2)


def test_a_blurred_face_alone_is_inconclusive() -> None:
    assert decide([gated(1, 0.2, "below_all")], ())[0] is Level.INCONCLUSIVE


def test_no_face_is_not_analysable_and_has_no_number() -> None:
    level, p, number, reasons = decide([], ())
    assert (level, p, number) == (Level.NOT_ANALYSABLE, None, None)
    assert reasons[0].code == "no_face"


def test_a_reason_about_the_whole_file_makes_every_level_inconclusive() -> None:
    reasons = file_gate(50, 0.001, RULES)
    assert [each.code for each in reasons] == ["many_people", "low_bitrate"]
    assert decide([person(1, Level.STRONG, 0.99)], reasons)[0] is Level.INCONCLUSIVE


def test_a_photo_has_no_bitrate_to_gate() -> None:
    assert file_gate(1, None, RULES) == []


def test_a_file_of_few_colours_is_outside_what_the_model_was_tested_on() -> None:
    (found,) = file_gate(1, None, RULES, "gif")
    assert found.code == "few_colours" and "256 colours" in found.text
    assert file_gate(1, None, RULES, "mp4") == []


def test_every_gate_code_has_a_sentence_and_is_known_to_calibration() -> None:
    from fakelab.evaluation.calibrate import GATED

    assert {*GATE_CODES, *FILE_GATE_CODES} == GATED
    assert set(REASONS) >= GATED


def test_every_level_has_its_words_and_none_claims_authenticity() -> None:
    for level in Level:
        sentence = LEVEL_WORDS[level].lower()
        assert "authentic" not in sentence
        assert "real" not in sentence.split()
        assert NOT_SAID[level]
        assert level in SEVERITY
    assert "does not show that the file is authentic" in NOT_SAID[Level.NONE_FOUND]


def test_every_reason_can_be_written() -> None:
    for code in REASONS:
        assert "{" not in reason(code, 1.0, 2.0, "why").text
    with pytest.raises(KeyError):
        reason("no_such_reason")


def test_the_worst_finding_is_the_verdict_of_the_file() -> None:
    verdict = verdict_of(
        [finding(Level.NONE_FOUND, 0.2), finding(Level.MODERATE, 0.8), finding(Level.NOT_ANALYSABLE, None)]
    )
    assert verdict.level is Level.MODERATE
    assert verdict.p_fake == 0.8


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=80), st.integers(1, 60))
def test_a_number_is_always_a_probability(logits: list[float], people: int) -> None:
    judged = judge_person(samples(logits), people, Kind.VIDEO, RULES)
    assert 0.0 <= p_fake(judged.evidence, people, 0.5) <= 1.0
    assert all(each.start_s <= each.end_s for each in judged.suspicious)


@given(st.floats(-20, 20), st.integers(1, 30))
def test_more_people_never_make_a_file_more_suspicious(evidence: float, people: int) -> None:
    assert p_fake(evidence, people + 1, 0.5) <= p_fake(evidence, people, 0.5)


@given(st.floats(-700, 700))
def test_sigmoid_and_log_odds_are_safe_everywhere(x: float) -> None:
    assert 0.0 <= sigmoid(x) <= 1.0
    assert math.isfinite(log_odds(sigmoid(x)))
