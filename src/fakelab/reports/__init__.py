"""`WRITERS` and `BINARY_WRITERS`: from an Analysis to a report, one function per format. Importing loads nothing heavy.

Every writer is pure: the same Analysis gives the same bytes. What `WRITERS` give is valid Unicode that ends in one
newline; `BINARY_WRITERS` write to a file that is open for writing and seeking, and print a `seal` where they are given
one: what signs the report, as name -> value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from fakelab.records import Analysis

__all__ = ["BINARY_WRITERS", "SUFFIXES", "WRITERS", "BinaryWriter"]


Record = Mapping[str, str]
"""What the history adds to a report, by its label: the run's identifier, the head of the log, the key."""


class Writer(Protocol):
    """From an Analysis, and what the history adds, to a report."""

    def __call__(self, analysis: Analysis, record: Record | None = None) -> str:
        """The report as text."""


def _text(analysis: Analysis, record: Record | None = None) -> str:
    from fakelab.reports.text import write_text

    return write_text(analysis, record=record)


def _json(analysis: Analysis, record: Record | None = None) -> str:
    from fakelab.reports.json_report import write_json

    return write_json(analysis)


def _jsonl(analysis: Analysis, record: Record | None = None) -> str:
    from fakelab.reports.json_report import write_jsonl

    return write_jsonl(analysis)


def _html(analysis: Analysis, record: Record | None = None) -> str:
    from fakelab.reports.html import write_html

    return write_html(analysis, record)


WRITERS: dict[str, Writer] = {"text": _text, "json": _json, "jsonl": _jsonl, "html": _html}
"""Format name -> writer; the caller answers for a name that is not here. A document for machines says nothing of the
record: its seal does."""


class BinaryWriter(Protocol):
    """Writes one analysis to a binary file."""

    def __call__(self, analysis: Analysis, target: BinaryIO, seal: Record | None = None) -> None: ...


def _pdf(analysis: Analysis, target: BinaryIO, seal: Record | None = None) -> None:
    from fakelab.reports.pdf import write_pdf

    target.write(write_pdf(analysis, seal))


def _zip(analysis: Analysis, target: BinaryIO, seal: Record | None = None) -> None:
    from fakelab.reports.bundle import write_bundle

    write_bundle(analysis, target, seal)


BINARY_WRITERS: dict[str, BinaryWriter] = {"pdf": _pdf, "zip": _zip}
"""Format name -> writer of bytes. Together with `WRITERS`, every format there is."""
SUFFIXES = {"text": ".txt", "json": ".json", "jsonl": ".jsonl", "html": ".html", "pdf": ".pdf", "zip": ".zip"}
"""Format name -> ending of a report's file."""
