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
from pathlib import Path
from urllib.parse import urlsplit

from fakelab.errors import DamagedMediaError, EnvironmentBrokenError, LimitError, UsageError
from fakelab.media.sandbox import import_path
from fakelab.media.sniff import shown

_BOOT = (
    "import sys, json; order = json.loads(sys.stdin.buffer.readline()); sys.path[:] = order['sys_path']; "
    "from fakelab.media.download_child import main; main(order)"
)
_KEPT = ("PATH", "SYSTEMROOT", "SYSTEMDRIVE", "TEMP", "TMP", "TMPDIR", "HOME", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
"""The only variables the child gets: none that names a proxy."""


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


def download(url: str, folder: Path, name: str, *, most_bytes: int = 2 << 30, wall_s: float = 900.0) -> Path:
    """The file behind a public link, saved in `folder` as `name` with its own suffix.

    Raises UsageError for an address that is none, EnvironmentBrokenError without yt-dlp, LimitError past `wall_s`, and
    DamagedMediaError with the reason for everything else, private addresses among it.
    """
    address = check_address(url)
    if importlib.util.find_spec("yt_dlp") is None:
        raise EnvironmentBrokenError(
            "links cannot be downloaded",
            "the package 'yt-dlp' is not installed",
            "Install it with: pip install 'fakelab-verify[url]'",
        )
    folder.mkdir(parents=True, exist_ok=True)
    order = {
        "url": address,
        "folder": str(folder.resolve()),
        "name": name,
        "most_bytes": most_bytes,
        "sys_path": import_path(),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _BOOT],
            input=json.dumps(order).encode() + b"\n",
            capture_output=True,
            timeout=wall_s,
            env={key: os.environ[key] for key in _KEPT if key in os.environ},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LimitError(f"{shown(url)} cannot be downloaded", f"it took more than {wall_s:g} s") from error
    answer = _answer(done.stdout)
    file = folder / str(answer.get("file", ""))
    if "file" in answer and file.parent == folder and file.is_file():
        return file
    why = str(answer.get("error") or f"the downloader ended with code {done.returncode}")
    raise DamagedMediaError(f"{shown(url)} cannot be downloaded", why, "Open the link in a browser to see what it is.")


def _answer(stdout: bytes) -> dict[str, object]:
    try:
        found = json.loads(stdout.splitlines()[-1])
        return found if isinstance(found, dict) else {}
    except (ValueError, IndexError):
        return {}
