"""Every file of a list through `fakelab.analyze`, one JSON line each, resumable: a file that failed is a line, too."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from fakelab.analyze import analyze
from fakelab.data.manifest import COLUMNS, read_manifest
from fakelab.errors import MediaError, UsageError
from fakelab.records import Analysis

LOOKS = ("finder", "thorough", "every_s")
"""Settings that change what is measured."""


def read_list(path: Path) -> list[dict[str, str]]:
    """The rows of a manifest (see `data.manifest`), paths no longer relative to it. Raises DataError."""
    rows = []
    for row in read_manifest(path).rows:
        known = {name: str(getattr(row, name)) for name in COLUMNS if name != "tight"}
        rows.append({name: text for name, text in known.items() if text or name == "forgery"} | dict(row.more))
    return rows


def run(
    rows: list[dict[str, str]],
    out: Path,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
    **choices: Any,
) -> list[dict[str, Any]]:
    """One result per row, appended to `out` (JSON lines) as soon as it is there; rows already in `out` are kept.

    `jobs` processes share the work, one thread each where there are several. `choices` go to `analyze`. A result holds
    the row, level, p_fake, the highest person's logit and those of its faces, the number of people counted, what was
    measured, and the model with its hash; a file that could not be read has level not_analysable and the error's text.

    Raises UsageError when `out` holds results of another model or of other settings: they must not be mixed.
    """
    done = {each["path"]: each for each in read_results(out)} if out.is_file() else {}
    made_by = next((each["made_by"] for each in done.values() if each.get("made_by")), None)
    todo = [row for row in rows if row["path"] not in done]
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file:
        # A line that was cut off while it was written is done again.
        file.truncate(_whole(out.read_bytes()))
        for number, result in enumerate(_results(todo, choices, jobs), start=len(rows) - len(todo) + 1):
            made_by = made_by or result["made_by"]
            if result["made_by"] not in (None, made_by):
                raise UsageError(
                    f"'{out}' holds other results",
                    f"they were made by {made_by}, not by {result['made_by']}",
                    "Choose another file.",
                )
            file.write(json.dumps(result) + "\n")
            file.flush()
            done[result["path"]] = result
            if progress:
                progress(number, len(rows))
    # The list says what a file is, also where it was mended after the file was analysed.
    return [{**done[row["path"]], **row} for row in rows]


def read_results(path: Path) -> list[dict[str, Any]]:
    """The results in a file that `run` wrote, without a last line that was cut off. Raises UsageError."""
    try:
        data = path.read_bytes()
        results: list[dict[str, Any]] = [json.loads(line) for line in data[: _whole(data)].splitlines()]
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the results {path} cannot be read", str(error), "Make them with `fakelab evaluate`."
        ) from error
    return results


def _whole(data: bytes) -> int:
    """How many bytes of a file of lines are whole lines."""
    return data.rfind(b"\n") + 1


def _results(rows: list[dict[str, str]], choices: dict[str, Any], jobs: int) -> Iterator[dict[str, Any]]:
    work = partial(_one, choices=choices)
    if jobs < 2 or len(rows) < 2:
        yield from map(work, rows)
        return
    # Spawned, not forked: a worker loads decoder and network itself.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_one_thread) as pool:
        yield from pool.map(work, rows)


def _one_thread() -> None:
    os.environ["FAKELAB_THREADS"] = "1"


def _one(row: dict[str, str], choices: dict[str, Any]) -> dict[str, Any]:
    try:
        analysis = analyze(row["path"], **choices)
    except MediaError as error:
        empty = {"level": "not_analysable", "p_fake": None, "reasons": [type(error).__name__], "logit": None}
        return {**row, **empty, "error": str(error), "people": 0, "measured": {}, "made_by": None}
    finding = analysis.findings[0]
    judged = [each for each in finding.people if each.person == finding.decided_by]
    return {
        **row,
        "kind": analysis.file.kind.value,
        # The detector's own answer: what a file declares of itself is no merit of the model that is measured.
        "level": finding.level.value,
        "p_fake": finding.p_fake,
        "reasons": [each.code for each in finding.reasons],
        "logit": judged[0].logit if judged else None,
        "faces": [[round(each.time_s, 3), round(each.logit, 4)] for each in judged[0].faces] if judged else [],
        "people": int(finding.measured.get("people_judged", 0)),
        "tracks": len(finding.people),
        "measured": finding.measured,
        "suspicious": [asdict(each) for each in finding.suspicious],
        "seconds": analysis.timings["total_s"],
        "duration_s": analysis.file.duration_s,
        "container": analysis.file.container,
        "made_by": _made_by(analysis),
    }


def _made_by(analysis: Analysis) -> str:
    """What must be the same in all results that are compared: the model's file, and how the media was looked at."""
    models = [f"{each['name']} {each['version']} {each['sha256'][:12]}" for each in analysis.models]
    looked = [f"{name} {analysis.settings[name]}" for name in LOOKS if analysis.settings.get(name) is not None]
    return ", ".join(models + looked)
