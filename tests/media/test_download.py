from __future__ import annotations

import socket
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import media_maker as maker
from fakelab.errors import DamagedMediaError, UsageError
from fakelab.media.download import check_address, download
from fakelab.media.download_child import NotPublicError, _download, checked, is_public


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
