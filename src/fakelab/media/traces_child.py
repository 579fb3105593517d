"""What a file carries beside its picture, as it stands there: credentials, tags, tables. Runs inside the child process.

Parts, each with `what` and its bytes: `c2pa` (the report of the C2PA library as JSON), `tags` (JSON), and for photos
`small` (the picture at most SMALL_PX wide), `thumbnail` (the one embedded in EXIF) and `rows` (the stored picture in
strips of RGB, not turned, if the caller wants them). Nothing is judged here.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import c2pa
from PIL import Image

from fakelab.media import boxes, tags
from fakelab.media.photo import PhotoReader, open_image, orientation_of, to_rgb
from fakelab.media.wire import Job, Message

if TYPE_CHECKING:
    from fakelab.media.video import VideoReader  # PyAV is for videos alone: photos do not wait for it

SMALL_PX = 640
STRIP_ROWS = 256
MOST_JSON = 1 << 23
MIME = {
    "jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif", "tiff": "image/tiff",
    "heif": "image/heif", "mp4": "video/mp4", "mov": "video/quicktime", "avi": "video/x-msvideo", "wav": "audio/wav",
    "mp3": "audio/mpeg", "m4a": "audio/mp4",
}  # fmt: skip
"""Container -> how the C2PA library calls it. In others it finds no credentials."""
Part = tuple[Message, list[bytes]]


def reader(kind: type[Any]) -> Callable[[Job], Any]:
    """What opens a file that a reader of this kind reads, and gives its traces."""

    def parts(self: Any, wanted: Message) -> Iterator[Part]:
        return _parts(self, wanted)

    return type("TraceReader", (kind,), {"parts": parts})


def _parts(reader: Any, wanted: Message) -> Iterator[Part]:
    job: Job = reader._job
    yield _json("c2pa", credentials(job, wanted.get("trust_anchors") or ""))
    # What a damaged file still tells is told: each step for itself.
    found: Message = {"problems": []}
    for name, step in _steps(reader):
        try:
            found[name] = step()
        except MemoryError:
            raise
        except Exception as error:
            found["problems"].append(f"{name}: {type(error).__name__}")
    yield _json("tags", found)
    if isinstance(reader, PhotoReader):
        yield from _pictures(reader, wanted)


def _steps(reader: Any) -> list[tuple[str, Callable[[], Any]]]:
    job: Job = reader._job
    container = getattr(reader, "_container", None)
    if container is None:
        return [
            ("exif", lambda: tags.exif(open_image(job))),
            ("xmp", lambda: tags.xmp(job.file)),
            ("iptc", lambda: tags.iptc(open_image(job))),
            ("text", lambda: tags.texts(job.file, open_image(job))),
            ("jpeg", lambda: tags.jpeg(job.file) if job.container == "jpeg" else None),
            ("orientation", lambda: orientation_of(open_image(job))),
        ]
    return [
        ("streams", lambda: tags.streams(container)),
        ("boxes", lambda: boxes.facts(job.file) if job.container in ("mp4", "mov", "m4a") else None),
        ("xmp", lambda: tags.xmp(job.file)),
        ("frames", lambda: tags.coding(_head(reader))),
    ]


def _head(reader: VideoReader) -> Iterator[Any]:
    """The first packets of the picture stream."""
    from fakelab.media.video import HEAD_PACKETS  # loaded already: it is the reader's module

    if reader._stream is None:
        return iter(())
    reader._rewind()
    return itertools.islice(reader._packets(), HEAD_PACKETS)


def credentials(job: Job, anchors: str) -> Message:
    """The C2PA library's report as `report`, or `absent`, or `error`; nothing is fetched from anywhere."""
    mime = MIME.get(job.container)
    if mime is None:
        return {"unsupported": True}
    verify = {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True, "verify_after_reading": True}
    settings: Message = {"verify": verify}
    if anchors:
        settings["trust"] = {"trust_anchors": anchors}
    job.file.seek(0)
    try:
        context = c2pa.Context(c2pa.Settings.from_dict(settings))
        with c2pa.Reader(mime, job.file, context=context) as found:
            return {"report": json.loads(found.json())}
    except c2pa.C2paError.ManifestNotFound:
        return {"absent": True}
    except c2pa.C2paError as error:
        return {"error": str(error)[:300]}


def _pictures(reader: PhotoReader, wanted: Message) -> Iterator[Part]:
    stored = to_rgb(reader._load())
    width, height = stored.size
    small = stored.copy() if max(width, height) <= SMALL_PX else stored.resize(
        (max(1, round(width * SMALL_PX / max(width, height))), max(1, round(height * SMALL_PX / max(width, height)))),
        reducing_gap=2.0,
    )  # fmt: skip
    yield _pixels("small", small)
    try:
        thumbnail = _thumbnail(reader._job)
    except MemoryError:
        raise
    except Exception:
        thumbnail = None  # a damaged one is none
    if thumbnail is not None:
        yield _pixels("thumbnail", thumbnail)
    if wanted.get("rows"):
        for top in range(0, height, STRIP_ROWS):
            yield _pixels("rows", stored.crop((0, top, width, min(height, top + STRIP_ROWS))))


def _thumbnail(job: Job) -> Any:
    data = tags.thumbnail(open_image(job))
    if not data:
        return None
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        if image.width * image.height > 1 << 20:
            return None
        return image.convert("RGB")


def _pixels(what: str, image: Any) -> Part:
    data = image.tobytes()
    return {"what": what, "width_px": image.width, "height_px": image.height, "bytes": len(data)}, [data]


def _json(what: str, value: Any) -> Part:
    data = json.dumps(value).encode()
    if len(data) > MOST_JSON:
        data = b'{"error": "it is larger than the limit"}'
    return {"what": what, "bytes": len(data)}, [data]
