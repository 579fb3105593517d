"""A report of measurements as headings, words, tables and figures, written once as HTML and once as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from fakelab.data.manifest import replace_file

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; margin: 1rem 0; } caption { text-align: left; color: #555; }
th, td { border: 1px solid #ccc; padding: .25rem .6rem; text-align: left; vertical-align: top; }
td:not(:first-child) { font-variant-numeric: tabular-nums; }
th { background: #f3f3f3; } figure { margin: 1rem 0; display: inline-block; vertical-align: top; }
figcaption { color: #555; } svg { max-width: 100%; height: auto; }
@media print { body { margin: 0; } h2, figure, tr { break-inside: avoid; } }
"""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text below column names; the first column names the row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """An SVG, the name of its file and what it shows."""

    name: str
    caption: str
    svg: str


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it: paragraphs, then tables, then figures."""

    title: str
    words: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """The whole report."""

    title: str
    sections: tuple[Section, ...]


def as_markdown(document: Document) -> str:
    """The document in Markdown; figures are links to SVG files beside it."""
    lines = [f"# {_plain(document.title)}"]
    for section in document.sections:
        lines += ["", f"## {_plain(section.title)}"]
        for words in section.words:
            lines += ["", _plain(words)]
        for table in section.tables:
            lines += ["", _row(table.columns), "|" + "---|" * len(table.columns), *map(_row, table.rows)]
        for figure in section.figures:
            lines += ["", f"![{_plain(figure.caption)}]({figure.name}.svg)"]
    return "\n".join(lines) + "\n"


def as_html(document: Document) -> str:
    """The document as one HTML page that needs nothing else and runs no script."""
    body = []
    for section in document.sections:
        body.append(f"<h2>{escape(section.title)}</h2>")
        body += [f"<p>{escape(words)}</p>" for words in section.words]
        body += [_html_table(table) for table in section.tables]
        for figure in section.figures:
            body.append(f"<figure>{figure.svg}<figcaption>{escape(figure.caption)}</figcaption></figure>")
    title = escape(document.title)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def write_document(document: Document, folder: Path, name: str = "report") -> list[Path]:
    """Writes NAME.html, NAME.md and the figures into `folder`; returns the two. Raises DataError."""
    page, text = folder / f"{name}.html", folder / f"{name}.md"
    replace_file(page, as_html(document).encode("utf-8"))
    replace_file(text, as_markdown(document).encode("utf-8"))
    for section in document.sections:
        for figure in section.figures:
            replace_file(folder / f"{figure.name}.svg", figure.svg.encode("utf-8"))
    return [page, text]


def _html_table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    rows = []
    for first, *rest in table.rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        rows.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in cells) + " |"


def _plain(text: str) -> str:
    """The text on one line, with what Markdown or HTML would read as a mark escaped."""
    return re.sub(r"([\\`*_<>\[\]#])", r"\\\1", " ".join(text.split()))
