from __future__ import annotations

import time

import numpy as np
import pytest
from face_maker import face, shot
from hypothesis import given, settings
from hypothesis import strategies as st

from fakelab.faces.track import _Chain, _share_a_frame, cluster, iou, track_people
from fakelab.records import CropSpec, Face, Track

LEFT, MIDDLE, RIGHT = (100.0, 200.0, 150.0, 200.0), (560.0, 200.0, 150.0, 200.0), (1000.0, 200.0, 150.0, 200.0)


def members(tracks: list[Track]) -> list[set[int]]:
    return [{id(one) for one in track.faces} for track in tracks]


def test_no_faces_are_no_people() -> None:
    assert track_people([]) == []
    assert track_people(iter([])) == []


def test_one_face_is_one_person() -> None:
    only = face(1, 0, 0)
    (track,) = track_people([only])
    assert track.person == 1
    assert track.faces == (only,)


def test_a_person_is_followed_through_all_bursts() -> None:
    (track,) = track_people(shot(1, range(8)))
    assert len(track.faces) == 32
    assert track.start_s == 0.0
    assert track.end_s == pytest.approx(35.12)


def test_people_side_by_side_stay_apart_even_when_they_look_the_same() -> None:
    twins = shot(1, range(8), LEFT) + shot(1, range(8), RIGHT)
    tracks = track_people(twins)
    assert len(tracks) == 2
    for track in tracks:
        assert len({one.frame_index for one in track.faces}) == len(track.faces) == 32
        assert len({one.box for one in track.faces}) == 1


def test_people_who_swap_places_between_shots_are_known_again() -> None:
    a = shot(1, range(3), LEFT) + shot(1, range(3, 6), RIGHT)
    b = shot(2, range(3), RIGHT) + shot(2, range(3, 6), LEFT)
    assert sorted(map(len, members(track_people(a + b)))) == [24, 24]
    assert {frozenset(m) for m in members(track_people(a + b))} == {
        frozenset(map(id, a)),
        frozenset(map(id, b)),
    }


def test_a_person_is_joined_over_a_cut_to_somebody_else() -> None:
    first, other, again = shot(1, range(3)), shot(2, range(3, 6)), shot(1, range(6, 8), RIGHT, light=15.0)
    tracks = track_people(first + other + again)
    assert members(tracks) == [set(map(id, first + again)), set(map(id, other))]


def test_a_cut_inside_a_burst_ends_the_tracklet_although_the_next_face_sits_at_the_same_place() -> None:
    before = [face(1, k, 0) for k in range(2)]
    after = [face(2, k, 0) for k in range(2, 4)]
    assert members(track_people(before + after)) == [set(map(id, before)), set(map(id, after))]


def test_a_flash_is_no_cut() -> None:
    burst = [face(1, k, 0, light=40.0 if k == 2 else 0.0) for k in range(4)]
    assert len(track_people(burst)) == 1


def test_motion_is_followed_where_boxes_no_longer_overlap_with_their_last_place() -> None:
    boxes = [(x, 200.0, 60.0, 80.0) for x in (100.0, 150.0, 200.0, 250.0)]
    other = [(x, 200.0, 60.0, 80.0) for x in (250.0, 200.0, 150.0, 100.0)]
    a = [face(1, k, 0, box) for k, box in enumerate(boxes)]
    b = [face(1, k, 0, box) for k, box in enumerate(other)]
    tracks = track_people(a + b)
    assert {frozenset(m) for m in members(tracks)} == {frozenset(map(id, a)), frozenset(map(id, b))}


def test_a_frame_without_the_face_does_not_split_the_person() -> None:
    seen = [one for one in shot(1, range(4)) if one.frame_index not in (1, 6, 7, 8)]
    assert len(track_people(seen)) == 1


def test_two_boxes_of_one_detection_are_one_person() -> None:
    once = shot(1, range(2))
    again = shot(1, range(2), (603.0, 202.0, 150.0, 200.0), score=0.7)
    (track,) = track_people(once + again)
    assert len(track.faces) == 16


def test_people_are_numbered_by_first_appearance_whatever_the_order_given() -> None:
    faces = shot(3, range(4, 8), LEFT) + shot(2, range(2, 8), RIGHT) + shot(1, range(8), MIDDLE)
    tracks = track_people(faces)
    assert [track.person for track in tracks] == [1, 2, 3]
    assert [track.faces[0].burst for track in tracks] == [0, 2, 4]
    assert [len(track.faces) for track in tracks] == [32, 24, 16]


def test_a_crowd() -> None:
    boxes = [(40.0 + 200 * (k % 6), 20.0 + 140 * (k // 6), 70.0, 90.0) for k in range(30)]
    faces = [one for seed, box in enumerate(boxes) for one in shot(seed, range(8), box)]
    tracks = track_people(faces)
    assert len(tracks) == 30
    assert all(len({one.box for one in track.faces}) == 1 for track in tracks)


def test_faces_without_landmarks_and_turned_crops_are_tracked_too() -> None:
    bare = [face(seed, k, k // 4, box, landmarks=False) for seed, box in ((1, LEFT), (2, RIGHT)) for k in range(16)]
    assert len(track_people(bare, finder="dlib")) == 2
    assert len(track_people(shot(1, range(4)), CropSpec(1, 96, 1.3, align=True))) == 1


def test_three_people_in_three_hundred_bursts_take_no_time() -> None:
    faces = [one for seed, box in ((1, LEFT), (2, MIDDLE), (3, RIGHT)) for one in shot(seed, range(300), box)]
    track_people(faces[:8])
    started = time.process_time()
    tracks = track_people(faces)
    # Measured at .3 to .6 s; the limit leaves room for a busy machine.
    assert time.process_time() - started < 2.0
    assert len(tracks) == 3


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 15),
            st.floats(-50, 1200, allow_nan=False),
            st.floats(-50, 700, allow_nan=False),
            st.floats(1, 300, allow_nan=False),
            st.booleans(),
        ),
        max_size=25,
    )
)
def test_every_face_is_in_one_track_and_tracks_are_in_order(
    rows: list[tuple[int, int, float, float, float, bool]],
) -> None:
    faces = [face(seed, index, index // 4, (x, y, s * 0.75, s), landmarks=lm) for seed, index, x, y, s, lm in rows]
    tracks = track_people(faces)
    together = [id(one) for track in tracks for one in track.faces]
    assert sorted(together) == sorted(map(id, faces))
    assert [track.person for track in tracks] == list(range(1, len(tracks) + 1))
    starts = [track.start_s for track in tracks]
    assert starts == sorted(starts)
    for track in tracks:
        times = [one.time_s for one in track.faces]
        assert times == sorted(times)
        for index in {one.frame_index for one in track.faces}:
            assert_one_detection([one for one in track.faces if one.frame_index == index])


def assert_one_detection(same_frame: list[Face]) -> None:
    boxes = np.array([one.box for one in same_frame], np.float32)
    best = int(np.argmax([one.score for one in same_frame]))
    assert (iou(boxes, boxes)[best] >= 0.7).all()


def test_clusters_merge_the_most_alike_first_and_never_what_may_not_meet() -> None:
    likeness = np.array([[9, 5, 4], [5, 9, 4.5], [4, 4.5, 9]], np.float32)
    nothing = np.zeros((3, 3), bool)
    ones = np.ones(3, np.float32)
    assert len(set(cluster(likeness, nothing, ones, 6.0))) == 3
    assert len(set(cluster(likeness, nothing, ones, 4.3))) == 2
    assert len(set(cluster(likeness, nothing, ones, 4.2))) == 1
    forbidden = nothing.copy()
    forbidden[0, 2] = forbidden[2, 0] = True
    labels = cluster(likeness, forbidden, ones, 0.0)
    assert labels[0] == labels[1] != labels[2]
    assert cluster(np.zeros((0, 0), np.float32), np.zeros((0, 0), bool), np.zeros(0, np.float32), 1.0) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 10_000), st.floats(-1, 2))
def test_clusters_equal_those_of_the_plain_algorithm(n: int, seed: int, limit: float) -> None:
    random = np.random.default_rng(seed)
    likeness = random.normal(0.5, 1, (n, n)).astype(np.float32)
    likeness = (likeness + likeness.T) / 2
    forbidden = random.random((n, n)) < 0.1
    forbidden |= forbidden.T
    weights = random.integers(1, 9, n).astype(np.float32)
    groups = [[k] for k in range(n)]

    def mean(a: list[int], b: list[int]) -> float:
        if forbidden[np.ix_(a, b)].any():
            return -np.inf
        pair = weights[a][:, None] * weights[b][None]
        return float((pair * likeness[np.ix_(a, b)]).sum() / pair.sum())

    while len(groups) > 1:
        scores = {(i, j): mean(groups[i], groups[j]) for j in range(len(groups)) for i in range(j)}
        i, j = max(scores, key=lambda pair: scores[pair])
        if scores[i, j] < limit:
            break
        groups[i] += groups.pop(j)
    labels = cluster(likeness, forbidden, weights, limit)
    assert {frozenset(g) for g in groups} == {
        frozenset(np.flatnonzero(np.array(labels) == label).tolist()) for label in set(labels)
    }


@given(st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=5, unique=True), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_chains_that_share_a_frame_are_found_however_many_stand_in_it(frames_of: list[list[int]]) -> None:
    found = [face(1, frame, 0) for frames in frames_of for frame in frames]
    numbers = iter(range(len(found)))
    chains = [_Chain([next(numbers) for _ in frames], 0) for frames in frames_of]
    frames = [{found[k].frame_index for k in chain.faces} for chain in chains]
    wanted = [[a is not b and bool(a & b) for b in frames] for a in frames]
    assert _share_a_frame(chains, found).tolist() == wanted
