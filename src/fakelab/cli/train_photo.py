"""``fakelab train-photo``: photos whose truth is known -> a model of generated pictures with its card."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from fakelab.cli.terminal import bar, make_app, safe, warn
from fakelab.cli.train import require_extra

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fakelab.data.manifest import Row
    from fakelab.records import ModelCard

app = make_app("Train a model that tells generated photos.")
LEFT_OUT, TOKENS = "left_out.jsonl", "tokens.npz"
PRIOR = 0.5
"""What the settings say unless told otherwise; levels do not depend on it."""


@app.command()
def train_photo(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="CSV or Parquet of photos: path, label, source, group, forgery.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Views, features and the model; a run cut off goes on.")
    ],
    ridge: Annotated[
        float, typer.Option("--ridge", metavar="WEIGHT", min=0.001, help="How small the head's weights are kept.")
    ] = 0.2,
    highest: Annotated[
        str, typer.Option("--highest", metavar="LEVEL", help="moderate, or strong for a model that has proved itself.")
    ] = "moderate",
    copies: Annotated[
        bool,
        typer.Option("--copies/--no-copies", help="Learn from, and measure on, a degraded copy of each photo, too."),
    ] = True,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Decode without a confined process a file: fast; for sets you trust.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the parts that are left out.")] = 0,
) -> int:
    """Fit a model of generated photos, and measure it on sources and generators left out.

    The shared tower sees the square in the middle of every photo and a part of it at full size, and linear heads on
    what its blocks say are fitted in closed form: minutes, not hours. 'forgery' names the generator of a generated
    picture. Files of split test are left alone, what could not be read is listed in views/skipped.csv. left_out.jsonl
    holds what each picture scored with heads that knew neither its generator nor its source: calibration and lines come
    from these. Use the model with fakelab analyze --generated --picture-model FOLDER.
    """
    require_extra()
    import numpy as np

    from fakelab.data.manifest import read_manifest, refuse_leaks
    from fakelab.data.prepare import Choices, prepare
    from fakelab.data.store import open_store
    from fakelab.errors import unknown_name
    from fakelab.evaluation.calibrate import HIGHEST
    from fakelab.training import photo
    from fakelab.training.copies import write_copies

    listed = read_manifest(manifest)
    refuse_leaks(listed.rows, str(manifest))
    if highest not in HIGHEST:
        raise unknown_name("highest level", highest, HIGHEST)
    rows = [row for row in listed.rows if row.split != "test"]
    photo.check_enough(rows)
    views, originals = out / "views", list(range(len(rows)))
    with bar("Training") as progress:
        if copies:
            copied_to = write_copies(rows, out / "copies", trusted=trusted, progress=partial(progress, "making copies"))
            originals += [number for number, row in enumerate(copied_to) if row is not None]
            rows += [row for row in copied_to if row is not None]
        made = prepare(
            dataclasses.replace(listed, rows=tuple(rows)),
            views,
            choices=Choices(region="view", bursts=1, cuts=1),
            trusted=trusted,
            replace=True,
            progress=lambda done, total: progress("reading photos", done, total),
        )
        store = open_store(views)
        lost = {number for number, _ in made.skipped}
        # A copy of a file that cannot be used is none of ours.
        used = [number for number, original in enumerate(originals) if not lost & {number, original}]
        kept = [rows[number] for number in used]
        copied = np.array([originals[number] != number for number in used])
        photo.check_enough(kept)
        features = photo.features_of(
            store, kept, out / TOKENS, lambda done, total: progress("looking at photos", done, total)
        )
        progress("leaving generators and sources out", 0, None)
        logits = photo.left_out(features, kept, ridge=ridge, seed=seed)
        fake = np.array([row.fake for row in kept])
        head = photo.fit_head(features, fake, photo.weights_of(kept), ridge)
        folder = out / "model"
        seen = _Seen(kept, logits, *photo.seen_of(store, kept), copied)
        photo.write_head(head, folder, _facts(out.resolve().name, seen, listed.sha256, ridge=ridge, seed=seed))
        told = _calibrated(folder, seen, out / LEFT_OUT, highest)
    if unread := sum(originals[number] == number for number in lost):
        warn(f"{unread} photos could not be used: see {safe(str(views / 'skipped.csv'))}")
    for line in told:
        print(safe(line))
    print(f"Use the model with: fakelab analyze --generated --picture-model {safe(str(folder))} FILE")
    return 0


class _Seen(NamedTuple):
    """What was seen, an entry each: row, left-out logit, shorter side in px, mean luma 0..255, whether it is a copy."""

    rows: Sequence[Row]
    logits: NDArray[np.float64]
    sides_px: NDArray[np.float64]
    luma: NDArray[np.float64]
    copied: NDArray[np.bool_]


def _results(seen: _Seen, card: ModelCard) -> list[dict[str, Any]]:
    """The scores in the form that `fakelab evaluate` writes, judged by the card's lines and its gate."""
    from fakelab.records import Kind, Level
    from fakelab.verdict import level_of, p_fake, rules_of, shown_lines

    rules = rules_of(card.calibration, card.thresholds, card.gate, Kind.PHOTO, PRIOR)
    results = []
    for row, logit, side_px, luma, copied in zip(*seen, strict=True):
        evidence = rules.evidence(float(logit))
        level, why = level_of(evidence, 1, rules)
        small, dark = side_px < rules.gate["small_side_px"], luma < rules.gate["min_luma"]
        gate = [code for code, holds in (("picture_small", small), ("picture_dark", dark)) if holds]
        results.append(
            {
                **{name: str(getattr(row, name)) for name in ("path", "label", "source", "group", "forgery")},
                **{"kind": Kind.PHOTO.value, "detector": "generated_photo", "made_by": None, "people": 0},
                "level": (Level.INCONCLUSIVE if gate else level).value,
                **{"reasons": [*gate, why.code], "copy": bool(copied)},
                **{"logit": float(logit), "p_fake": p_fake(evidence, 1, PRIOR), "measured": shown_lines(rules)},
            }
        )
    return results


def _calibrated(folder: Path, seen: _Seen, kept: Path, highest: str) -> list[str]:
    """Writes the left-out scores to `kept`, and calibration, lines and metrics into the card; the lines to print."""
    from fakelab.data.manifest import replace_file
    from fakelab.evaluation.calibrate import calibrate_card
    from fakelab.evaluation.card import measured, weak_spots
    from fakelab.models.card import read_card, write_card

    def judged() -> list[dict[str, Any]]:
        results = _results(seen, read_card(folder / "card.json"))
        replace_file(kept, "".join(json.dumps(each) + "\n" for each in results).encode())
        return results

    judged()
    told = calibrate_card(folder, {"photo": kept}, highest=highest)
    results, card = judged(), read_card(folder / "card.json")
    metrics: dict[str, Any] = {}
    for name, mine in (("left_out", ~seen.copied), ("left_out, copies", seen.copied)):
        if mine.any():
            chosen = [each for each, wanted in zip(results, mine, strict=True) if wanted]
            metrics[name] = measured(chosen, card.thresholds)
    spots = (*weak_spots(metrics), *card.weak_spots)
    lines = [_told(name, row) for name, row in metrics.items()]
    metrics["protocol"] = "generator, source and family of a picture left out of what it is judged by"
    write_card(dataclasses.replace(card, metrics=metrics, weak_spots=spots), folder)
    return [*lines, *told]


def _told(name: str, row: dict[str, Any]) -> str:
    low, high = row.get("auc_interval", ("?", "?"))
    real, fake = (100 * row.get(f"{label}_at_moderate_or_strong", float("nan")) for label in ("real", "fake"))
    counts = f"{name}: {row['real']} genuine and {row['fake']} generated photos"
    area = f"AUC {row.get('auc', '?')} ({low} to {high})"
    return f"{counts}: {area}; evidence: {real:.1f} % of the genuine, {fake:.0f} % of the generated"


def _facts(name: str, seen: _Seen, sha256: str, *, ridge: float, seed: int) -> dict[str, Any]:
    """What the card says of data and training."""
    from fakelab.training.photo import generator_of

    rows = [row for row, copied in zip(seen.rows, seen.copied, strict=True) if not copied]
    copies = len(seen.rows) - len(rows)
    fakes, sources = sum(row.fake for row in rows), {row.source for row in rows}
    generators = sorted({generator_of(row) for row in rows if row.fake})
    terms = sorted({row.licence for row in rows if row.licence})
    return {
        "name": name,
        "version": "0.1.0",
        "summary": "Linear heads on tokens of the untouched CLIP ViT-B/16 image tower: wholly generated photos.",
        "task": "Was all of this photo made by a generator? Logits of the square in its middle, and of a part.",
        "training": {
            **{"network": "clip_vit_b16", "init": "clip", "tune": "head", "ridge": ridge, "seed": seed},
            **{"manifest_sha256": sha256, "photos": len(rows), "copies": copies},
        },
        "data": (
            {
                "name": f"{len(rows) - fakes} genuine and {fakes} generated photos of {len(sources)} sources;"
                f" generators: {', '.join(generators)}",
                "use": "training; calibration, lines and every number of left_out by generators and sources left out",
                "licence": "; ".join(terms) or "not stated",
            },
        ),
        "weak_spots": ("Pictures that were drawn, collages, screenshots: not tested.",),
        "licence": "not stated",
    }
