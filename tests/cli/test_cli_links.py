"""Links on the command line of `fakelab analyze`: fetched when asked, analysed, and gone afterwards unless kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakelab.cli import main
from fakelab.cli.inputs import Link
from fakelab.errors import DamagedMediaError
from fakelab.service.history import History

URL = "https://press.example/a/Clip%20one.mp4?x=1"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(64)


class Net:
    """Stands in for the downloader: `asked` holds what was fetched, with the limits that it got."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def __call__(self, url: str, folder: Path, name: str, *, most_bytes: int) -> Path:
        self.asked.append((url, most_bytes))
        if "gone" in url:
            raise DamagedMediaError(f"{url} cannot be downloaded", "HTTP Error 404", "Open the link in a browser.")
        place = folder / f"{name}.mp4"
        place.write_bytes(JPEG)
        return place


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    made = Net()
    monkeypatch.setattr("fakelab.media.download.download", made)
    monkeypatch.setattr("fakelab.media.download.check_downloader", lambda: None)
    return made


def test_a_link_is_fetched_analysed_recorded_and_not_kept(
    net: Net, fake: Any, kept: History, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", URL, "--model", "tiny", "--format", "json"]) == 0
    assert net.asked == [(URL, 10_240 << 20)]
    [(place, _)] = fake.calls
    assert not Path(place).exists() and not Path(place).parent.exists()
    document = json.loads(capsys.readouterr().out)
    assert document["file"]["path"] == URL and document["file"]["name"] == "Clip_one.mp4"
    [run] = kept.every()
    assert (run.acquired, run.place, run.name) == ("url", URL, "Clip_one.mp4")


def test_what_is_kept_gets_a_name_that_is_free(net: Net, fake: Any, kept: History, tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    for _ in range(2):
        assert main(["analyze", URL, "--model", "tiny", "--keep", str(keep)]) == 0
    assert sorted(each.name for each in keep.iterdir()) == ["Clip_one-2.mp4", "Clip_one.mp4"]
    runs = list(kept.every())
    assert {run.place for run in runs} == {str(each) for each in keep.iterdir()}
    assert [run.acquired for run in runs] == ["url", "url"]
    assert main(["analyze", URL, "--model", "tiny", "--keep", str(keep / "Clip_one.mp4" / "below")]) == 2


def test_a_link_that_leads_nowhere_does_not_stop_the_others(
    net: Net, fake: Any, photos: Callable[..., Path], kept: History, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = "https://press.example/gone"
    assert main(["analyze", gone, str(photos("plain.jpg")), URL, "--model", "tiny", "--format", "jsonl"]) == 3
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows[0]["file"]["path"] == gone and rows[0]["error"]["why"] == "HTTP Error 404"
    assert [row["file"]["name"] for row in rows[1:]] == ["plain.jpg", "Clip_one.mp4"]
    assert gone in err
    [failed] = [run for run in kept.every() if run.error]
    assert (failed.acquired, failed.place, failed.name) == ("url", gone, gone)


def test_without_the_extra_nothing_is_begun(
    fake: Any, photos: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["analyze", str(photos("plain.jpg")), URL, "--model", "tiny"]) == 4
    assert "pip install 'fakelab-verify[url]'" in capsys.readouterr().err
    assert fake.calls == []


def test_this_machine_cannot_be_reached_through_a_link(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("yt_dlp", reason="the extra 'url' is not installed")
    assert main(["analyze", "http://127.0.0.1:9/clip.mp4", "--model", "tiny"]) == 4
    assert "127.0.0.1 is not a public address" in capsys.readouterr().err
    assert fake.calls == []


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.example/", "a.example"),
        ("https://a.example", "a.example"),
        ("https://a.example/watch?v=1", "watch"),
        ("https://a.example/..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("https://a.example/%(title)s.mp4", "__title_s"),
        ("https://a.example/.mp4", "mp4"),
        ("https://a.example/名前.mp4", "名前"),
        ("https://a.example/" + "x" * 300, "x" * 80),
    ],
)
def test_a_name_is_made_of_the_address(url: str, name: str) -> None:
    assert Link(url).name == name
    assert str(Link(url)) == url
