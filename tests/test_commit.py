"""The commit in every record: from a checkout, a worktree, a build, an installer's note; never by starting git."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fakelab import analyze, commit
from fakelab.analyze import versions
from fakelab.reports.json_report import document, schema
from fakelab.reports.read_json import read_document

ROOT = Path(__file__).parents[1]
ONE, OTHER = "1" * 40, "a" * 40


def _git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_it_is_the_one_that_git_tells(tmp_path: Path) -> None:
    repository = tmp_path / "r"
    repository.mkdir()
    assert commit.commit_of(repository) == ""
    _git(repository, "init", "-q", "-b", "some/branch")
    assert commit.commit_of(repository) == "", "nothing was committed yet"
    _git(repository, "commit", "-q", "--allow-empty", "-m", "a")
    first = _git(repository, "rev-parse", "HEAD")
    assert commit.commit_of(repository) == first
    _git(repository, "worktree", "add", "-q", "-b", "side", str(tmp_path / "w"))
    _git(tmp_path / "w", "commit", "-q", "--allow-empty", "-m", "b")
    second = _git(tmp_path / "w", "rev-parse", "HEAD")
    _git(repository, "pack-refs", "--all")
    assert commit.commit_of(repository) == first
    assert commit.commit_of(tmp_path / "w") == second != first
    _git(repository, "checkout", "-q", "--detach", second)
    assert commit.commit_of(repository) == second


def test_a_build_and_an_installer_tell_it_where_there_is_no_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "PACKAGE", tmp_path)
    notes: list[str | None] = [None, "no json", f'{{"vcs_info": {{"commit_id": "{OTHER}"}}}}', '{"dir_info": {}}', "[]"]
    found = []
    for note in notes:
        told = SimpleNamespace(read_text=lambda name, note=note: note)
        monkeypatch.setattr("importlib.metadata.distribution", lambda name, told=told: told)
        found.append(commit.commit.__wrapped__())
    assert found == ["", "", OTHER, "", ""]
    (tmp_path / commit.FILE_NAME).write_text(ONE + "\n")
    assert commit.commit.__wrapped__() == ONE
    (tmp_path / commit.FILE_NAME).write_bytes(b"\xff\xfe")
    assert commit.commit.__wrapped__() == ""


def test_a_build_carries_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text(ONE + "\n")
    (tmp_path / "src" / "fakelab").mkdir(parents=True)
    source = ROOT / "src" / "fakelab" / "commit.py"
    (tmp_path / "src" / "fakelab" / "commit.py").write_bytes(source.read_bytes())

    def carried(target: str, version: str = "standard") -> dict[str, str]:
        data: dict[str, Any] = {"force_include": {}}
        hook = module.CommitHook(str(tmp_path), {}, None, None, str(tmp_path), target)
        hook.initialize(version, data)
        found = {inside: Path(file).read_text().strip() for file, inside in data["force_include"].items()}
        hook.finalize(version, data, "")
        assert not any(Path(file).exists() for file in data["force_include"])
        return found

    assert carried("wheel") == {"fakelab/commit.txt": ONE}
    assert carried("sdist") == {"src/fakelab/commit.txt": ONE}
    assert carried("wheel", "editable") == {}
    (tmp_path / ".git" / "HEAD").unlink()
    assert carried("wheel") == {}


def test_a_record_names_it_and_the_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import jsonschema
    from PIL import Image

    monkeypatch.setattr(commit, "commit", lambda: ONE)
    Image.new("RGB", (320, 240), (90, 120, 150)).save(tmp_path / "a.png")
    analysis = analyze(tmp_path / "a.png", model="tiny")
    doc = document(analysis)
    jsonschema.Draft202012Validator(schema()).validate(doc)
    assert doc["versions"]["commit"] == ONE and doc["seed"] == 7
    assert read_document(doc).seed == 7
    monkeypatch.setattr(commit, "commit", lambda: "")
    assert versions()["commit"] == "unknown"
    # One of an earlier version has neither, and stays valid.
    del doc["seed"], doc["versions"]["commit"]
    jsonschema.Draft202012Validator(schema()).validate(doc)
    assert read_document(doc).seed is None
