"""What a build adds to the package: the commit it was made from, since a wheel holds no repository."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts `fakelab/commit.txt` into wheels and source distributions that are built from a checkout."""

    _folder: Path | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        spec = importlib.util.spec_from_file_location("commit", root / "src" / "fakelab" / "commit.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found = module.commit_of(root)
        if version == "editable" or not found:
            return
        self._folder = Path(tempfile.mkdtemp(prefix="fakelab-build-"))
        file = self._folder / module.FILE_NAME
        file.write_text(found + "\n", encoding="ascii")
        inside = "fakelab" if self.target_name == "wheel" else "src/fakelab"
        build_data["force_include"][str(file)] = f"{inside}/{module.FILE_NAME}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
