"""Webhooks: signed, sent again until they arrive, to allowed addresses alone, and not to be replayed."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from fakelab.errors import DeniedError
from fakelab.service.history import History
from fakelab.service.jobs import Asked, Job, Jobs
from fakelab.service.webhooks import Webhooks, is_repeated, signed_headers, verify


class _Receiver(BaseHTTPRequestHandler):
    answers: list[int]
    got: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        status = self.answers.pop(0) if self.answers else 204
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[tuple[str, type[_Receiver]]]:
    kind = type("Receiver", (_Receiver,), {"answers": [], "got": []})
    server = HTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", kind
    server.shutdown()
    server.server_close()
    thread.join()


def _job(history: History, webhook: str) -> Job:
    jobs = Jobs(history)
    made = jobs.add(Asked(name="clip.mp4", owner="d", actor="a", acquired="upload", webhook=webhook))
    jobs.begin(made.id, 1, "w")
    jobs.finish(made.id)
    return jobs.get(made.id)


def _hooks(folder: Path, allowed: str) -> Webhooks:
    return Webhooks(folder, allowed, waits_s=(0, 0, 0), sleep=lambda seconds: None)


def test_word_is_signed_and_says_what_it_is_about(
    sqlite_history: History, tmp_path: Path, receiver: tuple[str, type[_Receiver]]
) -> None:
    base, kind = receiver
    hooks = _hooks(tmp_path, f"{base}/hooks")
    job = _job(sqlite_history, f"{base}/hooks/fakelab")
    assert hooks.tell(job)
    headers, body = kind.got[0]
    assert verify(hooks.secret(), headers, body)
    told = json.loads(body)
    assert told["type"] == "analysis.done" and told["data"]["id"] == job.id
    assert not verify(hooks.secret(), headers, body + b" "), "another body"
    assert not verify(hooks.secret(), headers | {"webhook-id": "msg_other"}, body), "another message"
    assert not verify("whsec_" + "AAAA" * 10, headers, body), "another sender"


def test_an_old_message_is_no_longer_believed(tmp_path: Path) -> None:
    secret = Webhooks(tmp_path, "").secret()
    headers = signed_headers(secret, "msg_1", int(time.time()) - 301, b"{}")
    assert not verify(secret, headers, b"{}")
    assert verify(secret, headers, b"{}", now=time.time() - 301)
    assert not verify(secret, headers | {"webhook-timestamp": "nonsense"}, b"{}")


def test_a_replay_is_known_for_as_long_as_it_could_be_believed() -> None:
    secret, seen, began = "whsec_" + "AAAA" * 10, dict[str, float](), 1_800_000_000

    def status(message: str, at: int, now: float) -> bool | None:
        """Whether it is acted on; None where it is not believed."""
        headers = signed_headers(secret, message, at, b"{}")
        return not is_repeated(headers, seen, now=now) if verify(secret, headers, b"{}", now=now) else None

    assert status("msg_1", began, began + 1) is True
    assert status("msg_1", began, began + 2) is False, "the same bytes again"
    assert status("msg_1", began + 70, began + 71) is False, "sent once more by us"
    assert status("msg_2", began, began + 299) is True
    assert status("msg_1", began, began + 300) is False
    assert status("msg_1", began, began + 301) is None, "too old to be believed"
    assert status("msg_1", began + 70, began + 370) is False, "the later of the two can be believed till then"
    assert status("msg_3", began + 400, began + 400) is True
    assert set(seen) == {"msg_3"}, "what can no longer be believed is forgotten"


def test_the_receiver_that_the_documentation_shows_refuses_replays_forgeries_and_old_ones() -> None:
    page = (Path(__file__).parents[2] / "docs" / "server.md").read_text(encoding="utf-8")
    [code] = [each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "webhook-signature" in each]
    shown: dict[str, Any] = {}
    exec(compile(code, "docs/server.md", "exec"), shown)
    secret, began, body = "whsec_" + "AAAA" * 10, 1_800_000_000, b'{"type": "analysis.done"}'
    headers = signed_headers(secret, "msg_1", began, body)

    def status(now: float = began, body: bytes = body, secret: str = secret, **changes: str) -> int:
        sent = headers | {f"webhook-{name}": value for name, value in changes.items()}
        return int(shown["status_for"](secret, sent, body, now))

    assert status(body=body + b" ") == status(secret="whsec_BBBB") == status(id="msg_2") == status(signature="") == 401
    assert status(now=began + 301) == status(timestamp="x") == 401
    assert [status(), status(), status(now=began + 300)] == [200, 204, 204]
    assert status(now=began + 301) == 401
    assert len(shown["SEEN"]) == 1


def test_it_is_sent_again_under_the_same_id_until_it_arrives(
    sqlite_history: History, tmp_path: Path, receiver: tuple[str, type[_Receiver]]
) -> None:
    base, kind = receiver
    kind.answers[:] = [500, 503]
    assert _hooks(tmp_path, base).tell(_job(sqlite_history, base))
    assert len(kind.got) == 3
    assert len({headers["webhook-id"] for headers, _ in kind.got}) == 1, "a receiver can tell a repetition by its id"


def test_it_gives_up_and_follows_no_redirect(
    sqlite_history: History, tmp_path: Path, receiver: tuple[str, type[_Receiver]]
) -> None:
    base, kind = receiver
    kind.answers[:] = [302, 302, 302]
    assert not _hooks(tmp_path, base).tell(_job(sqlite_history, base))
    assert len(kind.got) == 3


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/other",
        "http://127.0.0.1:9/hooksandmore",
        "http://127.0.0.1:9/hooks/../admin",
        "http://127.0.0.1:9.evil.example/hooks",
        "http://evil.example/?http://127.0.0.1:9/hooks",
    ],
)
def test_no_other_address_is_told(sqlite_history: History, tmp_path: Path, url: str) -> None:
    hooks = _hooks(tmp_path, "http://127.0.0.1:9/hooks")
    with pytest.raises(DeniedError):
        hooks.check(url)
    assert not hooks.tell(_job(sqlite_history, url))


def test_the_secret_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    first = Webhooks(tmp_path, "").secret()
    assert Webhooks(tmp_path, "").secret() == first
    assert (tmp_path / "webhook.secret").stat().st_mode & 0o077 == 0
