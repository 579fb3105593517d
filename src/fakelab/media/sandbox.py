"""A child process that reads one untrusted file, and what becomes of it when it crashes, hangs or swells.

The parent opens the file and hands the descriptor down; the child gives up everything else (see `confine`) before it
parses a byte. The parent believes nothing that comes back: sizes, numbers and texts are checked.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from fakelab.errors import DamagedMediaError, EnvironmentBrokenError, LimitError, MediaError, UnsupportedMediaError
from fakelab.media.wire import EXIT_MEMORY, MalformedError, Message, receive, send, text

_BOOT = (
    "import sys, json; order = json.loads(sys.stdin.buffer.readline()); sys.path[:] = order['sys_path']; "
    "from fakelab.media.child import main; main(order)"
)
OPEN_WALL_S = 60.0
"""Opening and probing alone may not take longer than this, however long the sampling may take."""
PIPE_BYTES = 1 << 20
_INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "SYSTEMDRIVE")
"""The only variables that reach the child: what its libraries need to load."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost. `memory_mb` is address space: the part in use stays far below it."""

    memory_mb: int = 2048
    cpu_s: int = 600
    """Processor time of the child over all its threads."""
    wall_s: float = 900.0
    """Time the caller spends waiting for the child in all; the caller's own work between frames is not counted."""
    pixels: int = 100_000_000
    """Width x height of a photo or a frame."""
    file_bytes: int | None = None


class Child:
    """One reader process. Raises MediaErrors about `name` for everything that goes wrong in it."""

    def __init__(self, order: Message, limits: Limits, name: str, file_fd: int | None = None) -> None:
        self._name = name
        self._limits = limits
        self._left_s = limits.wall_s
        self._expired_s = 0.0  # the limit that was passed, once one was
        self._ready = False
        self._lock = threading.Lock()
        self._process = _start(file_fd)
        self._in = cast(BinaryIO, self._process.stdin)
        self._out = cast(BinaryIO, self._process.stdout)
        order = order | {
            "sys_path": import_path(),
            "memory_mb": limits.memory_mb,
            "cpu_s": limits.cpu_s,
            "pixels": limits.pixels,
        }
        self.say(order)

    @property
    def pid(self) -> int:
        """The process number of the child."""
        return self._process.pid

    def say(self, message: Message) -> None:
        """Sends one line. A child that is gone is noticed by the next `hear`."""
        with contextlib.suppress(BrokenPipeError, ValueError):
            send(self._in, message)

    def hear(self, expected: str, *others: str, within_s: float | None = None) -> Message:
        """The next message, of one of the expected types. Raises a MediaError or EnvironmentBrokenError."""
        with self._deadline(within_s):
            try:
                message = receive(self._out)
            except MalformedError as error:
                raise self._nonsense(error) from error
            except ValueError:  # another thread has closed this child
                message = None
        if message is None:
            raise self._gone()
        match message["type"]:
            case "refused":
                raise self._refusal(message)
            case "broken":
                raise _broken(text(message, "why"))
            case kind if kind in (expected, *others):
                self._ready = True
                return message
            case kind:
                raise self._nonsense(MalformedError(f"unexpected {kind[:20]!r}"))

    def read_into(self, view: memoryview) -> None:
        """Fills `view` with the bytes that follow a message."""
        done = 0
        with self._deadline(None):
            while done < len(view):
                got = 0
                with contextlib.suppress(ValueError):  # another thread has closed this child
                    got = self._out.readinto(view[done:])  # type: ignore[attr-defined]
                if not got:
                    raise self._gone()
                done += got

    def close(self) -> None:
        """Ends the child and waits until it is gone. May be called twice, and from another thread."""
        with self._lock:
            if self._process.returncode is None:
                self._process.kill()
            self._process.wait()
            for pipe in (self._in, self._out):
                with contextlib.suppress(OSError):
                    pipe.close()

    @contextlib.contextmanager
    def _deadline(self, within_s: float | None) -> Iterator[None]:
        """Kills the child when the wait inside takes longer than what is left of the wall-clock limit."""
        limit_s = self._limits.wall_s if within_s is None or within_s > self._left_s else within_s
        allowed = min(limit_s, self._left_s)
        timer = threading.Timer(max(0.0, allowed), self._expire, [limit_s])
        timer.daemon = True
        began = time.monotonic()
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self._left_s -= time.monotonic() - began

    def _expire(self, limit_s: float) -> None:
        self._expired_s = limit_s
        self._process.kill()

    def _refusal(self, message: Message) -> MediaError:
        kinds = {"limit": LimitError, "unsupported": UnsupportedMediaError}
        kind = kinds.get(str(message.get("kind")), DamagedMediaError)
        return kind(f"{self._name} cannot be read", text(message, "why"), text(message, "do"))

    def _nonsense(self, error: MalformedError) -> MediaError:
        self.close()
        return DamagedMediaError(
            f"{self._name} cannot be read",
            f"its decoder answered with nonsense ({error}), as after a crash or an attack",
            "Do not open the file with other programs before it has been examined.",
        )

    def _gone(self) -> MediaError | EnvironmentBrokenError:
        """The error for a child that ended without saying why."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.returncode
        self.close()
        what, limits = f"{self._name} cannot be read", self._limits
        if self._expired_s:
            return LimitError(
                what, "decoding it took too long", f"The limit is {self._expired_s:g} s; raise it if needed."
            )
        if code == EXIT_MEMORY:
            return LimitError(
                what, f"decoding it needs more than {limits.memory_mb} MB of memory", "Raise the limit on memory."
            )
        if code is not None and code < 0:
            name = _signal_name(-code)
            if name == "SIGXCPU":
                return LimitError(
                    what,
                    f"decoding it took more than {limits.cpu_s} s of processor time",
                    "Cut the file, or raise the limit.",
                )
            return DamagedMediaError(
                what,
                f"its decoder was stopped by signal {name}",
                "The file is damaged or hostile, or the machine is out of memory.",
            )
        if not self._ready:
            return _broken(f"it ended with code {code} before it began")
        return DamagedMediaError(what, f"its decoder ended early (code {code})", "Try to get the file again.")


def confinement(limits: Limits | None = None) -> dict[str, str | bool]:
    """What holds a hostile file back on this system, measured by a trial child: for ``fakelab doctor``.

    The values are True or False, and `network` is a sentence. Raises EnvironmentBrokenError if no child can start.
    """
    limits = limits or Limits()
    child = Child({"reader": "none", "container": "", "threads": 1}, limits, "the trial of the sandbox")
    try:
        message = child.hear("ready", within_s=OPEN_WALL_S)
    finally:
        child.close()
    holds, tested = _flags(message.get("holds")), _flags(message.get("tested"))
    if holds.get("network_namespace"):
        network = "none: the decoder has a network namespace of its own"
    elif tested.get("no_sockets"):
        network = "none: the decoder may not open sockets (this system allows no network namespace)"
    else:
        network = "not restricted on this system"
    return {
        "separate_process": True,
        "wall_clock_limit": True,
        "memory_limit": tested.get("memory", False),
        "cpu_limit": holds.get("cpu", False),
        "file_writes_refused": holds.get("no_file_writes", False),
        "other_files_refused": tested.get("no_new_files", False),
        "new_privileges_refused": holds.get("no_new_privileges", False),
        "network_namespace": holds.get("network_namespace", False),
        "network": network,
    }


def _start(file_fd: int | None) -> subprocess.Popen[bytes]:
    # -I and -S: neither the environment, nor the current folder, nor site hooks decide what the child imports.
    options: dict[str, Any] = {}
    if os.name == "posix":
        # An own process group: Ctrl-C goes to the parent alone, which then closes the child.
        options = {"pass_fds": () if file_fd is None else (file_fd,), "process_group": 0, "cwd": "/"}
    environment = {k: os.environ[k] for k in _INHERITED if k in os.environ} | {"MALLOC_ARENA_MAX": "2"}
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=PIPE_BYTES,
            env=environment,
            **options,
        )
    except OSError as error:
        raise _broken(str(error)) from error
    _widen(process.stdout)
    return process


def _widen(pipe: Any) -> None:
    """Lets more bytes wait in a pipe (Linux): after each piece read, a thread waits for Python's lock once more."""
    try:
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        return  # another system, or a user with many wide pipes: it works as it is


def import_path() -> list[str]:
    """Where the parent imports from, without relative entries: the current folder may hold hostile files."""
    home = str(Path(__file__).resolve().parents[2])
    path = [p for p in sys.path if os.path.isabs(p)]
    return path if home in path else [home, *path]


def _broken(why: str) -> EnvironmentBrokenError:
    return EnvironmentBrokenError(
        "the process that reads media cannot start", why, "Run 'fakelab doctor', or install FakeLab again."
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _flags(value: object) -> dict[str, bool]:
    return {str(k): v is True for k, v in value.items()} if isinstance(value, dict) else {}
