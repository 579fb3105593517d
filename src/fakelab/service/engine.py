"""A process that analyses files for a server: the model stays warm in it, and what goes wrong in it stays there.

The server stays small and quick, and a job that is cancelled, or that takes the process down, is stopped by ending the
process. The untrusted file is decoded in a child of this process, as everywhere (see `fakelab.media.sandbox`).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from fakelab.errors import FakeLabError

NICE = 5
"""Analyses give way to the server, whose pages are looked at."""
LOOK_S = 0.5
"""How often it is asked whether an answer is still wanted."""


Tell = Callable[[str, int, int | None], bool]
"""tell(stage, done, total) -> whether the answer is still wanted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an order: the document, the derived files by name, the perceptual hashes."""

    document: dict[str, Any]
    files: dict[str, bytes]
    phash: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be analysed. `name` is what people know the file by; `choices` are settings."""

    place: str
    name: str
    choices: Mapping[str, Any] = field(default_factory=dict)
    keep_faces: bool = True
    stills: bool = True


class EngineLostError(FakeLabError):
    """The process ended in the middle of an order."""


class StoppedError(BaseException):
    """The server stops: the order has no answer, and is to be given anew at the next start.

    Not an Exception, so that nobody on the way takes it for the outcome of the job.
    """


class Engine:
    """One process, started with its first order. Not for two threads at once."""

    def __init__(self) -> None:
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._stopped = False

    def ask(self, order: Order, tell: Tell) -> Answer | None:
        """The answer to an order, or None once `tell`, which hears of each step, says that it is not wanted any more.

        Raises the FakeLabError that the analysis ended with, EngineLostError if the process ended without one, and
        StoppedError after `stop`.
        """
        try:
            pipe = self._started()
            pipe.send(order)
            heard = self._heard(pipe, tell)
        except (EOFError, ConnectionError, BrokenPipeError) as error:
            code = self._ended_with()
            self.close()
            if self._stopped:
                raise StoppedError from error
            raise EngineLostError(
                f"'{order.name}' cannot be analysed",
                f"the process that analysed it ended (code {code})",
                "The machine may be out of memory: look into its log, and try again.",
            ) from error
        except BaseException:
            # The process is still at this order: whoever asks next must not get its answer.
            self.close()
            raise
        if isinstance(heard, FakeLabError):
            raise heard
        return heard

    def _heard(self, pipe: Connection, tell: Tell) -> Answer | FakeLabError | None:
        """What came of the order that was sent: its answer, the error it ended with, or None if it is not wanted."""
        step: tuple[str, int, int | None] = ("open", 0, None)
        while True:
            while not pipe.poll(LOOK_S):
                if not tell(*step):
                    self.close()
                    return None
            match pipe.recv():
                case ("step", stage, done, total):
                    step = (stage, done, total)
                    if not tell(*step):
                        self.close()
                        return None
                case ("answer" | "error", result):
                    assert isinstance(result, (Answer, FakeLabError))
                    return result

    def stop(self) -> None:
        """Ends the process for good, from any thread; whoever asks then gets StoppedError."""
        self._stopped = True
        process = self._process
        if process is not None:
            with contextlib.suppress(ValueError):  # closed a moment ago
                process.kill()

    def close(self) -> None:
        """Ends the process, until the next order."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def _started(self) -> Connection:
        if self._stopped:
            raise StoppedError
        if self._process is not None and not self._process.is_alive():
            self.close()
        if self._pipe is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=run, args=(theirs,), name="fakelab-engine", daemon=True)
            self._process.start()
            theirs.close()
        return self._pipe

    def _ended_with(self) -> int | None:
        if self._process is None:
            return None
        self._process.join(5)
        return self._process.exitcode


def run(pipe: Connection) -> None:
    """The process: answers orders until its server is gone."""
    # Ctrl-C goes to the whole group; the server ends its engines itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_server()
    with contextlib.suppress(OSError, AttributeError):
        os.nice(NICE)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            order: Order = pipe.recv()
            try:
                pipe.send(("answer", _analysed(order, pipe)))
            except FakeLabError as error:
                pipe.send(("error", error))
            except Exception as error:
                words = f"FakeLab has a bug: {type(error).__name__}: {error}"
                pipe.send(("error", FakeLabError(f"'{order.name}' cannot be analysed", words, "Report it.")))


def _analysed(order: Order, pipe: Connection) -> Answer:
    from fakelab.analyze import analyze
    from fakelab.reports.json_report import document
    from fakelab.service.origin import pictures, renamed
    from fakelab.settings import read_settings

    def tell(stage: str, done: int, total: int | None) -> None:
        pipe.send(("step", stage, done, total))

    analysis = renamed(analyze(order.place, settings=read_settings(**order.choices), progress=tell), order.name)
    files = pictures(analysis) if order.keep_faces else {}
    if order.stills:
        from fakelab.service.stills import stills_of

        tell("pictures", 0, None)
        files |= stills_of(analysis, order.place)
    return Answer(document(analysis), files, analysis.file.phash)


def _end_with_server() -> None:
    """Ends this process as soon as its server is gone, also by kill -9 and in the middle of an analysis."""
    server = multiprocessing.parent_process()
    if server is None:
        return

    def wait() -> None:
        connection.wait([server.sentinel])
        os._exit(1)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
