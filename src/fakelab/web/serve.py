"""The server as a process: its mode, its log, the address it prints, and how it ends."""

from __future__ import annotations

import ipaddress
import json
import logging
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime

import uvicorn

from fakelab.errors import EnvironmentBrokenError, UsageError
from fakelab.settings import Settings
from fakelab.web.app import make_app
from fakelab.web.house import House, opened

KEEP_ALIVE_S = 30
GRACE_S = 10
MOST_PLACES = 20
"""Of an error in the log: the innermost calls."""


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and the facts of a request.

    An error is told by its kind and by where in the code it came from: its words, and the paths of a traceback, may
    name files and people.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        } | getattr(record, "facts", {})
        if record.exc_info:
            line["error"] = _where_from(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def _where_from(error: BaseException | None) -> list[str]:
    """An error and those that led to it, the first one last, each with the calls it came through, innermost last."""
    told: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        places = [
            f"{frame.f_globals.get('__name__', '?')}:{line} {frame.f_code.co_name}"
            for frame, line in traceback.walk_tb(error.__traceback__)
        ]
        told.append(f"{type(error).__name__}: {', '.join(places[-MOST_PLACES:]) or 'raised nowhere'}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return told


def is_loopback(host: str) -> bool:
    """Whether this address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(settings: Settings, *, accounts: bool, works: bool, say: Callable[[str], None]) -> None:
    """Serves until it is told to end. `say` prints the address to open.

    Raises UsageError for an open address without accounts, EnvironmentBrokenError where the port is taken.
    """
    local = is_loopback(settings.host) and not accounts
    _log_to_stderr()
    with opened(settings, local=local, works=works) as house:
        if not local and not any(each.role == "admin" and not each.disabled for each in house.accounts.users()):
            raise UsageError(
                "there is no account to sign in with",
                "a server that others can reach needs accounts",
                "Run `fakelab users add NAME --role admin` first.",
            )
        house.housekeep()
        config = uvicorn.Config(
            make_app(house),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
            server_header=False,
            h11_max_incomplete_event_size=64 << 10,
        )
        server = _Server(config, house, lambda address: say(_words(house, address, local)))
        server.run()
        if not server.started:
            raise EnvironmentBrokenError(
                f"the server cannot listen on {settings.host}:{settings.port}",
                "the port is taken, or not allowed",
                "Choose another with --port.",
            )


def _words(house: House, address: str, local: bool) -> str:
    if not local:
        return f"FakeLab listens on {address}. Sign in there with an account (`fakelab users`)."
    return (
        f"FakeLab is ready. Open this address, once; nothing leaves this machine:\n\n"
        f"  {address}/enter?ticket={house.accounts.new_ticket()}\n"
    )


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, house: House, ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self._house, self._ready = house, ready

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        try:
            await super().startup(sockets=sockets)  # type: ignore[arg-type]
        except SystemExit:
            # uvicorn ends the process by itself where it cannot listen; we say why.
            self.started = False
            self.should_exit = True
            return
        port = next((sock.getsockname()[1] for server in self.servers for sock in server.sockets), self.config.port)
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        self._ready(f"http://{host}:{port}")

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        # Streams of events would hold the server open.
        self._house.stopping = True
        await self._house.hub.close()
        await super().shutdown(sockets=sockets)  # type: ignore[arg-type]


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger("fakelab")
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.WARNING)
        logger.propagate = False
