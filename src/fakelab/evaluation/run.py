"""Every file of a list through `fakelab.analyze`, one JSON line each, resumable: a file that failed is a line, too."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from fakelab.analyze import analyze
from fakelab.data.manifest import COLUMNS, SPLITS, read_manifest, refuse_leaks
from fakelab.errors import MediaError, UsageError, unknown_name
from fakelab.evaluation import known
from fakelab.models.card import load_card
from fakelab.records import Analysis, Finding

LOOKS = ("finder", "thorough", "every_s", "stability")
"""Settings that change what is measured."""

DETECTORS = {
    "faces": ("face_video", "face_photo"),
    "voice": ("voice",),
    "picture": ("generated_photo",),
}
"""What may be asked to be measured -> the findings of an analysis that answer it."""

OURS = ("detector", "known")
"""Choices that are not `analyze`'s."""

Work = Callable[[dict[str, str], dict[str, Any]], dict[str, Any]]
"""A row and the choices for `analyze` -> the row's result."""


def read_list(path: Path, split: str | None = None) -> list[dict[str, str]]:
    """The rows of a manifest (see `data.manifest`), paths no longer relative to it; of one `split` alone if given.

    Raises DataError, also where a person, an original or a file is on both sides of a split: what was chosen on one
    side would be measured on the other. Raises UnknownNameError for a split, UsageError where it holds no file.
    """
    if split is not None and split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    listed = read_manifest(path).rows
    refuse_leaks(listed, str(path))
    rows = []
    for row in listed if split is None else [each for each in listed if each.split == split]:
        known = {name: str(getattr(row, name)) for name in COLUMNS if name != "tight"}
        rows.append({name: text for name, text in known.items() if text or name == "forgery"} | dict(row.more))
    if split is not None and not rows:
        raise UsageError(f"{path} has no file in '{split}'", "", "'fakelab data split' writes the splits.")
    return rows


def run(
    rows: list[dict[str, str]],
    out: Path,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
    work: Work | None = None,
    **choices: Any,
) -> list[dict[str, Any]]:
    """One result per row, appended to `out` (JSON lines) as soon as it is there; rows already in `out` are kept.

    `jobs` processes share the work, one thread each where there are several. `choices` go to `analyze`. A result holds
    the row, level, p_fake, the highest person's logit and those of its faces, the number of people counted, what was
    measured, and the model with its hash; a file that could not be read has level not_analysable and the error's text.
    So has a file about which the `detector` that was asked for (one of `DETECTORS`) says nothing.
    With `known` among the choices, files of hashes that training left, a result also says how near its faces are to
    those (`evaluation.known`).
    `work` makes the result of a row, `measure` unless told otherwise; rows of one file differ in their column `cell`.

    Raises UsageError when `out` holds results of another model or of other settings: they must not be mixed. Photos and
    recordings in one list are answered by detectors of their own, each of which must stay the same.
    """
    done = {_key(each): each for each in read_results(out)} if out.is_file() else {}
    if choices.get("known") and any(known.FIELD not in each for each in done.values()):
        raise UsageError(
            f"'{out}' holds other results", "they were made without --known", "Choose another file for the results."
        )
    makers = {_detector_of(each): each["made_by"] for each in done.values() if each.get("made_by")}
    todo = [row for row in rows if _key(row) not in done]
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file:
        # A line that was cut off while it was written is done again.
        file.truncate(_whole(out.read_bytes()))
        for number, result in enumerate(
            _results(todo, partial(_with, work or measure, choices), jobs), start=len(rows) - len(todo) + 1
        ):
            made_by = result["made_by"] and makers.setdefault(_detector_of(result), result["made_by"])
            if result["made_by"] != made_by:
                raise UsageError(
                    f"'{out}' holds other results",
                    f"they were made by {made_by}, not by {result['made_by']}",
                    "Choose another file.",
                )
            file.write(json.dumps(result) + "\n")
            file.flush()
            done[_key(result)] = result
            if progress:
                progress(number, len(rows))
    # The list says what a file is, also where it was mended after the file was analysed.
    return [{**done[_key(row)], **row} for row in rows]


def _detector_of(result: Mapping[str, Any]) -> str:
    """Whose answer a result is; results of earlier versions say the kind of the file alone."""
    kind = str(result.get("kind", ""))
    return str(result.get("detector") or ("voice" if kind == "audio" else f"face_{kind}"))


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["path"], row.get("cell", "")


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


def _results(
    rows: list[dict[str, str]], work: Callable[[dict[str, str]], dict[str, Any]], jobs: int
) -> Iterator[dict[str, Any]]:
    if jobs < 2 or len(rows) < 2:
        yield from map(work, rows)
        return
    # Spawned, not forked: a worker loads decoder and network itself.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_one_thread) as pool:
        yield from pool.map(work, rows)


def _with(work: Work, choices: dict[str, Any], row: dict[str, str]) -> dict[str, Any]:
    return work(row, choices)


def _one_thread() -> None:
    os.environ["FAKELAB_THREADS"] = "1"


def measure(row: dict[str, str], choices: dict[str, Any], path: Path | None = None) -> dict[str, Any]:
    """The result of one row: its file, or the copy of it at `path`, through `analyze`.

    `detector` among the choices, one of `DETECTORS`, says whose finding counts; without it the file's first one does.
    """
    detector = choices.get("detector")
    hashes = choices.get("known") or ()
    beside: dict[str, Any] = {known.FIELD: None} if hashes else {}
    try:
        analysis = analyze(path or row["path"], **{name: value for name, value in choices.items() if name not in OURS})
    except MediaError as error:
        return failed(row, type(error).__name__, str(error)) | beside
    if hashes and analysis.findings:
        beside = {known.FIELD: known.nearest(analysis.findings[0], hashes)}
    return _result(row, analysis, detector) | beside


def failed(row: dict[str, str], reason: str, error: str) -> dict[str, Any]:
    """The result of a row that could not be analysed."""
    empty = {"level": "not_analysable", "p_fake": None, "reasons": [reason], "logit": None}
    return {**row, **empty, "error": error, "people": 0, "measured": {}, "made_by": None}


def _result(row: dict[str, str], analysis: Analysis, detector: str | None = None) -> dict[str, Any]:
    answers = DETECTORS[detector] if detector else (analysis.findings[0].detector,)
    finding = next((each for each in analysis.findings if each.detector in answers), None)
    if finding is None:
        return failed(row, "no_detector", f"no finding of '{detector}' for a file of this kind")
    judged = [each for each in finding.people if each.person == finding.decided_by]
    return {
        **row,
        "kind": analysis.file.kind.value,
        "detector": finding.detector,
        # The detector's own answer: what a file declares of itself is no merit of the model that is measured.
        "level": finding.level.value,
        "p_fake": finding.p_fake,
        "reasons": [each.code for each in finding.reasons],
        "logit": judged[0].logit if judged else finding.measured.get("logit", _heard(finding)),
        "faces": [[round(each.time_s, 3), round(each.logit, 4)] for each in judged[0].faces] if judged else [],
        "people": int(finding.measured.get("people_judged", 0)),
        "tracks": len(finding.people),
        "frames": finding.frames_sampled,
        "measured": finding.measured,
        "suspicious": [asdict(each) for each in finding.suspicious],
        "seconds": analysis.timings["total_s"],
        "duration_s": analysis.file.duration_s,
        "container": analysis.file.container,
        "made_by": _made_by(analysis, finding.model, detector),
    }


def _heard(finding: Finding) -> float | None:
    """The mean logit of the windows that hold speech."""
    logits = [each.logit for each in finding.windows if each.logit is not None]
    return sum(logits) / len(logits) if logits else None


def _made_by(analysis: Analysis, model: str | None, detector: str | None) -> str:
    """What must be the same in all results that are compared: the model's file, and how the media was looked at.

    Of the file's models only the one that gave the answer: whether a clip has sound, too, changes nothing here.
    """
    # A model may have been asked for by its folder; the analysis names it as its card does.
    name = None if model is None else load_card(model).name
    used = [each for each in analysis.models if name in (None, each["name"])]
    models = [f"{each['name']} {each['version']} {each['sha256'][:12]}" for each in used]
    looked = [f"{name} {analysis.settings[name]}" for name in LOOKS if analysis.settings.get(name) is not None]
    return ", ".join(models + looked + ([f"detector {detector}"] if detector else []))
