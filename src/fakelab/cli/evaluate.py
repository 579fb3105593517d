"""``fakelab evaluate``: every file of a list through `analyze`, and the table that says how good the answers are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fakelab.cli.terminal import bar, make_app, safe

app = make_app("Measure a model on files whose truth is known.")


@app.command()
def evaluate(
    files: Annotated[Path, typer.Argument(metavar="LIST", help="CSV of files: path, label, source, group, forgery.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Results, one JSON line a file; resumed if there.")
    ],
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Model, or a folder with a card.")
    ] = None,
    finder: Annotated[str | None, typer.Option("--finder", metavar="NAME", help="Face finder.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", help="So many files at a time.", min=1)] = 1,
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="Heading of the table.")] = "",
) -> int:
    """Analyse every file of LIST and print a Markdown table: AUC with intervals, levels, forgeries, sources."""
    from fakelab.evaluation.run import read_list, run
    from fakelab.evaluation.tables import table

    rows = read_list(files)
    with bar("Evaluating") as progress:
        results = run(
            rows,
            out,
            jobs=jobs,
            progress=lambda done, total: progress(f"{done} files", done, total),
            model=model,
            finder=finder,
        )
    print(table(title or safe(files.stem), results))
    return 0
