"""Checks that need no neural network: credentials, metadata, traces of generators and of compression."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fakelab.records import Check, Kind

if TYPE_CHECKING:
    from fakelab.evidence.provenance import Statement
    from fakelab.evidence.traces import Traces
    from fakelab.media import Limits

MOST_WALL_S = 60.0
"""However long a film may be decoded: its tags are read in a moment."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The checks of one file in the order shown, and what the file declares of its own making."""

    checks: tuple[Check, ...]
    statements: tuple[Statement, ...] = ()


def examine(path: str | os.PathLike[str], limits: Limits, anchors: str = "") -> Evidence:
    """Every check that fits the file. `anchors` are the certificate authorities to trust, as PEM.

    Never raises for a file: a check that could not be done is a check that says so.
    """
    from fakelab.errors import FakeLabError
    from fakelab.evidence.traces import read_traces
    from fakelab.media.wire import MalformedError

    own = dataclasses.replace(limits, wall_s=min(limits.wall_s, MOST_WALL_S), cpu_s=min(limits.cpu_s, int(MOST_WALL_S)))
    try:
        traces = read_traces(path, own, anchors)
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
