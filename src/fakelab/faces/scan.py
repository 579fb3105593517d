"""Frames -> faces, each with its crop: the frame is dropped as soon as its faces are cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fakelab.faces.crop import blur_and_luma, cut_face, refuse_other_versions
from fakelab.faces.find import Finder, make_finder
from fakelab.records import CropSpec, Face, Frame

FACES_PER_FRAME = 24
"""The largest faces of a frame that are kept unless the caller says otherwise: in a stadium the rest is too small."""


class FaceScan(Iterator[Face]):
    """The faces of a stream of frames in the order of the frames, and counts of what was read so far.

    Iterate once. Between two faces it holds the faces of one frame and no frame. `finder` and `spec` say how the
    crops were cut, which `track_people` needs to know to look into them.
    """

    def __init__(
        self,
        frames: Iterable[Frame],
        finder: str,
        spec: CropSpec,
        min_score: float = 0.0,
        limit_per_frame: int = FACES_PER_FRAME,
    ) -> None:
        refuse_other_versions(spec)
        self.finder = finder
        self.spec = spec
        self.frames_seen = 0
        self.frames_with_faces = 0
        self.faces_found = 0
        self.faces_left_out = 0
        """Faces over `limit_per_frame`; those under `min_score` are not counted as faces."""
        self._faces = self._scan(iter(frames), make_finder(finder), min_score, limit_per_frame)

    def __iter__(self) -> FaceScan:
        return self

    def __next__(self) -> Face:
        return next(self._faces)

    def _scan(self, frames: Iterator[Frame], find: Finder, min_score: float, limit_per_frame: int) -> Iterator[Face]:
        for frame in frames:
            faces = self._faces_of(frame, find, min_score, limit_per_frame)
            # A name that lives on across `yield` would keep the frame while the caller scores its faces.
            del frame
            yield from faces

    def _faces_of(self, frame: Frame, find: Finder, min_score: float, limit_per_frame: int) -> list[Face]:
        found = [face for face in find(frame.image) if face.score >= min_score]
        kept = sorted(found, key=lambda face: -face.box[2] * face.box[3])[:limit_per_frame]
        self.frames_seen += 1
        self.frames_with_faces += bool(found)
        self.faces_found += len(found)
        self.faces_left_out += len(found) - len(kept)
        height, width = frame.image.shape[:2]
        faces = []
        for face in kept:
            crop = cut_face(frame.image, face.box, face.landmarks, self.spec, self.finder)
            blur, luma = blur_and_luma(crop.image)
            faces.append(
                Face(
                    box=face.box,
                    score=face.score,
                    landmarks=face.landmarks,
                    time_s=frame.time_s,
                    frame_index=frame.index,
                    burst=frame.burst,
                    frame_size=(width, height),
                    crop=crop,
                    blur=blur,
                    luma=luma,
                )
            )
        return faces


def find_and_crop(
    frames: Iterable[Frame],
    finder: str,
    spec: CropSpec,
    min_score: float = 0.0,
    limit_per_frame: int = FACES_PER_FRAME,
) -> FaceScan:
    """The faces of `frames`, found by the finder of this name and cut by `spec`, as an iterator that also counts.

    Every frame's faces come largest first: at most `limit_per_frame`, none under `min_score` (0..1, on top of the
    finder's own threshold). Raises at once UnknownNameError for the finder, EnvironmentBrokenError when it cannot be
    loaded, and ModelError for a spec of another cropper.
    """
    return FaceScan(frames, finder, spec, min_score, limit_per_frame)
