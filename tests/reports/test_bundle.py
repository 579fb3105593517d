"""The ZIP of the evidence: what is in it, that its hashes verify, and that it is the same each time."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

import analysis_maker as maker
from fakelab.records import Analysis
from fakelab.reports import BINARY_WRITERS, WRITERS
from fakelab.reports.bundle import write_bundle
from fakelab.reports.pdf import write_pdf

SEAL = {"signature": "ab" * 64, "record": "01JQ"}


@pytest.fixture(params=["no_face", "photo", "two_people"])
def any_analysis(request: pytest.FixtureRequest) -> Analysis:
    """Every kind but the crowd, whose hundreds of pictures cost seconds and are like the others'."""
    return maker.EVERY[request.param]()


def bundled(analysis: Analysis, seal: dict[str, str] | None = None, media: bool = False) -> bytes:
    file = io.BytesIO()
    write_bundle(analysis, file, seal, include_media=media)
    return file.getvalue()


def opened(data: bytes) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    return archive


def test_it_holds_the_reports_the_faces_and_the_hashes() -> None:
    analysis = maker.two_people()
    archive = opened(bundled(analysis))
    names = archive.namelist()
    assert names[:4] == ["README.txt", "report.html", "report.pdf", "report.json"]
    assert names[-1] == "SHA256SUMS"
    assert archive.read("report.html").decode() == WRITERS["html"](analysis)
    assert archive.read("report.json").decode() == WRITERS["json"](analysis)
    assert archive.read("report.pdf") == write_pdf(analysis)
    faces = [name for name in names if name.startswith("faces/")]
    kept = sum(face.crop is not None for person in analysis.findings[0].people for face in person.faces)
    assert len(faces) == 3 * kept
    assert faces == sorted(faces)
    assert "faces/face_video/person-02/00006.200s-face.png" in faces


def test_pictures_are_without_loss_and_maps_are_as_they_were() -> None:
    analysis = maker.two_people()
    archive = opened(bundled(analysis))
    face = analysis.findings[0].people[1].faces[0]
    stem = "faces/face_video/person-02/00006.200s"
    assert np.array_equal(np.asarray(Pil.open(io.BytesIO(archive.read(f"{stem}-face.png")))), face.crop)
    map_read = np.asarray(Pil.open(io.BytesIO(archive.read(f"{stem}-map.png"))))
    assert face.heat_map is not None
    assert map_read.shape == face.heat_map.shape
    assert np.abs(map_read / 255 - face.heat_map).max() <= 0.5 / 255 + 1e-6
    assert Pil.open(io.BytesIO(archive.read(f"{stem}-heat.png"))).mode == "RGB"


def test_every_hash_verifies(any_analysis: Analysis) -> None:
    archive = opened(bundled(any_analysis, SEAL))
    rows = [line.split("  ", 1) for line in archive.read("SHA256SUMS").decode().splitlines()]
    assert [name for _, name in rows] == sorted(set(archive.namelist()) - {"SHA256SUMS"})
    assert all(hashlib.sha256(archive.read(name)).hexdigest() == digest for digest, name in rows)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="the command that the README names is not here")
def test_the_command_of_the_readme_verifies_and_finds_a_changed_byte(tmp_path: Path) -> None:
    opened(bundled(maker.photo())).extractall(tmp_path)
    command = re.search(r"sha256sum --check SHA256SUMS", (tmp_path / "README.txt").read_text())
    assert command is not None
    assert subprocess.run(command.group().split(), cwd=tmp_path, capture_output=True).returncode == 0
    changed = tmp_path / "report.json"
    changed.write_bytes(changed.read_bytes().replace(b"0.34", b"0.35", 1))
    assert subprocess.run(command.group().split(), cwd=tmp_path, capture_output=True).returncode == 1


def test_same_analysis_same_bytes(any_analysis: Analysis, tmp_path: Path) -> None:
    first = bundled(any_analysis)
    assert bundled(any_analysis) == first
    with (tmp_path / "a.zip").open("wb") as file:
        BINARY_WRITERS["zip"](any_analysis, file)
    assert (tmp_path / "a.zip").read_bytes() == first
    for entry in opened(first).infolist():
        assert entry.compress_type == zipfile.ZIP_STORED
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)


def test_the_readme_says_what_is_what(any_analysis: Analysis) -> None:
    archive = opened(bundled(any_analysis))
    text = archive.read("README.txt").decode()
    assert any_analysis.file.sha256 in text
    assert "What this does not say" in text
    assert any_analysis.verdict.not_said in " ".join(text.split())
    assert "The analysed file itself is not here" in text
    assert ("faces/  " in text) == any(name.startswith("faces/") for name in archive.namelist())
    assert "media/" not in text
    assert all(name.partition("/")[0] in text for name in archive.namelist() if name != "README.txt")


def test_the_seal_is_a_file_and_stands_in_the_pdf() -> None:
    archive = opened(bundled(maker.photo(), SEAL))
    assert json.loads(archive.read("seal.json")) == SEAL
    assert archive.read("report.pdf") == write_pdf(maker.photo(), SEAL)
    assert "seal.json" in archive.read("README.txt").decode()
    assert "seal.json" not in opened(bundled(maker.photo())).namelist()


def media_of(path: Path, data: bytes) -> Analysis:
    path.write_bytes(data)
    whole = maker.no_face()
    digest = hashlib.sha256(data).hexdigest()
    return replace(whole, file=replace(whole.file, path=str(path), name=path.name, sha256=digest, size_bytes=len(data)))


def test_the_file_itself_comes_along_only_when_asked_for(tmp_path: Path) -> None:
    analysis = media_of(tmp_path / "clip.mp4", b"not really a film" * 200_000)
    archive = opened(bundled(analysis, media=True))
    assert archive.read("media/clip.mp4") == b"not really a film" * 200_000
    assert f"{analysis.file.sha256}  media/clip.mp4\n" in archive.read("SHA256SUMS").decode()
    assert "is not here" not in archive.read("README.txt").decode()
    assert "media/clip.mp4" not in opened(bundled(analysis)).namelist()
    assert bundled(analysis, media=True) == bundled(analysis, media=True)


def test_a_file_that_changed_since_is_refused(tmp_path: Path) -> None:
    analysis = media_of(tmp_path / "clip.mp4", b"before")
    (tmp_path / "clip.mp4").write_bytes(b"after!")
    with pytest.raises(ValueError, match="no longer the file that was analysed"):
        bundled(analysis, media=True)
    (tmp_path / "clip.mp4").unlink()
    with pytest.raises(FileNotFoundError):
        bundled(analysis, media=True)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/x", "C:\\x.mp4", "a\nb\u202e.mp4", "..", "x" * 300, "صورة.mp4"]
)
def test_no_name_leads_out_of_the_archive(name: str, tmp_path: Path) -> None:
    analysis = media_of(tmp_path / "clip.mp4", b"film")
    archive = opened(bundled(replace(analysis, file=replace(analysis.file, name=name)), media=True))
    (kept,) = [each for each in archive.namelist() if each.startswith("media/")]
    inner = kept.removeprefix("media/")
    assert inner not in ("", ".", "..")
    assert not set(inner) & set('/\\:\n\u202e"<>|?*')
    assert len(inner.encode()) <= 120
    archive.extractall(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out" / "media").iterdir()) == [inner]


def test_two_faces_of_one_moment_keep_apart() -> None:
    whole = maker.photo()
    found = whole.findings[0]
    twice = replace(found.people[0], faces=found.people[0].faces * 2)
    names = opened(bundled(replace(whole, findings=(replace(found, people=(twice,)),)))).namelist()
    assert len(names) == len(set(names))
    assert "faces/face_photo/person-01/00000.000s-2-face.png" in names
