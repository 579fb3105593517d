"""The parts that a page is built of: prose, rows of cells, pictures. They break over pages and carry their tags.

Each part draws itself inside the marks of its node (see `tags`); rules and grounds are decoration. All lengths are in
points.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reportlab.lib.utils import ImageReader

from fakelab.reports import words
from fakelab.reports.pdf.fonts import EmbeddedFonts
from fakelab.reports.pdf.tags import Node, Tree
from fakelab.reports.pdf.text import Colour, Line, Span, draw, lay_out

INK: Colour = (0.11, 0.105, 0.098)
QUIET: Colour = (0.3, 0.29, 0.27)
RULE: Colour = (0.72, 0.71, 0.69)
WARN: Colour = (0.427, 0.227, 0.031)
CURVE: Colour = (0.11, 0.267, 0.408)
"""The colours of the HTML report in print: each reads in greyscale, and none of them says what words do not say."""

PAGE_WIDTH, PAGE_HEIGHT = 595.28, 841.89
"""A4."""
MARGIN_X, MARGIN_TOP, MARGIN_BOTTOM = 45.0, 48.0, 54.0
FRAME_WIDTH, FRAME_HEIGHT = PAGE_WIDTH - 2 * MARGIN_X, PAGE_HEIGHT - MARGIN_TOP - MARGIN_BOTTOM
_NEARLY = 0.01


@dataclass(frozen=True, slots=True)
class Paper:
    """What everything drawn in one document shares. A canvas carries it as `paper`."""

    fonts: EmbeddedFonts
    tree: Tree


class Part:
    """The base of all parts: laid out for a width by `wrap`, then drawn from its lower left corner by `paint`."""

    width = height = 0.0
    space_after = 0.0
    keep = False
    """Whether it must not stand at the foot of a page without what follows it."""

    def wrap(self, width: float) -> float:
        """Lays the part out for this width; returns its height without the space after it."""
        self.width, self.height = width, self.lay(width)
        return self.height

    def lay(self, width: float) -> float:
        """What `wrap` calls, for each kind of part to say."""
        raise NotImplementedError

    def split(self, width: float, height: float) -> list[Part]:
        """The part in two, of which the first has this height at most; empty where it cannot be broken there."""
        return []

    def paint(self, canvas: Any, x: float, y: float) -> None:
        """Draws the part as it was laid out, its lower left corner at (x, y)."""
        raise NotImplementedError


class Prose(Part):
    """A paragraph. `hung` is a bullet that stands before it; `right` sets the lines to the right end."""

    def __init__(
        self,
        spans: Sequence[Span],
        node: Node | None,
        size: float = 9.0,
        leading: float = 1.42,
        own_direction: bool = False,
        right: bool = False,
        hung: str = "",
        space_after: float = 0.0,
    ) -> None:
        self.spans, self.node, self.size, self.leading = spans, node, size, leading
        self.own_direction, self.right, self.hung = own_direction, right, hung
        self.space_after = space_after
        self.lines: list[Line] = []
        self._fixed: list[Line] | None = None
        self._laid_for = -1.0

    @property
    def line_height(self) -> float:
        return self.size * self.leading

    def lay(self, width: float) -> float:
        self._indent = 11.0 if self.hung or self._is_rest_of_item else 0.0
        if width != self._laid_for:
            # Parts are measured more often than they are drawn.
            room = max(8.0, width - self._indent)
            self.lines = self._fixed or lay_out(self.spans, self.size, room, self.own_direction)
            self._laid_for = width
        return self.line_height * len(self.lines)

    _is_rest_of_item = False

    def split(self, width: float, height: float) -> list[Part]:
        self.lay(width)
        fitting = int((height + _NEARLY) / self.line_height)
        # One line alone at the foot or the head of a page is easily overlooked.
        fitting = min(fitting, max(len(self.lines) - 2, 1))
        if fitting < min(2, len(self.lines)) or fitting >= len(self.lines):
            return []
        head, rest = (self._copy(lines) for lines in (self.lines[:fitting], self.lines[fitting:]))
        head.space_after = 0.0
        rest.hung, rest._is_rest_of_item = "", bool(self.hung) or self._is_rest_of_item
        return [head, rest]

    def _copy(self, lines: list[Line]) -> Prose:
        made = Prose(self.spans, self.node, self.size, self.leading, self.own_direction, self.right, self.hung)
        made._fixed, made.space_after = lines, self.space_after
        return made

    def paint(self, canvas: Any, x: float, y: float) -> None:
        paper: Paper = canvas.paper
        with paper.tree.marked(canvas, self.node):
            for place, line in enumerate(self.lines):
                base = y + self.height - self.line_height * (place + 1) + 0.3 * self.size * self.leading
                if self.hung and place == 0:
                    mark = lay_out([Span(self.hung, colour=self.spans[0].colour)], self.size, 20.0)[0]
                    draw(canvas, paper.fonts, mark, x, base, self.size)
                left = x + self.width - line.width if self.right else x + self._indent
                draw(canvas, paper.fonts, line, left, base, self.size)


class Picture(Part):
    """JPEG pictures side by side, filling the width or the given side of each."""

    def __init__(self, jpegs: Sequence[bytes], node: Node | None, side: float | None = None, gap: float = 2.0) -> None:
        self.readers = [ImageReader(io.BytesIO(each)) for each in jpegs]
        self.node, self.side, self.gap = node, side, gap

    def lay(self, width: float) -> float:
        count = len(self.readers)
        self._each = self.side or (width - self.gap * (count - 1)) / max(1, count)
        shares = [reader.getSize()[1] / reader.getSize()[0] for reader in self.readers]
        return float(self._each * max(shares, default=0.0))

    def paint(self, canvas: Any, x: float, y: float) -> None:
        with canvas.paper.tree.marked(canvas, self.node):
            for place, reader in enumerate(self.readers):
                wide, high = reader.getSize()
                tall = self._each * high / wide
                left = x + place * (self._each + self.gap)
                canvas.drawImage(reader, left, y + self.height - tall, self._each, tall)


Cell = Sequence[Part]
Row = Sequence[Cell]


class Rows(Part):
    """Rows of cells under a header that is repeated on every page; a row that fits on no page is broken itself.

    `shares` are the widths of the columns in parts of the whole, `gap` what lies between them.
    """

    def __init__(
        self,
        shares: Sequence[float],
        rows: Sequence[Row],
        header: Row | None = None,
        rules: bool = True,
        pad: float = 4.0,
        gap: float = 14.0,
    ) -> None:
        self.shares, self.rows, self.header, self.rules, self.pad, self.gap = shares, rows, header, rules, pad, gap
        self.continued = False

    def lay(self, width: float) -> float:
        net = width - self.gap * (len(self.shares) - 1)
        self._widths = [share * net / sum(self.shares) for share in self.shares]
        self._head = self._row_height(self.header) if self.header else 0.0
        self._heights = [self._row_height(row) for row in self.rows]
        return self._head + sum(self._heights)

    def _row_height(self, row: Row) -> float:
        tallest = 0.0
        for cell, width in zip(row, self._widths, strict=True):
            tallest = max(tallest, sum(part.wrap(width) + part.space_after for part in cell))
        return tallest + 2 * self.pad

    def split(self, width: float, height: float) -> list[Part]:
        self.lay(width)
        left, count = height - self._head + _NEARLY, 0
        while count < len(self.rows) and self._heights[count] <= left:
            left -= self._heights[count]
            count += 1
        if count == len(self.rows):
            return []
        if count:
            return [self._with(self.rows[:count], self.continued), self._with(self.rows[count:], True)]
        if self._heights[0] + self._head > FRAME_HEIGHT:
            return self._break_row(left - 2 * self.pad)
        return []

    def _break_row(self, height: float) -> list[Part]:
        """The first row in two; empty where not even a line of each cell has room."""
        heads: list[list[Part]] = []
        rests: list[list[Part]] = []
        for cell, width in zip(self.rows[0], self._widths, strict=True):
            head, rest = _break_cell(list(cell), width, height)
            heads.append(head)
            rests.append(rest)
        if not any(heads):
            return []
        return [self._with([heads], self.continued), self._with([rests, *self.rows[1:]], True)]

    def _with(self, rows: Sequence[Row], continued: bool) -> Rows:
        made = Rows(self.shares, rows, self.header, self.rules, self.pad, self.gap)
        made.continued = continued
        made.space_after = self.space_after
        return made

    def paint(self, canvas: Any, x: float, y: float) -> None:
        top = y + self.height
        if self.header:
            # Readers have heard the header once; on later pages it is there for the eye.
            self._paint_row(canvas, self.header, x, top, self._head, silent=self.continued)
            top -= self._head
            self._rule(canvas, x, top, INK, 0.7)
        for place, (row, height) in enumerate(zip(self.rows, self._heights, strict=True)):
            if self.rules and place:
                self._rule(canvas, x, top, RULE, 0.5)
            self._paint_row(canvas, row, x, top, height)
            top -= height

    def _paint_row(self, canvas: Any, row: Row, x: float, top: float, height: float, silent: bool = False) -> None:
        for cell, width in zip(row, self._widths, strict=True):
            y = top - self.pad
            for part in cell:
                y -= part.wrap(width)
                if silent and isinstance(part, Prose):
                    part = part._copy(part.lines)
                    part.node = None
                    part.wrap(width)
                part.paint(canvas, x, y)
                y -= part.space_after
            x += width + self.gap

    def _rule(self, canvas: Any, x: float, y: float, colour: Colour, width: float) -> None:
        rule(canvas, x, y, self.width, colour, width)


def _break_cell(parts: list[Part], width: float, height: float) -> tuple[list[Part], list[Part]]:
    head: list[Part] = []
    while parts:
        needed = parts[0].wrap(width)
        if needed > height:
            break
        height -= needed + parts[0].space_after
        head.append(parts.pop(0))
    if parts and (halves := parts[0].split(width, height)):
        head.append(halves[0])
        parts[:1] = halves[1:]
    return head, parts


def rule(canvas: Any, x: float, y: float, length: float, colour: Colour = RULE, width: float = 0.5) -> None:
    """A level line, as decoration."""
    with canvas.paper.tree.marked(canvas, None):
        canvas.setStrokeColorRGB(*colour)
        canvas.setLineWidth(width)
        canvas.line(x, y, x + length, y)


class Rule(Part):
    """A line across the page with room around it."""

    def __init__(self, colour: Colour = RULE, width: float = 0.5, above: float = 0.0, below: float = 8.0) -> None:
        self._look, self._above, self._below = (colour, width), above, below

    def lay(self, width: float) -> float:
        return self._above + self._below

    def paint(self, canvas: Any, x: float, y: float) -> None:
        rule(canvas, x, y + self._below, self.width, *self._look)


class Gap(Part):
    """Empty room."""

    def __init__(self, height: float) -> None:
        self._gap = height

    def lay(self, width: float) -> float:
        return self._gap

    def paint(self, canvas: Any, x: float, y: float) -> None:
        return


class Bookmark(Part):
    """A place in the outline that a reader shows beside the pages."""

    def __init__(self, title: str, key: str) -> None:
        self._title, self._key = words.safe(title), key

    def lay(self, width: float) -> float:
        return 0.0

    def paint(self, canvas: Any, x: float, y: float) -> None:
        canvas.bookmarkHorizontal(self._key, 0, y + 16)
        canvas.addOutlineEntry(self._title, self._key, 0)


def place(parts: Sequence[Part], canvas: Any) -> None:
    """Draws the parts down page after page, each as wide as the frame; ends the last page."""
    waiting = list(parts)
    left = FRAME_HEIGHT
    while waiting:
        if not _begins_here(waiting, left) and left < FRAME_HEIGHT:
            canvas.showPage()
            left = FRAME_HEIGHT
        part = waiting.pop(0)
        height = part.wrap(FRAME_WIDTH)
        if height > left + _NEARLY:
            halves = part.split(FRAME_WIDTH, left)
            if not halves:
                raise ValueError(f"a part of {height:.0f} points cannot be broken to fit a page: {type(part).__name__}")
            part, waiting = halves[0], halves[1:] + waiting
            height = part.wrap(FRAME_WIDTH)
        part.paint(canvas, MARGIN_X, MARGIN_BOTTOM + left - height)
        left -= height + part.space_after
    canvas.showPage()


def _begins_here(waiting: Sequence[Part], left: float) -> bool:
    """Whether the next part, with the parts it must not stand without, can at least begin in the room that is left."""
    for part in waiting:
        height = part.wrap(FRAME_WIDTH)
        if height > left + _NEARLY:
            return bool(part.split(FRAME_WIDTH, left))
        if not part.keep:
            return True
        left -= height + part.space_after
    return True
