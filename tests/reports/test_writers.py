"""What every writer owes: lazy, deterministic, valid UTF-8, one final newline."""

from __future__ import annotations

import subprocess
import sys

import pytest

import analysis_maker as maker
from fakelab.records import Analysis
from fakelab.reports import WRITERS


def test_importing_the_room_loads_nothing_heavy() -> None:
    heavy = "{'numpy', 'jinja2', 'PIL', 'cv2', 'torch', 'json', 'reportlab', 'uharfbuzz', 'bidi', 'zipfile'}"
    code = f"import sys; import fakelab.reports; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("format_name", WRITERS)
def test_same_analysis_same_bytes(format_name: str, any_analysis: Analysis) -> None:
    text = WRITERS[format_name](any_analysis)
    assert text == WRITERS[format_name](any_analysis)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert text.encode("utf-8")


@pytest.mark.parametrize("format_name", WRITERS)
def test_hostile_names_come_out_as_valid_utf_8_without_overrides(format_name: str) -> None:
    name = "<script>\n\r\x1b[31m\x00\x9b\u202e\u2066\u2028\udce9\ud800.mp4"
    text = WRITERS[format_name](maker.named(name))
    assert text.encode("utf-8")
    assert not set(text) & set("\x1b\x00\x9b\u202e\u2066\u2028")
    assert "\r" not in text


@pytest.mark.parametrize("format_name", ["text", "html"])
def test_the_verdict_never_clears_a_file(format_name: str, any_analysis: Analysis) -> None:
    text = WRITERS[format_name](any_analysis).lower()
    assert "authentic" not in text.replace("does not show that the file is authentic", "")
    assert " real " not in text
    assert not set(text) & set("✓✔✅☑")
