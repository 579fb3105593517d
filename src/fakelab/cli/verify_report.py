"""``fakelab verify-report``: whether a report is what was signed, and whether the run comes out the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fakelab.cli.runs import opened
from fakelab.cli.terminal import bar, make_app, safe

app = make_app("Check a signed report: signature, log, file, models, and the run done again.")
MOST_BYTES = 512 << 20


@app.command("verify-report")
def verify_report(
    report: Annotated[Path, typer.Argument(metavar="FILE", help="A report of `fakelab report`.")],
    media: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="The analysed file. [default: where it was]"),
    ] = None,
) -> int:
    """Check a report: its signature and bytes, the log it names, the file, the models, and the same answer again.

    The run is repeated with the settings of the report: the level must be the same and p_fake within .01. Exit code 4
    if anything that could be checked failed.
    """
    from fakelab.errors import FakeLabError, UsageError
    from fakelab.service.rerun import verify
    from fakelab.service.seal import Signer, form_of, read_seal
    from fakelab.settings import read_settings

    try:
        if report.stat().st_size > MOST_BYTES:
            raise UsageError(f"'{report}' cannot be a report of ours", "it is too long", "")
        data = report.read_bytes()
    except OSError as error:
        raise UsageError(f"'{report}' cannot be read", str(error.strerror), "Check the path.") from error
    try:
        seal = read_seal(data, form_of(data))
    except UsageError as error:
        print(f"FAILED   report   {safe(str(error))}")
        return FakeLabError.exit_code
    with opened() as history, bar("Verifying") as progress:
        own = Signer(read_settings().data_dir).public_key
        found = verify(seal, history, media=media, own_key=own, progress=progress)
    for check in found.checks:
        word = {True: "ok", False: "FAILED", None: "unknown"}[check.ok]
        print(f"{word:<8} {check.name:<8} {safe(check.words)}")
    for each in found.differs:
        print(f"{'differs':<8} {'version':<8} {safe(each)}")
    print(f"\nRun {safe(seal.run)}, signed {safe(seal.signed)}: {'it holds.' if found.sound else 'it does NOT hold.'}")
    return 0 if found.sound else FakeLabError.exit_code
