"""A picture -> class tokens of several blocks of the shared tower, and the linear heads that read them.

Early blocks see how pixels were made, late ones what is shown; a network's last token has forgotten the former. The
idea of reading between the blocks is that of Koutlis and Papadopoulos, ECCV 2024, "Leveraging representations from
intermediate encoder-blocks for synthetic image detection". The tower is not tuned: a model is some kilobytes of heads,
fitted by `training.photo` and run by `models.pictures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fakelab.errors import ModelError
from fakelab.models.onnx_file import subgraph
from fakelab.models.session import INPUT, session_options

ARCHITECTURE = "clip_vit_b16_tokens"
FILE = "heads.safetensors"
WIDTH, SIDE_PX = 768, 224
WHOLE = ("blocks.6.result", "blocks.9.result", "norm.out")
"""The tower's values whose class tokens are read of the whole picture; blocks count from 0."""
PART = ("blocks.3.result", "blocks.5.result", "blocks.9.result")
"""And of a part at full size: the traces of how it was made fade early."""
VIEWS: dict[str, tuple[str, ...]] = {"whole": WHOLE, "part": PART}
BIAS = "bias"
Floats = NDArray[np.float32]


class TokenTower:
    """The tower in a file, cut after the last of the values called `names`."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        """Raises ValueError for a file without these values, and what ONNX Runtime raises."""
        import onnxruntime as ort

        self.names = tuple(names)
        self._session = ort.InferenceSession(
            subgraph(path, self.names), session_options(), providers=["CPUExecutionProvider"]
        )

    def tokens(self, pixels: Floats) -> dict[str, Floats]:
        """Name -> class token (768,) of one normalised picture (1, 3, 224, 224)."""
        # One picture a call: the 8-bit tower finds its activation scale per call.
        found = self._session.run(list(self.names), {INPUT: pixels})
        return {name: np.asarray(value[0, 0], np.float32) for name, value in zip(self.names, found, strict=True)}


def answer(heads: Mapping[str, Floats], view: str, tokens: Mapping[str, Floats]) -> float:
    """What the heads of `view`, whole or part, say of these tokens, without the bias."""
    mine = [key for key in heads if key.startswith(f"{view}.")]
    return float(sum(heads[key] @ tokens[key.removeprefix(f"{view}.")] for key in mine))


def read_names(heads: Mapping[str, Floats]) -> tuple[str, ...]:
    """The tower's values that these heads read. Raises ValueError where they are no heads."""
    if BIAS not in heads or heads[BIAS].shape != (1,):
        raise ValueError("there is no bias")
    weights = {key: value for key, value in heads.items() if key != BIAS}
    for key, value in heads.items():
        if value.dtype != np.float32 or not np.isfinite(value).all():
            raise ValueError(f"'{key}' is not of finite numbers of 32 bits")
    for key, value in weights.items():
        if value.shape != (WIDTH,) or key.split(".", 1)[0] not in VIEWS:
            raise ValueError(f"'{key}' {value.shape} is no head of {WIDTH} numbers for the whole or a part")
    if {key.split(".", 1)[0] for key in weights} != set(VIEWS):
        raise ValueError("the whole or the part has no head")
    return tuple(sorted({key.split(".", 1)[1] for key in weights}))


def read_heads(path: Path) -> dict[str, Floats]:
    """Name -> weights (768,), and the bias (1,). Raises ModelError for a file that cannot be read."""
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except Exception as error:  # safetensors' own error type is no subclass of a public one
        raise ModelError(f"the heads {path} cannot be read", str(error), "Reinstall fakelab-verify.") from error
