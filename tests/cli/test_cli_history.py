"""The verbs of the history, and what `analyze` keeps in it."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import analysis_maker as maker
from fakelab.cli import main
from fakelab.cli.diary import Diary
from fakelab.service.history import History


def test_analyze_keeps_every_result_and_every_failure(
    fake: object, photos: Callable[..., Path], kept: History, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", str(photos("strong.jpg", "plain.jpg", "bad.jpg")), "--model", "tiny"]) == 3
    runs = {run.name: run for run in kept.every()}
    assert {name: run.level for name, run in runs.items()} == {
        "strong.jpg": "strong_evidence",
        "plain.jpg": "no_evidence_found",
        "bad.jpg": "not_analysable",
    }
    assert runs["bad.jpg"].error and all(run.actor.startswith("cli") for run in runs.values())
    capsys.readouterr()
    assert main(["history"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()] == [run.id for run in kept.every()]


def test_no_history_keeps_nothing(fake: object, photos: Callable[..., Path], kept: History) -> None:
    assert main(["analyze", str(photos("plain.jpg")), "--no-history", "--model", "tiny"]) == 0
    assert kept.total() == 0


@pytest.mark.parametrize("broken", ["sqlite", "postgresql", "neither"])
def test_a_history_that_does_not_work_costs_no_result(
    broken: str,
    fake: object,
    photos: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = photos("plain.jpg", "strong.jpg")
    if broken == "sqlite":
        monkeypatch.setenv("FAKELAB_DATA_DIR", str(folder / "plain.jpg" / "below"))
    else:
        url = {"postgresql": "postgresql://nobody@127.0.0.1:9/none", "neither": "mysql://nobody@127.0.0.1:9/none"}
        monkeypatch.setenv("FAKELAB_DATABASE", url[broken])
    assert main(["analyze", str(folder), "--model", "tiny"]) == 0
    said = capsys.readouterr()
    assert said.out.count("What people read.") == 2
    assert said.err.count("are not kept in the history") == 1


def test_what_the_history_needs_is_imported_once_the_file_is_open(
    fake: Any, photos: Callable[..., Path], kept: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[tuple[int, str]] = []
    plain = Diary.prepare

    def prepare(self: Diary) -> None:
        plain(self)
        assert self._importing is None or self._importing.name == "fakelab-history"
        began.append((len(fake.calls), "none" if self._importing is None else "thread"))

    monkeypatch.setattr(Diary, "prepare", prepare)
    folder = photos("plain.jpg", "strong.jpg")
    assert main(["analyze", str(folder), "--model", "tiny"]) == 0
    assert began == []  # this `analyze` never tells that a file is open
    fake.stages = ("open", "model", "faces")
    assert main(["analyze", str(folder), "--model", "tiny"]) == 0
    assert main(["analyze", str(folder / "plain.jpg"), "--model", "tiny", "--no-history"]) == 0
    assert began == [(3, "thread"), (4, "thread"), (5, "none")]
    assert not [each for each in threading.enumerate() if each.name == "fakelab-history"]
    assert kept.total() == 4


def test_a_history_that_cannot_be_imported_is_told_when_a_result_is_kept(
    fake: Any, photos: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.stages = ("model",)
    monkeypatch.delitem(sys.modules, "fakelab.service.history")
    monkeypatch.setitem(sys.modules, "fakelab.service.chain", None)
    assert main(["analyze", str(photos("plain.jpg")), "--model", "tiny"]) == 4
    said = capsys.readouterr()
    assert "a part of FakeLab is missing" in said.err and "Traceback" not in said.err


def test_search_export_show_and_delete(kept: History, capsys: pytest.CaptureFixture[str]) -> None:
    run = kept.add(maker.two_people(), actor="cli:ada")
    kept.add(maker.photo(), actor="cli:ada")
    assert main(["history", "clip", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == [run.id] and rows[0]["level"] == "strong_evidence"
    assert main(["history", "--format", "csv", "--level", "strong_evidence"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith(run.id)
    assert main(["show", run.id[:8], "--tag", "election", "--conclude", "staged", "--notes", "see the tape"]) == 0
    shown = capsys.readouterr().out
    assert run.sha256 in shown and "staged" in shown and "election" in shown and "created by cli:ada" in shown
    assert kept.get(run.id).conclusion == "staged"
    assert main(["history", "--delete", run.id]) == 0
    assert main(["history", "--delete-older-than", "0"]) == 0
    assert kept.total() == 0
    capsys.readouterr()
    assert main(["history", "--check"]) == 0
    assert "0 runs, 0 faults" in capsys.readouterr().out


def test_a_cell_that_a_spreadsheet_would_run_is_quoted(kept: History, capsys: pytest.CaptureFixture[str]) -> None:
    kept.add(maker.named("=cmd|' /C calc'!A0"), actor="cli")
    assert main(["history", "--format", "csv"]) == 0
    assert ",'=cmd|" in capsys.readouterr().out


def test_an_altered_history_is_told(kept: History, capsys: pytest.CaptureFixture[str]) -> None:
    run = kept.add(maker.two_people(), actor="cli")
    (kept.files_of(run.id) / kept.artifacts(run.id)[0].name).write_bytes(b"other")
    assert main(["history", "--check"]) == 4
    assert "BROKEN" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "nothing"], "no run is called"),
        (["report", "nothing"], "no run is called"),
        (["history", "--level", "strong"], "Did you mean 'strong_evidence'"),
        (["history", "--sort", "newst"], "Did you mean 'newest'"),
        (["history", "--delete", "a", "--delete-older-than", "3"], "cannot be used together"),
    ],
)
def test_a_wrong_word_is_told(words: list[str], said: str, kept: History, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert said in capsys.readouterr().err
    assert kept.head()[0] == 0


def test_a_report_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify-report", "nowhere.html"]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_report_is_written_verified_and_refused_after_one_byte(
    kept: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = kept.add(maker.two_people(), actor="cli")
    assert main(["report", run.id]) == 0
    path = tmp_path / f"fakelab-{run.id}.html"
    # The clip is not there any more: the report itself holds, the run cannot be repeated.
    assert main(["verify-report", str(path)]) == 0
    said = capsys.readouterr().out
    assert "ok       record" in said and "unknown  re-run" in said
    data = path.read_bytes()
    path.write_bytes(data.replace(b"Strong evidence", b"Slight evidence", 1))
    assert main(["verify-report", str(path)]) == 4
    assert "FAILED   report" in capsys.readouterr().out


def test_rescore_lists_what_could_not_be_done(kept: History, capsys: pytest.CaptureFixture[str]) -> None:
    kept.add(maker.two_people(), actor="cli")
    assert main(["rescore", "--model", "tiny"]) == 4
    assert "0 analysed again with tiny, 0 verdicts changed, 1 not done." in capsys.readouterr().err
