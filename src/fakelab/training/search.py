"""Random search with successive halving: a space of settings -> trials -> the best configuration, chosen on `val`.

Every trial is trained to the first budget; the best share of them on val AUC goes on to the next from its checkpoint
(Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter optimization"). Trials run one
after another.

The schedule: each trial's warm-up and cosine are laid out over the last budget from its first step, and a rung only
stops it early. So a trial that goes on continues its own curve, and the winner is what `fakelab train` makes of
best.toml, not the sum of several restarts. What this costs: at the early rungs no learning rate has come down yet;
trials are compared there by the moving average of their numbers, which a high rate disturbs less.

All trials have one seed, hence the same draws from the store and the same pairs of `val`. Nothing here opens `test`.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fakelab.data.store import open_store
from fakelab.errors import TrainingError
from fakelab.training.loop import TrainConfig, Trainer
from fakelab.training.networks import check_start
from fakelab.training.space import Space

BUDGETS = (100, 300, 900)
TRIALS = 27
KEEP = 1 / 3
Progress = Callable[[str, int, int | None], None]
"""progress(stage, done steps, all steps)."""
_MAY_CHANGE = ("store", "twins", "threads", "save_every")
"""What does not change a trial: where things lie (the store itself is told by its hash), and how it is worked on."""


@dataclass(slots=True)
class Trial:
    """One configuration: what was drawn, its val AUC at each budget it reached, and why it failed if it did."""

    number: int
    drawn: dict[str, Any]
    auc: dict[int, float] = field(default_factory=dict)
    failed: str = ""

    @property
    def steps(self) -> int:
        """The largest budget at which it was checked."""
        return max(self.auc, default=0)

    @property
    def last_auc(self) -> float:
        """Val AUC there; NaN before the first."""
        return self.auc.get(self.steps, math.nan)


class Search:
    """One search in one folder: `run` does what is not done yet.

    The folder holds search.json (the plan and every result, written after each), results.csv, trials/NNN, and in the
    end parallel.png and best.toml.
    """

    def __init__(
        self,
        space: Space,
        folder: Path,
        *,
        trials: int = TRIALS,
        budgets: Sequence[int] = BUDGETS,
        keep: float = KEEP,
        seed: int = 0,
        log: Callable[[str], None] = print,
        progress: Progress = lambda stage, done, total: None,
    ) -> None:
        if trials < 1:
            raise TrainingError("a search needs trials", f"{trials} were asked for", "Give --trials N.")
        if not budgets or list(budgets) != sorted({each for each in budgets if each > 0}):
            raise TrainingError(
                f"the budgets cannot be {', '.join(map(str, budgets)) or 'none'}", "each must be above the one before",
                "Give steps in rising order, as --budgets 100,300,900.",
            )  # fmt: skip
        if not 0 < keep < 1:
            raise TrainingError(f"the share that goes on cannot be {keep:g}", "", "Give --keep between 0 and 1.")
        self.space, self.folder, self.budgets, self.keep, self.seed = space, folder, tuple(budgets), keep, seed
        self.log, self.progress = log, progress
        self._open(trials)
        counts = [len(self.trials)]
        for _ in self.budgets[1:]:
            counts.append(max(1, math.ceil(counts[-1] * keep - 1e-9)))
        self.counts = counts
        """How many trials run to each budget."""

    # -- the story ---------------------------------------------------------------------------------------------

    def run(self) -> Trial:
        """The best trial at the last budget. Raises TrainingError when every trial of a rung failed."""
        self._check_starts()
        for rung, budget in enumerate(self.budgets):
            alive = self._alive(rung)
            for place, trial in enumerate(alive):
                if budget not in trial.auc and not trial.failed:
                    self._train(
                        trial, rung, f"rung {rung + 1} of {len(self.budgets)}, trial {place + 1} of {len(alive)}"
                    )
                    self._write()
                self._forget_checkpoints(rung, alive)
            self._figure()
            if not self._ranked(budget):
                why = "; ".join(f"trial {each.number}: {each.failed}" for each in alive[:3])
                raise TrainingError(f"every trial failed before step {budget}", why, "Choose another space.")
        best = self._ranked(self.budgets[-1])[0]
        write_toml(self.config(best), self.folder / "best.toml")
        return best

    def config(self, trial: Trial) -> TrainConfig:
        """The trial's whole configuration, as long as the last budget."""
        return self.space.config(trial.drawn, self.budgets[-1], self.seed)

    def trial_folder(self, trial: Trial) -> Path:
        """Where its checkpoint and curves lie."""
        return self.folder / "trials" / f"{trial.number:03d}"

    def _train(self, trial: Trial, rung: int, stage: str) -> None:
        budget = self.budgets[rung]
        before = sum(each.steps for each in self.trials if each is not trial)
        total = sum(n * (b - a) for n, a, b in zip(self.counts, (0, *self.budgets), self.budgets, strict=False))
        trainer = Trainer(self.config(trial), self.trial_folder(trial), log=lambda line: None)
        if rung == 0 and trial is self.trials[0]:
            self._tell_of_val(trainer)
        trainer.log = lambda line: self.progress(stage, before + trainer.step, total)
        try:
            trainer.run(until=budget)
        except TrainingError as error:
            trial.failed = error.what
            self.log(f"{stage}: failed: {error.what}")
            return
        trial.auc[budget] = trainer.val_auc()
        best = self._ranked(budget)[0]
        drawn = ", ".join(f"{name} {value}" for name, value in trial.drawn.items())
        self.log(
            f"{stage}: val AUC {trial.last_auc:.3f} at step {budget} (best {best.last_auc:.3f}, trial {best.number});"
            f" {drawn}"
        )

    def _alive(self, rung: int) -> list[Trial]:
        """The trials of a rung: all, or the best of the rung before."""
        return self.trials if rung == 0 else self._ranked(self.budgets[rung - 1])[: self.counts[rung]]

    def _ranked(self, budget: int) -> list[Trial]:
        """What was checked at this budget, best first; of equals the one drawn first."""
        return sorted((t for t in self.trials if budget in t.auc), key=lambda t: (-t.auc[budget], t.number))

    def _forget_checkpoints(self, rung: int, alive: list[Trial]) -> None:
        """Drops checkpoints that are needed no more: of trials that failed or can no longer be among the best."""
        budget, last = self.budgets[rung], rung + 1 == len(self.budgets)
        kept = self._ranked(budget)[: 1 if last else self.counts[rung + 1]]
        for trial in alive:
            if trial.failed or (budget in trial.auc and trial not in kept):
                (self.trial_folder(trial) / "checkpoint.safetensors").unlink(missing_ok=True)

    def _check_starts(self) -> None:
        """Before the first step: that each start can be had, and that there is a `val` to choose by."""
        store = open_store(Path(str(self.space.fixed.get("store", ""))))
        if not ((store.split == "val") & store.good() & ~store.fake).any():
            raise TrainingError(
                "there is nothing to choose by", "the store holds no clear real face of split val",
                "Split the manifest with a share for val.",
            )  # fmt: skip
        if all(self.budgets[0] in trial.auc or trial.failed for trial in self.trials):
            return
        configs = [self.config(trial) for trial in self.trials]
        for network, init, tune, head in dict.fromkeys((c.network, c.init, c.tune, c.head) for c in configs):
            check_start(network, init=init, tune=tune, head=head)

    def _tell_of_val(self, trainer: Trainer) -> None:
        missing = [kind for kind in trainer.config.kinds if kind not in trainer.val_pairs.kinds]
        if missing:
            served = ", ".join(trainer.val_pairs.kinds)
            why = " (val needs ten forgeries of a source)" if "given" in missing else ""
            self.log(f"val cannot serve {', '.join(missing)}{why}: the search chooses by {served} alone")

    # -- what is kept ------------------------------------------------------------------------------------------

    def _open(self, trials: int) -> None:
        store = str(self.space.fixed.get("store", ""))
        if not store:
            raise TrainingError("there is nothing to train on", "no face store was named", "Give --store FOLDER.")
        fixed = {key: value for key, value in self.space.fixed.items() if key not in _MAY_CHANGE}
        plan = {
            "store": open_store(Path(store)).sha256, "twins": bool(self.space.fixed.get("twins")), "fixed": fixed,
            "axes": [asdict(axis) for axis in self.space.axes], "trials": trials, "budgets": list(self.budgets),
            "keep": self.keep, "seed": self.seed,
        }  # fmt: skip
        self.plan: dict[str, Any] = json.loads(json.dumps(plan))
        path = self.folder / "search.json"
        if path.is_file():
            self.trials = self._read(path)
            done = sum(len(trial.auc) for trial in self.trials)
            self.log(f"resumed: {done} trainings of this search are done")
            return
        self.trials = [Trial(number, drawn) for number, drawn in enumerate(self.space.draw(trials, self.seed))]
        if len(self.trials) < trials:
            self.log(f"the space has only {len(self.trials)} different trials")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write()

    def _read(self, path: Path) -> list[Trial]:
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            plan = told["plan"]
            trials = [
                Trial(each["trial"], each["drawn"], {int(k): v for k, v in each["val_auc"].items()}, each["failed"])
                for each in told["trials"]
            ]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingError(f"{path} cannot be read", str(error), "Choose another --out folder.") from error
        changed = [f"{key} {plan.get(key)} -> {value}" for key, value in self.plan.items() if plan.get(key) != value]
        if changed:
            raise TrainingError(
                f"the search in {self.folder} was begun with other choices", "; ".join(changed),
                "Choose another --out folder, or give the same choices.",
            )  # fmt: skip
        return trials

    def _write(self) -> None:
        rows = [
            {"trial": t.number, "drawn": t.drawn, "val_auc": {str(k): v for k, v in t.auc.items()}, "failed": t.failed}
            for t in self.trials
        ]
        _replace(self.folder / "search.json", json.dumps({"plan": self.plan, "trials": rows}, indent=1) + "\n")
        _replace(self.folder / "results.csv", self._table())

    def _table(self) -> str:
        """Trials, those that came furthest first, then by val AUC. No times: equal searches write equal tables."""
        out = io.StringIO()
        names = [axis.name for axis in self.space.axes]
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("trial", *names, *(f"val_auc_{budget}" for budget in self.budgets), "steps", "failed"))
        for t in sorted(self.trials, key=lambda t: (-t.steps, -t.last_auc if t.auc else 0.0, t.number)):
            scores = (f"{t.auc[budget]:.5f}" if budget in t.auc else "" for budget in self.budgets)
            writer.writerow((t.number, *(t.drawn[name] for name in names), *scores, t.steps, t.failed))
        return out.getvalue()

    def _figure(self) -> None:
        from fakelab.training.parallel import draw_parallel

        scored = [trial for trial in self.trials if trial.auc]
        if scored:
            rows = [(trial.drawn, trial.auc) for trial in scored]
            draw_parallel(self.space.axes, rows, self.budgets, self.folder / "parallel.png")


def write_toml(config: TrainConfig, path: Path) -> None:
    """The configuration as `fakelab train --config` reads it: every setting, so that later defaults change nothing."""
    values = asdict(config)
    lines = [f"{name} = {_toml(value)}" for name, value in values.items() if not isinstance(value, dict)]
    for name, table in values.items():
        if isinstance(table, dict):
            lines += ["", f"[{name}]", *(f"{_toml(key)} = {_toml(value)}" for key, value in table.items())]
    _replace(path, "\n".join(lines) + "\n")


def _toml(value: str | int | float) -> str:
    # TOML's basic strings are JSON's, but for DEL, which must be escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _replace(path: Path, text: str) -> None:
    """Written whole or not at all, whatever kills us."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
