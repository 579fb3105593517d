from __future__ import annotations

from pathlib import Path

import cv2
import lab_maker as lab
import numpy as np
import pytest

from fakelab.errors import TrainingError
from fakelab.faces.find import make_finder
from fakelab.records import Image
from fakelab.training import store as store_module
from fakelab.training.store import STORE_SPEC, FoundCrop, Row, build_store, open_store, read_manifest

HEADER = "path,label,source,group,split"
SIZE = STORE_SPEC.size_px


def manifest(folder: Path, *rows: str, header: str = HEADER, name: str = "manifest.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def write_picture(path: Path, image: Image) -> Path:
    assert cv2.imwrite(str(path), image[:, :, ::-1])
    return path


# -- manifests -----------------------------------------------------------------------------------------------------


def test_the_rows_of_a_manifest_come_back_with_paths_beside_it(tmp_path: Path) -> None:
    rows = read_manifest(manifest(tmp_path, "a/1.jpg,real,lfw,ann,train", "/b/2.jpg,fake,lfw,ben,val"))
    assert [row["path"] for row in rows] == [str(tmp_path / "a/1.jpg"), "/b/2.jpg"]
    assert [row["label"] for row in rows] == ["real", "fake"]


def test_a_manifest_saved_by_a_spreadsheet_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"{HEADER}\n1.jpg,real,lfw,ann,train\n", encoding="utf-8-sig")
    assert read_manifest(path)[0]["group"] == "ann"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2.jpg,true,lfw,ben,train", r"row 3 .*label is 'true'.*Write one of real, fake"),
        ("2.jpg,Real,lfw,ben,train", r"row 3 .*label is 'Real'"),
        ("2.jpg,real,lfw,ben,training", r"row 3 .*split is 'training'.*Write one of train, val, test"),
        ("2.jpg,real,lfw,,train", r"row 3 .*it has no group"),
        (",real,lfw,ben,train", r"row 3 .*it has no path"),
        ("2.jpg,real", r"row 3 .*it has no source"),
    ],
)
def test_an_error_in_a_manifest_names_the_row(row: str, words: str, tmp_path: Path) -> None:
    """Row 1 is the header, as a spreadsheet counts."""
    path = manifest(tmp_path, "1.jpg,real,lfw,ann,train", row)
    with pytest.raises(TrainingError, match=words) as error:
        read_manifest(path)
    assert str(path) in str(error.value)


def test_a_manifest_without_a_column_says_which(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"it has no column source, split"):
        read_manifest(manifest(tmp_path, "1.jpg,real,ann", header="path,label,group"))


def test_a_manifest_that_is_not_there_or_no_text_is_a_training_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot be read"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)))
    with pytest.raises(TrainingError, match="cannot be"):
        read_manifest(tmp_path / "picture.jpg")


@pytest.mark.parametrize(("first", "second"), [("train", "val"), ("train", "test"), ("val", "test")])
def test_a_person_who_is_in_two_splits_is_refused(first: str, second: str, tmp_path: Path) -> None:
    """The founding study left people of the validation set in training."""
    path = manifest(tmp_path, f"1.jpg,real,lfw,ann,{first}", "2.jpg,real,lfw,ben,train", f"3.jpg,fake,lfw,ann,{second}")
    with pytest.raises(TrainingError, match=rf"leaks: row 4: group 'ann' of lfw is in {first} and in {second}"):
        read_manifest(path)


def test_a_file_that_is_in_two_splits_under_two_names_of_people_is_refused(tmp_path: Path) -> None:
    path = manifest(tmp_path, "1.jpg,real,lfw,ann,train", "1.jpg,real,lfw,anna,test")
    with pytest.raises(TrainingError, match=r"leaks: row 3: the file 1.jpg is in train and in test"):
        read_manifest(path)


def test_people_of_two_sources_may_share_a_name(tmp_path: Path) -> None:
    assert len(read_manifest(manifest(tmp_path, "1.jpg,real,lfw,7,train", "2.jpg,real,utk,7,val"))) == 2


# -- a store of real pictures --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of a wide picture, a tight crop, a picture of no face, and a file that is missing."""
    folder = tmp_path_factory.mktemp("pictures")
    write_picture(folder / "wide.png", lab.portrait()[:400, :400])
    write_picture(folder / "tight.png", lab.face_crop(300, 3))
    write_picture(folder / "nobody.png", np.full((120, 160, 3), 90, np.uint8))
    return manifest(
        folder,
        "wide.png,real,nasa,ann,train,0",
        "nobody.png,real,nasa,nobody,train,0",
        "tight.png,fake,nasa,ben,val,1",
        "missing.png,real,nasa,cem,test,0",
        header=f"{HEADER},tight",
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
    resized = cv2.resize(lab.face_crop(300, 3), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    assert np.array_equal(store.crops[1], resized)
    face = make_finder("yunet")(lab.portrait()[:400, :400])[0]
    assert store.side_px[0] == pytest.approx(max(face.box[2:]) * STORE_SPEC.margin, rel=0.02)
    assert store.side_px[1] == pytest.approx(300)


@pytest.mark.parametrize("row", [0, 1])
def test_the_landmarks_of_a_crop_lie_where_the_finder_sees_them_in_it(built: Path, row: int) -> None:
    store = open_store(built)
    found = make_finder("yunet")(np.array(store.crops[row]))[0].landmarks
    assert found is not None
    assert np.abs(store.points[row] - found).max() < 0.05 * SIZE


def test_the_manifest_is_kept_in_the_store(built: Path, pictures: Path) -> None:
    assert (built / "manifest.csv").read_bytes() == pictures.read_bytes()
    assert not list(built.glob("*.part"))


# -- building, with the finder replaced ----------------------------------------------------------------------------


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were prepared: each gives as many flat crops as its name has letters `x`."""
    names: list[str] = []

    def prepare(row: Row) -> list[FoundCrop]:
        name = Path(row["path"]).name
        names.append(name)
        image = np.full((SIZE, SIZE, 3), len(names), np.uint8)
        points, mesh = np.zeros((5, 2), np.float32), np.zeros((468, 2), np.float32)
        return [FoundCrop(image, points, mesh, 0.9, 50.0, 100.0, 80.0)] * name.count("x")

    monkeypatch.setattr(store_module, "_prepare_row", prepare)
    monkeypatch.setattr(store_module, "_start_worker", lambda mesh: None)
    return names


def test_an_unchanged_manifest_opens_the_store_and_a_changed_one_builds_it_anew(
    prepared: list[str], tmp_path: Path
) -> None:
    path, folder = manifest(tmp_path, "x,real,s,1,train", "xx,fake,s,2,val"), tmp_path / "store"
    first = build_store(path, folder, workers=1)
    assert (prepared, first.group.tolist()) == (["x", "xx"], ["1", "2", "2"])
    again = build_store(path, folder, workers=1)
    assert prepared == ["x", "xx"]
    assert again.sha256 == first.sha256
    manifest(tmp_path, "x,real,s,1,train", "xxx,fake,s,3,val")
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
        manifest(tmp_path, *rows), tmp_path / "s", workers=1, progress=lambda *done: progress.append(done)
    )
    assert store.group.tolist() == ["2", "2", "4"]
    assert store.fake.tolist() == [True, True, False]
    assert store.crops[:, 0, 0, 0].tolist() == [2, 2, 4]
    with np.load(tmp_path / "s" / "index.npz") as index:
        assert int(index["skipped"]) == 2
    assert progress[-1] == (4, 4)


def test_a_manifest_without_any_face_is_an_error(prepared: list[str], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no face was found in any file"):
        build_store(manifest(tmp_path, "o,real,s,1,train"), tmp_path / "store", workers=1)


def test_a_leak_is_refused_even_where_a_store_was_built(prepared: list[str], tmp_path: Path) -> None:
    path = manifest(tmp_path, "x,real,s,1,train", "xx,real,s,1,val")
    with pytest.raises(TrainingError, match="leaks"):
        build_store(path, tmp_path / "store", workers=1)
    assert not prepared


def test_a_folder_that_holds_no_whole_store_is_refused(prepared: list[str], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no face store"):
        open_store(tmp_path)
    folder = tmp_path / "store"
    build_store(manifest(tmp_path, "xx,real,s,1,train"), folder, workers=1)
    np.save(folder / "crops.npy", np.zeros((1, SIZE, SIZE, 3), np.uint8))
    with pytest.raises(TrainingError, match=r"is not whole.*1 crops, 2 rows"):
        open_store(folder)
    (folder / "crops.npy").unlink()
    with pytest.raises(TrainingError, match="holds no face store"):
        open_store(folder)


def test_a_build_that_is_cut_off_leaves_no_store_of_mixed_manifests(
    prepared: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = manifest(tmp_path, "x,real,s,1,train"), tmp_path / "store"
    build_store(path, folder, workers=1)
    manifest(tmp_path, "x,real,s,2,train")
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            build_store(path, folder, workers=1)
    with pytest.raises(TrainingError):
        open_store(folder)
    assert build_store(path, folder, workers=1).group.tolist() == ["2"]


def test_a_crop_is_good_when_it_is_sure_sharp_and_lit() -> None:
    store = lab.make_store(lab.people("train", 4), lab.numbered(4, 32))
    store.score[0], store.blur[1], store.luma[2] = 0.7, 5.0, 20.0
    assert store.good().tolist() == [False, False, False, True]
    assert store.good(min_score=0.6).tolist() == [True, False, False, True]


def test_what_the_store_writes_the_lab_opens(tmp_path: Path) -> None:
    """The tests' own stores are written in the same form."""
    kept = lab.make_store(lab.people("train", 3), lab.numbered(3, 32))
    opened = open_store(lab.save_store(kept, tmp_path))
    assert np.array_equal(opened.crops, kept.crops)
    assert opened.sha256 == kept.sha256
