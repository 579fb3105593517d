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
) -> int:
    """Write calibration, lines and error rates into the card of FOLDER.

    The rate that a level states is measured with each source of genuine files left out in turn.
    """
    from fakelab.errors import UsageError
    from fakelab.evaluation.calibrate import calibrate_card

    given = {kind: path for kind, path in (("video", video), ("photo", photo)) if path is not None}
    if not given:
        raise UsageError("there is nothing to calibrate on", "", "Give --video FILE, --photo FILE, or both.")
    for line in calibrate_card(model, given):
        print(safe(line))
    return 0
