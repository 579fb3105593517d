from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from fakelab.faces.crop import cut_face
from fakelab.faces.mouth import HEIGHT_PX, MOUTH_SPEC, RATE, WIDTH_PX, mouth_strips
from fakelab.records import Face, Track

FPS = 30


def faces(seconds: float, turn_deg: float = 0.0, gap: range = range(0)) -> list[Face]:
    """A drawn face that wanders about, its mouth open in every other half second; frames in `gap` are not found."""
    made = []
    for number in range(round(seconds * FPS)):
        if number in gap:
            continue
        open_mouth = int(number / FPS * 2) % 2
        picture = np.full((240, 320, 3), 170, np.uint8)
        points = np.array([[130, 90], [190, 90], [160, 125], [138, 155], [182, 155]], np.float32)
        cv2.ellipse(picture, (160, 155), (22, 2 + 9 * open_mouth), 0, 0, 360, (20, 20, 20), -1)
        move = cv2.getRotationMatrix2D((160, 120), turn_deg, 1.0)
        move[:, 2] += (6 * math.sin(number / 9), 4 * math.cos(number / 7))
        picture = cv2.warpAffine(picture, move, (320, 240), borderMode=cv2.BORDER_REPLICATE)
        points = (points @ move[:, :2].T + move[:, 2]).astype(np.float32)
        x, y = points.mean(0)
        box = (float(x) - 55, float(y) - 70, 110.0, 140.0)
        crop = cut_face(picture, box, points, MOUTH_SPEC)
        made.append(Face(box, 0.9, points, number / FPS, number, 0, (320, 240), crop, 100.0, 120.0))
    return made


@pytest.mark.parametrize("turn_deg", [0.0, 20.0, -35.0])
def test_a_mouth_stays_in_place_and_upright_while_the_head_wanders(turn_deg: float) -> None:
    (strip,) = mouth_strips([Track(1, tuple(faces(3.0, turn_deg)))])
    assert strip.pictures.shape == (round(3.0 * RATE) - 2, HEIGHT_PX, WIDTH_PX) or len(strip.pictures) >= 70
    dark = strip.pictures < 0.4
    rows, columns = np.nonzero(dark.any(0))
    assert abs(rows.mean() - (HEIGHT_PX - 1) / 2) < 1.5 and abs(columns.mean() - (WIDTH_PX - 1) / 2) < 1.5
    assert columns.max() - columns.min() > 2 * (rows.max() - rows.min()) * 0.6
    share = dark.mean((1, 2))
    half = RATE // 2
    wanted = np.array([int(k / RATE * 2) % 2 for k in range(len(share))])
    clear = [k for k in range(len(share)) if 2 <= k % half <= half - 2]
    assert share[clear][wanted[clear] == 1].min() > 1.5 * share[clear][wanted[clear] == 0].max()


def test_a_face_that_is_lost_ends_the_strip_and_a_short_rest_is_dropped() -> None:
    strips = mouth_strips([Track(4, tuple(faces(4.0, gap=range(60, 75))))])
    assert [each.person for each in strips] == [4, 4]
    assert strips[0].end_s <= 2.0 and strips[1].start_s >= 2.5
    assert len(mouth_strips([Track(1, tuple(faces(4.0, gap=range(20, 60))))])) == 1


def test_faces_without_points_give_no_strip() -> None:
    import dataclasses

    assert mouth_strips([Track(1, tuple(dataclasses.replace(each, landmarks=None) for each in faces(2.0)))]) == []
