"""Lines of text in any direction and script: broken, put in order, shaped, drawn.

Lines are broken in reading order; then each is put into the order of the eye by the Unicode bidirectional algorithm
(UAX 9). Text is drawn in reading order all the same, and what a reader could not copy back from its glyphs carries its
characters beside it (`ActualText`). Lengths are in points, 1/72 inch.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import Any

from fakelab.reports import words
from fakelab.reports.pdf.fonts import UNITS, BoxFace, CidFace, EmbeddedFonts, Face, Glyph, NotoFace, faces_for, noto

Colour = tuple[float, float, float]
"""Red, green, blue, 0..1."""
_RTL = {"R", "AL", "AN"}
_BRACKETS = {"(": ")", "[": "]", "{": "}", "«": "»", "“": "”"}
_BREAK_AFTER = "-–/_"
"""A long name may be broken behind these."""
_CLOSING = {"Pe", "Pf", "Po"}
_OPENING = {"Ps", "Pi"}
"""Kinds of marks that do not begin a line of Chinese or Japanese, and that do not end one."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text in one look. The text may be anything: it is made safe to show here."""

    text: str
    bold: bool = False
    colour: Colour = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring glyphs of one face, look and direction. `x` is where they begin, from the line's left end."""

    face: Face
    glyphs: tuple[Glyph, ...]
    text: str
    rtl: bool
    span: Span
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Line:
    """Runs in reading order. `width` leaves out spaces at the end."""

    runs: tuple[Run, ...]
    width: float


@dataclass(frozen=True, slots=True)
class _Unit:
    """A cluster of characters that stay together."""

    text: str
    face: Face
    span: Span
    script: str
    level: int = 0

    @property
    def is_space(self) -> bool:
        return self.text == " "


def lay_out(spans: Sequence[Span], size: float, width: float, own_direction: bool = False) -> list[Line]:
    """The text in lines of at most `width`; a word that is longer is broken anywhere between two clusters.

    The paragraph reads from left to right; with `own_direction` its first letter decides, as for a file's name.
    """
    shown = [replace(span, text=words.safe(span.text).replace(" %", "\u00a0%")) for span in spans]
    units: list[_Unit] = []
    for span in shown:
        for piece, face in faces_for(span.text, span.bold):
            # Digits, marks and spaces belong to every script: they go with the letters before them.
            script = _script(piece[0]) or (units[-1].script if units else "")
            units.append(_Unit(piece, face, span, script))
    base = _base_level("".join(span.text for span in shown)) if own_direction else 0
    units = _with_levels(units, base)
    return [_line(line, size, base) for line in _broken(units, size, width)] or [Line((), 0.0)]


def text_width(text: str, size: float, bold: bool = False) -> float:
    """How wide the text is on one line."""
    return lay_out([Span(text, bold)], size, 1e9)[0].width


def _broken(units: Sequence[_Unit], size: float, width: float) -> Iterator[list[_Unit]]:
    line: list[_Unit] = []
    filled = 0.0
    for piece in _pieces(units):
        core = list(piece)
        while core and core[-1].is_space:
            core.pop()
        needed = _measure(core, size)
        if line and filled + needed > width:
            yield line
            line, filled = [], 0.0
        if needed <= width:
            line += piece
            filled += _measure(piece, size)
            continue
        for unit in piece:
            step = _measure([unit], size)
            if line and filled + step > width and not unit.is_space:
                yield line
                line, filled = [], 0.0
            line.append(unit)
            filled += step
    if line:
        yield line


def _pieces(units: Sequence[_Unit]) -> Iterator[list[_Unit]]:
    """The stretches between places where a line may be broken."""
    piece: list[_Unit] = []
    for index, unit in enumerate(units):
        piece.append(unit)
        following = units[index + 1] if index + 1 < len(units) else None
        if following is not None and not following.is_space and _may_break(unit, following):
            yield piece
            piece = []
    if piece:
        yield piece


def _may_break(before: _Unit, after: _Unit) -> bool:
    if before.is_space or before.text in _BREAK_AFTER:
        return True
    wide = isinstance(before.face, CidFace) or isinstance(after.face, CidFace)
    hangul = unicodedata.name(before.text[0], "").startswith("HANGUL") and after.face is before.face
    begins, ends = unicodedata.category(after.text[0]), unicodedata.category(before.text[0])
    return wide and not hangul and begins not in _CLOSING and ends not in _OPENING


def _measure(units: Iterable[_Unit], size: float) -> float:
    return sum(_advance(run_units) for run_units in _grouped(units)) * size / UNITS


def _grouped(units: Iterable[_Unit]) -> Iterator[list[_Unit]]:
    """Units in a row that are shaped as one."""
    for _, group in groupby(units, key=lambda unit: (id(unit.face), id(unit.span), unit.script, unit.level)):
        yield list(group)


def _advance(units: Sequence[_Unit]) -> int:
    glyphs = units[0].face.shape("".join(unit.text for unit in units), units[0].level % 2 == 1)
    return sum(glyph.advance for glyph in glyphs)


def _line(units: list[_Unit], size: float, base: int) -> Line:
    # Spaces at the end stand where the line ends, whatever was before them (UAX 9, rule L1).
    core = len(units)
    while core and units[core - 1].is_space:
        core -= 1
    units = units[:core] + [replace(unit, level=base) for unit in units[core:]]
    groups = list(_grouped(units))
    order = _visual_order([group[0].level for group in groups])
    runs: dict[int, Run] = {}
    x = 0.0
    for index in order:
        group = groups[index]
        first, text = group[0], "".join(unit.text for unit in group)
        glyphs = first.face.shape(text, first.level % 2 == 1)
        width = sum(glyph.advance for glyph in glyphs) * size / UNITS
        runs[index] = Run(first.face, glyphs, text, first.level % 2 == 1, first.span, x, width)
        x += width
    spaces = _measure(units[core:], size)
    if base % 2:
        # Seen from the left, the spaces that end a right-to-left line come first: they hang out to the left.
        runs = {index: replace(run, x=run.x - spaces) for index, run in runs.items()}
    return Line(tuple(runs[index] for index in sorted(runs)), x - spaces)


def _visual_order(levels: Sequence[int]) -> list[int]:
    """The runs from left to right: every stretch of a level and above is turned around, the deepest first (rule L2)."""
    order = list(range(len(levels)))
    for level in range(max(levels, default=0), 0, -1):
        start = 0
        while start < len(order):
            end = start
            while end < len(order) and levels[order[end]] >= level:
                end += 1
            order[start:end] = reversed(order[start:end])
            start = end + 1
    return order


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    """The script of a letter by its name (``GREEK``, ``ARABIC``): a shaper takes one at a time. Empty for the rest."""
    return unicodedata.name(char, "").partition(" ")[0] if unicodedata.category(char).startswith("L") else ""


def _base_level(text: str) -> int:
    strong = (unicodedata.bidirectional(char) for char in text)
    return next((int(kind in ("R", "AL")) for kind in strong if kind in ("L", "R", "AL")), 0)


def _with_levels(units: list[_Unit], base: int) -> list[_Unit]:
    """The units with their embedding levels. Text that reads from left to right throughout is left as it is."""
    text = "".join(unit.text for unit in units)
    if not base and not any(unicodedata.bidirectional(char) in _RTL for char in text):
        return units
    levels = _levels(text, base)
    done: list[_Unit] = []
    place = 0
    for unit in units:
        done.append(replace(unit, level=levels[place]))
        place += len(unit.text)
    return done


def _levels(text: str, base: int) -> list[int]:
    """The embedding level of each character. No text here holds controls of direction: `words.safe` shows them."""
    from bidi import algorithm

    storage: Any = algorithm.get_empty_storage()
    storage["base_level"], storage["base_dir"] = base, "LR"[base]
    algorithm.get_embedding_levels(text, storage)
    for place, char in enumerate(storage["chars"]):
        char["place"] = place
    algorithm.explicit_embed_and_overrides(storage)
    algorithm.resolve_weak_types(storage)
    _pair_brackets(storage["chars"], "LR"[base])
    algorithm.resolve_neutral_types(storage, False)
    algorithm.resolve_implicit_levels(storage, False)
    found = {char["place"]: int(char["level"]) for char in storage["chars"]}
    levels: list[int] = []
    for place in range(len(text)):
        # Joiners take part in nothing and stay with what is before them.
        levels.append(found.get(place, levels[-1] if levels else base))
    return levels


def _pair_brackets(chars: Sequence[dict[str, Any]], around: str) -> None:
    """Gives both brackets of a pair one direction, that of what they enclose where it goes on (UAX 9, rule N0).

    `bidi` knows no pairs, and would tear the last bracket off a name in Arabic. `around` is the paragraph's direction.
    """
    for first, last in _bracket_pairs([char["ch"] for char in chars]):
        inside = {_strong(char["type"]) for char in chars[first + 1 : last]} - {""}
        if not inside:
            continue
        before = next((kind for char in reversed(chars[:first]) if (kind := _strong(char["type"]))), around)
        turned = around not in inside and before != around
        chars[first]["type"] = chars[last]["type"] = before if turned else around


def _bracket_pairs(text: Sequence[str]) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    opened: list[tuple[str, int]] = []
    for place, char in enumerate(text):
        if char in _BRACKETS:
            opened.append((_BRACKETS[char], place))
        elif any(char == closing for closing, _ in opened):
            while opened:
                closing, first = opened.pop()
                if closing == char:
                    pairs.append((first, place))
                    break
    return sorted(pairs)


def _strong(kind: str) -> str:
    """The direction that this kind of character has; numbers count as right to left here, as the rule says."""
    return "L" if kind == "L" else "R" if kind in ("R", "AL", "EN", "AN") else ""


def draw(canvas: Any, fonts: EmbeddedFonts, line: Line, x: float, y: float, size: float) -> None:
    """Draws the line with its base line's left end at (x, y)."""
    for run in line.runs:
        canvas._code.append("\n".join(_drawn(fonts, run, x + run.x, y, size)))


def _drawn(fonts: EmbeddedFonts, run: Run, x: float, y: float, size: float) -> Iterator[str]:
    face = run.face
    if isinstance(face, BoxFace):
        places = [x]
        for glyph in run.glyphs:
            places.append(places[-1] + glyph.advance * size / UNITS)
        boxes = list(zip(places, run.glyphs, strict=False))
        for left, glyph in reversed(boxes) if run.rtl else boxes:
            yield from _told(glyph.text, _box(fonts, glyph, run.span.colour, left, y, size))
        return
    red, green, blue = map(number, run.span.colour)
    yield f"BT {red} {green} {blue} rg /{fonts.name(face)} {number(size)} Tf"
    if not run.rtl and all(glyph.text == face.plain(glyph.number) and not glyph.dx | glyph.dy for glyph in run.glyphs):
        yield from _at(_kerned(fonts, face, run.glyphs), x, y)
    else:
        yield from _by_cluster(fonts, face, run, x, y, size)
    yield "ET"


def _kerned(fonts: EmbeddedFonts, face: NotoFace | CidFace, glyphs: Iterable[Glyph]) -> str:
    parts: list[str] = []
    for glyph in glyphs:
        fonts.use(face, glyph)
        parts.append(f"<{glyph.number:04x}>")
        if kern := face.width(glyph.number) - glyph.advance:
            parts.append(str(kern))
    return "".join(parts).replace("><", "")


def _by_cluster(
    fonts: EmbeddedFonts, face: NotoFace | CidFace, run: Run, x: float, y: float, size: float
) -> Iterator[str]:
    """Cluster by cluster in reading order, each with its characters beside it and its marks in their places."""
    groups: list[tuple[float, list[Glyph]]] = []
    for glyph in run.glyphs:
        if glyph.text or not groups:
            groups.append((x, []))
        groups[-1][1].append(glyph)
        x += glyph.advance * size / UNITS
    for start, glyphs in reversed(groups) if run.rtl else groups:
        drawn: list[str] = []
        pen = start
        for glyph in glyphs:
            fonts.use(face, glyph)
            drawn += _at(f"<{glyph.number:04x}>", pen + glyph.dx * size / UNITS, y + glyph.dy * size / UNITS)
            pen += glyph.advance * size / UNITS
        yield from _told(glyphs[0].text, drawn)


def _told(text: str, drawn: Iterable[str]) -> Iterator[str]:
    """What is drawn, with the characters it stands for (PDF 32000-1, 14.9.4)."""
    yield f"/Span <</ActualText <feff{text.encode('utf-16-be').hex()}>>> BDC"
    yield from drawn
    yield "EMC"


def _at(shown: str, x: float, y: float) -> Iterator[str]:
    yield f"1 0 0 1 {number(x)} {number(y)} Tm [{shown}] TJ"


def _box(fonts: EmbeddedFonts, glyph: Glyph, colour: Colour, x: float, y: float, size: float) -> Iterator[str]:
    """A box with the code of its character in two rows, as readers draw what they have no glyph for."""
    em = size / UNITS
    width, bottom, height = (glyph.advance - 80) * em, y - 120 * em, 880 * em
    red, green, blue = map(number, colour)
    yield f"{red} {green} {blue} RG 0.4 w {number(x + 40 * em)} {number(bottom)} {number(width)} {number(height)} re S"
    code = f"{glyph.number:04X}" if glyph.number < 0x10000 else f"{glyph.number:06X}"
    small, face, half = 0.44 * size, noto("NotoSans", False), len(code) // 2
    for row, text in enumerate((code[:half], code[half:])):
        glyphs = face.shape(text, False)
        wide = sum(each.advance for each in glyphs) * small / UNITS
        left = x + 40 * em + (width - wide) / 2
        run = Run(face, glyphs, text, False, Span(text, colour=colour), 0.0, wide)
        yield from _drawn(fonts, run, left, bottom + (0.47 if row == 0 else 0.07) * size, small)


def number(value: float) -> str:
    """A number as PDF has it: at most three decimals, no exponent."""
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
