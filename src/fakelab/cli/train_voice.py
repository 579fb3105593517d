"""``fakelab train-voice``: clips whose truth is known, a speech recogniser's encoder -> a voice model with its card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fakelab.cli.terminal import bar, make_app, safe, warn
from fakelab.cli.train import require_extra

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fakelab.data.manifest import Row

app = make_app("Train a model that tells generated voices.")


@app.command()
def train_voice(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="CSV or Parquet of sound files: path, label, source, group, ...")
    ],
    encoder: Annotated[
        Path, typer.Option("--encoder", metavar="FILE", help="model.bin of Whisper tiny.en, as CTranslate2 has it.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Features and the model; a run that was cut off goes on.")
    ],
    vocoder: Annotated[
        Path | None,
        typer.Option("--vocoder", metavar="FILE", help="HiFi-GAN in ONNX: makes a twin of every genuine clip."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of everything drawn.")] = 0,
) -> int:
    """Fit a voice model to clips of several sources, and measure it on sources left out.

    The first 4 s of every clip count, once as they are and once through a random room, noise and codec. Files of split
    test are left alone. What could not be used is listed in skipped.csv. The model's card holds calibration and lines,
    each source judged without itself: use it with fakelab analyze --voice-model FOLDER.
    """
    require_extra()
    from fakelab.data.manifest import read_manifest, refuse_leaks
    from fakelab.models.card import sha256_of
    from fakelab.training.voice import read_whisper
    from fakelab.training.voice_run import SKIPPED, rows_of, train_voice
    from fakelab.training.voice_twin import neural_vocoder

    listed = read_manifest(manifest)
    refuse_leaks(listed.rows, str(manifest))
    clips = [row for row in listed.rows if row.split != "test"]
    features = read_whisper(encoder)
    twin = None if vocoder is None else neural_vocoder(vocoder)
    made_from = [listed.sha256, sha256_of(encoder), "" if vocoder is None else sha256_of(vocoder)]
    with bar("Training") as progress:
        tested, trained = rows_of(
            clips,
            features,
            out,
            twin=twin,
            seed=seed,
            work=" ".join(made_from),
            progress=lambda done, total: progress("listening", done, total),
        )
        progress("leaving sources out", 0, None)
        folder = out / "model"
        facts = _facts(out.resolve().name, clips, listed.sha256, twins=int(trained.twin.sum()), seed=seed)
        train_voice(tested, trained, features, folder, facts=facts, seed=seed)
    _tell(folder, out / SKIPPED)
    return 0


def _facts(name: str, clips: Sequence[Row], sha256: str, *, twins: int, seed: int) -> dict[str, Any]:
    """What the card says of data and training."""
    fakes, sources = sum(row.fake for row in clips), sorted({row.source for row in clips})
    terms = sorted({row.licence for row in clips if row.licence})
    return {
        "name": name,
        "version": "0.1.0",
        "summary": "Layers of Whisper tiny.en and spectral statistics under a linear head, by `fakelab train-voice`.",
        "architecture": "whisper_tiny_linear",
        "task": "Is the voice in these four seconds of speech synthesised, cloned or converted?",
        "training": {"manifest_sha256": sha256, "clips": len(clips), "twins": twins, "seed": seed},
        "data": (
            {
                "name": f"{len(clips) - fakes} genuine and {fakes} generated clips of {', '.join(sources)}",
                "use": "training; calibration, lines and every number by sources left out",
                "licence": "; ".join(terms) or "not stated",
            },
        ),
        "metrics": {},
        "weak_spots": ("Whatever the sources listed here do not hold.",),
        "licence": "not stated",
    }


def _tell(folder: Path, skipped: Path) -> None:
    from fakelab.models.card import read_card

    card = read_card(folder / "card.json")
    left_out = max(0, len(skipped.read_text(encoding="utf-8").splitlines()) - 1)
    if left_out:
        warn(f"{left_out} clips could not be used: see {safe(str(skipped))}")
    print(f"AUC {card.metrics['auc']}, EER {card.metrics['eer']}, of clips and copies of sources left out.")
    print(card.thresholds["audio"]["error_rates"]["all"])
    print(f"Use the model with: fakelab analyze --voice-model {safe(str(folder))} FILE")
