"""``fakelab train-lips``: clips of people who talk -> the maps by which lips are compared with sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fakelab.cli.terminal import bar, make_app, safe, warn
from fakelab.cli.train import require_extra

if TYPE_CHECKING:
    from fakelab.data.manifest import Row

app = make_app("Learn how lips go with sound (needs the extra 'train').")


@app.command()
def train_lips(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="CSV or Parquet of clips with sound: path, label, source, group.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="What was found, and the model; a run cut off goes on.")
    ],
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of everything drawn.")] = 0,
) -> int:
    """Learn from people who talk how lips go with sound, and measure it on sources left out.

    One person should be seen and heard in each clip; 'group' also names clips that share a sound. Files of split test
    are left alone. What could not be used is listed in skipped.csv. Labels decide which clips the lines are taken from:
    whether a clip is genuine is not what is learnt.
    """
    require_extra()
    from fakelab.data.manifest import read_manifest
    from fakelab.training.lips import SKIPPED, talkers_of, write_lips

    listed = read_manifest(manifest)
    rows = [row for row in listed.rows if row.split != "test"]
    with bar("Learning") as progress:
        talkers = talkers_of(rows, out / "found", lambda done, total: progress("looking at lips", done, total))
        progress("leaving sources out", 0, None)
        used = [each.row for each in talkers]
        card = write_lips(talkers, out / "model", _facts(out.resolve().name, used, listed.sha256, seed), seed)
    if len(used) < len(rows):
        warn(f"{len(rows) - len(used)} clips could not be used: see {safe(str(out / 'found' / SKIPPED))}")
    for name in ("genuine", "generated"):
        if name in card.metrics:
            told = card.metrics[name]
            print(f"{told['clips']} {name} clips: AUC {told['auc']}, shift right in {100 * told['shift_right']:.0f} %.")
    print(card.thresholds["video"]["error_rates"]["all"])
    print(f"The model is in {safe(str(out / 'model'))}.")
    return 0


def _facts(name: str, rows: Sequence[Row], sha256: str, seed: int) -> dict[str, Any]:
    """What the card says of data and training."""
    fakes, sources = sum(row.fake for row in rows), sorted({row.source for row in rows})
    of = f"{len(sources)} sources: {', '.join(sources)}"
    terms = sorted({row.licence for row in rows if row.licence})
    return {
        "name": name,
        "version": "0.1.0",
        "summary": "Canonical correlation of mouths and sound: do lips go with the voice, and how far apart are they?",
        "task": "How far does the correlation of lips and sound at the best shift rise over that at other shifts?",
        "training": {"manifest_sha256": sha256, "clips": len(rows), "seed": seed},
        "data": (
            {
                "name": f"{len(rows) - fakes} genuine and {fakes} generated clips of people who talk, of {of}",
                "use": "training; lines and every number by sources left out",
                "licence": "; ".join(terms) or "not stated",
            },
        ),
        "weak_spots": (
            "Faces seen from the side, small or in the dark; cuts; several voices; music; voices from off the picture.",
            "Generated talking heads go with their sound as well as genuine people do: this is no detector of them.",
        ),
        "licence": "not stated",
    }
