"""What the child process gives up before it touches the file: memory, processor time, new files, the network.

Runs inside the child, after its imports and before the first byte of the file is parsed. Where a system lacks a
means, the next best holds and the report says so.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_NO_NEW_PRIVS = 38


def confine(memory_mb: int, cpu_s: int, threads: int) -> dict[str, bool]:
    """Gives up what decoding does not need. Returns which limits hold."""
    holds = {"network_namespace": _leave_network(), "no_new_privileges": _no_new_privileges()}
    try:
        import resource
    except ImportError:  # Windows
        return holds | dict.fromkeys(("memory", "cpu", "no_file_writes", "no_new_files"), False)

    def limit(name: str, soft: int, hard: int | None = None) -> bool:
        kind = getattr(resource, name, None)
        if kind is None:
            return False
        most = resource.getrlimit(kind)[1]
        wanted = soft if hard is None else hard
        if most not in (resource.RLIM_INFINITY, -1):
            wanted, soft = min(wanted, most), min(soft, most)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (soft, wanted))
            return True
        return False

    limit("RLIMIT_CORE", 0)
    # Soft before hard: SIGXCPU at the soft limit tells the parent why the child ended, SIGKILL would not.
    holds["cpu"] = limit("RLIMIT_CPU", cpu_s, cpu_s + 2)
    # macOS accepts RLIMIT_AS and does not keep it.
    holds["memory"] = limit("RLIMIT_AS", memory_mb << 20) and sys.platform != "darwin"
    holds["no_file_writes"] = limit("RLIMIT_FSIZE", 0)
    if holds["network_namespace"]:
        # Counted for each user namespace, so only here does it mean this process: room for decoder threads, no more.
        limit("RLIMIT_NPROC", 16 + 8 * threads)
    # Nothing may be opened from here on: no neighbour of the file, no socket. Open descriptors stay usable.
    holds["no_new_files"] = limit("RLIMIT_NOFILE", 0)
    return holds


def self_test(memory_mb: int) -> dict[str, bool]:
    """Tries what `confine` should have made impossible. True means refused."""
    import socket

    def refused(attempt: Any) -> bool:
        try:
            attempt()
        except (OSError, MemoryError):
            return True
        return False

    return {
        "memory": refused(lambda: bytearray((memory_mb + 64) << 20)),
        "no_new_files": refused(lambda: open(os.devnull, "rb").close()),
        "no_sockets": refused(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()),
    }


def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _leave_network() -> bool:
    """Moves to a network namespace without interfaces; a user namespace takes root's powers too."""
    if not sys.platform.startswith("linux"):
        return False
    for flags in (CLONE_NEWUSER | CLONE_NEWNET, CLONE_NEWNET):
        if hasattr(os, "unshare"):  # Python 3.12
            with contextlib.suppress(OSError):
                os.unshare(flags)
                return True
        else:
            with contextlib.suppress(OSError, AttributeError):
                if _libc().unshare(flags) == 0:
                    return True
    return False


def _no_new_privileges() -> bool:
    """Forbids gaining rights by starting another program (Linux)."""
    if not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(OSError, AttributeError):
        return bool(_libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
    return False
