"""``fakelab report``: a signed report of a run of the history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fakelab.cli.runs import opened
from fakelab.cli.terminal import make_app, one_of, safe

app = make_app("Write a signed report of an analysis of the history.")


@app.command()
def report(
    run: Annotated[str, typer.Argument(metavar="ID", help="Identifier of the run, or its beginning.")],
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="html, pdf, zip, json or text.")] = "html",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write it. [default: fakelab-ID.FORMAT]")
    ] = None,
) -> int:
    """Write a report of a run, signed by this FakeLab's key and bound to the log of events.

    `fakelab verify-report` checks it, years later and without the history.
    """
    from fakelab.errors import EnvironmentBrokenError
    from fakelab.service.origin import who
    from fakelab.service.reporting import FORMATS, sealed_report
    from fakelab.service.seal import Signer
    from fakelab.settings import read_settings

    one_of("format", form, list(FORMATS))
    with opened() as history:
        found = history.get(run)
        data = sealed_report(history, found.id, form, Signer(read_settings().data_dir), actor=who())
    target = out or Path(f"fakelab-{found.id}{FORMATS[form]}")
    try:
        target.write_bytes(data)
    except OSError as error:
        raise EnvironmentBrokenError(
            f"'{target}' cannot be written", str(error.strerror), "Choose another --out."
        ) from error
    print(safe(str(target)))
    return 0
