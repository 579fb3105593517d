"""How FakeLab runs ONNX Runtime, whichever model it is."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.records import Image

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


def pixels_of(image: Image, mean: NDArray[np.float32], std: NDArray[np.float32]) -> NDArray[np.float32]:
    """(1, 3, S, S) float32 of a picture (S, S, 3) uint8 RGB, scaled to 0..1; `mean` and `std` are (3, 1, 1)."""
    planes = image.transpose(2, 0, 1).astype(np.float32) / 255.0
    return np.ascontiguousarray((planes - mean) / std, dtype=np.float32)[None]


def processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
