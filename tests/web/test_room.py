"""Room on the disk is kept for what was announced, so that uploads side by side do not fill it together."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from web_maker import Desk, photo_bytes

from fakelab.errors import LimitError
from fakelab.web.uploads import RESERVED_S, SPARE_BYTES, Uploads

MB = 1 << 20


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A disk with room for 100 MB of uploads."""
    made = SimpleNamespace(free=SPARE_BYTES + 100 * MB)
    monkeypatch.setattr("fakelab.web.uploads.shutil.disk_usage", lambda folder: made)
    return made


def test_what_is_under_way_keeps_its_room(tmp_path: Path, disk: SimpleNamespace) -> None:
    uploads = Uploads(tmp_path / "u", 1000 * MB)
    first = uploads.begin("a.mp4", 60 * MB, "d")
    assert uploads.under_way() == 60 * MB
    with pytest.raises(LimitError, match="60 MB are here that others are sending"):
        uploads.begin("b.mp4", 41 * MB, "d")
    second = uploads.begin("b.mp4", 40 * MB, "d")
    with pytest.raises(LimitError), uploads.room_for(1):
        pass
    # What came takes room on the disk, and is no longer to come.
    uploads._data(first.id).write_bytes(bytes(10 * MB))
    disk.free -= 10 * MB
    assert uploads.under_way() == 90 * MB
    uploads.drop(second.id)
    assert uploads.begin("b.mp4", 40 * MB, "d").size == 40 * MB
    with pytest.raises(LimitError, match="disk is full"):
        uploads.begin("c.mp4", 200 * MB, "d")


def test_a_body_keeps_its_room_while_it_comes_and_gives_it_back(tmp_path: Path, disk: SimpleNamespace) -> None:
    uploads = Uploads(tmp_path / "u", 1000 * MB)
    with uploads.room_for(80 * MB) as came:
        with pytest.raises(LimitError):
            uploads.begin("a.mp4", 30 * MB, "d")
        came(60 * MB)
        disk.free -= 60 * MB
        assert uploads.under_way() == 20 * MB
        came(30 * MB)
        assert uploads.under_way() == 0, "more than was announced"
    disk.free += 60 * MB
    with pytest.raises(KeyError), uploads.room_for(100 * MB):
        raise KeyError
    assert uploads.under_way() == 0


def test_an_upload_that_nobody_adds_to_keeps_no_room(tmp_path: Path, disk: SimpleNamespace) -> None:
    uploads = Uploads(tmp_path / "u", 1000 * MB)
    left = uploads.begin("a.mp4", 90 * MB, "d")
    old = time.time() - RESERVED_S - 1
    os.utime(uploads._data(left.id), (old, old))
    assert uploads.under_way() == 0
    assert uploads.begin("b.mp4", 90 * MB, "d").size == 90 * MB


def test_a_request_that_does_not_fit_beside_the_others_is_refused(desk: Desk, disk: SimpleNamespace) -> None:
    others = desk.house.uploads.under_way()
    disk.free = SPARE_BYTES + 50 * MB + others
    begun = desk.client.post("/api/v1/uploads", headers={"Upload-Length": str(50 * MB - 10)})
    assert begun.status_code == 201
    refused = desk.hand_in(photo_bytes(77_001), "a.jpg")
    assert refused.status_code == 413 and "others are sending" in refused.json()["detail"]
    assert desk.client.delete(begun.headers["location"]).status_code == 204
    taken = desk.hand_in(photo_bytes(77_001), "a.jpg")
    assert taken.status_code == 202
    assert desk.result(taken.json()["id"])["state"] == "done"
    assert desk.house.uploads.under_way() == others
