"""The PDF: what it says and in which order, its structure, names of every script, and the same bytes each time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from pdf_reader import Pdf

import analysis_maker as maker
from fakelab.records import Analysis, Level, Verdict
from fakelab.reports import words
from fakelab.reports.pdf import write_pdf

SEAL = {"signature": "ab" * 64, "key_fingerprint": "SHA256:Zm9v", "event_head": "cd" * 32, "record": "01JQ"}
NAMES = {
    "latin": "Überraschung Ćwikła naïve.mp4",
    "combined": "cafe\u0301 Vie\u0323\u0302t.mp4",
    "greek": "Ελληνικά βίντεο.mp4",
    "cyrillic": "Привет, мир.mp4",
    "arabic": "صورة محمد علي (نسخة).jpg",
    "persian": "\u0641\u06cc\u0644\u0645\u200c\u0646\u0627\u0645\u0647 \u06f1\u06f2\u06f3.mp4",
    "hindi": "हिन्दी वीडियो.mp4",
    "simplified": "中华人民共和国视频.mp4",
    "traditional": "中華民國影片資料夾.mp4",
    "japanese": "東京のビデオ。カタカナ.mov",
    "korean": "대한민국 영상 뷁.mp4",
    "hebrew": "שלום.mp4",
    "thai and emoji": "ไทย 👩\u200d🔬.mp4",
}


def read(analysis: Analysis, seal: dict[str, str] | None = None) -> Pdf:
    return Pdf(write_pdf(analysis, seal, compressed=False))


@cache
def made(kind: str) -> tuple[Analysis, Pdf]:
    """An analysis of `analysis_maker.EVERY` and its report, made once for all tests that only read it."""
    analysis = maker.EVERY[kind]()
    return analysis, read(analysis)


every_kind = pytest.mark.parametrize("kind", maker.EVERY)


def flat(text: str) -> str:
    """The text without spaces, which lines that break inside a word leave out or keep."""
    return re.sub(r"\s", "", text)


@every_kind
def test_it_says_what_it_must_and_the_verdict_first(kind: str) -> None:
    any_analysis, pdf = made(kind)
    said, verdict = flat(pdf.text), any_analysis.verdict
    places = [said.index(flat(text)) for text in (any_analysis.file.name, *words.headline(verdict))]
    places += [said.index(flat(reason.text)) for reason in verdict.reasons[:3]]
    places += [said.index("Whatthisdoesnotsay"), said.index(flat(words.not_said(verdict))), said.index("Thefile")]
    places += [said.index(any_analysis.file.sha256), said.index("Technicalappendix")]
    assert places == sorted(places)
    for finding in any_analysis.findings:
        assert flat(finding.error_rate) in said[: said.index("Thefile")]
        assert flat(finding.looks_for) in said
    for reason in (reason for _, reason in words.all_reasons(any_analysis)):
        assert flat(reason.text) in said
    for warning in any_analysis.warnings:
        assert flat(warning) in said


@every_kind
def test_the_first_page_holds_verdict_reasons_limits_and_file(kind: str) -> None:
    any_analysis, pdf = made(kind)
    first = flat(" ".join(text for _, text in sorted(pdf.marked[0].items())))
    assert flat(words.not_said(any_analysis.verdict)) in first
    assert any_analysis.file.sha256 in first


@every_kind
def test_the_verdict_never_clears_a_file(kind: str) -> None:
    _, pdf = made(kind)
    text = re.sub(r"\s+", " ", pdf.text).lower()
    assert "authentic" not in text.replace("does not show that the file is authentic", "")
    assert " real " not in text
    assert not set(text) & set("✓✔✅☑")


def test_no_hue_is_green_and_percentages_keep_to_1_and_99() -> None:
    sure = replace(maker.photo(), verdict=Verdict(Level.NONE_FOUND, 0.0, "Nothing found.", ""))
    data = write_pdf(sure, compressed=False)
    text = re.sub(r"\s+", " ", Pdf(data).text)
    assert "Score 1 %" in text
    assert "This does not show that the file is authentic" in text
    assert not re.search(r"(?<![\d.])(0|100)\u00a0%", text)
    hues = re.findall(rb"([\d.]+) ([\d.]+) ([\d.]+) (?:rg|RG)\b", data)
    assert hues
    assert not [hue for hue in hues if float(hue[1]) > max(float(hue[0]), float(hue[2])) + 0.02]


def test_every_page_says_its_number_and_the_fingerprint_of_the_file() -> None:
    analysis, pdf = made("crowd")
    assert pdf.pages_count >= 4
    for place, foot in enumerate(pdf.artifacts, start=1):
        assert f"SHA-256 {analysis.file.sha256}" in foot
        assert foot.endswith(f"Page {place} of {pdf.pages_count}")


def test_same_analysis_same_bytes(any_analysis: Analysis) -> None:
    first = write_pdf(any_analysis, SEAL)
    write_pdf(maker.named("صورة 東京 \u202e.mp4"))
    assert write_pdf(any_analysis, SEAL) == first


def test_reports_written_side_by_side_do_not_mix() -> None:
    names = [NAMES[script] for script in ("latin", "arabic", "japanese", "hebrew")]
    alone = [write_pdf(maker.named(name)) for name in names]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda name: write_pdf(maker.named(name)), names))
    assert together == alone


def test_another_process_on_another_day_gives_the_same_bytes() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import analysis_maker, hashlib\n"
        "from fakelab.reports.pdf import write_pdf\n"
        "print(hashlib.sha256(write_pdf(analysis_maker.named('\u0635\u0648\u0631\u0629.mp4'))).hexdigest())"
    )
    folder = os.path.dirname(maker.__file__)
    days = ({"SOURCE_DATE_EPOCH": "1", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "1"}, {"TZ": "UTC", "PYTHONHASHSEED": "2"})
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code, folder], env=os.environ | day, capture_output=True, text=True, check=True
        ).stdout
        for day in days
    }
    assert len(hashes) == 1


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_of_any_script_can_be_read_and_copied(name: str) -> None:
    pdf = read(maker.named(name))
    # As the file's name, in the middle of sentences, as a setting, a version, a model.
    assert flat(pdf.text).count(flat(name)) >= 10


def test_a_name_is_one_cell_in_reading_order() -> None:
    structure = read(maker.named(NAMES["arabic"])).structure()
    assert NAMES["arabic"] in [cell.text for cell in structure.all("TD")]


@pytest.mark.parametrize("control", ["\u202e", "\u2066", "\u200f", "\u061c", "\u200b", "\ufeff", "\n", "\x1b"])
def test_what_disguises_a_name_is_shown(control: str) -> None:
    name = f"photo{control}gpj.exe"
    pdf = read(maker.named(name))
    assert words.safe(name) in pdf.text
    assert control not in pdf.text
    assert words.safe(name).encode() in pdf.info("Title").replace(b"\\\\", b"\\")


def test_bytes_that_are_no_text_are_shown() -> None:
    pdf = read(maker.named("caf\udce9\ud800.mp4"))
    assert "caf\\xe9\\ud800.mp4" in pdf.text


@pytest.mark.parametrize("letter", ["a", "_", "é", "س", "東", "👩", "ש"])
def test_a_name_of_200_characters_is_wrapped_and_whole(letter: str) -> None:
    name = letter * 196 + ".mp4"
    data = write_pdf(maker.named(name), compressed=False)
    assert flat(name) in flat(Pdf(data).text)
    for left, size, shown in re.findall(rb"1 0 0 1 ([\d.]+) [\d.]+ Tm \[(<)([^\]]*)\] TJ", data):
        assert float(left) < 560, (size, shown)


def test_text_without_end_goes_on_over_pages() -> None:
    endless = "a sentence that does not end and goes on and on, " * 700
    whole = maker.named("clip.mp4")
    verdict = replace(whole.verdict, sentence=endless, not_said=endless)
    pdf = read(
        replace(whole, verdict=verdict, warnings=(endless,), settings={"long": "x" * 40_000, "a" * 3000: "東" * 5000})
    )
    assert flat(pdf.text).count(flat("a sentence that does not end")) == 3 * 700
    assert "cut here; the JSON report has it whole" in re.sub(r"\s+", " ", pdf.text)
    assert pdf.pages_count < 60


def test_many_people_many_pages_and_none_of_them_lost() -> None:
    whole = maker.crowd(34)
    found = whole.findings[0]
    few = replace(found, people=found.people[:8])
    pdf = read(replace(whole, findings=(found, *[replace(few, detector=f"check_{n}") for n in range(5)])))
    assert "28 more people" in pdf.text
    assert pdf.pages_count > 12
    headings = [element.text for element in pdf.structure().all("H2")]
    assert [f"Check {n}" for n in range(5)] == [text for text in headings if text.startswith("Check")]


def test_a_finding_without_lines_pictures_or_numbers_still_makes_a_report() -> None:
    bare = maker.person(1, 0.4, Level.NONE_FOUND, [0.0, 1.0], pictures=False)
    lost = replace(bare, faces=(), person=2)
    odd = replace(bare, person=3, faces=(replace(bare.faces[0], p_fake=float("nan"), logit=float("nan")),))
    found = maker.finding(Level.NONE_FOUND, 0.4, (bare, lost, odd), measured={}, model=None, decided_by=None)
    pdf = read(replace(maker.two_people(), findings=(found,), models=(), file=maker.info(duration_s=None)))
    assert "Person 2" in pdf.text
    assert "No face of this person was scored." in " ".join(figure.alt for figure in pdf.structure().all("Figure"))
    assert not [figure for figure in pdf.structure().all("Figure") if figure.alt.startswith("Face of")]


def test_an_analysis_without_findings_is_a_report_too() -> None:
    bare = replace(maker.no_face(), findings=(), models=(), warnings=(), settings={}, versions={}, timings={})
    assert "Technical appendix" in read(bare).text


@every_kind
def test_the_structure_has_headings_in_order_tables_and_words_for_pictures(kind: str) -> None:
    any_analysis, pdf = made(kind)
    root = pdf.structure()
    assert root.tag == "Document"
    assert [element.text for element in root.all("H1")] == [words.LEVEL_WORDS[any_analysis.verdict.level]]
    ranks = [int(tag[1]) for tag in re.findall(r"H[123]\b", " ".join(_tags(root)))]
    assert ranks[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(ranks))
    assert all(figure.alt for figure in root.all("Figure"))
    assert all(row.parts for table in root.all("Table") for row in table.all("TR"))
    assert b"/Lang (en)" in pdf.catalog
    assert b"/MarkInfo" in pdf.catalog
    drawn = " ".join(text for page in pdf.marked for text in page.values())
    assert sorted(flat(root.whole_text)) == sorted(flat(drawn)), "all that is drawn and spoken hangs in the structure"


def _tags(element: object) -> list[str]:
    return [element.tag, *(tag for part in element.parts for tag in _tags(part))]  # type: ignore[attr-defined]


def test_a_lane_and_a_face_are_described_in_words() -> None:
    alts = [figure.alt for figure in made("two_people")[1].structure().all("Figure")]
    assert any("Person 2, score over time. 32 faces" in alt and "Suspicious: 0:12.0" in alt for alt in alts)
    assert sum(alt.startswith("Face of person") for alt in alts) == 12
    photo = [figure.alt for figure in made("photo")[1].structure().all("Figure")]
    assert "Where the faces are: person 7, 1" in photo


def test_the_seal_stands_in_the_appendix() -> None:
    text = read(maker.two_people(), seal=SEAL).text
    appendix = flat(text[text.index("Technical appendix") :])
    assert all(flat(value) in appendix for value in SEAL.values())
    assert "key fingerprint" in text
    assert "Seal" not in made("two_people")[1].text


def test_models_settings_versions_and_times_stand_in_the_appendix() -> None:
    text = made("two_people")[1].text
    appendix = text[text.index("Technical appendix") :]
    for said in ("ab" * 32, "clip_face 1.0", "frames_per_burst", "onnxruntime", "1.32.0", "1.91 s"):
        assert said in appendix
    assert "seed" not in appendix, "a record of an earlier version has none"
    seeded = read(replace(maker.two_people(), seed=1234567)).text
    assert "seed" in seeded and "1234567" in seeded


def test_what_describes_the_file_tells_no_path_and_no_clock() -> None:
    pdf = read(maker.two_people())
    assert b"clip.mp4" in pdf.info("Title")
    assert pdf.info("CreationDate").startswith(b"(D:20260314092653")
    data = write_pdf(maker.two_people(), compressed=False)
    assert b"/incoming" not in data
    assert os.path.expanduser("~").encode() not in data


def test_hostile_names_are_text() -> None:
    name = "(a) ) Tj ET >> endobj endstream \\( <script> %PDF /Launch.mp4"
    pdf = read(maker.named(name))
    assert flat(name) in flat(pdf.text)
    assert not re.search(rb"/(JavaScript|JS|URI|Launch|OpenAction|EmbeddedFile)\b", pdf.catalog)
