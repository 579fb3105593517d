"""Face crops -> logits and heat maps, by ONNX Runtime. Never sees a file of media.

A model is one ONNX file, or the shared CLIP tower with its tuned numbers laid over the tower's initializers when the
session starts; heads that read the tower's tokens are run by `models.pictures`. One crop a call: the 8-bit tower finds
its activation scale per call, and a batch would share one. Crops are scored side by side, a thread each: threads that
share a crop wait for each other at every layer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fakelab.errors import ModelError
from fakelab.models.card import checked_onnx, model_file
from fakelab.models.onnx_file import FLOAT, initializers
from fakelab.models.session import INPUT, pixels_of, processors, session_options
from fakelab.models.tokens import ARCHITECTURE as TOKENS
from fakelab.models.tokens import read_heads
from fakelab.records import Crop, ModelCard

T = TypeVar("T")

OUTPUTS = ["logit", "map"]
MAX_LANES = 8
"""Crops scored at once unless told otherwise: each takes about 25 MB, and decoding cannot feed more."""
TUNED_HEADS = ("head.1.weight", "head.1.bias", "patch_head.weight", "patch_head.bias")
"""What every tuning brings: the shared tower's own heads are zero, and would answer the same for every face."""

KEPT_AS_WRITTEN = ["NoopElimination"]
"""Rules of ONNX Runtime that are switched off: it drops the addition of a bias that is zero in the shared file, and the
bias laid over it goes with it, without a word (versions 1.20 to 1.32)."""


class FaceModel:
    """A loaded model. `score` turns crops into logits (N,) float32 and patch probabilities (N, h, w) float32."""

    def __init__(self, name: str, card: ModelCard, session: Any, keep_alive: list[Any], lanes: int = 1) -> None:
        self.name, self.card, self.lanes = name, card, lanes
        self._session = session
        # ONNX Runtime reads overlaid initializers from this memory for as long as the session lives.
        self._keep_alive = keep_alive
        self._mean = np.array(card.mean, np.float32).reshape(3, 1, 1)
        self._std = np.array(card.std, np.float32).reshape(3, 1, 1)

    def score_one(self, crop: Crop) -> tuple[float, NDArray[np.float32]]:
        """The logit of one crop, and its map (h, w), 0..1. Raises ModelError for a crop of another cropper or size."""
        logit, patches = self._session.run(None, {INPUT: self._fitting(crop)})
        return float(logit.ravel()[0]), _sigmoid(np.asarray(patches[0], dtype=np.float32))

    def score(
        self, crops: Sequence[Crop], progress: Callable[[int, int], None] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits (N,) and maps (N, h, w) of the crops, in their order."""
        results = []
        for done, (_, logit, heat_map) in enumerate(self.score_ahead(crops, lambda crop: crop), start=1):
            results.append((logit, heat_map))
            if progress:
                progress(done, len(crops))
        if not results:
            return np.zeros(0, np.float32), np.zeros((0, 1, 1), np.float32)
        return np.array([logit for logit, _ in results], np.float32), np.stack([each for _, each in results])

    def score_ahead(
        self, items: Iterable[T], crop_of: Callable[[T], Crop]
    ) -> Iterator[tuple[T, float, NDArray[np.float32]]]:
        """Every item with its crop's logit and map, in order, scored while the next items are still being made.

        At most two items a lane are waiting, however slowly the caller takes them. What `items` raises comes through.
        """
        waiting: deque[tuple[T, Any]] = deque()
        pool = ThreadPoolExecutor(self.lanes, thread_name_prefix="score")
        try:
            for item in items:
                waiting.append((item, pool.submit(self.score_one, crop_of(item))))
                if len(waiting) > 2 * self.lanes:
                    first, scored = waiting.popleft()
                    yield first, *scored.result()
            while waiting:
                first, scored = waiting.popleft()
                yield first, *scored.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _fitting(self, crop: Crop) -> NDArray[np.float32]:
        """What the network is fed for a crop, normalised as the card says. Raises ModelError as `score_one` does."""
        spec = self.card.crop
        if crop.version != spec.version or crop.image.shape != (spec.size_px, spec.size_px, 3):
            raise ModelError(
                f"a crop does not fit the model '{self.name}'",
                f"it is of version {crop.version}, {crop.image.shape}; the card: {spec.version}, {spec.size_px} px",
                "Cut faces with the card's crop spec.",
            )
        return pixels_of(crop.image, self._mean, self._std)


class ComingModel(FaceModel):
    """A model that another thread is loading: its card is at hand at once, scoring waits for the rest of it.

    What `loading` raises, ModelError, scoring raises.
    """

    def __init__(self, name: str, card: ModelCard, loading: Future[FaceModel], threads: int) -> None:
        self.name, self.card, self.lanes = name, card, lanes_for(threads)
        self._loading = loading

    def score_one(self, crop: Crop) -> tuple[float, NDArray[np.float32]]:
        """What the model's own `score_one` gives, once it is there."""
        return self._loading.result().score_one(crop)

    def score(
        self, crops: Sequence[Crop], progress: Callable[[int, int], None] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the model's own `score` gives, once it is there."""
        return self._loading.result().score(crops, progress)


def load_model(name: str, *, threads: int = 0) -> FaceModel:
    """The model called `name`, its files checked by SHA-256. `threads` crops are scored at once; 0: a crop a processor.

    Raises UnknownNameError, and ModelError when a file is missing, altered, or does not fit its card.
    """
    return load_checked(name, *checked_onnx(name), threads)


def load_checked(name: str, card: ModelCard, onnx_file: Path, threads: int) -> FaceModel:
    """The model whose card and file `checked_onnx` gave. Raises ModelError where they do not fit each other."""
    numbers = next((model_file(name, f) for f in card.files if f.endswith(".safetensors")), None)
    if card.architecture == TOKENS:
        if numbers is None:
            raise ModelError(f"the model '{name}' cannot be used", "its card names no heads", "Mend the card.")
        from fakelab.models.pictures import open_pictures

        return open_pictures(name, card, onnx_file, read_heads(numbers), threads)
    return open_session(name, card, onnx_file, numbers, threads)


def open_session(name: str, card: ModelCard, onnx_file: Path, tuning: Path | None, threads: int) -> FaceModel:
    """A FaceModel of these very files. Raises ModelError when ONNX Runtime refuses them, or they do not fit.

    Strict: a tuned number that the file has no place for is an error, which ONNX Runtime passes over.
    """
    import onnxruntime as ort

    options = session_options()
    keep_alive: list[Any] = []
    try:
        if tuning is not None:
            from safetensors.numpy import load_file

            known, tuned = initializers(onnx_file), load_file(tuning)
            if lacking := [key for key in TUNED_HEADS if key not in tuned]:
                raise ValueError(f"{tuning.name} lacks {', '.join(lacking)}")
            for key, value in tuned.items():
                if known.get(key) != (FLOAT, value.shape) or value.dtype != np.float32:
                    raise ValueError(f"{tuning.name} does not fit {onnx_file.name}: '{key}' {value.shape}")
                array = np.ascontiguousarray(value)
                overlay = ort.OrtValue.ortvalue_from_numpy(array)
                keep_alive += [array, overlay]
                options.add_initializer(key, overlay)
        session = ort.InferenceSession(
            str(onnx_file), options, providers=["CPUExecutionProvider"], disabled_optimizers=KEPT_AS_WRITTEN
        )
    except Exception as error:  # ONNX Runtime's own error types are not public
        raise ModelError(f"the model '{name}' cannot be started", str(error), "Reinstall fakelab-verify.") from error
    given, wanted = session.get_inputs(), (1, 3, card.crop.size_px, card.crop.size_px)
    shape = given[0].shape if [each.name for each in given] == [INPUT] else ()
    if len(shape) != 4 or any(isinstance(n, int) and n != w for n, w in zip(shape, wanted, strict=True)):
        raise ModelError(
            f"the model '{name}' cannot be used",
            f"its input is {[(each.name, each.shape) for each in given]}; the card wants {INPUT} {wanted}",
            "Export it again.",
        )
    if [each.name for each in session.get_outputs()] != OUTPUTS:
        raise ModelError(f"the model '{name}' cannot be used", "its outputs are not logit and map", "Export it again.")
    return FaceModel(name, card, session, keep_alive, lanes_for(threads))


def lanes_for(threads: int) -> int:
    """How many crops are scored at once where the setting `threads` says so; 0: one a processor."""
    return threads or min(MAX_LANES, processors())


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -30, 30))), dtype=np.float32)
