"""Pairs of one real crop and a forgery of it, both sent through the same law of degradation.

Equal numbers of real and fake of the same original in every batch, sources in stated shares: the network can learn
neither who, nor where, nor which file format is fake. A pair is drawn from the seed and its number alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fakelab.data.store import FaceStore
from fakelab.errors import TrainingError, unknown_name
from fakelab.records import Image
from fakelab.training.augment import AUGMENTS
from fakelab.training.blend import Mask, cross_blend, face_mask, nearest_pose, paste, self_blend

KINDS = ("self", "cross", "twin_blend", "twin_whole", "given")
"""Self-blended; another person's face blended in; a twin blended in; a whole twin; a forgery that the data brought."""
FACE_KINDS = ("self", "cross", "twin_blend")
"""Those whose masks follow a face."""
Pair = tuple[str, Image, Image, tuple[Mask, Mask]]
_POSES = 1500


class PairSource:
    """`pair(number)` -> (kind, real, fake, (real's mask, fake's mask)); masks are (S, S) float32, zero for the real."""

    def __init__(
        self,
        store: FaceStore,
        twins: Path | None,
        split: str,
        kinds: dict[str, float],
        sources: dict[str, float],
        augment: str,
        seed: int,
    ) -> None:
        self.store, self.seed, self.split = store, seed, split
        self.augment = AUGMENTS[augment]
        wanted = (store.split == split) & store.good()
        self.reals = np.flatnonzero(wanted & ~store.fake)
        self.usable = len(self.reals) > 0
        if not self.usable:
            if split == "train":
                raise TrainingError(
                    "there is nothing to train on", "the store holds no clear real face of split train", ""
                )
            return
        self.twin_at: dict[int, int] = {}
        self.twin_crops: NDArray[np.uint8] | None = None
        if twins is not None:
            self._open_twins(twins)
        self.by_group: dict[tuple[str, str], list[int]] = {}
        for row in self.reals:
            self.by_group.setdefault((str(store.source[row]), str(store.group[row])), []).append(int(row))
        fakes = np.flatnonzero((store.split == split) & store.fake & (store.score >= 0.6))
        self.given = self._by_source(fakes)
        self.source_names, self.source_shares = self._shares(sources)
        self.rows_of = {name: self.reals[store.source[self.reals] == name] for name in self.source_names}
        self.twin_rows_of = {
            name: np.array([r for r in rows if int(r) in self.twin_at], dtype=np.int64)
            for name, rows in self.rows_of.items()
        }
        self.kinds, self.kind_shares = self._kinds(kinds)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows of the store that pairs may be made of, in their order: what is learnt from."""
        return np.unique(np.concatenate([*self.rows_of.values(), *self.given]))

    def _by_source(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The rows of each source that has at least 10 of them, so that a handful is not shown again and again."""
        parts = [rows[self.store.source[rows] == name] for name in np.unique(self.store.source[rows])]
        return [part for part in parts if len(part) >= 10]

    def _open_twins(self, folder: Path) -> None:
        try:
            rows = np.load(folder / "rows.npy")
            done = int((folder / "done.txt").read_text())
            self.twin_crops = np.load(folder / "twins.npy", mmap_mode="r")
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"{folder} holds no twins", str(error), "Make them with `fakelab train --make-twins`."
            ) from error
        told = folder / "store.txt"
        if told.is_file() and told.read_text(encoding="utf-8") != self.store.sha256:
            raise TrainingError(f"the twins in {folder} are of another store", "", "Make them anew for this store.")
        mine = set(self.reals.tolist())
        self.twin_at = {int(row): at for at, row in enumerate(rows[:done]) if int(row) in mine}

    def _shares(self, sources: dict[str, float]) -> tuple[list[str], NDArray[np.float64]]:
        for name in sources:
            if name not in self.store.source:
                raise unknown_name("source", name, map(str, np.unique(self.store.source)))
        names, counts = np.unique(self.store.source[self.reals], return_counts=True)
        weights = np.array([sources.get(str(n), 0.0) for n in names]) if sources else np.sqrt(counts)
        kept = [(str(n), float(w)) for n, w in zip(names, weights, strict=True) if w > 0]
        if not kept:
            raise TrainingError(
                "no source of real faces is left", f"the store holds {', '.join(map(str, names))}", "Name one."
            )
        shares = np.array([w for _, w in kept])
        return [n for n, _ in kept], shares / shares.sum()

    def _kinds(self, kinds: dict[str, float]) -> tuple[list[str], NDArray[np.float64]]:
        """The kinds that this data can serve."""
        have = {
            "twin_blend": bool(self.twin_at),
            "twin_whole": bool(self.twin_at),
            "given": bool(self.given),
            "cross": len(self.reals) > 20 and len(np.unique(self.store.group[self.reals])) > 1,
        }
        kept = [(kind, share) for kind, share in kinds.items() if share > 0 and have.get(kind, True)]
        if not kept:
            raise TrainingError("no kind of forgery can be made", f"asked for: {', '.join(kinds)}", "Add 'self'.")
        shares = np.array([share for _, share in kept])
        return [kind for kind, _ in kept], shares / shares.sum()

    def pair(self, number: int) -> Pair:
        """The pair of this number."""
        rng = np.random.default_rng((self.seed, number))
        kind = self.kinds[int(rng.choice(len(self.kinds), p=self.kind_shares))]
        real, fake, mask = self._forge(kind, rng)
        real_out, real_mask = self.augment(real, np.zeros(real.shape[:2], np.float32), rng)
        fake_out, fake_mask = self.augment(fake, mask, rng)
        return kind, real_out, fake_out, (real_mask, fake_mask)

    def _forge(self, kind: str, rng: np.random.Generator) -> tuple[Image, Image, Mask]:
        store = self.store
        if kind == "given":
            shares = np.sqrt([len(part) for part in self.given])
            row = int(rng.choice(self.given[int(rng.choice(len(self.given), p=shares / shares.sum()))]))
            # A source that brings forgeries alone is set against a real crop from anywhere.
            same = self.by_group.get((str(store.source[row]), str(store.group[row])))
            real_row = int(rng.choice(same)) if same else self._draw_row(rng, twin=False)
            real, fake = np.array(store.crops[real_row]), np.array(store.crops[row])
            return real, fake, np.ones(real.shape[:2], np.float32)
        row = self._draw_row(rng, twin=kind.startswith("twin"))
        real = np.array(store.crops[row])
        points, mesh = store.points[row], store.mesh[row]
        if kind == "self":
            return real, *self_blend(real, points, mesh, rng)
        if kind == "cross":
            others = rng.choice(self.reals, min(_POSES, len(self.reals)), replace=False)
            others = others[store.group[others] != store.group[row]]
            if not len(others):
                return real, *self_blend(real, points, mesh, rng)
            other = int(others[nearest_pose(points, store.points[others], rng)])
            return real, *cross_blend(real, points, mesh, np.array(store.crops[other]), store.points[other], rng)
        assert self.twin_crops is not None
        twin = np.array(self.twin_crops[self.twin_at[row]])
        if kind == "twin_whole":
            return real, twin, np.ones(real.shape[:2], np.float32)
        mask = face_mask(real.shape[0], points, mesh, rng)
        return real, paste(real, twin, mask), mask

    def _draw_row(self, rng: np.random.Generator, *, twin: bool) -> int:
        name = self.source_names[int(rng.choice(len(self.source_names), p=self.source_shares))]
        rows = self.twin_rows_of[name] if twin and len(self.twin_rows_of[name]) else self.rows_of[name]
        if twin and not len(self.twin_rows_of[name]):
            rows = np.array(list(self.twin_at))
        return int(rng.choice(rows))
