"""How known data sets lie on disk: one function each, a folder -> the files that are there, with what is known.

Nothing is decoded and nothing is downloaded. What a set's own lists name and the disk has not is reported by `add`.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakelab.data.tables import SPLIT_WORDS, find_columns, kind_of, read_label, read_table
from fakelab.errors import DataError


@dataclass(frozen=True, slots=True)
class Found:
    """One file. `people` are names of who is seen in it, as the set tells them: they become its group."""

    path: Path
    label: str
    people: tuple[str, ...]
    forgery: str = ""
    original: str = ""
    split: str = ""
    source: str = ""
    """Where it is not the set's own."""
    licence: str = ""
    tight: bool = False
    more: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """What a layout may be told."""

    compression: str = "c23"
    """raw, c23 or c40 of FaceForensics++."""
    columns: dict[str, str] = field(default_factory=dict)
    """Our column -> the name it has in a table of labels."""


SPLIT_FOLDERS = ("", "splits", "dataset/splits", "dataset")
_FF_FAKE = re.compile(r"(\d+)_(\d+)")
_DFD_FAKE = re.compile(r"(\d+)_(\d+)__(.+)__\w+")
_DFD_REAL = re.compile(r"(\d+)__(.+)")
_CELEB_FAKE = re.compile(r"(id\d+)_(id\d+)_(\d+)")
_CELEB_REAL = re.compile(r"(id\d+)_(\d+)")
_PERSON = re.compile(r"id\d+")


def faceforensics(root: Path, options: Options) -> Iterator[Found]:
    """FaceForensics++ with its methods and DeepFakeDetection: ``original_sequences``, ``manipulated_sequences``.

    A fake ``AAA_BBB.mp4`` has the body of AAA and the face of BBB. The official lists of splits are used where they lie
    in the root, in ``splits`` or in ``dataset/splits``.
    """
    split_of = _official_splits(root)
    for path in _ff_videos(root, "original_sequences", options.compression):
        if match := _DFD_REAL.fullmatch(path.stem):
            yield Found(path, "real", (f"actor{match[1]}",), original=path.stem, source="dfd")
        else:
            yield Found(path, "real", (path.stem,), original=path.stem, split=split_of.get(path.stem, ""))
    for path in _ff_videos(root, "manipulated_sequences", options.compression):
        method = path.parents[2].name
        if match := _DFD_FAKE.fullmatch(path.stem):
            people = (f"actor{match[1]}", f"actor{match[2]}")
            yield Found(path, "fake", people, method, f"{match[1]}__{match[3]}", source="dfd")
        elif match := _FF_FAKE.fullmatch(path.stem):
            yield Found(path, "fake", (match[1], match[2]), method, match[1], split_of.get(match[1], ""))


def _ff_videos(root: Path, sequences: str, compression: str) -> list[Path]:
    return sorted(root.glob(f"{sequences}/*/{compression}/videos/*.mp4"))


def compressions(root: Path) -> list[str]:
    """The compressions of FaceForensics++ that are there."""
    return sorted({path.parent.name for path in root.glob("*_sequences/*/*/videos")})


def _official_splits(root: Path) -> dict[str, str]:
    """Name of an original -> its split, from train.json, val.json and test.json: lists of pairs of names."""
    found: dict[str, str] = {}
    for folder in SPLIT_FOLDERS:
        for split in ("train", "val", "test"):
            path = root / folder / f"{split}.json"
            if path.is_file():
                found |= {str(name): split for pair in _json(path, list) for name in pair}
        if found:
            break
    return found


def celebdf(root: Path, options: Options) -> Iterator[Found]:
    """Celeb-DF v1 and v2. What ``List_of_testing_videos.txt`` names is test; the rest has no split yet.

    Every celebrity is swapped with many others, so most files are of one group: use the set to test, or cluster it.
    """
    listed = root / "List_of_testing_videos.txt"
    test = set()
    if listed.is_file():
        test = {line.split()[-1] for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()}
    for folder in ("Celeb-real", "YouTube-real", "Celeb-synthesis"):
        for path in sorted((root / folder).glob("*.mp4")):
            split = "test" if f"{folder}/{path.name}" in test else ""
            if match := _CELEB_FAKE.fullmatch(path.stem):
                people, original = (match[1], match[2]), f"{match[1]}_{match[3]}"
                yield Found(path, "fake", people, "Celeb-DF face swap", original, split)
            elif match := _CELEB_REAL.fullmatch(path.stem):
                yield Found(path, "real", (match[1],), original=path.stem, split=split)
            else:
                yield Found(path, "real", (f"youtube{path.stem}",), original=f"youtube{path.stem}", split=split)


def dfdc(root: Path, options: Options) -> Iterator[Found]:
    """DFDC: a ``metadata.json`` in each part's folder, or in the root. No identities: the original is the group.

    Actors recur across originals, so cluster the faces (``fakelab data split --cluster``).
    """
    for listed in sorted([*root.glob("metadata.json"), *root.glob("*/metadata.json")]):
        for name, told in sorted(_json(listed, dict).items()):
            label = read_label(told.get("label", told.get("is_fake", "")), listed, name)
            original = Path(str(told.get("original") or name)).stem if label == "fake" else Path(name).stem
            split = SPLIT_WORDS.get(str(told.get("split", "")), "")
            # Every file of the training parts says train: that is no split.
            forgery = "DFDC" if label == "fake" else ""
            yield Found(listed.parent / name, label, (original,), forgery, original, "" if split == "train" else split)


def dfdc_preview(root: Path, options: Options) -> Iterator[Found]:
    """DFDC preview: ``dataset.json`` with label, set, who was filmed and whose face was put in."""
    for name, told in sorted(_json(root / "dataset.json", dict).items()):
        label = read_label(told.get("label", ""), root / "dataset.json", name)
        people = tuple(str(told[key]) for key in ("target_id", "swapped_id") if told.get(key) is not None)
        forgery = name.split("/")[0] if label == "fake" else ""
        original = "" if label == "fake" else Path(name).stem
        split = SPLIT_WORDS.get(str(told.get("set", "")), "")
        yield Found(root / name, label, people or (Path(name).stem,), forgery, original, split)


def fakeavceleb(root: Path, options: Options) -> Iterator[Found]:
    """FakeAVCeleb: folders by what is fake, origin, sex and person; methods from ``meta_data.csv`` where it is there.

    Files whose picture is genuine and whose sound is not are left out: here a label says what the picture is.
    """
    methods = _fakeavceleb_methods(root)
    for category in ("RealVideo-RealAudio", "FakeVideo-RealAudio", "FakeVideo-FakeAudio"):
        for path in sorted(root.glob(f"{category}/*/*/id*/*.mp4")):
            origin, sex, person = path.parts[-4:-1]
            base = path.stem.split("_")[0]
            original = f"{person}/{base}" if base.isdigit() else ""
            people = tuple(dict.fromkeys([person, *_PERSON.findall(path.stem)]))
            more = (("origin", origin), ("sex", sex))
            if category.startswith("Real"):
                yield Found(path, "real", people, original=original, more=more)
            else:
                method = methods.get(f"{category}/{person}/{path.name}", category)
                yield Found(path, "fake", people, method, original, more=more)


def _fakeavceleb_methods(root: Path) -> dict[str, str]:
    """``CATEGORY/PERSON/FILE`` -> the method."""
    listed = root / "meta_data.csv"
    if not listed.is_file():
        return {}
    with listed.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    return {f"{row.get('type')}/{row.get('source')}/{row.get('path')}": str(row.get("method") or "") for row in rows}


def wilddeepfake(root: Path, options: Options) -> Iterator[Found]:
    """WildDeepfake, unpacked: face crops in ``real_train``, ``fake_test`` ...; each sequence is a group."""
    for label in ("real", "fake"):
        for part in ("train", "test"):
            for path in sorted((root / f"{label}_{part}").rglob("*.[pj][np]g")):
                sequence = path.parent.relative_to(root).as_posix()
                forgery = "WildDeepfake" if label == "fake" else ""
                split = "test" if part == "test" else ""
                yield Found(path, label, (sequence,), forgery, sequence, split, tight=True)


def folders(root: Path, options: Options) -> Iterator[Found]:
    """Photos and videos in ``real/`` and ``fake/``, told by their first bytes.

    A folder below these is a person or an original; without one, the file's name is: ``real/ann.mp4`` and
    ``fake/ann.mp4`` belong together.
    """
    for label in ("real", "fake"):
        base = root / label
        for path in sorted(base.rglob("*")):
            if path.is_file() and kind_of(path):
                inside = path.relative_to(base)
                group = inside.parts[0] if len(inside.parts) > 1 else inside.stem
                yield Found(path, label, (group,), original=group)


def labels(root: Path, options: Options) -> Iterator[Found]:
    """Any table with a file and a label in each row: a CSV, or ``labels.csv`` or ``metadata.csv`` in a folder.

    `options.columns` tells names that ALIASES does not know. Without a column for the group, the original is the
    group, and without that the file itself. Other columns are kept.
    """
    listed = root
    if root.is_dir():
        listed = next((root / n for n in ("labels.csv", "metadata.csv") if (root / n).is_file()), root / "labels.csv")
    names, rows = read_table(listed)
    columns = find_columns(names, options.columns, listed)
    taken = set(columns.values())
    for number, row in rows:
        told = {ours: row[theirs] for ours, theirs in columns.items()}
        if not told["path"]:
            raise DataError(f"row {number} of {listed} cannot be used", "it names no file", "Fill every row.")
        label = read_label(told["label"], listed, f"row {number}")
        original = Path(told.get("original") or ("" if label == "fake" else told["path"])).stem
        yield Found(
            path=_beside(listed.parent, told["path"]),
            label=label,
            people=(told.get("group") or original or Path(told["path"]).stem,),
            forgery=told.get("forgery", "") if label == "fake" else "",
            original=original if "original" in columns else "",
            split=SPLIT_WORDS.get(told.get("split", "").lower(), ""),
            source=told.get("source", ""),
            licence=told.get("licence", ""),
            tight=told.get("tight", "").lower() in ("1", "true", "yes"),
            more=tuple((name, row[name]) for name in names if name not in taken),
        )


def dfdc_faces(root: Path, options: Options) -> Iterator[Found]:
    """One face crop for each DFDC video: a table of labels whose pictures are tight, grouped by original."""
    for found in labels(root, options):
        stem = found.original or found.path.stem
        forgery = "DFDC" if found.label == "fake" else ""
        yield Found(found.path, found.label, (stem,), forgery, stem, source="dfdc", tight=True, more=found.more)


def _beside(folder: Path, name: str) -> Path:
    """The file of a row; where a table names videos of which crops were kept, the crop."""
    path = folder / name
    if path.exists():
        return path
    places = [folder / "faces_224" / name, path]
    return next((p.with_suffix(s) for p in places for s in (".jpg", ".png") if p.with_suffix(s).is_file()), path)


def _json(path: Path, kind: type) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read", str(error), "Check that the set was unpacked whole.") from error
    if not isinstance(found, kind):
        raise DataError(f"{path} cannot be used", f"it holds no {kind.__name__}", "Get it again from its source.")
    return found
