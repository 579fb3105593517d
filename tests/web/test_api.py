"""The REST interface: files in, results out, and what it answers when it cannot."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from web_maker import Desk, make_clip, photo_bytes, wait_until

from fakelab.reports.json_report import schema
from fakelab.service.seal import form_of, read_seal


@pytest.fixture(scope="module")
def done(house: Any, app: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A desk with one finished analysis of a video: its secret and the run."""
    from starlette.testclient import TestClient

    secret, _ = house.accounts.add_key("reader", ("read", "analyse"), actor="test", desk="finished")
    client = TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {secret}"})
    desk = Desk(client, "finished", house)
    clip = make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", shade=77)
    run = desk.hand_in(clip.read_bytes(), "clip.mp4").json()["id"]
    assert desk.result(run)["state"] == "done"
    return secret, run


@pytest.fixture
def finished(make_desk: Callable[..., Desk], done: tuple[str, str]) -> tuple[Desk, str]:
    return make_desk("read", name="finished"), done[1]


def test_a_raw_body_becomes_an_analysis_with_a_valid_document(desk: Desk, fresh_photo: bytes) -> None:
    answer = desk.hand_in(fresh_photo, "Éléonore.jpg")
    assert answer.status_code == 202
    run = answer.json()["id"]
    assert answer.headers["location"] == f"/api/v1/analyses/{run}"
    told = desk.result(run)
    assert told["state"] == "done" and told["name"] == "Éléonore.jpg"
    assert told["sha256"] == hashlib.sha256(fresh_photo).hexdigest()
    jsonschema.validate(told["result"], schema())
    assert told["result"]["file"]["path"] == "Éléonore.jpg", "where the server keeps the file is nobody's business"


def test_a_multipart_form_brings_the_file_its_name_and_the_choices(desk: Desk, fresh_photo: bytes) -> None:
    answer = desk.client.post(
        "/api/v1/analyses", files={"file": ("a b.jpg", fresh_photo)}, data={"prior": "0.1", "thorough": "true"}
    )
    assert answer.status_code == 202
    told = desk.result(answer.json()["id"])
    assert told["name"] == "a b.jpg"
    assert told["result"]["settings"]["prior"] == 0.1 and told["result"]["settings"]["thorough"] is True


def test_a_known_file_is_answered_from_the_same_desks_record_alone(
    make_desk: Callable[..., Desk], fresh_photo: bytes
) -> None:
    first, second = make_desk(), make_desk()
    run = first.hand_in(fresh_photo).json()["id"]
    first.result(run)
    again = first.hand_in(fresh_photo, "another-name.jpg")
    assert again.status_code == 200 and again.json()["id"] == run and again.json()["known"]
    other = second.hand_in(fresh_photo)
    assert other.status_code == 202 and other.json()["id"] != run
    with_other_settings = first.client.post(
        "/api/v1/analyses", files={"file": ("x.jpg", fresh_photo)}, data={"prior": ".2"}
    )
    assert with_other_settings.status_code == 202


def test_a_repeated_key_gives_the_first_answer_and_refuses_another_request(desk: Desk, fresh_photo: bytes) -> None:
    def post(data: bytes) -> Any:
        return desk.client.post(
            "/api/v1/analyses", content=data, params={"name": "x.jpg"}, headers={"Idempotency-Key": "k1"}
        )

    first = post(fresh_photo)
    assert post(fresh_photo).json()["id"] == first.json()["id"]
    other = post(photo_bytes(5))
    assert other.status_code == 409
    assert other.headers["content-type"] == "application/problem+json"
    assert "Idempotency-Key" in other.json()["detail"]


def test_an_unreadable_file_fails_once_with_its_reason(desk: Desk) -> None:
    run = desk.hand_in(b"this is no picture" * 20, "note.jpg").json()["id"]
    told = desk.result(run)
    assert told["state"] == "failed"
    assert told["error"]["code"] == "unsupportedmedia"
    assert str(desk.house.history.folder) not in json.dumps(told)
    assert desk.house.jobs.get(run).attempts == 1
    events = [each.action for each in desk.house.history.events(run)]
    assert events.count("created") == 1


@pytest.mark.parametrize(
    ("data", "fields", "status"),
    [
        (b"", {}, 400),
        (b"x", {"model": "no such"}, 404),
        (b"x", {"model": "../../etc"}, 404),
        (b"x", {"prior": "2"}, 400),
        (b"x", {"webhook": "http://example.org/"}, 403),
    ],
)
def test_what_cannot_be_used_is_a_problem_that_says_why(
    desk: Desk, data: bytes, fields: dict[str, str], status: int
) -> None:
    answer = desk.client.post("/api/v1/analyses", files={"file": ("x.jpg", data)} if data else None, data=fields)
    assert answer.status_code == status
    told = answer.json()
    assert told["status"] == status and told["detail"] and told["title"]


def test_pages_of_the_list_follow_each_other_by_their_cursor(desk: Desk) -> None:
    words = ("amber", "birch", "cedar", "dogwood", "elder")
    runs = [desk.hand_in(photo_bytes(number + 300), f"{word}.jpg").json()["id"] for number, word in enumerate(words)]
    for run in runs:
        desk.result(run)
    seen: list[str] = []
    cursor = ""
    while True:
        page = desk.client.get("/api/v1/analyses", params={"limit": 2, "cursor": cursor}).json()
        assert page["total"] == 5
        seen += [each["id"] for each in page["analyses"]]
        cursor = page["cursor"]
        if not cursor:
            break
    assert sorted(seen) == sorted(runs) and len(seen) == 5
    found = desk.client.get("/api/v1/analyses", params={"q": "dogw"}).json()
    assert [each["name"] for each in found["analyses"]] == ["dogwood.jpg"]


@pytest.mark.parametrize("form", ["json", "html", "pdf", "zip", "text"])
def test_reports_are_signed(finished: tuple[Desk, str], form: str) -> None:
    desk, run = finished
    answer = desk.client.get(f"/api/v1/analyses/{run}/report.{form}")
    assert answer.status_code == 200
    assert "attachment" in answer.headers["content-disposition"]
    assert form_of(answer.content) == form
    assert read_seal(answer.content, form).run == run
    if form == "zip":
        names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
        assert {"report.pdf", "report.json", "SHA256SUMS"} <= set(names)


def test_derived_files_and_the_file_itself_take_a_range(finished: tuple[Desk, str]) -> None:
    desk, run = finished
    names = [each.name for each in desk.house.history.artifacts(run)]
    assert "poster.jpg" in names and any(each.startswith("still-") for each in names)
    whole = desk.client.get(f"/api/v1/analyses/{run}/artifacts/poster.jpg")
    assert whole.headers["content-type"] == "image/jpeg"
    part = desk.client.get(f"/api/v1/analyses/{run}/artifacts/poster.jpg", headers={"Range": "bytes=0-9"})
    assert part.status_code == 206 and part.content == whole.content[:10]
    media = desk.client.get(f"/api/v1/analyses/{run}/media")
    assert hashlib.sha256(media.content).hexdigest() == desk.house.history.get(run).sha256
    beyond = desk.client.get(f"/api/v1/analyses/{run}/media", headers={"Range": "bytes=999999999-"})
    assert beyond.status_code == 416


def test_events_tell_of_an_analysis_until_it_is_over(desk: Desk, fresh_photo: bytes) -> None:
    run = desk.hand_in(fresh_photo).json()["id"]
    with desk.client.stream("GET", f"/api/v1/analyses/{run}/events") as stream:
        lines = [line for line in stream.iter_lines() if line.startswith("data:")]
    last = json.loads(lines[-1].removeprefix("data:"))
    assert last["id"] == run and last["state"] == "done"


def test_a_review_stands_beside_the_result_and_tags_are_found(desk: Desk, fresh_photo: bytes) -> None:
    run = desk.hand_in(fresh_photo).json()["id"]
    level = desk.result(run)["level"]
    made = desk.client.post(
        f"/api/v1/analyses/{run}/review", json={"conclusion": "Genuine", "notes": "Seen the raw file"}
    )
    assert made.status_code == 201 and made.json()["actor"].startswith("key:test")
    desk.client.put(f"/api/v1/analyses/{run}/tags", json={"tags": ["election", "urgent"]})
    told = desk.result(run)
    assert told["level"] == level and told["conclusion"] == "Genuine" and told["tags"] == ["election", "urgent"]
    assert desk.client.get("/api/v1/analyses", params={"tag": "urgent"}).json()["total"] == 1


def test_deleting_takes_record_file_and_pictures_and_leaves_the_log(desk: Desk, fresh_photo: bytes) -> None:
    run = desk.hand_in(fresh_photo).json()["id"]
    desk.result(run)
    history = desk.house.history
    place = Path(history.get(run).place)
    assert place.is_file() and history.files_of(run).is_dir()
    assert desk.client.delete(f"/api/v1/analyses/{run}").status_code == 204
    assert not place.exists() and not history.files_of(run).exists()
    assert desk.client.get(f"/api/v1/analyses/{run}").status_code == 404
    assert [each.action for each in history.events(run)][-1] == "deleted"
    # What was deleted is analysed anew, and not answered from nowhere.
    assert desk.hand_in(fresh_photo).status_code == 202


def test_a_waiting_job_can_be_cancelled_and_put_back(desk: Desk) -> None:
    runs = [desk.hand_in(photo_bytes(number + 700), f"{number}.jpg").json()["id"] for number in range(4)]
    last = runs[-1]
    answer = desk.client.post(f"/api/v1/analyses/{last}/cancel")
    assert answer.status_code == 200 and answer.json()["state"] == "cancelled"
    assert desk.client.post(f"/api/v1/analyses/{last}/cancel").status_code == 409
    for run in runs[:-1]:
        assert desk.result(run)["state"] == "done"
    assert desk.result(last)["state"] == "cancelled"
    assert desk.client.post(f"/api/v1/analyses/{last}/retry").status_code == 200
    assert desk.result(last)["state"] == "done"


def test_a_full_queue_asks_to_come_back(desk: Desk, fresh_photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = desk.house.settings.model_copy(update={"queue_limit": 0})
    monkeypatch.setattr(desk.house.intake, "settings", settings)
    answer = desk.hand_in(fresh_photo)
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0
    begun = desk.client.post("/api/v1/uploads", headers={"Upload-Length": "10"})
    assert begun.status_code == 429


def test_health_readiness_and_metrics(desk: Desk, fresh_photo: bytes) -> None:
    desk.result(desk.hand_in(fresh_photo).json()["id"])
    assert desk.client.get("/healthz").json()["status"] == "ok"
    assert desk.client.get("/readyz").json()["status"] == "ready"
    text = desk.client.get("/metrics").text
    assert 'fakelab_jobs{state="done"}' in text
    assert 'route="/api/v1/analyses"' in text
    assert desk.name not in text and "photo.jpg" not in text


def test_the_description_is_openapi_3_1_and_names_every_address(desk: Desk) -> None:
    told = desk.client.get("/api/openapi.json").json()
    assert told["openapi"].startswith("3.1")
    assert {"/api/v1/analyses", "/api/v1/analyses/{run}", "/api/v1/uploads"} <= set(told["paths"])
    assert "NewAnalysis" in told["components"]["schemas"] and "Problem" in told["components"]["schemas"]


def test_a_batch_done_again_lists_what_changed(desk: Desk, fresh_photo: bytes) -> None:
    run = desk.hand_in(fresh_photo).json()["id"]
    desk.result(run)
    taken = desk.house.intake.again(desk.house.history.get(run), "tiny", actor="test", batch="b1")
    assert desk.result(taken.id)["state"] == "done"
    job = desk.house.jobs.of_batch("b1", owner=desk.name)[0]
    assert job.repeats == run
    # The bytes lie there once, and deleting one run leaves the other's file.
    again = desk.house.history.get(taken.id)
    desk.client.delete(f"/api/v1/analyses/{run}")
    assert wait_until(lambda: Path(again.place).is_file(), 2)
