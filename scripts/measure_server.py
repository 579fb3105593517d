"""Measures a server as a desk would strain it, with things made here: `python scripts/measure_server.py WHAT [MORE]`.

records   10,000 records: median time of the list, a search and filters
kills     40 uploads queued, the server killed with -9 three times: results, doubles, losses
upload    an upload of 2 GB, or of MORE: peak memory of the server
clients   50 clients that upload a small clip at once: all answered, and when
pages     median time of pages while 4 analyses run
rate      files per hour and core, of a made clip, or the one that MORE names, with the default model
"""

from __future__ import annotations

import concurrent.futures
import copy
import hashlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from fakelab.service.accounts import SCOPES, Accounts
from fakelab.service.history import History
from fakelab.service.jobs import Jobs

GB = 1 << 30


class Server:
    """A real server in a folder, and a key for it."""

    def __init__(self, folder: Path, model: str = "tiny", **environment: str) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True, parents=True)
        named = {"FAKELAB_DATA_DIR": str(folder), "FAKELAB_MODEL": model, **environment}
        with (folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fakelab", "serve", "--port", "0"],
                env={**os.environ, **named},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"(http://\S+)/enter", line):
                self.base = found[1]
                break

    def key(self, history: History) -> dict[str, str]:
        secret, _ = Accounts(history).add_key("measure", SCOPES, actor="measure")
        return {"Authorization": f"Bearer {secret}"}

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(60)


def made_clip(path: Path, seed: int, seconds: float = 3.0, like: Path | None = None) -> Path:
    """A clip of its own bytes: the made one of the demo, or `like`, with a mark behind its end."""
    source = like or _demo_clip(path.parent)
    path.write_bytes(source.read_bytes() + b"\0\0\0\x10free" + seed.to_bytes(8, "big"))
    return path


def _demo_clip(folder: Path) -> Path:
    path = folder / "demo.mp4"
    if not path.exists():
        import av
        import numpy as np
        from skimage import data

        face = np.ascontiguousarray(data.astronaut()[0:288, 64:448])
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 384, 288, "yuv420p"
            for number in range(75):
                frame = np.ascontiguousarray(np.roll(face, number % 5, axis=1))
                out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            out.mux(stream.encode(None))
    return path


def hand_in(base: str, key: dict[str, str], clip: Path) -> str:
    """Hands a file in, coming back when the server asks for it."""
    while True:
        answer = httpx.post(
            f"{base}/api/v1/analyses", content=clip.read_bytes(), params={"name": clip.name}, headers=key, timeout=120
        )
        if answer.status_code == 429:
            time.sleep(float(answer.headers["retry-after"]))
            continue
        answer.raise_for_status()
        run: str = answer.json()["id"]
        return run


def wait_for(history: History, runs: list[str], seconds: float) -> float:
    """Seconds until all are over."""
    jobs, started = Jobs(history), time.monotonic()
    while any(jobs.get(each).open for each in runs):
        if time.monotonic() - started > seconds:
            raise SystemExit(f"not all were over within {seconds} s")
        time.sleep(0.2)
    return time.monotonic() - started


def timed(times: int, ask: Callable[[int], object]) -> str:
    """Median and 95th percentile in milliseconds."""
    found = []
    for number in range(times):
        started = time.perf_counter()
        ask(number)
        found.append(1000 * (time.perf_counter() - started))
    found.sort()
    return f"median {statistics.median(found):.0f} ms, 95 % {found[int(0.95 * len(found))]:.0f} ms"


def measure_records(folder: Path) -> Iterator[str]:
    """Times of lists with 10,000 records."""
    server = Server(folder)
    history = History(folder)
    key = server.key(history)
    clip = made_clip(folder / "first.mp4", 0)
    first = hand_in(server.base, key, clip)
    wait_for(history, [first], 120)
    document = history.document(first)
    levels = ("strong_evidence", "moderate_evidence", "inconclusive", "no_evidence_found")
    started = time.monotonic()
    for number in range(10_000):
        made = copy.deepcopy(document)
        made["file"]["name"] = made["file"]["path"] = f"clip {number} from desk {number % 97}.mp4"
        made["file"]["sha256"] = hashlib.sha256(str(number).encode()).hexdigest()
        made["verdict"]["level"] = levels[number % 4]
        made["verdict"]["p_fake"] = (number % 1000) / 1000
        run = history.add_document(made, actor="measure", acquired="upload", owner="local", ended=made["started"])
        if number % 10 == 0:
            history.tag(run.id, [f"tag{number % 7}"], actor="measure")
    yield f"10,000 records written in {time.monotonic() - started:.0f} s"
    with httpx.Client(base_url=server.base, headers=key | {"Accept": "text/html"}, timeout=60) as client:
        pages = {
            "list": "/history",
            "search": "/history?q=desk+{n}",
            "filter by level": "/history?level=strong_evidence",
            "filter by tag": "/history?tag=tag3",
            "most suspicious first": "/history?sort=suspicious",
            "search and filter": "/history?q=clip+{n}&level=inconclusive",
            "REST list": "/api/v1/analyses?limit=50",
        }
        for name, address in pages.items():
            yield f"{name}: {timed(30, lambda n, address=address: client.get(address.format(n=n)).raise_for_status())}"
    server.end()
    history.close()


def measure_kills(folder: Path) -> Iterator[str]:
    """What becomes of 40 uploads when the server is killed three times."""
    server = Server(folder)
    history = History(folder)
    key = server.key(history)
    clips = [made_clip(folder / f"{number}.mp4", number) for number in range(40)]
    runs: list[str] = []
    for number, clip in enumerate(clips):
        runs.append(hand_in(server.base, key, clip))
        if number in (15, 30):
            server.end(signal.SIGKILL)
            server = Server(folder)
    time.sleep(2)
    server.end(signal.SIGKILL)
    server = Server(folder)
    wait_for(history, runs, 600)
    found = [each.id for each in history.every()]
    lost, doubles = set(runs) - set(found), len(found) - len(set(found))
    created = [each.run for each in history.events() if each.action == "created"]
    twice = doubles + len(created) - len(set(created))
    yield f"40 uploads, killed three times: {len(found)} results, {len(lost)} lost, {twice} twice"
    server.end()
    history.close()


def measure_upload(folder: Path, gigabytes: int = 2) -> Iterator[str]:
    """The memory of the server while so many GB come in."""
    server = Server(folder)
    history = History(folder)
    key = server.key(history)
    peak, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            text = Path(f"/proc/{server.process.pid}/status").read_text()
            peak[0] = max(peak[0], int(re.search(r"VmRSS:\s+(\d+)", text)[1]))  # type: ignore[index]

    watcher = threading.Thread(target=watch)
    watcher.start()
    time.sleep(1)
    before = peak[0]

    def body() -> Iterator[bytes]:
        piece = os.urandom(1 << 20)
        for _ in range(1000 * gigabytes):
            yield piece

    started = time.monotonic()
    answer = httpx.post(
        f"{server.base}/api/v1/analyses", content=body(), params={"name": "big.bin"}, headers=key, timeout=900
    )
    seconds = time.monotonic() - started
    run = answer.json()["id"]
    wait_for(history, [run], 300)
    stop.set()
    watcher.join()
    yield (
        f"{gigabytes} GB in one request: {seconds:.0f} s, server's memory {before / 1024:.0f} MB before, "
        f"peak {peak[0] / 1024:.0f} MB; answer {answer.status_code}"
    )
    server.end()
    history.close()


def measure_clients(folder: Path) -> Iterator[str]:
    """When 50 clients have their answers."""
    server = Server(folder, FAKELAB_QUEUE_LIMIT="20")
    history = History(folder)
    key = server.key(history)
    clips = [made_clip(folder / f"{number}.mp4", number) for number in range(50)]
    started = time.monotonic()

    def client(clip: Path) -> float:
        run = hand_in(server.base, key, clip)
        while True:
            told = httpx.get(f"{server.base}/api/v1/analyses/{run}", headers=key, timeout=60).json()
            if told["state"] not in ("waiting", "running"):
                assert told["state"] == "done", told
                return time.monotonic() - started
            time.sleep(0.5)

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        times = sorted(pool.map(client, clips))
    middle = statistics.median(times)
    yield f"50 clients, room for 20: {len(times)} results, median {middle:.0f} s, last {times[-1]:.0f} s"
    server.end()
    history.close()


def measure_pages(folder: Path) -> Iterator[str]:
    """Times of pages while files are analysed."""
    server = Server(folder, model="clip_face", FAKELAB_JOBS="4")
    history = History(folder)
    key = server.key(history)
    first = hand_in(server.base, key, made_clip(folder / "first.mp4", 1))
    wait_for(history, [first], 300)
    runs = [hand_in(server.base, key, made_clip(folder / f"{number}.mp4", number + 2)) for number in range(16)]
    time.sleep(3)
    with httpx.Client(base_url=server.base, headers=key | {"Accept": "text/html"}, timeout=60) as client:
        running = Jobs(history).counts()["running"]
        for name, address in (("result", f"/runs/{first}"), ("history", "/history"), ("analyse", "/")):
            took = timed(15, lambda n, address=address: client.get(address).raise_for_status())
            yield f"{name} while {running} run: {took}"
    wait_for(history, runs, 900)
    server.end()
    history.close()


def measure_rate(folder: Path, clip: Path | None = None) -> Iterator[str]:
    """Files per hour and core."""
    server = Server(folder, model="clip_face")
    history = History(folder)
    key = server.key(history)
    clips = [made_clip(folder / f"{number}.mp4", number, like=clip) for number in range(25)]
    wait_for(history, [hand_in(server.base, key, clips[0])], 120)
    started = time.monotonic()
    runs = [hand_in(server.base, key, each) for each in clips[1:]]
    wait_for(history, runs, 1200)
    seconds = time.monotonic() - started
    cores = os.cpu_count() or 1
    rate = 3600 * len(runs) / seconds / cores
    yield f"{len(runs)} files in {seconds:.0f} s on {cores} cores: {rate:.0f} files per hour and core"
    server.end()
    history.close()


WHAT = {
    "records": measure_records,
    "kills": measure_kills,
    "upload": measure_upload,
    "clients": measure_clients,
    "pages": measure_pages,
    "rate": measure_rate,
}


def main() -> None:
    """Measures what the first word names."""
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    if what not in WHAT:
        raise SystemExit(__doc__)
    folder = Path(tempfile.mkdtemp(prefix="fakelab-measure-"))
    extra: dict[str, Any] = {}
    if len(sys.argv) > 2:
        extra = {"clip": Path(sys.argv[2])} if what == "rate" else {"gigabytes": int(sys.argv[2])}
    try:
        for line in WHAT[what](folder, **extra):
            print(line, flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    print(json.dumps({"cores": os.cpu_count()}), file=sys.stderr)
    main()
