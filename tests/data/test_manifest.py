from __future__ import annotations

from pathlib import Path

import pytest
import set_maker as make
from hypothesis import given
from hypothesis import strategies as st

from fakelab.data.manifest import (
    LABELS,
    SPLITS,
    Row,
    find_leaks,
    read_for_training,
    read_manifest,
    refuse_leaks,
    write_manifest,
)
from fakelab.errors import DataError
from fakelab.evaluation.run import read_list

SHA = "ab" * 32


def test_the_rows_of_a_manifest_come_back_with_paths_beside_it(tmp_path: Path) -> None:
    path = make.manifest(tmp_path, "a/1.jpg,real,lfw,ann,train", "/b/2.jpg,fake,lfw,ben,val")
    rows = read_manifest(path).rows
    assert [row.path for row in rows] == [tmp_path / "a/1.jpg", Path("/b/2.jpg")]
    assert [(row.fake, row.source, row.group, row.split) for row in rows] == [
        (False, "lfw", "ann", "train"),
        (True, "lfw", "ben", "val"),
    ]


def test_only_four_columns_are_needed_and_others_are_kept(tmp_path: Path) -> None:
    path = make.manifest(
        tmp_path, "1.jpg,real,s,g,1,30", "2.jpg,fake,s,h,,", header="path,label,source,group,tight,age"
    )
    table = read_manifest(path)
    assert table.other_columns == ("age",)
    assert [(row.tight, row.get("age"), row.split) for row in table.rows] == [(True, "30", ""), (False, "", "")]
    write_manifest(table.rows, tmp_path / "out" / "m.csv")
    again = read_manifest(tmp_path / "out" / "m.csv")
    assert again.other_columns == ("age",)
    assert [row.path.resolve() for row in again.rows] == [row.path for row in table.rows]
    assert (tmp_path / "out" / "m.csv").read_text().splitlines()[1].startswith("../1.jpg,real,s,g,")


def test_a_manifest_saved_by_a_spreadsheet_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"{make.HEADER}\r\n1.jpg,real,lfw,ann,train\r\n", encoding="utf-8-sig", newline="")
    assert read_manifest(path).rows[0].group == "ann"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2.jpg,true,lfw,ben,train", r"row 4 .*label is 'true'.*Write one of real, fake"),
        ("2.jpg,Real,lfw,ben,train", r"row 4 .*label is 'Real'"),
        ("2.jpg,real,lfw,ben,training", r"row 4 .*split is 'training'.*Write one of train, val, test"),
        ("2.jpg,real,lfw,,train", r"row 4 .*it has no group"),
        (",real,lfw,ben,train", r"row 4 .*it has no path"),
        ("2.jpg,real", r"row 4 .*it has no source"),
        ("2.jpg,real,lfw,ben,train,what", r"row 4 .*more fields than the header"),
    ],
)
def test_an_error_in_a_manifest_names_the_row(row: str, words: str, tmp_path: Path) -> None:
    """Row 1 is the header, and empty rows count, as in a spreadsheet."""
    path = make.manifest(tmp_path, "1.jpg,real,lfw,ann,train", "", row)
    with pytest.raises(DataError, match=words) as error:
        read_manifest(path)
    assert str(path) in str(error.value)


def test_a_hash_that_is_none_is_refused(tmp_path: Path) -> None:
    path = make.manifest(tmp_path, f"1.jpg,real,s,g,{SHA[:-1]}", header="path,label,source,group,sha256")
    with pytest.raises(DataError, match=r"row 2 .*sha256 is 'abab.*64 hex digits"):
        read_manifest(path)


def test_a_manifest_without_a_column_says_which(tmp_path: Path) -> None:
    path = make.manifest(tmp_path, "1.jpg,real,ann", header="path,label,group")
    with pytest.raises(DataError, match=r"it has no column source"):
        read_manifest(path)
    path = make.manifest(tmp_path, "1.jpg,real,s,ann", header="path,label,source,group")
    with pytest.raises(DataError, match=r"it has no column split.*'fakelab data split' writes the splits"):
        read_for_training(path)


def test_a_row_without_a_split_is_refused_for_training_alone(tmp_path: Path) -> None:
    path = make.manifest(tmp_path, "1.jpg,real,s,ann,")
    assert read_manifest(path).rows[0].split == ""
    with pytest.raises(DataError, match=r"row 2 .*it has no split"):
        read_for_training(path)


def test_a_manifest_that_is_not_there_or_no_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)))
    with pytest.raises(DataError, match="cannot be"):
        read_manifest(tmp_path / "picture.jpg")
    (tmp_path / "words.parquet").write_text("words")
    with pytest.raises(DataError, match="cannot be read"):
        read_manifest(tmp_path / "words.parquet")


def test_an_empty_file_has_no_columns(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("")
    with pytest.raises(DataError, match="it has no column path, label, source, group"):
        read_manifest(tmp_path / "m.csv")


def test_a_parquet_table_is_read_whatever_types_it_has(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra 'train' is not installed")
    from pyarrow import parquet

    table = pa.table(
        {
            "path": ["1.jpg", "2.jpg"],
            "label": ["real", "fake"],
            "source": ["s", "s"],
            "group": [0, 7],
            "tight": [True, False],
            "split": pa.array([None, "val"], pa.string()),
            "age": [1.5, float("nan")],
        }
    )
    parquet.write_table(table, tmp_path / "m.parquet")
    rows = read_manifest(tmp_path / "m.parquet").rows
    assert [(row.group, row.tight, row.split, row.get("age")) for row in rows] == [
        ("0", True, "", "1.5"),
        ("7", False, "val", ""),
    ]
    write_manifest(rows, tmp_path / "again.parquet")
    assert read_manifest(tmp_path / "again.parquet").rows == rows


def test_writing_twice_gives_the_same_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    rows = [make.row("/data/a.mp4", sha256=SHA, tight=True), make.row("/data/b,c.mp4", "fake")]  # type: ignore[arg-type]
    write_manifest(rows, tmp_path / "m.csv")
    first = (tmp_path / "m.csv").read_bytes()
    write_manifest(rows, tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["m.csv"]


def test_a_folder_that_may_not_be_written_is_an_error_and_the_old_file_stays(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("a file, no folder")
    with pytest.raises(DataError, match=r"cannot be written.*Check space and rights"):
        write_manifest([make.row("a.mp4")], tmp_path / "in" / "m.csv")


def test_a_name_that_is_no_text_is_refused_with_the_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a name in it is no text: .*Rename that file"):
        write_manifest([make.row("/d/a\udcff.mp4")], tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()


texts = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"), max_size=8)
names = texts.filter(bool)


@given(
    rows=st.lists(
        st.builds(
            Row,
            path=st.builds(lambda name: Path("/data") / f"f{name}", names),
            label=st.sampled_from(LABELS),
            source=names,
            group=names,
            sha256=st.sampled_from(["", SHA]),
            forgery=texts,
            original=texts,
            split=st.sampled_from(["", *SPLITS]),
            licence=texts,
            tight=st.booleans(),
            more=st.builds(lambda text: (("note", text),), texts),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_is_read(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("m") / "m.csv"
    write_manifest(rows, path)
    read = read_manifest(path).rows
    assert [row.path.name for row in read] == [row.path.name for row in rows]
    for field in ("label", "source", "group", "sha256", "forgery", "original", "split", "licence", "tight", "more"):
        assert [getattr(row, field) for row in read] == [getattr(row, field) for row in rows], field


# -- leaks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [("train", "val"), ("train", "test"), ("val", "test")])
def test_a_person_who_is_in_two_splits_is_refused(first: str, second: str, tmp_path: Path) -> None:
    """The founding study left people of the validation set in training."""
    path = make.manifest(
        tmp_path, f"1.jpg,real,lfw,ann,{first}", "2.jpg,real,lfw,ben,train", f"3.jpg,fake,lfw,ann,{second}"
    )
    with pytest.raises(DataError, match=rf"leaks: row 4: group 'ann' of lfw is in {first} and in {second}"):
        read_for_training(path)


def test_a_file_that_is_in_two_splits_under_two_names_of_people_is_refused(tmp_path: Path) -> None:
    path = make.manifest(tmp_path, "1.jpg,real,lfw,ann,train", "./1.jpg,real,lfw,anna,test")
    with pytest.raises(DataError, match=r"leaks: row 3: the file 1.jpg is in train and in test"):
        read_for_training(path)


@pytest.mark.parametrize(
    ("column", "value", "words"), [("original", "clip7", "original 'clip7'"), ("sha256", SHA, SHA[:12])]
)
def test_an_original_or_a_copy_on_both_sides_is_refused(column: str, value: str, words: str) -> None:
    rows = [
        make.row("a.mp4", "real", "ann", split="train", **{column: value}),
        make.row("b.mp4", "fake", "ben", split="val", **{column: value}),
    ]
    with pytest.raises(DataError, match=rf"row 3: .*{words}"):
        refuse_leaks(rows, "m.csv")
    assert len(find_leaks(rows)) == 1


def test_people_of_two_sources_may_share_a_name(tmp_path: Path) -> None:
    path = make.manifest(tmp_path, "1.jpg,real,lfw,7,train", "2.jpg,real,utk,7,val")
    assert len(read_for_training(path).rows) == 2


def test_a_long_list_of_leaks_is_counted() -> None:
    rows = [make.row(f"{k}.mp4", group=f"g{k % 15}", split=("train", "val")[k // 15]) for k in range(30)]
    with pytest.raises(DataError, match="and 5 more"):
        refuse_leaks(rows, "m.csv")


def test_evaluation_reads_the_same_manifests(tmp_path: Path) -> None:
    path = make.manifest(tmp_path, "a/1.jpg,fake,s,g,x,8", header="path,label,source,group,forgery,age")
    assert read_list(path) == [
        {"path": str(tmp_path / "a/1.jpg"), "label": "fake", "source": "s", "group": "g", "forgery": "x", "age": "8"}
    ]
