"""The reader process: opens one untrusted file, answers with its facts and then its sampled pictures.

Started by `sandbox.Child`. In: one line of JSON with the job, then one with what is wanted: a density, or the times of
pictures, or what a task of TASKS takes. Out: `wire` messages ready, facts, frame or part (each with its bytes), end, or
refused. It imports only what its kind of file needs, never numpy.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from fakelab.media.confine import confine, self_test
from fakelab.media.density import Density
from fakelab.media.wire import EXIT_MEMORY, FileReader, Job, Message, Picture, RefusedError, send

READERS = {"video": "VideoReader", "photo": "PhotoReader", "animation": "AnimationReader"}
TASKS = {
    "proxy": "proxy_child",
    "shots": "shots_child",
    "traces": "traces_child",
    "waveform": "waveform_child",
}
"""Task -> the module that does it with the file's reader: its `reader` gives what opens the file, with `parts`."""


def main(order: Message) -> None:
    """Does the job of the first line and ends the process."""
    out = _take_stdout()
    try:
        _serve(order, sys.stdin.buffer, out)
    except MemoryError:
        os._exit(EXIT_MEMORY)
    except BrokenPipeError:
        os._exit(0)  # the parent closed the media: nobody is left to tell
    except RefusedError as refusal:
        send(out, {"type": "refused", "kind": refusal.kind, "why": refusal.why, "do": refusal.do})
    except Exception as error:  # a decoder met what its author did not think of: that is the file's fault
        send(out, {"type": "refused", "kind": "damaged", "why": f"{type(error).__name__}: {error}", "do": ""})
    # Skips the tidying of libraries that have just digested untrusted bytes.
    os._exit(0)


def _serve(order: Message, commands: BinaryIO, out: BinaryIO) -> None:
    name = order["reader"]
    try:
        # "none" is the trial of `sandbox.confinement`, which tries to open a socket.
        module = importlib.import_module(f"fakelab.media.{name}" if name in READERS else "socket")
        if name != "none":
            module.prepare(order["container"])
        task = importlib.import_module(f"fakelab.media.{TASKS[order['task']]}") if "task" in order else None
    except ImportError as error:
        send(out, {"type": "broken", "why": str(error)})
        return
    file: BinaryIO | None = None
    if "fd" in order:
        file = os.fdopen(order["fd"], "rb")
    elif "path" in order:  # Windows: descriptors are not handed down
        file = open(order["path"], "rb")  # noqa: SIM115 - read until the process ends
    holds = confine(order["memory_mb"], order["cpu_s"], order["threads"])
    if file is None:
        send(out, {"type": "ready", "holds": holds, "tested": self_test(order["memory_mb"])})
        return
    send(out, {"type": "ready", "holds": holds})
    job = Job(file, order["container"], order["demuxer"], order["threads"], order["pixels"])
    kind = getattr(module, READERS[name])
    reader = (task.reader(kind) if task else kind)(job)
    send(out, {"type": "facts", "facts": reader.facts(), "warnings": reader.warnings})
    line = commands.readline()
    if line:
        _stream(reader, json.loads(line), out)


def _stream(reader: Any, wanted: Message, out: BinaryIO) -> None:
    if hasattr(reader, "parts"):
        for message, payload in reader.parts(wanted):
            send(out, {"type": "part"} | message, payload)
    else:
        for picture in _pictures(reader, wanted):
            send(out, _frame_message(picture, reader.failed), picture.rows)
    send(out, {"type": "end", "failed": reader.failed, "warnings": reader.warnings})


def _pictures(reader: FileReader, wanted: Message) -> Iterator[Picture]:
    if "times_s" not in wanted:
        return reader.frames(Density(**wanted))
    reader.longest_px = wanted["longest_px"]
    return reader.at(wanted["times_s"])


def _frame_message(picture: Picture, failed: int) -> dict[str, Any]:
    turn = picture.turn
    return {
        "type": "frame",
        "width_px": picture.width_px,
        "height_px": picture.height_px,
        "time_s": picture.time_s,
        "burst": picture.burst,
        "turn": [turn.transpose, turn.flip_x, turn.flip_y],
        "failed": failed,
    }


def _take_stdout() -> BinaryIO:
    """The pipe to the parent, moved away from descriptor 1 so that nothing a library prints can get between."""
    own = os.dup(1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
    return os.fdopen(own, "wb", buffering=1 << 16)
