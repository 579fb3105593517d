"""Was this whole photo made by a generator? All of it and, if the model wants, parts at full size; the main path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fakelab.media.views import CUTS, views_of
from fakelab.models.runtime import FaceModel
from fakelab.records import Crop, Finding, Frame, Image, Kind, Level, MediaInfo, ModelCard, Progress, Reason
from fakelab.verdict import PALETTES, Rules, level_of, p_fake, reason, rules_of, shown_lines, stated_rate

LOOKS_FOR = "Photos that a generator made as a whole, face or no face."
DETECTOR = "generated_photo"


class PictureViews:
    """The views of a photo, taken while its one frame passes by on its way to the face finder.

    The card's gate says how many parts at full size the model wants.
    """

    def __init__(self, card: ModelCard) -> None:
        self.size_px = card.crop.size_px
        self.parts = int(card.gate.get("parts", CUTS))
        self.views: list[Image] = []
        self.short_px = 0

    def watch(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The frames as they come."""
        for frame in frames:
            self.short_px = min(frame.image.shape[:2])
            self.views = views_of(frame.image, self.size_px, self.parts)
            yield frame


def detect_generated(
    seen: PictureViews, info: MediaInfo, model: FaceModel, prior: float, progress: Progress
) -> Finding:
    """The finding for a photo whose frame `seen` has watched. Raises ModelError."""
    version = model.card.crop.version
    crops = [Crop(view, version) for view in seen.views]
    logits, _ = model.score(crops, lambda done, total: progress("picture", done, total))
    return judge([float(each) for each in logits], seen, info, model, prior)


def judge(logits: list[float], seen: PictureViews, info: MediaInfo, model: FaceModel, prior: float) -> Finding:
    """The mean over whole and parts decides, both weighing alike; a reason that concerns the file makes it unsure."""
    card = model.card
    rules = rules_of(card.calibration, card.thresholds, card.gate, Kind.PHOTO, prior)
    shared: dict[str, Any] = {"detector": DETECTOR, "looks_for": LOOKS_FOR, "model": model.name}
    gate = _gate(seen, info, rules)
    if gate and gate[0].code == "picture_too_small":
        rate = stated_rate(card.thresholds, Kind.PHOTO, None)
        return Finding(level=Level.NOT_ANALYSABLE, p_fake=None, reasons=tuple(gate), error_rate=rate, **shared)
    logit = combined(logits)
    evidence = rules.evidence(logit)
    level, why = level_of(evidence, 1, rules)
    if level is Level.NONE_FOUND:
        why = reason("picture_below_all", why.measured, why.limit)
    reasons: tuple[Reason, ...] = (why,)
    if gate:
        level, reasons = Level.INCONCLUSIVE, (*gate, why)
    return Finding(
        level=level,
        p_fake=p_fake(evidence, 1, prior),
        reasons=reasons,
        error_rate=stated_rate(card.thresholds, Kind.PHOTO, level),
        measured={"logit": logit, **_measured(logits), **shown_lines(rules)},
        frames_sampled=1,
        **shared,
    )


def combined(logits: list[float]) -> float:
    """One logit for a picture: the mean of the whole's and that of its parts; the whole's where there are none."""
    whole, parts = logits[0], logits[1:]
    return float((whole + np.mean(parts)) / 2) if parts else whole


def _gate(seen: PictureViews, info: MediaInfo, rules: Rules) -> list[Reason]:
    """Why this picture is outside what the model was tested on; empty when it is inside; one that never came: 0 px."""
    if seen.short_px < rules.gate["min_side_px"]:
        return [reason("picture_too_small", seen.short_px, rules.gate["min_side_px"])]
    found = []
    if info.container in PALETTES:
        found.append(reason("few_colours", PALETTES[info.container], PALETTES[info.container]))
    if seen.short_px < rules.gate["small_side_px"]:
        found.append(reason("picture_small", seen.short_px, rules.gate["small_side_px"]))
    luma = float(np.mean(seen.views[0]))
    if luma < rules.gate["min_luma"]:
        found.append(reason("picture_dark", luma, rules.gate["min_luma"]))
    return found


def _measured(logits: list[float]) -> dict[str, float]:
    measured = {"views": float(len(logits)), "logit_whole": logits[0]}
    return measured | ({"logit_parts": float(np.mean(logits[1:]))} if len(logits) > 1 else {})
