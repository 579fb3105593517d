"""Media of public repositories that measurements rest on: a list with paths -> files and a manifest.

    python scripts/collect_list.py examples/lists/clips.csv --clones CLONES --out media

The lists name repositories and paths, not media: clone what you may use. CLONES holds the clones as OWNER/NAME or
OWNER+NAME, bare or not, also one folder deeper as `repo`. Each file is taken from HEAD, compared with the list's
SHA-256, cut where the list says so, and written to OUT/files; OUT/manifest.csv is what `fakelab data`, `evaluate` and
`train` read. What is missing or was changed is told and left out.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

from fakelab.data.manifest import SPLITS, Row, write_manifest

KEPT = ("label", "source", "group", "forgery", "original", "split", "licence")
"""Columns of the list that the manifest has, too; a list's column "family" travels along where it has one."""


def clone_of(clones: Path, repository: str) -> Path | None:
    """The folder of a repository's clone, or None."""
    for name in (repository, repository.replace("/", "+")):
        for path in (clones / name / "repo", clones / name, clones / f"{name}.git"):
            if (path / ".git").exists() or (path / "HEAD").is_file():
                return path
    return None


def blob(clone: Path, path: str) -> bytes | None:
    """The file at `path` in the clone's HEAD, or None."""
    done = subprocess.run(["git", "-C", clone, "show", f"HEAD:{path}"], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def cut(source: Path, target: Path, crop: str, span: str) -> None:
    """Cuts by ffmpeg: `crop` is "width:height:x:y", `span` is "start:seconds"; either may be empty.

    A span alone is copied, packet by packet, into a container of its own kind, which `target` must be.
    """
    command = ["ffmpeg", "-v", "error", "-y"]
    if span:
        start, seconds = span.split(":")
        command += ["-ss", start, "-t", seconds]
    command += ["-i", str(source)]
    if crop:
        command += ["-vf", f"crop={crop}"]
    if target.suffix != ".png":
        command += ["-c:v", "libx264", "-crf", "12", "-an"] if crop else ["-c", "copy", "-an"]
    subprocess.run([*command, str(target)], check=True, stdin=subprocess.DEVNULL)


def collect(
    listed: Path, clones: Path, out: Path, *, split: str = "", source: str = "", into: str = ""
) -> tuple[int, list[str]]:
    """How many files were written, and a line for each that was not.

    `split` takes rows of that split alone. `source` names one source for all rows, whose groups then begin with their
    own source, and `into` one split: as sets that training weighs as one.
    """
    files = out / "files"
    rows: list[dict[str, Any]] = []
    missing: list[str] = []
    files.mkdir(parents=True, exist_ok=True)
    with listed.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            if split and row["split"] != split:
                continue
            where = f"line {number}: {row['repository']} {row['path']}"
            clone = clone_of(clones, row["repository"])
            data = None if clone is None else blob(clone, row["path"])
            if data is None:
                missing.append(f"{where}: {'no clone' if clone is None else 'not in its HEAD'}")
                continue
            if hashlib.sha256(data).hexdigest() != row["sha256"]:
                missing.append(f"{where}: another file by now")
                continue
            whole = files / f"{row['id']}{Path(row['path']).suffix.lower()}"
            whole.write_bytes(data)
            if row["crop"] or row["span"]:
                kind = ".png" if row["kind"] == "photo" else ".mp4" if row["crop"] else whole.suffix
                part = whole.with_name(f"{row['id']}-cut{kind}")
                cut(whole, part, row["crop"], row["span"])
                whole.unlink()
                whole = part
            if source:
                row |= {"group": f"{row['source']}:{row['group']}", "source": source}
            if into:
                row["split"] = into
            more = (("family", row["family"]),) if "family" in row else ()
            rows.append({"path": f"files/{whole.name}", **{name: row[name] for name in KEPT}, "more": more})
    by_id = {Path(row["path"]).stem.removesuffix("-cut"): row["path"] for row in rows}
    for row in rows:
        row["original"] = by_id.get(row["original"], "")
    write_manifest([Row(path=out / row.pop("path"), **row) for row in rows], out / "manifest.csv")
    return len(rows), missing


def main() -> int:
    """Collects what the command line names; 0 if anything was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("list", type=Path)
    parser.add_argument("--clones", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="", choices=("", *SPLITS), help="only rows of this split")
    parser.add_argument("--source", default="", help="one name for all sources; groups keep theirs")
    parser.add_argument("--into", default="", choices=("", *SPLITS), help="the split that all rows get")
    given = parser.parse_args()
    count, missing = collect(
        given.list, given.clones, given.out, split=given.split, source=given.source, into=given.into
    )
    for line in missing:
        print(line, file=sys.stderr)
    print(f"{count} files and manifest.csv in {given.out}; {len(missing)} left out")
    return 0 if count else 1


if __name__ == "__main__":
    raise SystemExit(main())
