"""The checks without a network, in every report."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile

import jsonschema
import numpy as np

import analysis_maker as maker
from fakelab.records import Analysis, Check
from fakelab.reports.bundle import write_bundle
from fakelab.reports.html import write_html
from fakelab.reports.json_report import document, schema
from fakelab.reports.pdf import write_pdf
from fakelab.reports.read_json import map_name, read_document
from fakelab.reports.text import write_text
from fakelab.service.origin import pictures

CHECKS = (
    Check(
        "metadata",
        "contradictions",
        "Two things do not fit.",
        (("Camera", "Canon <b>"), ("Time, taken", "2024-05-01")),
        ("It was changed before it was taken.",),
        (),
        "Read it so.",
        "Wrong clocks.",
    ),
    Check("ela", "map", "How it changes.", maps=(("error_level", np.eye(4, dtype=np.float32)),), how_to_read="Look."),
)


def with_checks() -> Analysis:
    return dataclasses.replace(maker.two_people(), evidence=CHECKS)


def test_json_and_back() -> None:
    doc = document(with_checks())
    jsonschema.Draft202012Validator(schema()).validate(doc)
    assert doc["evidence"][1]["maps"] == ["error_level"]
    kept = pictures(with_checks())
    assert "evidence-ela-error_level.png" in kept
    back = read_document(json.loads(json.dumps(doc)), lambda name: np.eye(4, dtype=np.uint8) * 255)
    plain = [
        [dataclasses.asdict(dataclasses.replace(each, maps=())) for each in checks]
        for checks in (back.evidence, CHECKS)
    ]
    assert plain[0] == plain[1]
    assert np.allclose(back.evidence[1].maps[0][1], CHECKS[1].maps[0][1])
    assert map_name("ela", "error_level") == "evidence-ela-error_level.png"


def test_a_document_of_before_has_no_checks() -> None:
    doc = document(maker.two_people())
    del doc["evidence"]
    jsonschema.Draft202012Validator(schema()).validate(doc)
    assert read_document(doc).evidence == ()


def test_text_tells_contradictions_and_names_maps() -> None:
    told = write_text(with_checks())
    assert "Provenance, metadata and compression" in told
    assert "! It was changed before it was taken." in told
    assert "Maps, in the HTML report: Error level (ELA)." in told
    assert "Provenance" not in write_text(maker.two_people())


def test_html_escapes_and_draws() -> None:
    page = write_html(with_checks())
    assert "Canon &lt;b&gt;" in page and "Canon <b>" not in page
    assert "data:image/png;base64," in page
    assert "How to read this." in page and "When it misleads." in page


def test_pdf_and_zip_hold_them() -> None:
    assert write_pdf(with_checks()) != write_pdf(maker.two_people())
    out = io.BytesIO()
    write_bundle(with_checks(), out)
    with zipfile.ZipFile(out) as archive:
        assert "maps/ela-error_level.png" in archive.namelist()
        assert "maps/" in archive.read("README.txt").decode()
