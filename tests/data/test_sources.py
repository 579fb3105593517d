from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import set_maker as make

from fakelab.data.layouts import Options
from fakelab.data.manifest import Row, find_leaks, read_manifest
from fakelab.data.sources import SETS, Wishes, add, write_added
from fakelab.data.split import split_rows
from fakelab.errors import DataError, UnknownNameError
from portrait_maker import face_crop

QUICK = Wishes(hashed=False)


def rows_of(name: str, root: Path, wishes: Wishes = QUICK) -> dict[str, Row]:
    """The rows of a set by the path of their file below the root."""
    added = add(name, root, wishes)
    return {row.path.relative_to(root).as_posix(): row for row in added.rows}


# -- FaceForensics++ -----------------------------------------------------------------------------------------------


@pytest.fixture
def ffpp(tmp_path: Path) -> Path:
    """Two swapped pairs, a third person whose partner is missing, DeepFakeDetection, another compression."""
    youtube = [f"original_sequences/youtube/c23/videos/{name}.mp4" for name in ("071", "054", "300", "301", "999")]
    fakes = [
        f"manipulated_sequences/{method}/c23/videos/{name}.mp4"
        for method in ("Deepfakes", "Face2Face", "FaceShifter", "NeuralTextures")
        for name in ("071_054", "054_071", "300_301")
    ]
    dfd = [
        "original_sequences/actors/c23/videos/01__meeting.mp4",
        "original_sequences/actors/c23/videos/02__kitchen.mp4",
        "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__meeting__YVGY8LOK.mp4",
        "manipulated_sequences/DeepFakeDetection/c23/videos/02_03__kitchen__ABCDEFGH.mp4",
        "original_sequences/youtube/c40/videos/071.mp4",
        "manipulated_sequences/Deepfakes/c23/masks/videos/071_054.mp4",
    ]
    return make.touch(tmp_path / "ffpp", *youtube, *fakes, *dfd)


def test_a_fake_of_faceforensics_has_the_body_of_one_and_the_face_of_the_other(ffpp: Path) -> None:
    rows = rows_of("ffpp", ffpp)
    assert len(rows) == 5 + 12 + 4
    fake = rows["manipulated_sequences/Face2Face/c23/videos/071_054.mp4"]
    assert (fake.label, fake.forgery, fake.original, fake.group) == ("fake", "Face2Face", "071", "054+071")
    real = rows["original_sequences/youtube/c23/videos/054.mp4"]
    assert (real.label, real.forgery, real.original, real.group) == ("real", "", "054", "054+071")
    assert rows["original_sequences/youtube/c23/videos/999.mp4"].group == "999"
    assert {row.source for row in rows.values()} == {"ffpp", "dfd"}
    assert dict(fake.more) == {"set": "ffpp", "page": SETS["ffpp"].page}
    assert fake.licence == "research only, on request"


def test_actors_of_deepfakedetection_who_are_tied_by_swaps_are_one_group(ffpp: Path) -> None:
    rows = rows_of("ffpp", ffpp)
    dfd = {name: row for name, row in rows.items() if row.source == "dfd"}
    assert {row.group for row in dfd.values()} == {"actor01+actor02+actor03"}
    fake = dfd["manipulated_sequences/DeepFakeDetection/c23/videos/01_02__meeting__YVGY8LOK.mp4"]
    assert (fake.original, fake.forgery) == ("01__meeting", "DeepFakeDetection")
    assert dfd["original_sequences/actors/c23/videos/01__meeting.mp4"].original == "01__meeting"


def test_the_official_splits_are_used_where_they_lie(ffpp: Path) -> None:
    folder = ffpp / "dataset" / "splits"
    folder.mkdir(parents=True)
    for split, pairs in (("train", [["071", "054"]]), ("val", [["300", "301"]]), ("test", [["999", "998"]])):
        (folder / f"{split}.json").write_text(json.dumps(pairs))
    rows = rows_of("ffpp", ffpp)
    found = {row.group: row.split for row in rows.values() if row.source == "ffpp"}
    assert found == {"054+071": "train", "300+301": "val", "999": "test"}
    assert find_leaks(list(rows.values())) == []


def test_the_compression_is_chosen_and_a_wrong_one_names_those_that_are_there(ffpp: Path) -> None:
    assert list(rows_of("ffpp", ffpp, Wishes(Options("c40"), hashed=False))) == [
        "original_sequences/youtube/c40/videos/071.mp4"
    ]
    with pytest.raises(DataError, match=r"holds no file of FaceForensics\+\+.*that are there: c23, c40"):
        add("ffpp", ffpp, Wishes(Options("raw")))


def test_a_fraction_takes_people_by_the_seed_each_with_the_forged_versions(tmp_path: Path) -> None:
    names = [f"original_sequences/youtube/c23/videos/{k:03d}.mp4" for k in range(100)]
    names += [
        f"manipulated_sequences/Deepfakes/c23/videos/{a:03d}_{b:03d}.mp4"
        for k in range(0, 100, 2)
        for a, b in ((k, k + 1), (k + 1, k))
    ]
    root = make.touch(tmp_path / "ffpp", *names)
    chosen = rows_of("ffpp", root, Wishes(fraction=0.1, seed=1, hashed=False))
    reals = [row for row in chosen.values() if not row.fake]
    fakes = [row for row in chosen.values() if row.fake]
    assert len(reals) == 10
    assert {row.group for row in fakes} == {row.group for row in reals}
    assert len(fakes) == 10
    assert chosen == rows_of("ffpp", root, Wishes(fraction=0.1, seed=1, hashed=False))
    assert set(chosen) != set(rows_of("ffpp", root, Wishes(fraction=0.1, seed=2, hashed=False)))
    assert add("ffpp", root, Wishes(fraction=0.1, seed=1, hashed=False)).left_out == 180


def test_of_people_who_were_all_swapped_some_are_taken_with_what_shows_nobody_else(tmp_path: Path) -> None:
    names = [f"original_sequences/actors/c23/videos/{a:02d}__{scene}.mp4" for a in range(10) for scene in "abcd"]
    names += [
        f"manipulated_sequences/DeepFakeDetection/c23/videos/{a:02d}_{b:02d}__a__X.mp4"
        for a in range(10)
        for b in range(10)
        if a != b
    ]
    chosen = rows_of("ffpp", make.touch(tmp_path / "dfd", *names), Wishes(fraction=0.3, hashed=False))
    reals = {row.path.stem[:2] for row in chosen.values() if not row.fake}
    assert len(reals) == 3
    fakes = [row.path.stem.split("__")[0].split("_") for row in chosen.values() if row.fake]
    assert len(fakes) == 6
    assert all(set(pair) <= reals for pair in fakes)


# -- the others ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["celebdf_v1", "celebdf_v2"])
def test_celebdf(name: str, tmp_path: Path) -> None:
    root = make.touch(
        tmp_path / "c",
        "Celeb-real/id0_0000.mp4",
        "Celeb-real/id1_0003.mp4",
        "Celeb-real/id7_0001.mp4",
        "Celeb-synthesis/id0_id1_0000.mp4",
        "YouTube-real/00170.mp4",
        "YouTube-real/00171.mp4",
    )
    (root / "List_of_testing_videos.txt").write_text("1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n")
    rows = rows_of(name, root)
    fake = rows["Celeb-synthesis/id0_id1_0000.mp4"]
    assert (fake.label, fake.original, fake.group, fake.split) == ("fake", "id0_0000", "id0+id1", "test")
    assert rows["Celeb-real/id0_0000.mp4"].original == "id0_0000"
    assert rows["Celeb-real/id7_0001.mp4"].group == "id7"
    assert (rows["YouTube-real/00170.mp4"].split, rows["YouTube-real/00171.mp4"].split) == ("test", "")
    assert rows["YouTube-real/00171.mp4"].source == name
    assert make.splits(split_rows(list(rows.values()), (1, 0, 0), keep=True))["test"] == {
        "00170.mp4", "id0_id1_0000.mp4", "id0_0000.mp4", "id1_0003.mp4",
    }  # fmt: skip


def test_dfdc(tmp_path: Path) -> None:
    root = make.touch(
        tmp_path / "d", "dfdc_train_part_0/real.mp4", "dfdc_train_part_0/fake.mp4", "dfdc_train_part_1/x.mp4"
    )
    (root / "dfdc_train_part_0" / "metadata.json").write_text(
        json.dumps(
            {
                "real.mp4": {"label": "REAL", "split": "train", "original": None},
                "fake.mp4": {"label": "FAKE", "split": "train", "original": "real.mp4"},
                "gone.mp4": {"label": "FAKE", "split": "train", "original": "real.mp4"},
            }
        )
    )
    (root / "dfdc_train_part_1" / "metadata.json").write_text(json.dumps({"x.mp4": {"is_fake": 0}}))
    added = add("dfdc", root, QUICK)
    assert [(row.path.name, row.label, row.group, row.original, row.split) for row in added.rows] == [
        ("fake.mp4", "fake", "real", "real", ""),
        ("real.mp4", "real", "real", "real", ""),
        ("x.mp4", "real", "x", "x", ""),
    ]
    assert [path.name for path in added.missing] == ["gone.mp4"]


def test_dfdc_preview(tmp_path: Path) -> None:
    root = make.touch(tmp_path / "p", "original_videos/11/11_A_001.mp4", "method_A/11/11_22/11_A_22_001.mp4")
    (root / "dataset.json").write_text(
        json.dumps(
            {
                "original_videos/11/11_A_001.mp4": {
                    "label": "real",
                    "set": "train",
                    "target_id": 11,
                    "swapped_id": None,
                },
                "method_A/11/11_22/11_A_22_001.mp4": {
                    "label": "fake",
                    "set": "test",
                    "target_id": 11,
                    "swapped_id": 22,
                },
            }
        )
    )
    rows = rows_of("dfdc_preview", root)
    assert {name: (r.label, r.group, r.forgery, r.split) for name, r in rows.items()} == {
        "original_videos/11/11_A_001.mp4": ("real", "11+22", "", "train"),
        "method_A/11/11_22/11_A_22_001.mp4": ("fake", "11+22", "method_A", "test"),
    }


def test_fakeavceleb(tmp_path: Path) -> None:
    root = make.touch(
        tmp_path / "f",
        "RealVideo-RealAudio/African/men/id00076/00109.mp4",
        "FakeVideo-RealAudio/African/men/id00076/00109_1_id00701_wavtolip.mp4",
        "FakeVideo-FakeAudio/African/men/id00076/00109_2.mp4",
        "RealVideo-FakeAudio/African/men/id00076/00109_fake.mp4",
    )
    (root / "meta_data.csv").write_text(
        "source,target1,target2,method,category,type,race,gender,path,\n"
        "id00076,id00701,-,faceswap-wav2lip,C,FakeVideo-RealAudio,African,men,00109_1_id00701_wavtolip.mp4,x\n"
    )
    rows = rows_of("fakeavceleb", root)
    assert len(rows) == 3, "a genuine picture with forged sound is neither"
    swapped = rows["FakeVideo-RealAudio/African/men/id00076/00109_1_id00701_wavtolip.mp4"]
    assert (swapped.forgery, swapped.group, swapped.original) == (
        "faceswap-wav2lip",
        "id00076+id00701",
        "id00076/00109",
    )
    assert (swapped.get("origin"), swapped.get("sex")) == ("African", "men")
    assert rows["FakeVideo-FakeAudio/African/men/id00076/00109_2.mp4"].forgery == "FakeVideo-FakeAudio"
    assert {row.original for row in rows.values()} == {"id00076/00109"}


def test_wilddeepfake(tmp_path: Path) -> None:
    root = make.touch(
        tmp_path / "w", "real_train/1/real/7/10.png", "real_train/1/real/7/11.png", "fake_test/2/fake/9/1.png"
    )
    rows = rows_of("wilddeepfake", root)
    assert {name: (r.label, r.group, r.split, r.tight) for name, r in rows.items()} == {
        "real_train/1/real/7/10.png": ("real", "real_train/1/real/7", "", True),
        "real_train/1/real/7/11.png": ("real", "real_train/1/real/7", "", True),
        "fake_test/2/fake/9/1.png": ("fake", "fake_test/2/fake/9", "test", True),
    }


def test_two_folders(tmp_path: Path) -> None:
    """Told by their first bytes: words are no media, whatever they are called."""
    for name in ("real/ann.png", "fake/ann.png", "real/ben/1.png", "fake/ben/2.png", "fake/cem.bin"):
        make.write_picture(tmp_path / f"{name}.png", face_crop(32)).rename(tmp_path / name)
    make.touch(tmp_path, "real/words.jpg")
    rows = rows_of("folders", tmp_path)
    assert {name: (r.label, r.group) for name, r in rows.items()} == {
        "real/ann.png": ("real", "ann"),
        "fake/ann.png": ("fake", "ann"),
        "real/ben/1.png": ("real", "ben"),
        "fake/ben/2.png": ("fake", "ben"),
        "fake/cem.bin": ("fake", "cem"),
    }


def test_a_table_of_labels_with_columns_of_its_own_names(tmp_path: Path) -> None:
    make.touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    (tmp_path / "labels.csv").write_text(
        "Clip,Class,source,method,who,fps\na.mp4,REAL,site,,ann,30\nb.mp4,1,site,swap,ann,25\nc.mp4,pristine,,,,\n"
    )
    told = Options(columns={"path": "Clip", "group": "who"})
    wishes = Wishes(told, source="mine", licence="CC0", hashed=False)
    rows = rows_of("labels", tmp_path, wishes)
    assert {name: (r.label, r.source, r.group, r.forgery, r.get("fps")) for name, r in rows.items()} == {
        "a.mp4": ("real", "site", "ann", "", "30"),
        "b.mp4": ("fake", "site", "ann", "swap", "25"),
        "c.mp4": ("real", "mine", "c", "", ""),
    }
    assert rows["a.mp4"].licence == "CC0"
    with pytest.raises(DataError, match=r"none of its columns .*is known as the path.*--map path=NAME"):
        add("labels", tmp_path, QUICK)
    with pytest.raises(DataError, match="group=nobody do not fit"):
        add("labels", tmp_path, Wishes(Options(columns={"group": "nobody"})))


def test_a_label_that_is_no_word_for_one_names_its_row(tmp_path: Path) -> None:
    make.touch(tmp_path, "a.mp4")
    (tmp_path / "labels.csv").write_text("file,label\na.mp4,perhaps\n")
    with pytest.raises(DataError, match=r"row 2 of .*labels.csv.*its label is 'perhaps'"):
        add("labels", tmp_path / "labels.csv", QUICK)


def test_face_crops_of_dfdc_by_either_table(tmp_path: Path) -> None:
    """One names the crops; the other names the videos they were cut from."""
    make.touch(tmp_path / "one", "real/aaa.jpg", "fake/bbb.jpg")
    (tmp_path / "one" / "labels.csv").write_text("file,label,original\nreal/aaa.jpg,real,aaa\nfake/bbb.jpg,fake,aaa\n")
    make.touch(tmp_path / "two", "faces_224/aaa.jpg", "faces_224/bbb.jpg")
    (tmp_path / "two" / "metadata.csv").write_text(
        "videoname,original_width,label,original\naaa.mp4,120,REAL,\nbbb.mp4,130,FAKE,aaa.mp4\n"
    )
    for folder in ("one", "two"):
        rows = add("dfdc_faces", tmp_path / folder, QUICK).rows
        assert [(r.path.stem, r.label, r.group, r.original, r.source, r.tight) for r in rows] == [
            ("aaa", "real", "aaa", "aaa", "dfdc", True),
            ("bbb", "fake", "aaa", "aaa", "dfdc", True),
        ]


# -- adding --------------------------------------------------------------------------------------------------------


def test_hashes_are_those_of_the_files_and_progress_is_told(tmp_path: Path) -> None:
    make.touch(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "labels.csv").write_text("file,label\na.mp4,real\nb.mp4,fake\n")
    seen: list[tuple[str, int, int | None]] = []
    rows = add("labels", tmp_path, progress=lambda *told: seen.append(told)).rows
    assert [row.sha256 for row in rows] == [hashlib.sha256(name).hexdigest() for name in (b"a.mp4", b"b.mp4")]
    assert seen == [("hashing", 1, 2), ("hashing", 2, 2)]


def test_what_is_added_is_a_manifest_that_is_not_replaced_by_accident(ffpp: Path, tmp_path: Path) -> None:
    added = add("ffpp", ffpp, QUICK)
    write_added(added, tmp_path / "m.csv")
    first = (tmp_path / "m.csv").read_bytes()
    assert [row.group for row in read_manifest(tmp_path / "m.csv").rows] == [row.group for row in added.rows]
    with pytest.raises(DataError, match=r"is there already.*combine"):
        write_added(added, tmp_path / "m.csv")
    write_added(add("ffpp", ffpp, QUICK), tmp_path / "m.csv", replace=True)
    assert (tmp_path / "m.csv").read_bytes() == first


def test_an_unknown_set_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no data set is called 'celebdf'. Did you mean 'celebdf_v\d'"):
        add("celebdf", tmp_path)


@pytest.mark.parametrize("name", sorted(set(SETS) - {"labels", "dfdc_faces", "dfdc_preview", "youtube"}))
def test_an_empty_folder_says_what_it_should_hold(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no file of .*It should hold"):
        add(name, tmp_path)


def test_every_known_set_names_its_terms_and_what_it_looks_like() -> None:
    for name, known in SETS.items():
        assert known.title and known.licence and known.looks_like, name
        assert known.page.startswith("https://") or name in ("folders", "labels", "youtube"), name


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.5])
def test_a_fraction_that_is_none_is_refused(fraction: float, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be taken"):
        add("ffpp", tmp_path, Wishes(fraction=fraction))
