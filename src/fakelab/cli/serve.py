"""``fakelab serve``: the pages and the REST interface on this machine."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from fakelab.cli.options import setting_flag
from fakelab.cli.terminal import make_app
from fakelab.errors import UsageError
from fakelab.settings import read_settings

app = make_app("Open FakeLab's pages and REST interface on this machine.")


@app.command()
def serve(
    host: Annotated[str | None, setting_flag("host", "ADDRESS")] = None,
    port: Annotated[int | None, setting_flag("port", "N")] = None,
    jobs: Annotated[int | None, setting_flag("jobs", "N")] = None,
    watch: Annotated[str | None, setting_flag("watch", "FOLDER")] = None,
    model: Annotated[str | None, setting_flag("model", "NAME")] = None,
    accounts: Annotated[
        bool, typer.Option("--accounts", help="Ask for accounts even on this machine's own address.")
    ] = False,
    no_work: Annotated[
        bool, typer.Option("--no-work", help="Leave analysing to `fakelab worker` (needs PostgreSQL).")
    ] = False,
) -> int:
    """Serve the pages until Ctrl-C. On this machine's own address the printed link lets you in, without an account."""
    from fakelab.service.database import is_postgres
    from fakelab.web.serve import serve as run

    settings = read_settings(host=host, port=port, jobs=jobs, watch=watch, model=model)
    if no_work and not is_postgres(settings.database):
        raise UsageError("--no-work needs workers", "the history is on SQLite", "Set FAKELAB_DATABASE to PostgreSQL.")
    # Ctrl-C is how a server ends.
    with contextlib.suppress(KeyboardInterrupt):
        run(settings, accounts=accounts, works=not no_work, say=lambda words: print(words, flush=True))
    return 0
