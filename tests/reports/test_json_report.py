from __future__ import annotations

import base64
import copy
import json
import math
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import jsonschema
import numpy as np
import pytest

import analysis_maker as maker
from fakelab.records import Analysis, Level, Verdict
from fakelab.reports import json_report
from fakelab.reports.json_report import document, dumps_line, error_document, write_json, write_jsonl


def closed(schema: Any) -> Any:
    """The schema with every object closed, so that a field that it forgot is found."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    copied = {name: closed(each) for name, each in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        copied["additionalProperties"] = False
    return copied


PUBLISHED = json_report.schema()
CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER
OPEN = jsonschema.Draft202012Validator(PUBLISHED, format_checker=CHECKER)
CLOSED = jsonschema.Draft202012Validator(closed(PUBLISHED), format_checker=CHECKER)


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(PUBLISHED)
    assert PUBLISHED["properties"]["schema"]["const"] == json_report.SCHEMA_ID == "fakelab.analysis/1"


def test_every_kind_of_analysis_keeps_to_it(any_analysis: Analysis) -> None:
    read = json.loads(write_json(any_analysis))
    CLOSED.validate(read)
    assert list(read)[:4] == ["schema", "file", "verdict", "findings"]
    assert read["verdict"]["level"] == any_analysis.verdict.level.value
    assert read["verdict"]["sentence"] == any_analysis.verdict.sentence
    assert read["started"] == "2026-03-14T09:26:53.589Z"


def test_readers_must_put_up_with_new_fields_but_not_in_leaves() -> None:
    doc = document(maker.two_people())
    doc["file"]["perceptual_hash"] = "0"
    OPEN.validate(doc)
    doc["verdict"]["reasons"][0]["extra"] = 1
    assert not OPEN.is_valid(doc)


def test_people_and_faces_are_there_without_pictures() -> None:
    analysis = maker.two_people()
    person = document(analysis)["findings"][0]["people"][1]
    face = person["faces"][0]
    assert set(face) == {"time_s", "box", "logit", "p_fake", "reason"}
    assert face["box"] == [200.0, 120.5, 180.25, 220.75]
    assert person["suspicious"][0] == {"start_s": 12.0, "end_s": 19.5}
    assert document(analysis)["findings"][0]["measured"]["bits_per_pixel"] == 0.0869


@pytest.mark.parametrize("where", ["verdict", "finding", "person"])
def test_the_schema_wants_p_fake_null_exactly_where_nothing_could_be_judged(where: str) -> None:
    def part(doc: dict[str, Any]) -> dict[str, Any]:
        found = doc["findings"][0]
        return {"verdict": doc["verdict"], "finding": found, "person": found["people"][0]}[where]

    sound = document(maker.two_people())
    judged_without, unjudged_with = copy.deepcopy(sound), copy.deepcopy(sound)
    part(judged_without)["p_fake"] = None
    part(judged_without)["reason"] = {"p_fake": "?"}
    part(unjudged_with)["level"] = "not_analysable"
    assert OPEN.is_valid(sound)
    assert not OPEN.is_valid(judged_without)
    assert not OPEN.is_valid(unjudged_with)
    part(unjudged_with)["p_fake"] = None
    assert not OPEN.is_valid(unjudged_with), "a null needs its reason"
    part(unjudged_with)["reason"] = {"p_fake": "too dark"}
    assert OPEN.is_valid(unjudged_with)


@pytest.mark.parametrize(
    ("level", "p_fake"),
    [
        (Level.STRONG, None),
        (Level.NOT_ANALYSABLE, 0.5),
        (Level.STRONG, math.nan),
        (Level.STRONG, 1.2),
        (Level.STRONG, -math.inf),
    ],
)
def test_a_verdict_that_contradicts_itself_is_refused(level: Level, p_fake: float | None) -> None:
    whole = maker.two_people()
    with pytest.raises(ValueError, match="p_fake of the verdict"):
        write_json(replace(whole, verdict=Verdict(level, p_fake, "?", "?")))


def test_what_is_not_finite_becomes_null_with_its_reason() -> None:
    whole = maker.two_people()
    found = whole.findings[0]
    face = replace(found.people[0].faces[0], logit=math.inf, p_fake=math.nan, box=(0.0, math.nan, 1.0, 1.0))
    person = replace(found.people[0], logit=-math.inf, faces=(face,))
    broken = replace(
        whole,
        file=maker.info(fps=math.nan),
        findings=(replace(found, people=(person,), measured={"blur": math.nan}),),
        timings={"probe_s": math.inf, "score_s": 1.0},
        settings={"prior": math.nan, "every_s": np.float32(0.5), "size": np.int64(3)},
    )
    text = write_json(broken)
    assert "NaN" not in text
    assert "Infinity" not in text
    doc = json.loads(text)
    CLOSED.validate(doc)
    assert doc["findings"][0]["people"][0]["faces"][0]["reason"] == dict.fromkeys(
        ("box", "logit", "p_fake"), "not a finite number"
    )
    assert doc["findings"][0]["reason"]["measured.blur"] == "not a finite number"
    assert doc["timings"] == {"score_s": 1.0}
    assert doc["settings"] == {"prior": None, "every_s": 0.5, "size": 3}


def test_an_unknown_field_of_the_file_says_why() -> None:
    file = document(maker.photo())["file"]
    assert file["duration_s"] is None
    assert file["reason"]["duration_s"] == "a photo has none"


def test_jsonl_is_one_line_for_every_reader() -> None:
    text = write_jsonl(maker.named("a\nb\u2028c\u0085d\u202e.mp4"))
    assert len(text.splitlines()) == 1
    assert json.loads(text) == json.loads(write_json(maker.named("a\nb\u2028c\u0085d\u202e.mp4")))
    assert json.loads(text)["file"]["name"] == "a\nb\u2028c\u0085d\u202e.mp4"


def test_a_name_that_is_no_unicode_can_still_be_found() -> None:
    analysis = maker.named("caf\udce9.mp4")
    text = write_json(analysis)
    assert text.encode("utf-8")
    file = json.loads(text)["file"]
    CLOSED.validate(json.loads(text))
    assert file["name"] == "caf\ufffd.mp4"
    assert base64.b64decode(file["path_base64"]) == b"/in/caf\xe9.mp4"
    assert "path_base64" not in document(maker.two_people())["file"]


def test_settings_of_any_type_can_be_written() -> None:
    settings = {"path": PurePosixPath("/a"), "level": Level.STRONG, "set": {"b", "a"}, "pair": (1, None), "on": True}
    plain = document(replace(maker.two_people(), settings=settings))["settings"]
    assert plain == {"path": "/a", "level": "strong_evidence", "set": ["a", "b"], "pair": [1, None], "on": True}


def test_a_file_that_failed_has_a_document_too() -> None:
    doc = error_document(
        "/in/x\udcff.mp4",
        "x\udcff.mp4",
        "unreadable",
        "/in/x\udcff.mp4 cannot be read",
        "it is empty",
        "Copy it again.",
        maker.STARTED,
    )
    read = json.loads(dumps_line(doc).encode("utf-8"))
    CLOSED.validate(read)
    assert read["verdict"]["level"] == "not_analysable"
    assert read["verdict"]["p_fake"] is None
    assert read["verdict"]["reasons"][0]["code"] == read["error"]["code"] == "unreadable"
    assert read["verdict"]["reasons"][0]["text"] == "/in/x\ufffd.mp4 cannot be read: it is empty. Copy it again."
    assert read["file"]["sha256"] is None
    assert read["file"]["reason"]["sha256"]
    assert not OPEN.is_valid({name: value for name, value in read.items() if name != "error"})


def test_a_failure_without_a_given_time_takes_the_present() -> None:
    assert CLOSED.is_valid(error_document("a", "a", "unsupported", "a is text"))
