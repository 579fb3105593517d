"""`analyze`, whole, with the tiny model on media that is made here."""

from __future__ import annotations

import dataclasses
import importlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fakelab
from fakelab import analyze
from fakelab.errors import DamagedMediaError, NotFoundError, UnknownNameError, UnsupportedMediaError, UsageError
from fakelab.records import Analysis, Image, Kind, Level
from fakelab.settings import read_settings
from media_maker import make_sound, make_video

data = pytest.importorskip("skimage.data")
cv2 = pytest.importorskip("cv2")


@lru_cache(maxsize=1)
def portrait() -> Image:
    """Scikit-image's public-domain astronaut: (512, 512, 3) RGB, one face."""
    return np.asarray(data.astronaut(), dtype=np.uint8)


def moving(i: int, width: int, height: int) -> Image:
    """The portrait, drifting."""
    picture = cv2.resize(portrait(), (width, height))
    return np.roll(picture, (i % 25, i % 10), (1, 0))


def two_people(i: int, width: int, height: int) -> Image:
    """The portrait beside its mirrored, darker self."""
    left = cv2.resize(portrait(), (width // 2, height))
    return np.hstack([left, np.asarray(left[:, ::-1] * 0.6, dtype=np.uint8)])


def save(path: Path, image: Image) -> Path:
    cv2.imwrite(str(path), image[:, :, ::-1])
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("clips") / "clip.mp4", 60, width_px=320, height_px=320, picture=moving)


@pytest.fixture(scope="module")
def clip_analysis(clip: Path) -> Analysis:
    return analyze(clip, model="tiny")


def test_a_video_gets_a_verdict_with_its_reasons(clip_analysis: Analysis) -> None:
    assert clip_analysis.file.kind is Kind.VIDEO
    assert clip_analysis.verdict.level in Level
    assert clip_analysis.verdict.reasons
    assert clip_analysis.verdict.not_said
    finding = clip_analysis.findings[0]
    assert finding.detector == "face_video"
    assert finding.frames_sampled == finding.faces_found == 16
    assert finding.decided_by == 1
    assert len(finding.people) == 1


def test_the_record_says_what_is_needed_to_repeat_it(clip_analysis: Analysis) -> None:
    model = clip_analysis.models[0]
    assert model["name"] == "tiny"
    assert len(model["sha256"]) == 64
    assert clip_analysis.settings["model"] == "tiny"
    assert clip_analysis.versions["onnxruntime"] != "unknown"
    assert clip_analysis.started.tzinfo is not None


def test_the_same_file_gets_the_same_answer(clip: Path, clip_analysis: Analysis) -> None:
    again = analyze(clip, model="tiny")
    assert again.verdict == clip_analysis.verdict
    assert [f.logit for f in again.findings[0].people[0].faces] == [
        f.logit for f in clip_analysis.findings[0].people[0].faces
    ]


def test_faces_lie_inside_the_frame_and_in_time_order(clip_analysis: Analysis) -> None:
    faces = clip_analysis.findings[0].people[0].faces
    assert [f.time_s for f in faces] == sorted(f.time_s for f in faces)
    for face in faces:
        x, y, width, height = face.box
        assert -20 <= x <= 320 and -20 <= y <= 320 and width > 40 and height > 40


def test_the_most_suspicious_faces_keep_crop_and_heat_map(clip_analysis: Analysis) -> None:
    faces = clip_analysis.findings[0].people[0].faces
    kept = [f for f in faces if f.crop is not None]
    assert 1 <= len(kept) <= 6
    for face in kept:
        assert face.crop is not None and face.crop.shape == (224, 224, 3)
        assert face.heat_map is not None and face.heat_map.ndim == 2
        assert 0.0 <= face.heat_map.min() <= face.heat_map.max() <= 1.0
    assert max(faces, key=lambda f: f.logit).crop is not None


def test_a_photo_is_one_frame(tmp_path: Path) -> None:
    analysis = analyze(save(tmp_path / "photo.png", portrait()), model="tiny")
    assert analysis.file.kind is Kind.PHOTO
    assert analysis.findings[0].detector == "face_photo"
    assert analysis.findings[0].frames_sampled == 1
    assert analysis.findings[0].people[0].faces[0].time_s == 0.0


def test_two_people_are_kept_apart(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "two.mp4", 40, width_px=640, height_px=320, picture=two_people)
    finding = analyze(clip, model="tiny").findings[0]
    assert len(finding.people) == 2
    assert all(len(person.faces) == 16 for person in finding.people)
    assert finding.measured["people_judged"] == 2


def test_a_file_without_a_face_is_not_analysable_and_has_no_number(tmp_path: Path) -> None:
    analysis = analyze(save(tmp_path / "grey.png", np.full((300, 300, 3), 128, np.uint8)), model="tiny")
    assert analysis.verdict.level is Level.NOT_ANALYSABLE
    assert analysis.verdict.p_fake is None
    assert analysis.verdict.reasons[0].code == "no_face"


def test_a_small_face_is_gated_with_its_size(tmp_path: Path) -> None:
    small = np.full((480, 640, 3), 90, np.uint8)
    small[100:200, 100:200] = cv2.resize(portrait(), (100, 100), interpolation=cv2.INTER_AREA)
    analysis = analyze(save(tmp_path / "small.png", small), model="tiny")
    assert analysis.verdict.level in (Level.NOT_ANALYSABLE, Level.INCONCLUSIVE)
    assert analysis.verdict.reasons[0].code in ("face_too_small", "face_small", "no_face")


def test_a_video_of_one_frame_is_inconclusive_because_it_is_too_short(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "one.mp4", 1, width_px=320, height_px=320, picture=moving)
    analysis = analyze(clip, model="tiny")
    assert analysis.verdict.level is Level.INCONCLUSIVE
    assert analysis.verdict.reasons[0].code == "too_short"


def test_a_recording_without_a_voice_is_not_analysable(tmp_path: Path) -> None:
    recording = make_sound(tmp_path / "sound.m4a", 2.0, container="mp4")
    analysis = analyze(recording, model="tiny")
    assert analysis.verdict.level is Level.NOT_ANALYSABLE
    assert analysis.verdict.reasons[0].code == "sound_steady"
    unheard = analyze(recording, model="tiny", settings=read_settings(voice=False))
    assert unheard.verdict.reasons[0].code == "no_detector"


def test_progress_is_told_through_one_callback(clip: Path) -> None:
    heard: list[tuple[str, int, int | None]] = []
    analyze(clip, model="tiny", progress=lambda *told: heard.append(told))
    stages = [stage for stage, _, _ in heard]
    assert stages[0] == "open" and stages[-1] == "done" and "faces" in stages
    done = [d for stage, d, _ in heard if stage == "faces"]
    assert done == sorted(done) and done[-1] == 16


def test_a_prior_moves_the_number_and_never_the_level(clip: Path, clip_analysis: Analysis) -> None:
    rare = analyze(clip, model="tiny", prior=0.01)
    assert rare.verdict.level is clip_analysis.verdict.level
    assert rare.verdict.p_fake is not None and clip_analysis.verdict.p_fake is not None
    assert rare.verdict.p_fake < clip_analysis.verdict.p_fake


def test_every_seconds_looks_more_often(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "long.mp4", 300, width_px=160, height_px=160, picture=moving)
    assert analyze(clip, model="tiny", every_s=1.0).findings[0].frames_sampled == 24


def test_dlib_finds_the_face_too(tmp_path: Path) -> None:
    pytest.importorskip("dlib")
    analysis = analyze(save(tmp_path / "photo.png", portrait()), model="tiny", finder="dlib")
    assert analysis.findings[0].finder == "dlib"
    largest = max((f for p in analysis.findings[0].people for f in p.faces), key=lambda f: f.box[2])
    assert 190 <= largest.box[0] + largest.box[2] / 2 <= 260 and 90 <= largest.box[1] + largest.box[3] / 2 <= 170


@pytest.mark.parametrize(
    ("choice", "value", "flag"), [("model", "voice", "--voice-model"), ("voice_model", "tiny", "--model")]
)
def test_a_model_of_the_other_kind_is_told_before_the_file_is_read(
    clip: Path, choice: str, value: str, flag: str
) -> None:
    with pytest.raises(UsageError, match=f"'{value}' cannot .*{flag}"):
        analyze(clip, **{choice: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("choice", "value"), [("model", "tinny"), ("finder", "yunett")])
def test_an_unknown_name_answers_with_the_nearest(clip: Path, choice: str, value: str) -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean '(tiny|yunet)'"):
        analyze(clip, **{"model": "tiny", choice: value})


def test_a_prior_outside_0_and_1_is_refused(clip: Path) -> None:
    with pytest.raises(UsageError):
        analyze(clip, model="tiny", prior=1.5)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("empty.mp4", b"", UnsupportedMediaError),
        ("text.jpg", b"not a picture at all, just words\n" * 20, UnsupportedMediaError),
        ("cut.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01", DamagedMediaError),
    ],
)
def test_bad_files_are_errors_with_three_parts(
    tmp_path: Path, name: str, content: bytes, error: type[Exception]
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(error) as caught:
        analyze(path, model="tiny")
    assert name in str(caught.value)
    assert ":" in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        analyze(tmp_path / "nowhere.mp4", model="tiny")


def test_the_package_gives_the_function_even_after_its_module_was_imported() -> None:
    importlib.import_module("fakelab.analyze")

    assert callable(fakelab.analyze)


def test_crops_of_a_long_file_are_thinned_so_that_memory_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fakelab.detectors import face_video

    monkeypatch.setattr(face_video, "FULL_CROPS", 10)
    clip = make_video(tmp_path / "c.mp4", 60, width_px=320, height_px=320, picture=moving)
    finding = analyze(clip, model="tiny").findings[0]
    sizes = {f.crop.shape[0] for f in finding.people[0].faces if f.crop is not None}
    assert sizes == {face_video.THUMBNAIL_PX}
    assert len(finding.people) == 1


def test_what_is_shown_is_what_decided(clip_analysis: Analysis) -> None:
    finding: Any = clip_analysis.findings[0]
    assert clip_analysis.verdict.p_fake == finding.p_fake == finding.people[0].p_fake
    assert dataclasses.asdict(clip_analysis.verdict)["level"] == finding.level
