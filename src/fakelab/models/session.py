"""How FakeLab runs ONNX Runtime, whichever model it is."""

from __future__ import annotations

import os
from typing import Any

INPUT = "pixels"
"""What every network of pictures calls its input."""


def session_options(threads: int = 1) -> Any:
    """`threads` on one crop or window, warnings kept quiet, memory given back."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # The arena keeps every peak for good: more memory, no gain at one picture a call.
    options.enable_cpu_mem_arena = False
    return options


def processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
