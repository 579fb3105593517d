from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from skimage import data

from fakelab.errors import ModelError, UnknownNameError
from fakelab.faces import scan as scan_module
from fakelab.faces.crop import blur_and_luma, cut_face
from fakelab.faces.find import FoundFace
from fakelab.faces.scan import find_and_crop
from fakelab.faces.track import track_people
from fakelab.records import CropSpec, Frame

SPEC = CropSpec(1, 64, 1.0)


@pytest.fixture
def three_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [
        FoundFace((10.0, 10.0, 20.0, 20.0), 0.95, None),
        FoundFace((100.0, 10.0, 60.0, 60.0), 0.8, None),
        FoundFace((200.0, 10.0, 40.0, 40.0), 0.5, None),
    ]
    monkeypatch.setattr(scan_module, "make_finder", lambda name: lambda image: boxes if image.any() else [])


def frames(count: int, empty: tuple[int, ...] = ()) -> Iterator[Frame]:
    for k in range(count):
        value = 0 if k in empty else 1 + k
        yield Frame(np.full((90, 320, 3), value, np.uint8), k / 25, k, k // 4)


def test_a_real_face_comes_with_everything_that_later_rooms_need() -> None:
    image = np.asarray(data.astronaut())
    (face,) = find_and_crop([Frame(image, 1.5, 7, 2)], "yunet", SPEC)
    assert (face.time_s, face.frame_index, face.burst, face.frame_size) == (1.5, 7, 2, (512, 512))
    expected = cut_face(image, face.box, face.landmarks, SPEC, "yunet")
    np.testing.assert_array_equal(face.crop.image, expected.image)
    assert face.crop.version == 1
    assert (face.blur, face.luma) == blur_and_luma(face.crop.image)
    assert face.landmarks is not None


@pytest.mark.usefixtures("three_boxes")
def test_frames_and_faces_are_counted() -> None:
    scan = find_and_crop(frames(5, empty=(1, 3)), "yunet", SPEC, min_score=0.6)
    assert scan.frames_seen == 0
    faces = list(scan)
    assert len(faces) == 6
    assert (scan.frames_seen, scan.frames_with_faces, scan.faces_found, scan.faces_left_out) == (5, 3, 6, 0)
    assert list(scan) == []


@pytest.mark.usefixtures("three_boxes")
def test_the_largest_faces_are_kept_and_come_first() -> None:
    scan = find_and_crop(frames(1), "yunet", SPEC, limit_per_frame=2)
    assert [face.box[2] for face in scan] == [60.0, 40.0]
    assert (scan.faces_found, scan.faces_left_out) == (3, 1)


@pytest.mark.usefixtures("three_boxes")
def test_no_frame_is_held_and_none_is_read_ahead() -> None:
    alive: list[weakref.ref[Frame]] = []
    given = 0

    class Watched(Frame):
        __slots__ = ("__weakref__",)

    def stream() -> Iterator[Frame]:
        nonlocal given
        for k in range(6):
            frame = Watched(np.full((90, 320, 3), 9, np.uint8), k / 25, k, 0)
            alive.append(weakref.ref(frame))
            given += 1
            yield frame
            del frame

    scan = find_and_crop(stream(), "yunet", SPEC)
    assert given == 0
    for count, face in enumerate(scan):
        gc.collect()
        assert given == count // 3 + 1 == face.frame_index + 1
        # A generator that yields its own local keeps it until it is asked again: one frame at most.
        assert sum(ref() is not None for ref in alive) <= 1


def test_bad_arguments_are_refused_before_the_first_frame() -> None:
    with pytest.raises(UnknownNameError):
        find_and_crop(frames(1), "haar", SPEC)
    with pytest.raises(ModelError):
        find_and_crop(frames(1), "yunet", CropSpec(99, 64, 1.0))


def test_a_scan_goes_straight_into_tracking() -> None:
    image = np.asarray(data.astronaut())
    two = np.hstack([image, image[:, ::-1]])
    stream = (Frame(two, k // 4 * 2 + k % 4 / 25, k, k // 4) for k in range(8))
    tracks = track_people(find_and_crop(stream, "yunet", SPEC))
    assert [len(track.faces) for track in tracks] == [8, 8]
