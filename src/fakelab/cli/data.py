"""``fakelab data``: files -> a manifest -> splits -> crops, and what is in them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fakelab.cli.terminal import Progress, bar, make_app, safe, warn
from fakelab.errors import UsageError

if TYPE_CHECKING:
    from fakelab.data.manifest import Row

app = make_app("Make data sets: list files with labels, join, split, cut faces, count.")
_MANIFEST = typer.Argument(metavar="MANIFEST", help="CSV or Parquet of files: path, label, source, group, ...")


def _flag(name: str, metavar: str, help_text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=help_text, show_default=False)


@app.command("add")
def add_set(
    name: Annotated[str, typer.Argument(metavar="SET", help="Name of a known set; 'fakelab data sets' lists them.")],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Its folder, or the CSV of labels or links.")],
    out: Annotated[Path, _flag("--out", "FILE", "The manifest to write, .csv or .parquet.")],
    compression: Annotated[
        str, typer.Option("--compression", metavar="NAME", help="FaceForensics++: raw, c23 or c40.")
    ] = "c23",
    fraction: Annotated[
        float, typer.Option("--fraction", metavar="SHARE", help="Share of the genuine files, chosen by people.")
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Who is chosen.")] = 0,
    source: Annotated[str, _flag("--source", "NAME", "Name of the source, where the set itself gives none.")] = "",
    licence: Annotated[str, _flag("--licence", "TEXT", "Terms of the files, where the set has none.")] = "",
    columns: Annotated[
        list[str] | None, _flag("--map", "OURS=THEIRS", "A column of the table that goes by another name; may repeat.")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="youtube: fetch the links that are not there yet (extra 'url').")
    ] = False,
    no_hash: Annotated[bool, typer.Option("--no-hash", help="Do not compute the files' SHA-256.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a manifest that is there.")] = False,
) -> int:
    """List the files of a known set with label, people, original and terms. Nothing is downloaded unless asked."""
    from fakelab.data.layouts import Options
    from fakelab.data.sources import Wishes, add, set_called, write_added

    known = set_called(name)
    options = Options(compression, _columns(columns or []))
    if download:
        _download(name, path, options)
    wishes = Wishes(options, fraction, seed, source, licence, hashed=not no_hash)
    with bar("Adding") as progress:
        added = add(name, path, wishes, progress)
    write_added(added, out, replace=replace)
    if added.missing:
        warn(f"{len(added.missing)} files that the lists name are not there, such as {added.missing[0]}")
    if name in ("celebdf_v1", "celebdf_v2"):
        warn("its celebrities were swapped with each other, so most files are of one group: use it to test")
    print(f"{_counted(added.rows)} in {safe(str(out))}" + _left_out(added.left_out))
    if known.page:
        print(f"Terms ({known.licence}): {known.page}")
    return 0


@app.command("sets")
def list_sets() -> int:
    """Print the known sets: name, title, and what must lie in the folder."""
    from fakelab.data.sources import SETS

    for name, known in SETS.items():
        print(f"{name:<13} {known.title}\n{'':<13} {known.looks_like}")
        if known.page:
            print(f"{'':<13} {known.licence}: {known.page}")
    return 0


@app.command("combine")
def combine_sets(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Manifests, or with --store face stores.")],
    out: Annotated[Path, _flag("--out", "PATH", "The joined manifest, or the folder of the joined store.")],
    store: Annotated[bool, typer.Option("--store", help="Join face stores.")] = False,
    twins: Annotated[list[Path] | None, _flag("--twins", "FOLDER", "Twins of one of the stores; may repeat.")] = None,
    twins_out: Annotated[Path | None, _flag("--twins-out", "FOLDER", "Folder of the joined twins.")] = None,
) -> int:
    """Join manifests into one, or face stores (and their twins) into one. Splits are kept; copies are reported."""
    from fakelab.data import combine

    if not store:
        if twins or twins_out:
            raise UsageError("--twins has no use here", "twins belong to face stores", "Give --store as well.")
        found = combine.write_combined(paths, out)
        for first, later in found.duplicates[:20]:
            warn(f"the same file twice: {found.rows[first].path} and {found.rows[later].path}")
        if len(found.duplicates) > 20:
            warn(f"and {len(found.duplicates) - 20} more")
        print(f"{_counted(found.rows)} in {safe(str(out))}; {found.same_file} rows were in two manifests")
        return 0
    if bool(twins) != bool(twins_out):
        raise UsageError("the twins cannot be joined", "--twins and --twins-out belong together", "Give both.")
    joined = combine.combine_stores(paths, out)
    print(f"{len(joined.crops)} crops in {safe(str(out))}")
    if twins and twins_out:
        print(f"{combine.combine_twins(twins, paths, twins_out)} twins in {safe(str(twins_out))}")
    return 0


@app.command("split")
def split_set(
    manifest: Annotated[Path, _MANIFEST],
    shares: Annotated[
        tuple[float, float, float], typer.Option("--shares", metavar="TRAIN VAL TEST", help="Shares of the files.")
    ] = (0.7, 0.15, 0.15),
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the choice.")] = 0,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the splits that are there; the rest follows.")] = False,
    folds: Annotated[
        int | None, _flag("--folds", "K", "Write a column 'fold', 0 to K-1, and leave the splits.")
    ] = None,
    together: Annotated[
        list[str] | None,
        _flag("--together", "COLUMN", "Keep files that share this column's value together; may repeat."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing: look for leaks in what is there.")] = False,
    store: Annotated[Path | None, _flag("--store", "FOLDER", "Face store of this manifest, for the next two.")] = None,
    near: Annotated[
        int | None, _flag("--near", "BITS", "Refuse faces this near to one another on two sides; 48 of 256 is apt.")
    ] = None,
    join_near: Annotated[bool, typer.Option("--join-near", help="Keep such files together instead.")] = False,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Write clusters of faces as a column, and keep each together.")
    ] = False,
    distance: Annotated[
        float, typer.Option("--cluster-distance", metavar="D", help="How far apart one person's faces may be.")
    ] = 0.5,
    method: Annotated[
        str, typer.Option("--cluster-by", metavar="NAME", help="agglomerative or dbscan.")
    ] = "agglomerative",
    sheet: Annotated[Path | None, _flag("--sheet", "FILE", "HTML page that shows the clusters, for a look.")] = None,
    out: Annotated[Path | None, _flag("--out", "FILE", "Where to write. [default: the manifest itself]")] = None,
) -> int:
    """Write train, val and test into a manifest: no person, original, copy or cluster of faces on two sides."""
    from fakelab.data.duplicates import refuse_near
    from fakelab.data.manifest import read_manifest, refuse_leaks, write_manifest
    from fakelab.data.split import fold_rows, refuse_apart, split_rows, tied_by

    if (near is not None or join_near or cluster) and store is None:
        raise UsageError("faces cannot be compared", "no face store was named", "Prepare one, and give --store FOLDER.")
    rows: list[Row] = list(read_manifest(manifest).rows)
    if cluster and store is not None and not check:
        rows = _clustered(rows, store, distance, method, sheet)
    bound = {column: tied_by(rows, column) for column in together or ()}
    tied = [pair for pairs in bound.values() for pair in pairs]
    if join_near and store is not None:
        tied += [(p.first, p.second) for p in _near(rows, store, near, [str(n) for n in range(len(rows))])]
    if check:
        refuse_leaks(rows, str(manifest))
        sides = [row.get("fold") if folds is not None else row.split for row in rows]
        for column, pairs in bound.items():
            refuse_apart(sides, pairs, column)
    elif folds is not None:
        rows = fold_rows(rows, folds, seed, tied=tied)
    else:
        rows = split_rows(rows, shares, seed, keep=keep, tied=tied)
    if near is not None and store is not None and not join_near:
        sides = [row.get("fold") if folds is not None else row.split for row in rows]
        refuse_near(rows, _near(rows, store, near, sides))
    if not check:
        write_manifest(rows, out or manifest)
    print(_sides(rows, folds is not None))
    return 0


@app.command("prepare")
def prepare_set(
    manifest: Annotated[Path, _MANIFEST],
    out: Annotated[Path, _flag("--out", "FOLDER", "Where the crops go; a run that was cut off goes on.")],
    writer: Annotated[
        str, typer.Option("--writer", metavar="NAME", help="store (what training reads), folder or webdataset.")
    ] = "store",
    region: Annotated[
        str, typer.Option("--region", metavar="NAME", help="face, or frame: the whole picture, squeezed.")
    ] = "face",
    people: Annotated[
        str, typer.Option("--people", metavar="WHO", help="main: who fills most of the picture; or all.")
    ] = "main",
    bursts: Annotated[
        int, typer.Option("--bursts", metavar="N", help="Groups of neighbouring frames, spread over a clip.")
    ] = 6,
    frames: Annotated[int, typer.Option("--frames-per-burst", metavar="N", help="Frames of a group.")] = 1,
    every_s: Annotated[
        float | None, _flag("--every-s", "SECONDS", "One group for each so many seconds, at most 600 frames a file.")
    ] = None,
    size: Annotated[int, typer.Option("--size", metavar="PX", help="Side of a crop.")] = 224,
    margin: Annotated[
        float, typer.Option("--margin", metavar="FACTOR", help="Side of the crop / longer side of the face's box.")
    ] = 0.93,
    min_face: Annotated[
        float,
        typer.Option("--min-face", metavar="PX", help="Leave out crops that show less than this of the source."),
    ] = 0,
    finder: Annotated[str, typer.Option("--finder", metavar="NAME", help="Face finder: yunet or dlib.")] = "yunet",
    mesh: Annotated[Path | None, _flag("--mesh", "FILE", "face_landmark.tflite, for finer masks in training.")] = None,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Decode without a confined process a file: fast; for sets you trust.")
    ] = False,
    workers: Annotated[int | None, _flag("--workers", "N", "Processes. [default: all cores]")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace another preparation in the folder.")] = False,
) -> int:
    """Cut the faces of every file, with the finder, tracker and cropper that analyses use.

    Files that gave nothing are listed with the reason in skipped.csv.
    """
    from fakelab.data.prepare import Choices, prepare

    choices = Choices(region, people, bursts, frames, every_s, size, margin, finder, mesh, min_face_px=min_face)
    with bar("Preparing") as progress:
        report = prepare(
            manifest,
            out,
            writer=writer,
            choices=choices,
            trusted=trusted,
            workers=workers or os.cpu_count() or 1,
            replace=replace,
            progress=lambda done, total: progress(f"{done} of {total} files", done, total),
        )
    if report.skipped:
        warn(f"{len(report.skipped)} of {report.rows} files gave nothing, see {out / 'skipped.csv'}")
    print(f"{report.crops} crops of {report.rows - len(report.skipped)} files in {safe(str(out))}")
    return 0


@app.command("stats")
def count_set(
    manifest: Annotated[Path, _MANIFEST],
    store: Annotated[Path | None, _flag("--store", "FOLDER", "Face store of it: counts frames, faces, people.")] = None,
    out: Annotated[Path | None, _flag("--out", "FOLDER", "Also write statistics.md and statistics.png there.")] = None,
) -> int:
    """Print what is in a manifest as a Markdown table: a line for each source, label and split."""
    from fakelab.data.manifest import read_manifest, replace_file
    from fakelab.data.statistics import draw, markdown, statistics
    from fakelab.data.store import open_store

    opened = None if store is None else open_store(store)
    with bar("Counting") as progress:
        lines = statistics(read_manifest(manifest).rows, opened, lambda done, n: progress("reading files", done, n))
    text = markdown(lines)
    if out is not None:
        replace_file(out / "statistics.md", f"{text}\n".encode())
        draw(lines, out / "statistics.png")
    print(text)
    return 0


def _columns(told: list[str]) -> dict[str, str]:
    for each in told:
        if "=" not in each:
            raise UsageError(f"'{each}' maps no column", "", "Write --map OURS=THEIRS, such as --map path=file.")
    return {ours.strip(): theirs.strip() for ours, _, theirs in (each.partition("=") for each in told)}


def _download(name: str, path: Path, options: Any) -> None:
    from fakelab.data.links import download_missing
    from fakelab.media.download import download

    if name != "youtube":
        raise UsageError(f"'{name}' cannot be downloaded", "its owners give it on request", "Get it from its page.")
    with bar("Downloading") as progress:
        failed = download_missing(path, options, download, lambda done, n: progress(f"{done} of {n}", done, n))
    for url, why in failed:
        warn(f"{url} was not downloaded: {why}")


def _clustered(rows: list[Row], folder: Path, distance: float, method: str, sheet: Path | None) -> list[Row]:
    from fakelab.data import cluster
    from fakelab.data.duplicates import rows_of_crops
    from fakelab.data.store import open_store

    store = open_store(folder)
    embed = cluster.make_embedder()
    with bar("Clustering") as progress:
        found, embeddings, shown = cluster.embed_files(
            store, rows_of_crops(rows, store), embed, lambda done, n: progress(f"{done} of {n} files", done, n)
        )
    labels = cluster.cluster_faces(embeddings, distance, method)
    if sheet is not None:
        cluster.contact_sheet(rows, store, found, shown, labels, sheet)
    print(f"{len(set(labels.tolist()))} clusters of {len(found)} files", file=sys.stderr)
    if missing := len(rows) - len(found):
        warn(f"{missing} of {len(rows)} files have no clear face in {folder}: they are in no cluster")
    return cluster.with_clusters(rows, found, labels)


def _near(rows: list[Row], folder: Path, bits: int | None, sides: list[str]) -> Any:
    from fakelab.data.duplicates import NEAR_BITS, hash_crops, near_pairs, rows_of_crops
    from fakelab.data.store import open_store

    store = open_store(folder)
    row_of = rows_of_crops(rows, store)
    if missing := len(rows) - len(set(row_of[row_of >= 0].tolist())):
        warn(f"{missing} of {len(rows)} files have no face in {folder}: they were not compared")
    with bar("Comparing faces") as progress:
        hashes = hash_crops(store.crops, _stage("hashing", progress))
        return near_pairs(hashes, row_of, sides, NEAR_BITS if bits is None else bits, _stage("comparing", progress))


def _stage(name: str, progress: Progress) -> Any:
    return lambda done, total: progress(name, done, total)


def _counted(rows: Any) -> str:
    fakes = sum(row.fake for row in rows)
    groups = len({(row.source, row.group) for row in rows})
    return f"{len(rows) - fakes} real and {fakes} fake files of {groups} groups"


def _left_out(count: int) -> str:
    return f"; {count} files of people who were not chosen are left out" if count else ""


def _sides(rows: list[Row], folds: bool) -> str:
    """One line for each split or fold: files by label."""
    name = "fold" if folds else "split"
    sides = sorted({row.get("fold") if folds else row.split for row in rows})
    lines = []
    for side in sides:
        members = [row for row in rows if (row.get("fold") if folds else row.split) == side]
        lines.append(f"{name} {side or '(none)':<6} {_counted(members)}")
    return "\n".join(lines)
