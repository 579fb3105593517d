"""`WRITERS`: from an Analysis to a report, one function per format. Importing this loads nothing heavy.

Every writer is pure: the same Analysis gives the same bytes. The result is valid Unicode that ends in one newline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fakelab.records import Analysis

__all__ = ["WRITERS"]


def _text(analysis: Analysis) -> str:
    from fakelab.reports.text import write_text

    return write_text(analysis)


def _json(analysis: Analysis) -> str:
    from fakelab.reports.json_report import write_json

    return write_json(analysis)


def _jsonl(analysis: Analysis) -> str:
    from fakelab.reports.json_report import write_jsonl

    return write_jsonl(analysis)


def _html(analysis: Analysis) -> str:
    from fakelab.reports.html import write_html

    return write_html(analysis)


WRITERS: dict[str, Callable[[Analysis], str]] = {"text": _text, "json": _json, "jsonl": _jsonl, "html": _html}
"""Format name -> writer. The caller answers for a name that is not here."""
