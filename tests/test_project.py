"""The project as a whole: import rules, imports without effect, what a wheel carries, and what must not be in it."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fakelab
from fakelab.cli import EXIT_CODES, VERBS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "fakelab"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HEAVY = ("torch", "av", "cv2", "onnxruntime", "numpy", "scipy", "PIL", "typer", "rich", "pydantic")


def _loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_rooms_import_only_what_they_may() -> None:
    command = [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_importing_fakelab_loads_nothing_heavy() -> None:
    loaded = _loaded_by("import fakelab")
    assert not loaded & {*HEAVY, "fakelab.records", "fakelab.analyze"}


@pytest.mark.parametrize(
    "module",
    ["settings", "media", "faces", "faces.find", "models.card", "models.runtime", "verdict", "analyze", "reports"],
)
def test_a_room_loads_no_decoder_and_no_network_when_imported(module: str) -> None:
    assert not _loaded_by(f"import fakelab.{module}") & {"torch", "av", "cv2", "onnxruntime", "PIL"}


def test_blending_needs_no_torch() -> None:
    assert not _loaded_by("import fakelab.training.blend") & {"torch", "torchvision", "timm", "onnx"}


def test_the_name_analyze_is_the_function_whatever_was_imported() -> None:
    code = "import fakelab.analyze, types\nfrom fakelab import analyze\nassert type(analyze) is types.FunctionType"
    assert "fakelab.analyze" in _loaded_by(code)
    module = importlib.import_module("fakelab.analyze")
    assert fakelab.analyze is module.analyze


def test_every_public_name_is_there() -> None:
    assert {name for name in fakelab.__all__ if not hasattr(fakelab, name)} == set()
    assert set(fakelab.__all__) <= set(dir(fakelab))
    with pytest.raises(AttributeError, match="no attribute 'analyse'"):
        _ = fakelab.analyse


def test_the_base_install_has_no_torch() -> None:
    names = {re.split(r"[<>=!~\[; ]", each)[0].lower() for each in PROJECT["project"]["dependencies"]}
    assert not names & {"torch", "torchvision", "timm", "onnx", "scikit-learn", "matplotlib", "accelerate"}


def test_constraints_are_names_and_versions_of_everything() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.match(r"^[a-z0-9-]+==[\w.!+]+( ; [^:/@]+)?$", line)] == []
    pinned = {line.partition("==")[0] for line in lines}
    asked = [*PROJECT["project"]["dependencies"]]
    for extra in PROJECT["project"]["optional-dependencies"].values():
        asked += extra
    assert {re.split(r"[<>=!~\[; ]", each)[0] for each in asked} <= pinned


def test_a_wheel_carries_more_than_code() -> None:
    from hatchling.builders.wheel import WheelBuilder

    carried = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    data = {
        path.relative_to(ROOT / "src").as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".part")
    }
    assert data <= carried
    for ending in ("py.typed", "fakelab.analysis-1.json", ".j2", "tiny/card.json", "clip_face/card.json"):
        assert any(path.endswith(ending) for path in carried), ending


def test_the_version_stands_in_one_place() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", fakelab.__version__)
    others = [p for p in PACKAGE.rglob("*.py") if "__version__ =" in p.read_text(encoding="utf-8")]
    assert others == [PACKAGE / "__init__.py"]


def test_no_file_is_longer_than_600_lines() -> None:
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]
    assert [p.name for p in files if len(p.read_text(encoding="utf-8").splitlines()) > 600] == []


def test_the_readme_names_both_commands_every_room_and_the_exit_codes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme
    assert "make test" in readme
    rooms = {path.stem for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"} - {
        "__init__",
        "__main__",
    }
    assert {room for room in rooms if not room.startswith("__") and f" {room}" not in readme} == set()
    assert {code for code in EXIT_CODES if code != 141 and f"| {code} |" not in readme} == set()
    for link in re.findall(r"\]\(([^)]+)\)", readme):
        assert (ROOT / link).is_file(), link


def test_every_verb_has_a_file_of_its_own() -> None:
    for verb, (module, _) in VERBS.items():
        name = verb.replace("-", "_")
        assert (PACKAGE / "cli" / f"{name}.py").is_file()
        assert module == f"fakelab.cli.{name}"


def test_the_ci_runs_the_checks_and_the_tests_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("make")] == ["make check", "make test"]
