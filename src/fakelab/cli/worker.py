"""``fakelab worker``: a process that analyses what servers took in, on this or another machine."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Annotated

import typer

from fakelab.cli.options import setting_flag
from fakelab.cli.terminal import make_app
from fakelab.errors import UsageError
from fakelab.settings import read_settings

app = make_app("Analyse what servers took in: any number of workers on one PostgreSQL.")


@app.command()
def worker(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[recover NAME]", help="Hand the unfinished jobs of a worker that is gone to the others."
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="This worker's name. [default: this machine's]")] = "",
    jobs: Annotated[int | None, setting_flag("jobs", "N")] = None,
) -> int:
    """Work until told to end. A worker that comes back under its name goes on with what it was doing.

    Workers and servers share the folder of data (FAKELAB_DATA_DIR), where the files lie.
    """
    from fakelab.service.database import is_postgres
    from fakelab.service.history import History
    from fakelab.service.queue import JobQueue, default_jobs, default_name
    from fakelab.service.webhooks import Webhooks
    from fakelab.service.work import Workshop

    settings = read_settings(jobs=jobs)
    if not is_postgres(settings.database):
        raise UsageError(
            "workers need PostgreSQL",
            "the history is on SQLite, where the server works itself",
            "Set FAKELAB_DATABASE.",
        )
    lost = _lost(words or [])
    history = History(settings.data_dir, settings.database)
    name = name or default_name()
    try:
        if lost:
            queue = JobQueue(history, f"{name}-recover", None)
            queue.start()
            try:
                print(f"{queue.recover(lost)} jobs of '{lost}' handed to the others")
            finally:
                queue.close()
            return 0
        queue = JobQueue(
            history, name, Workshop(history, settings, worker=name, engines=settings.jobs or default_jobs())
        )
        queue.hooks.append(Webhooks(settings.data_dir, settings.webhooks).tell)
        end = threading.Event()
        # Ctrl-C too, by name: a shell's background process would not hear it otherwise.
        for asked in (signal.SIGTERM, signal.SIGINT):
            signal.signal(asked, lambda *_: end.set())
        queue.start()
        print(f"Worker '{name}' takes jobs.", file=sys.stderr, flush=True)
        try:
            end.wait()
        finally:
            queue.close()
    finally:
        history.close()
    return 0


def _lost(words: list[str]) -> str:
    match words:
        case []:
            return ""
        case ["recover", name]:
            return name
        case _:
            raise UsageError(f"'{' '.join(words)}' is not understood", "", "Write `fakelab worker recover NAME`.")
