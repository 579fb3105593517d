"""Resumable uploads (tus 1.0.0): pieces, breaks, resumption after a restart, limits."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from pathlib import Path

import pytest
from web_maker import Desk, photo_bytes

from fakelab.errors import ConflictError, LimitError, UnknownNameError
from fakelab.web.uploads import TooSlowError, Uploads, gathered, metadata

PIECE = {"Content-Type": "application/offset+octet-stream", "Tus-Resumable": "1.0.0"}


def _begin(desk: Desk, size: int, name: str = "photo.jpg") -> str:
    named = base64.b64encode(name.encode()).decode()
    answer = desk.client.post(
        "/api/v1/uploads", headers={"Upload-Length": str(size), "Upload-Metadata": f"filename {named}"}
    )
    assert answer.status_code == 201
    return answer.headers["location"]


def test_pieces_sent_one_by_one_become_the_file_and_then_an_analysis(desk: Desk) -> None:
    data = photo_bytes(4001)
    address = _begin(desk, len(data), "Ünïcode 名.jpg")
    for start in range(0, len(data), 10_000):
        sent = desk.client.patch(
            address, content=data[start : start + 10_000], headers=PIECE | {"Upload-Offset": str(start)}
        )
        assert sent.status_code == 204
        assert sent.headers["upload-offset"] == str(min(len(data), start + 10_000))
    upload = address.rsplit("/", 1)[1]
    made = desk.client.post("/api/v1/analyses", json={"upload": upload, "prior": 0.3})
    assert made.status_code == 202
    told = desk.result(made.json()["id"])
    assert told["name"] == "Ünïcode 名.jpg" and told["sha256"] == hashlib.sha256(data).hexdigest()
    assert desk.client.head(address).status_code == 404


def test_a_wrong_offset_is_refused_and_the_right_one_is_told(desk: Desk) -> None:
    address = _begin(desk, 100)
    desk.client.patch(address, content=b"x" * 40, headers=PIECE | {"Upload-Offset": "0"})
    assert desk.client.patch(address, content=b"x", headers=PIECE | {"Upload-Offset": "0"}).status_code == 409
    looked = desk.client.head(address)
    assert looked.headers["upload-offset"] == "40" and looked.headers["upload-length"] == "100"
    upload = address.rsplit("/", 1)[1]
    early = desk.client.post("/api/v1/analyses", json={"upload": upload})
    assert early.status_code == 409 and "40 of 100 bytes" in early.json()["detail"]


def test_more_than_was_announced_and_more_than_is_allowed_are_refused(desk: Desk) -> None:
    address = _begin(desk, 10)
    assert desk.client.patch(address, content=b"x" * 11, headers=PIECE | {"Upload-Offset": "0"}).status_code == 413
    large = desk.client.post("/api/v1/uploads", headers={"Upload-Length": str(65 << 20)})
    assert large.status_code == 413 and "64 MB" in large.json()["detail"]
    wrong = desk.client.patch(address, content=b"x", headers={"Upload-Offset": "0", "Content-Type": "text/plain"})
    assert wrong.status_code == 415


def test_somebody_elses_upload_is_not_there(make_desk: object) -> None:
    assert callable(make_desk)
    mine, other = make_desk(), make_desk()
    address = _begin(mine, 10)
    assert other.client.head(address).status_code == 404
    assert other.client.patch(address, content=b"x", headers=PIECE | {"Upload-Offset": "0"}).status_code == 404
    assert other.client.delete(address).status_code == 404
    assert mine.client.delete(address).status_code == 204
    assert mine.client.head(address).status_code == 404


@pytest.mark.anyio
async def test_what_came_before_a_break_is_kept_and_the_hash_goes_on_after_a_restart(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    uploads = Uploads(tmp_path, 10 << 20)
    upload = uploads.begin("clip.mp4", len(data), "desk")

    async def breaks_off() -> object:
        yield data[:1_500_000]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await uploads.add(upload, 0, breaks_off())  # type: ignore[arg-type]
    again = Uploads(tmp_path, 10 << 20)
    found = again.get(upload.id, "desk")
    assert found.offset == 1_500_000

    async def rest() -> object:
        yield data[1_500_000:]

    assert (await again.add(found, found.offset, rest())).whole  # type: ignore[arg-type]
    path, name, digest = again.finish(upload.id, "desk")
    assert path.read_bytes() == data and name == "clip.mp4"
    assert digest == hashlib.sha256(data).hexdigest()


@pytest.mark.anyio
async def test_two_requests_cannot_add_at_once(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, 1 << 20)
    upload = uploads.begin("x", 10, "desk")

    async def nested() -> object:
        with pytest.raises(ConflictError):
            await uploads.add(upload, 0, inner())  # type: ignore[arg-type]
        yield b"12345"

    async def inner() -> object:
        yield b"abc"

    assert (await uploads.add(upload, 0, nested())).offset == 5  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_pieces_are_gathered_to_a_megabyte() -> None:
    async def small() -> object:
        for _ in range(30):
            yield b"x" * 100_000

    sizes = [len(each) async for each in gathered(small())]  # type: ignore[arg-type]
    assert sum(sizes) == 3_000_000 and max(sizes) < (1 << 20) + 100_000 and len(sizes) == 3


@pytest.mark.anyio
async def test_a_client_that_sends_nothing_is_given_up_and_what_it_sent_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fakelab.web.uploads.CHUNK_WAIT_S", 0.2)
    uploads = Uploads(tmp_path, 1 << 20)
    upload = uploads.begin("x", 10, "desk")

    async def falls_silent() -> object:
        yield b"12345"
        await asyncio.sleep(60)
        yield b"67890"

    with pytest.raises(TooSlowError) as told:
        await uploads.add(upload, 0, falls_silent())  # type: ignore[arg-type]
    assert told.value.http_status == 408
    found = uploads.get(upload.id, "desk")
    assert found.offset == 5

    async def goes_on() -> object:
        yield b"67890"

    assert (await uploads.add(found, 5, goes_on())).whole  # type: ignore[arg-type]


def test_names_and_owners_are_checked(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, 1 << 20)
    upload = uploads.begin("x", 10, "desk")
    for name in ("../secret", "", "nosuch"):
        with pytest.raises(UnknownNameError):
            uploads.get(name, "desk")
    with pytest.raises(UnknownNameError):
        uploads.get(upload.id, "another")
    with pytest.raises(LimitError):
        uploads.begin("x", 2 << 20, "desk")


def test_metadata_is_base64_of_utf8() -> None:
    assert metadata("filename w6kubXA0, other") == {"filename": "é.mp4", "other": ""}
    with pytest.raises(Exception, match="base64"):
        metadata("filename !!!")
