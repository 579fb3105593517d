"""What becomes of the verdicts when files are compressed, shrunk and cut: one cell of a grid for each way.

Every copy is made in a temporary folder, goes through `analyze` as a user's file does, and is deleted. A verdict flips
where one of original and copy shows evidence and the other does not. Files are decoded to be copied in this very
process: a list of evaluation is trusted, as its labels are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from fakelab.errors import MediaError, UsageError
from fakelab.evaluation.document import Document, Figure, Section, Table
from fakelab.evaluation.metrics import auc, refuse_hard_predictions, with_interval
from fakelab.evaluation.plots import matrix_svg
from fakelab.evaluation.run import failed, measure, run
from fakelab.evaluation.tables import EVIDENCE, MIN_FILES, Result, arrays, worst_case
from fakelab.media.degrade import degraded_copy

CRFS, SCALES, CUTS = (23, 32, 40), (1.0, 0.5, 0.25), (0.0, 0.1)
ORIGINAL = "original"


@dataclass(frozen=True, slots=True)
class Cell:
    """One way to store a file: H.264's rate factor, the share of its size, the share cut off of width and height."""

    crf: int
    scale: float = 1.0
    cut: float = 0.0

    @property
    def name(self) -> str:
        return f"crf {self.crf}, scale {self.scale:g}, cut {self.cut:g}"


def read_cell(name: str) -> Cell:
    """The cell that a result's column `cell` names."""
    crf, scale, cut = (part.split()[1] for part in name.split(", "))
    return Cell(int(crf), float(scale), float(cut))


def grid(crfs: Sequence[int] = CRFS, scales: Sequence[float] = SCALES, cuts: Sequence[float] = CUTS) -> list[Cell]:
    """Every combination. Raises UsageError for what no copy can be made of."""
    if any(not 0 <= crf <= 51 for crf in crfs):
        raise UsageError("a rate factor is out of range", "H.264 knows 0 (best) to 51", "Give --crf 23, say.")
    if any(not 0 < scale <= 1 for scale in scales) or any(not 0 <= cut < 0.9 for cut in cuts):
        raise UsageError(
            "a copy cannot be made so", "a scale is above 0 and at most 1, a cut at least 0 and below .9", ""
        )
    return [Cell(*each) for each in product(dict.fromkeys(crfs), dict.fromkeys(scales), dict.fromkeys(cuts))]


def run_grid(
    rows: list[dict[str, str]],
    out: Path,
    cells: Sequence[Cell],
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
    **choices: Any,
) -> list[Result]:
    """The results of every file as it is and in every cell, resumable as `run` is; column `cell` says which."""
    names = [ORIGINAL, *(cell.name for cell in cells)]
    every = [{**row, "cell": name} for row in rows for name in names]
    return run(every, out, jobs=jobs, progress=progress, work=measure_copy, **choices)


def measure_copy(row: dict[str, str], choices: dict[str, Any]) -> Result:
    """The result of a row's file, copied as its cell says."""
    if row["cell"] == ORIGINAL:
        return measure(row, choices)
    cell = read_cell(row["cell"])
    try:
        with tempfile.TemporaryDirectory(prefix="fakelab-") as folder:
            copy = degraded_copy(Path(row["path"]), Path(folder), crf=cell.crf, scale=cell.scale, cut=cell.cut)
            return measure(row, choices, copy)
    except (OSError, ValueError, MediaError) as error:
        return failed(row, "no_copy", f"no copy could be made: {error}")


@dataclass(frozen=True, slots=True)
class CellSummary:
    """A cell's line of the table. Shares are of all files, flips of those that were analysed in both."""

    name: str
    files: int
    auc: str
    auc_value: float
    auc_worst_case: float
    flips: int
    flips_real: int
    compared: int
    evidence_real: int
    evidence_fake: int
    inconclusive: int
    not_analysable: int


def summarise(results: Sequence[Result], *, rounds: int = 1000) -> list[CellSummary]:
    """One line for the originals, then one a cell, in the order in which they came."""
    originals = {each["path"]: each for each in results if each["cell"] == ORIGINAL}
    lines = []
    for name in dict.fromkeys(each["cell"] for each in results):
        mine = [each for each in results if each["cell"] == name]
        scored = [each for each in mine if each["p_fake"] is not None]
        value, worst, words = float("nan"), float("nan"), "not measured"
        if min(sum(each["label"] == label for each in scored) for label in ("real", "fake")) >= MIN_FILES:
            p, fake, groups = arrays(scored)
            refuse_hard_predictions(p)
            found = with_interval(auc, p, fake, groups, rounds=rounds)
            value, words = found.value, str(found)
            worst = auc(*arrays(worst_case(mine))[:2])
        pairs = [(originals[each["path"]], each) for each in scored if each["path"] in originals]
        pairs = [(before, after) for before, after in pairs if before["p_fake"] is not None]
        flipped = [after for before, after in pairs if (before["level"] in EVIDENCE) != (after["level"] in EVIDENCE)]
        evidence = [each["label"] for each in mine if each["level"] in EVIDENCE]
        lines.append(
            CellSummary(
                name,
                len(mine),
                words,
                value,
                worst,
                len(flipped),
                sum(each["label"] == "real" for each in flipped),
                len(pairs),
                evidence.count("real"),
                evidence.count("fake"),
                sum(each["level"] == "inconclusive" for each in mine),
                len(mine) - len(scored),
            )
        )
    return lines


def robustness_document(title: str, results: Sequence[Result], *, rounds: int = 1000) -> Document:
    """The table over the cells, the AUCs as a figure, and what could not be analysed."""
    lines = summarise(results, rounds=rounds)
    reals = len({each["path"] for each in results if each["label"] == "real"})
    fakes = len({each["path"] for each in results if each["label"] == "fake"})
    rows = tuple(
        (
            each.name,
            each.auc,
            f"{each.auc_worst_case:.3f}" if np.isfinite(each.auc_worst_case) else "-",
            f"{_share(each.flips, each.compared)}, {each.flips_real} real",
            _share(each.evidence_real, reals),
            _share(each.evidence_fake, fakes),
            _share(each.inconclusive, each.files),
            _share(each.not_analysable, each.files),
        )
        for each in lines
    )
    columns = (
        "stored as",
        "AUC",
        "worst-case",
        "verdicts that flip",
        "real at evidence",
        "fake at evidence",
        "inconclusive",
        "not analysable",
    )
    made_by = sorted({each["made_by"] for each in results if each.get("made_by")})
    words = (
        f"{reals} real and {fakes} fake files, each copied in {len(lines) - 1} ways and put through fakelab analyze."
        f" Made by {', '.join(made_by) or 'nothing: no file was scored'}.",
        "crf is H.264's rate factor (photos: a JPEG of about the same loss), scale the share of width and height, cut"
        " the share of both that is cut off. A verdict flips where one of original and copy shows evidence and the"
        " other does not; shares are of the files analysed in both. Worst-case counts a file that could not be"
        " analysed as wrong.",
    )
    sections = [Section("Robustness", words, (Table(columns, rows),), _figure(lines))]
    lost = [each for each in results if each["p_fake"] is None]
    if lost:
        listed = tuple(
            (Path(each["path"]).name, each["cell"], str(each.get("error") or ", ".join(each["reasons"])))
            for each in lost
        )
        sections.append(Section("Not analysable", (), (Table(("file", "stored as", "why"), listed),)))
    return Document(title, tuple(sections))


def _figure(lines: Sequence[CellSummary]) -> tuple[Figure, ...]:
    values = {read_cell(each.name): each.auc_value for each in lines if each.name != ORIGINAL}
    if not any(np.isfinite(value) for value in values.values()):
        return ()
    down = list(dict.fromkeys((cell.crf, cell.cut) for cell in values))
    across = list(dict.fromkeys(cell.scale for cell in values))
    cells = [[values.get(Cell(crf, scale, cut), float("nan")) for scale in across] for crf, cut in down]
    names = [f"crf {crf}, cut {cut:g}" for crf, cut in down]
    svg = matrix_svg(names, [f"scale {scale:g}" for scale in across], cells, "AUC by compression, size and cut")
    return (Figure("robustness", "AUC in each cell; darker is better.", svg),)


def _share(count: int, total: int) -> str:
    return f"{count} ({100 * count / total:.0f} %)" if total else "-"
