"""``fakelab calibrate``: measured results -> a card's calibration, lines and stated error rates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fakelab.cli.terminal import make_app, safe

app = make_app("Fill in a model's card from results on files that it was not trained on.")


@app.command()
def calibrate(
    model: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the model, with its card.json.")],
    video: Annotated[
        Path | None, typer.Option("--video", metavar="FILE", help="Results of `fakelab evaluate` on videos.")
    ] = None,
    photo: Annotated[
        Path | None, typer.Option("--photo", metavar="FILE", help="Results of `fakelab evaluate` on photos.")
    ] = None,
    method: Annotated[
        str, typer.Option("--method", metavar="NAME", help="platt, isotonic, or auto for the lower ECE.")
    ] = "auto",
    highest: Annotated[
        str, typer.Option("--highest", metavar="LEVEL", help="strong, or moderate for an experimental model.")
    ] = "strong",
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metrics",
            metavar="NAME=RESULTS[@LIST]",
            help="State what results say of a set, of the files of LIST alone; may be repeated.",
        ),
    ] = None,
    facts: Annotated[
        Path | None,
        typer.Option("--facts", metavar="FILE", help="TOML of what no result holds: version, data, weak_spots ..."),
    ] = None,
) -> int:
    """Write calibration, lines and error rates into the card of FOLDER, then what was measured with them.

    Platt's line or an isotonic curve makes probabilities of logits, whichever states them better (by ECE) for sources
    that it was not fitted on. The rate that a level states is measured with each source of genuine files left out in
    turn. Numbers of --metrics come from results alone, and kinds of forgery that are missed become weak spots of the
    card.
    """
    from fakelab.errors import UsageError
    from fakelab.evaluation.calibrate import calibrate_card
    from fakelab.evaluation.card import fill_card, read_measurement

    given = {kind: path for kind, path in (("video", video), ("photo", photo)) if path is not None}
    if not given and not metrics and facts is None:
        raise UsageError("there is nothing to write", "", "Give --video FILE, --photo FILE, --metrics or --facts.")
    # Everything is read before the card is touched.
    measurements = [read_measurement(each) for each in metrics or []]
    if given:
        for line in calibrate_card(model, given, method, highest=highest):
            print(safe(line))
    if measurements or facts is not None:
        for name, row in fill_card(model, measurements, facts).metrics.items():
            print(safe(f"{name}: {row}"))
    return 0
