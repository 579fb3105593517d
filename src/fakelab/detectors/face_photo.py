"""Was a face in this photo manipulated? The same road as in a video, with one frame and its own calibration."""

from __future__ import annotations

from collections.abc import Iterable

from fakelab.detectors.face_video import FaceOptions, judge, score_faces
from fakelab.faces.scan import find_and_crop
from fakelab.media import Media
from fakelab.models.runtime import FaceModel
from fakelab.records import Finding, Frame, Kind, Progress


def detect_faces_in_photo(
    frames: Iterable[Frame], media: Media, model: FaceModel, options: FaceOptions, progress: Progress
) -> Finding:
    """The finding for a photo, whose one frame `frames` gives. Raises what `media.frames` raises."""
    faces = find_and_crop(frames, options.finder, model.card.crop)
    scored = score_faces(faces, model, lambda: progress("faces", faces.faces_found, None))
    return judge(scored, media, model, options, Kind.PHOTO, faces.frames_seen)
