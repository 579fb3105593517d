from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
import set_maker as make
from hypothesis import given, settings
from hypothesis import strategies as st

from fakelab.data.manifest import SPLITS, Row, find_leaks
from fakelab.data.split import fold_rows, refuse_apart, split_rows, tied_by, units_of
from fakelab.errors import DataError, UnknownNameError

few = st.sampled_from(["", "a", "b", "c", "d", "e"])
tables = st.lists(
    st.builds(
        lambda number, label, source, group, original, sha, split: Row(
            Path(f"/d/{number}.mp4"), label, source, group, sha256=sha * 64, original=original, split=split
        ),
        st.integers(0, 60),
        st.sampled_from(["real", "fake"]),
        st.sampled_from(["s", "t"]),
        st.sampled_from("abcdefghijklmnopqrstuvwxyz"),
        few,
        few,
        st.sampled_from(["", *SPLITS]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150)
@given(tables, st.integers(0, 5), st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=3))
def test_no_split_ever_leaks(rows: list[Row], seed: int, tied: list[tuple[int, int]]) -> None:
    tied = [(a % len(rows), b % len(rows)) for a, b in tied]
    units = units_of(rows, tied)
    if len(units) < 3:
        with pytest.raises(DataError, match="nothing is left for"):
            split_rows(rows, seed=seed, tied=tied)
        return
    done = split_rows(rows, seed=seed, tied=tied)
    assert find_leaks(done) == []
    assert all(done[a].split == done[b].split for a, b in tied)
    assert {row.split for row in done} == set(SPLITS)
    assert done == split_rows(rows, seed=seed, tied=tied)
    assert [dataclasses.replace(row, split="") for row in done] == [dataclasses.replace(row, split="") for row in rows]


@settings(max_examples=100)
@given(tables, st.integers(0, 3))
def test_splits_that_are_kept_stay_or_are_refused(rows: list[Row], seed: int) -> None:
    problem, done = "", rows
    try:
        done = split_rows(rows, (1, 0, 0), seed, keep=True)
    except DataError as error:
        problem = str(error)
    if problem:
        assert "cannot be kept" in problem or "nothing is left" in problem
        return
    assert find_leaks(done) == []
    assert all(new.split == old.split for old, new in zip(rows, done, strict=True) if old.split)


@settings(max_examples=60)
@given(tables, st.integers(2, 5))
def test_folds_keep_units_whole_and_leave_splits_alone(rows: list[Row], folds: int) -> None:
    units = units_of(rows)
    if len(units) < folds:
        with pytest.raises(DataError, match="folds cannot be made"):
            fold_rows(rows, folds)
        return
    done = fold_rows(rows, folds)
    assert all(len({done[n].get("fold") for n in unit}) == 1 for unit in units)
    assert {row.get("fold") for row in done} == {str(k) for k in range(folds)}
    assert [row.split for row in done] == [row.split for row in rows]


def many(people: int = 200) -> list[Row]:
    """Two sources; a person of the second has one real file and two fakes."""
    one = [make.row(f"/a/{k}.mp4", "real", f"p{k}", source="a") for k in range(people)]
    two = [
        make.row(f"/b/{k}_{n}.mp4", label, f"q{k}", source="b")
        for k in range(people)
        for n, label in enumerate(("real", "fake", "fake"))
    ]
    return one + two


def test_labels_and_sources_get_their_shares() -> None:
    rows = split_rows(many(), (0.7, 0.15, 0.15), seed=3)
    found = Counter((row.label, row.source, row.split) for row in rows)
    for label, source, count in (("real", "a", 200), ("real", "b", 200), ("fake", "b", 400)):
        for split, share in zip(SPLITS, (0.7, 0.15, 0.15), strict=True):
            assert found[label, source, split] == pytest.approx(share * count, abs=3), (label, source, split)


def test_the_seed_decides() -> None:
    first, again, other = (split_rows(many(30), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_share_of_nothing_is_no_split() -> None:
    rows = split_rows(many(20), (0.8, 0.2, 0), seed=0)
    assert {row.split for row in rows} == {"train", "val"}


@pytest.mark.parametrize("shares", [(0.7, 0.3), (1, -1, 1), (0, 0, 0), (float("nan"), 1, 1)])
def test_shares_that_are_none_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="cannot be used"):
        split_rows(many(5), shares)


def test_a_fake_stays_with_its_original_and_a_copy_with_its_twin() -> None:
    rows = [
        make.row("r.mp4", group="ann", original="r"),
        make.row("f.mp4", "fake", "ben", original="r"),
        make.row("copy.mp4", group="cem", sha256="c" * 64),
        make.row("twin.mp4", group="dan", sha256="c" * 64, source="other"),
        *[make.row(f"{k}.mp4", group=f"g{k}") for k in range(8)],
    ]
    for seed in range(10):
        done = split_rows(rows, (1, 1, 1), seed)
        assert done[0].split == done[1].split
        assert done[2].split == done[3].split


def test_an_official_split_is_kept_and_draws_its_people_along() -> None:
    rows = [
        make.row("t.mp4", group="ann", split="test"),
        make.row("more_of_ann.mp4", group="ann"),
        *[make.row(f"{k}.mp4", group=f"g{k}") for k in range(10)],
    ]
    done = split_rows(rows, (0.8, 0.2, 0), keep=True)
    assert make.splits(done)["test"] == {"t.mp4", "more_of_ann.mp4"}
    assert len(make.splits(done)["train"]) == 8


def test_a_kept_leak_is_refused_with_its_rows() -> None:
    rows = [make.row("t.mp4", group="ann", split="test"), make.row("u.mp4", group="ann", split="train")]
    with pytest.raises(DataError, match=r"row 3 \(u.mp4\) is in train; row 2 \(t.mp4\) is in test.*without --keep"):
        split_rows(rows, keep=True)


def families(*names: str) -> list[Row]:
    return [make.row(f"/d/{k}.png", group=f"g{k}").with_column("family", name) for k, name in enumerate(names)]


def test_what_shares_a_column_stays_together_and_what_has_none_is_free() -> None:
    rows = families("gan", "", "gan", "flux", "", "flux", "", "", "gan", "")
    tied = tied_by(rows, "family")
    assert sorted(tied) == [(0, 2), (0, 8), (3, 5)]
    split = split_rows(rows, (0.5, 0.25, 0.25), seed=1, tied=tied)
    for name in ("gan", "flux"):
        assert len({row.split for row in split if row.get("family") == name}) == 1
    refuse_apart([row.split for row in split], tied, "family")
    assert len({row.split for row in split}) == 3


def test_a_column_that_is_on_two_sides_is_listed_and_an_empty_side_is_none() -> None:
    tied = tied_by(families("a", "a", "b", "a"), "family")
    with pytest.raises(DataError, match=r"'family' is the same on two sides: rows 2 \(train\) and 3 \(test\)"):
        refuse_apart(["train", "test", "val", ""], tied, "family")
    with pytest.raises(DataError, match=r"rows 3 \(train\) and 5 \(test\)"):
        refuse_apart(["", "train", "val", "test"], tied, "family")
    refuse_apart(["", "train", "val", "train"], tied, "family")


def test_a_column_that_nobody_has_or_fills_in_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="family"):
        tied_by(families("a"), "familiy")
    with pytest.raises(UnknownNameError):
        tied_by(families("a"), "tight")
    with pytest.raises(DataError, match="empty in every row"):
        tied_by(families("", ""), "family")
    assert tied_by([make.row("/d/1.png", licence="MIT"), make.row("/d/2.png", licence="MIT")], "licence") == [(0, 1)]
