"""What a record keeps of where it was made: by whom, on what machine, and the pictures that its report shows."""

from __future__ import annotations

import dataclasses
import os
import platform
from pathlib import Path

from fakelab.records import Analysis
from fakelab.reports.read_json import face_name, map_name


def who() -> str:
    """Who starts a run from the command line: the name of the account, as the system tells it."""
    import getpass

    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"


def hardware() -> str:
    """The processor and its cores, in words."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass  # not Linux: the short name has to do
    return f"{name}, {os.cpu_count() or 1} cores, {platform.system()} {platform.machine()}"


def pictures(analysis: Analysis) -> dict[str, bytes]:
    """The faces, heat maps and maps of checks that a report shows, as PNG files by name."""
    from fakelab.reports.pictures import grey, png

    files: dict[str, bytes] = {}
    for finding in analysis.findings:
        for person in finding.people:
            for number, face in enumerate(person.faces):
                for part, pixels in (
                    ("crop", face.crop),
                    ("map", None if face.heat_map is None else grey(face.heat_map)),
                ):
                    if pixels is not None:
                        files[face_name(finding.detector, person.person, number, part)] = png(pixels)
    for check in analysis.evidence:
        for name, heat in check.maps:
            files[map_name(check.name, name)] = png(grey(heat))
    return files


def renamed(analysis: Analysis, name: str) -> Analysis:
    """The analysis of a file that was handed in, under the name it came with rather than the place it was kept at."""
    return dataclasses.replace(analysis, file=dataclasses.replace(analysis.file, name=name, path=name))
