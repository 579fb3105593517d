"""`WRITERS`: from an Analysis to a report, one function per format. Importing this loads nothing heavy.

Every writer is pure: the same Analysis gives the same bytes. The result is valid Unicode that ends in one newline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fakelab.records import Analysis

__all__ = ["WRITERS"]


Record = Sequence[tuple[str, str]]
"""What the history adds to a report, as (label, value): the run's identifier, the head of the log, the key."""


class Writer(Protocol):
    """From an Analysis, and what the history adds, to a report."""

    def __call__(self, analysis: Analysis, record: Record = ()) -> str:
        """The report as text."""


def _text(analysis: Analysis, record: Record = ()) -> str:
    from fakelab.reports.text import write_text

    return write_text(analysis, record=record)


def _json(analysis: Analysis, record: Record = ()) -> str:
    from fakelab.reports.json_report import write_json

    return write_json(analysis)


def _jsonl(analysis: Analysis, record: Record = ()) -> str:
    from fakelab.reports.json_report import write_jsonl

    return write_jsonl(analysis)


def _html(analysis: Analysis, record: Record = ()) -> str:
    from fakelab.reports.html import write_html

    return write_html(analysis, record)


WRITERS: dict[str, Writer] = {"text": _text, "json": _json, "jsonl": _jsonl, "html": _html}
"""Format name -> writer; the caller answers for a name that is not here. A document for machines says nothing of the
record: its seal does."""
