"""Collects the parts of the report while it is told, and hangs each into the structure where it belongs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fakelab.reports.pdf.flow import INK, QUIET, Bookmark, Gap, Part, Prose, Rows, Rule
from fakelab.reports.pdf.tags import Node
from fakelab.reports.pdf.text import Colour, Span

_TEXT_SHOWN = 1000
"""Characters of a text in the appendix before it is cut: the JSON report has it whole."""


class Story:
    """Collects the parts of the report, each hung into the structure where it belongs."""

    def __init__(self, root: Node) -> None:
        self.parts: list[Part] = []
        self._root = self._section = root

    def section(self, title: str) -> None:
        """A new section under a heading, which the outline shows too."""
        self._section = self._root.add("Sect")
        self.parts += [Gap(10), Rule(INK, 0.7, 0, 9), Bookmark(title, f"s{len(self.parts)}")]
        for each in self.parts[-2:]:
            each.keep = True
        self._heading(title, "H2", 13.0, 5.0)

    def heading(self, title: str) -> None:
        """A heading below that of the section."""
        self.parts.append(Gap(4))
        self.parts[-1].keep = True
        self._heading(title, "H3", 9.5, 3.0)

    def _heading(self, title: str, tag: str, size: float, after: float) -> None:
        made = Prose([Span(title, True, INK)], self._section.add(tag), size, 1.3, space_after=after)
        made.keep = True
        self.parts.append(made)

    def prose(self, text: str, colour: Colour = INK, size: float = 9.0, after: float = 5.0, keep: bool = False) -> None:
        """A paragraph."""
        made = Prose([Span(text, colour=colour)], self.node("P"), size, space_after=after)
        made.keep = keep
        self.parts.append(made)

    def bullets(self, texts: Iterable[str]) -> None:
        """A list."""
        self.parts += bullets(texts, self.node("L"))

    def node(self, tag: str, alt: str = "") -> Node:
        """A new element of the section."""
        return self._section.add(tag, alt)

    def table(
        self, shares: Sequence[float], header: Sequence[str], rows: Iterable[Sequence[str | Sequence[Span]]]
    ) -> None:
        """A table whose first cell of each row names the row."""
        table = self.node("Table")
        top = table.add("TR")
        head = [[Prose([Span(text, colour=QUIET)], top.add("TH", scope="Column"), 8.0)] for text in header]
        made = []
        for row in rows:
            line = table.add("TR")
            cells = []
            for place, cell in enumerate(row):
                spans = [Span(cell, colour=INK)] if isinstance(cell, str) else list(cell)
                node = line.add("TD") if place else line.add("TH", scope="Row")
                cells.append([Prose(spans, node, 8.5, 1.35)])
            made.append(cells)
        self.parts.append(Rows(shares, made, head))

    def pairs(self, rows: Iterable[tuple[str, str]], own_direction: bool = False, first_share: float = 30) -> None:
        """Names with their values."""
        if made := self.paired(rows, own_direction, first_share):
            self.parts.append(made)

    def paired(
        self, rows: Iterable[tuple[str, str]], own_direction: bool = False, first_share: float = 30
    ) -> Rows | None:
        """Names with their values as one part; None where there are none."""
        table = self.node("Table")
        made = []
        for name, value in rows:
            line = table.add("TR")
            label = Prose([Span(_cut(name), colour=QUIET)], line.add("TH", scope="Row"), 8.5, 1.35)
            said = Prose([Span(_cut(value), colour=INK)], line.add("TD"), 8.5, 1.35, own_direction)
            made.append([[label], [said]])
        return Rows([first_share, 100 - first_share], made, pad=2.2) if made else None


def bullets(texts: Iterable[str], node: Node, size: float = 9.0) -> list[Part]:
    """The items of a list as parts."""
    return [
        Prose([Span(text, colour=INK)], node.add("LI").add("LBody"), size, hung="•", space_after=3.0) for text in texts
    ]


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_SHOWN else text[:_TEXT_SHOWN] + " … (cut here; the JSON report has it whole)"
