"""Files of a run, sent so that a browser cannot be led to take one for a page of ours."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from fastapi.responses import FileResponse

from fakelab.errors import NotFoundError
from fakelab.service.copies import PROXY
from fakelab.service.runs import Run
from fakelab.web.house import House

# A file that somebody handed in must never run anything, whatever it is.
SANDBOX = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"
_TYPES = {
    "mp4": "video/mp4", "matroska": "video/webm", "gif": "image/gif", "jpeg": "image/jpeg", "png": "image/png",
    "webp": "image/webp", "mp3": "audio/mpeg", "wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg",
}  # fmt: skip
_ARTIFACT_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".json": "application/json"}


def artifact_answer(house: House, run: str, name: str, owner: str) -> FileResponse:
    """A derived file of a run. Raises UnknownNameError for one that the record does not name."""
    history = house.history
    found = history.get(run, owner=owner)
    path = history.artifact_path(found.id, name)
    return FileResponse(
        path,
        media_type=_ARTIFACT_TYPES.get(path.suffix, "application/octet-stream"),
        # Written once, under an address of its own; only for whoever may see it.
        headers={"Cache-Control": "private, max-age=31536000, immutable", "Content-Security-Policy": SANDBOX},
    )


def media_answer(house: House, run: Run, *, download: bool = False, container: str = "") -> FileResponse:
    """The analysed file as long as it is kept. Raises NotFoundError."""
    if not run.place or not os.path.isfile(run.place):
        raise NotFoundError(f"the file of '{run.name}' is no longer there", "", "")
    kind = "application/octet-stream" if download else _TYPES.get(container, "application/octet-stream")
    headers = {"Cache-Control": "private, no-cache", "Content-Security-Policy": SANDBOX}
    if download:
        return FileResponse(run.place, media_type=kind, headers=headers, filename=run.name)
    return FileResponse(run.place, media_type=kind, headers=headers, content_disposition_type="inline")


def proxy_of(house: House, run: str) -> Path | None:
    """The copy that plays, if one was made."""
    path = house.history.media_of(run) / PROXY
    return path if path.is_file() else None


@lru_cache(maxsize=512)
def overlay_png(crop: Path, heat_map: Path) -> bytes:
    """A face with its heat map over it, as a PNG file; made when it is looked at, and kept in memory for a while."""
    import io

    import numpy as np
    from PIL import Image

    from fakelab.reports.pictures import overlay, png

    with Image.open(crop) as picture:
        face = np.asarray(picture.convert("RGB"))
    with Image.open(io.BytesIO(heat_map.read_bytes())) as picture:
        grey = np.asarray(picture.convert("L")).astype(np.float32) / np.float32(255)
    return png(overlay(face, grey))
