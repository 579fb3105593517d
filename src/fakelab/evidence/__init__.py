"""Checks that need no neural network: credentials, metadata, traces of generators and of compression."""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fakelab.errors import FakeLabError
from fakelab.media.opening import Closable
from fakelab.records import Check, Kind

if TYPE_CHECKING:
    from fakelab.evidence.provenance import Statement
    from fakelab.evidence.traces import Traces
    from fakelab.media import Limits, Opening
    from fakelab.media.probe import Hash

SEED = 7
"""Of OpenCV's generator when copied areas are tried, all that is ever drawn in an analysis."""
MOST_WALL_S = 60.0
"""However long a film may be decoded: its tags are read in a moment."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The checks of one file in the order shown, and what the file declares of its own making."""

    checks: tuple[Check, ...]
    statements: tuple[Statement, ...] = ()


class Examination(Closable):
    """The checks of one file on their way, in a thread and a child process of their own from when this is made.

    `anchors` are the certificate authorities to trust, as PEM; `digest` is the file's hash where it is computed
    already. Close it, or use it in a ``with``: what is unfinished then is given up.
    """

    def __init__(
        self, path: str | os.PathLike[str], limits: Limits, anchors: str = "", digest: Hash | None = None
    ) -> None:
        from fakelab.media import begin_media

        wall_s, cpu_s = min(limits.wall_s, MOST_WALL_S), min(limits.cpu_s, int(MOST_WALL_S))
        own = dataclasses.replace(limits, wall_s=wall_s, cpu_s=cpu_s)
        self._opening: Opening | FakeLabError
        try:
            self._opening = begin_media(path, own, task="traces", digest=digest)
        except FakeLabError as error:
            self._opening = error
        self._pool = ThreadPoolExecutor(1, "fakelab-evidence")
        self._found = self._pool.submit(_examined, self._opening, anchors)

    def result(self) -> Evidence:
        """The evidence. Never raises for a file: a check that could not be done is a check that says so."""
        return self._found.result()

    def close(self) -> None:
        """Ends the child process, then waits for the thread. May be called twice."""
        if not isinstance(self._opening, FakeLabError):
            self._opening.close()
        self._pool.shutdown()


def examine(path: str | os.PathLike[str], limits: Limits, anchors: str = "") -> Evidence:
    """Every check that fits the file; see `Examination`. Never raises for a file."""
    with Examination(path, limits, anchors) as examination:
        return examination.result()


def _examined(opening: Opening | FakeLabError, anchors: str) -> Evidence:
    from fakelab.media.wire import MalformedError

    try:
        if isinstance(opening, FakeLabError):
            raise opening
        from fakelab.evidence.traces import read_traces

        traces = read_traces(opening, anchors)
    except (FakeLabError, MalformedError) as error:
        return Evidence((Check("metadata", "failed", f"What the file carries could not be read: {error}."),))
    except ImportError as error:
        return Evidence((Check("provenance", "failed", f"A library is missing: {error}."),))
    return judge_all(traces)


def judge_all(traces: Traces) -> Evidence:
    """Every check that fits what the file carries."""
    from fakelab.evidence.generators import check_generators
    from fakelab.evidence.metadata import check_metadata
    from fakelab.evidence.pictures import check_pictures, guarded
    from fakelab.evidence.provenance import check_credentials

    checks: list[Check] = []
    statements: list[Statement] = []
    for name, judge in (("provenance", check_credentials), ("generator_traces", check_generators)):
        try:
            check, said = judge(traces)
        except Exception as error:  # one check must not end the others
            check, said = Check(name, "failed", f"This check could not be done ({type(error).__name__})."), ()
        checks.append(check)
        statements += said
    checks.append(guarded("metadata", lambda: check_metadata(traces)))
    if traces.info.kind is Kind.PHOTO:
        checks += check_pictures(traces)
    return Evidence(tuple(checks), tuple(statements))
