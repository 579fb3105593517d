"""Faces of neighbouring frames -> strips of upright mouths at an even rate: what lips are compared with sound by.

The eyes and the nose say where the mouth lies, not its corners: what opens and closes then moves inside the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from fakelab.faces.crop import CROPPER_VERSION, square_to_cut
from fakelab.faces.scan import find_and_crop
from fakelab.faces.track import track_people
from fakelab.records import Box, CropSpec, Face, Frame, Track

MOUTH_SPEC = CropSpec(CROPPER_VERSION, size_px=112, margin=1.15)
"""How faces are cut for this: small, and with the chin."""
RATE = 25
"""Mouths a second."""
WIDTH_PX, HEIGHT_PX = 24, 21
SMALLEST_PX = 48.0
"""Faces under this are left out: their mouths have some ten pixels."""
FACES_PER_FRAME = 6
SPAN = 1.5
"""Width of a mouth's picture, in distances of the eyes."""
MOST_GAP_S = 0.2
"""A face that is not found for longer ends the strip."""
SMOOTH_FRAMES = 1.2
"""Deviation of the Gaussian that steadies the finder's points."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class MouthStrip:
    """One person's mouth without a gap: pictures (N, HEIGHT_PX, WIDTH_PX) grey 0..1, the first at `start_s`."""

    person: int
    start_s: float
    pictures: Floats
    side_px: float
    """Median of the longer side of the face's box."""
    places: tuple[tuple[float, Box], ...]
    """Time and box of its face every half second, by which people that another look found are recognised."""

    @property
    def end_s(self) -> float:
        return self.start_s + len(self.pictures) / RATE


def mouths_in(
    frames: Iterable[Frame], finder: str = "yunet", progress: Callable[[int], None] | None = None
) -> list[MouthStrip]:
    """The strips in bursts of frames, faces of SMALLEST_PX and more; `progress` hears how many frames were seen.

    Raises UnknownNameError and EnvironmentBrokenError for the finder.
    """
    scan, faces = find_and_crop(frames, finder, MOUTH_SPEC, limit_per_frame=FACES_PER_FRAME), []
    for face in scan:
        faces.append(face)
        if progress:
            progress(scan.frames_seen)
    strips = mouth_strips(track_people(faces, MOUTH_SPEC, finder), finder)
    return [strip for strip in strips if strip.side_px >= SMALLEST_PX]


def mouth_strips(people: Iterable[Track], finder: str = "yunet", shortest_s: float = 1.0) -> list[MouthStrip]:
    """The strips of all people, at least `shortest_s` long, in time order. Faces were cut by MOUTH_SPEC."""
    found = []
    for track in people:
        seen = [face for face in track.faces if face.landmarks is not None]
        for _, burst in groupby(seen, key=lambda face: face.burst):
            for run in _without_gaps(list(burst)):
                if run[-1].time_s - run[0].time_s >= shortest_s:
                    found.append(_strip(track.person, run, finder))
    return sorted(found, key=lambda strip: (strip.start_s, strip.person))


def _without_gaps(faces: Sequence[Face]) -> list[list[Face]]:
    runs: list[list[Face]] = []
    for face in faces:
        if runs and face.time_s <= runs[-1][-1].time_s:
            continue  # a second box of the same person in one frame
        if runs and face.time_s - runs[-1][-1].time_s <= MOST_GAP_S:
            runs[-1].append(face)
        else:
            runs.append([face])
    return runs


def _strip(person: int, faces: Sequence[Face], finder: str) -> MouthStrip:
    import cv2

    times = np.array([face.time_s for face in faces])
    points = _smoothed(np.stack([np.asarray(face.landmarks, np.float32) for face in faces]))
    eyes, across = points[:, :2].mean(1), points[:, 1] - points[:, 0]
    down = points[:, 2] - eyes
    # A turned head brings the eyes together, a lowered one the nose to them: the larger of both is the face's size.
    size = np.maximum(np.linalg.norm(across, axis=1), 1.35 * np.linalg.norm(down, axis=1)).clip(min=1.0)
    right = across / np.linalg.norm(across, axis=1, keepdims=True).clip(min=1e-3)
    below = np.stack([-right[:, 1], right[:, 0]], 1)
    mouth = points[:, 3:].mean(1) - eyes
    # Where the mouth lies in the face is one place for the strip: its own motion must not be taken out.
    place = np.median(np.stack([(mouth * right).sum(1), (mouth * below).sum(1)], 1) / size[:, None], axis=0)
    centres = eyes + size[:, None] * (place[0] * right + place[1] * below)
    pictures = np.empty((len(faces), HEIGHT_PX, WIDTH_PX), np.float32)
    for number, face in enumerate(faces):
        (x, y), side = square_to_cut(face.box, MOUTH_SPEC, finder)
        scale = MOUTH_SPEC.size_px / side
        centre = (centres[number] - (x, y)) * scale + MOUTH_SPEC.size_px / 2
        step = size[number] * SPAN / WIDTH_PX * scale
        matrix = np.stack([right[number] * step, below[number] * step, centre], 1)
        matrix[:, 2] -= matrix[:, :2] @ np.array([(WIDTH_PX - 1) / 2, (HEIGHT_PX - 1) / 2])
        grey = cv2.cvtColor(face.crop.image, cv2.COLOR_RGB2GRAY)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        pictures[number] = cv2.warpAffine(
            grey, matrix, (WIDTH_PX, HEIGHT_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
    sides = [max(face.box[2:]) for face in faces]
    start_s = float(np.ceil(times[0] * RATE) / RATE)
    step = max(1, round(0.5 * (len(faces) - 1) / (times[-1] - times[0])))
    places = tuple((face.time_s, face.box) for face in faces[::step])
    return MouthStrip(
        person, start_s, _at_even_times(pictures / np.float32(255), times, start_s), float(np.median(sides)), places
    )


def _smoothed(points: Floats) -> Floats:
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(points, SMOOTH_FRAMES, axis=0, mode="nearest"), np.float32)


def _at_even_times(pictures: Floats, times: NDArray[np.float64], start_s: float) -> Floats:
    """Between two frames, their mean weighted by how near they are."""
    count = int(np.floor((times[-1] - start_s) * RATE + 1e-6)) + 1
    wanted = start_s + np.arange(count) / RATE
    after = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    share = np.clip((wanted - times[after - 1]) / np.maximum(times[after] - times[after - 1], 1e-6), 0, 1)
    weights = share.astype(np.float32)[:, None, None]
    return np.asarray(pictures[after - 1] * (1 - weights) + pictures[after] * weights, np.float32)
