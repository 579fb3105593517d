"""Known data sets -> manifests. A row of SETS says how a set lies on disk, where its terms are, and what they say.

The official downloads stay the user's: most of these sets are given on request, under terms that each user accepts.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fakelab.data import layouts, links
from fakelab.data.layouts import Found, Options
from fakelab.data.manifest import Row, write_manifest
from fakelab.data.ties import Ties
from fakelab.errors import DataError, unknown_name

Progress = Callable[[str, int, int | None], None]
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DataSet:
    """A set of files with labels: its title, the page with its terms, these in short, and how it lies on disk."""

    title: str
    page: str
    licence: str
    scan: Callable[[Path, Options], Iterable[Found]]
    looks_like: str
    """What of it must lie in the folder that is given."""


_USER = "as the user knows"
_ON_REQUEST = "research only, on request"

SETS: dict[str, DataSet] = {
    "ffpp": DataSet(
        "FaceForensics++ with DeepFakeDetection",
        "https://github.com/ondyari/FaceForensics",
        _ON_REQUEST,
        layouts.faceforensics,
        "original_sequences/*/COMPRESSION/videos and manipulated_sequences/*/COMPRESSION/videos",
    ),
    "celebdf_v1": DataSet(
        "Celeb-DF v1",
        "https://github.com/yuezunli/celeb-deepfakeforensics",
        _ON_REQUEST,
        layouts.celebdf,
        "Celeb-real, YouTube-real and Celeb-synthesis",
    ),
    "celebdf_v2": DataSet(
        "Celeb-DF v2",
        "https://github.com/yuezunli/celeb-deepfakeforensics",
        _ON_REQUEST,
        layouts.celebdf,
        "Celeb-real, YouTube-real and Celeb-synthesis",
    ),
    "dfdc": DataSet(
        "Deepfake Detection Challenge",
        "https://ai.meta.com/datasets/dfdc/",
        "research only",
        layouts.dfdc,
        "metadata.json beside the videos, or in each part's folder",
    ),
    "dfdc_preview": DataSet(
        "Deepfake Detection Challenge, preview",
        "https://ai.meta.com/datasets/dfdc/",
        "research only",
        layouts.dfdc_preview,
        "dataset.json, original_videos, method_A and method_B",
    ),
    "dfdc_faces": DataSet(
        "face crops of DFDC videos",
        "https://ai.meta.com/datasets/dfdc/",
        "research only",
        layouts.dfdc_faces,
        "labels.csv or metadata.csv, which name file, label and original",
    ),
    "fakeavceleb": DataSet(
        "FakeAVCeleb",
        "https://github.com/DASH-Lab/FakeAVCeleb",
        _ON_REQUEST,
        layouts.fakeavceleb,
        "RealVideo-RealAudio, FakeVideo-RealAudio and FakeVideo-FakeAudio",
    ),
    "wilddeepfake": DataSet(
        "WildDeepfake",
        "https://github.com/deepfakeinthewild/deepfake-in-the-wild",
        _ON_REQUEST,
        layouts.wilddeepfake,
        "real_train, real_test, fake_train and fake_test with their archives unpacked",
    ),
    "folders": DataSet("two folders", "", _USER, layouts.folders, "real/ and fake/ with photos or videos"),
    "labels": DataSet("a table of labels", "", _USER, layouts.labels, "labels.csv, or give the table itself"),
    "youtube": DataSet("a list of links", "", "as each page states", links.listed, "a CSV: url or file, label, group"),
}


@dataclass(frozen=True, slots=True)
class Added:
    """What `add` found."""

    rows: tuple[Row, ...]
    missing: tuple[Path, ...]
    """Files that the set's own lists name and the disk has not."""
    left_out: int
    """Files that a fraction leaves out."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How much of a set, under which name, and whether its files are hashed."""

    options: Options = field(default_factory=Options)
    fraction: float = 1.0
    seed: int = 0
    source: str = ""
    """In place of the set's name."""
    licence: str = ""
    hashed: bool = True


def set_called(name: str) -> DataSet:
    """The row of the table. Raises UnknownNameError."""
    if name not in SETS:
        raise unknown_name("data set", name, SETS)
    return SETS[name]


def add(name: str, root: Path, wishes: Wishes | None = None, progress: Progress | None = None) -> Added:
    """The rows of the set `name` whose files lie in the folder (or table) `root`.

    A file's group is the set of people tied to each other by forgeries, of those files that were chosen: `fraction`
    takes people by the seed until that share of the genuine files is reached, each with the forged versions that show
    nobody else. Raises UnknownNameError, DataError.
    """
    known, wanted = set_called(name), wishes or Wishes()
    if not 0 < wanted.fraction <= 1:
        raise DataError(f"a fraction of {wanted.fraction:g} cannot be taken", "", "Give a number above 0, at most 1.")
    if not root.exists():
        raise DataError(f"there is no {root}", "", f"Give the folder that holds {known.looks_like}.")
    everything = list(known.scan(root, wanted.options))
    there = [found for found in everything if found.path.is_file()]
    missing = tuple(found.path for found in everything if not found.path.is_file())
    if not there:
        raise DataError(
            f"{root} holds no file of {known.title}",
            _why_nothing(name, root, missing),
            f"It should hold {known.looks_like}.",
        )
    chosen = [
        found
        for source, members in _by_source(there, wanted.source or name).items()
        for found in _with_source(choose(members, wanted.fraction, wanted.seed), source)
    ]
    groups = group_names(chosen)
    hashes = _hashes([found.path for found in chosen], progress) if wanted.hashed else [""] * len(chosen)
    rows = tuple(
        Row(
            path=found.path,
            label=found.label,
            source=found.source,
            group=group,
            sha256=sha256,
            forgery=found.forgery,
            original=found.original,
            split=found.split,
            licence=found.licence or wanted.licence or known.licence,
            tight=found.tight,
            more=(("set", name), ("page", known.page), *found.more),
        )
        for found, group, sha256 in zip(chosen, groups, hashes, strict=True)
    )
    return Added(rows, missing, len(there) - len(chosen))


def write_added(added: Added, out: Path, *, replace: bool = False) -> None:
    """Writes the rows as a manifest. Raises DataError where one is there and `replace` is not given."""
    if out.exists() and not replace:
        raise DataError(
            f"{out} is there already",
            "it may hold splits that would be lost",
            "Choose another --out and join them with 'fakelab data combine', or give --replace.",
        )
    write_manifest(added.rows, out)


def choose(found: Sequence[Found], fraction: float, seed: int) -> list[Found]:
    """The files of some people: at least `fraction` of the genuine files, whole sets of swapped people first.

    A set of people that is too large for what is still wanted (28 actors who were all swapped with each other) is taken
    in part: some of its people, with the files that show nobody else.
    """
    if fraction >= 1:
        return list(found)
    reals_of: dict[str, int] = {}
    ties: Ties[str] = Ties()
    for each in found:
        for person in each.people:
            ties.tie(each.people[0], person)
            reals_of[person] = reals_of.get(person, 0) + (each.label == "real")
    sets: dict[str, list[str]] = {}
    for person in sorted(reals_of):
        sets.setdefault(ties.root(person), []).append(person)
    rng = np.random.default_rng(seed)
    missing = fraction * sum(reals_of.values())
    taken: set[str] = set()
    units = [sets[name] for name in sorted(sets)]
    for unit in (units[k] for k in rng.permutation(len(units))):
        if missing <= 0:
            break
        whole = sum(reals_of[person] for person in unit) <= max(missing, 2)
        for person in unit if whole else [unit[k] for k in rng.permutation(len(unit))]:
            if missing > 0 or whole:
                taken.add(person)
                missing -= reals_of[person]
    return [each for each in found if taken.issuperset(each.people)]


def group_names(found: Sequence[Found]) -> list[str]:
    """A name for each file: of the people who are tied to each other, inside its source, by the files given."""
    ties: Ties[tuple[str, str]] = Ties()
    for each in found:
        for person in each.people:
            ties.tie((each.source, each.people[0]), (each.source, person))
    members: dict[tuple[str, str], set[str]] = {}
    for each in found:
        members.setdefault(ties.root((each.source, each.people[0])), set()).update(each.people)
    names = {}
    for root, people in members.items():
        first, *rest = sorted(people)
        names[root] = "+".join([first, *rest]) if len(rest) < 4 else f"{first}+{len(rest)} others"
    return [names[ties.root((each.source, each.people[0]))] for each in found]


def _by_source(found: Sequence[Found], name: str) -> dict[str, list[Found]]:
    parts: dict[str, list[Found]] = {}
    for each in found:
        parts.setdefault(each.source or name, []).append(each)
    return parts


def _with_source(found: Sequence[Found], source: str) -> Iterator[Found]:
    return (dataclasses.replace(each, source=source) for each in found)


def _why_nothing(name: str, root: Path, missing: Sequence[Path]) -> str:
    if missing:
        return f"its lists name {len(missing)} files that are not there, such as {missing[0]}"
    if name == "ffpp" and (there := layouts.compressions(root)):
        return f"the compressions that are there: {', '.join(there)}"
    return "nothing lies where it should"


def _hashes(paths: Sequence[Path], progress: Progress | None) -> list[str]:
    hashes = []
    for number, path in enumerate(paths, start=1):
        try:
            with path.open("rb") as file:
                hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise DataError(f"{path} cannot be read", str(error), "Check who may read it.") from error
        if progress:
            progress("hashing", number, len(paths))
    return hashes
