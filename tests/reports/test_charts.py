from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET

import pytest

import analysis_maker as maker
from fakelab.records import Level, Reason, TimeRange, WindowScore
from fakelab.reports import charts, content

LINES = {Level.MODERATE: 0.6, Level.STRONG: 0.9}


def test_every_drawing_is_well_formed() -> None:
    person = maker.two_people().findings[0].people[1]
    drawings = [
        charts.lane(person, 42.5, LINES, "a"),
        charts.lane(person, 42.5, {}, "b", label="<b> & \u202e"),
        charts.axis(42.5),
        charts.key_hatch("k"),
        charts.key_unjudged("k"),
        charts.key_presence(),
        charts.key_spread(),
        charts.lane(person, 42.5, LINES, "c", "Voice", True, [(TimeRange(2, 5), "<noise> & no voice")]),
        charts.face_map([person], 1920, 1080, "m"),
        *map(charts.level_mark, Level),
        *map(charts.key_mark, Level),
    ]
    for drawing in drawings:
        ET.fromstring(drawing)
        assert "nan" not in drawing


def test_marks_differ_in_shape_and_not_only_in_colour() -> None:
    shapes = {
        re.search(r' d="([^"]+)"', charts.key_mark(level)).group(1)
        for level in (Level.STRONG, Level.MODERATE, Level.NONE_FOUND)
    }  # type: ignore[union-attr]
    assert len(shapes) == 3
    marks = {re.sub(r'aria-label="[^"]*"', "", charts.level_mark(level)) for level in Level}
    assert len(marks) == 5


@pytest.mark.parametrize(
    ("p_fake", "level"), [(0.1, Level.NONE_FOUND), (0.6, Level.MODERATE), (0.89, Level.MODERATE), (0.9, Level.STRONG)]
)
def test_the_level_of_a_mark(p_fake: float, level: Level) -> None:
    assert charts.level_of(p_fake, LINES) is level


def test_presence_is_one_bar_for_each_burst() -> None:
    assert charts.split_bursts(maker.bursts(0, 40, 8)) == [(4 * n, 4 * n + 4) for n in range(8)]
    assert charts.split_bursts([0, 1, 2, 3]) == [(0, 4)]
    assert charts.split_bursts([5]) == [(0, 1)]
    assert charts.split_bursts([]) == []
    person = maker.person(1, 0.4, Level.NONE_FOUND, maker.bursts(0, 40, 8))
    assert charts.lane(person, 42, LINES, "a").count('class="fl-presence"') == 8


def test_a_long_file_does_not_make_a_long_drawing() -> None:
    person = maker.person(1, 0.4, Level.NONE_FOUND, [float(second) for second in range(7200)], pictures=False)
    drawing = charts.lane(person, 7200, LINES, "a")
    assert drawing.count('class="fl-mark') < 1.1 / charts.MERGED_SHARE
    assert len(drawing) < 60_000


def test_a_band_runs_from_the_lowest_to_the_highest_face_of_a_moment() -> None:
    person = maker.person(1, 0.5, Level.NONE_FOUND, [1.0, 1.04, 30.0])
    scores = (0.25, 0.75, 0.5)
    person = dataclasses.replace(
        person, faces=tuple(dataclasses.replace(f, p_fake=p) for f, p in zip(person.faces, scores, strict=True))
    )
    root = ET.fromstring(charts.lane(person, 60, LINES, "a"))
    (band,) = [each for each in root.iter() if each.get("class") == "fl-spread"]
    marks = [float(each.attrib["y"]) for each in root if each.tag == "svg" and each.find("path") is not None]
    top, height = float(band.attrib["y"]), float(band.attrib["height"])
    assert marks[0] == pytest.approx(top + height / 2, abs=0.2), "the mark is the mean, in the middle of this band"
    assert height == pytest.approx(0.5 * (charts._y(0) - charts._y(1)), abs=0.2)
    assert charts.is_spread(person, 60)
    assert "highest face 75 % at 0:01.0, lowest 25 %" in (root.findtext("desc") or "")
    alone = dataclasses.replace(person, faces=person.faces[1:])
    assert "fl-spread" not in charts.lane(alone, 60, LINES, "a") and not charts.is_spread(alone, 60)


def test_a_short_stretch_can_be_seen_and_stays_inside() -> None:
    person = maker.person(1, 0.95, Level.STRONG, [9.99], (TimeRange(9.99, 9.99),))
    rect = re.search(r'fl-suspicious" x="([\d.]+)%" width="([\d.]+)%"', charts.lane(person, 10, LINES, "a"))
    assert rect is not None
    start, width = map(float, rect.groups())
    assert width >= 0.8
    assert start + width <= 100.01


@pytest.mark.parametrize(
    ("duration_s", "last"), [(0.4, "0:00.4"), (10, "0:10"), (42.5, "0:40"), (600, "10:00"), (90000, "25:00:00")]
)
def test_the_axis_has_few_round_ticks(duration_s: float, last: str) -> None:
    labels = re.findall(r">([\d:.]+)</text>", charts.axis(duration_s))
    assert 2 <= len(labels) <= 7
    assert labels[-1] == last


def _window(start_s: float, end_s: float, logit: float | None, why: str = "There is silence.") -> WindowScore:
    if logit is not None:
        return WindowScore(start_s, end_s, Level.NONE_FOUND, logit, 0.2)
    return WindowScore(start_s, end_s, Level.NOT_ANALYSABLE, None, None, (Reason("sound_silence", why),))


def test_what_no_judged_window_covers_is_striped_with_its_reason() -> None:
    quiet = [_window(4, 8, None), _window(6, 10, None), _window(8, 12, None), _window(10, 14, None, "There is noise.")]
    finding = dataclasses.replace(
        maker.two_people().findings[0],
        windows=(_window(0, 4, -1.0), _window(2, 6, -1.0), *quiet, _window(12, 16, -1.0)),
    )
    stretches = content.unjudged(finding)
    assert [(each.start_s, each.end_s, why) for each, why in stretches] == [(6, 12, "There is silence.")], (
        "from the end of judged speech on; the windows' overlap belongs to the first, and none is left for the noise"
    )
    drawing = charts.lane(finding.people[1], 16, LINES, "v", "Voice", True, stretches)
    (rect,) = [each for each in ET.fromstring(drawing).iter() if each.get("class") == "fl-unjudged"]
    assert (rect.get("x"), rect.get("width")) == ("37.50%", "37.50%")
    assert "There is silence." in "".join(rect.itertext())
    assert content.unjudged(dataclasses.replace(finding, windows=(_window(0, 4, -1.0),))) == []
