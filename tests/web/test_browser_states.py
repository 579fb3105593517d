"""States of the pages in a real browser: empty, waiting, running, cancelled, played from a copy, copied, signed out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_maker import (
    LONG,
    chromium,
    in_both_schemes,
    needs_chromium,
    page_of,
    signed_in,
    still_clip,
)
from playwright.sync_api import Browser, Page, expect
from web_maker import Served, make_clip, photo_bytes

import sound_maker as sound

DONE_MS = 60_000
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("served"), "--jobs", "1")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def state(served: Served, browser: Browser) -> Any:
    return signed_in(browser, served.address)


@pytest.fixture(scope="module")
def lengthy(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two clips that keep the tiny model busy for longer than a test looks at the page."""
    folder = tmp_path_factory.mktemp("lengthy")
    return [still_clip(folder / f"lengthy {number}.mp4", 2400 + number, rate=1) for number in range(2)]


def _handed_in(page: Page, served: Served, *paths: Path) -> None:
    """Files chosen on the page Analyse, each judged."""
    page.goto(served.base)
    page.set_input_files("#files", list(paths))
    for each in paths:
        row = page.locator(".job", has_text=each.name.strip())
        expect(row).to_have_attribute("data-state", "done", timeout=DONE_MS)


def _result_of(page: Page, served: Served, path: Path) -> None:
    """The result page of a file that was handed in just now."""
    _handed_in(page, served, path)
    page.locator(".job", has_text=path.name.strip()).get_by_role("link").click()
    page.wait_for_selector("#verdict")


def _by_form(page: Page, served: Served, path: Path) -> None:
    """The page of an analysis asked for thoroughly, without a script."""
    page.goto(served.base)
    page.get_by_text("Options").click()
    page.select_option("#thorough", "true")
    page.set_input_files("#files", path)
    page.get_by_role("button", name="Analyse").last.click()
    page.wait_for_url("**/runs/*")


def _heading(page: Page) -> Any:
    return page.get_by_role("heading", level=1)


def test_axe_finds_nothing_where_nothing_was_analysed_yet(served: Served, browser: Browser, state: Any) -> None:
    with page_of(browser, state) as page:
        page.goto(served.base)
        expect(page.locator("#none")).to_be_visible()
        assert not in_both_schemes(page)
        page.goto(f"{served.base}/history")
        expect(page.get_by_text("No analysis yet")).to_be_visible()
        assert not in_both_schemes(page)
        page.goto(f"{served.base}/training")
        expect(page.get_by_text("No training run")).to_be_visible()
        assert not in_both_schemes(page)


def test_a_waiting_one_is_seen_to_begin_and_both_are_cancelled_and_put_back(
    served: Served, browser: Browser, state: Any, lengthy: list[Path]
) -> None:
    with (
        page_of(browser, state, java_script_enabled=False) as plain,
        page_of(browser, state) as page,
    ):
        # Without a script: handed in, reloaded until it runs, cancelled, put back.
        _by_form(plain, served, lengthy[0])
        for _ in range(50):
            if _heading(plain).inner_text() == "Being analysed":
                break
            plain.wait_for_timeout(200)
            plain.get_by_role("link", name="Reload").click()
        expect(_heading(plain)).to_have_text("Being analysed")
        plain.get_by_role("button", name="Cancel").click()
        expect(_heading(plain)).to_have_text("Cancelled")
        plain.get_by_role("button", name="Analyse after all").click()
        expect(plain.get_by_role("button", name="Cancel")).to_be_visible()

        # Another one waits behind it, and its page tells when its turn comes, without being loaded again.
        plain_second = plain.context.new_page()
        _by_form(plain_second, served, lengthy[1])
        page.goto(plain_second.url)
        expect(_heading(page)).to_have_text("Waiting")
        expect(page.locator("#stage")).to_contain_text("queue")
        assert not in_both_schemes(page)
        plain.get_by_role("button", name="Cancel").click()
        expect(_heading(plain)).to_have_text("Cancelled")
        expect(_heading(page)).to_have_text("Being analysed", timeout=20_000)
        expect(page.locator("#stage")).to_contain_text("Looking at faces", timeout=20_000)
        assert not in_both_schemes(page)

        # With a script the same buttons do the same.
        page.get_by_role("button", name="Cancel").click()
        expect(_heading(page)).to_have_text("Cancelled")
        assert not in_both_schemes(page)
        page.get_by_role("button", name="Analyse after all").click()
        expect(page.locator("#progress")).to_be_visible()
        page.get_by_role("button", name="Cancel").click()
        expect(_heading(page)).to_have_text("Cancelled")
        page.goto(served.base)
        expect(page.locator('.job[data-state="cancelled"]')).to_have_count(2)
        page.goto(plain_second.url)
        page.get_by_role("button", name="Delete the file").click()
        page.wait_for_url("**/history")
        page.goto(served.base)
        expect(page.locator('.job[data-state="cancelled"]')).to_have_count(1)


def test_a_verdict_with_three_reasons_and_a_long_name_stands_above_the_fold(
    served: Served, browser: Browser, state: Any, tmp_path: Path
) -> None:
    clip = still_clip(tmp_path / LONG, 25, light=0.15, blur_px=3)
    with page_of(browser, state, viewport={"width": 1440, "height": 900}) as page:
        _result_of(page, served, clip)
        assert len(page.locator(".file-name").inner_text()) > 180
        reasons = page.locator(".result-head .two li")
        expect(reasons).to_have_count(3)
        for each in (page.locator("#verdict"), *reasons.all(), page.locator(".not-said p")):
            box = each.bounding_box()
            assert box and box["y"] >= 0 and box["y"] + box["height"] <= 900
        assert page.evaluate("scrollY") == 0


def test_the_verdict_is_copied_as_text(served: Served, browser: Browser, state: Any, tmp_path: Path) -> None:
    (tmp_path / "copied.jpg").write_bytes(photo_bytes(9301))
    with page_of(browser, state) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=served.base)
        _result_of(page, served, tmp_path / "copied.jpg")
        page.get_by_role("button", name="Copy text").click()
        expect(page.locator("#copied")).to_have_text("Copied")
        text = page.evaluate("navigator.clipboard.readText()")
        assert text.startswith(f"FakeLab: {page.locator('#verdict').inner_text()}.")
        for each in page.locator(".result-head .two li").all():
            assert f"- {each.inner_text()}" in text
        assert page.locator(".not-said p").inner_text() in text
        assert "copied.jpg" in text and page.locator(".result-head .hash code").inner_text() in text


def _played(page: Page, source: str) -> None:
    """Loads the page until its player has this source, and plays it."""
    for _ in range(100):
        if page.locator(f'#video source[src$="{source}"]').count():
            break
        page.wait_for_timeout(200)
        page.reload()
    page.wait_for_function("() => document.getElementById('video').readyState >= 2", timeout=10_000)
    page.evaluate("() => { const each = document.getElementById('video'); each.muted = true; return each.play(); }")
    page.wait_for_function("() => document.getElementById('video').currentTime > 0.2")
    assert page.evaluate("document.getElementById('video').currentSrc").endswith(source)
    expect(page.locator("#unplayable")).to_be_hidden()


def test_a_video_that_no_browser_plays_is_played_from_a_copy(
    served: Served, browser: Browser, state: Any, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "old camera.avi", seconds=2, codec="mpeg4")
    with page_of(browser, state) as page:
        _result_of(page, served, clip)
        _played(page, "/proxy")
        assert page.evaluate("document.getElementById('video').videoWidth") == 320


def test_a_recording_is_read_by_axe_and_one_that_no_browser_plays_is_heard_from_a_copy(
    served: Served, browser: Browser, state: Any, tmp_path: Path
) -> None:
    call = sound.save(tmp_path / "call.wav", sound.speech_like(9, seed=77))
    phone = sound.save(tmp_path / "phone.m4a", sound.speech_like(5, seed=78), codec="alac")
    with page_of(browser, state) as page:
        _result_of(page, served, call)
        _played(page, "/media")
        assert not in_both_schemes(page)
        _result_of(page, served, phone)
        _played(page, "/proxy")


def test_every_file_of_a_dropped_folder_is_sent(served: Served, browser: Browser, state: Any, tmp_path: Path) -> None:
    folder = tmp_path / "leak"
    (folder / "deeper").mkdir(parents=True)
    names = ["one.jpg", "two.jpg", "deeper/three.jpg"]
    for number, name in enumerate(names):
        (folder / name).write_bytes(photo_bytes(9400 + number))
    (folder / ".hidden").write_bytes(b"of the system")
    (folder / "empty.jpg").touch()
    with page_of(browser, state, viewport={"width": 1440, "height": 900}) as page:
        page.goto(served.base)
        area = page.locator("#drop").bounding_box()
        assert area
        # As the system drops it: a folder that only the browser reads.
        session = page.context.new_cdp_session(page)
        for kind in ("dragEnter", "dragOver", "drop"):
            session.send(
                "Input.dispatchDragEvent",
                {
                    "type": kind,
                    "x": area["x"] + area["width"] / 2,
                    "y": area["y"] + 20,
                    "data": {"items": [], "files": [str(folder)], "dragOperationsMask": 1},
                },
            )
        for name in names:
            row = page.locator(".job", has_text=name.rpartition("/")[2])
            expect(row).to_have_attribute("data-state", "done", timeout=DONE_MS)
        for name in ("empty.jpg", ".hidden"):
            expect(page.locator(".job", has_text=name)).to_have_count(0)


def test_training_runs_with_their_curves(served: Served, browser: Browser, state: Any) -> None:
    for name, last in (("first", 0.71), ("second", 0.83)):
        folder = served.folder / "training" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"lr": 0.001, "batch": 32}')
        rows = [
            f"{step},{curve},{last * step / 300:.3f}"
            for step in (100, 200, 300)
            for curve in ("val_auc", "val_accuracy")
        ]
        (folder / "curves.csv").write_text("\n".join(["step,name,value", "100,train_loss,0.6", *rows]) + "\n")
    with page_of(browser, state) as page:
        page.goto(f"{served.base}/training")
        expect(page.locator("svg.curves")).to_have_count(2)
        expect(page.get_by_role("cell", name="0.8300")).to_have_count(2)
        assert not in_both_schemes(page)


def test_axe_finds_nothing_where_nobody_signed_in(served: Served, browser: Browser) -> None:
    with page_of(browser, None) as page:
        page.goto(f"{served.base}/login")
        expect(_heading(page)).to_have_text("Sign in")
        assert not in_both_schemes(page)
