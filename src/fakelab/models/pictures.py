"""Models of whole pictures: views of a photo -> logits, by linear heads on tokens of the shared tower."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from fakelab.errors import ModelError
from fakelab.models.runtime import FaceModel, lanes_for
from fakelab.models.tokens import BIAS, SIDE_PX, Floats, TokenTower, answer, read_names
from fakelab.records import Crop, ModelCard


class TokenModel(FaceModel):
    """A loaded model of whole pictures. The first crop that `score` is given is the whole, the others are its parts.

    The mean of the logit of the whole and the mean of those of its parts is the logit of the picture. A whole without
    parts, a small picture, stands for its part, too.
    """

    def __init__(self, name: str, card: ModelCard, tower: TokenTower, heads: dict[str, Floats], lanes: int = 1) -> None:
        super().__init__(name, card, None, [], lanes)
        self._tower, self._heads = tower, heads

    def score(self, crops: Sequence[Crop], progress: Callable[[int, int], None] | None = None) -> tuple[Floats, Floats]:
        """Logits (N,) of the views, and maps (N, 1, 1) without content: tokens do not say where."""
        logits: list[float] = []
        with ThreadPoolExecutor(max(1, min(self.lanes, len(crops))), thread_name_prefix="score") as pool:
            for done, tokens in enumerate(pool.map(self._tokens, crops), start=1):
                whole, part = answer(self._heads, "whole", tokens), answer(self._heads, "part", tokens)
                own = whole + part if len(crops) == 1 else 2 * (whole if done == 1 else part)
                logits.append(own + float(self._heads[BIAS][0]))
                if progress:
                    progress(done, len(crops))
        return np.array(logits, np.float32), np.zeros((len(logits), 1, 1), np.float32)

    def score_one(self, crop: Crop) -> tuple[float, Floats]:
        """The logit of a picture of which there is this view alone."""
        logits, maps = self.score([crop])
        return float(logits[0]), maps[0]

    def _tokens(self, crop: Crop) -> dict[str, Floats]:
        return self._tower.tokens(self._fitting(crop))


def open_pictures(name: str, card: ModelCard, tower: Path, heads: dict[str, Floats], threads: int = 0) -> TokenModel:
    """A TokenModel of these heads over the tower in this file. Raises ModelError where they do not fit each other."""
    try:
        if card.crop.size_px != SIDE_PX:
            raise ValueError(f"the card wants views of {card.crop.size_px} px, the tower {SIDE_PX}")
        made = TokenTower(tower, read_names(heads))
    except Exception as error:  # ONNX Runtime's own error types are not public
        raise ModelError(f"the model '{name}' cannot be started", str(error), "Reinstall fakelab-verify.") from error
    return TokenModel(name, card, made, heads, lanes_for(threads))
