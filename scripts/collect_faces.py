"""Face crops of three public repositories -> files and a manifest that `fakelab data prepare` and `train` read.

    python scripts/collect_faces.py --clones CLONES --out faces --real 6600 --fake 3000

CLONES holds clones (OWNER/NAME or OWNER+NAME, bare or not) of i-Shreyansh/DeepFake-Detection (DFDC, one crop of each
training video), mattans/AgeProgression (UTKFace) and warm-ice0x00/face-recognition-training (LFW). Of DFDC, originals
of 120 px and more and one forgery of each; of UTKFace, adults; of LFW, one picture of each person. Clips that stand in
public test sets are left out. The terms of each set hold: research alone.

With `--apart N`, up to N more pictures of UTKFace of each sex, age group and ethnicity (by its labels) go into
apart.csv, to measure false alarms by group: `fakelab evaluate faces/apart.csv --report groups --by sex --by age`. All
sources draw from one seed in turn: only the counts and clones of a training give the pictures that it did not see.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from collect_list import clone_of
from fakelab.data.manifest import Row, write_manifest

DFDC, UTKFACE, LFW = (
    "i-Shreyansh/DeepFake-Detection",
    "mattans/AgeProgression",
    "warm-ice0x00/face-recognition-training",
)
LEFT_OUT = {
    *("anndvqgoko", "knqhpwoigk", "lynaeydofd", "abqwwspghj", "brtujopkby", "widuwuoiur", "yhffcuhhjy"),
}
"""DFDC's published samples, which test sets are made of."""
Taken = Callable[[Path], Row]
"""Where a crop was written -> its row of the manifest."""
LEAST_PX = 120
ADULT = range(18, 91)
SEXES = ("male", "female")
ETHNICITIES = ("White", "Black", "Asian", "Indian", "other")
"""UTKFace's own words for the second and third number of a file's name."""
AGES = {"18 to 34": range(18, 35), "35 to 54": range(35, 55), "55 to 90": range(55, 91)}


def blobs(clone: Path, folder: str) -> dict[str, str]:
    """Path -> object of every file below `folder` in HEAD."""
    listed = subprocess.run(
        ["git", "-C", clone, "ls-tree", "-r", "HEAD", folder], capture_output=True, check=True, text=True
    )
    return {line.split("\t", 1)[1]: line.split()[2] for line in listed.stdout.splitlines()}


def written(clone: Path, wanted: list[tuple[str, Path]]) -> Iterator[bool]:
    """Writes each object to its path; whether it was there."""
    with subprocess.Popen(
        ["git", "-C", clone, "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as git:
        assert git.stdin is not None and git.stdout is not None
        for name, target in wanted:
            git.stdin.write(f"{name}\n".encode())
            git.stdin.flush()
            head = git.stdout.readline().split()
            if len(head) < 3:
                yield False
                continue
            data = git.stdout.read(int(head[2]))
            git.stdout.read(1)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            yield True
        git.stdin.close()


def dfdc(clone: Path, rng: random.Random, real: int, fake: int, val: int) -> list[tuple[str, Taken]]:
    """Path in the clone and row of each crop that is taken; `val` originals with their forgeries are for choosing."""
    shown = subprocess.run(
        ["git", "-C", clone, "show", "HEAD:metadata.csv"], capture_output=True, check=True, text=True
    )
    rows = [row for row in csv.DictReader(io.StringIO(shown.stdout)) if int(row["original_width"]) >= LEAST_PX]
    names = sorted({row["videoname"][:-4] for row in rows if row["label"] == "REAL"} - LEFT_OUT)
    forged: dict[str, list[str]] = {}
    for row in rows:
        if row["label"] == "FAKE":
            forged.setdefault(row["original"][:-4], []).append(row["videoname"][:-4])
    rng.shuffle(names)
    taken: list[tuple[str, Taken]] = []
    for number, name in enumerate(names[:real]):
        split = "val" if number < val else "train"
        crop = partial(Row, source="dfdc", group=name, split=split, tight=True)
        taken.append((f"faces_224/{name}.jpg", partial(crop, label="real")))
        if name in forged and (split == "val" or fake > 0):
            fake -= split == "train"
            other = rng.choice(forged[name])
            taken.append((f"faces_224/{other}.jpg", partial(crop, label="fake", forgery="dfdc")))
    return taken


def others(paths: list[str], source: str, rng: random.Random, count: int) -> list[tuple[str, Taken]]:
    """Adults of UTKFace, or one picture a person of LFW."""
    rng.shuffle(paths)
    taken: dict[str, str] = {}
    for path in paths:
        name = Path(path).stem
        age = name.split("_")[0]
        who = name if source == "utkface" else name.rsplit("_", 1)[0]
        if path.endswith(".jpg") and (source == "lfw" or (age.isdigit() and int(age) in ADULT)):
            taken.setdefault(who, path)
    crop = partial(Row, label="real", source=source, split="train")
    return [(path, partial(crop, group=f"{source}-{who}")) for who, path in list(taken.items())[:count]]


def labels_of(path: str) -> dict[str, str] | None:
    """Sex, age group and ethnicity that the name of a UTKFace picture states, or None for children and other names."""
    parts = Path(path).stem.split("_")
    if not path.endswith(".jpg") or len(parts) < 4 or not all(each.isdigit() for each in parts[:3]):
        return None
    age, sex, ethnicity = (int(each) for each in parts[:3])
    group = next((name for name, ages in AGES.items() if age in ages), None)
    if group is None or sex >= len(SEXES) or ethnicity >= len(ETHNICITIES):
        return None
    return {"sex": SEXES[sex], "age": group, "ethnicity": ETHNICITIES[ethnicity]}


def apart(paths: list[str], rng: random.Random, each: int) -> list[tuple[str, Taken]]:
    """Up to `each` pictures of every sex, age group and ethnicity."""
    cells: dict[tuple[str, ...], list[tuple[str, Taken]]] = {}
    for path in rng.sample(paths, len(paths)):
        labels = labels_of(path)
        if labels is None:
            continue
        more = tuple(labels.items())
        row = partial(Row, label="real", source="utkface", group=Path(path).stem, split="test", more=more)
        cells.setdefault(tuple(labels.values()), []).append((path, row))
    return [taken for cell in sorted(cells) for taken in cells[cell][:each]]


def write(clone: Path, objects: dict[str, str], wanted: list[tuple[str, Taken]], folder: Path) -> list[Row]:
    """The rows of those crops that were there, each written to `folder`."""
    there = [(path, row) for path, row in wanted if path in objects]
    places = [folder / Path(path).name for path, _ in there]
    found = written(clone, [(objects[path], place) for (path, _), place in zip(there, places, strict=True)])
    return [row(place) for (_, row), place, ok in zip(there, places, found, strict=True) if ok]


def main() -> int:
    """Collects what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--clones", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    for name, count in (
        ("real", 6600),
        ("fake", 3000),
        ("val", 400),
        ("utkface", 1300),
        ("lfw", 1100),
        ("seed", 5),
        ("apart", 0),
    ):
        parser.add_argument(f"--{name}", type=int, default=count)
    given = parser.parse_args()
    rng, rows = random.Random(given.seed), []
    for repository, source, folder in ((DFDC, "dfdc", "faces_224"), (UTKFACE, "utkface", "data"), (LFW, "lfw", "lfw")):
        clone = clone_of(given.clones, repository)
        if clone is None:
            print(f"{repository}: no clone in {given.clones}, left out")
            continue
        objects = blobs(clone, folder)
        if source == "dfdc":
            wanted = dfdc(clone, rng, given.real, given.fake, given.val)
        else:
            wanted = others(sorted(objects), source, rng, getattr(given, source))
        mine = write(clone, objects, wanted, given.out / "files" / source)
        rows += mine
        print(f"{source}: {len(mine)} crops")
        if source == "utkface" and given.apart:
            rest = sorted(objects.keys() - {path for path, _ in wanted})
            beside = write(clone, objects, apart(rest, random.Random(given.seed), given.apart), given.out / "apart")
            write_manifest(beside, given.out / "apart.csv")
            print(f"utkface: {len(beside)} more in {given.out / 'apart.csv'}")
    write_manifest(rows, given.out / "manifest.csv")
    return 0 if rows else 1


if __name__ == "__main__":
    raise SystemExit(main())
