"""What `fakelab analyze` does with files, folders, formats and failures.

What it keeps of them in the history is asked on both databases (`kept`); where a test is about flags or writers, the
history is beside the point, and one database does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakelab.cli import main
from fakelab.cli.analyze import FORMATS
from fakelab.cli.doctor import made_png
from fakelab.reports import BINARY_WRITERS, WRITERS
from fakelab.service.history import History

Photos = Callable[..., Path]


@pytest.mark.parametrize(
    ("names", "flags", "code"),
    [
        (["fine.jpg"], [], 0),
        (["fine.jpg", "strong.jpg"], [], 0),
        (["fine.jpg", "strong.jpg"], ["--fail-on", "strong_evidence"], 1),
        (["moderate.jpg"], ["--fail-on", "strong_evidence"], 0),
        (["moderate.jpg"], ["--fail-on", "moderate_evidence"], 1),
        (["strong.jpg"], ["--fail-on", "inconclusive"], 1),
        (["unsure.jpg"], ["--fail-on", "inconclusive"], 1),
        (["unsure.jpg"], ["--fail-on", "moderate_evidence"], 0),
        (["fine.jpg", "bad.jpg"], [], 3),
        (["fine.jpg", "noface.jpg"], [], 3),
        (["strong.jpg", "bad.jpg"], ["--fail-on", "strong_evidence"], 1),
        (["bad.jpg"], [], 4),
        (["noface.jpg"], [], 4),
        (["fine.jpg", "crash.jpg"], [], 3),
        (["fine.jpg", "stop.jpg"], [], 130),
    ],
)
@pytest.mark.usefixtures("fake")
def test_exit_code(photos: Photos, names: list[str], flags: list[str], code: int) -> None:
    folder = photos(*names)
    assert main(["analyze", *flags, *(str(folder / name) for name in names)]) == code


@pytest.mark.usefixtures("fake")
def test_what_was_done_before_an_interruption_is_kept(photos: Photos, kept: History) -> None:
    names = ["fine.jpg", "bad.jpg", "noface.jpg", "crash.jpg", "stop.jpg", "strong.jpg"]
    folder = photos(*names)
    assert main(["analyze", *(str(folder / name) for name in names)]) == 130
    assert {run.name: (run.level, bool(run.error)) for run in kept.every()} == {
        "fine.jpg": ("no_evidence_found", False),
        "bad.jpg": ("not_analysable", True),
        "noface.jpg": ("not_analysable", False),
        "crash.jpg": ("not_analysable", True),
    }


@pytest.mark.usefixtures("fake")
def test_one_bad_file_among_ten_is_listed_at_the_end(
    photos: Photos, kept: History, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photos(*(f"{number}.jpg" for number in range(9)), "bad.jpg")
    assert main(["analyze", str(folder)]) == 3
    out, err = capsys.readouterr()
    assert out.count("What people read.") == 9
    assert "10 files: 9 no_evidence_found, 1 could not be analysed." in err
    assert "bad.jpg" in err
    assert "it is cut short" in err
    assert "bad.jpg" not in out
    assert (kept.total(), [run.name for run in kept.every() if run.error]) == (10, ["bad.jpg"])


@pytest.mark.usefixtures("fake")
def test_a_single_bad_file_is_one_message_in_three_parts(
    tmp_path: Path, kept: History, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", str(tmp_path / "gone.mp4")]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"Error: '{tmp_path / 'gone.mp4'}' cannot be read",
        "  Why: there is no such file",
        "  Do:  Check the path.",
    ]
    assert [run.place for run in kept.every()] == [str(tmp_path / "gone.mp4")]


def test_a_folder_is_searched_in_order_and_by_first_bytes(
    photos: Photos, fake: Any, kept: History, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photos("b.jpg", "a/z.dat", "a/y.jpg", "c.mp4")
    (folder / "notes.txt").write_text("no media, and no claim to be")
    (folder / "empty.mov").touch()
    (folder / "text.jpg").write_text("only a name")
    assert main(["analyze", str(folder)]) == 3
    asked = [Path(path).relative_to(folder).as_posix() for path, _ in fake.calls]
    assert asked == ["a/y.jpg", "a/z.dat", "b.jpg", "c.mp4"]
    err = capsys.readouterr().err
    assert "6 files: 4 no_evidence_found, 2 could not be analysed, 1 other files left out." in err
    assert "empty.mov" in err
    assert "text.jpg" in err
    assert "notes.txt" not in err
    # The newest first: those that are no media were told of before the first was analysed.
    places = [Path(run.place).relative_to(folder).as_posix() for run in kept.every()]
    assert places[:4] == asked[::-1] and sorted(places[4:]) == ["empty.mov", "text.jpg"]


def test_links_to_folders_are_not_followed(photos: Photos, fake: Any) -> None:
    folder = photos("a.jpg")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    assert main(["analyze", str(folder)]) == 0
    assert len(fake.calls) == 1


@pytest.mark.usefixtures("fake")
def test_an_empty_folder_is_nothing_analysed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(tmp_path)]) == 4
    assert "0 files: nothing to analyse." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing argument"),
        (["a.jpg", "--format", "htlm"], "Did you mean 'html'?"),
        (["a.jpg", "b.jpg", "--format", "pdf"], "--out FOLDER"),
        (["a.jpg", "b.jpg", "--format", "zip"], "--out FOLDER"),
        (["a.jpg", "--model", "clip_fase"], "Did you mean 'clip_face'?"),
        (["a.jpg", "--finder", "yunnet"], "Did you mean 'yunet'?"),
        (["a.jpg", "--fail-on", "strong"], "Did you mean 'strong_evidence'?"),
        (["a.jpg", "--every", "0"], "--every cannot be '0.0'"),
        (["a.jpg", "--prior", "1.5"], "--prior cannot be '1.5'"),
        (["a.jpg", "--threads", "many"], "--threads"),
        (["a.jpg", "--thorouhg"], "--thorouhg"),
        (["ftp://example.org/clip.mp4"], "no plain http or https address"),
        (["https://me:secret@example.org/clip.mp4"], "no plain http or https address"),
        (["a.jpg", "b.jpg", "--format", "json"], "--format jsonl"),
        (["a.jpg", "b.jpg", "--format", "html"], "--out FOLDER"),
    ],
)
@pytest.mark.usefixtures("fake")
def test_wrong_usage(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err


def test_flags_go_before_the_environment(photos: Photos, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKELAB_FINDER", "dlib")
    monkeypatch.setenv("FAKELAB_THOROUGH", "1")
    monkeypatch.setenv("FAKELAB_MODEL", "tiny")
    file = str(photos("a.jpg") / "a.jpg")
    assert main(["analyze", "--finder", "yunet", "--no-thorough", "--every", "2.5", file]) == 0
    chosen = fake.calls[0][1]["settings"]
    assert (chosen.model, chosen.finder, chosen.thorough, chosen.every_s) == ("tiny", "yunet", False, 2.5)


@pytest.mark.usefixtures("fake")
def test_results_on_stdout_and_nothing_else(photos: Photos, kept: History, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(photos("a.jpg") / "a.jpg"), "--format", "json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["verdict"]["level"] == "no_evidence_found"
    assert err == ""
    [run] = kept.every()
    assert kept.document(run.id) == json.loads(out)


@pytest.mark.usefixtures("fake")
def test_jsonl_has_a_line_for_every_file_also_for_the_bad_ones(
    photos: Photos, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photos("a.jpg", "bad.jpg", "strong.jpg")
    assert main(["analyze", str(folder), "--format", "jsonl"]) == 3
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["verdict"]["level"] for row in rows] == ["no_evidence_found", "not_analysable", "strong_evidence"]
    assert rows[1]["error"]["why"] == "it is cut short"
    assert rows[1]["verdict"]["p_fake"] is None


@pytest.mark.usefixtures("fake")
def test_reports_into_a_folder_never_hide_each_other(
    photos: Photos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = photos("x/a.jpg", "y/a.jpg", "y/.A.jpg"), tmp_path / "out" / "new"
    assert main(["analyze", str(folder), "--format", "json", "--out", str(out)]) == 0
    # Names that differ in case alone are one name on some systems.
    assert {path.name for path in out.iterdir()} == {"a.jpg.json", "A.jpg-2.json", "a.jpg-3.json"}
    assert capsys.readouterr().out.count("no_evidence_found") == 3


@pytest.mark.usefixtures("fake")
def test_jsonl_into_a_folder_is_one_file_made_anew(photos: Photos, tmp_path: Path) -> None:
    folder, out = photos("a.jpg", "b.jpg"), tmp_path / "out"
    for _ in range(2):
        assert main(["analyze", str(folder), "--format", "jsonl", "--out", str(out)]) == 0
    assert len((out / "analyses.jsonl").read_text().splitlines()) == 2


@pytest.mark.usefixtures("fake")
def test_names_cannot_disguise_themselves_or_forge_lines(
    photos: Photos, kept: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["bad \u202egpj.exe\n9 files: all fine.\x1b[2J'\".jpg", 'it\'s "fine" سلام.jpg']
    folder = photos(*names)
    assert main(["analyze", str(folder), "--out", str(tmp_path / "out")]) == 3
    out, err = capsys.readouterr()
    for dangerous in ("\u202e", "\x1b", "\n9 files"):
        assert dangerous not in out + err
    assert "\\u202e" in err
    assert "سلام" in out
    assert all(name.isprintable() for name in (each.name for each in (tmp_path / "out").iterdir()))
    assert sorted(run.name for run in kept.every()) == names
    assert main(["history"]) == 0
    listed, err = capsys.readouterr()
    assert not [each for each in ("\u202e", "\x1b", "\n9 files") if each in listed + err]
    assert "سلام" in listed and "\\u202e" in listed


@pytest.mark.usefixtures("fake")
def test_a_name_that_is_no_unicode(tmp_path: Path, kept: History, capsys: pytest.CaptureFixture[str]) -> None:
    raw = bytes(tmp_path) + b"/caf\xe9.jpg"
    with open(raw, "wb") as file:
        file.write(b"\xff\xd8\xff\xe0" + bytes(64))
    assert main(["analyze", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert "caf\\udce9.jpg" in out and "not kept" not in err
    assert [run.name for run in kept.every()] == ["caf\ufffd.jpg"]


@pytest.mark.usefixtures("fake")
def test_a_fault_of_ours_costs_one_file_not_the_others(
    photos: Photos, kept: History, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", str(photos("a.jpg", "crash.jpg", "c.jpg"))]) == 3
    out, err = capsys.readouterr()
    assert out.count("What people read.") == 2
    assert "FakeLab has a bug: ZeroDivisionError" in err
    assert "Traceback" not in err
    assert {run.name: bool(run.error) for run in kept.every()} == {"a.jpg": False, "crash.jpg": True, "c.jpg": False}


@pytest.mark.usefixtures("fake")
def test_a_file_after_two_dashes_may_look_like_a_flag(photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos("--debug", "-x.jpg"))
    assert main(["analyze", "--", "--debug", "-x.jpg"]) == 0


def test_every_writer_is_a_format() -> None:
    assert set(FORMATS) == {*WRITERS, *BINARY_WRITERS}


@pytest.mark.parametrize("form", WRITERS)
def test_a_real_picture_goes_the_whole_road_with_the_tiny_model(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "made.dat"
    path.write_bytes(made_png())
    code = main(["analyze", str(path), "--model", "tiny", "--format", form])
    out, err = capsys.readouterr()
    assert err == ""
    assert "made.dat" in out
    if form in ("json", "jsonl"):
        level = json.loads(out)["verdict"]["level"]
        assert code == (4 if level == "not_analysable" else 0)


@pytest.mark.parametrize(("form", "begins"), [("pdf", b"%PDF-"), ("zip", b"PK\x03\x04")])
def test_what_is_no_text_goes_into_a_pipe_or_a_folder_alike(
    form: str, begins: bytes, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], fake: Any, photos: Photos
) -> None:
    path, out = photos("a.jpg") / "a.jpg", tmp_path / "out"
    assert main(["analyze", str(path), "--format", form]) == 0
    piped = capfdbinary.readouterr().out
    assert main(["analyze", str(path), "--format", form, "--out", str(out)]) == 0
    assert piped.startswith(begins)
    assert (out / f"a.jpg.{form}").read_bytes() == piped
    assert b"no_evidence_found" in capfdbinary.readouterr().out


@pytest.mark.parametrize("form", ["pdf", "zip"])
def test_what_is_no_text_is_not_thrown_at_a_terminal(
    form: str, fake: Any, photos: Photos, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["analyze", str(photos("a.jpg") / "a.jpg"), "--format", form]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "cannot be shown on a terminal" in err
    assert "--out FOLDER" in err
    assert fake.calls == []


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("form", ["pdf", "zip"])
def test_a_folder_gives_a_report_of_each_file_and_bad_ones_are_told(
    form: str, photos: Photos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = photos("a.jpg", "bad.jpg", "b/a.jpg"), tmp_path / "out"
    assert main(["analyze", str(folder), "--format", form, "--out", str(out)]) == 3
    assert sorted(path.name for path in out.iterdir()) == [f"a.jpg-2.{form}", f"a.jpg.{form}"]
    assert "it is cut short" in capsys.readouterr().err
