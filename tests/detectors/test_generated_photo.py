"""Whole pictures: what is looked at, what decides, when nothing is said."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from fakelab import analyze
from fakelab.detectors.generated_photo import PictureViews, combined, detect_generated, judge
from fakelab.errors import UsageError
from fakelab.models.card import WEIGHTS, load_card, write_card
from fakelab.records import Finding, Frame, Image, Kind, Level, MediaInfo
from portrait_maker import portrait

GATE = {"min_side_px": 64.0, "small_side_px": 200.0, "min_luma": 20.0}
LINES = {"strong": 0.9, "moderate": 0.7, "unsure": 0.5, "error_rates": {"all": "2 % of 90", "strong_evidence": "1 %"}}


class Network:
    """Stands in for a model: the logit of a view is its mean brightness less 100, over 20."""

    name = "double"
    card = SimpleNamespace(
        crop=SimpleNamespace(size_px=64, version=1),
        calibration={"photo": {"slope": 1.0, "offset": 0.0}},
        thresholds={"photo": LINES},
        gate=GATE,
    )

    def score(self, crops: Any, progress: Any = None) -> tuple[Any, Any]:
        progress(len(crops), len(crops))
        return np.array([(float(each.image.mean()) - 100) / 20 for each in crops], np.float32), np.zeros((1, 1, 1))


def flat(brightness: int, side: int = 256) -> Image:
    return np.full((side, side, 3), brightness, np.uint8)


def found(picture: Image, container: str = "jpeg", prior: float = 0.5) -> Finding:
    network: Any = Network()
    seen = PictureViews(network.card)
    frame = Frame(picture, 0.0, 0, 0)
    assert list(seen.watch([frame])) == [frame], "the face finder still gets the picture"
    info = MediaInfo("a", "a", 1, "0" * 64, Kind.PHOTO, container, 10, 10)
    told: list[Any] = []
    finding = detect_generated(seen, info, network, prior, lambda *each: told.append(each))  # type: ignore[arg-type]
    assert told[-1][0] == "picture"
    return finding


@pytest.mark.parametrize(
    ("brightness", "level"),
    [(160, Level.STRONG), (125, Level.MODERATE), (104, Level.INCONCLUSIVE), (60, Level.NONE_FOUND)],
)
def test_the_score_decides_the_level(brightness: int, level: Level) -> None:
    finding = found(flat(brightness))
    assert finding.level is level
    assert finding.measured["views"] == 5
    assert finding.measured["logit"] == pytest.approx((brightness - 100) / 20, abs=0.01)
    assert finding.error_rate == ("1 %" if level is Level.STRONG else "2 % of 90")
    assert finding.detector == "generated_photo"
    assert finding.p_fake is not None
    if level is Level.NONE_FOUND:
        assert "picture as a whole" in finding.reasons[0].text


def test_a_model_that_wants_no_parts_sees_the_whole_alone() -> None:
    card = SimpleNamespace(crop=Network.card.crop, gate={**GATE, "parts": 0.0})
    seen = PictureViews(card)  # type: ignore[arg-type]
    list(seen.watch([Frame(flat(90), 0.0, 0, 0)]))
    assert len(seen.views) == 1


def test_the_shipped_model_is_experimental_and_counts_its_error_rate() -> None:
    card = load_card("generated_photo")
    lines = card.thresholds["photo"]
    assert lines["strong"] > 1, "it never gives strong evidence"
    assert 0.5 < lines["moderate"] < 1
    assert "the highest that is given" in lines["error_rates"]["all"]
    assert any("xperimental" in each for each in card.weak_spots)


def test_the_whole_and_its_parts_together_weigh_alike() -> None:
    assert combined([2.0, 0.0, 0.0, 0.0, 1.0]) == pytest.approx(1.125)
    assert combined([2.0]) == 2.0


def test_a_prior_moves_the_probability_and_not_the_level() -> None:
    even, doubtful = found(flat(125)), found(flat(125), prior=0.01)
    assert even.level is doubtful.level is Level.MODERATE
    assert even.p_fake is not None and doubtful.p_fake is not None
    assert doubtful.p_fake < 0.1 < 0.7 < even.p_fake
    assert doubtful.measured["threshold_moderate"] < even.measured["threshold_moderate"]


@pytest.mark.parametrize(
    ("picture", "container", "code"),
    [(flat(160, 150), "jpeg", "picture_small"), (flat(160), "gif", "few_colours"), (flat(10), "jpeg", "picture_dark")],
)
def test_a_picture_unlike_those_that_were_tested_is_inconclusive_with_the_reason(
    picture: Image, container: str, code: str
) -> None:
    finding = found(picture, container)
    assert finding.level is Level.INCONCLUSIVE
    assert finding.reasons[0].code == code


def test_a_tiny_picture_is_not_analysable() -> None:
    finding = found(flat(160, 40))
    assert (finding.level, finding.p_fake) == (Level.NOT_ANALYSABLE, None)
    assert "40 px" in finding.reasons[0].text


def test_a_picture_that_never_came_is_not_analysable() -> None:
    info = MediaInfo("a", "a", 1, "0" * 64, Kind.PHOTO, "jpeg", 10, 10)
    finding = judge([], PictureViews(Network.card), info, Network(), 0.5)  # type: ignore[arg-type]
    assert finding.level is Level.NOT_ANALYSABLE


# -- through `analyze` ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network as a model of whole pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    shutil.copy(WEIGHTS / "tiny" / "model.onnx", folder)
    card = dataclasses.replace(
        load_card("tiny"), name="mine", gate=GATE, calibration=Network.card.calibration, thresholds={"photo": LINES}
    )
    write_card(card, folder)
    return folder


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    cv2.imwrite(str(path), portrait()[:, :, ::-1])
    return path


def test_a_photo_gets_a_finding_about_the_whole_beside_that_about_faces(model: Path, photo: Path) -> None:
    analysis = analyze(photo, model="tiny", generated=True, picture_model=str(model))
    assert [each.detector for each in analysis.findings] == ["face_photo", "generated_photo"]
    assert [each["name"] for each in analysis.models] == ["tiny", "mine"]
    assert analysis.findings[0].faces_found == 1
    assert analysis.findings[1].measured["views"] == 5
    assert "the picture as a whole" in analysis.verdict.sentence.lower()
    again = analyze(photo, model="tiny", generated=True, picture_model=str(model))
    assert again.findings[1].measured == analysis.findings[1].measured


def test_it_is_not_asked_unless_wanted(photo: Path) -> None:
    analysis = analyze(photo, model="tiny")
    assert [each.detector for each in analysis.findings] == ["face_photo"]
    assert [each["name"] for each in analysis.models] == ["tiny"]


def test_a_model_of_faces_cannot_judge_pictures(photo: Path) -> None:
    with pytest.raises(UsageError, match="'tiny' cannot judge whole pictures"):
        analyze(photo, model="tiny", picture_model="tiny")
