from __future__ import annotations

import base64
import hashlib
import io
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image as Pil

import analysis_maker as maker
from fakelab.records import Analysis, Level
from fakelab.reports import content, html, pictures
from fakelab.reports.html import write_html

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """The tags, attributes, identifiers and shown text of a page; unbalanced tags fail."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open[-1:]:
            self.texts.append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, each, value in self.attributes if each == name]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


def spaced(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_it_says_what_it_must(any_analysis: Analysis) -> None:
    page = Page(write_html(any_analysis))
    verdict = any_analysis.verdict
    assert spaced(verdict.sentence) in page.text
    assert spaced(verdict.not_said) in page.text
    assert "What this does not say" in page.text
    assert any_analysis.file.sha256 in page.text
    assert page.tags["h1"] == 1
    for reason in verdict.reasons:
        assert spaced(reason.text) in page.text
    for found in any_analysis.findings:
        assert spaced(found.error_rate) in page.text


def test_nothing_found_says_does_not_show() -> None:
    silent = replace(maker.photo(), verdict=replace(maker.photo().verdict, not_said=""))
    assert "This does not show that the file is authentic" in Page(write_html(silent)).text


def test_it_asks_nothing_of_any_host_and_runs_nothing(any_analysis: Analysis) -> None:
    source = write_html(any_analysis)
    page = Page(source)
    assert not page.tags.keys() & {"script", "link", "iframe", "object", "embed", "form", "base", "a:external"}
    assert all(value.startswith(("data:image/", "#")) for value in page.values("src") + page.values("href"))
    assert not re.search(r"url\(\s*['\"]?(?!#)", source)
    assert "@import" not in source
    assert not re.search(r"https?://|//[a-z]+\.", source)
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name == "style"]


def test_the_policy_allows_our_style_alone() -> None:
    source = write_html(maker.two_people())
    policy = next(value for value in Page(source).values("content") if value.startswith("default-src"))
    style = source.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>.mp4", "\"'><img src=x onerror=alert(1)>", "{{ 7*7 }}{% raw %}", "</style><b>"]
)
def test_hostile_names_are_text(name: str) -> None:
    page = Page(write_html(maker.named(name)))
    plain = Page(write_html(maker.two_people()))
    assert page.tags["script"] == 0
    assert page.tags["img"] == plain.tags["img"]
    assert page.tags["style"] == 1
    assert name in page.text


def test_names_in_other_directions_are_fenced_off() -> None:
    source = write_html(maker.named("صورة\u202egpj.mp4"))
    assert source.count("<bdi>صورة\\u202egpj.mp4</bdi>") == 2


def test_identifiers_are_unique_and_references_lead_somewhere(any_analysis: Analysis) -> None:
    page = Page(write_html(any_analysis))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    wanted = {part for value in page.values("aria-labelledby") for part in value.split()}
    wanted |= {value[1:] for value in page.values("href")}
    wanted |= set(re.findall(r"url\(#([^)]+)\)", write_html(any_analysis)))
    assert wanted <= set(ids)


def test_every_picture_and_drawing_has_words() -> None:
    page = Page(write_html(maker.two_people()))
    assert len([1 for tag, name, _ in page.attributes if (tag, name) == ("img", "alt")]) == page.tags["img"]
    assert page.tags["desc"] == 2
    assert "Suspicious: 0:12.0–0:19.5, 0:30.2–0:34.0." in page.text


def test_two_people_have_lanes_and_six_faces_each() -> None:
    page = Page(write_html(maker.two_people()))
    assert page.tags["figure"] == 12
    assert "Person 2" in page.text
    assert page.text.index("Person 2 93 %") < page.text.index("Person 1 12 %")


def test_a_photo_has_a_map_of_faces_and_no_time_line() -> None:
    source = write_html(maker.photo())
    assert 'class="fl-chart"' not in source
    assert 'class="fl-map"' in source
    assert Page(source).tags["figure"] == 2


def test_a_photo_of_one_face_has_no_empty_section() -> None:
    found = maker.photo().findings[0]
    page = Page(write_html(replace(maker.photo(), findings=(replace(found, people=found.people[:1]),))))
    plain = Page(write_html(maker.photo()))
    assert page.tags["h2"] == plain.tags["h2"] - 1
    assert "Face by face" not in page.text
    assert "Faces in the photo" in page.text


def test_without_people_there_are_no_lanes() -> None:
    page = Page(write_html(maker.no_face()))
    assert page.tags["figure"] == 0
    assert "No face was found" in page.text
    assert "3 of 35 frames could not be decoded." in page.text


def test_of_a_crowd_the_most_suspicious_stand_open_and_the_rest_is_folded() -> None:
    source = write_html(maker.crowd())
    before = source.index("24 more people")
    assert "Person 6 " in source[:before]
    assert "Person 7 " not in source[:before]
    assert "Person 30 " in source[before:]
    assert len(source) < 2_000_000


def test_one_or_two_over_are_not_folded() -> None:
    found = maker.crowd().findings[0]
    eight = replace(maker.crowd(), findings=(replace(found, people=found.people[:8]),))
    assert "more people" not in write_html(eight)


def test_a_finding_without_lines_pictures_or_numbers_still_makes_a_page() -> None:
    bare = maker.person(1, 0.4, Level.NONE_FOUND, [0.0, 1.0], pictures=False)
    lost = replace(bare, faces=(), person=2)
    odd = replace(bare, person=3, faces=(replace(bare.faces[0], p_fake=float("nan"), logit=float("nan")),))
    found = maker.finding(Level.NONE_FOUND, 0.4, (bare, lost, odd), measured={}, model=None, decided_by=None)
    page = Page(write_html(replace(maker.two_people(), findings=(found,), models=(), file=maker.info(duration_s=None))))
    assert "No face of this person was scored." in page.text
    assert page.tags["figure"] == 0


def test_faces_of_different_moments_come_before_neighbours() -> None:
    person = maker.person(1, 0.5, Level.NONE_FOUND, [0.0, 0.1, 0.2, 5.0, 5.1])
    times = [face.time_s for face in content.most_suspicious(person.faces, 2)]
    assert abs(times[0] - times[1]) > 1


def test_a_brighter_overlay_means_a_higher_map() -> None:
    crop = maker.face_picture()
    dark, bright = pictures.overlay(crop, maker.heat(0.0)), pictures.overlay(crop, maker.heat(1.0))
    assert dark.shape == bright.shape == crop.shape
    assert bright.mean() > dark.mean()
    row, column = np.unravel_index(bright.mean(axis=2).argmax(), bright.shape[:2])
    assert abs(row / 112 - 0.7) < 0.1
    assert abs(column / 112 - 0.5) < 0.1


def test_pictures_are_small_and_can_be_read() -> None:
    large = maker.face_picture(size=600)
    uri = pictures.overlay_uri(large, np.full((14, 14), np.nan, np.float32))
    read = Pil.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert (read.format, read.size) == ("JPEG", (pictures.SIDE_PX, pictures.SIDE_PX))


def test_every_printed_sheet_says_which_file_it_is_about() -> None:
    whole = maker.two_people()
    assert f'content: "FakeLab report · SHA-256 {whole.file.sha256}"' in write_html(whole)
    odd = write_html(replace(whole, file=maker.info(sha256='"; } </style><b>')))
    assert "FakeLab report · SHA-256" not in odd
    assert Page(odd).tags["b"] == Page(write_html(whole)).tags["b"]


def test_headings_leave_out_no_rank_and_the_page_has_its_landmarks(any_analysis: Analysis) -> None:
    source = write_html(any_analysis)
    page = Page(source)
    ranks = [int(rank) for rank in re.findall(r"<h([1-6])\b", source)]
    assert ranks[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(ranks))
    assert page.tags["main"] == page.tags["header"] == page.tags["footer"] == 1
    assert page.tags["section"] >= 5
    assert ("html", "lang", "en") in page.attributes


def luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_has_enough_contrast_in_light_dark_and_print() -> None:
    css = (html.TEMPLATES / "report.css").read_text(encoding="utf-8")
    palettes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6})", block)) for block in re.findall(r":root \{([^}]*)\}", css)
    ]
    assert len(palettes) == 3
    for palette in palettes:
        full = {
            name: value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:])
            for name, value in palette.items()
        }
        for ground in ("paper", "panel"):
            for ink in ("ink", "quiet", "link", "warn", "line"):
                pair = sorted((luminance(full[ground]), luminance(full[ink])))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (ground, ink, full)
