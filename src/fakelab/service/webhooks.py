"""Word of a finished analysis to another program's address, signed so that the receiver knows who sent it, and when.

The body is signed by HMAC-SHA256 in the way of the Standard Webhooks specification: the headers `webhook-id`,
`webhook-timestamp` and `webhook-signature` (``v1,`` and the base64 of the HMAC over ``id.timestamp.body``). A receiver
refuses a timestamp that is more than five minutes old, and does nothing for an id that it has seen: then nothing can be
replayed (`verify`, `is_repeated`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import logging
import os
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path

from fakelab.errors import DeniedError
from fakelab.service.jobs import Job

FILE_NAME = "webhook.secret"
PREFIX = "whsec_"
WAITS_S = (0.0, 2.0, 10.0, 60.0)
"""How long is waited before each attempt."""
TIMEOUT_S = 10.0
FRESH_S = 300
log = logging.getLogger("fakelab.webhooks")


class Webhooks:
    """Sends word to addresses that begin as the setting `webhooks` allows."""

    def __init__(
        self,
        folder: Path,
        allowed: str,
        waits_s: tuple[float, ...] = WAITS_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._allowed = tuple(each.strip() for each in allowed.split(",") if each.strip())
        self._folder, self._waits_s, self._sleep = folder, waits_s, sleep

    def check(self, url: str) -> None:
        """Raises DeniedError for an address that may not be told."""
        if not any(_begins(url, each) for each in self._allowed):
            raise DeniedError(
                "this webhook may not be called",
                "its address is not allowed here",
                "Set FAKELAB_WEBHOOKS on the server.",
            )

    def secret(self) -> str:
        """The instance's key for webhooks, made at the first use; the receiver needs it."""
        path = self._folder / FILE_NAME
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            made = PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                    file.write(made + "\n")
            except FileExistsError:
                return path.read_text(encoding="ascii").strip()
            return made

    def tell(self, job: Job) -> bool:
        """Sends word of a job that is over; whether it arrived. Each attempt carries the same id."""
        if not job.webhook:
            return False
        try:
            self.check(job.webhook)
        except DeniedError:
            return False
        body = json.dumps(
            {
                "type": f"analysis.{job.state}",
                "timestamp": job.ended,
                "data": {"id": job.id, "name": job.name, "sha256": job.sha256 or None, "state": job.state},
            },
            ensure_ascii=False,
        ).encode()
        message = f"msg_{job.id}_{job.round}"
        for wait_s in self._waits_s:
            self._sleep(wait_s)
            if self._sent(job.webhook, message, body):
                return True
        log.warning("a webhook of job %s did not arrive", job.id)
        return False

    def _sent(self, url: str, message: str, body: bytes) -> bool:
        headers = signed_headers(self.secret(), message, int(time.time()), body)
        request = urllib.request.Request(url, data=body, headers=headers, method="POST")
        try:
            # No redirect is followed: it could lead where no address is allowed.
            with urllib.request.build_opener(_Still).open(request, timeout=TIMEOUT_S) as answer:
                return bool(200 <= answer.status < 300)
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError):
            return False


class _Still(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **more: object) -> None:
        return None


def signed_headers(secret: str, message: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a message."""
    return {
        "content-type": "application/json",
        "user-agent": "FakeLab",
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{_signature(secret, message, str(timestamp), body)}",
    }


def verify(secret: str, headers: Mapping[str, str], body: bytes, *, now: float | None = None) -> bool:
    """Whether a message is ours and at most five minutes old; `is_repeated` says whether it came before."""
    timestamp = headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs((time.time() if now is None else now) - int(timestamp)) > FRESH_S:
        return False
    wanted = f"v1,{_signature(secret, headers.get('webhook-id', ''), timestamp, body)}"
    return any(hmac.compare_digest(wanted, each) for each in headers.get("webhook-signature", "").split())


def is_repeated(headers: Mapping[str, str], seen: MutableMapping[str, float], *, now: float | None = None) -> bool:
    """Whether a message that `verify` believed came before: it is answered as ever, and nothing is done for it.

    `seen` (id -> Unix time until which it is remembered) is the receiver's, empty at first. An id stays in it for as
    long as its message could be believed, and what is older is taken out.
    """
    moment = time.time() if now is None else now
    for old in [each for each, until in seen.items() if until < moment]:
        del seen[old]
    message, until = headers["webhook-id"], float(headers["webhook-timestamp"]) + FRESH_S
    known = message in seen
    seen[message] = max(until, seen.get(message, until))
    return known


def _signature(secret: str, message: str, timestamp: str, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(key, f"{message}.{timestamp}.".encode() + body, hashlib.sha256)).decode()


def _begins(url: str, allowed: str) -> bool:
    """Whether the address lies at or below the allowed one: `http://host/a` allows `/a` and `/a/b`, not `/ab`."""
    base = allowed.rstrip("/")
    if ".." in url or "\\" in url or "@" in url.removeprefix(base):
        return False
    return url == base or url.startswith((f"{base}/", f"{base}?"))
