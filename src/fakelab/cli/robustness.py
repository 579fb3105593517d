"""``fakelab robustness``: what becomes of the verdicts when files are compressed, shrunk and cut."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fakelab.cli.terminal import bar, make_app, safe

app = make_app("Measure a model on degraded copies of files whose truth is known.")


@app.command()
def robustness(
    files: Annotated[Path, typer.Argument(metavar="LIST", help="CSV of files: path, label, source, group, forgery.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Results, one JSON line a file and copy; resumed if there. Needed without --report.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FOLDER", help="Write robustness.html, robustness.md and a figure there."),
    ] = None,
    crf: Annotated[
        list[int] | None, typer.Option("--crf", metavar="N", help="H.264 rate factors. [default: 23, 32, 40]")
    ] = None,
    scale: Annotated[
        list[float] | None, typer.Option("--scale", metavar="SHARE", help="Sizes. [default: 1, .5, .25]")
    ] = None,
    cut: Annotated[
        list[float] | None, typer.Option("--cut", metavar="SHARE", help="What is cut off. [default: 0, .1]")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="Only the files of this split: train, val or test.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Model, or a folder with a card.")
    ] = None,
    finder: Annotated[str | None, typer.Option("--finder", metavar="NAME", help="Face finder.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", help="So many files at a time.", min=1)] = 1,
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="Heading of the table.")] = "",
) -> int:
    """Analyse every file of LIST and copies of it, and print a table: AUC, verdicts that flip, not analysable.

    Copies are made in a temporary folder for every --crf with every --scale and every --cut (each may be repeated), in
    this process and unconfined: only for files that you trust.
    """
    from fakelab.errors import UsageError
    from fakelab.evaluation.document import as_markdown, write_document
    from fakelab.evaluation.robustness import CRFS, CUTS, SCALES, grid, robustness_document, run_grid
    from fakelab.evaluation.run import read_list

    if out is None and report is None:
        raise UsageError("the results have no place", "", "Give --out FILE, --report FOLDER, or both.")
    cells = grid(crf or CRFS, scale or SCALES, cut or CUTS)
    rows = read_list(files, split)
    with bar("Robustness") as progress:
        results = run_grid(
            rows,
            out or Path(report or ".") / "robustness.jsonl",
            cells,
            jobs=jobs,
            progress=lambda done, total: progress(f"{done} copies", done, total),
            model=model,
            finder=finder,
        )
    document = robustness_document(title or safe(files.stem) + (f", {split}" if split else ""), results)
    print(as_markdown(document))
    if report is not None:
        written = write_document(document, report, "robustness")
        print(f"The report is {safe(str(written[0]))}; in Markdown {safe(str(written[1]))}.")
    return 0
