"""`models`, `config`, `doctor` and `train`, and the pages made from them."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import analysis_maker as maker
import fakelab.cli.doctor as doctor
import fakelab.cli.train as train_verb
from fakelab.cli import EXIT_CODES, VERBS, main
from fakelab.cli.docs import PAGES, cli_page, settings_page, stale
from fakelab.models.card import MODELS
from fakelab.service.history import History
from fakelab.settings import table

ROOT = Path(__file__).parents[2]


def test_models_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{name} " in f"\n{out}" for name in MODELS)


def test_models_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", "tiny"]) == 0
    assert capsys.readouterr().out.startswith("tiny ")
    assert main(["models", "show", "tiny", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "tiny"


@pytest.mark.parametrize(
    ("rows", "code"), [([("tiny/model.onnx", True, "ok")], 0), ([("tiny/model.onnx", False, "missing")], 4)]
)
def test_models_verify(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rows: list[tuple[str, bool, str]],
    code: int,
) -> None:
    monkeypatch.setattr("fakelab.models.card.verify", lambda name: rows)
    assert main(["models", "verify", "tiny"]) == code
    assert "tiny/model.onnx" in capsys.readouterr().out


def test_config_shows_where_each_value_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKELAB_FINDER", "dlib")
    monkeypatch.setenv("FAKELAB_FINDR", "dlib")
    assert main(["config", "show"]) == 0
    out, err = capsys.readouterr()
    assert "finder     = dlib  (FAKELAB_FINDER)" in out
    assert "model      = clip_face  (default)" in out
    assert "FAKELAB_FINDR is no setting" in err
    assert main(["config", "show", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["finder"] == {"value": "dlib", "from": "FAKELAB_FINDER"}


def test_a_bad_value_in_the_environment_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKELAB_PRIOR", "often")
    assert main(["config", "show"]) == 2
    assert "FAKELAB_PRIOR cannot be 'often'" in capsys.readouterr().err


def test_doctor_says_that_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor"])
    out = capsys.readouterr().out
    assert (code, out.count("BROKEN")) == (0, 0), out
    assert "self-test" in out
    assert "network" in out


def test_doctor_finds_what_is_broken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(__import__("fakelab.cli.doctor", fromlist=["BASE"]).BASE, "no-such-package", "no_such_module")
    assert main(["doctor"]) == 4
    assert "BROKEN   no-such-package" in capsys.readouterr().out


def test_doctor_knows_every_extra_that_people_install() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra, packages in project["optional-dependencies"].items():
        if extra not in ("demo", "dev", "train"):
            assert doctor.OPTIONAL[extra] == tuple(re.split(r"[<>=\[]", each)[0] for each in packages)
    assert set(doctor.OPTIONAL) < set(project["optional-dependencies"])


def _line(capsys: pytest.CaptureFixture[str], what: str) -> str:
    """The state and the detail of one of doctor's lines."""
    sheet = doctor._Sheet()
    check = {"history": doctor._history, "room for files": doctor._room}[what]
    sheet.check(what, check)
    line = capsys.readouterr().out
    assert line[9:].startswith(what)
    return f"{line[:8].strip()}: {line[40:].strip()}"


def test_doctor_looks_at_the_history_and_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "kept"
    monkeypatch.setenv("FAKELAB_DATA_DIR", str(folder))
    assert _line(capsys, "history") == f"ok: none yet; it will be in {folder}"
    assert not folder.exists()
    history = History(folder)
    run = history.add(maker.two_people(), actor="cli")
    history.note("cli", "viewed", run.id)
    history.close()
    assert _line(capsys, "history") == f"ok: 1 analyses, 2 events, in {folder}"
    other = f"sqlite:///{tmp_path / 'other' / 'kept.sqlite3'}"
    monkeypatch.setenv("FAKELAB_DATABASE", other)
    assert _line(capsys, "history") == f"ok: none yet; it will be in {other}"
    assert not (tmp_path / "other").exists()
    monkeypatch.setenv("FAKELAB_DATABASE", "postgresql://nobody@127.0.0.1:9/none")
    state = _line(capsys, "history")
    assert state.startswith("BROKEN") and "history" in state


def test_doctor_looks_at_a_history_on_postgresql_and_makes_none(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import psycopg

    monkeypatch.setenv("FAKELAB_DATA_DIR", str(tmp_path / "kept"))
    monkeypatch.setenv("FAKELAB_DATABASE", postgres_url)
    assert _line(capsys, "history") == "ok: none yet; it will be in PostgreSQL"
    with psycopg.connect(postgres_url) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables == (0,) and not (tmp_path / "kept").exists()
    history = History(tmp_path / "kept", postgres_url)
    history.add(maker.two_people(), actor="cli")
    history.close()
    assert _line(capsys, "history") == "ok: 1 analyses, 1 events, in PostgreSQL"


def test_doctor_says_how_much_room_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKELAB_DATA_DIR", str(tmp_path / "not" / "there" / "yet"))
    asked: list[Path] = []

    def usage(free: int) -> Any:
        def disk_usage(path: Path) -> Any:
            asked.append(path)
            return SimpleNamespace(free=free)

        return disk_usage

    monkeypatch.setattr("shutil.disk_usage", usage(7 << 30))
    assert _line(capsys, "room for files") == "ok: 7 GB free"
    assert asked == [tmp_path], "the nearest folder that there is"
    monkeypatch.setattr("shutil.disk_usage", usage(500 << 20))
    assert _line(capsys, "room for files") == "BROKEN: the disk is nearly full: 500 MB are free. Delete old records."


def test_train_has_a_flag_for_every_choice_but_the_tables() -> None:
    from fakelab.training.loop import TrainConfig

    flags = set(inspect.signature(train_verb.train).parameters)
    choices = {each.name for each in fields(TrainConfig)} - {"kinds", "sources"}
    assert choices <= flags
    assert flags - choices == {"out", "config", "manifest", "mesh", "make_twins", "upsamplers", "twin_faces"}


def test_train_names_the_defaults_that_hold() -> None:
    from fakelab.training.loop import TrainConfig

    page = cli_page().partition("## fakelab train\n")[2].partition("\n## ")[0]
    for each in fields(TrainConfig):
        if isinstance(each.default, (int, float)) and each.name != "threads":
            line = next(line for line in page.splitlines() if re.search(f"`--{each.name.replace('_', '-')}[ `]", line))
            holds = ("off", "on")[each.default] if isinstance(each.default, bool) else f"{each.default:g}"
            assert f"[default: {holds}]" in line


def test_train_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(train_verb, "NEEDS", ("no_such_module",))
    assert main(["train", "--out", "run"]) == 4
    assert "fakelab-verify[train]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing option '--out'"),
        (["--out", "run"], "Give --store FOLDER."),
        (["--out", "run", "--store", "nowhere", "--mesh", "file"], "--mesh has no use here"),
        (["--out", "run", "--store", "nowhere", "--make-twins", "folder"], "Give --twins FOLDER."),
        (["--out", "run", "--store", "nowhere", "--twin-faces", "5"], "--twin-faces has no use here"),
        (["--out", "run", "--store", "nowhere", "--twin-faces", "0"], "Give --twin-faces 1 or more."),
        (["--out", "run", "--store", "nowhere"], "nowhere holds no face store"),
        (["--out", "run", "--config", "nowhere.toml"], "nowhere.toml cannot be read"),
    ],
)
def test_train_says_what_is_missing(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *words]) == 2
    assert said in capsys.readouterr().err


def test_train_refuses_a_setting_that_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.toml"
    file.write_text("stepz = 3\n")
    assert main(["train", "--out", str(tmp_path / "run"), "--config", str(file)]) == 2
    assert "Did you mean 'steps'?" in capsys.readouterr().err


def test_the_pages_are_what_the_code_says() -> None:
    assert stale(ROOT) == []


def test_every_command_setting_and_exit_code_is_documented() -> None:
    page = cli_page()
    assert all(f"## fakelab {verb}" in page for verb in VERBS)
    assert all(f"| {code} |" in page for code in EXIT_CODES)
    assert all(f"`{row.variable}`" in settings_page() for row in table().values())


def test_a_page_that_is_old_is_found(tmp_path: Path) -> None:
    assert stale(tmp_path) == list(PAGES)
