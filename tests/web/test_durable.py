"""A server that is killed loses nothing and does nothing twice; workers share a queue on PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
from web_maker import Served, photo_bytes, wait_until

from fakelab.service.accounts import Accounts
from fakelab.service.audit import check
from fakelab.service.history import History
from fakelab.service.jobs import Jobs


def _key(history: History) -> dict[str, str]:
    secret, _ = Accounts(history).add_key("test", ("read", "analyse"), actor="test")
    return {"Authorization": f"Bearer {secret}"}


def _hand_in(base: str, key: dict[str, str], data: bytes, name: str) -> str:
    answer = httpx.post(f"{base}/api/v1/analyses", content=data, params={"name": name}, headers=key, timeout=30)
    assert answer.status_code == 202, answer.text
    run: str = answer.json()["id"]
    return run


def _over(history: History, runs: list[str]) -> bool:
    jobs = Jobs(history)
    return all(not jobs.get(each).open for each in runs)


def test_killed_three_times_every_file_has_one_result(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    server = Served(folder)
    history = History(folder)
    try:
        key = _key(history)
        runs = [_hand_in(server.base, key, photo_bytes(number), f"{number}.jpg") for number in range(9)]
        for _ in range(3):
            done = Jobs(history).counts()["done"]
            wait_until(lambda done=done: Jobs(history).counts()["done"] > done)
            server.kill()
            server = Served(folder)
        wait_until(lambda: _over(history, runs), 120)
        found = list(history.every())
        assert sorted(each.id for each in found) == sorted(runs), "none is lost, none is there twice"
        assert not [each for each in found if each.error]
        created = [event.run for event in history.events() if event.action == "created"]
        assert sorted(created) == sorted(runs)
        assert check(history).faults == ()
    finally:
        server.stop()
        history.close()


def test_a_second_server_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    server = Served(tmp_path / "data")
    try:
        environment = {**os.environ, "FAKELAB_DATA_DIR": str(tmp_path / "data"), "FAKELAB_MODEL": "tiny"}
        command = [sys.executable, "-m", "fakelab", "serve", "--port", "0"]
        second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert second.returncode == 4 and "is running already" in second.stderr
    finally:
        server.stop()


def test_a_server_for_others_needs_an_admin_first(tmp_path: Path) -> None:
    environment = {**os.environ, "FAKELAB_DATA_DIR": str(tmp_path), "FAKELAB_MODEL": "tiny"}
    command = [sys.executable, "-m", "fakelab", "serve", "--port", "0", "--host", "0.0.0.0"]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2 and "fakelab users add NAME --role admin" in refused.stderr


def test_a_stopped_server_ends_quickly_and_goes_on_later(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    server = Served(folder)
    history = History(folder)
    try:
        key = _key(history)
        runs = [_hand_in(server.base, key, photo_bytes(number), f"{number}.jpg") for number in range(4)]
        started = time.monotonic()
        server.stop()
        assert server.process.returncode in (0, -signal.SIGTERM, 143)
        assert time.monotonic() - started < 15
        server = Served(folder)
        wait_until(lambda: _over(history, runs), 90)
        assert {Jobs(history).get(each).state for each in runs} == {"done"}
    finally:
        server.stop()
        history.close()


def _worker(folder: Path, url: str, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "FAKELAB_DATA_DIR": str(folder), "FAKELAB_DATABASE": url, "FAKELAB_MODEL": "tiny"}
    return subprocess.Popen(
        [sys.executable, "-m", "fakelab", "worker", *words], env=environment, stderr=subprocess.PIPE, text=True
    )


def _ready(worker: subprocess.Popen[str]) -> None:
    assert worker.stderr is not None
    line = worker.stderr.readline()
    assert "takes jobs" in line, line


def test_two_workers_share_a_queue_and_a_lost_ones_jobs_are_handed_on(tmp_path: Path, postgres_url: str) -> None:
    folder, url = tmp_path / "data", postgres_url
    server = Served(folder, "--no-work", FAKELAB_DATABASE=url)
    history = History(folder, url)
    workers = [_worker(folder, url, "--name", name, "--jobs", "1") for name in ("anna", "ben")]
    try:
        for each in workers:
            _ready(each)
        key = _key(history)
        runs = [_hand_in(server.base, key, photo_bytes(number), f"{number}.jpg") for number in range(10)]
        wait_until(lambda: Jobs(history).counts()["done"] >= 2)
        workers[0].kill()
        workers[0].wait(30)
        environment = {**os.environ, "FAKELAB_DATA_DIR": str(folder), "FAKELAB_DATABASE": url}
        command = [sys.executable, "-m", "fakelab", "worker", "recover"]
        alive = subprocess.run([*command, "ben"], env=environment, capture_output=True, text=True, timeout=60)
        assert alive.returncode == 2 and "is alive" in alive.stderr
        handed = subprocess.run([*command, "anna"], env=environment, capture_output=True, text=True, timeout=60)
        assert handed.returncode == 0 and "handed to the others" in handed.stdout, handed.stderr
        wait_until(lambda: _over(history, runs), 90)
        found = list(history.every())
        assert sorted(each.id for each in found) == sorted(runs)
        assert {Jobs(history).get(each).worker for each in runs} == {"anna", "ben"}
    finally:
        for each in workers:
            each.terminate()
            each.wait(30)
            assert each.stderr is not None
            each.stderr.close()
        server.stop()
        history.close()
