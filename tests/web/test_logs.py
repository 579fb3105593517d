"""The server's log: one JSON object a line, and in none of them the name of a file, a place on the disk or a person."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from web_maker import Desk, photo_bytes

from fakelab.web.serve import JsonLines

SECRETS = ("whistleblower", "Zoë Quill", "/home/", "/tmp/", "site-packages", ".py")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the log of a server would hold."""
    kept = io.StringIO()
    handler = logging.StreamHandler(kept)
    handler.setFormatter(JsonLines())
    root = logging.getLogger("fakelab")
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield kept
    root.removeHandler(handler)
    root.setLevel(level)


def _read(lines: io.StringIO) -> list[dict[str, Any]]:
    text = lines.getvalue()
    assert [each for each in SECRETS if each in text] == [], text
    return [json.loads(line) for line in text.splitlines()]


def test_a_day_of_files_that_work_and_fail_names_none_of_them(desk: Desk, lines: io.StringIO) -> None:
    for data, name in ((photo_bytes(88_001), "whistleblower Zoë Quill.jpg"), (b"none", "whistleblower.mp4")):
        made = desk.hand_in(data, name).json()["id"]
        assert desk.result(made)["state"] in ("done", "failed")
        assert desk.client.get(f"/api/v1/analyses/{made}/report.json").status_code in (200, 404)
    desk.client.get("/api/v1/analyses", params={"q": "whistleblower"})
    desk.client.get("/api/v1/whistleblower")
    told = _read(lines)
    assert {"request", "fakelab.work"} <= {line["message"] for line in told} | {line["logger"] for line in told}
    for line in told:
        assert (
            {"at", "level", "logger", "message"}
            <= line.keys()
            <= {
                *("at", "level", "logger", "message", "id", "method", "route", "status", "ms"),
            }
        )


def test_a_bug_is_told_by_its_kind_and_its_places_alone(
    desk: Desk, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*words: object, **more: object) -> None:
        try:
            open("/home/desk/whistleblower.mp4")  # noqa: SIM115
        except OSError as error:
            raise ValueError("'/tmp/whistleblower.mp4' of Zoë Quill") from error

    monkeypatch.setattr(desk.house.history, "page", broken)
    answer = desk.client.get("/api/v1/analyses")
    assert answer.status_code == 500 and "whistleblower" not in answer.text
    [line] = [each for each in _read(lines) if each["level"] == "error"]
    assert line["message"] == "request failed: a bug, ValueError"
    outer, inner = line["error"]
    assert outer.startswith("ValueError: ") and inner.startswith("FileNotFoundError: ")
    assert "fakelab.web.api:" in outer and outer.endswith(" broken")


def test_a_loop_of_causes_ends_and_an_error_without_a_place_is_told() -> None:
    first, second = ValueError("whistleblower"), KeyError("whistleblower")
    first.__cause__, second.__cause__ = second, first
    record = logging.LogRecord("a", logging.ERROR, "x.py", 1, "failed", None, (ValueError, first, None))
    told = json.loads(JsonLines().format(record))
    assert told["error"] == ["ValueError: raised nowhere", "KeyError: raised nowhere"]
