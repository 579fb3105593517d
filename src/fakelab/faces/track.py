"""Faces -> people: followed inside a burst, joined across bursts and cuts by likeness and place.

Three steps, each more daring than the last:

1. *Tracklets*: inside a burst, each frame's faces are matched to those before by overlap, motion and thumbnails; a
   jump ends a tracklet, so a cut inside a burst does too.
2. *Chains*: a tracklet that begins as another ended a burst or two before is the same shot going on.
3. *People*: chains are merged pair by pair, the most alike first (average linkage), until no pair is alike enough.

Two faces of one frame are never one person, whatever they look like. Merging two people hides a forged one behind a
genuine one and is worse than splitting one: the thresholds are set for that (docs/experiments.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from fakelab.faces.crop import CROPPER_VERSION
from fakelab.faces.likeness import average, describe, head_poses, jump, pose_allowance, thumbnails
from fakelab.faces.scan import FaceScan
from fakelab.records import CropSpec, Face, Track

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

ANY_CROP = CropSpec(CROPPER_VERSION, size_px=224, margin=1.0)
"""How crops are taken to be cut when nobody says: a margin wrong by a tenth moves the measured patches alike."""

JUMP_IN_BURST = 1.0
"""Neighbouring frames: .1 % of 4,128 pairs of one face jump more in the picture alone, 99.8 % of pairs of strangers
do, even when these sit at the same place; who moves adds up to MOVED_WEIGHT."""
JUMP_TO_NEXT_BURST = 0.5
"""Seconds later, and without motion to go by: only what has hardly changed is the shot going on."""
MOVED_WEIGHT = 0.5
"""What a face that no longer overlaps its expected box adds to its jump."""
CHAIN_OVER_BURSTS = 2
"""A face that was not found in one burst is still followed to the one after."""
JOIN_LIKENESS = 1.72
PLACE_BONUS = 0.1
"""Chosen on 172 clips of one person and on 250 sets of three (docs/experiments.md). Up to the bonus, being at the same
place of the picture counts for likeness: cameras and interviewed people return to where they were."""
SAME_DETECTION_IOU = 0.7
"""YuNet's own suppression leaves no two boxes of one face over .3; other finders may."""
DESCRIBED_PER_TRACKLET = 2
DESCRIBED_PER_CHAIN = 24
"""Faces that are described, spread over the length; each costs .15 ms."""
CHAINS_COMPARED = 2000
"""Past this (stadiums) the shortest chains stand alone, so that the matrices stay within some tens of megabytes."""


@dataclass(slots=True, eq=False)
class _Chain:
    """Faces taken for one person, as positions in the list of all faces, in time order."""

    faces: list[int]
    burst: int
    """Rank of the last burst."""
    described: list[int] = field(default_factory=list)
    """Those of `faces` that stand for the rest."""


def track_people(faces: Iterable[Face], spec: CropSpec | None = None, finder: str = "yunet") -> list[Track]:
    """The people of a file: every face is in exactly one Track, faces in time order, people by first appearance.

    `faces` in any order. `spec` and `finder` say how the crops were cut; a FaceScan knows both itself. A person may
    come out as several Tracks where the shots differ much. Takes O(n log n) in the faces plus O(n^2) in the chains.
    """
    if isinstance(faces, FaceScan):
        spec, finder = spec or faces.spec, faces.finder
    found = sorted(faces, key=lambda face: (face.time_s, face.frame_index))
    if not found:
        return []
    twins = _same_detections(found)
    chosen = [k for k in range(len(found)) if twins[k] == k]
    thumbs = thumbnails(found)
    chains = _chain([_tracklets(found, burst, thumbs) for burst in _bursts(found, chosen)], found, thumbs)
    labels = _merge(chains, found, spec or ANY_CROP, finder)
    person_of = {k: label for chain, label in zip(chains, labels, strict=True) for k in chain.faces}
    people: dict[int, list[Face]] = {}
    for k, face in enumerate(found):
        people.setdefault(person_of[twins[k]], []).append(face)
    return [Track(number, tuple(members)) for number, members in enumerate(people.values(), start=1)]


def _same_detections(found: list[Face]) -> list[int]:
    """For each face the position of the most confident one of its frame that has nearly the same box, often itself."""
    twins = list(range(len(found)))
    for _, group in groupby(range(len(found)), key=lambda k: found[k].frame_index):
        frame = sorted(group, key=lambda k: -found[k].score)
        if len(frame) < 2:
            continue
        overlap = iou(_boxes(found, frame), _boxes(found, frame))
        for later in range(1, len(frame)):
            best = next((k for k in range(later) if overlap[k, later] >= SAME_DETECTION_IOU), later)
            twins[frame[later]] = twins[frame[best]]
    return twins


def _bursts(found: list[Face], chosen: list[int]) -> list[list[int]]:
    """The positions `chosen`, one list per burst, bursts by their first time."""
    bursts: dict[int, list[int]] = {}
    for k in chosen:
        bursts.setdefault(found[k].burst, []).append(k)
    return list(bursts.values())


def _tracklets(found: list[Face], burst: list[int], thumbs: tuple[Floats, Floats]) -> list[list[int]]:
    """The faces of one burst, followed from frame to frame."""
    tracklets: list[list[int]] = []
    for _, group in groupby(burst, key=lambda k: found[k].frame_index):
        frame = list(group)
        if not tracklets:
            tracklets = [[k] for k in frame]
            continue
        cost = _change(found, thumbs, [track[-1] for track in tracklets], frame, _expected(found, tracklets, frame[0]))
        taken = _match(cost, JUMP_IN_BURST)
        for row, column in taken:
            tracklets[row].append(frame[column])
        matched = {column for _, column in taken}
        tracklets += [[k] for column, k in enumerate(frame) if column not in matched]
    return tracklets


def _expected(found: list[Face], tracklets: list[list[int]], now: int) -> Floats:
    """(n, 4) boxes where each tracklet's face should be in the frame of face `now`, moving on as it last moved."""
    boxes = _boxes(found, [track[-1] for track in tracklets])
    for row, track in zip(boxes, tracklets, strict=True):
        if len(track) > 1:
            a, b = found[track[-2]], found[track[-1]]
            ratio = (found[now].frame_index - b.frame_index) / max(1, b.frame_index - a.frame_index)
            row[0] += ratio * (b.box[0] + b.box[2] / 2 - a.box[0] - a.box[2] / 2)
            row[1] += ratio * (b.box[1] + b.box[3] / 2 - a.box[1] - a.box[3] / 2)
    return boxes


def _chain(bursts: list[list[list[int]]], found: list[Face], thumbs: tuple[Floats, Floats]) -> list[_Chain]:
    """Tracklets of all bursts, those of one shot strung together."""
    chains: list[_Chain] = []
    open_chains: list[_Chain] = []
    for rank, tracklets in enumerate(bursts):
        open_chains = [chain for chain in open_chains if chain.burst >= rank - CHAIN_OVER_BURSTS]
        tails = [chain.faces[-1] for chain in open_chains]
        cost = _change(found, thumbs, tails, [track[0] for track in tracklets], _boxes(found, tails))
        follows = {column: open_chains[row] for row, column in _match(cost, JUMP_TO_NEXT_BURST)}
        for column, track in enumerate(tracklets):
            chain = follows.get(column)
            if chain is None:
                chain = _Chain([], rank)
                chains.append(chain)
                open_chains.append(chain)
            chain.faces += track
            chain.burst = rank
            chain.described += _spread(track, DESCRIBED_PER_TRACKLET)
    return chains


def _spread(track: list[int], count: int) -> list[int]:
    """At most `count` members from the whole length."""
    if len(track) <= count:
        return track
    return [track[(2 * k + 1) * len(track) // (2 * count)] for k in range(count)]


def _change(
    found: list[Face], thumbs: tuple[Floats, Floats], before: list[int], after: list[int], expected: Floats
) -> Floats:
    """(n, m) how much the faces `before`, `expected` at these boxes, differ from the faces `after`."""
    picture = jump((thumbs[0][before], thumbs[1][before]), (thumbs[0][after], thumbs[1][after]))
    return picture + MOVED_WEIGHT * (1.0 - iou(expected, _boxes(found, after)))


def _match(cost: Floats, limit: float) -> list[tuple[int, int]]:
    """Pairs (row, column), each row and column at most once, of the least total cost, none over `limit`."""
    if cost.size == 0:
        return []
    if 1 in cost.shape:
        # One face on either side, as mostly: the nearest, without the second that importing scipy takes.
        row, column = np.unravel_index(int(np.argmin(cost)), cost.shape)
        return [(int(row), int(column))] if cost[row, column] < limit else []
    from scipy.optimize import linear_sum_assignment

    # Clipped, an impossible pair costs what a missing one does, so it never pushes out a good one.
    rows, columns = linear_sum_assignment(np.minimum(cost, limit))
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if cost[row, column] < limit]


def _merge(chains: list[_Chain], found: list[Face], spec: CropSpec, finder: str) -> list[int]:
    """A label per chain; chains of one label are one person."""
    if len(chains) == 1:
        return [0]  # nobody to be told from: most photos
    order = sorted(range(len(chains)), key=lambda k: -len(chains[k].faces))
    compared, alone = order[:CHAINS_COMPARED], order[CHAINS_COMPARED:]
    picked = [chains[k] for k in compared]
    likeness = _likeness(picked, found, spec, finder)
    weights = np.array([len(chain.faces) for chain in picked], dtype=np.float32)
    merged = cluster(likeness, _share_a_frame(picked, found), weights, JOIN_LIKENESS)
    labels = [-1] * len(chains)
    for k, label in zip(compared, merged, strict=True):
        labels[k] = label
    for extra, k in enumerate(alone):
        labels[k] = len(compared) + extra
    return labels


def _likeness(chains: list[_Chain], found: list[Face], spec: CropSpec, finder: str) -> Floats:
    """(n, n) likeness of chains, 0..2, plus the bonus for sitting at the same place of the picture."""
    described = [_spread(chain.described, DESCRIBED_PER_CHAIN) for chain in chains]
    picked = [found[k] for members in described for k in members]
    descriptors = describe(picked, spec, finder)
    ends = np.cumsum([len(members) for members in described])
    people = np.stack([average(part) for part in np.split(descriptors, ends[:-1])])
    poses = np.stack([part.mean(axis=0) for part in np.split(head_poses(picked), ends[:-1])])
    allowance = pose_allowance(poses)
    return np.asarray(people @ people.T + allowance + PLACE_BONUS * _same_place(chains, found), dtype=np.float32)


def _same_place(chains: list[_Chain], found: list[Face]) -> Floats:
    """(n, n) 1 for chains at the same place and of the same size in their frames, falling to 0 within a face's side."""
    places = np.empty((len(chains), 3), np.float32)
    for row, chain in zip(places, chains, strict=True):
        x, y, width, height = np.median(_boxes(found, chain.faces), axis=0)
        scale = found[chain.faces[0]].frame_size[1]
        row[:] = (x + width / 2) / scale, (y + height / 2) / scale, max(width, height, 1e-3) / scale
    log_side = np.log(places[:, 2])
    side = np.sqrt(places[:, None, 2] * places[None, :, 2])
    squared = ((places[:, None, :2] - places[None, :, :2]) ** 2).sum(axis=2) / side**2
    return np.asarray(np.exp(-squared / 0.3**2 - ((log_side[:, None] - log_side[None]) / 0.2) ** 2), np.float32)


def _share_a_frame(chains: list[_Chain], found: list[Face]) -> Bools:
    """(n, n) True for chains that can't be one person, since a frame shows both."""
    rows = np.array([row for row, chain in enumerate(chains) for _ in chain.faces])
    frames = np.array([found[k].frame_index for chain in chains for k in chain.faces])
    order = np.argsort(frames, kind="stable")
    rows, frames = rows[order], frames[order]
    together = np.zeros((len(chains), len(chains)), bool)
    for apart in range(1, len(rows)):
        # Sorted by frame: faces of one frame stand in a row, so none is further apart than a frame has faces.
        same = frames[apart:] == frames[:-apart]
        if not same.any():
            break
        a, b = rows[apart:][same], rows[:-apart][same]
        together[a, b] = together[b, a] = True
    np.fill_diagonal(together, False)
    return together


def cluster(likeness: Floats, forbidden: Bools, weights: Floats, limit: float) -> list[int]:
    """(n,) labels from average linkage: the most alike pair is merged until no allowed pair reaches `limit`.

    `likeness` (n, n) symmetric, `forbidden` (n, n) symmetric pairs never to meet in one label, `weights` (n,) of the
    members in an average. O(n^2) for each merge at worst, usually O(n), since each row remembers its best partner.
    """
    n = len(likeness)
    score = np.where(forbidden, -np.inf, likeness).astype(np.float32)
    np.fill_diagonal(score, -np.inf)
    weights = weights.astype(np.float32).copy()
    labels = np.arange(n)
    partner = score.argmax(axis=1) if n else np.zeros(0, np.intp)
    best = score[np.arange(n), partner]
    while n > 1:
        a = int(best.argmax())
        if best[a] < limit:
            break
        b = int(partner[a])
        # -inf wins an average: what may not meet a or b may not meet both together.
        row = (weights[a] * score[a] + weights[b] * score[b]) / (weights[a] + weights[b])
        row[[a, b]] = -np.inf
        score[a], score[:, a] = row, row
        score[b], score[:, b] = -np.inf, -np.inf
        weights[a] += weights[b]
        labels[labels == b] = a
        stale = np.flatnonzero((partner == a) | (partner == b) | (row > best))
        stale = np.union1d(stale, [a, b])
        partner[stale] = score[stale].argmax(axis=1)
        best[stale] = score[stale, partner[stale]]
    return [int(label) for label in labels]


def iou(a: Floats, b: Floats) -> Floats:
    """(n, m) intersection over union of (n, 4) and (m, 4) boxes (x, y, width, height)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum((a[:, :2] + a[:, 2:])[:, None], (b[:, :2] + b[:, 2:])[None])
    both = (high - low).clip(0).prod(axis=2)
    either = (a[:, 2] * a[:, 3])[:, None] + (b[:, 2] * b[:, 3])[None] - both
    return np.asarray(both / np.maximum(either, 1e-6), dtype=np.float32)


def _boxes(found: list[Face], which: list[int]) -> Floats:
    return np.array([found[k].box for k in which], dtype=np.float32).reshape(-1, 4)
