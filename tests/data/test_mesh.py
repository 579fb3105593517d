from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fakelab.data.mesh import make_mesh
from fakelab.errors import EnvironmentBrokenError


def test_without_the_interpreter_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(EnvironmentBrokenError, match="Install 'ai-edge-litert', or train without --mesh"):
        make_mesh(Path("face_landmark.tflite"))


def test_without_its_file_the_error_names_it(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert.interpreter", reason="the extra 'train' is not installed")
    with pytest.raises(EnvironmentBrokenError, match=r"no landmark model at .*face_landmark\.tflite"):
        make_mesh(tmp_path / "face_landmark.tflite")
