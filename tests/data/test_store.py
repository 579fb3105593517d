from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import set_maker as make

from fakelab.data import prepare as prepare_module
from fakelab.data.manifest import Row, read_manifest
from fakelab.data.prepare import build_store
from fakelab.data.spool import FoundCrop
from fakelab.data.store import STORE_SPEC, open_store
from fakelab.errors import DataError
from fakelab.faces.find import make_finder
from portrait_maker import face_crop

SIZE = STORE_SPEC.size_px


# -- a store of real pictures --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of a wide picture, a tight crop, a picture of no face, and a file that is missing."""
    folder = tmp_path_factory.mktemp("pictures")
    make.write_picture(folder / "wide.png", make.portrait())
    make.write_picture(folder / "tight.png", face_crop(300, 3))
    make.write_picture(folder / "nobody.png", np.full((120, 160, 3), 90, np.uint8))
    return make.manifest(
        folder,
        "wide.png,real,nasa,ann,train,0",
        "nobody.png,real,nasa,nobody,train,0",
        "tight.png,fake,nasa,ben,val,1",
        "missing.png,real,nasa,cem,test,0",
        header=f"{make.HEADER},tight",
    )


@pytest.fixture(scope="module")
def built(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    threads = cv2.getNumThreads()
    build_store(pictures, folder, workers=1)
    cv2.setNumThreads(threads)
    return folder


def test_a_store_opens_memory_mapped_with_a_row_for_each_face(built: Path) -> None:
    store = open_store(built)
    assert isinstance(store.crops, np.memmap)
    assert store.crops.shape == (2, SIZE, SIZE, 3)
    assert store.crops.dtype == np.uint8
    assert store.fake.tolist() == [False, True]
    assert store.group.tolist() == ["ann", "ben"]
    assert store.split.tolist() == ["train", "val"]
    assert store.mesh.shape == (2, 468, 2)
    assert np.isnan(store.mesh).all(), "no mesh model was given"
    assert store.good().all()
    assert (store.score > 0.8).all()


def test_rows_without_a_face_or_a_file_are_counted(built: Path) -> None:
    with np.load(built / "index.npz") as index:
        assert int(index["skipped"]) == 2
        assert [Path(each).name for each in index["path"]] == ["wide.png", "tight.png"]


def test_a_wide_picture_is_cut_around_its_face_and_a_tight_one_is_only_resized(built: Path) -> None:
    store = open_store(built)
    resized = cv2.resize(face_crop(300, 3), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    assert np.array_equal(store.crops[1], resized)
    face = make_finder("yunet")(make.portrait())[0]
    assert store.side_px[0] == pytest.approx(max(face.box[2:]) * STORE_SPEC.margin, rel=0.02)
    assert store.side_px[1] == pytest.approx(300)


@pytest.mark.parametrize("row", [0, 1])
def test_the_landmarks_of_a_crop_lie_where_the_finder_sees_them_in_it(built: Path, row: int) -> None:
    store = open_store(built)
    found = make_finder("yunet")(np.array(store.crops[row]))[0].landmarks
    assert found is not None
    assert np.abs(store.points[row] - found).max() < 0.05 * SIZE


def test_the_manifest_is_kept_in_the_store(built: Path, pictures: Path) -> None:
    kept, given = read_manifest(built / "manifest.csv").rows, read_manifest(pictures).rows
    assert [row.path.resolve() for row in kept] == [row.path for row in given]
    assert [(row.label, row.group, row.tight) for row in kept] == [(row.label, row.group, row.tight) for row in given]
    assert not list(built.glob("*.part"))


# -- building, with the finder replaced ----------------------------------------------------------------------------


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were prepared: each gives as many flat crops as its name has letters `x`."""
    names: list[str] = []

    def prepare(row: Row) -> tuple[list[FoundCrop], str]:
        name = row.path.name
        names.append(name)
        image = np.full((SIZE, SIZE, 3), len(names), np.uint8)
        points, mesh = np.zeros((5, 2), np.float32), np.zeros((468, 2), np.float32)
        return [FoundCrop(image, points, mesh, 0.9, 50.0, 100.0, 80.0)] * name.count("x"), "no face"

    monkeypatch.setattr(prepare_module, "_prepare_row", prepare)
    monkeypatch.setattr(prepare_module, "_start_worker", lambda choices, trusted: None)
    return names


def test_an_unchanged_manifest_opens_the_store_and_a_changed_one_builds_it_anew(
    prepared: list[str], tmp_path: Path
) -> None:
    path, folder = make.manifest(tmp_path, "x,real,s,1,train", "xx,fake,s,2,val"), tmp_path / "store"
    first = build_store(path, folder, workers=1)
    assert (prepared, first.group.tolist()) == (["x", "xx"], ["1", "2", "2"])
    again = build_store(path, folder, workers=1)
    assert prepared == ["x", "xx"]
    assert again.sha256 == first.sha256
    make.manifest(tmp_path, "x,real,s,1,train", "xxx,fake,s,3,val")
    changed = build_store(path, folder, workers=1)
    assert prepared == ["x", "xx", "x", "xxx"]
    assert changed.group.tolist() == ["1", "3", "3", "3"]
    assert changed.sha256 != first.sha256
    assert changed.crops[3, 0, 0, 0] == 4
    assert np.array_equal(first.crops[:, 0, 0, 0], [1, 2, 2]), "who still has the old crops open keeps them"


def test_every_crop_of_a_file_gets_the_row_of_its_file_and_files_without_any_are_counted(
    prepared: list[str], tmp_path: Path
) -> None:
    rows = ("o,real,s,1,train", "xx,fake,s,2,val", "oo,real,s,3,train", "x,real,s,4,test")
    progress: list[tuple[int, int]] = []
    store = build_store(
        make.manifest(tmp_path, *rows), tmp_path / "s", workers=1, progress=lambda *done: progress.append(done)
    )
    assert store.group.tolist() == ["2", "2", "4"]
    assert store.fake.tolist() == [True, True, False]
    assert store.crops[:, 0, 0, 0].tolist() == [2, 2, 4]
    with np.load(tmp_path / "s" / "index.npz") as index:
        assert int(index["skipped"]) == 2
    assert progress[-1] == (4, 4)


def test_a_manifest_without_any_face_is_an_error(prepared: list[str], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gave a crop"):
        build_store(make.manifest(tmp_path, "o,real,s,1,train"), tmp_path / "store", workers=1)


def test_a_leak_is_refused_even_where_a_store_was_built(prepared: list[str], tmp_path: Path) -> None:
    path = make.manifest(tmp_path, "x,real,s,1,train", "xx,real,s,1,val")
    with pytest.raises(DataError, match="leaks"):
        build_store(path, tmp_path / "store", workers=1)
    assert not prepared


def test_a_folder_that_holds_no_whole_store_is_refused(prepared: list[str], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no face store"):
        open_store(tmp_path)
    folder = tmp_path / "store"
    build_store(make.manifest(tmp_path, "xx,real,s,1,train"), folder, workers=1)
    np.save(folder / "crops.npy", np.zeros((1, SIZE, SIZE, 3), np.uint8))
    with pytest.raises(DataError, match=r"is not whole.*1 crops, 2 rows"):
        open_store(folder)
    (folder / "crops.npy").unlink()
    with pytest.raises(DataError, match="holds no face store"):
        open_store(folder)


def test_a_build_that_is_cut_off_leaves_no_store_of_mixed_manifests(
    prepared: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = make.manifest(tmp_path, "x,real,s,1,train"), tmp_path / "store"
    build_store(path, folder, workers=1)
    make.manifest(tmp_path, "xx,real,s,2,train")
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            build_store(path, folder, workers=1)
    with pytest.raises(DataError):
        open_store(folder)
    assert build_store(path, folder, workers=1).group.tolist() == ["2", "2"]


def test_a_crop_is_good_when_it_is_sure_sharp_and_lit(built: Path) -> None:
    store = open_store(built)
    assert store.good().tolist() == [True, True]
    for name, low in (("score", 0.7), ("blur", 5.0), ("luma", 20.0)):
        values = getattr(store, name).copy()
        values[0] = low
        assert dataclasses.replace(store, **{name: values}).good().tolist() == [False, True]
    assert dataclasses.replace(store, score=np.array([0.7, 0.9])).good(min_score=0.6).all()


def test_a_store_of_an_older_version_opens_and_is_not_built_again(prepared: list[str], tmp_path: Path) -> None:
    """It knows neither people nor times, and has no report."""
    path, folder = make.manifest(tmp_path, "xx,real,s,1,train"), tmp_path / "store"
    build_store(path, folder, workers=1)
    with np.load(folder / "index.npz") as index:
        old = {name: index[name] for name in index.files if name not in ("person", "time_s", "path")}
    np.savez(folder / "index.npz", **old)
    for name in ("prepared.json", "manifest.csv", "skipped.csv"):
        (folder / name).unlink()
    store = build_store(path, folder, workers=1)
    assert (store.person, store.time_s, store.path) == (None, None, None)
    assert prepared == ["xx"]
