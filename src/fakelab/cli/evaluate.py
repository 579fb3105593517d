"""``fakelab evaluate``: every file of a list through `analyze`, and the table that says how good the answers are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fakelab.cli.terminal import bar, make_app, one_of, safe, warn

app = make_app("Measure a model on files whose truth is known.")


@app.command()
def evaluate(
    files: Annotated[Path, typer.Argument(metavar="LIST", help="CSV of files: path, label, source, group, forgery.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Results, one JSON line a file; resumed if there. Needed without --report, whose folder holds them.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FOLDER", help="Write report.html, report.md and figures there.")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", metavar="COLUMN", help="Break the report down by this column; may be repeated."),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option("--compare", metavar="FILE", help="Results of another model on the same files, for the report."),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="Only the files of this split: train, val or test.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Model, or a folder with a card.")
    ] = None,
    voice_model: Annotated[
        str | None, typer.Option("--voice-model", metavar="NAME", help="Model of voices, or a folder with a card.")
    ] = None,
    picture_model: Annotated[
        str | None, typer.Option("--picture-model", metavar="NAME", help="Model of whole pictures, or a folder.")
    ] = None,
    finder: Annotated[str | None, typer.Option("--finder", metavar="NAME", help="Face finder.")] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector", metavar="NAME", help="What is measured: faces, voice or picture.  [default: a file's first]"
        ),
    ] = None,
    known: Annotated[
        list[Path] | None,
        typer.Option(
            "--known",
            metavar="FILE",
            help="known.npy of a run: files that show faces it was trained on are counted and told; may repeat.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", help="So many files at a time.", min=1)] = 1,
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="Heading of the table.")] = "",
) -> int:
    """Analyse every file of LIST and print a Markdown table: AUC with intervals, levels, forgeries, sources.

    With --report a page is written as well: ROC curve, reliability diagram, false alarms with upper bounds, each
    forgery and source (or the columns of --by) with intervals over files, and every file that failed. A LIST in which
    a person or an original is on both sides of a split is refused.
    """
    from fakelab.data.duplicates import read_known
    from fakelab.errors import UsageError
    from fakelab.evaluation.report import BY, write_report
    from fakelab.evaluation.run import DETECTORS, read_list, read_results, run
    from fakelab.evaluation.tables import table
    from fakelab.models.card import load_card
    from fakelab.settings import read_settings

    if out is None and report is None:
        raise UsageError("the results have no place", "", "Give --out FILE, --report FOLDER, or both.")
    if report is None and (by or compare):
        raise UsageError("--by and --compare have no use here", "they are for the report", "Give --report FOLDER.")
    if detector is not None:
        one_of("detector", detector, list(DETECTORS))
    rows = read_list(files, split)
    _refuse_unknown_columns(by or (), rows)
    # Read before the work of hours is done.
    if known:
        read_known(known)
    others = read_results(compare) if compare else None
    chosen = read_settings(model=model, voice_model=voice_model, picture_model=picture_model)
    used = {"voice": chosen.voice_model, "picture": chosen.picture_model}
    card = load_card(used.get(detector or "", chosen.model))
    notes = _notes(files, rows, card.training)
    for note in notes:
        warn(note)
    out = out or Path(report or ".") / "results.jsonl"
    with bar("Evaluating") as progress:
        results = run(
            rows,
            out,
            jobs=jobs,
            progress=lambda done, total: progress(f"{done} files", done, total),
            model=model,
            voice_model=voice_model,
            picture_model=picture_model,
            finder=finder,
            detector=detector,
            generated=True if detector == "picture" else None,
            known=tuple(str(path.resolve()) for path in known or ()),
        )
    title = title or safe(files.stem) + (f", {split}" if split else "")
    print(table(title, results))
    if report is not None:
        written = write_report(results, report, title=title, by=by or BY, others=others, card=card, notes=notes)
        print(f"The report is {safe(str(written[0]))}; in Markdown {safe(str(written[1]))}.")
    return 0


def _refuse_unknown_columns(columns: list[str] | tuple[()], rows: list[dict[str, str]]) -> None:
    known = sorted({name for row in rows for name in row} | {"kind", "container"})
    for column in columns:
        one_of("column", column, known)


def _notes(files: Path, rows: list[dict[str, str]], training: dict[str, object]) -> list[str]:
    """What a reader of the numbers must know first: files that the model learnt from or was chosen by."""
    from fakelab.data.manifest import read_manifest

    if training.get("manifest_sha256") != read_manifest(files).sha256:
        return []
    seen = [sum(row.get("split") == name for row in rows) for name in ("train", "val")]
    if not any(seen):
        return []
    return [
        f"These numbers flatter: the model was trained on {seen[0]} of these files and chosen by {seen[1]}."
        " Measure with --split test."
    ]
