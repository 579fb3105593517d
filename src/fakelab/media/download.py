"""A link -> a file, by yt-dlp in a child process that may connect to public addresses alone. Only when asked.

yt-dlp resolves names and follows redirects itself, so looking at the address beforehand guards nothing: the child's
connections are looked at when they are made (`download_child`).
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from fakelab.errors import DamagedMediaError, EnvironmentBrokenError, FakeLabError, LimitError, UsageError
from fakelab.media.sandbox import import_path
from fakelab.media.sniff import shown

_BOOT = (
    "import sys, json; order = json.loads(sys.stdin.buffer.readline()); sys.path[:] = order['sys_path']; "
    "from fakelab.media.download_child import main; main(order)"
)
_KEPT = ("PATH", "SYSTEMROOT", "SYSTEMDRIVE", "TEMP", "TMP", "TMPDIR", "HOME", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
"""The only variables the child gets: none that names a proxy."""
LOOK_S = 0.5
"""How often it is asked whether the file is still wanted."""


class NotWantedError(FakeLabError):
    """Whoever wanted the file no longer does."""


def check_address(url: str) -> str:
    """The address, if it is one of http or https without a name and password in it. Raises UsageError."""
    try:
        parts = urlsplit(url.strip())
        fits = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        fits = False
    if not fits:
        raise UsageError(
            f"'{shown(url)}' cannot be downloaded",
            "it is no plain http or https address",
            "Download it, and give the file.",
        )
    return url.strip()


def check_downloader() -> None:
    """Raises EnvironmentBrokenError where links cannot be downloaded."""
    if importlib.util.find_spec("yt_dlp") is None:
        raise EnvironmentBrokenError(
            "links cannot be downloaded",
            "the package 'yt-dlp' is not installed",
            "Install it with: pip install 'fakelab-verify[url]'",
        )


def download(
    url: str,
    folder: Path,
    name: str,
    *,
    most_bytes: int = 2 << 30,
    wall_s: float = 900.0,
    wanted: Callable[[], bool] = lambda: True,
) -> Path:
    """The file behind a public link, saved in `folder` as `name` with its own suffix.

    Raises UsageError for an address that is none, EnvironmentBrokenError without yt-dlp, LimitError past `wall_s`,
    NotWantedError soon after `wanted` says so, and DamagedMediaError with the reason for everything else, private
    addresses among it. What `wanted` itself raises comes through. A file that is not whole stays beside as
    `.part`, from which the next try goes on.
    """
    address = check_address(url)
    check_downloader()
    folder.mkdir(parents=True, exist_ok=True)
    order = {
        "url": address,
        "folder": str(folder.resolve()),
        "name": name,
        "most_bytes": most_bytes,
        "sys_path": import_path(),
    }
    try:
        answer = _asked(order, time.monotonic() + wall_s, wanted)
    except TimeoutError as error:
        raise LimitError(f"{shown(url)} cannot be downloaded", f"it took more than {wall_s:g} s") from error
    file = folder / str(answer.get("file", ""))
    if "file" in answer and file.parent == folder and file.is_file():
        return file
    why = str(answer.get("error") or f"the downloader ended with code {answer['code']}")
    raise DamagedMediaError(f"{shown(url)} cannot be downloaded", why, "Open the link in a browser to see what it is.")


def _asked(order: dict[str, object], until: float, wanted: Callable[[], bool]) -> dict[str, object]:
    """What the child answers, with its exit `code`. Raises TimeoutError, NotWantedError; then the child is gone."""
    with subprocess.Popen(
        [sys.executable, "-I", "-c", _BOOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={key: os.environ[key] for key in _KEPT if key in os.environ},
    ) as child:
        said: bytes | None = json.dumps(order).encode() + b"\n"
        try:
            while True:
                try:
                    stdout, _ = child.communicate(said, timeout=LOOK_S)
                    return _answer(stdout) | {"code": child.returncode}
                except subprocess.TimeoutExpired:
                    said = None  # it was sent
                if not wanted():
                    raise NotWantedError("the download was stopped", "its file is no longer wanted", "")
                if time.monotonic() > until:
                    raise TimeoutError
        except BaseException:
            child.kill()
            raise


def _answer(stdout: bytes) -> dict[str, object]:
    try:
        found = json.loads(stdout.splitlines()[-1])
        return found if isinstance(found, dict) else {}
    except (ValueError, IndexError):
        return {}
