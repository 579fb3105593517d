"""Levelled speech -> a logit, by ONNX Runtime. Spectrum, network and scaling all lie inside the one ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.errors import ModelError
from fakelab.models.card import checked_onnx
from fakelab.models.session import session_options
from fakelab.records import ModelCard

INPUT, OUTPUT = "samples", "logit"
SHORTEST = 4000
"""Fewer samples than this, a quarter of a second, hold no speech to judge."""


class VoiceModel:
    """A loaded model. `score_one` turns (N,) float32 samples at 16 kHz into a logit."""

    def __init__(self, name: str, card: ModelCard, session: Any) -> None:
        self.name, self.card = name, card
        self._session = session

    def score_one(self, samples: NDArray[np.float32]) -> float:
        """The logit of one levelled window of speech; higher is more like a generated voice. Raises ModelError."""
        if samples.ndim != 1 or len(samples) < SHORTEST or not np.isfinite(samples).all():
            raise ModelError(
                f"a window of sound does not fit the model '{self.name}'",
                f"it is {samples.shape}; at least {SHORTEST} finite samples are needed",
                "Cut windows with media.audio.",
            )
        return float(self._session.run([OUTPUT], {INPUT: samples[None]})[0].ravel()[0])


def load_voice(name: str, *, threads: int = 0) -> VoiceModel:
    """The voice model called `name`, its file checked by SHA-256. `threads` work on one window; 0: one.

    Raises UnknownNameError, and ModelError when the file is missing, altered, or does not fit its card.
    """
    card, onnx_file = checked_onnx(name)
    return open_voice(name, card, onnx_file, threads)


def open_voice(name: str, card: ModelCard, onnx_file: Path, threads: int = 0) -> VoiceModel:
    """A VoiceModel of this very file. Raises ModelError when ONNX Runtime refuses it, or it is no voice model."""
    import onnxruntime as ort

    try:
        session = ort.InferenceSession(
            str(onnx_file), session_options(threads or 1), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's own error types are not public
        raise ModelError(f"the model '{name}' cannot be started", str(error), "Reinstall fakelab-verify.") from error
    given, answered = [each.name for each in session.get_inputs()], [each.name for each in session.get_outputs()]
    if given != [INPUT] or answered != [OUTPUT]:
        raise ModelError(
            f"the model '{name}' cannot be used", f"it takes {given}, gives {answered}", "Export it again."
        )
    return VoiceModel(name, card, session)
