"""Every file of a list through `fakelab.analyze`, one JSON line each, resumable: a file that failed is a line, too."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fakelab.analyze import analyze
from fakelab.data.manifest import COLUMNS, read_manifest
from fakelab.errors import FakeLabError


def read_list(path: Path) -> list[dict[str, str]]:
    """The rows of a manifest (see `data.manifest`), paths no longer relative to it. Raises DataError."""
    rows = []
    for row in read_manifest(path).rows:
        known = {name: str(getattr(row, name)) for name in COLUMNS if name != "tight"}
        rows.append({name: text for name, text in known.items() if text or name == "forgery"} | dict(row.more))
    return rows


def run(
    rows: list[dict[str, str]], out: Path, *, progress: Callable[[int, int], None] | None = None, **choices: Any
) -> list[dict[str, Any]]:
    """One result per row, appended to `out` (JSON lines) as soon as it is there; rows already in `out` are kept.

    `choices` go to `analyze`. A result holds the row, level, p_fake, the highest person's logit, the number of people
    counted, and what was measured; a file that could not be read has level not_analysable and the error's text.
    """
    done: dict[str, dict[str, Any]] = {}
    if out.is_file():
        for line in out.read_text(encoding="utf-8").splitlines():
            result = json.loads(line)
            done[result["path"]] = result
    out.parent.mkdir(parents=True, exist_ok=True)
    results = []
    with out.open("a", encoding="utf-8") as file:
        for number, row in enumerate(rows, start=1):
            result = done.get(row["path"]) or _one(row, choices)
            if row["path"] not in done:
                file.write(json.dumps(result) + "\n")
                file.flush()
            results.append({**result, **row})
            if progress:
                progress(number, len(rows))
    return results


def _one(row: dict[str, str], choices: dict[str, Any]) -> dict[str, Any]:
    try:
        analysis = analyze(row["path"], **choices)
    except FakeLabError as error:
        empty = {"level": "not_analysable", "p_fake": None, "reasons": [type(error).__name__], "logit": None}
        return {**row, **empty, "error": str(error), "people": 0, "measured": {}}
    finding = analysis.findings[0]
    judged = [each for each in finding.people if each.person == finding.decided_by]
    return {
        **row,
        "kind": analysis.file.kind.value,
        "level": analysis.verdict.level.value,
        "p_fake": analysis.verdict.p_fake,
        "reasons": [each.code for each in analysis.verdict.reasons],
        "logit": judged[0].logit if judged else None,
        "faces": len(judged[0].faces) if judged else 0,
        "people": int(finding.measured.get("people_judged", 0)),
        "tracks": len(finding.people),
        "measured": finding.measured,
        "suspicious": [asdict(each) for each in finding.suspicious],
        "seconds": analysis.timings["total_s"],
        "duration_s": analysis.file.duration_s,
    }
