"""The evidence in one ZIP: the reports, every face that was kept with its heat map, and the hashes of all of it.

Stored and not compressed, in a fixed order and with one fixed time, so that the same analysis gives the same bytes;
written as it goes, so that a file of media of any size passes through little memory.
"""

from __future__ import annotations

import hashlib
import json
import textwrap
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from fakelab.records import Analysis, FaceScore
from fakelab.reports import words

_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that a ZIP can say: the times that matter stand in the reports."""
_MODE = 0o644 << 16
_CHUNK = 1 << 20
_NAME_BYTES = 120
_README = """\
FakeLab evidence
================

File      {name}
Size      {size}
SHA-256   {sha256}
Verdict   {level}{score}

{not_said}

What is what
------------
report.html   the report to read in a browser; it loads nothing from anywhere
report.pdf    the same to print and to file
report.json   the same for machines, in the published schema fakelab.analysis/1
{faces}{maps}{seal}{media}SHA256SUMS    the SHA-256 of everything here but itself

How to verify
-------------
1. Nothing here was changed since it was written:   sha256sum --check SHA256SUMS
2. The file is the one that was analysed: its SHA-256 must be the one above
     sha256sum FILE                  (Linux)
     shasum -a 256 FILE              (macOS)
     certutil -hashfile FILE SHA256  (Windows)
3. The result can be repeated: run the FakeLab version and the models that report.json names, with its settings.

The hashes show whether something was changed by accident or after they were noted elsewhere: whoever can change a file
here can change SHA256SUMS too. The pictures show faces from the file: share them with the same care.
"""
_FACES_LINE = """\
faces/        the faces that were kept, PNG without loss. DETECTOR/person-N/TIMEs-face.png is the face as the network
              saw it, -heat.png the heat map over it (brighter = where the network saw traces; it can mislead), and
              -map.png the map alone, one pixel for each of its cells, 0 black to 1 white
"""
_MAPS_LINE = """\
maps/         the maps of the checks of compression, PNG without loss, 0 black to 1 white; report.html says how to read
              each, and when it misleads
"""


def write_bundle(
    analysis: Analysis, target: BinaryIO, seal: Mapping[str, str] | None = None, include_media: bool = False
) -> None:
    """Writes the ZIP to `target`, a binary file open for writing and seeking.

    `seal` (signature, key fingerprint, head of the event chain, record) becomes seal.json, and stands in the PDF.
    `include_media` adds the analysed file itself. Raises OSError where that cannot be read, and ValueError where it is
    no longer the file that was analysed; what was written by then is no whole ZIP.
    """
    media = f"media/{_file_name(analysis.file.name)}" if include_media else ""
    sums: dict[str, str] = {}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, data in _parts(analysis, seal, media):
            archive.writestr(_entry(name), data)
            sums[name] = hashlib.sha256(data).hexdigest()
        if media:
            sums[media] = _copy_media(archive, media, analysis)
        archive.writestr(_entry("SHA256SUMS"), "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))


def _parts(analysis: Analysis, seal: Mapping[str, str] | None, media: str) -> Iterator[tuple[str, bytes]]:
    from fakelab.reports.html import write_html
    from fakelab.reports.json_report import write_json
    from fakelab.reports.pdf import write_pdf
    from fakelab.reports.pictures import grey, png

    yield "README.txt", _readme(analysis, bool(seal), media).encode()
    yield "report.html", write_html(analysis).encode()
    yield "report.pdf", write_pdf(analysis, seal)
    yield "report.json", write_json(analysis).encode()
    if seal:
        yield "seal.json", (json.dumps(dict(seal), indent=2, sort_keys=True) + "\n").encode()
    yield from sorted(_faces(analysis), key=lambda part: part[0])
    for check in analysis.evidence:
        for name, heat in check.maps:
            yield f"maps/{_file_name(check.name)}-{_file_name(name)}.png", png(grey(heat))


def _faces(analysis: Analysis) -> Iterator[tuple[str, bytes]]:
    taken: set[str] = set()
    for finding in analysis.findings:
        for person in finding.people:
            folder = f"faces/{_file_name(finding.detector)}/person-{person.person:02d}"
            for face in person.faces:
                if face.crop is None:
                    continue
                stem = _unlike(f"{folder}/{face.time_s:09.3f}s", taken)
                yield from _face(stem, face)


def _face(stem: str, face: FaceScore) -> Iterator[tuple[str, bytes]]:
    from fakelab.reports import pictures

    if face.crop is None:
        return
    yield f"{stem}-face.png", pictures.png(face.crop)
    if face.heat_map is not None:
        yield f"{stem}-heat.png", pictures.png(pictures.overlay(face.crop, face.heat_map))
        yield f"{stem}-map.png", pictures.png(pictures.grey(face.heat_map))


def _unlike(stem: str, taken: set[str]) -> str:
    """The stem, with a number where two faces of one person share a moment."""
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name)
    return name


def _copy_media(archive: zipfile.ZipFile, name: str, analysis: Analysis) -> str:
    digest = hashlib.sha256()
    entry = _entry(name)
    # The archive must know beforehand whether 32 bits hold the size.
    entry.file_size = analysis.file.size_bytes
    with Path(analysis.file.path).open("rb") as source, archive.open(entry, "w", force_zip64=True) as copy:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != analysis.file.sha256:
        raise ValueError(f"'{analysis.file.path}' is no longer the file that was analysed: its SHA-256 has changed")
    return digest.hexdigest()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.external_attr = _MODE
    # Unix, whatever machine writes it: the rights above are read by its rules.
    entry.create_system = 3
    return entry


def _file_name(name: str) -> str:
    """A name that no file system takes for a path, and that hides nothing."""
    shown = "".join("_" if char in '/\\:*?"<>|' or not char.isprintable() else char for char in words.safe(name))
    kept = shown.strip(". ") or "file"
    return kept.encode()[:_NAME_BYTES].decode(errors="ignore") if len(kept.encode()) > _NAME_BYTES else kept


def _readme(analysis: Analysis, sealed: bool, media: str) -> str:
    level, _ = words.headline(analysis.verdict)
    score = f", score {words.percent(analysis.verdict.p_fake)}" if analysis.verdict.p_fake is not None else ""
    text = _README.format(
        name=words.safe(analysis.file.name),
        size=f"{words.byte_size(analysis.file.size_bytes)} ({analysis.file.size_bytes} bytes)",
        sha256=words.safe(analysis.file.sha256),
        level=level,
        score=score,
        not_said=textwrap.fill(f"What this does not say: {words.safe(words.not_said(analysis.verdict))}", 110),
        faces=_FACES_LINE if _has_faces(analysis) else "",
        maps=_MAPS_LINE if any(check.maps for check in analysis.evidence) else "",
        seal="seal.json     what signs the report\n" if sealed else "",
        media=f"{media}\n              the file that was analysed\n" if media else "",
    )
    absent = "" if media else "\nThe analysed file itself is not here: its SHA-256 above tells which one it was.\n"
    return text + absent


def _has_faces(analysis: Analysis) -> bool:
    faces: Iterable[FaceScore] = (
        face for finding in analysis.findings for person in finding.people for face in person.faces
    )
    return any(face.crop is not None for face in faces)
