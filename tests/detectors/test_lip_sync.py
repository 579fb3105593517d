from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="maps are fitted by the extra 'train', which is not installed")

from fakelab.data.manifest import Row
from fakelab.detectors.lip_sync import check_lips
from fakelab.media import Limits
from fakelab.models.lips import SOUND_RATE, LipModel, load_lips
from fakelab.records import Check, FaceScore, Finding, Level, PersonScore
from fakelab.training.lips import fit_maps, talkers_of
from media_maker import make_video
from sound_maker import silence, speech_like
from talk_maker import talking_video

SECONDS = 5.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LipModel:
    """Maps of five films of the same kind, with other words, and lines for such drawings:

    their own sound scores about 1, others score .14 to .41.
    """
    folder = tmp_path_factory.mktemp("maps")
    films = [talking_video(folder / f"{n}.mp4", speech_like(5.0, n)) for n in (0, 1, 2, 4, 5)]
    talkers = talkers_of([Row(film, "real", film.stem, film.stem) for film in films], folder / "found")
    lines = {"together": 0.6, "apart": 0.3, "error_rates": {"all": "of drawings"}}
    return fit_maps(talkers, dataclasses.replace(load_lips().card, thresholds={"video": lines}))


def check(path: Path, model: LipModel, faces: Finding | None = None) -> tuple[Check, list[str]]:
    told: list[str] = []
    return check_lips(str(path), faces, model, Limits(), lambda stage, done, total: told.append(stage)), told


def test_who_speaks_is_named_as_the_finding_about_faces_names_them(model: LipModel, tmp_path: Path) -> None:
    path = talking_video(tmp_path / "a.mp4", speech_like(SECONDS, 50))
    found, stages = check(path, model)
    assert found.state == "together" and "a face that no other part names" in found.sentence
    assert set(stages) == {"lips"}
    box = next(iter(_boxes(path)))
    person = PersonScore(7, 0.0, 0.5, Level.NONE_FOUND, (), (FaceScore(1.0, box, 0.0, 0.5),))
    faces = Finding("face_video", "", Level.NONE_FOUND, 0.5, (), people=(person,))
    assert "The lips of person 7 go with the sound: this person speaks." in check(path, model, faces)[0].sentence


def test_a_late_sound_is_measured(model: LipModel, tmp_path: Path) -> None:
    wave = speech_like(SECONDS, 51)
    late = np.roll(wave, round(0.32 * SOUND_RATE))
    found, _ = check(talking_video(tmp_path / "a.mp4", wave, sound_of=late), model)
    assert found.state == "out_of_step"
    assert any(f"{late:.2f} s too late" in found.sentence for late in (0.28, 0.32, 0.36))


def test_the_sound_of_another_is_not_taken_for_this_person(model: LipModel, tmp_path: Path) -> None:
    strange = speech_like(SECONDS, 53)
    found, _ = check(talking_video(tmp_path / "a.mp4", speech_like(SECONDS, 52), sound_of=strange), model)
    assert found.state in ("apart", "unclear")
    assert "off the picture" in found.when_it_misleads


@pytest.mark.parametrize("why", ["silence", "no face"])
def test_where_there_is_nothing_to_compare_it_says_so(why: str, model: LipModel, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    if why == "silence":
        talking_video(path, silence(SECONDS))
    else:
        make_video(path, 100, sound_s=4.0)
    found, _ = check(path, model)
    assert found.state == "not_applicable"
    assert ("too little speech" if why == "silence" else "No face") in found.sentence


def _boxes(path: Path) -> list[tuple[float, float, float, float]]:
    from fakelab.faces.mouth import mouths_in
    from fakelab.media import Density, open_media

    with open_media(path) as media:
        return [box for strip in mouths_in(media.frames(Density(1, 60))) for _, box in strip.places]
