"""The record in a real browser: what retention took, earlier files that look alike, verdicts that changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_maker import chromium, in_both_schemes, needs_chromium, page_of, signed_in
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from web_maker import Served, make_clip, photo_bytes

from fakelab import analyze
from fakelab.reports.json_report import document
from fakelab.service.accounts import Accounts
from fakelab.service.history import LOCAL, History

DONE_MS = 60_000
LONG_AGO = "2020-01-01T00:00:00.000Z"
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a desk whose record begins with a photo analysed long ago."""
    made = tmp_path_factory.mktemp("served")
    photo = tmp_path_factory.mktemp("files") / "long ago.jpg"
    photo.write_bytes(photo_bytes(9500))
    history = History(made)
    doc = document(analyze(photo, model="tiny")) | {"started": LONG_AGO}
    history.add_document(doc, actor="cli", acquired="path", owner=LOCAL, ended=LONG_AGO, place=str(photo))
    history.close()
    return made


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    made = Served(folder)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def state(served: Served, browser: Browser) -> Any:
    return signed_in(browser, served.address)


def _result_of(page: Page, served: Served, path: Path) -> None:
    """The result page of a file that is handed in now."""
    page.goto(served.base)
    page.set_input_files("#files", path)
    row = page.locator(".job", has_text=path.name)
    expect(row).to_have_attribute("data-state", "done", timeout=DONE_MS)
    row.get_by_role("link").click()
    page.wait_for_selector("#verdict")


def _saved_again(path: Path, target: Path) -> Path:
    """A photo as a chat service hands it on: smaller, and compressed harder."""
    with Image.open(path) as photo:
        photo.resize((photo.width * 3 // 4, photo.height * 3 // 4)).save(target, quality=60)
    return target


@pytest.mark.parametrize("kind", ["photo", "video"])
def test_an_earlier_file_that_looks_alike_is_named_and_reached(
    served: Served, browser: Browser, state: Any, tmp_path: Path, kind: str
) -> None:
    if kind == "photo":
        first = tmp_path / "from the agency.jpg"
        first.write_bytes(photo_bytes(9501))
        second = _saved_again(first, tmp_path / "from a chat.jpg")
    else:
        first = make_clip(tmp_path / "clip of the agency.mp4", shade=41)
        second = make_clip(tmp_path / "clip of a chat.mkv", shade=41, codec="mpeg4")
    with page_of(browser, state) as page:
        _result_of(page, served, first)
        earlier = page.url
        _result_of(page, served, second)
        part = page.get_by_role("region", name="Other analyses of this or a similar file")
        expect(part.get_by_role("heading", name="Files that look alike")).to_be_visible()
        part.get_by_role("link", name=first.name).click()
        expect(page).to_have_url(earlier)
        expect(page.locator(".file-name")).to_have_text(first.name)
        part.get_by_role("link", name=second.name).click()
        page.wait_for_selector("#verdict")
        part.get_by_role("link", name="Compare with the newest of them").click()
        expect(page.get_by_role("heading", name="What differs")).to_be_visible()


def test_a_verdict_that_another_model_changes_is_listed_with_both(
    served: Served, browser: Browser, state: Any, tmp_path: Path
) -> None:
    photo = tmp_path / "judged twice.jpg"
    photo.write_bytes(photo_bytes(9502))
    with page_of(browser, state) as page:
        _result_of(page, served, photo)
        first, before = page.url.rpartition("/")[2], page.locator("#verdict").inner_text()
        page.goto(f"{served.base}/history?q=judged+twice")
        page.locator('.runs input[name="run"]').check()
        page.select_option("#model", "clip_face")
        page.get_by_role("button", name="Analyse again").click()
        expect(page.get_by_text("Results changed: 1")).to_be_visible(timeout=DONE_MS)
        assert "/rescored/" in page.url
        rescored = page.url
        row = page.locator("tbody tr")
        expect(row).to_have_count(1)
        expect(row).to_contain_text("judged twice.jpg")
        old, new = row.locator('a[href^="/runs/"]').all()
        assert old.inner_text() == before and new.inner_text() != before
        assert old.get_attribute("href") == f"/runs/{first}"
        expect(row.locator("b.warn")).to_have_text("yes")
        assert not in_both_schemes(page)

        now = new.inner_text()
        new.click()
        expect(page.locator("#verdict")).to_have_text(now)
        assert page.url.rpartition("/")[2] != first
        page.goto(rescored)
        old.click()
        expect(page.locator("#verdict")).to_have_text(before)
        page.goto(rescored)
        row.get_by_role("link", name="Compare").click()
        expect(page.get_by_role("heading", name="What differs")).to_be_visible()


def _sign_in(page: Page, password: str) -> None:
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def _refused(browser: Browser, address: str) -> None:
    """A wrong password is told, and read by axe. The answer is an error, which the console tells too."""
    page = browser.new_page()
    page.goto(address)
    _sign_in(page, "not the password")
    expect(page.get_by_role("alert")).to_be_visible()
    assert not in_both_schemes(page)
    page.close()


def test_what_the_retention_rule_takes_is_gone_and_the_log_says_so_to_whoever_signs_in(
    served: Served, browser: Browser, state: Any, folder: Path, tmp_path: Path
) -> None:
    fresh = tmp_path / "of today.jpg"
    fresh.write_bytes(photo_bytes(9503))
    with page_of(browser, state) as page:
        _result_of(page, served, fresh)
        page.goto(f"{served.base}/history?sort=oldest")
        oldest = page.locator(".runs tbody a").first
        expect(oldest).to_have_text("long ago.jpg")
        gone = (oldest.get_attribute("href") or "").rpartition("/")[2]
    served.stop()
    history = History(folder)
    Accounts(history).add_user("ada", "a long password", role="admin", desk=LOCAL, actor="test")
    history.close()
    ruled = Served(folder, "--accounts", FAKELAB_RETENTION_DAYS="30")
    try:
        _refused(browser, f"{ruled.base}/history")
        with page_of(browser, None) as page:
            page.goto(f"{ruled.base}/history")
            page.wait_for_url("**/login?next=*")
            assert not in_both_schemes(page)
            _sign_in(page, "a long password")
            page.wait_for_url("**/history")
            expect(page.locator(".runs tbody a", has_text="of today.jpg")).to_have_count(1)
            expect(page.locator(".runs tbody a", has_text="long ago.jpg")).to_have_count(0)
            page.goto(f"{ruled.base}/audit?verify=true")
            row = page.locator("tbody tr", has_text=gone).first
            expect(row.locator('[data-label="Who"]')).to_have_text("retention")
            expect(row.locator('[data-label="What"]')).to_contain_text("deleted retention: ended before")
            expect(page.get_by_text("every hash fits")).to_be_visible()
            assert not in_both_schemes(page)
            assert page.request.get(f"{ruled.base}/runs/{gone}").status == 404
    finally:
        ruled.stop()
