"""Which files train, which choose, which test: by identity and original, never by file.

Rows that share a group or an original (inside a source), a SHA-256, a path, a cluster of faces, or that were found to
be near duplicates, are one unit. Units are dealt to the splits, the largest first, each to where labels and sources
are furthest from their shares; the seed decides among units of one size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fakelab.data.manifest import COLUMNS, SPLITS, Row, ties
from fakelab.data.ties import components
from fakelab.errors import DataError, unknown_name

Pair = tuple[int, int]


def split_rows(
    rows: Sequence[Row],
    shares: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    *,
    keep: bool = False,
    tied: Iterable[Pair] = (),
) -> list[Row]:
    """The rows with their splits set: `shares` of train, val and test, labels and sources alike as far as units allow.

    With `keep` a row that has a split keeps it, and its unit follows. `tied` names rows, from 0, that belong together
    for other reasons. Raises DataError where shares do not fit, units are too few, or kept splits leak.
    """
    wanted = _shares(shares, len(SPLITS))
    units = units_of(rows, tied)
    fixed = [_kept(rows, unit) if keep else None for unit in units]
    dealt = _deal(units, fixed, _strata(rows), wanted, seed)
    used = set(dealt)
    for k, share in enumerate(wanted):
        if share > 0 and k not in used:
            raise DataError(
                f"nothing is left for {SPLITS[k]}",
                f"the {len(rows)} files form {len(units)} unit{'s' * (len(units) != 1)} of people and originals that"
                " must stay together",
                "Add files of other people, or give fewer splits a share.",
            )
    chosen = {number: SPLITS[k] for unit, k in zip(units, dealt, strict=True) for number in unit}
    return [dataclasses.replace(row, split=chosen[number]) for number, row in enumerate(rows)]


def fold_rows(rows: Sequence[Row], folds: int, seed: int = 0, *, tied: Iterable[Pair] = ()) -> list[Row]:
    """The rows with a column `fold`, 0 to `folds` - 1: units stay whole, labels and sources are spread alike.

    The split column stays as it is. Raises DataError where there are fewer units than folds.
    """
    units = units_of(rows, tied)
    if not 2 <= folds <= len(units):
        raise DataError(
            f"{folds} folds cannot be made",
            f"the files form {len(units)} units of people and originals that must stay together",
            "Give a number of folds from 2 up to that.",
        )
    dealt = _deal(units, [None] * len(units), _strata(rows), [1 / folds] * folds, seed)
    chosen = {number: str(k) for unit, k in zip(units, dealt, strict=True) for number in unit}
    return [row.with_column("fold", chosen[number]) for number, row in enumerate(rows)]


def tied_by(rows: Sequence[Row], column: str) -> list[Pair]:
    """Pairs that hold rows together whose `column` says the same; rows in which it is empty stay free.

    Raises UnknownNameError for a column that the rows lack, DataError for one that is empty in all of them.
    """
    texts = [name for name in COLUMNS if name not in ("path", "tight")]
    columns = [*texts, *sorted({name for row in rows for name, _ in row.more})]
    if column not in columns:
        raise unknown_name("column", column, columns)
    first_of: dict[str, int] = {}
    tied = []
    for number, row in enumerate(rows):
        value = str(getattr(row, column)) if column in texts else row.get(column)
        if value and first_of.setdefault(value, number) != number:
            tied.append((first_of[value], number))
    if not first_of:
        raise DataError(f"the column '{column}' holds nothing together", "it is empty in every row", "Fill it in.")
    return tied


def refuse_apart(sides: Sequence[str], tied: Iterable[Pair], column: str) -> None:
    """Nothing, or a DataError that lists rows on two sides that `tied` holds together; an empty side is none."""
    apart = []
    for unit in components(_with_ties([[] for _ in sides], tied)):
        placed = [number for number in unit if sides[number]]
        apart += [(placed[0], each) for each in placed if sides[each] != sides[placed[0]]]
    if apart:
        lines = "; ".join(f"rows {a + 2} ({sides[a]}) and {b + 2} ({sides[b]})" for a, b in apart[:10])
        rest = f"; and {len(apart) - 10} more" if len(apart) > 10 else ""
        raise DataError(f"'{column}' is the same on two sides", lines + rest, "Split anew with --together.")


def units_of(rows: Sequence[Row], tied: Iterable[Pair] = ()) -> list[list[int]]:
    """Positions of rows that must stay in one split, one list for each unit, in the order of their first rows."""
    keys: list[list[object]] = [[(kind, key) for kind, key, _ in ties(row)] for row in rows]
    return components(_with_ties(keys, tied))


def _with_ties(keys: list[list[object]], tied: Iterable[Pair]) -> list[list[object]]:
    """The rows' keys, with one more for both rows of each pair."""
    for number, (a, b) in enumerate(tied):
        keys[a].append(("tied", number))
        keys[b].append(("tied", number))
    return keys


def _shares(shares: Sequence[float], count: int) -> list[float]:
    total = sum(shares)
    if len(shares) != count or any(not 0 <= share < float("inf") for share in shares) or total <= 0:
        raise DataError(
            f"the shares {' '.join(f'{share:g}' for share in shares)} cannot be used",
            "",
            f"Give {count} numbers, none below 0, for {', '.join(SPLITS)}: .7 .15 .15",
        )
    return [share / total for share in shares]


def _kept(rows: Sequence[Row], unit: list[int]) -> int | None:
    """The split that the rows of a unit have already, or None. Raises DataError when they have several."""
    found = sorted({rows[number].split for number in unit if rows[number].split}, key=SPLITS.index)
    if len(found) > 1:
        examples = [next(n for n in unit if rows[n].split == split) for split in found]
        raise DataError(
            "the splits that are there cannot be kept",
            "; ".join(f"row {n + 2} ({rows[n].path.name}) is in {rows[n].split}" for n in examples)
            + ", and both belong together: one person, original, or value of a column",
            "Mend these rows, or split anew without --keep.",
        )
    return SPLITS.index(found[0]) if found else None


def _strata(rows: Sequence[Row]) -> NDArray[np.float64]:
    """(rows, strata) one 1 in each line: the label and the source of the row."""
    names = sorted({(row.label, row.source) for row in rows})
    place = {name: k for k, name in enumerate(names)}
    table = np.zeros((len(rows), len(names)))
    for number, row in enumerate(rows):
        table[number, place[row.label, row.source]] = 1
    return table


def _deal(
    units: Sequence[list[int]],
    fixed: Sequence[int | None],
    strata: NDArray[np.float64],
    shares: Sequence[float],
    seed: int,
) -> list[int]:
    """For each unit the number of its side. Every side with a share gets a unit, where there are enough."""
    counts = np.stack([strata[unit].sum(axis=0) for unit in units]) if units else np.zeros((0, strata.shape[1]))
    total = np.maximum(counts.sum(axis=0), 1)
    # What is kept on a side that has no share is no part of what the shares divide.
    shared = [side is None or shares[side] > 0 for side in fixed]
    missing = np.outer(shares, counts[shared].sum(axis=0))
    dealt = [-1 if side is None else side for side in fixed]
    for number, side in enumerate(dealt):
        if side >= 0:
            missing[side] -= counts[number]
    # Shuffled, then sorted by size: the sort is stable, so the seed decides among equals.
    order = np.random.default_rng(seed).permutation(len(units))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")] if len(units) else order
    open_sides = [k for k, share in enumerate(shares) if share > 0]
    for number in order:
        if dealt[number] < 0:
            # The side that lacks most of what this unit has, each stratum as a share of its own total.
            lack = [float((counts[number] * missing[k] / total).sum()) for k in open_sides]
            side = open_sides[int(np.argmax(lack))]
            dealt[number] = side
            missing[side] -= counts[number]
    _fill_empty(dealt, fixed, counts, open_sides)
    return dealt


def _fill_empty(
    dealt: list[int], fixed: Sequence[int | None], counts: NDArray[np.float64], open_sides: Sequence[int]
) -> None:
    """Gives each empty side the smallest unit of the side that has most of them."""
    for side in open_sides:
        if side in dealt:
            continue
        sizes = {k: dealt.count(k) for k in open_sides}
        free = [n for n, k in enumerate(dealt) if fixed[n] is None and sizes.get(k, 0) > 1]
        if free:
            dealt[min(free, key=lambda n: (-sizes[dealt[n]], counts[n].sum(), n))] = side
