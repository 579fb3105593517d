"""Signed reports: any altered byte, another key, another record are noticed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

import analysis_maker as maker
from fakelab.errors import EnvironmentBrokenError, UsageError
from fakelab.reports import BINARY_WRITERS, WRITERS
from fakelab.reports.json_report import document
from fakelab.service.history import History
from fakelab.service.reporting import FORMATS, sealed_report, write_report
from fakelab.service.seal import KEY_FILE, SEALED_FORMATS, Signer, fingerprint, form_of, read_seal

DOCUMENT = document(maker.two_people())


def _report(form: str) -> bytes:
    match form:
        case "pdf":
            return b"%PDF-1.4\nnot much of a page\nstartxref\n9\n%%EOF\n"
        case "zip":
            with io.BytesIO() as out:
                with zipfile.ZipFile(out, "w") as archive:
                    archive.writestr("report.json", WRITERS["json"](maker.two_people()))
                    archive.writestr("faces/a.png", bytes(range(256)))
                return out.getvalue()
        case _:
            return WRITERS[form](maker.two_people()).encode()


def _sealed(signer: Signer, form: str) -> bytes:
    return signer.seal(
        _report(form), form, run="abcd", document=DOCUMENT, head=(7, "f" * 64), at="2026-01-01T00:00:00Z"
    )


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path)


@pytest.mark.parametrize("form", SEALED_FORMATS)
def test_a_sealed_report_gives_back_its_record(signer: Signer, form: str) -> None:
    data = _sealed(signer, form)
    assert form_of(data) == form
    seal = read_seal(data, form)
    assert (seal.run, seal.head_seq, seal.head) == ("abcd", 7, "f" * 64)
    assert seal.public_key == signer.public_key
    assert {name: seal.document[name] for name in DOCUMENT} == DOCUMENT
    # The same report sealed at the same moment is the same bytes (RFC 8032 signatures are deterministic).
    assert data == _sealed(signer, form)


@pytest.mark.parametrize("form", SEALED_FORMATS)
def test_one_altered_byte_anywhere_is_noticed(signer: Signer, form: str) -> None:
    data = _sealed(signer, form)
    places = {0, len(data) // 3, len(data) // 2, len(data) - 90, len(data) - 1}
    places |= set(range(64, len(data), max(1, len(data) // 40)))
    for at in places:
        altered = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(UsageError):
            read_seal(altered, form)
    for longer in (data + b" ", b" " + data, data[:-1]):
        with pytest.raises(UsageError):
            read_seal(longer, form)


@pytest.mark.parametrize("form", SEALED_FORMATS)
def test_a_report_without_a_seal_is_no_signed_report(form: str) -> None:
    with pytest.raises(UsageError, match=r"no seal|cannot be read"):
        read_seal(_report(form), form)


def test_the_end_of_a_sealed_pdf_is_where_readers_look_for_it(signer: Signer) -> None:
    assert _sealed(signer, "pdf")[-1024:].endswith(b"\nstartxref\n9\n%%EOF\n")


def test_a_sealed_zip_and_json_are_still_what_they_were(signer: Signer) -> None:
    import json

    with zipfile.ZipFile(io.BytesIO(_sealed(signer, "zip"))) as archive:
        assert archive.testzip() is None
    assert json.loads(_sealed(signer, "json"))["file"] == DOCUMENT["file"]


def test_the_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    first = Signer(tmp_path / "kept").public_key
    assert Signer(tmp_path / "kept").public_key == first != Signer(tmp_path / "other").public_key
    assert (tmp_path / "kept" / KEY_FILE).stat().st_mode & 0o077 == 0
    (tmp_path / "kept" / KEY_FILE).write_text("no key")
    with pytest.raises(EnvironmentBrokenError, match="Restore it"):
        Signer(tmp_path / "kept")


def test_a_format_that_cannot_bear_a_seal_is_refused(signer: Signer) -> None:
    with pytest.raises(UsageError, match="csv"):
        signer.seal(b"a,b", "csv", run="abcd", document=DOCUMENT, head=(1, "0"), at="")


@pytest.mark.parametrize("form", FORMATS)
def test_a_report_of_the_history_is_the_report_of_the_analysis(history: History, form: str) -> None:
    analysis = maker.two_people()
    run = history.add(analysis, actor="cli")
    data = write_report(history, run.id, form)
    if form in BINARY_WRITERS:
        # Heat maps went through 8 bits, and everything else is as it was.
        assert form_of(data) == form and len(data) > 20_000
        assert data == write_report(history, run.id, form)
        return
    written = data.decode()
    if form == "html":
        # Numbers of the heat maps went through 8 bits: the pictures may differ by a shade, the words may not.
        assert analysis.verdict.sentence in written
        assert written.count("<img") == WRITERS[form](analysis).count("<img")
    elif form == "json":
        import json

        assert json.loads(written) == document(analysis)
    else:
        assert written == WRITERS[form](analysis)


@pytest.mark.parametrize("form", FORMATS)
def test_a_sealed_report_names_the_event_of_its_export(sqlite_history: History, tmp_path: Path, form: str) -> None:
    history = sqlite_history
    run = history.add(maker.two_people(), actor="cli")
    history.review(run.id, actor="ada", conclusion="staged")
    data = sealed_report(history, run.id, form, Signer(tmp_path), actor="ada")
    assert form_of(data) == form
    seal = read_seal(data, form)
    assert seal.document["file"] == history.document(run.id)["file"]
    told = history.events(run.id)[-1]
    assert (told.action, told.actor, told.detail) == ("exported", "ada", {"format": form})
    assert (seal.head_seq, seal.head) == (told.seq, told.hash) == history.head()


@pytest.mark.parametrize("form", ["html", "text"])
def test_people_can_read_head_key_and_conclusion(sqlite_history: History, tmp_path: Path, form: str) -> None:
    history, signer = sqlite_history, Signer(tmp_path)
    run = history.add(maker.two_people(), actor="cli")
    history.review(run.id, actor="ada", conclusion="staged", notes="see the tape")
    page = sealed_report(history, run.id, form, signer, actor="ada").decode()
    for words in (
        run.id,
        history.head()[1],
        fingerprint(signer.public_key),
        "staged",
        "not the machine",
        "see the tape",
    ):
        assert words in page


def test_a_file_that_could_not_be_read_has_a_json_report_only(history: History, tmp_path: Path) -> None:
    from fakelab.errors import DamagedMediaError

    run = history.add_failure("/in/a.mp4", DamagedMediaError("'a.mp4' cannot be read", "it is cut short"), actor="cli")
    assert b"it is cut short" in write_report(history, run.id, "json")
    with pytest.raises(UsageError, match="Use --format json"):
        write_report(history, run.id, "html")
