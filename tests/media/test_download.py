from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import media_maker as maker
from fakelab.errors import DamagedMediaError, LimitError, UsageError
from fakelab.media.download import NotWantedError, check_address, download
from fakelab.media.download_child import NotPublicError, _download, _reason, checked, is_public


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:1.1.1.1", True),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
    ],
)
def test_only_the_open_internet_is_public(host: str, public: bool) -> None:
    assert is_public(host) is public


def test_a_name_is_resolved_first_and_what_was_checked_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"good.example": "1.1.1.1", "rebound.example": "192.168.0.1"}

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[host], port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert checked(("good.example", 443)) == ("1.1.1.1", 443)
    with pytest.raises(NotPublicError, match=r"192.168.0.1 is not a public address"):
        checked(("rebound.example", 443))
    with pytest.raises(NotPublicError, match="inside this machine"):
        checked("/run/some.socket")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a.example/x", "https://", "clip.mp4", "https://u:p@a.example/"]
)
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no plain http or https address"):
        check_address(url)


def test_the_child_refuses_to_talk_to_this_machine(tmp_path: Path) -> None:
    """A server here would give the file: nobody may reach it through a link."""
    pytest.importorskip("yt_dlp", reason="the extra 'url' is not installed")
    reached = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)

        def wait() -> None:
            try:
                reached.append(server.accept())
            except OSError:
                return

        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/clip.mp4"
        with pytest.raises(DamagedMediaError, match=r"127.0.0.1 is not a public address"):
            download(url, tmp_path / "d", "clip")
    assert not reached
    assert list((tmp_path / "d").iterdir()) == []


def test_a_file_behind_a_link_is_saved_under_its_name(tmp_path: Path) -> None:
    """Without the guard, since only this machine is at hand: yt-dlp itself, and our settings of it."""
    pytest.importorskip("yt_dlp", reason="the extra 'url' is not installed")
    clip = maker.make_video(tmp_path / "clip.mp4", 10)
    handler = partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        order = {
            "url": f"http://127.0.0.1:{server.server_address[1]}/clip.mp4",
            "folder": str(tmp_path / "d"),
            "name": "abc",
            "most_bytes": 1 << 20,
        }
        name = _download(order)
        with pytest.raises(OSError, match="nothing was saved"):
            _download(order | {"name": "small", "most_bytes": 10})
        server.shutdown()
    assert name == "abc.mp4"
    assert (tmp_path / "d" / name).read_bytes() == clip.read_bytes()


@pytest.fixture
def redirected(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a server that leads elsewhere: to another of this machine, whose requests are written down."""
    reached: list[str] = []

    class Inner(QuietHandler):
        def do_GET(self) -> None:
            reached.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

    class Outer(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{inner.server_address[1]}/clip.mp4")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

    with ThreadingHTTPServer(("127.0.0.1", 0), Inner) as inner, ThreadingHTTPServer(("127.0.0.1", 0), Outer) as outer:
        for each in (inner, outer):
            threading.Thread(target=each.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{outer.server_address[1]}/clip.mp4", reached
        for each in (inner, outer):
            each.shutdown()


OPEN_DOOR = """
import json, sys
order = json.loads(sys.stdin.buffer.readline())
sys.path[:] = order["sys_path"]
from fakelab.media import download_child as child
public = child.is_public
# One port of this machine stands in for the open internet; what it leads to does not.
checked = child.checked
child.checked = lambda address: address if address == ("127.0.0.1", {port}) else checked(address)
child.main(order)
"""


def test_a_redirect_to_a_private_address_is_refused_when_connecting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redirected: tuple[str, list[str]]
) -> None:
    pytest.importorskip("yt_dlp", reason="the extra 'url' is not installed")
    url, reached = redirected
    monkeypatch.setattr("fakelab.media.download._BOOT", OPEN_DOOR.replace("{port}", url.split(":")[2].split("/")[0]))
    with pytest.raises(DamagedMediaError, match=r"127.0.0.1 is not a public address"):
        download(url, tmp_path / "d", "clip")
    assert reached == []
    assert list((tmp_path / "d").iterdir()) == []


SLOW = "import sys, time; sys.stdin.buffer.readline(); print('begun', file=sys.stderr); time.sleep(120)"


def test_a_download_ends_when_nobody_wants_it_any_more_and_at_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("yt_dlp", reason="the extra 'url' is not installed")
    children: list[subprocess.Popen[bytes]] = []

    class Seen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            children.append(self)

    monkeypatch.setattr("fakelab.media.download._BOOT", SLOW)
    monkeypatch.setattr("fakelab.media.download.subprocess.Popen", Seen)
    answers = iter([True, False])
    began = time.monotonic()
    with pytest.raises(NotWantedError):
        download("https://a.example/x", tmp_path, "x", wanted=lambda: next(answers))
    with pytest.raises(LimitError, match=r"more than 0\.1 s"):
        download("https://a.example/x", tmp_path, "x", wall_s=0.1)

    def interrupted() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download("https://a.example/x", tmp_path, "x", wanted=interrupted)
    assert time.monotonic() - began < 60
    assert len(children) == 3 and all(each.returncode not in (None, 0) for each in children)


def test_a_machine_without_a_network_is_told_as_such() -> None:
    told = OSError("Unable to download webpage")
    told.__cause__ = socket.gaierror(-3, "Temporary failure in name resolution")
    assert "may be offline" in _reason(told)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_the_guard_covers_whatever_python_connects() -> None:
    code = (
        "from fakelab.media.download_child import guard; guard()\n"
        "import socket, urllib.request\n"
        "for act in (lambda: socket.create_connection(('127.0.0.1', 9), 1), "
        "lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9)), "
        "lambda: urllib.request.urlopen('http://localhost:9/', timeout=1)):\n"
        "    try: act()\n"
        "    except OSError as error: print(type(getattr(error, 'reason', error)).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["NotPublicError"] * 3
