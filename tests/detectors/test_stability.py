"""The stability test: which verdicts flip, on whose account, at what price."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from fakelab import analyze
from fakelab.detectors import face_video, stability
from fakelab.detectors.stability import CHANGES, FACES, check
from fakelab.faces.crop import CROPPER_VERSION, blur_and_luma
from fakelab.models.card import load_card
from fakelab.records import Crop, CropSpec, Face, Image, Kind, Level
from fakelab.verdict import Rules, flips, level_at, log_odds
from media_maker import make_video
from portrait_maker import face_crop, portrait

GATE = load_card("tiny").gate
RULES = Rules(slope=1.0, offset=0.0, strong=0.9, moderate=0.7, unsure=0.5, gate=GATE)
CODES = {change.name: change.code for change in CHANGES}


class Network:
    """Stands in for a model: the logit is what `see` makes of a crop; every crop that was scored is kept."""

    def __init__(self, see: Callable[[Image], float]) -> None:
        self.see, self.scored = see, list[Image]()
        self.card = SimpleNamespace(crop=CropSpec(CROPPER_VERSION, 224, 0.93))

    def score(self, crops: Sequence[Crop]) -> tuple[Any, Any]:
        self.scored += [each.image for each in crops]
        return np.array([self.see(each.image) for each in crops], np.float32), np.zeros((len(crops), 1, 1))


def sharpness(image: Image) -> float:
    return 4 * float(np.log(blur_and_luma(image)[0]))


def faces(see: Callable[[Image], float], count: int = 8, side: float = 180.0) -> list[tuple[Face, Crop, float]]:
    made = []
    for number in range(count):
        image = face_crop(224, number)
        crop = Crop(image, CROPPER_VERSION)
        box = (100.0, 100.0, side, side)
        face = Face(box, 0.9, None, float(number), number, number // 2, (640, 480), crop, 50.0, 120.0)
        made.append((face, crop, see(image)))
    return made


def checked(
    see: Callable[[Image], float], p: float, *, side: float = 180.0, kind: Kind = Kind.VIDEO
) -> tuple[stability.Stability, Network]:
    network: Any = Network(see)
    level = level_at(p, RULES)
    return check(faces(see, side=side), p, level, network, RULES, kind, "yunet"), network


@pytest.mark.parametrize("kind", [Kind.VIDEO, Kind.PHOTO])
def test_a_verdict_that_hangs_on_fine_detail_flips_and_says_under_what(kind: Kind) -> None:
    found, _ = checked(sharpness, 0.75, kind=kind)
    assert {each.code for each in found.reasons} >= {"unstable_compression", "unstable_size"}
    for each in found.reasons:
        assert each.limit == RULES.unsure and each.measured is not None and each.measured < each.limit
        assert f"{each.measured:.2f}" in each.text


def test_a_verdict_that_hangs_on_nothing_fine_holds() -> None:
    found, _ = checked(lambda image: float(image.mean()) / 100, 0.75)
    assert found.reasons == ()
    assert all(value == pytest.approx(0.75, abs=0.05) for value in found.measured.values())
    assert set(found.measured) == {"p_fake_compressed", "p_fake_halved", "p_fake_cut"}


def test_nothing_found_flips_where_a_copy_would_show_evidence() -> None:
    found, _ = checked(lambda image: -sharpness(image), 0.4)
    assert found.reasons and all(each.measured is not None and each.measured >= 0.7 for each in found.reasons)
    assert all(each.limit == RULES.moderate for each in found.reasons)


def test_evidence_that_only_becomes_weaker_holds() -> None:
    found, _ = checked(lambda image: sharpness(image) / 16, 0.92)
    assert 0.7 < found.measured["p_fake_halved"] < RULES.strong and found.reasons == ()
    found, _ = checked(lambda image: sharpness(image) / 16, 0.75)
    assert RULES.unsure < found.measured["p_fake_halved"] < RULES.moderate and found.reasons == ()


@pytest.mark.parametrize("before", list(Level))
@pytest.mark.parametrize("after", list(Level))
def test_a_flip_is_between_evidence_and_nothing_found(before: Level, after: Level) -> None:
    evidence = (Level.STRONG, Level.MODERATE)
    wanted = (before in evidence and after is Level.NONE_FOUND) or (before is Level.NONE_FOUND and after in evidence)
    assert flips(before, after) is wanted


def test_the_change_is_laid_on_the_score_of_all_faces() -> None:
    class Told(Network):
        def score(self, crops: Sequence[Crop]) -> tuple[Any, Any]:
            return np.full(len(crops), -1.0, np.float32), np.zeros((len(crops), 1, 1))

    network: Any = Told(lambda image: 0.5)
    found = check(faces(lambda image: 0.5), 0.8, Level.MODERATE, network, RULES, Kind.VIDEO, "yunet")
    for value in found.measured.values():
        assert log_odds(value) == pytest.approx(log_odds(0.8) - 1.5)


def test_it_costs_a_few_crops_however_many_faces_there_are() -> None:
    _, network = checked(sharpness, 0.75)
    assert len(network.scored) == FACES * len(CHANGES) <= 6
    one: Any = Network(sharpness)
    check(faces(sharpness, count=1), 0.75, Level.MODERATE, one, RULES, Kind.PHOTO, "yunet")
    assert len(one.scored) == len(CHANGES)


def test_a_face_that_fills_the_crop_at_half_the_size_too_is_not_scored_for_it() -> None:
    found, network = checked(sharpness, 0.75, side=600.0)
    assert len(network.scored) == FACES * (len(CHANGES) - 1)
    assert found.measured["p_fake_halved"] == pytest.approx(0.75)


def test_no_face_is_made_smaller_than_the_gate_would_judge() -> None:
    for side, wanted in ((180.0, 90.0), (60.0, 48.0), (48.0, 48.0)):
        left: list[float] = []

        def told(image: Image, factor: float, _left: list[float] = left, **more: Any) -> Image:
            _left.append(factor * image.shape[1] / 0.93)
            return image

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stability, "rescale", told)
            checked(sharpness, 0.75, side=side)
        assert [round(each) for each in left] == ([] if side == wanted else [wanted] * FACES)


def test_a_small_face_is_compressed_at_its_own_size(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def told(frames: Sequence[Image], codec: str, crf: int) -> list[Image]:
        sizes.extend(frame.shape[0] for frame in frames)
        return list(frames)

    monkeypatch.setattr(stability, "video_codec", told)
    checked(sharpness, 0.75, side=100.0)
    checked(sharpness, 0.75, side=400.0)
    assert sizes == [93] * FACES + [224] * FACES


# -- through analyze -----------------------------------------------------------------------------------------------


def moving(i: int, width: int, height: int) -> Image:
    picture = cv2.resize(portrait(), (width, height))
    return np.asarray(np.roll(picture, (i % 25, i % 10), (1, 0)), dtype=np.uint8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("clips") / "clip.mp4", 40, width_px=320, height_px=320, picture=moving)


def stated(monkeypatch: pytest.MonkeyPatch, logit: float) -> None:
    """Every face as it is gets this logit, and every degraded one the opposite."""
    from fakelab.models.runtime import FaceModel

    def score_ahead(self: FaceModel, items: Any, crop_of: Any) -> Any:
        for item in items:
            yield item, logit, np.zeros((2, 2), np.float32)

    def score(self: FaceModel, crops: Sequence[Crop], progress: Any = None) -> tuple[Any, Any]:
        return np.full(len(crops), -logit, np.float32), np.zeros((len(crops), 2, 2), np.float32)

    monkeypatch.setattr(FaceModel, "score_ahead", score_ahead)
    monkeypatch.setattr(FaceModel, "score", score)


def test_a_flip_makes_the_file_inconclusive_with_the_reason_first(monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    stated(monkeypatch, 3.0)
    plain, tested = (analyze(clip, model="tiny", stability=each) for each in (False, True))
    assert plain.verdict.level is Level.STRONG and not any(k.startswith("p_fake_") for k in plain.findings[0].measured)
    assert tested.verdict.level is Level.INCONCLUSIVE and tested.verdict.p_fake == plain.verdict.p_fake
    assert [each.code for each in tested.verdict.reasons] == [*CODES.values(), "above_strong"]
    assert tested.findings[0].people[0].level is Level.INCONCLUSIVE


def test_it_is_on_unless_it_is_turned_off_and_the_record_says_which(
    monkeypatch: pytest.MonkeyPatch, clip: Path
) -> None:
    stated(monkeypatch, -3.0)
    tested = analyze(clip, model="tiny")
    assert tested.settings["stability"] is True and tested.verdict.level is Level.INCONCLUSIVE
    monkeypatch.setenv("FAKELAB_STABILITY", "0")
    assert analyze(clip, model="tiny").verdict.level is Level.NONE_FOUND


def test_a_prior_moves_no_flip(monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    stated(monkeypatch, 3.0)
    rare, even = (analyze(clip, model="tiny", prior=prior).findings[0] for prior in (0.01, 0.5))
    for name in ("p_fake_compressed", "p_fake_halved", "p_fake_cut"):
        assert rare.measured[name] == pytest.approx(even.measured[name], rel=1e-3)


def test_what_is_inconclusive_already_is_not_asked_again(monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    stated(monkeypatch, 0.3)
    found = analyze(clip, model="tiny")
    assert found.verdict.level is Level.INCONCLUSIVE
    assert not any(name.startswith("p_fake_") for name in found.findings[0].measured)


def test_crops_of_a_long_file_stay_in_full_for_a_few_faces(monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    monkeypatch.setattr(face_video, "FULL_CROPS", 8)
    stated(monkeypatch, 3.0)
    found = analyze(clip, model="tiny")
    assert found.verdict.level is Level.INCONCLUSIVE and "p_fake_cut" in found.findings[0].measured


def test_the_crops_that_stay_do_not_grow_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_video, "FULL_CROPS", 16)
    first = faces(sharpness, 1)[0][0]
    many = [dataclasses.replace(first, time_s=float(at)) for at in range(400)]
    model: Any = SimpleNamespace(
        score_ahead=lambda items, crop_of: ((item, 0.0, np.zeros((1, 1), np.float32)) for item in items)
    )
    scored = face_video.score_faces(many, model, lambda: None)
    full = [at for at, each in enumerate(scored) if each.full is not None]
    assert 8 <= len(full) <= 17 and full[0] == 0 and full[-1] > 350
    assert {each.face.crop.image.shape[0] for each in scored} == {face_video.THUMBNAIL_PX}
