"""The report for the file and the desk: a tagged PDF on A4 that is the same, byte for byte, each time it is made.

No clock, no random number and no earlier document has a say in it. Text of any script can be read, searched and copied.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from datetime import UTC
from typing import Any

import fakelab
from fakelab.records import Analysis
from fakelab.reports import words

LANGUAGE = "en"
_FOOT = 30.0
"""Height of the footer's base line over the edge of the page."""


def write_pdf(analysis: Analysis, seal: Mapping[str, str] | None = None, compressed: bool = True) -> bytes:
    """The PDF file. `seal` is what signs the report (signature, key, record, ...), printed in the appendix.

    `compressed` is for those who want to read the pages' operators. Raises ValueError where a part fits on no page.
    """
    from reportlab.pdfgen.canvas import Canvas

    from fakelab.reports.pdf.flow import PAGE_HEIGHT, PAGE_WIDTH, Paper, place
    from fakelab.reports.pdf.fonts import EmbeddedFonts
    from fakelab.reports.pdf.story import tell
    from fakelab.reports.pdf.tags import Tree

    file = io.BytesIO()
    canvas: Any = Canvas(
        file,
        pagesize=(PAGE_WIDTH, PAGE_HEIGHT),
        invariant=1,
        pageCompression=int(compressed),
        lang=LANGUAGE,
        pdfVersion=(1, 7),
    )
    paper = Paper(EmbeddedFonts(canvas._doc), Tree())
    canvas.paper = paper
    canvas._doc.delayedFonts.append(paper.fonts)
    _describe(canvas, analysis)
    place(tell(analysis, paper.tree.root, seal), canvas)
    _footers(canvas, analysis)
    paper.tree.close(canvas._doc)
    canvas.save()
    return file.getvalue()


def _describe(canvas: Any, analysis: Analysis) -> None:
    """Title, maker and date: those of the analysis, never those of the moment of writing."""
    level, _ = words.headline(analysis.verdict)
    canvas.setTitle(words.safe(f"{level}: {analysis.file.name} – FakeLab report"))
    canvas.setSubject("How strong the evidence is that a face was manipulated, and why")
    canvas.setAuthor("FakeLab")
    canvas.setCreator(words.safe(f"FakeLab {analysis.versions.get('fakelab', fakelab.__version__)}"))
    canvas.setKeywords(f"SHA-256 {words.safe(analysis.file.sha256)}")
    canvas.setViewerPreference("DisplayDocTitle", "true")
    document = canvas._doc
    started = analysis.started.astimezone(UTC) if analysis.started.tzinfo else analysis.started
    document._timeStamp.YMDhms = started.timetuple()[:6]
    document._timeStamp.dhh = document._timeStamp.dmm = 0
    # The file's identifier, which reportlab would make from the clock or a variable of the environment.
    document.signature = hashlib.md5(analysis.file.sha256.encode("utf-8", "replace"), usedforsecurity=False)


def _footers(canvas: Any, analysis: Analysis) -> None:
    """Writes page numbers and the file's fingerprint under every page, now that their number is known."""
    from fakelab.reports.pdf.flow import MARGIN_X, PAGE_WIDTH, QUIET
    from fakelab.reports.pdf.text import Span, draw, lay_out

    document, paper = canvas._doc, canvas.paper
    total = document.pageCounter - 1
    for page in range(1, total + 1):
        canvas._code = []
        with paper.tree.marked(canvas, None):
            sides = (f"FakeLab report · SHA-256 {analysis.file.sha256}", f"Page {page} of {total}")
            for place, text in enumerate(sides):
                line = lay_out([Span(text, colour=QUIET)], 7.0, 400.0)[0]
                left = PAGE_WIDTH - MARGIN_X - line.width if place else MARGIN_X
                draw(canvas, paper.fonts, line, left, _FOOT, 7.0)
        document.idToObject[f"Page{page}"].stream += "\n".join([*canvas._code, ""])
    canvas._code = []
