"""The report of an evaluation: the numbers are those of the metrics, nothing is left out, nothing is fetched."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from result_maker import made_results, one

from fakelab.errors import UsageError
from fakelab.evaluation.document import Document, Section, Table, as_html, as_markdown
from fakelab.evaluation.metrics import Interval, auc, clopper_pearson, eer, reliability, roc
from fakelab.evaluation.plots import Operating, intervals_svg, matrix_svg, reliability_svg, roc_svg
from fakelab.evaluation.report import write_report
from fakelab.models.card import load_card


def report(folder: Path, results: list[dict[str, Any]], **more: Any) -> tuple[str, str, dict[str, Any]]:
    page, text, numbers = write_report(results, folder, title="A <test>", rounds=60, **more)
    return page.read_text("utf-8"), text.read_text("utf-8"), json.loads(numbers.read_text("utf-8"))


def test_every_number_is_that_of_the_metrics(tmp_path: Path) -> None:
    results = made_results(failed=3)
    _, text, numbers = report(tmp_path, results)
    scored = [each for each in results if each["p_fake"] is not None]
    p = np.array([each["p_fake"] for each in scored])
    fake = np.array([each["label"] == "fake" for each in scored])
    assert numbers["metrics"]["AUC"]["value"] == pytest.approx(auc(p, fake))
    assert numbers["metrics"]["EER"]["value"] == pytest.approx(eer(p, fake))
    assert numbers["metrics"]["AUC"]["low"] < auc(p, fake) < numbers["metrics"]["AUC"]["high"]
    assert numbers["metrics"]["AUC, unscored files worst-case"]["value"] < auc(p, fake)
    assert f"| AUC | {auc(p, fake):.3f} (" in text
    right = np.mean([(each["p_fake"] >= 0.7) == (each["label"] == "fake") for each in scored])
    assert numbers["at_the_cards_lines"]["moderate or strong"]["accuracy"]["value"] == pytest.approx(right)
    plain = [each for each in scored if each["forgery"] in ("", "plain")]
    expected = auc(np.array([e["p_fake"] for e in plain]), np.array([e["label"] == "fake" for e in plain]))
    assert numbers["by_forgery"]["plain"]["value"] == pytest.approx(expected)


def test_false_alarms_are_stated_with_an_exact_upper_bound(tmp_path: Path) -> None:
    reals = [one("real", 0.95 if number == 0 else 0.1 + number / 1000, number) for number in range(50)]
    fakes = [one("fake", 0.8 + number / 1000, 100 + number, forgery="x") for number in range(20)]
    _, text, numbers = report(tmp_path, reals + fakes)
    low, high = clopper_pearson(1, 50)
    strong = numbers["levels"]["strong_evidence"]
    assert (strong["real"], strong["fake"]) == (1, 0)
    assert (strong["real_low"], strong["real_high"]) == (pytest.approx(low), pytest.approx(high))
    assert "| 1 (2.0 %) | 0.1 to 10.6 % | 0 (0.0 %) |" in text


def test_files_that_failed_are_counted_and_listed_with_the_reason(tmp_path: Path) -> None:
    results = [*made_results(failed=2), one("real", None, 9, error="it is cut short", path="/far/away/broken.mp4")]
    page, text, numbers = report(tmp_path, results)
    assert numbers["not_analysable"] == 3
    assert "Not analysable: 3 of 63 (4.8 %)" in text
    assert "| broken.mp4 | real |  | it is cut short |" in text and "/far/away" not in page + text
    assert "| fake-s0-subtle-1000.mp4 | fake | subtle | no\\_face |" in text


def test_the_page_stands_alone_and_escapes_what_it_was_given(tmp_path: Path) -> None:
    results = made_results()
    results[1]["forgery"] = "<script>alert(1)</script>"
    page, text, _ = report(tmp_path, results)
    assert "<script" not in page and "&lt;script&gt;" in page and "\\<script\\>" in text
    assert not re.search(r'(src|href)="', page) and "<title>A &lt;test&gt;</title>" in page
    figures = re.findall(r"!\[.*?\]\((\S+)\)", text)
    assert {"roc.svg", "reliability.svg", "auc-by-forgery.svg", "auc-by-source.svg"} == set(figures)
    for name in figures:
        assert ElementTree.parse(tmp_path / name).getroot().tag.endswith("svg")


def test_any_column_can_break_it_down_and_who_has_none_is_named(tmp_path: Path) -> None:
    results = [{**each, "light": "" if number % 3 else "dark"} for number, each in enumerate(made_results(30))]
    _, text, numbers = report(tmp_path, results, by=("light",))
    assert "## By light" in text and "By forgery" not in text
    # Every third is a genuine file: 'dark' holds reals alone, 'unnamed' fakes alone.
    assert "| dark | 30 / 0 | not measured (30 real, 0 fake) |" in text and numbers["by_light"] == {}


def test_another_evaluation_is_compared_pair_by_pair(tmp_path: Path) -> None:
    results = made_results(30)
    others = [{**each, "p_fake": 0.5 + 1e-3 * number, "made_by": "other 2"} for number, each in enumerate(results)]
    _, text, numbers = report(tmp_path, results, others=others)
    assert "## Compared with another evaluation" in text and "(other 2)" in text
    assert numbers["comparison"]["difference"]["low"] <= numbers["comparison"]["difference"]["value"]


def test_it_says_how_it_was_measured(tmp_path: Path) -> None:
    _, text, _ = report(tmp_path, made_results(), card=load_card("clip_face"), notes=["These numbers flatter."])
    assert "224 px, margin 0.93" in text and "| frames a file, median | 16 |" in text
    own = load_card("clip_face").calibration["video"]
    assert (
        f"video: {own['reals']} real of {own['real_sources']} sources, {own['fakes']} fake" in text
        and "These numbers flatter." in text
    )


def test_too_few_files_are_no_measurement_and_hard_predictions_are_refused(tmp_path: Path) -> None:
    _, text, numbers = report(tmp_path, made_results(2))
    assert "nothing is measured" in text and "metrics" not in numbers
    with pytest.raises(UsageError, match="hard predictions"):
        report(tmp_path, [{**each, "p_fake": float(each["label"] == "fake")} for each in made_results()])


def test_the_roc_curve_runs_through_its_corners_and_holds_the_auc() -> None:
    rng = np.random.default_rng(0)
    fake = rng.random(200) < 0.5
    scores = np.round(rng.normal(size=200) + fake, 1)
    x, y = roc(scores, fake)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(auc(scores, fake))


def test_bins_hold_every_file_and_state_what_came_true() -> None:
    p = np.array([0.0, 0.02, 0.5, 0.99, 1.0])
    bins = reliability(p, np.array([False, True, True, True, False]))
    assert [each.files for each in bins] == [2, 1, 2]
    assert bins[0].stated == pytest.approx(0.01) and bins[0].came_true == 0.5


def test_exact_intervals_are_those_of_the_textbook() -> None:
    assert clopper_pearson(0, 10) == (0.0, pytest.approx(0.3085, abs=1e-4))
    assert clopper_pearson(10, 10) == (pytest.approx(0.6915, abs=1e-4), 1.0)
    assert clopper_pearson(3, 20) == (pytest.approx(0.0321, abs=1e-4), pytest.approx(0.3789, abs=1e-4))


def test_figures_are_well_formed_and_say_in_words_what_they_show() -> None:
    p, fake = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    drawn = [
        roc_svg(p, fake, [Operating("<strong>", 0.0, 0.5)]),
        reliability_svg(reliability(p, fake)),
        intervals_svg([("a & b", Interval(0.8, 0.7, 0.9)), ("none", Interval(float("nan"), 0, 1))], "t"),
        matrix_svg(["r"], ["c", "d"], [[0.9, float("nan")]], "t"),
    ]
    for svg, words in zip(drawn, ("<strong>: 0.000", "stated 0.10", "a & b: 0.800", "r, c: 0.900"), strict=True):
        root = ElementTree.fromstring(svg)
        found = root.find("{http://www.w3.org/2000/svg}desc")
        assert found is not None and found.text is not None and words in found.text


def test_a_document_says_the_same_in_both_forms() -> None:
    made = Document("t", (Section("s", ("words",), (Table(("a", "b"), (("x|y", "1"),)),)),))
    assert "| x\\|y | 1 |" in as_markdown(made)
    assert '<th scope="row">x|y</th><td>1</td>' in as_html(made)
