from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import set_maker as make

from fakelab.data import prepare as prepare_module
from fakelab.data.manifest import read_manifest, write_manifest
from fakelab.data.prepare import Choices, prepare
from fakelab.data.spool import Spool
from fakelab.data.store import open_store
from fakelab.errors import DataError, UnknownNameError
from fakelab.media.views import views_of
from portrait_maker import face_crop

SMALL = Choices(size_px=64, bursts=2)


@pytest.fixture(autouse=True)
def own_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker sets the threads of its process: here that is the one of the tests."""
    monkeypatch.setattr(cv2, "setNumThreads", lambda count: None)
    monkeypatch.setattr(prepare_module, "_tools", {})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of two people, a photo, a tight crop, a photo of nobody, a text, a file that is missing."""
    folder = tmp_path_factory.mktemp("files")
    make.write_clip(folder / "two.mp4")
    make.write_picture(folder / "wide.png", make.portrait())
    make.write_picture(folder / "tight.png", face_crop(300, 3))
    make.write_picture(folder / "nobody.png", np.full((120, 160, 3), 90, np.uint8))
    (folder / "words.jpg").write_text("words")
    return make.manifest(
        folder,
        "two.mp4,fake,s,ann,train,",
        "wide.png,real,s,ben,val,",
        "tight.png,real,s,cem,val,1",
        "nobody.png,real,s,dan,test,",
        "words.jpg,real,s,eve,test,",
        "missing.png,real,s,fay,test,",
        header=f"{make.HEADER},tight",
    )


def test_every_crop_says_whose_it_is_and_when(files: Path, tmp_path: Path) -> None:
    report = prepare(files, tmp_path / "s", choices=SMALL, workers=1)
    store = open_store(tmp_path / "s")
    assert store.path is not None and store.person is not None and store.time_s is not None
    assert [Path(each).name for each in store.path] == ["two.mp4", "two.mp4", "wide.png", "tight.png"]
    assert len(set(store.time_s[:2].tolist())) == 2
    assert store.person[0] == store.person[1]
    assert (report.rows, report.crops, report.resumed_at) == (6, 4, 0)
    assert store.crops.shape == (4, 64, 64, 3)


def test_the_main_person_is_the_one_who_fills_the_picture_and_all_gives_everybody(files: Path, tmp_path: Path) -> None:
    prepare(files, tmp_path / "main", choices=SMALL, workers=1)
    prepare(files, tmp_path / "all", choices=Choices(size_px=64, bursts=2, people="all"), workers=1)
    main, everybody = open_store(tmp_path / "main"), open_store(tmp_path / "all")
    assert everybody.path is not None and everybody.person is not None and main.path is not None
    clip = np.array([path.endswith("two.mp4") for path in everybody.path])
    assert sorted(everybody.person[clip].tolist()) == [1, 1, 2, 2]
    sides = {int(p): everybody.side_px[clip][everybody.person[clip] == p].mean() for p in (1, 2)}
    near = main.side_px[[path.endswith("two.mp4") for path in main.path]].mean()
    assert near == pytest.approx(max(sides.values()), rel=0.05)
    assert min(sides.values()) < 0.8 * near


def test_small_faces_are_left_out_where_asked_and_said_to_be_small(files: Path, tmp_path: Path) -> None:
    prepare(files, tmp_path / "all", choices=SMALL, workers=1)
    sides = open_store(tmp_path / "all").side_px
    limit = float(np.sort(sides)[-1])
    report = prepare(files, tmp_path / "large", choices=replace(SMALL, min_face_px=limit), workers=1)
    assert open_store(tmp_path / "large").side_px.tolist() == sides[sides >= limit].tolist()
    assert 0 < report.crops < len(sides)
    assert f"no crop shows {limit:g} px of the source" in {why for _, why in report.skipped}


@pytest.mark.parametrize("choices", [replace(SMALL, min_face_px=-1), replace(SMALL, min_face_px=float("nan"))])
def test_a_least_size_that_is_no_length_is_refused(choices: Choices, files: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it is no length"):
        prepare(files, tmp_path / "s", choices=choices, workers=1)


def test_where_no_face_is_looked_for_there_is_no_least_size_of_one(files: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="region 'frame' looks for no face"):
        prepare(files, tmp_path / "s", choices=replace(SMALL, min_face_px=20, region="frame"), workers=1)


def test_rows_that_gave_nothing_are_listed_with_the_reason(files: Path, tmp_path: Path) -> None:
    report = prepare(files, tmp_path / "s", choices=SMALL, workers=1)
    with (tmp_path / "s" / "skipped.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["row"], Path(row["path"]).name) for row in rows] == [
        ("5", "nobody.png"),
        ("6", "words.jpg"),
        ("7", "missing.png"),
    ]
    assert rows[0]["why"] == "no face was found"
    assert "no such file" in rows[2]["why"]
    assert all(row["why"] for row in rows)
    assert [number for number, _ in report.skipped] == [3, 4, 5]


def test_whole_frames_are_squeezed_and_need_no_face(files: Path, tmp_path: Path) -> None:
    prepare(files, tmp_path / "s", choices=Choices(region="frame", size_px=64, bursts=2), workers=1)
    store = open_store(tmp_path / "s")
    assert store.path is not None
    assert [Path(each).name for each in store.path] == ["two.mp4", "two.mp4", "wide.png", "tight.png", "nobody.png"]
    assert np.array_equal(store.crops[2], cv2.resize(make.portrait(), (64, 64), interpolation=cv2.INTER_AREA))
    assert np.isnan(store.points).all()


def test_views_are_the_square_in_the_middle_and_parts_at_full_size(files: Path, tmp_path: Path) -> None:
    prepare(files, tmp_path / "s", choices=Choices(region="view", size_px=64, bursts=1), workers=1)
    store = open_store(tmp_path / "s")
    assert store.path is not None
    names = [Path(each).name for each in store.path]
    assert names.count("nobody.png") >= 2, "whole and part, without a face"
    own = store.crops[names.index("wide.png")]
    assert np.array_equal(own, views_of(make.portrait(), 64)[0])
    assert (store.score == 1).all()


def test_trusted_files_give_the_same_bytes_without_a_process_of_their_own(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(files, tmp_path / "a", choices=SMALL, workers=1)
    with monkeypatch.context() as patch:
        patch.setattr("fakelab.media.open_media", lambda path: pytest.fail("a child was asked"), raising=False)
        report = prepare(files, tmp_path / "b", choices=SMALL, workers=1, trusted=True)
    assert (tmp_path / "a" / "crops.npy").read_bytes() == (tmp_path / "b" / "crops.npy").read_bytes()
    assert len(report.skipped) == 3


def test_a_file_that_is_not_the_one_of_the_manifest_is_skipped(tmp_path: Path) -> None:
    make.write_picture(tmp_path / "a.png", make.portrait())
    make.write_picture(tmp_path / "b.png", make.portrait())
    path = make.manifest(
        tmp_path, f"a.png,real,s,a,{'0' * 64}", "b.png,real,s,b,", header="path,label,source,group,sha256"
    )
    for trusted in (False, True):
        report = prepare(path, tmp_path / f"s{trusted}", choices=SMALL, workers=1, trusted=trusted)
        assert report.skipped == ((0, "its SHA-256 is not the one in the manifest"),)


def test_no_crop_at_all_is_an_error_with_an_example(tmp_path: Path) -> None:
    make.write_picture(tmp_path / "n.png", np.full((120, 160, 3), 90, np.uint8))
    path = make.manifest(tmp_path, "n.png,real,s,a,train")
    with pytest.raises(DataError, match=r"gave a crop: for example: no face was found.*skipped.csv"):
        prepare(path, tmp_path / "s", choices=SMALL, workers=1)


@pytest.mark.parametrize(
    ("choices", "writer", "words"),
    [
        (Choices(region="faces"), "store", "no region is called 'faces'. Did you mean 'face'"),
        (Choices(people="main"), "stores", "no writer is called 'stores'. Did you mean 'store'"),
        (Choices(finder="yunnet"), "store", "no face finder is called 'yunnet'"),
        (Choices(people="al"), "store", "no choice of people is called 'al'"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(
    choices: Choices, writer: str, words: str, files: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnknownNameError, match=words):
        prepare(files, tmp_path / "s", choices=choices, writer=writer)


def test_a_size_that_no_crop_has_is_refused(files: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="crops of 8 px"):
        prepare(files, tmp_path / "s", choices=Choices(size_px=8))


# -- going on ------------------------------------------------------------------------------------------------------


def test_a_finished_preparation_is_not_repeated_and_another_one_is_refused(files: Path, tmp_path: Path) -> None:
    first = prepare(files, tmp_path / "s", choices=SMALL, workers=1)
    again = prepare(files, tmp_path / "s", choices=SMALL, workers=1)
    assert again.resumed_at == again.rows == 6
    assert (again.crops, again.skipped) == (first.crops, first.skipped)
    other = Choices(size_px=32, bursts=2)
    with pytest.raises(DataError, match=r"holds another preparation.*--replace"):
        prepare(files, tmp_path / "s", choices=other, workers=1)
    prepare(files, tmp_path / "s", choices=other, workers=1, replace=True)
    assert open_store(tmp_path / "s").crops.shape[1] == 32


def test_a_store_without_a_report_is_not_overwritten(files: Path, tmp_path: Path) -> None:
    """It was joined of others: nothing could bring it back."""
    prepare(files, tmp_path / "s", choices=SMALL, workers=1)
    (tmp_path / "s" / prepare_module.REPORT).unlink()
    with pytest.raises(DataError, match="by joining stores"):
        prepare(files, tmp_path / "s", choices=SMALL, workers=1)


def test_a_store_takes_up_new_splits_and_labels_without_cutting_anew(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clusters and near duplicates need a store before there are splits."""
    prepare(files, tmp_path / "s", choices=SMALL, workers=1)
    rows = [replace(row, split="test", group="x", label="real") for row in read_manifest(files).rows]
    write_manifest(rows, files.parent / "later.csv")
    monkeypatch.setattr(prepare_module, "_prepare_row", lambda row: pytest.fail("a crop was cut anew"))
    report = prepare(files.parent / "later.csv", tmp_path / "s", choices=SMALL, workers=1)
    store = open_store(tmp_path / "s")
    assert (set(store.split), set(store.group), store.fake.any()) == ({"test"}, {"x"}, False)
    assert store.sha256 == read_manifest(files.parent / "later.csv").sha256
    assert report.crops == len(store.crops) == 4
    assert {row.split for row in read_manifest(tmp_path / "s" / "manifest.csv").rows} == {"test"}
    write_manifest(rows[1:], files.parent / "fewer.csv")
    with pytest.raises(DataError, match="holds another preparation"):
        prepare(files.parent / "fewer.csv", tmp_path / "s", choices=SMALL, workers=1)


def test_a_run_that_is_interrupted_goes_on_with_the_next_row_and_gives_the_same_bytes(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(files, tmp_path / "whole", choices=SMALL, workers=1)
    rows = read_manifest(files).rows
    original, seen = prepare_module._prepare_row, []

    def stops(row: Any) -> Any:
        seen.append(row.path.name)
        if row.path.name == "tight.png" and len(seen) == 3:
            raise KeyboardInterrupt
        return original(row)

    monkeypatch.setattr(prepare_module, "_prepare_row", stops)
    with pytest.raises(KeyboardInterrupt):
        prepare(files, tmp_path / "cut", choices=SMALL, workers=1)
    with pytest.raises(DataError):
        open_store(tmp_path / "cut")
    report = prepare(files, tmp_path / "cut", choices=SMALL, workers=1)
    assert report.resumed_at == 2
    assert seen == [row.path.name for row in rows[:3]] + [row.path.name for row in rows[2:]]
    for name in ("crops.npy", "index.npz", "skipped.csv", "manifest.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not (tmp_path / "cut" / prepare_module.SPOOL).exists()


def test_what_a_kill_left_half_written_is_cut_off(tmp_path: Path) -> None:
    """Pixels without their numbers, numbers without a line in the log, and half a line."""
    plan = {"of": "a test"}
    image = np.full((16, 16, 3), 7, np.uint8)
    crop = prepare_module._whole(prepare_module.Frame(image, 0.0, 0), 16)
    with Spool(tmp_path / "s", plan, 16) as spool:
        spool.add([crop, crop], "")
        spool.add([], "no face was found")
    for name, rest in (("crops.raw", image.tobytes() + b"x"), ("numbers.raw", b"xyz"), ("rows.jsonl", b'{"crops": 1')):
        with (tmp_path / "s" / name).open("ab") as file:
            file.write(rest)
    with Spool(tmp_path / "s", plan, 16) as spool:
        assert spool.rows_done == 2
        spool.add([crop], "")
        found = spool.finish((), "")
    assert (found.crops == 7).all() and found.crops.shape == (3, 16, 16, 3)
    assert found.row_of.tolist() == [0, 0, 2]
    assert found.skipped == [(1, "no face was found")]
    (tmp_path / "s" / "crops.raw").write_bytes(b"")
    with Spool(tmp_path / "s", plan, 16) as spool:
        assert spool.rows_done == 0, "the pixels are gone, whatever the log says"
    with Spool(tmp_path / "s", {"of": "another"}, 16) as spool:
        assert spool.rows_done == 0


@pytest.mark.skipif(os.name != "posix", reason="needs kill -9")
def test_a_run_killed_with_9_goes_on_and_leaves_no_process(files: Path, tmp_path: Path) -> None:
    many = make.manifest(
        tmp_path,
        *[f"{files.parent}/wide.png,real,s,g{k},train" for k in range(60)],
    )
    code = (
        "import sys; from pathlib import Path; from fakelab.data.prepare import Choices, prepare\n"
        "if __name__ == '__main__':\n"
        "    prepare(Path(sys.argv[1]), Path(sys.argv[2]), choices=Choices(size_px=32), trusted=True, workers=2)\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    out = tmp_path / "s"
    run = subprocess.Popen([sys.executable, str(script), str(many), str(out)], start_new_session=True)
    log = out / prepare_module.SPOOL / "rows.jsonl"
    deadline = time.monotonic() + 60
    while not (log.is_file() and log.read_bytes().count(b"\n") >= 3) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    while _alive(run.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(run.pid), "workers outlive a parent that was killed"
    report = prepare(many, out, choices=Choices(size_px=32), trusted=True, workers=1)
    assert 3 <= report.resumed_at < 60
    assert report.crops == 60
    assert len(np.unique(open_store(out).crops, axis=0)) == 1


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


# -- other writers -------------------------------------------------------------------------------------------------


def test_a_folder_of_pictures_is_a_manifest_that_can_be_prepared_again(files: Path, tmp_path: Path) -> None:
    prepare(files, tmp_path / "s", choices=SMALL, workers=1)
    prepare(files, tmp_path / "f", choices=SMALL, workers=1, writer="folder")
    rows = read_manifest(tmp_path / "f" / "index.csv").rows
    store = open_store(tmp_path / "s")
    assert [(row.label, row.group, row.split, row.tight) for row in rows] == [
        ("fake", "ann", "train", True),
        ("fake", "ann", "train", True),
        ("real", "ben", "val", True),
        ("real", "cem", "val", True),
    ]
    for k, row in enumerate(rows):
        assert np.array_equal(cv2.imread(str(row.path))[:, :, ::-1], store.crops[k])
        assert row.path.parent.name == row.label
    assert store.time_s is not None
    assert [float(row.get("time_s")) for row in rows] == pytest.approx(store.time_s.tolist())
    assert Path(rows[0].get("file")).name == "two.mp4"


def test_shards_are_what_webdataset_reads(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    webdataset = pytest.importorskip("webdataset.tariterators", reason="the extra 'train' is not installed")
    monkeypatch.setattr("fakelab.data.writers.SHARD_CROPS", 3)
    prepare(files, tmp_path / "s", choices=SMALL, workers=1)
    prepare(files, tmp_path / "w", choices=SMALL, workers=1, writer="webdataset")
    assert (tmp_path / "w" / "shards.csv").read_text() == "shard,crops\nshard-000000.tar,3\nshard-000001.tar,1\n"
    shards = sorted(str(path) for path in (tmp_path / "w").glob("*.tar"))
    store = open_store(tmp_path / "s")
    found = []
    for shard in shards:
        with open(shard, "rb") as file:
            found += webdataset.group_by_keys(webdataset.tar_file_expander([{"url": shard, "stream": file}]))
    assert [each["cls"] for each in found] == [b"1", b"1", b"0", b"0"]
    assert [json.loads(each["json"])["group"] for each in found] == ["ann", "ann", "ben", "cem"]
    pictures = [cv2.imdecode(np.frombuffer(each["png"], np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1] for each in found]
    assert np.array_equal(np.stack(pictures), store.crops)
    first = [Path(shard).read_bytes() for shard in shards]
    prepare(files, tmp_path / "w2", choices=SMALL, workers=1, writer="webdataset")
    assert [(tmp_path / "w2" / Path(shard).name).read_bytes() for shard in shards] == first
    with tarfile.open(shards[1]) as tar:
        assert tar.getnames() == ["0000002_0000.png", "0000002_0000.cls", "0000002_0000.json"]
