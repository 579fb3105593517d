"""Enough of a PDF reader to see what a report of ours says: pages, text in reading order, structure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    rb"/Span <</ActualText <feff([0-9a-f]*)>>> BDC|/(\w+) <</MCID (\d+)>> BDC|/(Artifact) BMC|(EMC)\b"
    rb"|/(N\d+) [\d.]+ Tf|\[([^\]]*)\] TJ"
)


@dataclass
class Element:
    """One element of the structure: its type, the words of a picture, its text in reading order, its parts."""

    tag: str
    alt: str
    text: str
    parts: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> list[Element]:
        """This element and those below it of this type, in reading order."""
        return ([self] if self.tag == tag else []) + [each for part in self.parts for each in part.all(tag)]

    @property
    def whole_text(self) -> str:
        return " ".join(filter(None, [self.text, *(part.whole_text for part in self.parts)]))


class Pdf:
    """A report made by ``write_pdf(..., compressed=False)``."""

    def __init__(self, data: bytes) -> None:
        assert data.startswith(b"%PDF-1.7")
        assert data.rstrip().endswith(b"%%EOF")
        self.objects = {
            int(number): body for number, body in re.findall(rb"(?m)^(\d+) 0 obj\n(.*?)endobj$", data, re.DOTALL)
        }
        self.catalog = self._of_type(b"/Catalog")[0]
        kids = next(body for body in self.objects.values() if re.search(rb"/Type /Pages\b", body))
        kids_list = re.search(rb"/Kids \[(.*?)\]", kids, re.DOTALL)
        assert kids_list is not None
        self._pages = [int(number) for number in re.findall(rb"(\d+) 0 R", kids_list.group(1))]
        self._fonts = self._read_fonts()
        self.marked: list[dict[int, str]] = []
        """For each page, the text of each marked part by its number."""
        self.artifacts: list[str] = []
        """For each page, what no reader speaks: the footer, repeated headers, labels of axes."""
        for page in self._pages:
            self._read_page(self._reference(self.objects[page], b"Contents"))

    @property
    def pages_count(self) -> int:
        return len(self._pages)

    @property
    def text(self) -> str:
        """All text in reading order; what was drawn in one part stands together."""
        return " ".join(text for page in self.marked for _, text in sorted(page.items()))

    def structure(self) -> Element:
        """The document element."""
        root = self._reference(self.catalog, b"StructTreeRoot")
        return self._element(self._reference(root, b"K"))

    def info(self, name: str) -> bytes:
        """A value of the document's information, as it stands in the file."""
        body = next(body for body in self.objects.values() if b"/Producer" in body)
        found = re.search(rb"/%s (.*)" % name.encode(), body)
        assert found is not None
        return found.group(1)

    def _of_type(self, name: bytes) -> list[bytes]:
        return [body for body in self.objects.values() if re.search(rb"/Type %s\b" % name, body)]

    def _reference(self, body: bytes, name: bytes) -> bytes:
        found = re.search(rb"/%s (\d+) 0 R" % name, body)
        assert found is not None, (name, body[:200])
        return self.objects[int(found.group(1))]

    def _stream(self, body: bytes) -> bytes:
        return body[body.index(b"stream\n") + 7 : body.rindex(b"endstream")]

    def _read_fonts(self) -> dict[str, dict[int, str] | None]:
        """Font name -> glyph -> text; None for fonts whose glyphs are the characters' codes."""
        table = next(body for body in self.objects.values() if re.search(rb"/N1 \d+ 0 R", body))
        fonts: dict[str, dict[int, str] | None] = {}
        for name, number in re.findall(rb"/(N\d+) (\d+) 0 R", table):
            body = self.objects[int(number)]
            if b"UCS2" in body:
                fonts[name.decode()] = None
                continue
            rows = re.findall(rb"(?m)^<(\w{4})> <(\w+)>$", self._stream(self._reference(body, b"ToUnicode")))
            fonts[name.decode()] = {int(g, 16): bytes.fromhex(t.decode()).decode("utf-16-be") for g, t in rows}
        return fonts

    def _read_page(self, body: bytes) -> None:
        marked: dict[int, str] = {}
        artifact, font = "", ""
        stack: list[tuple[str, int]] = []
        for token in _TOKEN.finditer(self._stream(body)):
            actual, tag, number, is_artifact, end, font_name, shown = token.groups()
            text = ""
            if actual is not None:
                stack.append(("Span", -1))
                text = bytes.fromhex(actual.decode()).decode("utf-16-be")
            elif tag:
                assert not stack, "marked parts do not lie in each other"
                stack.append((tag.decode(), int(number)))
                marked[int(number)] = ""
            elif is_artifact:
                assert not stack, "decoration does not lie in a marked part"
                stack.append(("Artifact", -1))
            elif end:
                stack.pop()
            elif font_name:
                font = font_name.decode()
            elif stack[-1][0] != "Span":
                for code in re.findall(rb"[0-9a-f]{4}", b"".join(re.findall(rb"<([0-9a-f]+)>", shown))):
                    table = self._fonts[font]
                    text += chr(int(code, 16)) if table is None else table[int(code, 16)]
            if text:
                name, mark = next(each for each in stack if each[0] != "Span")
                if name == "Artifact":
                    artifact += text
                else:
                    marked[mark] += text
        assert not stack
        self.marked.append(marked)
        self.artifacts.append(artifact)

    def _element(self, body: bytes) -> Element:
        tag = re.search(rb"/S /(\w+)", body)
        alt = re.search(rb"/Alt \((.*?)(?<!\\)\)", body, re.DOTALL)
        kids = re.search(rb"/K \[(.*)\]", body, re.DOTALL)
        assert tag is not None
        assert kids is not None
        element = Element(tag.group(1).decode(), alt.group(1).decode("latin-1") if alt else "", "")
        text = []
        for mark, page_part, below in re.findall(
            rb"<<([^<>]*?/MCID[^<>]*?)>>|(\d+ 0 R(?=[^<>]*>>))|(\d+) 0 R", kids.group(1), re.DOTALL
        ):
            if mark:
                page = re.search(rb"/Pg (\d+) 0 R", mark)
                number = re.search(rb"/MCID (\d+)", mark)
                assert page is not None
                assert number is not None
                text.append(self.marked[self._pages.index(int(page.group(1)))][int(number.group(1))])
            elif below and not page_part:
                element.parts.append(self._element(self.objects[int(below)]))
        element.text = " ".join(text)
        return element
