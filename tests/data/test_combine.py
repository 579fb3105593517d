from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import set_maker as make

from fakelab.data.combine import combine, combine_stores, combine_twins, joined_sha256, write_combined
from fakelab.data.manifest import Row, read_manifest, write_manifest
from fakelab.data.spool import NUMBERS, Prepared
from fakelab.data.store import FaceStore, open_store, write_store
from fakelab.errors import DataError

SHA, OTHER = "ab" * 32, "cd" * 32


def saved(folder: Path, *rows: Row) -> Path:
    write_manifest(rows, folder / "m.csv")
    return folder / "m.csv"


def at(path: Path, **more: str) -> Row:
    return dataclasses.replace(make.row("x", **more), path=path)


def test_paths_are_rewritten_splits_kept_and_columns_joined(tmp_path: Path) -> None:
    one = saved(tmp_path / "one", at(tmp_path / "one" / "1.mp4", split="val").with_column("age", "30"))
    two = saved(tmp_path / "two", at(tmp_path / "two" / "2.mp4", label="fake", source="t").with_column("fps", "25"))
    found = write_combined([one, two], tmp_path / "three" / "all.csv")
    text = (tmp_path / "three" / "all.csv").read_text().splitlines()
    assert text[0].endswith(",age,fps")
    assert [line.split(",")[0] for line in text[1:]] == ["../one/1.mp4", "../two/2.mp4"]
    rows = read_manifest(tmp_path / "three" / "all.csv").rows
    assert [(row.split, row.source, row.get("age"), row.get("fps")) for row in rows] == [
        ("val", "s", "30", ""),
        ("", "t", "", "25"),
    ]
    assert (found.same_file, found.duplicates) == (0, ())


def test_combining_twice_gives_the_same_bytes_in_every_format(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra 'train' is not installed")
    one = saved(tmp_path / "one", at(tmp_path / "1.mp4", sha256=SHA))
    two = saved(tmp_path / "two", at(tmp_path / "2.mp4", sha256=OTHER))
    for suffix in ("csv", "parquet"):
        target = tmp_path / f"all.{suffix}"
        write_combined([one, two], target)
        first = target.read_bytes()
        write_combined([one, two], target)
        assert target.read_bytes() == first
        assert len(read_manifest(target).rows) == 2


def test_one_file_in_two_manifests_is_one_row_and_gaps_are_filled(tmp_path: Path) -> None:
    file = tmp_path / "1.mp4"
    one = saved(tmp_path / "one", at(file, split="test").with_column("age", ""))
    two = saved(tmp_path / "two", at(file, split="train", sha256=SHA, licence="CC0").with_column("age", "30"))
    found = combine([one, two])
    assert found.same_file == 1
    assert [(row.split, row.sha256, row.licence, row.get("age")) for row in found.rows] == [("test", SHA, "CC0", "30")]


def test_copies_are_reported_and_kept_and_one_with_two_labels_is_refused(tmp_path: Path) -> None:
    one = saved(tmp_path / "one", at(tmp_path / "1.mp4", sha256=SHA), at(tmp_path / "2.mp4", sha256=OTHER))
    two = saved(tmp_path / "two", at(tmp_path / "3.mp4", sha256=SHA, source="t"))
    found = combine([one, two])
    assert len(found.rows) == 3
    assert found.duplicates == ((0, 2),)
    bad = saved(tmp_path / "bad", at(tmp_path / "4.mp4", label="fake", sha256=OTHER))
    with pytest.raises(DataError, match=r"one file has two labels: .*2.mp4 is real, .*4.mp4 is fake"):
        combine([one, bad])


def test_a_manifest_is_not_joined_into_itself(tmp_path: Path) -> None:
    one = saved(tmp_path, at(tmp_path / "1.mp4"))
    with pytest.raises(DataError, match="is one of the manifests"):
        write_combined([one], tmp_path / "sub" / ".." / "m.csv")


# -- stores --------------------------------------------------------------------------------------------------------


def store(folder: Path, values: list[int], *, split: str = "train", group: str = "g", size: int = 16) -> FaceStore:
    """A store of flat crops of these values, one file each."""
    folder.mkdir(parents=True)
    rows = [at(folder / f"{value}.png", group=f"{group}{value}", split=split) for value in values]
    crops = np.repeat(np.array(values, np.uint8), size * size * 3).reshape(len(values), size, size, 3)
    numbers = np.zeros(len(values), NUMBERS)
    numbers["score"] = values
    numbers["person"] = 1
    write_store(
        Prepared(rows, f"sha of {folder.name}", crops, numbers, np.arange(len(values)), [(9, "no face")]), folder
    )
    return open_store(folder)


def twins(folder: Path, of: FaceStore, rows: list[int], done: int | None = None, size: int = 16) -> Path:
    folder.mkdir(parents=True)
    np.save(folder / "rows.npy", np.array(rows, np.int64))
    values = [100 + int(of.crops[row, 0, 0, 0]) for row in rows]
    np.save(folder / "twins.npy", np.repeat(np.array(values, np.uint8), size * size * 3).reshape(-1, size, size, 3))
    (folder / "store.txt").write_text(of.sha256)
    (folder / "done.txt").write_text(str(len(rows) if done is None else done))
    return folder


def test_stores_are_joined_with_all_that_belongs_to_their_crops(tmp_path: Path) -> None:
    parts = [store(tmp_path / "a", [1, 2]), store(tmp_path / "b", [3], split="val"), store(tmp_path / "c", [4, 5, 6])]
    joined = combine_stores([tmp_path / name for name in "abc"], tmp_path / "all")
    assert joined.crops[:, 0, 0, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert joined.score.tolist() == [1, 2, 3, 4, 5, 6]
    assert joined.group.tolist() == ["g1", "g2", "g3", "g4", "g5", "g6"]
    assert joined.split.tolist() == ["train", "train", "val", "train", "train", "train"]
    assert joined.person is not None and joined.person.tolist() == [1] * 6
    assert joined.sha256 == joined_sha256(parts)
    assert [row.group for row in read_manifest(tmp_path / "all" / "manifest.csv").rows] == joined.group.tolist()
    with np.load(tmp_path / "all" / "index.npz") as index:
        assert int(index["skipped"]) == 3


def test_twins_follow_their_crops_to_the_joined_store(tmp_path: Path) -> None:
    first, second = store(tmp_path / "a", [1, 2, 3]), store(tmp_path / "b", [11, 12, 13])
    of_second = twins(tmp_path / "tb", second, [2, 0, 1], done=2)
    of_first = twins(tmp_path / "ta", first, [1])
    stores = [tmp_path / "a", tmp_path / "b"]
    joined = combine_stores(stores, tmp_path / "all")
    assert combine_twins([of_second, of_first], stores, tmp_path / "t") == 3
    rows, made = np.load(tmp_path / "t" / "rows.npy"), np.load(tmp_path / "t" / "twins.npy")
    assert rows.tolist() == [1, 5, 3]
    assert made[:, 0, 0, 0].tolist() == [100 + int(joined.crops[row, 0, 0, 0]) for row in rows]
    assert (tmp_path / "t" / "store.txt").read_text() == joined.sha256
    assert (tmp_path / "t" / "done.txt").read_text() == "3"


def test_stores_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    store(tmp_path / "a", [1, 2])
    store(tmp_path / "small", [3], size=8)
    store(tmp_path / "leak", [1], split="test")
    other = store(tmp_path / "other", [7])
    with pytest.raises(DataError, match="different sizes: 8 px, 16 px"):
        combine_stores([tmp_path / "a", tmp_path / "small"], tmp_path / "x")
    with pytest.raises(DataError, match="group 'g1' of s is in train and in test"):
        combine_stores([tmp_path / "a", tmp_path / "leak"], tmp_path / "x")
    with pytest.raises(DataError, match="is one of those"):
        combine_stores([tmp_path / "a", tmp_path / "other"], tmp_path / "a")
    with pytest.raises(DataError, match="of none of these stores"):
        combine_twins([twins(tmp_path / "t", other, [0])], [tmp_path / "a"], tmp_path / "x")
    with pytest.raises(DataError, match="holds no twins"):
        combine_twins([tmp_path / "a"], [tmp_path / "a"], tmp_path / "x")
    assert not (tmp_path / "x").exists()
