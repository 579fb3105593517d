"""The founding study once more: which network, trained on which stream, finds the forgeries of which stream.

    python examples/founding_study.py DATA --out FOLDER          # the study; goes on where it was cut off
    python examples/founding_study.py --quick --out FOLDER       # the same road on made pictures, in seconds

DATA holds two streams: `wild/` (clips as they circulate: a table labels.csv, or folders real/ and fake/) and
`faceforensics/` (FaceForensics++ in its official layout); a manifest `wild.csv` or `ffpp.csv` goes before the folder.
Streams are split by identity and original. Every row of `ROWS` is trained on each stream and on both joined, and
measured on the test files of each by `fakelab.analyze`. Then the faults of 2020 are put back one by one. Written are
report.html, report.md and study.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fakelab.data.combine import combine_stores, write_combined
from fakelab.data.manifest import Row, read_manifest, write_manifest
from fakelab.data.prepare import Choices, prepare
from fakelab.data.sources import add
from fakelab.data.split import split_rows
from fakelab.data.store import open_store
from fakelab.errors import DataError
from fakelab.evaluation.document import Document, Figure, Section, Table, write_document
from fakelab.evaluation.metrics import accuracy, auc, with_interval
from fakelab.evaluation.plots import matrix_svg
from fakelab.evaluation.run import run
from fakelab.evaluation.tables import arrays
from fakelab.records import Image
from fakelab.training.loop import TrainConfig, Trainer
from fakelab.training.ship import from_checkpoint, ship
from founding_faults import Bench, faults

STREAMS = {"wild": "labels", "ffpp": "ffpp"}
"""Streams and the sets whose layout they have."""
FOLDERS = {"wild": "wild", "ffpp": "faceforensics"}
JOINED = "both"
SHARES = (0.6, 0.15, 0.25)

FOUNDING: dict[str, Any] = {
    "augment": "founding", "kinds": {"given": 1.0, "self": 1e-6}, "given_weight": 1.0, "patch_loss": 0.0,
    "label_smoothing": 0.0,
}  # fmt: skip
"""What all rows share: forgeries that came with the data alone, and no map to learn. The trace of self-blending serves
the trainer's own check where val has too few forgeries; checkpoints are not chosen by it."""
ROWS: dict[str, dict[str, Any]] = {
    "resnet18, all layers": {
        "network": "resnet18", "tune": "all", "learning_rate": 7e-5, "weight_decay": 0.1, "dropout": 0.75,
    },
    "resnet18, frozen backbone": {
        "network": "resnet18", "tune": "head", "learning_rate": 1e-3, "weight_decay": 0.1, "dropout": 0.75,
    },
    "CLIP tower, norms tuned": {"network": "clip_vit_b16", "tune": "norms", "learning_rate": 4e-4},
}  # fmt: skip
QUICK_ROWS: dict[str, dict[str, Any]] = {
    "tiny": {"network": "tiny", "learning_rate": 3e-3, "dropout": 0.5, "threads": 1}
}


@dataclass(frozen=True, slots=True)
class Study:
    """Where everything lies, and how much is done."""

    out: Path
    rows: dict[str, dict[str, Any]]
    steps: int
    pairs: int
    init: str
    seed: int
    jobs: int
    test_files: int
    """So many of each label and stream at most; 0 for all."""

    def config(self, name: str, store: Path, **changed: Any) -> TrainConfig:
        init = self.init if self.rows[name]["network"] == "resnet18" else ""
        chosen = {**FOUNDING, **self.rows[name], "init": init, **changed}
        every = max(1, self.steps // 6)
        return TrainConfig(
            store=str(store), steps=self.steps, pairs=self.pairs, warmup_steps=self.steps // 10, seed=self.seed,
            save_every=every, check_every=self.steps, check_pairs=min(60, 2 * self.pairs), **chosen,
        )  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    """The study from its command line; 0 when the report is written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("data", type=Path, nargs="?", help="folder with wild/ and faceforensics/, or their manifests")
    parser.add_argument("--out", type=Path, required=True, help="folder for stores, runs, results and the report")
    parser.add_argument("--steps", type=int, default=600, help="steps of each training")
    parser.add_argument("--pairs", type=int, default=16, help="pairs of a real and a forged crop in a step")
    parser.add_argument("--resnet-init", default="imagenet", help="imagenet, none, or a file of weights")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help=f"some of: {'; '.join(ROWS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="files analysed at a time")
    parser.add_argument("--test-files", type=int, default=0, help="at most so many of each label and stream; 0: all")
    parser.add_argument("--quick", action="store_true", help="on made pictures, with a tiny network")
    given = parser.parse_args(words)
    if given.quick:
        data = made_data(given.out / "made")
        study = Study(given.out, QUICK_ROWS, 6, 4, "", given.seed, 1, 2)
    else:
        if given.data is None:
            parser.error("name the folder of the data, or give --quick")
        unknown = set(given.rows or ()) - ROWS.keys()
        if unknown:
            parser.error(f"unknown rows: {', '.join(unknown)}")
        data = given.data
        rows = {name: ROWS[name] for name in given.rows or ROWS}
        study = Study(
            given.out, rows, given.steps, given.pairs, given.resnet_init, given.seed, given.jobs, given.test_files
        )
    written = conduct(study, data, trusted=given.quick)
    print(f"The study is in {written}.")
    return 0


def conduct(study: Study, data: Path, *, trusted: bool = False) -> Path:
    """Everything, top to bottom; the path of the report."""
    stores = make_stores(study, data, trusted)
    tested = {name: test_rows(study, name) for name in STREAMS}
    results: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in study.rows:
        for stream, store in stores.items():
            model = train(study, row, stream, store)
            every = [each for rows in tested.values() for each in rows]
            out = study.out / "results" / f"{model.parent.name}.jsonl"
            tell(f"{row}, trained on {stream}: measuring {len(every)} files")
            results[row, stream] = run(every, out, jobs=study.jobs, model=str(model), stability=False)
    first = next(iter(study.rows))
    bench = Bench(
        folder=study.out / "faults",
        config=lambda store, **changed: study.config(first, store, **changed),
        run=study.out / "runs" / run_name(first, JOINED),
        store=stores[JOINED],
        results=results[first, JOINED],
        seed=study.seed,
        tell=tell,
    )
    return write_report(study, results, faults(bench), first)


def tell(words: str) -> None:
    """One line of progress."""
    print(words, file=sys.stderr, flush=True)


def make_stores(study: Study, data: Path, trusted: bool) -> dict[str, Path]:
    """The face stores of both streams and of the joined one; what is there already is kept."""
    stores, manifests = {}, []
    for name, layout in STREAMS.items():
        manifest = study.out / f"{name}.csv"
        if not manifest.is_file():
            found = _found(data, name, layout)
            split = split_rows(found, SHARES, study.seed)
            write_manifest(split, manifest)
        stores[name] = study.out / f"{name}.store"
        tell(f"{name}: cutting faces")
        prepare(manifest, stores[name], choices=Choices(), trusted=trusted, workers=1 if trusted else 2)
        manifests.append(manifest)
    joined = study.out / f"{JOINED}.csv"
    if not joined.is_file():
        write_combined(manifests, joined)
    stores[JOINED] = study.out / f"{JOINED}.store"
    if not (stores[JOINED] / "index.npz").is_file():
        combine_stores([stores[name] for name in STREAMS], stores[JOINED])
    return stores


def _found(data: Path, name: str, layout: str) -> Sequence[Row]:
    """The rows of a stream: of its manifest, or of its folder."""
    if (data / f"{name}.csv").is_file():
        return read_manifest(data / f"{name}.csv").rows
    folder = data / FOLDERS[name]
    if not folder.is_dir():
        raise DataError(f"{data} has no stream '{name}'", f"there is neither {name}.csv nor {FOLDERS[name]}/", "")
    if layout == "labels" and not any((folder / table).is_file() for table in ("labels.csv", "metadata.csv")):
        layout = "folders"
    return add(layout, folder).rows


def test_rows(study: Study, stream: str) -> list[dict[str, str]]:
    """The test files of a stream as `evaluation.run` takes them, with the name of the stream."""
    rows = [row for row in read_manifest(study.out / f"{stream}.csv").rows if row.split == "test"]
    if study.test_files:
        parts = [[row for row in rows if row.fake is fake][: study.test_files] for fake in (False, True)]
        rows = [row for part in parts for row in part]
    kept = ("label", "source", "group", "forgery", "split")
    return [
        {"path": str(row.path), "stream": stream} | {name: str(getattr(row, name)) for name in kept} for row in rows
    ]


def run_name(row: str, stream: str) -> str:
    """The folder of a training."""
    return "".join(c if c.isalnum() else "-" for c in f"{row} {stream}").replace("--", "-")


class KeepingTrainer(Trainer):
    """A trainer that keeps every checkpoint, so that choosing among them can be studied."""

    def _save(self) -> None:
        super()._save()
        kept = self.folder / "kept" / f"{self.step:06d}"
        kept.mkdir(parents=True, exist_ok=True)
        (kept / "checkpoint.safetensors").write_bytes((self.folder / "checkpoint.safetensors").read_bytes())


def train(study: Study, row: str, stream: str, store: Path, **changed: Any) -> Path:
    """The model of a row trained on a stream, as a folder for `analyze`; trained, resumed or found."""
    folder = study.out / "runs" / run_name(row, stream)
    model = folder / "model"
    if (model / "card.json").is_file():
        return model
    tell(f"{row}, trained on {stream}")
    config = study.config(row, store, **changed)
    KeepingTrainer(config, folder, log=lambda line: None).run()
    network, _ = from_checkpoint(folder)
    return ship(network, config, model, name=folder.name, manifest_sha256=open_store(store).sha256)


def write_report(
    study: Study, results: dict[tuple[str, str], list[dict[str, Any]]], found: Sequence[Any], first: str
) -> Path:
    """The matrix, the faults and what was done, as report.html, report.md and study.json; the first one's path."""
    tested = [*STREAMS, JOINED]
    names = [f"{row}; {stream}" for row, stream in results]
    tables, numbers = [], []
    values: dict[str, list[list[float]]] = {"AUC": [], "accuracy": []}
    for (row, stream), each in results.items():
        cells: list[str] = []
        line: dict[str, list[float]] = {"auc": [], "accuracy": []}
        for where in tested:
            mine = [one for one in each if where in (one["stream"], JOINED)]
            scored = [one for one in mine if one["p_fake"] is not None]
            p, fake, groups = arrays(scored)
            area, right = with_interval(auc, p, fake, groups, rounds=500), accuracy(p, fake)
            cells.append(f"{area}, {right:.3f} ({len(scored)} of {len(mine)})")
            line["auc"].append(area.value)
            line["accuracy"].append(right)
            numbers.append({"row": row, "trained_on": stream, "tested_on": where, "accuracy": right,
                            "auc": dataclasses.asdict(area), "files": len(mine), "scored": len(scored)})  # fmt: skip
        values["AUC"].append(line["auc"])
        values["accuracy"].append(line["accuracy"])
        tables.append((f"{row}; {stream}", *cells))
    figures = tuple(
        Figure(f"study-{kind.lower()}", f"{kind}: rows are network and training stream, columns the test stream.",
               matrix_svg(names, tested, matrix, f"{kind} of the founding study"))
        for kind, matrix in values.items()
    )  # fmt: skip
    words = (
        "Each cell: AUC over files (95 % interval, drawn by group), accuracy at p_fake .5, and how many of the files"
        " could be scored. Test files share no person and no original with training; nothing was chosen on them.",
        f"{study.steps} steps of {study.pairs} pairs, seed {study.seed}, ResNet18 from {study.init or 'nothing'};"
        " augmentation of 2020. Not calibrated: the accuracy is that of the raw network's even odds.",
    )
    columns = ("network; trained on", *(f"tested on {name}" for name in tested))
    matrix = Section("The matrix", words, (Table(columns, tuple(tables)),), figures)
    rows = tuple((each.name, each.what, each.wrong, each.mended) for each in found)
    wrongs = Section(
        "The faults of 2020, one by one",
        (f"Each put back alone into: {first}, trained and tested on {JOINED}. Scores of crops of the store where the"
         " product's own road cannot make the mistake.",),
        (Table(("fault", "what is shown", "with the fault", "mended"), rows),),
    )  # fmt: skip
    page = write_document(Document("The founding study, repeated", (matrix, wrongs)), study.out)[0]
    told = {"matrix": numbers, "faults": [dataclasses.asdict(each) for each in found]}
    (study.out / "study.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return page


# -- made pictures ---------------------------------------------------------------------------------------------------


def made_data(folder: Path, people: int = 10) -> Path:
    """Two streams of made photos: one portrait in many tints, and copies with a coarse pattern laid over the face."""
    import cv2
    from skimage.data import astronaut

    portrait = np.asarray(astronaut())[0:300, 90:390]
    for number, stream in enumerate(STREAMS):
        rows = []
        for person in range(people):
            rng = np.random.default_rng((number, person))
            tint = rng.uniform(0.75, 1.1, 3)
            for copy in range(2):
                image = np.clip(portrait * tint + rng.uniform(-8, 8), 0, 255).astype(np.uint8)
                for label in ("real", "fake"):
                    path = folder / stream / f"{person}-{copy}-{label}.jpg"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    shown = image if label == "real" else _patterned(image, rng)
                    cv2.imwrite(str(path), np.ascontiguousarray(shown[:, :, ::-1]))
                    forgery = "pattern" if label == "fake" else ""
                    rows.append(Row(path, label, stream, str(person), forgery=forgery, original=str(person)))
        write_manifest(rows, folder / f"{stream}.csv")
    return folder


def _patterned(image: Image, rng: np.random.Generator) -> Image:
    out = image.astype(np.float32)
    grain = rng.choice([-18.0, 18.0], (20, 20, 1)).repeat(8, 0).repeat(8, 1)
    out[50:210, 60:220] += grain
    return np.asarray(np.clip(out, 0, 255), dtype=np.uint8)


if __name__ == "__main__":
    sys.exit(main())
