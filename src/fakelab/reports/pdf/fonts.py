"""Fonts of the PDF: which one has a character, how it shapes a run, and what of it goes into the file.

Latin, Greek, Cyrillic, Devanagari and Arabic are shaped by HarfBuzz with Noto Sans, of which the glyphs that are used
go into the file. Chinese, Japanese and Korean take Adobe's fonts for each language, which are named and not embedded:
every reader brings its own. What no font has is drawn as a box with the character's code. Nothing here depends on what
was drawn before, so that the same text gives the same bytes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any

UNITS = 1000
"""Font units to the em, of every font here."""
_DROPPED_TABLES = ("GSUB", "GPOS", "GDEF", "STAT", "name", "OS/2", "post", "cmap", "DSIG", "meta")
"""Tables that a PDF reader does not ask for: glyphs are addressed by number."""
_INVISIBLE = "\u200c\u200d\ufe0e\ufe0f"
"""Joiners and variation selectors, which shape their neighbours and need no glyph of their own."""

CJK: dict[str, tuple[str, str, str]] = {
    "STSong-Light": ("UniGB-UCS2-H", "gb2312", "gbk"),
    "MSung-Light": ("UniCNS-UCS2-H", "big5", "big5"),
    "HeiseiMin-W3": ("UniJIS-UCS2-H", "shift_jis", "cp932"),
    "HYSMyeongJo-Medium": ("UniKS-UCS2-H", "euc_kr", "cp949"),
}
"""Font -> the encoding of its text in a PDF, the codec of what its language commonly writes, and of all that it has."""


@dataclass(frozen=True, slots=True)
class Glyph:
    """One glyph of a shaped run, in thousandths of an em. `text` is what its cluster stands for, told by its first."""

    number: int
    advance: int
    dx: int
    dy: int
    text: str


class NotoFace:
    """A face of Noto Sans at one weight: shapes text, and gives the file of the glyphs that were used."""

    def __init__(self, name: str, package: str, weight: int) -> None:
        import uharfbuzz as hb

        self.name, self._weight = name, weight
        files = sorted(each.name for each in (resources.files(package) / "files").iterdir())
        upright = next(each for each in files if each.endswith(".ttf") and "Italic" not in each)
        self._face = hb.Face((resources.files(package) / "files" / upright).read_bytes())
        self._font = hb.Font(self._face)
        self._font.set_variations({"wght": weight})
        extents = self._font.get_font_extents("ltr")
        self.ascent, self.descent = int(extents.ascender), int(extents.descender)
        self._glyphs = {code: self._font.get_nominal_glyph(code) for code in sorted(self._face.unicodes)}
        self._plain = {glyph: chr(code) for code, glyph in reversed(self._glyphs.items())}

    def has(self, cluster: str) -> bool:
        """Whether every character of the cluster that needs a glyph has one."""
        return all(ord(char) in self._glyphs for char in cluster if char not in _INVISIBLE)

    def shape(self, text: str, rtl: bool) -> tuple[Glyph, ...]:
        """The glyphs from left to right as they are drawn."""
        return _shape(self, text, rtl)

    def width(self, glyph: int) -> int:
        """The advance that the font itself states, in thousandths of an em."""
        return int(self._font.get_glyph_h_advance(glyph))

    def plain(self, glyph: int) -> str:
        """The character that this glyph is drawn for by itself; empty for one that shaping alone brings about."""
        return self._plain.get(glyph, "")

    def file(self, glyphs: set[int]) -> bytes:
        """A TrueType file of these glyphs alone at this weight; their numbers stay."""
        import uharfbuzz as hb

        wanted = hb.SubsetInput()
        wanted.glyph_set.update(glyphs)
        wanted.flags = hb.SubsetFlags.RETAIN_GIDS | hb.SubsetFlags.NO_LAYOUT_CLOSURE | hb.SubsetFlags.NOTDEF_OUTLINE
        wanted.drop_table_tag_set.update(int.from_bytes(tag.encode(), "big") for tag in _DROPPED_TABLES)
        wanted.pin_axis_to_default(self._face, "wdth")
        wanted.pin_axis_location(self._face, "wght", self._weight)
        return bytes(hb.subset(self._face, wanted).blob.data)

    def _shaped(self, text: str, rtl: bool) -> Iterator[Glyph]:
        import uharfbuzz as hb

        buffer = hb.Buffer()
        buffer.add_str(text)
        buffer.guess_segment_properties()
        buffer.direction = "rtl" if rtl else "ltr"
        hb.shape(self._font, buffer, {"kern": True, "liga": False})
        infos = buffer.glyph_infos
        starts = sorted({info.cluster for info in infos})
        ends = dict(zip(starts, [*starts[1:], len(text)], strict=True))
        # A cluster's characters are told by one of its glyphs: the first that is drawn, and the rest stay mute.
        told: set[int] = set()
        for info, place in zip(infos, buffer.glyph_positions, strict=True):
            words = "" if info.cluster in told else text[info.cluster : ends[info.cluster]]
            told.add(info.cluster)
            yield Glyph(info.codepoint, place.x_advance, place.x_offset, place.y_offset, words)


@lru_cache(maxsize=4096)
def _shape(face: NotoFace, text: str, rtl: bool) -> tuple[Glyph, ...]:
    return tuple(face._shaped(text, rtl))


@dataclass(frozen=True, slots=True)
class CidFace:
    """A font of Adobe's for Chinese, Japanese or Korean that the reader's machine stands in for."""

    name: str
    encoding: str
    common: str
    whole: str
    ascent: int = 880
    descent: int = -120

    def has(self, cluster: str) -> bool:
        """Whether the font has every character, to judge by its national standard. Latin is left to Noto Sans."""
        return _encodes(self.whole, cluster) and all(0x2000 < ord(char) < 0x10000 for char in cluster)

    def writes(self, char: str) -> bool:
        """Whether the font's own language commonly writes this character."""
        return _encodes(self.common, char)

    def shape(self, text: str, rtl: bool) -> tuple[Glyph, ...]:
        """One glyph for each character, drawn from left to right; its number is the character's code (UCS-2)."""
        from reportlab.pdfbase.cidfonts import widthsByUnichar

        widths = widthsByUnichar[self.name]
        glyphs = [Glyph(ord(char), int(widths.get(char, UNITS)), 0, 0, char) for char in text]
        return tuple(reversed(glyphs) if rtl else glyphs)

    def plain(self, glyph: int) -> str:
        """The character that this glyph is drawn for."""
        return chr(glyph)

    def width(self, glyph: int) -> int:
        """The advance of a character, in thousandths of an em."""
        from reportlab.pdfbase.cidfonts import widthsByUnichar

        return int(widthsByUnichar[self.name].get(chr(glyph), UNITS))


def _encodes(codec: str, text: str) -> bool:
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class BoxFace:
    """For what no font has: a box with the character's code in it, so that it is seen and can be looked up."""

    name: str = "box"
    ascent: int = 780
    descent: int = -160

    def shape(self, text: str, rtl: bool) -> tuple[Glyph, ...]:
        """One box for each character, wide enough for its code in two rows."""
        glyphs = [Glyph(ord(char), 680 if ord(char) < 0x10000 else 900, 0, 0, char) for char in text]
        return tuple(reversed(glyphs) if rtl else glyphs)

    def width(self, glyph: int) -> int:
        """The width of a box, in thousandths of an em."""
        return 680 if glyph < 0x10000 else 900


Face = NotoFace | CidFace | BoxFace

REGULAR, BOLD = 400, 650
_PACKAGES = {"NotoSans": "fontpkg_noto_sans", "NotoSansArabic": "fontpkg_noto_sans_arabic"}


@cache
def noto(family: str, bold: bool) -> NotoFace:
    """The face of this family, loaded once. Raises ModuleNotFoundError where its package is missing."""
    return NotoFace(family + ("Bold" if bold else ""), _PACKAGES[family], BOLD if bold else REGULAR)


BOX = BoxFace()
_CID_FACES = {name: CidFace(name, *row) for name, row in CJK.items()}


def clusters(text: str) -> list[str]:
    """The text in pieces that must stay together: a character with the marks and joiners that belong to it."""
    pieces: list[str] = []
    for char in text:
        joins = unicodedata.category(char) in ("Mn", "Me", "Mc") or char in _INVISIBLE
        if pieces and (joins or pieces[-1].endswith("\u200d")):
            pieces[-1] += char
        else:
            pieces.append(char)
    return pieces


def faces_for(text: str, bold: bool) -> list[tuple[str, Face]]:
    """Each cluster of the text with the face that draws it; neighbours are asked where a language leaves a choice."""
    order = _cjk_order(text)
    found: list[tuple[str, Face]] = []
    for piece in clusters(text):
        face = next((face for face in _candidates(piece, bold, order) if face.has(piece)), None)
        if face is None and len(piece) > 1:
            # The marks of a letter may be missing where the letter is not: better the letter with boxes for the rest.
            found += [(char, _single(char, bold, order)) for char in piece]
        else:
            found.append((piece, face or BOX))
    return found


def _single(char: str, bold: bool, order: tuple[str, ...]) -> Face:
    return next((face for face in _candidates(char, bold, order) if face.has(char)), BOX)


def _candidates(piece: str, bold: bool, order: tuple[str, ...]) -> Iterator[NotoFace | CidFace]:
    yield noto("NotoSans", bold)
    # Marks and digits of Arabic script are in both; letters decide, and they are in one.
    yield noto("NotoSansArabic", bold)
    if ord(piece[0]) > 0x2000:
        yield from (_CID_FACES[name] for name in order)


@lru_cache(maxsize=1024)
def _cjk_order(text: str) -> tuple[str, ...]:
    """The fonts for Chinese, Japanese and Korean, those of the text's own language first.

    Han characters are shared: kana beside them tell Japanese, hangul Korean. Else simplified Chinese is tried first.
    """
    names = list(CJK)
    kana = any("\u3041" <= char <= "\u30ff" or "\uff66" <= char <= "\uff9f" for char in text)
    hangul = any("\uac00" <= char <= "\ud7a3" or "\u3131" <= char <= "\u318e" for char in text)
    han = [char for char in text if "\u4e00" <= char <= "\u9fff"]
    if kana:
        first = "HeiseiMin-W3"
    elif hangul:
        first = "HYSMyeongJo-Medium"
    else:
        # One font for the whole name where one has all of it, or strokes of different weight would stand side by side.
        first = next((name for name in names if all(map(_CID_FACES[name].writes, han))), names[0])
    return (first, *(name for name in names if name != first))


class EmbeddedFonts:
    """The fonts of one document: gives each face its name in the file, keeps what was used, writes it at the end."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self._names: dict[str, str] = {}
        self._faces: dict[str, NotoFace | CidFace] = {}
        self._used: dict[str, dict[int, str]] = {}

    def name(self, face: NotoFace | CidFace) -> str:
        """The face's name in the document's resources, such as ``N1``."""
        if face.name not in self._names:
            self._names[face.name] = f"N{len(self._names) + 1}"
            self._faces[face.name], self._used[face.name] = face, {}
        return self._names[face.name]

    def use(self, face: NotoFace | CidFace, glyph: Glyph) -> None:
        """Notes that this glyph is drawn."""
        # A bracket that was turned around is another bracket's glyph: by itself each stands for its own character.
        text = face.plain(glyph.number) or glyph.text
        self._used[face.name].setdefault(glyph.number, text)

    def addObjects(self, document: Any) -> None:  # noqa: N802, reportlab's name for it
        """Writes every font into the document; reportlab calls this once, before it closes the file."""
        table = document.idToObject["BasicFonts"].dict
        for key, face in self._faces.items():
            used = self._used[key]
            made = _noto_object(document, face, used) if isinstance(face, NotoFace) else _cid_object(face)
            table[self._names[key]] = document.Reference(made, f"font:{self._names[key]}")


def _noto_object(document: Any, face: NotoFace, used: dict[int, str]) -> Any:
    from reportlab.pdfbase import pdfdoc

    # Six letters name a subset (PDF 32000-1, 9.6.4); fixed ones, since each face has one subset in a file.
    name = f"FKLABA+{face.name}"
    data = face.file(set(used))
    file = _stream(document, data)
    file.dictionary["Length1"] = len(data)
    descriptor = pdfdoc.PDFDictionary({
        "Type": "/FontDescriptor", "FontName": f"/{name}", "FontBBox": pdfdoc.PDFArray([-700, -740, 2800, 1400]),
        "Flags": 4, "ItalicAngle": 0, "Ascent": face.ascent, "Descent": face.descent, "CapHeight": 714, "StemV": 80,
        "FontFile2": document.Reference(file, f"file:{face.name}"),
    })  # fmt: skip
    widths: list[Any] = []
    for glyph in sorted(used):
        widths += [glyph, pdfdoc.PDFArray([face.width(glyph)])]
    below = pdfdoc.PDFDictionary({
        "Type": "/Font", "Subtype": "/CIDFontType2", "BaseFont": f"/{name}", "CIDToGIDMap": "/Identity", "DW": 0,
        "CIDSystemInfo": _system("Identity", 0), "W": pdfdoc.PDFArray(widths),
        "FontDescriptor": document.Reference(descriptor, f"descriptor:{face.name}"),
    })  # fmt: skip
    return pdfdoc.PDFDictionary({
        "Type": "/Font", "Subtype": "/Type0", "BaseFont": f"/{name}", "Encoding": "/Identity-H",
        "DescendantFonts": pdfdoc.PDFArray([document.Reference(below, f"below:{face.name}")]),
        "ToUnicode": document.Reference(_stream(document, _to_unicode(used)), f"unicode:{face.name}"),
    })  # fmt: skip


def _cid_object(face: CidFace) -> Any:
    from copy import deepcopy

    from reportlab.pdfbase.cidfonts import CIDFontInfo, structToPDF

    described = deepcopy(CIDFontInfo[face.name])
    described.pop("Name", None)
    described["Encoding"] = f"/{face.encoding}"
    return structToPDF(described)


def _system(ordering: str, supplement: int) -> Any:
    from reportlab.pdfbase import pdfdoc

    return pdfdoc.PDFDictionary({
        "Registry": pdfdoc.PDFString("Adobe"), "Ordering": pdfdoc.PDFString(ordering), "Supplement": supplement,
    })  # fmt: skip


def _stream(document: Any, content: bytes) -> Any:
    from reportlab.pdfbase import pdfdoc

    return pdfdoc.PDFStream(content=content, filters=[pdfdoc.PDFZCompress] if document.compression else [])


def _to_unicode(used: dict[int, str]) -> bytes:
    """The table by which text is copied and searched: glyph -> UTF-16."""
    rows = [f"<{glyph:04x}> <{text.encode('utf-16-be').hex()}>" for glyph, text in sorted(used.items()) if text]
    blocks = [rows[start : start + 100] for start in range(0, len(rows), 100)]
    body = "\n".join(f"{len(block)} beginbfchar\n" + "\n".join(block) + "\nendbfchar" for block in blocks)
    return (
        "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n"
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n"
        "/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n"
        f"1 begincodespacerange\n<0000> <ffff>\nendcodespacerange\n{body}\n"
        "endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n"
    ).encode()
