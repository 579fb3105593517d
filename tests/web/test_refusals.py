"""What must not work: others' records, paths out of the house, scripts in names, forged forms, floods, other hosts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient
from web_maker import Desk, photo_bytes

from fakelab.errors import UsageError
from fakelab.service.jobs import Asked
from fakelab.web.forms import inside
from fakelab.web.house import House

Make = Callable[..., Desk]


@pytest.fixture(scope="module")
def theirs(house: House, app: object) -> str:
    """A finished run of a desk called `theirs`."""
    secret, _ = house.accounts.add_key("x", ("read", "analyse"), actor="test", desk="theirs")
    client = TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {secret}"})  # type: ignore[arg-type]
    desk = Desk(client, "theirs", house)
    run: str = desk.hand_in(photo_bytes(9001), "secret-source.jpg").json()["id"]
    desk.result(run)
    return run


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/report.pdf"),
        ("GET", "/artifacts/poster.jpg"),
        ("GET", "/media"),
        ("GET", "/review"),
        ("POST", "/review"),
        ("PUT", "/tags"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("DELETE", ""),
    ],
)
def test_another_desks_record_is_not_there(make_desk: Make, theirs: str, method: str, rest: str) -> None:
    body = {"POST": {"conclusion": "x"}, "PUT": {"tags": ["x"]}}.get(method) if rest in ("/review", "/tags") else None
    answer = make_desk().client.request(method, f"/api/v1/analyses/{theirs}{rest}", json=body)
    assert answer.status_code == 404
    assert "secret-source" not in answer.text and theirs not in answer.text.replace(f"'{theirs}'", "")


@pytest.mark.parametrize("rest", ["", "/media", "/proxy", "/report.pdf", "/overlays/face_photo-person1-face0"])
def test_nor_on_the_pages(browser_like: TestClient, theirs: str, rest: str) -> None:
    answer = browser_like.get(f"/runs/{theirs}{rest}")
    assert answer.status_code == 404 and "secret-source" not in answer.text
    assert theirs not in browser_like.get("/history").text
    assert browser_like.get(f"/compare?a={theirs}&b={theirs}").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/api/v1/analyses/{run}/artifacts/..%2f..%2fhistory.sqlite3",
        "/api/v1/analyses/{run}/artifacts/%2e%2e",
        "/api/v1/uploads/..%2f..%2fhistory.sqlite3",
    ],
)
def test_no_path_leads_out_of_the_house(desk: Desk, theirs: str, path: str) -> None:
    answer = desk.client.get(path.format(run=theirs))
    assert answer.status_code in (404, 405, 422)
    assert "import" not in answer.text and "SQLite" not in answer.text


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd.jpg", "..\\..\\x.jpg", "/abs.jpg", "<script>alert(1)</script>.jpg", '"><img src=x>.jpg',
     "a\nb\x00.jpg", "\u202egpj.exe", "é" * 300 + ".jpg", "con.", ""],
)  # fmt: skip
def test_names_stay_names(make_desk: Make, house: House, browser_like: TestClient, name: str) -> None:
    desk = make_desk(name="local")
    answer = desk.client.post(
        "/api/v1/analyses", files={"file": (name or "x", photo_bytes(hash(name) % 60_000))}, data={"prior": "0.5"}
    )
    assert answer.status_code in (200, 202), answer.text
    run = answer.json()["id"]
    desk.result(run)
    place = house.history.get(run).place
    assert place.startswith(str(house.history.media_of(run)) + "/") and "/../" not in place
    text = browser_like.get(f"/runs/{run}").text
    assert "<script>alert" not in text and "<img src=x" not in text and "\u202e" not in text
    assert "<script>alert" not in browser_like.get("/history").text


def test_a_form_without_its_token_or_from_another_site_changes_nothing(
    browser_like: TestClient, house: House, theirs: str
) -> None:
    from test_pages import csrf_of

    token = csrf_of(browser_like)
    count = len(house.history.events())
    post = browser_like.post
    tries = [
        post("/language", data={"language": "ar"}),
        post("/language", data={"language": "ar", "csrf": "0" * 40}),
        post("/language", data={"language": "ar", "csrf": token}, headers={"Origin": "http://evil.example"}),
        post("/language", data={"language": "ar", "csrf": token}, headers={"Sec-Fetch-Site": "cross-site"}),
        post("/analyse", data={"x": "1"}, files={"file": ("x.jpg", b"x")}),
        post("/api/v1/analyses", content=b"x"),
        post("/api/v1/analyses", content=b"x", headers={"X-CSRF-Token": "forged"}),
        browser_like.delete(f"/api/v1/analyses/{theirs}"),
        post("/api/v1/uploads", headers={"Upload-Length": "10"}),
    ]
    assert [each.status_code for each in tries] == [403] * len(tries)
    assert len(house.history.events()) == count
    own = post("/api/v1/uploads", headers={"Upload-Length": "10", "X-CSRF-Token": token})
    assert own.status_code == 201


def test_without_a_key_or_with_a_wrong_one_nothing_is_told(app: object, theirs: str) -> None:
    for header in ({}, {"Authorization": "Bearer fl_abc_def"}, {"Authorization": "Basic eDp5"}):
        client = TestClient(app, base_url="http://127.0.0.1", headers=header)  # type: ignore[arg-type]
        for path in ("/api/v1/analyses", f"/api/v1/analyses/{theirs}", "/api/v1/models", "/api/v1/audit"):
            answer = client.get(path)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert client.post("/api/v1/analyses", content=b"x").status_code == 401


def test_a_key_does_what_its_scopes_say_and_no_more(make_desk: Make, theirs: str) -> None:
    reader = make_desk("read", name="theirs")
    assert reader.client.get(f"/api/v1/analyses/{theirs}").status_code == 200
    assert reader.client.post("/api/v1/analyses", content=b"x").status_code == 403
    assert reader.client.post(f"/api/v1/analyses/{theirs}/review", json={"conclusion": "x"}).status_code == 403
    assert reader.client.delete(f"/api/v1/analyses/{theirs}").status_code == 403
    assert reader.client.get("/api/v1/audit").status_code == 403


def test_too_large_a_file_is_refused_before_it_is_read(desk: Desk, house: House) -> None:
    large = desk.client.post("/api/v1/analyses", content=b"x", headers={"Content-Length": str(65 << 20)})
    assert large.status_code == 413
    stream = desk.client.post("/api/v1/analyses", content=(b"x" * (1 << 20) for _ in range(66)))
    assert stream.status_code == 413 and "64 MB" in stream.json()["detail"]
    left = [each for each in house.uploads.folder.iterdir() if not (each / "meta.json").exists()]
    assert not left, "what was refused is not kept"


def test_a_large_body_is_refused_before_anybody_is_asked_who_they_are(app: object, theirs: str) -> None:
    client = TestClient(app, base_url="http://127.0.0.1")  # type: ignore[arg-type]
    body = (b"x" * (1 << 20) for _ in range(64))
    answer = client.post(
        f"/api/v1/analyses/{theirs}/review", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 413)
    assert client.get("/runs/%00").status_code == 400


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "/\t.evil.example", "https://evil.example", "x"]
)
def test_the_way_after_signing_in_stays_inside(target: str) -> None:
    assert inside(target) == "/"
    assert inside("/runs/abc?x=1#y") == "/runs/abc?x=1#y"


def test_another_hosts_name_is_refused(app: object) -> None:
    client = TestClient(app, base_url="http://evil.example")  # type: ignore[arg-type]
    assert client.get("/").status_code == 400
    assert client.get("/healthz").status_code == 400


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/x",
        "http://user:pw@example.org/x",
        "javascript:alert(1)",
        "http:///x",
        "x",
    ],
)
def test_links_that_are_no_plain_web_address_are_refused(desk: Desk, house: House, url: str) -> None:
    answer = desk.client.post("/api/v1/analyses", json={"url": url})
    assert answer.status_code == 400
    with pytest.raises(UsageError):
        house.intake.take_link(Asked(name="", owner="x", actor="x", acquired="url", url=url))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "0.0.0.0", "2130706433"]
)
def test_a_link_to_this_machine_or_network_fails_without_a_connection(desk: Desk, host: str) -> None:
    run = desk.client.post("/api/v1/analyses", json={"url": f"http://{host}:9/clip.mp4"}).json()["id"]
    told = desk.result(run)
    assert told["state"] == "failed"


def test_a_script_handed_in_as_a_file_is_never_served_as_a_page(make_desk: Make, browser_like: TestClient) -> None:
    desk = make_desk(name="local")
    run = desk.hand_in(b"<html><script>alert(1)</script></html>", "page.html").json()["id"]
    desk.result(run)
    answer = browser_like.get(f"/runs/{run}/media")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "sandbox" in answer.headers["content-security-policy"]
