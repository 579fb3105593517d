"""What the tests in a real browser share: chromium, a page that tells of faults and of foreign hosts, axe, media."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from portrait_maker import portrait

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LONG = "a name of two hundred characters " * 6 + ".mp4"
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)"
)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's chromium, for one module."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@contextlib.contextmanager
def page_of(browser: Browser, state: Any, **options: Any) -> Iterator[Page]:
    """A page of its own context. Fails where a script or the console told of an error, or another host was asked."""
    context = browser.new_context(storage_state=state, **options)
    page = context.new_page()
    faults: list[str] = []
    foreign: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    page.on("request", lambda request: foreign.append(request.url) if not _own(request.url) else None)
    yield page
    context.close()
    assert not faults, faults
    assert not foreign, foreign


def _own(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "blob:", "data:"))


def signed_in(browser: Browser, address: str) -> Any:
    """What a browser holds once it opened the address that the server printed."""
    context = browser.new_context()
    context.new_page().goto(address)
    kept = context.storage_state()
    context.close()
    return kept


def violations(page: Page) -> list[str]:
    """What axe finds on a page as it stands."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in found]


def in_both_schemes(page: Page) -> list[str]:
    """What axe finds on a page in light and in dark, with everything unfolded."""
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found += [f"{scheme}: {each}" for each in violations(page)]
    return found


def still_clip(path: Path, frames: int, rate: int = 25, *, light: float = 1.0, blur_px: float = 0.0) -> Path:
    """A clip of the portrait that does not move, darkened and blurred as told: quick to write, whatever its length."""
    face = cv2.resize(portrait(), (320, 320), interpolation=cv2.INTER_AREA)[40:280]
    if blur_px:
        face = cv2.GaussianBlur(face, (0, 0), blur_px)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray((face * light).astype(np.uint8)), format="rgb24")
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(frames):
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path
