"""A manifest -> crops, with the product's own finder, tracker and cropper: parallel, and resumed after a kill.

The main path is `_crops_of`: frames -> faces with their crops -> people -> the crops that are kept.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.data.manifest import Manifest, Row, read_for_training, read_manifest, replace_file
from fakelab.data.spool import MESH_POINTS, FoundCrop, Spool
from fakelab.data.store import STORE_SPEC, FaceStore, open_store, relabel_store
from fakelab.data.writers import writer_called
from fakelab.errors import DataError, FakeLabError, unknown_name
from fakelab.faces.crop import CROPPER_VERSION, blur_and_luma, square_to_cut
from fakelab.faces.find import finder_called
from fakelab.faces.scan import find_and_crop
from fakelab.faces.track import track_people
from fakelab.media.views import views_of
from fakelab.records import CropSpec, Face, Frame, Image, MediaInfo

REGIONS = ("face", "frame", "view")
PEOPLE = ("main", "all")
FRAMES_PER_CLIP = 6
MOST_FRAMES = 600
"""Of one file, whatever was asked: its crops wait in memory until its people are known."""
VIEW_CUTS = 2
"""Parts at full size of each picture, beside the whole."""
SPOOL = ".unfinished"
REPORT = "prepared.json"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Choices:
    """What is cut from each file.

    `region` face: people's crops; frame: the whole picture, squeezed into the square; view: the square in its middle
    and parts at full size, as models of whole pictures see them (`media.views`).
    """

    region: str = "face"
    people: str = "main"
    """main: the one who fills most of the picture, since in a forged clip not everybody is forged; or all."""
    bursts: int = FRAMES_PER_CLIP
    frames_per_burst: int = 1
    every_s: float | None = None
    """One burst for each so many seconds, and never fewer than `bursts`."""
    size_px: int = STORE_SPEC.size_px
    margin: float = STORE_SPEC.margin
    finder: str = "yunet"
    mesh: Path | None = None
    """face_landmark.tflite, for dense points."""
    cuts: int = VIEW_CUTS
    """Of region view: parts at full size of each picture, beside the whole."""
    min_face_px: float = 0.0
    """Of region face: what shows less of the source picture than a square of this side is left out."""

    @property
    def spec(self) -> CropSpec:
        return CropSpec(CROPPER_VERSION, self.size_px, self.margin)


@dataclass(frozen=True, slots=True)
class Report:
    """What a preparation gave: counts, and the rows that gave nothing as (row of the manifest from 0, why)."""

    rows: int
    crops: int
    skipped: tuple[tuple[int, str], ...]
    resumed_at: int
    """Rows that an earlier, cut-off run had done."""


def prepare(
    manifest: Path | Manifest,
    out: Path,
    *,
    writer: str = "store",
    choices: Choices | None = None,
    trusted: bool = False,
    workers: int = 2,
    replace: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Crops of every file of the manifest, written to the folder `out`; a run that was killed goes on.

    Where the same files were prepared already and only their labels, groups or splits changed, a store takes these up.
    With `trusted` files are decoded in the workers themselves, without the child process that confines them. A folder
    that holds another preparation is refused unless `replace`. ``skipped.csv`` names each row that gave nothing.
    Raises DataError, UnknownNameError, EnvironmentBrokenError.
    """
    table = manifest if isinstance(manifest, Manifest) else read_manifest(manifest)
    wanted = choices or Choices()
    _check(wanted)
    write = writer_called(writer)
    plan = _plan(table, wanted, writer)
    if (done := _finished(out, plan, table, writer)) is not None:
        return done
    # A store without a report was made by hand or joined: it is not ours to overwrite either.
    taken = (out / REPORT).is_file() or ((out / "index.npz").is_file() and not (out / SPOOL).is_dir())
    if taken and not replace:
        raise DataError(
            f"{out} holds another preparation",
            "it was made from other files, with other choices, or by joining stores",
            "Choose another --out, or give --replace.",
        )
    with Spool(out / SPOOL, plan, wanted.size_px) as spool:
        resumed_at = spool.rows_done
        for crops, why in _all_crops(table.rows[resumed_at:], wanted, trusted, workers):
            spool.add(crops, why)
            if progress:
                progress(spool.rows_done, len(table.rows))
        prepared = spool.finish(table.rows, table.sha256)
    _write_skipped(table, prepared.skipped, out)
    if not len(prepared.crops):
        raise DataError(
            f"no file of {table.path} gave a crop",
            f"for example: {prepared.skipped[0][1]}" if prepared.skipped else "it has no rows",
            f"Look at {out / 'skipped.csv'}.",
        )
    (out / REPORT).unlink(missing_ok=True)
    write(prepared, out)
    report = Report(len(table.rows), len(prepared.crops), tuple(prepared.skipped), resumed_at)
    _write_report(out, plan, table, report)
    spool.remove()
    return report


def build_store(
    manifest: Path,
    folder: Path,
    *,
    mesh: Path | None = None,
    trusted: bool = False,
    workers: int = 2,
    progress: Progress | None = None,
) -> FaceStore:
    """The face store of a manifest that training may use, built in `folder`, or opened if it is there already.

    A store of another manifest is replaced. Raises DataError, also for rows without a split and for leaks.
    """
    table = read_for_training(manifest)
    if (folder / "index.npz").is_file() and (store := open_store(folder)).sha256 == table.sha256:
        return store
    choices = Choices(mesh=mesh)
    prepare(table, folder, choices=choices, trusted=trusted, workers=workers, replace=True, progress=progress)
    return open_store(folder)


def _check(choices: Choices) -> None:
    for kind, name, known in (("region", choices.region, REGIONS), ("choice of people", choices.people, PEOPLE)):
        if name not in known:
            raise unknown_name(kind, name, known)
    finder_called(choices.finder)
    if choices.size_px < 16 or not 0.2 <= choices.margin <= 5.0:
        raise DataError(
            f"crops of {choices.size_px} px and margin {choices.margin:g} cannot be cut",
            "",
            "Give a size of 16 px or more, and a margin between .2 and 5.",
        )
    if not choices.min_face_px >= 0 or (choices.min_face_px and choices.region != "face"):
        raise DataError(
            f"faces under {choices.min_face_px:g} px cannot be left out",
            "it is no length" if choices.region == "face" else f"region '{choices.region}' looks for no face",
            "Give pixels, 0 or more, and region 'face'.",
        )


def _plan(table: Manifest, choices: Choices, writer: str) -> dict[str, Any]:
    """What decides which crops there are: not the labels, groups and splits, which may change later."""
    files = hashlib.sha256()
    for row in table.rows:
        files.update(f"{os.path.abspath(row.path)}\0{row.sha256}\0{row.tight}\n".encode("utf-8", "surrogateescape"))
    mesh = None if choices.mesh is None else _digest_of(choices.mesh)
    told = asdict(choices) | {"mesh": mesh, "writer": writer, "cropper": CROPPER_VERSION}
    if choices.cuts == VIEW_CUTS:
        # What was prepared before there was a choice stays valid.
        del told["cuts"]
    if not choices.min_face_px:
        del told["min_face_px"]
    return told | {"files_sha256": files.hexdigest(), "rows": len(table.rows)}


def _digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else str(path)


def _finished(out: Path, plan: dict[str, Any], table: Manifest, writer: str) -> Report | None:
    """The report of the same preparation, if it is complete; a store is told what is new in the manifest."""
    try:
        told = json.loads((out / REPORT).read_text(encoding="utf-8"))
        if told["plan"] != plan:
            return None
        skipped = tuple((int(row), str(why)) for row, why in told["skipped"])
        report = Report(plan["rows"], int(told["crops"]), skipped, plan["rows"])
        if told["manifest_sha256"] == table.sha256:
            return report
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if writer != "store":
        return None
    relabel_store(out, table)
    _write_report(out, plan, table, report)
    return report


def _write_report(out: Path, plan: dict[str, Any], table: Manifest, report: Report) -> None:
    told = {"plan": plan, "manifest_sha256": table.sha256, "crops": report.crops, "skipped": report.skipped}
    replace_file(out / REPORT, json.dumps(told).encode())


def _write_skipped(table: Manifest, skipped: Sequence[tuple[int, str]], out: Path) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("row", "path", "why"))
    # Rows as a spreadsheet counts them, the header first.
    writer.writerows((number + 2, table.rows[number].path, why) for number, why in skipped)
    replace_file(out / "skipped.csv", text.getvalue().encode("utf-8"))


# -- workers -------------------------------------------------------------------------------------------------------

_tools: dict[str, Any] = {}
"""The mesh of this process, and whether it trusts its files."""


def _all_crops(
    rows: Sequence[Row], choices: Choices, trusted: bool, workers: int
) -> Iterator[tuple[list[FoundCrop], str]]:
    """For each row its crops, or no crop and why, in the order of the rows."""
    if workers < 2:
        _start_worker(choices, trusted)
        yield from (_prepare_row(row) for row in rows)
        return
    # Spawned, not forked: the parent may have threads, and their locks would be copied as they are.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_pool_worker, (choices, trusted)) as pool:
        waiting: deque[Future[tuple[list[FoundCrop], str]]] = deque()
        try:
            for row in rows:
                waiting.append(pool.submit(_prepare_row, row))
                # A few rows for each worker: their crops wait in memory.
                if len(waiting) >= 6 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise DataError(
                "a worker ended early",
                "it was killed, ran out of memory, or a file crashed its decoder",
                "Run the same command again: it goes on where it stopped; without --trusted no file can do that.",
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _start_pool_worker(choices: Choices, trusted: bool) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        # Without this a worker would wait for ever for work from a parent that was killed.
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _start_worker(choices, trusted)


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _start_worker(choices: Choices, trusted: bool) -> None:
    import cv2

    cv2.setNumThreads(1)
    _tools.update(choices=choices, trusted=trusted, mesh=None)
    if choices.mesh is not None:
        from fakelab.data.mesh import make_mesh

        _tools["mesh"] = make_mesh(choices.mesh)


def _prepare_row(row: Row) -> tuple[list[FoundCrop], str]:
    """The crops of one file, or none and why."""
    choices = _tools["choices"]
    try:
        crops = _crops_of(row, choices)
    except FakeLabError as error:
        return [], error.why or error.what
    except OSError as error:
        return [], str(error)
    large = [each for each in crops if each.side_px >= choices.min_face_px]
    why = f"no crop shows {choices.min_face_px:g} px of the source" if crops else "no face was found"
    return large, "" if large else why


def _crops_of(row: Row, choices: Choices) -> list[FoundCrop]:
    frames = _frames(row, choices)
    if choices.region == "frame":
        return [_whole(frame, choices.size_px) for frame in frames]
    if choices.region == "view":
        return [
            _without_face(view, frame)
            for frame in frames
            for view in views_of(frame.image, choices.size_px, choices.cuts)
        ]
    if row.tight:
        return [crop for frame in frames for crop in _resized(frame, choices)]
    faces = find_and_crop(frames, choices.finder, choices.spec, limit_per_frame=4 if choices.people == "main" else 24)
    tracks = track_people(faces)
    if choices.people == "main" and tracks:
        tracks = [max(tracks, key=lambda track: sum(face.box[2] * face.box[3] for face in track.faces))]
    return [_found(face, track.person, choices) for track in tracks for face in track.faces]


def _frames(row: Row, choices: Choices) -> Iterator[Frame]:
    from fakelab.media import open_media
    from fakelab.media.trusted import open_trusted

    with open_trusted(row.path) if _tools["trusted"] else open_media(row.path) as media:
        if row.sha256 and media.info.sha256 != row.sha256:
            raise DataError(f"{row.path} was changed", "its SHA-256 is not the one in the manifest")
        yield from media.frames(_density(media.info, choices))


def _density(info: MediaInfo, choices: Choices) -> Any:
    from fakelab.media import Density

    density = Density(choices.bursts, choices.frames_per_burst, choices.every_s)
    most = max(1, MOST_FRAMES // choices.frames_per_burst)
    return Density(min(most, density.bursts_for(info.duration_s or 0.0)), choices.frames_per_burst)


def _found(face: Face, person: int, choices: Choices) -> FoundCrop:
    """A face as the spool keeps it, its points moved into the crop."""
    centre, side = square_to_cut(face.box, choices.spec, choices.finder)
    points = np.full((5, 2), np.nan, np.float32)
    if face.landmarks is not None:
        points = (face.landmarks - np.array(centre, np.float32)) * (choices.size_px / side) + choices.size_px / 2
    return FoundCrop(
        image=face.crop.image,
        points=np.asarray(points, np.float32),
        mesh=_mesh(face.crop.image),
        score=face.score,
        blur=face.blur,
        luma=face.luma,
        side_px=side,
        person=person,
        time_s=face.time_s,
    )


def _resized(frame: Frame, choices: Choices) -> list[FoundCrop]:
    """The one crop of a picture that is a face crop already; none where no face is seen in it."""
    from fakelab.faces.find import make_finder

    find = _tools.setdefault(f"finder {choices.finder}", None) or make_finder(choices.finder)
    _tools[f"finder {choices.finder}"] = find
    faces = find(frame.image)
    if not faces:
        return []
    face = max(faces, key=lambda each: each.box[2] * each.box[3])
    height, width = frame.image.shape[:2]
    crop = _squeezed(frame.image, choices.size_px)
    points = np.full((5, 2), np.nan, np.float32)
    if face.landmarks is not None:
        points = face.landmarks * np.array([choices.size_px / width, choices.size_px / height], np.float32)
    blur, luma = blur_and_luma(crop)
    side = float(max(height, width))
    return [FoundCrop(crop, points, _mesh(crop), face.score, blur, luma, side, time_s=frame.time_s)]


def _whole(frame: Frame, size_px: int) -> FoundCrop:
    return _without_face(_squeezed(frame.image, size_px), frame)


def _without_face(crop: Image, frame: Frame) -> FoundCrop:
    """A crop in which no face was looked for."""
    blur, luma = blur_and_luma(crop)
    unknown = np.full((5, 2), np.nan, np.float32)
    no_mesh = np.full((MESH_POINTS, 2), np.nan, np.float32)
    side = float(min(frame.image.shape[:2]))
    return FoundCrop(crop, unknown, no_mesh, 1.0, blur, luma, side, person=0, time_s=frame.time_s)


def _squeezed(image: Image, size_px: int) -> Image:
    import cv2

    return np.asarray(cv2.resize(image, (size_px, size_px), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _mesh(crop: Image) -> NDArray[np.float32]:
    found = None if _tools["mesh"] is None else _tools["mesh"](crop)
    return np.full((MESH_POINTS, 2), np.nan, np.float32) if found is None else np.asarray(found, np.float32)
