"""The desk's day in a real browser: a video dropped, followed, read, compared, reviewed, deleted; axe on each page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_maker import LONG, chromium, needs_chromium, page_of, violations
from playwright.sync_api import Browser, Page, expect
from web_maker import Served, make_clip, photo_bytes

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address that a real `fakelab serve` prints, on a port of its own."""
    served = Served(tmp_path_factory.mktemp("served"))
    yield served.address
    served.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def state(server: str, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a signed-in browser holds, once a clip with a long name, a photo and a broken file were handed in."""
    folder = tmp_path_factory.mktemp("files")
    clip = make_clip(folder / LONG, seconds=3)
    (folder / "photo.jpg").write_bytes(photo_bytes(42))
    (folder / "broken.mp4").write_bytes(os.urandom(3000))
    context = browser.new_context()
    page = context.new_page()
    page.goto(server)
    page.set_input_files("#files", [clip, folder / "photo.jpg", folder / "broken.mp4"])
    expect(page.locator('.job[data-state="done"]')).to_have_count(2, timeout=60_000)
    expect(page.locator('.job[data-state="failed"]')).to_have_count(1, timeout=60_000)
    kept = context.storage_state()
    context.close()
    return kept


def _base(server: str) -> str:
    return server.partition("/enter")[0]


def _pages(server: str, page: Page) -> dict[str, str]:
    """Every page by name; the results are found on the page Analyse."""
    page.goto(_base(server))
    rows = {
        (each.get_attribute("data-state"), each.locator("a").inner_text()[:5]): each.locator("a").get_attribute("href")
        or ""
        for each in page.locator(".job").all()
    }
    video = next(href for (state, name), href in rows.items() if name == LONG[:5])
    photo = next(href for (state, name), href in rows.items() if name == "photo")
    failed = next(href for (state, name), href in rows.items() if state == "failed")
    return {
        "analyse": "/",
        "video": video,
        "photo": photo,
        "failed": failed,
        "history": "/history",
        "nothing found": "/history?q=nosuchword",
        "compare": f"/compare?a={video.rsplit('/', 1)[1]}&b={photo.rsplit('/', 1)[1]}",
        "models": "/models",
        "training": "/training",
        "settings": "/settings",
        "audit": "/audit",
        "audit verified": "/audit?verify=true",
        "api": "/api/docs",
        "compare empty": "/compare",
        "help": "/help",
        "not there": "/runs/0000000000000000",
    }


def test_a_desks_day(server: str, browser: Browser, state: Any, tmp_path: Path) -> None:
    base = _base(server)
    clip = make_clip(tmp_path / "interview.mp4", seconds=3, shade=200)
    with page_of(browser, state, viewport={"width": 1440, "height": 900}, accept_downloads=True) as page:
        # A file dropped on the page is sent, followed and judged.
        page.goto(base)
        data = page.evaluate_handle(
            """([bytes, name]) => { const made = new DataTransfer();
            made.items.add(new File([new Uint8Array(bytes)], name, { type: "video/mp4" })); return made; }""",
            [list(clip.read_bytes()), "interview.mp4"],
        )
        page.dispatch_event("#drop", "drop", {"dataTransfer": data})
        row = page.locator(".job", has_text="interview.mp4")
        expect(row).to_have_attribute("data-state", "done", timeout=60_000)
        row.get_by_role("link").click()

        # The verdict, its reasons and what it does not say stand above the fold.
        page.wait_for_selector("#verdict")
        for text in ("Why", "What this does not say"):
            box = page.get_by_role("heading", name=text, exact=True).bounding_box()
            assert box and box["y"] + box["height"] < 900
        ends = page.locator(".not-said p").bounding_box()
        assert ends and ends["y"] + ends["height"] < 900

        # Sought by a click into a lane, and by keys.
        page.wait_for_function("() => document.getElementById('video').readyState >= 2")
        lane = page.locator(".seekable svg.fl-chart").first
        box = lane.bounding_box()
        assert box
        lane.click(position={"x": box["width"] / 2, "y": 20})
        now = "document.getElementById('video').currentTime"
        assert abs(page.evaluate(now) - 1.5) < 0.1
        page.focus("#player")
        page.keyboard.press("ArrowRight")
        assert abs(page.evaluate(now) - 2.5) < 0.1
        page.keyboard.press("Home")
        assert page.evaluate(now) == 0
        page.keyboard.press("s")
        strongest = float(page.get_attribute("#player", "data-strongest") or "nan")
        assert abs(page.evaluate(now) - strongest) < 0.1
        expect(page.locator("#boxes rect")).to_have_count(1)
        page.keyboard.press("b")
        expect(page.locator("#boxes rect")).to_have_count(0)
        page.keyboard.press("b")

        # The share of fakes expected moves the score, and never the level.
        before = page.locator("#prior-score").inner_text()
        page.locator("#prior").fill("1")
        assert page.locator("#prior-score").inner_text() != before

        # Key frames can be downloaded, and the searches say that they leave the machine.
        assert page.locator(".stills img").count() >= 1
        expect(page.locator(".leaves-mark")).to_have_text("Leaves this machine")
        with page.expect_download() as download:
            page.get_by_role("link", name="PDF").click()
        assert Path(download.value.path()).read_bytes().startswith(b"%PDF-")

        # The analyst's conclusion stands beside the machine's result.
        level = page.locator("#verdict").inner_text()
        page.get_by_label("Conclusion", exact=True).fill("Genuine: the agency sent the raw file")
        page.get_by_role("button", name="Keep the conclusion").click()
        expect(page.locator(".review h3")).to_have_text("Genuine: the agency sent the raw file")
        assert page.locator("#verdict").inner_text() == level

        # Found again by a word of the conclusion, filtered, and compared.
        page.get_by_role("link", name="History", exact=True).click()
        page.get_by_label("Words").fill("agency")
        page.get_by_role("button", name="Search").click()
        expect(page.locator(".runs tbody tr")).to_have_count(1)
        page.goto(f"{base}/history")
        page.locator(".filter a", has_text="video").click()
        expect(page.locator(".runs tbody tr")).to_have_count(2)
        ticks = page.locator('.runs input[name="run"]')
        ticks.nth(0).check()
        ticks.nth(1).check()
        page.get_by_role("button", name="Compare two").click()
        expect(page.get_by_role("heading", name="What differs")).to_be_visible()

        # Done again with a model, and the list of what changed.
        page.go_back()
        page.locator('.runs input[name="run"]').nth(0).check()
        page.select_option("#model", "tiny")
        page.get_by_role("button", name="Analyse again").click()
        expect(page.get_by_text("Results changed: 0")).to_be_visible(timeout=60_000)

        # Deleted.
        page.goto(f"{base}/history?q=interview")
        page.locator(".runs a").first.click()
        page.get_by_text("Delete this record and its file").click()
        page.get_by_role("button", name="Delete for good").click()
        page.wait_for_url("**/history")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(server: str, browser: Browser, state: Any, scheme: str) -> None:
    found: dict[str, list[str]] = {}
    # 720 pixels at twice the scale: what a window of 1440 shows at 200 %.
    for size, factor in (((1440, 900), 1.0), ((720, 450), 2.0)):
        viewport = {"width": size[0], "height": size[1]}
        context = browser.new_context(
            storage_state=state,
            color_scheme=scheme,
            viewport=viewport,
            device_scale_factor=factor,  # type: ignore[arg-type]
        )
        page = context.new_page()
        for name, address in _pages(server, page).items():
            page.goto(_base(server) + address)
            for details in page.locator("details").all():
                details.evaluate("each => { each.open = true; }")
            if told := violations(page):
                found[f"{name} {size[0]}"] = told
        context.close()
    assert not found, found


def test_nothing_scrolls_sideways_on_a_phone(server: str, browser: Browser, state: Any) -> None:
    with page_of(browser, state, viewport={"width": 390, "height": 844}) as page:
        pages = _pages(server, page)
        del pages["not there"]  # its answer is an error, which the console tells
        for name, address in pages.items():
            page.goto(_base(server) + address)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_right_to_left(server: str, browser: Browser, state: Any) -> None:
    with page_of(browser, state) as page:
        page.goto(_base(server))
        page.select_option("#language", "ar")
        page.get_by_role("button", name="Change").click()
        page.wait_for_selector('html[dir="rtl"]')
        brand, nav = page.locator(".brand").bounding_box(), page.locator("nav").bounding_box()
        assert brand and nav and brand["x"] > nav["x"]
        assert not violations(page)
        page.goto(_base(server) + _pages(server, page)["video"])
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_broken_connection_resumes_the_upload(server: str, browser: Browser, state: Any, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(b"not media " * 2_000_000)
    context = browser.new_context(storage_state=state)
    page = context.new_page()
    failures = 0

    def sometimes(route: Any) -> None:
        nonlocal failures
        if route.request.method == "PATCH" and failures < 2:
            failures += 1
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/v1/uploads/*", sometimes)
    page.goto(_base(server))
    page.set_input_files("#files", large)
    row = page.locator(".job", has_text="large.bin")
    expect(row).to_have_attribute("data-state", "failed", timeout=60_000)  # it is no media, and was sent whole
    expect(row).to_contain_text("Could not be analysed")
    assert failures == 2
    context.close()
