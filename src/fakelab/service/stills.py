"""Pictures of a file for its page: a poster and the key frames, where the evidence is strongest, as JPEG files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from fakelab.records import Analysis, Kind

if TYPE_CHECKING:
    from fakelab.records import Image

MOST = 6
APART_SHARE = 0.04
"""Key frames lie at least this share of the length apart."""
LONGEST_PX = 1280
POSTER_PX = 320
_QUALITY = 88


def moments(analysis: Analysis) -> list[float]:
    """The times of key frames in seconds, the most telling first: those of the faces with the highest scores.

    Where no face was scored, four moments spread over the file; for a photo the one there is.
    """
    if analysis.file.kind is Kind.PHOTO:
        return [0.0]
    length = analysis.file.duration_s or 0.0
    faces = [face for finding in analysis.findings for person in finding.people for face in person.faces]
    chosen: list[float] = []
    for face in sorted(faces, key=lambda each: (-each.p_fake, each.time_s)):
        if all(abs(face.time_s - other) > APART_SHARE * length for other in chosen):
            chosen.append(face.time_s)
        if len(chosen) == MOST:
            break
    return chosen or [length * share for share in (0.1, 0.35, 0.6, 0.85)]


def stills_of(analysis: Analysis, place: str) -> dict[str, bytes]:
    """`poster.jpg` and `still-NN.jpg` with the time in its name (`still-01-00012.480.jpg` is at 12.48 s).

    Empty for sound, and where the frames cannot be read again: pictures for a page never cost the verdict.
    """
    if analysis.file.kind is Kind.AUDIO:
        return {}
    from fakelab.errors import FakeLabError
    from fakelab.media.stills import stills

    try:
        found = stills(place, moments(analysis), longest_px=LONGEST_PX)
    except FakeLabError:
        return {}
    files = {f"still-{at:02d}-{still.time_s:09.3f}.jpg": jpeg(still.image) for at, still in enumerate(found, start=1)}
    if found:
        files["poster.jpg"] = jpeg(found[0].image, POSTER_PX)
    return files


def jpeg(image: Image, longest_px: int = LONGEST_PX) -> bytes:
    """A (H, W, 3) RGB picture as a JPEG file of at most `longest_px` on its longer side."""
    from PIL import Image as Pil

    picture = Pil.fromarray(image)
    picture.thumbnail((longest_px, longest_px))
    with io.BytesIO() as out:
        picture.save(out, "JPEG", quality=_QUALITY)
        return out.getvalue()
