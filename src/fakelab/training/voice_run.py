"""A manifest of clips -> a voice model: features, degraded copies, twins, sources left out, lines, weights and card."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fakelab.data.manifest import Row, replace_file
from fakelab.errors import MediaError, TrainingError
from fakelab.evaluation.metrics import auc, eer, with_interval
from fakelab.media.audio import Samples, levelled, speech_in, windows
from fakelab.training.voice import VoiceFeatures, features_of
from fakelab.training.voice_head import Floats, HeadConfig, Rows, fit_head, left_out_logits
from fakelab.training.voice_ship import calibrated, lines, write_voice
from fakelab.training.voice_twin import Random, degraded

SHORTEST = 8000
"""Samples without silence, half a second: a clip with less is left out."""
FEATURES, SKIPPED = "features.npz", "skipped.csv"
SAVE_EVERY = 50
TwinMaker = Callable[[Samples, Random], Samples]
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class _Heard:
    """What was computed so far: one entry a row of features, and the clips that gave none."""

    features: list[Floats] = field(default_factory=list)
    clip: list[int] = field(default_factory=list)
    stage: list[int] = field(default_factory=list)
    """0 the clip, 1 its degraded copy, 2 its twin."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    done: int = 0


def rows_of(
    clips: Sequence[Row],
    features: VoiceFeatures,
    folder: Path,
    *,
    twin: TwinMaker | None = None,
    seed: int = 0,
    work: str = "",
    progress: Progress | None = None,
) -> tuple[Rows, Rows]:
    """Rows of the clips and of one degraded copy of each, to be tested; and these with twins, to be trained on.

    Features lie in `folder`, and a run that was cut off goes on; `work` names what they are made from, and those of
    other work are made anew. A clip that cannot be read or holds too little speech is listed in skipped.csv.
    Raises TrainingError where fewer than two sources hold both classes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = f"{work}, {len(clips)} clips, seed {seed}, {'with' if twin else 'without'} twins"
    heard = _resumed(folder / FEATURES, named)
    for number in range(heard.done, len(clips)):
        _hear(clips[number], number, features, twin, seed, heard)
        heard.done = number + 1
        if progress:
            progress(heard.done, len(clips))
        if heard.done % SAVE_EVERY == 0 or heard.done == len(clips):
            _keep(folder / FEATURES, named, heard)
    _write_skipped(folder / SKIPPED, heard.skipped)
    stage = np.array(heard.stage)
    found = [
        (x, clips[at].fake or kind == 2, clips[at].source, kind == 2)
        for x, at, kind in zip(heard.features, heard.clip, heard.stage, strict=True)
    ]
    _refuse_one_sided([found[at] for at in np.flatnonzero(stage == 0)])
    return _rows([each for each in found if not each[3]]), _rows(found)


def train_voice(
    tested: Rows,
    trained: Rows,
    features: VoiceFeatures,
    folder: Path,
    *,
    facts: dict[str, Any],
    config: HeadConfig | None = None,
    seed: int = 0,
) -> Path:
    """Writes weights and card to `folder`: numbers by sources left out, the head from all. Returns the folder.

    `facts` are the card's fields that no number decides; `metrics` gains `auc` and `eer` of clips and copies pooled.
    Below an AUC of .8 no line gives strong evidence.
    """
    logits = left_out_logits(tested, trained, config, seed)
    calibration = calibrated(logits, tested.fake)
    p = 1 / (1 + np.exp(-(calibration["slope"] * logits + calibration["offset"])))
    pooled = with_interval(auc, logits, tested.fake, tested.source.tolist(), rounds=200)
    metrics = {**facts.get("metrics", {}), "auc": str(pooled), "eer": f"{eer(logits, tested.fake):.3f}"}
    return write_voice(
        features,
        fit_head(trained, config),
        folder,
        calibration=calibration,
        thresholds=lines(p, tested.fake, tested.source, experimental=pooled.value < 0.8),
        facts={**facts, "metrics": metrics},
    )


def _hear(clip: Row, number: int, features: VoiceFeatures, twin: TwinMaker | None, seed: int, heard: _Heard) -> None:
    """The features of a clip's first window, of a degraded copy, and of a genuine one's twin."""
    try:
        window = next(windows(clip.path), None)
    except MediaError as error:
        heard.skipped.append((str(clip.path), str(error)))
        return
    if window is None:
        heard.skipped.append((str(clip.path), "no sound"))
        return
    samples = levelled(window.samples)
    if speech_in(window.samples).reason == "silence" or len(samples) < SHORTEST:
        heard.skipped.append((str(clip.path), "silence, or less than half a second of sound"))
        return
    made = [samples, degraded(samples, np.random.default_rng((seed, number, 1)))]
    if twin is not None and not clip.fake:
        made.append(twin(samples, np.random.default_rng((seed, number, 2))))
    for stage, wave in enumerate(made):
        # A copy may lose what a codec takes for silence; its clip then stands for it, a twin is left out.
        if len(wave) < SHORTEST and stage == 2:
            continue
        heard.features.append(features_of(features, wave if len(wave) >= SHORTEST else samples).astype(np.float64))
        heard.clip.append(number)
        heard.stage.append(stage)


def _resumed(path: Path, named: str) -> _Heard:
    """What an earlier run left, if it was of this very work."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["work"]) != named:
                return _Heard()
            skipped = [(str(file), str(why)) for file, why in kept["skipped"]]
            return _Heard(
                list(kept["features"].astype(np.float64)),
                kept["clip"].tolist(),
                kept["stage"].tolist(),
                skipped,
                int(kept["done"]),
            )
    except (OSError, ValueError, KeyError):
        return _Heard()


def _keep(path: Path, named: str, heard: _Heard) -> None:
    part = path.with_name(f"{path.stem}.part.npz")
    np.savez(
        part,
        work=np.array(named),
        features=np.array(heard.features, np.float32),
        clip=np.array(heard.clip, np.int64),
        stage=np.array(heard.stage, np.int64),
        skipped=np.array(heard.skipped, dtype=np.str_).reshape(-1, 2),
        done=np.array(heard.done),
    )
    part.replace(path)


def _write_skipped(path: Path, skipped: Sequence[tuple[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("path", "why"))
    writer.writerows(skipped)
    replace_file(path, text.getvalue().encode("utf-8"))


def _refuse_one_sided(clips: Sequence[tuple[Floats, bool, str, bool]]) -> None:
    """A source with one class only says nothing about voices: two sources with both are the least."""
    kinds: dict[str, set[bool]] = {}
    for _, fake, source, _ in clips:
        kinds.setdefault(source, set()).add(fake)
    both = sum(len(each) == 2 for each in kinds.values())
    if both < 2:
        raise TrainingError(
            "there is too little to train a voice model on",
            f"{both} of {len(kinds)} sources hold clips of both classes that could be used",
            "Give at least two sources with genuine and generated clips each.",
        )


def _rows(found: Sequence[tuple[Floats, bool, str, bool]]) -> Rows:
    features, fake, source, twin = zip(*found, strict=True)
    return Rows(np.stack(features), np.array(fake), np.array(source), np.array(twin))
