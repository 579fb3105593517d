"""The pages: what stands on them, and the forms that work without a script."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from web_maker import Desk, photo_bytes, wait_until

import sound_maker as sound
from fakelab.records import LEVEL_WORDS, Level
from fakelab.web.house import House

Make = Callable[..., Desk]
PAGES = ("/", "/history", "/compare", "/models", "/training", "/settings", "/audit", "/help", "/api/docs")


def csrf_of(browser: TestClient) -> str:
    found = re.search(r'<meta name="csrf" content="([0-9a-f]+)"', browser.get("/help").text)
    assert found
    return found[1]


@pytest.fixture
def handed_in(browser_like: TestClient, house: House, fresh_photo: bytes) -> str:
    """A finished run of the local desk, handed in by the form."""
    answer = browser_like.post(
        "/analyse", data={"csrf": csrf_of(browser_like)}, files={"file": ("Ärger & <b>.jpg", fresh_photo)}
    )
    assert answer.status_code == 303, answer.text
    run = answer.headers["location"].removeprefix("/runs/")
    wait_until(lambda: not house.jobs.get(run).open)
    return run


@pytest.mark.parametrize("address", PAGES)
def test_each_page_is_there_and_forbids_scripts_and_hosts_of_others(browser_like: TestClient, address: str) -> None:
    answer = browser_like.get(address)
    assert answer.status_code == 200, answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*(src=|application/json))", answer.text), "no script stands in a page"
    assert not re.search(r"\son[a-z]+=|\sstyle=", answer.text)
    loaded = re.findall(r'<(?:script|link|img|source)[^>]*(?:src|href)="([^"]+)"', answer.text)
    assert loaded and all(each.startswith("/") for each in loaded)
    for each in loaded:
        assert browser_like.get(each).status_code == 200, each


def test_the_result_page_says_the_verdict_its_reasons_and_what_it_does_not_say(
    browser_like: TestClient, handed_in: str, house: House
) -> None:
    text = browser_like.get(f"/runs/{handed_in}").text
    run = house.history.get(handed_in)
    assert f">{LEVEL_WORDS[Level(run.level)]}</h1>" in text
    assert "What this does not say" in text and run.sentence in text
    assert run.sha256 in text and f"/runs/{run.id}/report.pdf" in text
    assert "Ärger &amp; &lt;b&gt;.jpg" in text and "<b>.jpg" not in text
    assert house.history.events(run.id)[-1].action == "viewed"
    report = browser_like.get(f"/runs/{handed_in}/report.html").text
    for made in (text, report):
        appendix = made[made.index("Technical appendix") :]
        assert f"<dt>seed</dt><dd>{house.history.document(run.id)['seed']}</dd>" in appendix


def test_a_voice_is_heard_and_not_seen(browser_like: TestClient, house: House, tmp_path: Path) -> None:
    said = sound.save(tmp_path / "said.wav", sound.speech_like(5.0))
    answer = browser_like.post(
        "/analyse", data={"csrf": csrf_of(browser_like)}, files={"file": ("said.wav", said.read_bytes())}
    )
    run = answer.headers["location"].removeprefix("/runs/")
    wait_until(lambda: not house.jobs.get(run).open)
    text = browser_like.get(f"/runs/{run}").text
    assert re.search(r'class="when">Heard \d', text) and "Seen 0" not in text


def test_a_path_of_this_machine_is_for_the_person_who_sits_at_it(
    browser_like: TestClient, make_desk: Make, house: House, tmp_path: Path, fresh_photo: bytes
) -> None:
    folder = tmp_path / "in box"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(fresh_photo + b"a")
    (folder / "b.jpg").write_bytes(fresh_photo + b"b")
    posted = {"csrf": csrf_of(browser_like), "url": str(folder / "a.jpg")}
    one = browser_like.post("/analyse", files={name: (None, value) for name, value in posted.items()})
    run = one.headers["location"].removeprefix("/runs/")
    wait_until(lambda: not house.jobs.get(run).open)
    assert house.history.get(run).acquired == "path" and house.history.get(run).place == str(folder / "a.jpg")
    both = browser_like.post(
        "/analyse", files={name: (None, value) for name, value in (posted | {"url": str(folder)}).items()}
    )
    assert both.headers["location"] == "/"
    browser_like.post(f"/runs/{run}/delete", data={"csrf": posted["csrf"]})
    assert (folder / "a.jpg").exists(), "a file that was never ours is not deleted"
    refused = make_desk().client.post("/api/v1/analyses", json={"path": str(folder / "b.jpg")})
    assert refused.status_code == 403


def test_pictures_and_overlays_of_the_result_are_there(browser_like: TestClient, handed_in: str) -> None:
    text = browser_like.get(f"/runs/{handed_in}").text
    pictures = set(re.findall(r'<img[^>]*src="([^"]+)"', text))
    assert any("/overlays/" in each for each in pictures) and any("crop" in each for each in pictures)
    for each in pictures:
        answer = browser_like.get(each)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("image/"), each
    assert browser_like.get(f"/runs/{handed_in}/overlays/nothing").status_code == 404


def test_other_analyses_of_the_same_and_of_a_similar_file_are_named(
    browser_like: TestClient, handed_in: str, house: House, fresh_photo: bytes
) -> None:
    token = csrf_of(browser_like)

    def again(data: bytes, name: str, prior: str) -> str:
        answer = browser_like.post("/analyse", data={"csrf": token, "prior": prior}, files={"file": (name, data)})
        run = str(answer.headers["location"]).removeprefix("/runs/")
        wait_until(lambda: not house.jobs.get(run).open)
        return run

    same = again(fresh_photo, "same bytes.jpg", "0.1")
    like = again(fresh_photo + b"appended", "looks alike.jpg", "0.1")
    text = browser_like.get(f"/runs/{handed_in}").text
    part = text[text.index('aria-labelledby="earlier"') :]
    assert part.index("The same file") < part.index(same) < part.index("Files that look alike") < part.index(like)


def test_review_and_tags_by_form(browser_like: TestClient, handed_in: str, house: House) -> None:
    token, level = csrf_of(browser_like), house.history.get(handed_in).level
    answer = browser_like.post(
        f"/runs/{handed_in}/review", data={"csrf": token, "conclusion": "Genuine", "notes": "asked the agency"}
    )
    assert answer.status_code == 303
    browser_like.post(f"/runs/{handed_in}/tags", data={"csrf": token, "tags": "a, b ,a"})
    text = browser_like.get(f"/runs/{handed_in}").text
    assert "asked the agency" in text
    assert house.history.get(handed_in).tags == ("a", "b")
    assert house.history.get(handed_in).level == level, "the machine's result stays"


def test_history_searches_filters_and_exports(browser_like: TestClient, handed_in: str, house: House) -> None:
    level = house.history.get(handed_in).level
    found = browser_like.get("/history", params={"q": "ärger", "level": level}).text
    assert handed_in in found
    assert handed_in not in browser_like.get("/history", params={"q": "nosuchword"}).text
    assert "Nothing fits" in browser_like.get("/history", params={"q": "nosuchword"}).text
    table = browser_like.get("/history/export.csv", params={"q": "ärger"})
    assert "attachment" in table.headers["content-disposition"] and handed_in in table.text
    assert handed_in in browser_like.get("/history/export.json").text
    assert browser_like.get("/history", params={"level": "nosuch"}).status_code == 404


def test_selected_runs_are_compared_and_done_again(
    browser_like: TestClient, handed_in: str, house: House, fresh_photo: bytes
) -> None:
    token = csrf_of(browser_like)
    second = browser_like.post("/analyse", data={"csrf": token}, files={"file": ("b.jpg", fresh_photo + b"x")})
    other = second.headers["location"].removeprefix("/runs/")
    wait_until(lambda: not house.jobs.get(other).open)
    chosen = {"csrf": token, "run": [handed_in, other]}
    compared = browser_like.post("/history/selected", data=chosen | {"do": "compare"})
    assert compared.headers["location"] == f"/compare?a={handed_in}&b={other}"
    page = browser_like.get(compared.headers["location"])
    assert page.status_code == 200 and "What differs" in page.text
    assert len(re.findall(r'id="([^"]+)"', page.text)) == len(set(re.findall(r'id="([^"]+)"', page.text)))
    again = browser_like.post("/history/selected", data=chosen | {"do": "again", "model": "tiny"})
    batch = again.headers["location"]
    assert batch.startswith("/rescored/")
    wait_until(lambda: "Results changed: 0" in browser_like.get(batch).text)
    (repeated,) = house.jobs.repeating(handed_in, owner="local")
    wait_until(lambda: not house.jobs.get(repeated.id).open)
    record = re.search(r"<dt>Done again from</dt><dd>(.*?)</dd>", browser_like.get(f"/runs/{repeated.id}").text)
    assert record and f'href="/runs/{handed_in}"' in record[1]
    assert "Done again from" not in browser_like.get(f"/runs/{handed_in}").text
    assert browser_like.post("/history/selected", data={"csrf": token, "do": "compare"}).status_code == 400


def test_an_unreadable_file_has_a_page_with_its_reason(browser_like: TestClient, house: House) -> None:
    answer = browser_like.post(
        "/analyse", data={"csrf": csrf_of(browser_like)}, files={"file": ("x.mp4", b"not a video" * 9)}
    )
    run = answer.headers["location"].removeprefix("/runs/")
    wait_until(lambda: not house.jobs.get(run).open)
    text = browser_like.get(f"/runs/{run}").text
    assert "Could not be analysed" in text and "not be tried again by itself" in text


def test_deleting_by_form_and_an_address_that_is_gone(browser_like: TestClient, handed_in: str) -> None:
    assert f'href="/runs/{handed_in}"' in browser_like.get("/audit").text
    answer = browser_like.post(f"/runs/{handed_in}/delete", data={"csrf": csrf_of(browser_like)})
    assert answer.headers["location"] == "/history"
    gone = browser_like.get(f"/runs/{handed_in}")
    assert gone.status_code == 404 and "<h1" in gone.text
    log = browser_like.get("/audit").text
    assert handed_in in log and f'href="/runs/{handed_in}"' not in log, "named in the log, leading nowhere"


def test_another_language_turns_the_page_around(browser_like: TestClient) -> None:
    answer = browser_like.post("/language", data={"csrf": csrf_of(browser_like), "language": "ar", "back": "/help"})
    assert answer.headers["location"] == "/help"
    text = browser_like.get("/").text
    assert 'dir="rtl"' in text and 'lang="ar"' in text and "السجل" in text
    outside = browser_like.post(
        "/language", data={"csrf": csrf_of(browser_like), "language": "en", "back": "//elsewhere.example"}
    )
    assert outside.headers["location"] == "/"


def test_without_a_session_pages_lead_to_the_door(app: object) -> None:
    client = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False, headers={"Accept": "text/html"})  # type: ignore[arg-type]
    answer = client.get("/history?q=x")
    assert answer.status_code == 303 and answer.headers["location"] == "/login?next=%2Fhistory%3Fq%3Dx"
    assert "fakelab serve" in client.get("/login").text
    assert client.get("/enter", params={"ticket": "made up"}).status_code in (303, 401)


def test_a_viewer_sees_no_button_that_it_may_not_use(make_desk: Make, house: House, app: object) -> None:
    house.accounts.add_user("vera", "a long password", role="viewer", desk="readers", actor="test")
    desk = make_desk(name="readers")
    run = desk.hand_in(photo_bytes(8123)).json()["id"]
    desk.result(run)
    client = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False, headers={"Accept": "text/html"})  # type: ignore[arg-type]
    answer = client.post("/login", data={"name": "vera", "password": "a long password", "next": f"/runs/{run}"})
    assert answer.status_code == 303 and answer.headers["location"] == f"/runs/{run}"
    text = client.get(f"/runs/{run}").text
    assert "/delete" not in text and "/review" not in text and "/again" not in text
    refused = client.post(f"/runs/{run}/review", data={"csrf": csrf_of(client), "conclusion": "x"})
    assert refused.status_code == 403
    assert client.get("/audit").status_code == 403


def test_the_link_of_a_failed_one_is_fetched_again_as_an_analysis_of_its_own(
    browser_like: TestClient, house: House
) -> None:
    token = csrf_of(browser_like)
    link = "http://127.0.0.1:9/clip.mp4"  # refused: a private address
    form = {name: (None, value) for name, value in {"csrf": token, "url": link}.items()}
    first = browser_like.post("/analyse", files=form).headers["location"].removeprefix("/runs/")
    wait_until(lambda: house.jobs.get(first).state == "failed")
    assert f'action="/runs/{first}/retry"' in browser_like.get(f"/runs/{first}").text
    assert browser_like.post(f"/runs/{first}/retry", data={"csrf": "forged"}).status_code == 403
    before = house.history.get(first)
    second = browser_like.post(f"/runs/{first}/retry", data={"csrf": token}).headers["location"].removeprefix("/runs/")
    assert second != first and house.jobs.get(second).url == link
    wait_until(lambda: not house.jobs.get(second).open)
    assert house.history.get(first) == before, "the record of the failure stands as it was"
    assert f'href="/runs/{second}"' in browser_like.get(f"/runs/{first}").text


def failed_run(desk: Desk, name: str) -> str:
    """A file that no decoder reads, of this desk."""
    run = str(desk.hand_in(b"no video at all " + name.encode(), name=name).json()["id"])
    assert desk.result(run)["state"] == "failed"
    return run


def signed_in(app: object, house: House, name: str, role: str, desk: str) -> TestClient:
    house.accounts.add_user(name, "a long password", role=role, desk=desk, actor="test")
    client = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False, headers={"Accept": "text/html"})  # type: ignore[arg-type]
    assert client.post("/login", data={"name": name, "password": "a long password"}).status_code == 303
    return client


def test_a_failed_file_is_tried_again_as_an_analysis_of_its_own(make_desk: Make, house: House, app: object) -> None:
    desk = make_desk()
    first = failed_run(desk, "broken once.mp4")
    client = signed_in(app, house, f"ann.{desk.name}", "analyst", desk.name)
    token = csrf_of(client)
    client.post(f"/runs/{first}/review", data={"csrf": token, "conclusion": "Sent on as it came"})
    before = house.history.get(first)
    text = client.get(f"/runs/{first}").text
    assert ">Try again</button>" in text and "Sent on as it came" in text
    answer = client.post(f"/runs/{first}/retry", data={"csrf": token})
    assert answer.status_code == 303, answer.text
    second = answer.headers["location"].removeprefix("/runs/")
    assert desk.result(second)["state"] == "failed" and second != first
    assert house.history.get(first) == before
    old, new = (client.get(f"/runs/{each}").text for each in (first, second))
    assert f'href="/runs/{second}"' in old and "Tried again:" in old and "Sent on as it came" in old
    assert f'href="/runs/{first}"' in new and "It was a new try of" in new and "Sent on as it came" not in new
    noted = [each for each in house.history.events(first) if each.action == "re-run"]
    assert [each.actor for each in noted] == [f"ann.{desk.name}"]


def test_a_failed_file_that_is_gone_is_handed_in_anew(make_desk: Make, house: House, app: object) -> None:
    desk = make_desk()
    run = failed_run(desk, "broken and gone.mp4")
    client = signed_in(app, house, f"gus.{desk.name}", "analyst", desk.name)
    Path(house.history.get(run).place).unlink()
    text = client.get(f"/runs/{run}").text
    assert "no longer stored" in text and "/retry" not in text and 'href="/">Analyse another' in text
    answer = client.post(f"/runs/{run}/retry", data={"csrf": csrf_of(client)})
    assert answer.status_code == 400 and "no longer stored" in answer.text
    assert house.jobs.repeating(run, owner=desk.name) == []


def test_a_path_of_this_machine_is_tried_again_by_who_sits_at_it(
    browser_like: TestClient, make_desk: Make, house: House, tmp_path: Path
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    form = {"csrf": csrf_of(browser_like), "url": str(tmp_path / "broken.mp4")}
    answer = browser_like.post("/analyse", files={name: (None, value) for name, value in form.items()})
    run = answer.headers["location"].removeprefix("/runs/")
    wait_until(lambda: not house.jobs.get(run).open)
    by_key = make_desk(name="local").client
    assert "/retry" not in by_key.get(f"/runs/{run}").text
    refused = by_key.post(f"/runs/{run}/retry")
    assert refused.status_code == 403 and "paths are for local mode" in refused.text
    assert "/retry" in browser_like.get(f"/runs/{run}").text
    answer = browser_like.post(f"/runs/{run}/retry", data={"csrf": form["csrf"]})
    again = answer.headers["location"].removeprefix("/runs/")
    wait_until(lambda: not house.jobs.get(again).open)
    assert house.history.get(again).place == str(tmp_path / "broken.mp4") and again != run


def test_who_may_not_analyse_tries_nothing_again(
    make_desk: Make, house: House, app: object, browser_like: TestClient
) -> None:
    desk = make_desk()
    run = failed_run(desk, "broken for others.mp4")
    viewer = signed_in(app, house, f"vic.{desk.name}", "viewer", desk.name)
    assert "/retry" not in viewer.get(f"/runs/{run}").text
    analyst = signed_in(app, house, f"abe.{desk.name}", "analyst", desk.name)
    tries = [
        viewer.post(f"/runs/{run}/retry", data={"csrf": csrf_of(viewer)}),
        analyst.post(f"/runs/{run}/retry"),
        analyst.post(f"/runs/{run}/retry", data={"csrf": csrf_of(viewer)}),
        analyst.post(f"/runs/{run}/retry", data={"csrf": csrf_of(analyst)}, headers={"Origin": "http://evil.example"}),
    ]
    assert [each.status_code for each in tries] == [403] * len(tries)
    elsewhere = browser_like.post(f"/runs/{run}/retry", data={"csrf": csrf_of(browser_like)})
    assert elsewhere.status_code == 404 and "broken for others" not in elsewhere.text
    assert house.jobs.repeating(run, owner=desk.name) == []


def test_the_page_of_the_rest_interface_names_every_operation(browser_like: TestClient) -> None:
    document = browser_like.get("/api/openapi.json").json()
    text = browser_like.get("/api/docs").text
    for path, methods in document["paths"].items():
        assert f"<code>{path}</code>" in text
        for method in methods:
            assert f">{method.upper()}</span> <code>{path}</code>" in text
    for name in document["components"]["schemas"]:
        assert f'id="shape-{name}"' in text
    assert "Authorization: Bearer $KEY" in text and "-F file=@clip.mp4" in text
    assert "<script" not in text


def test_a_recording_has_an_audio_player_and_no_boxes(browser_like: TestClient, house: House, tmp_path: Path) -> None:
    path = sound.save(tmp_path / "call.wav", sound.speech_like(9, seed=77))
    with path.open("rb") as file:
        answer = browser_like.post("/analyse", data={"csrf": csrf_of(browser_like)}, files={"file": ("call.wav", file)})
    run = answer.headers["location"].removeprefix("/runs/")
    wait_until(lambda: not house.jobs.get(run).open)
    text = browser_like.get(f"/runs/{run}").text
    assert '<audio id="video"' in text
    assert "<video" not in text and "show-boxes" not in text and "show-heat" not in text
