"""Takes the pictures of the pages for docs/images: `python scripts/screenshots.py`. Everything they show is made here.

Needs chromium, the extras `dev` and `demo`, and half a minute.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from playwright.sync_api import BrowserContext, sync_playwright

from demo import SEED, film, forge, portrait

sys.path.append(str(Path(__file__).parent.parent / "tests"))
import sound_maker

IMAGES = Path(__file__).parent.parent / "docs" / "images"
LONG = "a clip that was forwarded in a chat group so often that its name has grown to two hundred characters " * 2
WIDTH_PX = 1200
SCHEMES: tuple[tuple[Literal["light", "dark"], str], ...] = (("light", ""), ("dark", "-dark"))
WHOLE = ("result", "result-recording")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address that a server on an empty folder prints."""
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "fakelab", "serve", "--port", "0"],
            env={**os.environ, "FAKELAB_DATA_DIR": str(folder / "data")},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert server.stdout is not None
    address = ""
    while not address:
        line = server.stdout.readline()
        found = re.search(r"http://\S+", line)
        address = found[0] if found else ""
    try:
        yield address
    finally:
        server.terminate()
        server.wait(30)


def shoot(context: BrowserContext, base: str, address: str, name: str, *, whole: bool = False) -> None:
    """One picture, as WebP: what stands above the fold, or the whole page."""
    page = context.new_page()
    page.goto(base + address)
    # Pictures below the fold load when they are scrolled to, which a picture of the whole page does not do.
    page.evaluate("() => { for (const each of document.images) each.loading = 'eager'; }")
    page.wait_for_timeout(800)
    png = IMAGES / f"{name}.png"
    page.screenshot(path=png, full_page=whole)
    with Image.open(png) as picture:
        picture.thumbnail((WIDTH_PX, WIDTH_PX * 10))
        picture.save(IMAGES / f"{name}.webp", quality=80, method=6)
    png.unlink()
    page.close()


def make_clips(folder: Path) -> tuple[Path, Path]:
    """The two clips of the demonstration: a portrait, and a forgery of it."""
    real, forged = folder / "portrait.mp4", folder / "portrait-forged.mp4"
    film(portrait(), real)
    film(forge(portrait(), SEED), forged)
    return real, forged


def main() -> None:
    """Takes all pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="fakelab-shots-"))
    real, forged = make_clips(folder)
    long_name = folder / f"{LONG[:200].strip()}.mp4"
    shutil.copy(forged, long_name)
    long_name.write_bytes(long_name.read_bytes() + b"\0\0\0\x08free")
    broken = folder / "broken.mp4"
    broken.write_bytes(b"no video at all " * 50)
    photo, call = folder / "portrait.jpg", folder / "call.wav"
    Image.fromarray(forge(portrait(), SEED)).save(photo, quality=92)
    quiet = np.zeros(8 * sound_maker.RATE, np.float32)
    sound_maker.save(call, np.concatenate([sound_maker.speech_like(9), quiet, sound_maker.speech_like(7, seed=2)]))
    state = Path(tempfile.gettempdir()) / "fakelab-shots.json"
    with served(folder) as address, sync_playwright() as playwright:
        base = address.partition("/enter")[0]
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        first = browser.new_context(viewport={"width": 1440, "height": 900})
        page = first.new_page()
        page.goto(address)
        page.close()
        first.storage_state(path=state)
        first.close()
        stranger = browser.new_context(viewport={"width": 1440, "height": 900})
        shoot(stranger, base, "/", "not-signed-in")
        stranger.close()
        empty = {"analyse-empty": "/", "history-empty": "/history", "compare-empty": "/compare"}
        for scheme, ending in SCHEMES:
            context = browser.new_context(
                storage_state=state, viewport={"width": 1440, "height": 900}, color_scheme=scheme
            )
            for name, where in empty.items():
                shoot(context, base, where, name + ending)
            context.close()
        signed_in = browser.new_context(storage_state=state)
        page = signed_in.new_page()
        page.goto(base)
        files = [real, forged, long_name, broken, photo, call]
        page.set_input_files("#files", [str(each) for each in files])
        page.wait_for_function(
            "n => document.querySelectorAll('.job[data-state=done], .job[data-state=failed]').length === n",
            arg=len(files),
            timeout=180_000,
        )
        rows = [(each.inner_text().strip(), each.get_attribute("href") or "") for each in page.locator(".job a").all()]
        signed_in.close()
        named = dict(rows)
        runs = {
            "result": next(href for name, href in rows if name == forged.name),
            "result-genuine": next(href for name, href in rows if name == real.name),
            "result-long-name": next(href for name, href in rows if name.startswith(LONG[:20])),
            "result-failed": named[broken.name],
            "result-photo": named[photo.name],
            "result-recording": named[call.name],
        }
        a, b = (runs[each].rsplit("/", 1)[1] for each in ("result-genuine", "result"))
        pages = {
            "analyse": "/",
            **runs,
            "history": "/history",
            "history-nothing": "/history?q=nosuchword",
            "compare": f"/compare?a={a}&b={b}",
            "models": "/models",
            "training-empty": "/training",
            "settings": "/settings",
            "audit": "/audit?verify=true",
            "help": "/help",
            "api": "/api/docs",
            "error": "/runs/0000000000000000",
        }
        for scheme, ending in SCHEMES:
            context = browser.new_context(
                storage_state=state, viewport={"width": 1440, "height": 900}, color_scheme=scheme
            )
            for name, where in pages.items():
                shoot(context, base, where, name + ending)
            for name in WHOLE:
                shoot(context, base, pages[name], f"{name}-whole{ending}", whole=True)
            context.close()
        phone = browser.new_context(storage_state=state, viewport={"width": 390, "height": 844})
        for name in ("analyse", "result", "history"):
            shoot(phone, base, pages[name], f"{name}-phone")
        phone.add_cookies([{"name": "fakelab_language", "value": "ar", "url": base}])
        phone.close()
        arabic = browser.new_context(storage_state=state, viewport={"width": 1440, "height": 900})
        arabic.add_cookies([{"name": "fakelab_language", "value": "ar", "url": base}])
        shoot(arabic, base, pages["result"], "result-arabic")
        browser.close()
    shutil.rmtree(folder, ignore_errors=True)
    state.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
