"""What the file says of its camera, its software and its times, and what of it does not fit together.

A place is never shown, only that the file holds one. Missing camera data is a note: most services remove it.
"""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from fakelab.evidence.generators import xmp_fields
from fakelab.evidence.traces import Traces, mapping, rows_of, said
from fakelab.records import Check, Image, Kind

EDITORS = (
    "Photoshop", "Lightroom", "GIMP", "Affinity", "Pixelmator", "Snapseed", "PicsArt", "Facetune", "FaceApp", "Canva",
    "Paint.NET", "Photopea", "Luminar", "Capture One", "darktable", "RawTherapee", "Krita", "Inkscape", "Meitu",
    "BeautyPlus", "Remini", "VSCO", "Polarr", "Premiere", "After Effects", "Final Cut", "DaVinci", "CapCut", "iMovie",
    "Filmora", "KineMaster", "InShot", "HandBrake", "Kdenlive", "Shotcut", "VEGAS", "Media Encoder", "Reface",
)  # fmt: skip
"""Software that changes pictures, as it names itself."""
ENCODER_TAGS = ("encoder", "software", "com.apple.quicktime.software", "writing_application", "encoded_by")
SLACK = timedelta(hours=26)
"""Times without a zone may lie so far apart and mean the same."""
OLDEST_YEAR = 1990
FRAMES_SEEN = 600
"""Frames at the start of a video whose coding is looked at."""
ALIKE = 0.75
"""Correlation of the embedded thumbnail with the picture, below which they show different things: 0.97 and more is
usual for genuine ones, also after mild edits."""
SHAPE_SLACK = 0.06
HOW = (
    "What camera, software and clock wrote into the file. A contradiction says that the file did not come straight "
    "from the camera; it does not say what was changed, or why."
)
MISLEADS = (
    "Every line here can be written by anyone with a free tool. Services remove or rewrite metadata, cameras have "
    "wrong "
    "clocks, and nearly every published photo went through editing software for harmless reasons."
)


def check_metadata(traces: Traces, now: datetime | None = None) -> Check:
    """The check of EXIF, XMP and container data; `now` is the present (UTC)."""
    moment = now or datetime.now(UTC)
    if traces.info.kind is Kind.PHOTO:
        facts, against, notes = _photo(traces, moment)
    else:
        facts, against, notes = _container(traces, moment)
    kept = tuple((label, value) for label, value in facts if value)
    if against:
        count = "One thing does" if len(against) == 1 else f"{len(against)} things do"
        state, sentence = "contradictions", f"{count} not fit a file that comes straight from the camera."
    elif kept or notes:
        state, sentence = "noted", "Nothing in the metadata contradicts itself."
    else:
        state, sentence = "none", "The file holds no metadata."
    return Check("metadata", state, " ".join((sentence, *notes)), kept, tuple(against), (), HOW, MISLEADS)


Facts = list[tuple[str, str]]


def _photo(traces: Traces, now: datetime) -> tuple[Facts, list[str], list[str]]:
    exif, iptc, jpeg = traces.tag("exif"), traces.tag("iptc"), traces.tag("jpeg")
    fields = dict(reversed(xmp_fields(traces)))
    camera = " ".join(part for part in (said(exif.get("Make"), 60), said(exif.get("Model"), 60)) if part)
    exposure = _exposure(exif)
    tools = list(dict.fromkeys(filter(None, map(said, (
        exif.get("Software"), exif.get("ProcessingSoftware"), fields.get("CreatorTool"), fields.get("softwareAgent"),
        iptc.get("OriginatingProgram"),
    )))))  # fmt: skip
    times = {
        "taken": _time(exif.get("DateTimeOriginal")),
        "made digital": _time(exif.get("DateTimeDigitized")),
        "last changed": _time(exif.get("DateTime")),
        "created (XMP)": _time(fields.get("CreateDate")),
        "changed (XMP)": _time(fields.get("ModifyDate")),
    }
    facts: Facts = [
        ("Camera", camera),
        ("Lens", said(exif.get("LensModel"), 80)),
        ("Exposure", exposure),
        ("Software", "; ".join(tools)),
        *((f"Time, {name}", value.strftime("%Y-%m-%d %H:%M:%S")) for name, value in times.items() if value),
        ("Location", "the file holds a position (not shown here)" if exif.get("has_location") is True else ""),
        ("Maker's notes", "yes" if exif.get("maker_note_bytes") else ""),
        ("Author or rights", "; ".join(filter(None, map(said, (exif.get("Artist"), exif.get("Copyright")))))),
        ("Embedded thumbnail", "yes" if traces.thumbnail is not None else ""),
        ("After the picture", _after(jpeg)),
    ]
    against = [f"The metadata name editing software: {tool}." for tool in tools if _editor(tool)]
    history = [name for name, _ in xmp_fields(traces) if name == "action"]
    if history:
        facts.append(("Editing steps in XMP", str(len(history))))
    against += _time_order(times, now) + _gps_time(exif, times["taken"]) + _size(exif, traces) + _thumbnail(traces)
    notes = [] if camera else ["No camera is named; most services remove this, so it says nothing by itself."]
    return facts, against, notes


def _exposure(exif: dict[str, Any]) -> str:
    parts = (
        ("", _number(exif.get("ExposureTime")), " s"), ("f/", _number(exif.get("FNumber")), ""),
        ("ISO ", _number(exif.get("ISOSpeedRatings")), ""), ("", _number(exif.get("FocalLength")), " mm"),
    )  # fmt: skip
    return ", ".join(f"{before}{value:g}{after}" for before, value, after in parts if value)


def _number(value: object) -> float:
    text = said(value, 40)
    return float(text) if re.fullmatch(r"\d{1,9}(\.\d{1,20})?", text) else 0.0


def _time(value: object) -> datetime | None:
    """The time without its zone, as the clock showed it."""
    found = re.match(r"(\d{4})[:\-](\d\d)[:\-](\d\d)[ T](\d\d):(\d\d)(?::(\d\d))?", said(value))
    try:
        return datetime(*(int(part or 0) for part in found.groups())) if found else None  # type: ignore[arg-type]
    except ValueError:
        return None


def _editor(tool: str) -> bool:
    return any(name.lower() in tool.lower() for name in EDITORS)


def _time_order(times: dict[str, datetime | None], now: datetime) -> list[str]:
    against = []
    taken, changed = times.get("taken"), times.get("last changed")
    if taken and changed and taken - changed > SLACK:
        against.append(f"It was last changed ({changed:%Y-%m-%d}) before it was taken ({taken:%Y-%m-%d}).")
    made, edited = times.get("created (XMP)"), times.get("changed (XMP)")
    if made and edited and made - edited > SLACK:
        against.append(f"It was changed ({edited:%Y-%m-%d}) before it was created ({made:%Y-%m-%d}), says XMP.")
    for name, value in times.items():
        if value and value - now.replace(tzinfo=None) > SLACK:
            against.append(f"The time “{name}” ({value:%Y-%m-%d}) lies in the future.")
        elif value and value.year < OLDEST_YEAR and name == "taken":
            against.append(
                f"It was taken in {value.year}, says the file: before digital cameras. A scan, or a wrong clock."
            )
    return against


def _gps_time(exif: dict[str, Any], taken: datetime | None) -> list[str]:
    found = re.fullmatch(r"(\d{4})[:\-](\d\d)[:\-](\d\d)", said(exif.get("GPSDateStamp")))
    if not found or not taken:
        return []
    stamp = _time(f"{'-'.join(found.groups())} 12:00:00")
    if stamp is None or abs(stamp - taken) < timedelta(days=2):
        return []
    return [f"The satellite clock says {stamp:%Y-%m-%d}, the camera's clock {taken:%Y-%m-%d}."]


def _size(exif: dict[str, Any], traces: Traces) -> list[str]:
    stated = [_number(exif.get(name)) for name in ("ExifImageWidth", "ExifImageHeight")]
    real = [traces.info.width_px or 0, traces.info.height_px or 0]
    if not all(stated) or not all(real) or sorted(stated) == sorted(map(float, real)):
        return []
    shape = max(stated) / min(stated) / (max(real) / min(real)) - 1
    what = "cropped or reshaped" if abs(shape) > 0.02 else "scaled"
    return [
        f"The metadata say {stated[0]:.0f} × {stated[1]:.0f} pixels, the picture has {real[0]} × {real[1]}: "
        f"it was {what} after the metadata were written."
    ]


def _thumbnail(traces: Traces) -> list[str]:
    if traces.thumbnail is None or traces.small is None:
        return []
    thumbnail = _without_bars(traces.thumbnail)
    if min(thumbnail.shape[:2]) < 16:
        return []
    shapes = [image.shape[1] / image.shape[0] for image in (thumbnail, traces.small)]
    against = []
    # Cameras put bars around a thumbnail, or cut it to 4:3, but never turn it.
    if (
        abs(shapes[0] / shapes[1] - 1) > SHAPE_SLACK
        and abs(traces.thumbnail.shape[1] / traces.thumbnail.shape[0] - 4 / 3) > 0.02
    ):
        against.append("The embedded thumbnail has another shape than the picture: it was cropped, or turned, later.")
    alike = max(
        likeness(each, traces.small) for each in (thumbnail, traces.thumbnail, _like(traces.thumbnail, traces.small))
    )
    if alike < ALIKE and not against:
        against.append(
            f"The embedded thumbnail shows something else than the picture (likeness {max(alike, 0):.2f} of 1): "
            "the picture was changed and the thumbnail was not."
        )
    return against


def _without_bars(image: Image) -> Image:
    """The picture without the black or white bars that cameras put around a thumbnail."""
    luma = image.astype(np.float32).mean(axis=2)
    rows = np.flatnonzero(luma.std(axis=1) > 4)
    columns = np.flatnonzero(luma.std(axis=0) > 4)
    if not len(rows) or not len(columns):
        return image
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _like(thumbnail: Image, picture: Image) -> Image:
    """The middle of the thumbnail in the shape of the picture."""
    height, width = thumbnail.shape[:2]
    shape = picture.shape[1] / picture.shape[0]
    wide, tall = min(width, round(height * shape)), min(height, round(width / shape))
    top, left = (height - tall) // 2, (width - wide) // 2
    return thumbnail[top : top + max(tall, 1), left : left + max(wide, 1)]


def likeness(one: Image, other: Image) -> float:
    """Correlation of two pictures in grey at 32 x 32; 1 where both are of one tone."""
    import cv2

    greys = [
        cv2.resize(each.astype(np.float32).mean(axis=2), (32, 32), interpolation=cv2.INTER_AREA).ravel()
        for each in (one, other)
    ]
    spread = [float(each.std()) for each in greys]
    if min(spread) < 1:
        return 1.0
    return float(np.corrcoef(greys[0], greys[1])[0, 1])


def _after(jpeg: dict[str, Any]) -> str:
    count = jpeg.get("after_end")
    if not isinstance(count, int) or count < 16:
        return ""
    head = said(jpeg.get("after_head"))
    what = "another picture (as phones add)" if head.startswith("ffd8") else "data of another kind"
    return f"{count} bytes follow the end of the picture: {what}"


def _container(traces: Traces, now: datetime) -> tuple[Facts, list[str], list[str]]:
    boxes = traces.tag("boxes")
    streams = rows_of(traces.tags.get("streams"))
    tags = mapping(streams[0].get("tags")) if streams else {}
    encoders = list(dict.fromkeys(
        said(value) for each in streams for key, value in mapping(each.get("tags")).items()
        if str(key).lower() in ENCODER_TAGS
    ))  # fmt: skip
    camera = " ".join(filter(None, (
        said(tags.get(f"com.apple.quicktime.{name}") or tags.get(name) or tags.get(f"com.android.{name}"), 60)
        for name in ("make", "manufacturer", "model")
    )))  # fmt: skip
    created = {said(each.get("kind"), 12): _time(mapping(each.get("tags")).get("creation_time")) for each in streams}
    changed = _unix(boxes.get("modified"))
    handlers = [said(each, 60) for each in boxes.get("handlers", ()) if said(each, 60)]
    edits = [each for each in boxes.get("edits", ()) if isinstance(each, list)]
    facts: Facts = [
        ("Camera", camera),
        ("Written by", "; ".join(filter(None, encoders))),
        ("Brands", ", ".join(dict.fromkeys(said(each, 8) for each in boxes.get("brands", ())))),
        ("Order of the parts", " ".join(said(each, 8) for each in boxes.get("order", ()))),
        *((f"Time, created ({kind})", value.strftime("%Y-%m-%d %H:%M:%S")) for kind, value in created.items() if value),
        ("Time, last changed", changed.strftime("%Y-%m-%d %H:%M:%S") if changed else ""),
        ("Tracks name themselves", "; ".join(dict.fromkeys(handlers))),
        ("Edit lists", _edits(edits)),
        *_frames(traces.tag("frames")),
        ("Android version", said(tags.get("com.android.version"), 20)),
        (
            "Location",
            "the file holds a position (not shown here)" if any("location" in str(k).lower() for k in tags) else "",
        ),
    ]
    against = [f"The file names editing software: {tool}." for tool in [*encoders, *handlers] if _editor(tool)]
    times = [value for value in created.values() if value]
    if times and max(times) - min(times) > SLACK:
        against.append(f"Its tracks were created at different times ({min(times):%Y-%m-%d} and {max(times):%Y-%m-%d}).")
    if changed and times and min(times) - changed > SLACK:
        against.append(f"It was last changed ({changed:%Y-%m-%d}) before it was created ({min(times):%Y-%m-%d}).")
    if times and max(times) - now.replace(tzinfo=None) > SLACK:
        against.append(f"It was created in the future ({max(times):%Y-%m-%d}).")
    notes = []
    if any(tool.startswith(("Lavf", "Lavc")) for tool in encoders):
        notes.append("It was written by FFmpeg, as services and editors use it: not the camera's own file.")
        if camera:
            against.append("It names a camera, but was written by FFmpeg: it was saved again after the camera.")
    elif not camera:
        notes.append("No camera is named; most services remove this, so it says nothing by itself.")
    return facts, list(dict.fromkeys(against)), notes


def _edits(edits: list[Any]) -> str:
    """Edit lists in words: more than one stretch means that the player shows a cut of what is stored."""
    rows = [each for each in edits if each]
    if not rows:
        return ""
    longest = max(len(each) for each in rows)
    shown = f"{len(rows)} (usual: they line up sound and picture)" if longest <= 2 else f"up to {longest} stretches"
    return shown


def _frames(frames: dict[str, Any]) -> list[tuple[str, str]]:
    """How the pictures are coded: distances of key frames, their share of the bytes, and whether order changes."""
    count, keys = frames.get("count"), frames.get("keys")
    if not isinstance(count, int) or not isinstance(keys, list) or not all(isinstance(key, int) for key in keys):
        return []
    gaps = [after - before for before, after in itertools.pairwise(keys)]
    if count < 2 or not keys:
        return []
    if not gaps:
        shown = (
            f"only the first of {count} frames" if count < FRAMES_SEEN else f"none after the first in {count} frames"
        )
    elif len(set(gaps)) == 1:
        shown = "every frame" if gaps[0] == 1 else f"every {gaps[0]} frames"
    else:
        shown = f"every {min(gaps)} to {max(gaps)} frames (an encoder sets one at a cut; so does joining of clips)"
    order = "in the order shown" if frames.get("reordered") is False else "not in the order shown (B-frames)"
    return [("Key frames", shown), ("Frames are stored", order)]


def _unix(seconds: object) -> datetime | None:
    if not isinstance(seconds, int) or not -2_000_000_000 < seconds < 4_000_000_000:
        return None
    return datetime(1970, 1, 1) + timedelta(seconds=seconds)
