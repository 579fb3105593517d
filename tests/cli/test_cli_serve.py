"""`fakelab serve`, `worker`: what they refuse, and how they end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fakelab.cli import main


def _serve(folder: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "FAKELAB_DATA_DIR": str(folder), "FAKELAB_MODEL": "tiny"}
    return subprocess.Popen(
        [sys.executable, "-m", "fakelab", "serve", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_ends_a_server_quietly(tmp_path: Path) -> None:
    with _serve(tmp_path, "--port", "0") as server:
        assert server.stdout is not None
        while "enter?ticket=" not in server.stdout.readline():
            assert server.poll() is None
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=30)
        assert server.returncode == 0
        assert "Traceback" not in errors and "Interrupted" not in errors


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with _serve(tmp_path, "--port", str(taken.getsockname()[1])) as server:
            _, errors = server.communicate(timeout=60)
        assert server.returncode == 4
        assert "cannot listen on 127.0.0.1" in errors and "--port" in errors


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["serve", "--no-work"], "SQLite"),
        (["worker"], "need PostgreSQL"),
        (["worker", "recover", "anna"], "need PostgreSQL"),
        (["serve", "--port", "70000"], "--port"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert told in capsys.readouterr().err
