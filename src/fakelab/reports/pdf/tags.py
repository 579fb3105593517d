"""The structure tree of the PDF: what is a heading, a paragraph, a cell or a picture, for readers that speak it aloud.

The tree is made while the story is written, in reading order; what is drawn later is hung onto its nodes, page by page.
Tags are the standard structure types of PDF 1.7 (ISO 32000-1, 14.8.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Node:
    """One element of the structure: its type, its words for a picture, its parts in reading order."""

    def __init__(self, tag: str, alt: str = "", scope: str = "") -> None:
        self.tag, self.alt, self.scope = tag, alt, scope
        self.parts: list[Node | tuple[int, int]] = []
        """Elements below, and what was drawn as (page, number on that page)."""

    def add(self, tag: str, alt: str = "", scope: str = "") -> Node:
        """A new element below this one, behind those that are there."""
        below = Node(tag, alt, scope)
        self.parts.append(below)
        return below


class Tree:
    """The structure of one document."""

    def __init__(self) -> None:
        self.root = Node("Document")
        self._marks: dict[int, list[Node]] = {}

    @contextmanager
    def marked(self, canvas: Any, node: Node | None) -> Iterator[None]:
        """What is drawn inside belongs to the node; without one it is decoration, which no reader speaks."""
        if node is None:
            canvas._code.append("/Artifact BMC")
        else:
            page = canvas.getPageNumber()
            marks = self._marks.setdefault(page, [])
            node.parts.append((page, len(marks)))
            canvas._code.append(f"/{node.tag} <</MCID {len(marks)}>> BDC")
            marks.append(node)
        yield
        canvas._code.append("EMC")

    def close(self, document: Any) -> None:
        """Writes the tree into the document, once all pages are drawn."""
        from reportlab.pdfbase import pdfdoc

        made: dict[int, Any] = {}
        top = pdfdoc.PDFDictionary({"Type": "/StructTreeRoot"})
        top_reference = document.Reference(top, "structure")
        top["K"] = self._element(document, self.root, top_reference, made)
        numbers: list[Any] = []
        for page in sorted(self._marks):
            elements = pdfdoc.PDFArray([made[id(node)] for node in self._marks[page]])
            numbers += [page - 1, document.Reference(elements, f"marks:{page}")]
            _set(document.idToObject[f"Page{page}"], StructParents=page - 1, Tabs="/S")
        top["ParentTree"] = document.Reference(pdfdoc.PDFDictionary({"Nums": pdfdoc.PDFArray(numbers)}), "parents")
        top["ParentTreeNextKey"] = max(self._marks, default=0)
        document.Catalog.StructTreeRoot = top_reference
        document.Catalog.MarkInfo = pdfdoc.PDFDictionary({"Marked": "true"})

    def _element(self, document: Any, node: Node, parent: Any, made: dict[int, Any]) -> Any:
        from reportlab.pdfbase import pdfdoc

        element = pdfdoc.PDFDictionary({"Type": "/StructElem", "S": f"/{node.tag}", "P": parent})
        reference = made[id(node)] = document.Reference(element, f"element:{len(made)}")
        if node.alt:
            element["Alt"] = pdfdoc.PDFString(node.alt)
        if node.scope:
            element["A"] = pdfdoc.PDFDictionary({"O": "/Table", "Scope": f"/{node.scope}"})
        parts = []
        for part in node.parts:
            if isinstance(part, Node):
                parts.append(self._element(document, part, reference, made))
            else:
                page, number = part
                shown = pdfdoc.PDFObjectReference(f"Page{page}")
                parts.append(pdfdoc.PDFDictionary({"Type": "/MCR", "Pg": shown, "MCID": number}))
        element["K"] = pdfdoc.PDFArray(parts)
        return reference


def _set(page: Any, **entries: Any) -> None:
    """Entries of a page that reportlab does not know by name."""
    page.__NoDefault__ = [*page.__NoDefault__, *entries]
    for name, value in entries.items():
        setattr(page, name, value)
