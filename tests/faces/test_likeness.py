from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from face_maker import face
from skimage import data

from fakelab.faces.crop import cut_face
from fakelab.faces.find import make_finder
from fakelab.faces.likeness import average, describe, head_poses, jump, pose_allowance, thumbnails, uniform_codes
from fakelab.records import CropSpec, Face, Image

SPEC = CropSpec(1, 96, 1.0)


def seen(image: Image, spec: CropSpec) -> Face:
    found = make_finder("yunet")(image)[0]
    crop = cut_face(image, found.box, found.landmarks, spec)
    return dataclasses.replace(face(0, 0, 0), box=found.box, landmarks=found.landmarks, crop=crop)


def test_descriptors_of_a_face_have_likeness_two_with_themselves_and_less_with_strangers() -> None:
    one, again, other = describe([face(1, 0, 0), face(1, 9, 2), face(2, 0, 0)], SPEC, "yunet")
    assert one @ one == pytest.approx(2.0, abs=1e-3)
    assert one @ again > 1.8
    assert one @ other < 1.5
    assert average(np.stack([one, again])) @ average(np.stack([one, again])) == pytest.approx(2.0, abs=1e-3)


def test_descriptors_do_not_depend_on_how_the_crop_was_cut() -> None:
    image = np.asarray(data.astronaut())
    specs = [CropSpec(1, 224, 1.0), CropSpec(1, 128, 1.3), CropSpec(1, 160, 1.2, align=True)]
    texture = [describe([seen(image, spec)], spec, "yunet")[0][:-256] for spec in specs]
    assert texture[0] @ texture[1] > 0.85
    assert texture[0] @ texture[2] > 0.85


def test_a_flash_jumps_less_than_a_stranger() -> None:
    thumbs = thumbnails([face(1, 0, 0), face(1, 1, 0, light=40.0), face(2, 2, 0)])
    changes = jump(thumbs, thumbs)
    assert changes.shape == (3, 3)
    assert np.diag(changes) == pytest.approx(0.0, abs=1e-3)
    assert changes[0, 1] < 0.5 < changes[0, 2]


def test_no_faces_have_empty_descriptors() -> None:
    assert describe([], SPEC, "yunet").shape[0] == 0
    assert thumbnails([])[0].shape == (0, 256)


def test_the_uniform_patterns_are_58() -> None:
    codes = uniform_codes()
    assert len(set(codes[codes < 58].tolist())) == 58
    assert int((codes == 58).sum()) == 256 - 58


def test_poses_are_read_from_the_nose_whatever_the_roll_and_the_size() -> None:
    frontal = face(1, 0, 0)
    assert frontal.landmarks is not None
    turned = frontal.landmarks.copy()
    turned[2, 0] += 30.0
    angle = np.radians(25)
    roll = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    faces = [
        frontal,
        dataclasses.replace(frontal, landmarks=turned),
        dataclasses.replace(frontal, landmarks=np.float32(3.0) * turned @ roll.T),
        face(1, 0, 0, landmarks=False),
    ]
    poses = head_poses(faces)
    assert poses[1, 0] - poses[0, 0] == pytest.approx(30.0 / (200 * 0.342), abs=0.01)
    assert poses[2] == pytest.approx(poses[1], abs=1e-3)
    assert poses[3] == pytest.approx(poses[0], abs=1e-3)
    allowance = pose_allowance(poses)
    assert allowance[0, 3] == pytest.approx(0.0, abs=1e-3)
    assert 0.1 < allowance[0, 1] <= 0.18
