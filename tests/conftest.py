"""For every test: no connection to another host, and no setting of the person who runs it."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True)
def closed_to_other_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test that opens a connection to anything but this machine."""
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))


def _guarded(original: Any) -> Any:
    def connect(self: socket.socket, address: Any, *rest: Any) -> Any:
        if isinstance(address, tuple) and not str(address[0]).startswith(LOOPBACK):
            pytest.fail(f"a connection to {address} was tried")
        return original(self, address, *rest)

    return connect


@pytest.fixture(autouse=True)
def no_settings_of_mine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Takes every FAKELAB_* variable out of the environment, and the user's folder for data out of reach."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
    for name in list(os.environ):
        if name.upper().startswith("FAKELAB_"):
            monkeypatch.delenv(name)
