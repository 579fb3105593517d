# ruff: noqa: E402 (without torch the module is skipped before it imports what needs torch)
from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import urllib.error
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lab_maker as lab
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
for name in ("timm", "matplotlib", "sklearn", "onnxscript"):
    pytest.importorskip(name, reason="the extra 'train' is not installed")

from PIL import Image as PillowImage

from fakelab.cli import main
from fakelab.data.duplicates import read_known
from fakelab.errors import TrainingError, UnknownNameError
from fakelab.training import loop
from fakelab.training.loop import Trainer, read_config
from fakelab.training.parallel import draw_parallel, place, ticks
from fakelab.training.search import Search, write_toml
from fakelab.training.space import FOUNDING, Axis, Space, read_space

# From Python 3.12 on, a process with threads warns when it forks, as torch's loader does.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
SPACE = """
network = "tiny"
augment = "founding"
patch_loss = 0.0
check_pairs = 6
save_every = 1
threads = 1
head = ["linear", "hidden"]
dropout = [0.0, 0.5]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
pairs = { low = 1, high = 3 }
[kinds]
self = 1.0
"""
BUDGETS = (1, 2, 4)


@pytest.fixture(scope="module")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [row for split in ("train", "val", "test") for row in lab.people(split, 6)]
    return lab.save_store(lab.make_store(rows, lab.faces(len(rows), 32)), tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("space") / "space.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def space(store_folder: Path, file: Path) -> Space:
    return read_space(file, store=str(store_folder))


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing each trial's curves takes longer than its steps."""
    monkeypatch.setattr(loop, "draw_curves", lambda folder: None)


def quiet(line: str) -> None:
    pass


def made(space: Space, folder: Path, log: Callable[[str], None] = quiet, **more: Any) -> Search:
    return Search(space, folder, **{"trials": 4, "budgets": BUDGETS, "keep": 0.5, "seed": 3, "log": log} | more)


@pytest.fixture(scope="module")
def finished(store_folder: Path, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that nothing disturbed."""
    folder = tmp_path_factory.mktemp("finished")
    made(read_space(file, store=str(store_folder)), folder).run()
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


# -- the space -----------------------------------------------------------------------------------------------------


def test_one_seed_draws_the_same_trials_and_another_seed_others(space: Space) -> None:
    drawn = space.draw(6, 0)
    assert drawn == space.draw(6, 0)
    assert drawn[:3] == space.draw(3, 0), "more trials begin with the fewer"
    assert drawn != space.draw(6, 1)


def test_the_order_of_the_file_changes_no_trial(space: Space, store_folder: Path, tmp_path: Path) -> None:
    head, tail = SPACE.split("[kinds]")
    turned = tmp_path / "turned.toml"
    turned.write_text("\n".join(reversed(head.splitlines())) + "\n[kinds]" + tail)
    assert read_space(turned, store=str(store_folder)).draw(5, 0) == space.draw(5, 0)


def test_what_is_drawn_lies_in_the_space() -> None:
    even, log, whole = Axis("dropout", low=0.2, high=0.8), Axis("w", low=1e-3, high=10.0, log=True), Axis("p", low=2,
        high=5, whole=True)  # fmt: skip
    rng = np.random.default_rng(0)
    drawn = [(even.draw(rng), log.draw(rng), whole.draw(rng)) for _ in range(2000)]
    assert all(0.2 <= a <= 0.8 and 1e-3 <= b <= 10 for a, b, _ in drawn)
    assert {c for *_, c in drawn} == {2, 3, 4, 5} and all(type(c) is int for *_, c in drawn)
    assert np.mean([a < 0.5 for a, *_ in drawn]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([b < 0.1 for _, b, _ in drawn]) == pytest.approx(0.5, abs=0.05), "half in the lower two decades"


def test_the_founding_space_is_the_one_of_2020(store_folder: Path) -> None:
    space = read_space(None, store=str(store_folder))
    drawn = space.draw(140, 0)
    assert len(drawn) == 140
    assert {each["dropout"] for each in drawn} == {0.75, 0.8, 0.9}
    assert {each["head"] for each in drawn} == {"linear", "hidden"}
    assert {2 * each["pairs"] for each in drawn} == {256, 512, 1024}, "pictures in a batch"
    assert all(0.01 <= each["weight_decay"] <= 0.3 and 3e-5 <= each["learning_rate"] <= 7e-5 for each in drawn)
    config = space.config(drawn[0], 900, 0)
    assert (config.network, config.tune, config.augment, config.warmup_steps) == ("resnet18", "all", "founding", 90)
    assert read_space(None, store="s", pairs=4).config(drawn[0] | {}, 9, 0).pairs == drawn[0]["pairs"]
    fixed = read_space(None, store="s", pairs=4)
    assert "pairs" not in fixed.draw(1, 0)[0] and fixed.config(fixed.draw(1, 0)[0], 9, 0).pairs == 4
    assert FOUNDING["pairs"] == [128, 256, 512], "a flag changes no table"


def test_a_small_space_gives_each_of_its_trials_once(store_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(f'store = "{store_folder}"\nhead = ["linear", "hidden"]\n')
    space, told = read_space(tmp_path / "s.toml"), list[str]()
    assert sorted(each["head"] for each in space.draw(9, 0)) == ["hidden", "linear"]
    assert len(made(space, tmp_path / "out", told.append, trials=9).trials) == 2
    assert told == ["the space has only 2 different trials"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dropuot = [0.1]", r"no training setting is called 'dropuot'. Did you mean 'dropout'\? Known: augment, "),
        ('network = ["resnet18", "resnet"]', r"no network is called 'resnet'. Did you mean 'resnet18'\? Known: clip_v"),
        ('head = ["linear", "hiden"]', r"no head is called 'hiden'. Did you mean 'hidden'\? Known: hidden, linear"),
        ('tune = ["al"]', r"no choice of what to tune is called 'al'. .*Known: all, head, norms"),
        ("dropout = { low = 0.1, hihg = 0.2 }", r"no part of the range 'dropout' is called 'hihg'. .*'high'"),
        ("head = ['linear']\n[kinds]\nselv = 1.0", r"no kind of forgery is called 'selv'. Did you mean 'self'"),
        ("dropout = { low = 0.1 }", r"the range 'dropout' lacks 'high'"),
        ("dropout = { low = 0.3, high = 0.2 }", r"'dropout' goes from 0.3 to 0.2: low must be below high"),
        ("ema = { low = 0, high = 1, log = true }", r"'ema' goes from 0 to 1: a logarithmic range needs low above 0"),
        ("ema = { low = 0.1, high = 1, log = 1 }", r"'log' of the range 'ema' is 1: it must be true or false"),
        ("dropout = []", r"'dropout' has no choices"),
        ('dropout = [0.1, "much"]', r"'dropout' cannot be 'much': it must be a number"),
        ("pairs = [8, 16.5]", r"'pairs' cannot be 16.5: it must be a whole number"),
        ("pairs = true", r"'pairs' cannot be True: it must be a whole number"),
        ("head = { low = 1, high = 2 }", r"'head' cannot be a range: it is text"),
        ('augment = ["default", "founding"]', r"'augment' cannot be drawn: .*val.*drawn: network, init, tune, "),
        ("steps = 100", r"'steps' is not a part of a space. The last of --budgets"),
        ("kinds = [1]", r"'kinds' cannot be \[1\]: it is a table of shares"),
        ("dropout = 0.5", r"the space has nothing to draw"),
        ("dropout = ", r"bad.toml cannot be read"),
    ],
)  # fmt: skip
def test_a_bad_space_file_is_told_with_what_is_known(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises((TrainingError, UnknownNameError), match=words):
        read_space(tmp_path / "bad.toml")


def test_a_space_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"none.toml cannot be read"):
        read_space(tmp_path / "none.toml")


# -- halving -------------------------------------------------------------------------------------------------------


def test_the_best_half_of_each_rung_goes_on(finished: Path) -> None:
    table = rows(finished)
    assert len(table) == 4
    for budget, after, count in ((1, 2, 2), (2, 4, 1)):
        here = {row["trial"]: float(row[f"val_auc_{budget}"]) for row in table if row[f"val_auc_{budget}"]}
        on = {row["trial"] for row in table if row[f"val_auc_{after}"]}
        assert on == set(sorted(here, key=lambda trial: (-here[trial], int(trial)))[:count])
    assert [row["steps"] for row in table] == ["4", "2", "1", "1"], "what came furthest stands first"


def made_up(monkeypatch: pytest.MonkeyPatch, auc: Callable[[int, int], float]) -> list[tuple[int, int, int]]:
    """Trainings whose val AUC at a step is what `auc(trial, step)` says; gives (trial, from, to) as they are run."""
    ran: list[tuple[int, int, int]] = []

    class Made:
        def __init__(self, config: Any, folder: Path, log: Any) -> None:
            self.config, self.folder, self.number = config, folder, int(folder.name)
            self.val_pairs = type("Pairs", (), {"kinds": ["self"]})
            path = folder / "checkpoint.safetensors"
            self.step = int(path.read_text()) if path.is_file() else 0

        def run(self, until: int) -> None:
            if np.isnan(auc(self.number, until)):
                raise TrainingError(f"the loss is nan at step {until}")
            ran.append((self.number, self.step, until))
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "checkpoint.safetensors").write_text(str(until))
            self.step = until

        def val_auc(self) -> float:
            return auc(self.number, self.step)

    monkeypatch.setattr("fakelab.training.search.Trainer", Made)
    return ran


def test_trials_go_on_from_their_own_checkpoint_and_those_left_behind_keep_none(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trial 5 is the best at first and 3 in the end; 4 would be the best if it were let go on."""
    first = [0.5, 0.55, 0.6, 0.7, 0.4, 0.9]
    ran = made_up(monkeypatch, lambda trial, step: first[trial] if step == 1 else {3: 0.8, 4: 1.0}.get(trial, 0.75))
    best = made(space, tmp_path, trials=6).run()
    assert ran == [(k, 0, 1) for k in range(6)] + [(5, 1, 2), (3, 1, 2), (2, 1, 2)] + [(3, 2, 4), (2, 2, 4)]
    assert best.number == 3
    assert {path.parent.name for path in tmp_path.rglob("checkpoint.safetensors")} == {"003"}


def test_of_equals_the_first_drawn_goes_on(space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(monkeypatch, lambda trial, step: 0.5)
    assert made(space, tmp_path).run().number == 0


def test_a_trial_that_fails_is_told_and_does_not_go_on(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up(monkeypatch, lambda trial, step: float("nan") if trial == 0 else 0.5 + trial / 10)
    told: list[str] = []
    assert made(space, tmp_path, told.append).run().number == 3
    assert any("failed: the loss is nan at step 1" in line for line in told)
    assert rows(tmp_path)[-1] == rows(tmp_path)[-1] | {
        "trial": "0",
        "val_auc_1": "",
        "failed": "the loss is nan at step 1",
    }


def test_a_search_in_which_every_trial_fails_says_why(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up(monkeypatch, lambda trial, step: float("nan"))
    with pytest.raises(TrainingError, match=r"every trial failed before step 1: trial 0: the loss is nan"):
        made(space, tmp_path).run()


def test_progress_counts_steps_to_the_end(space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int, int | None]] = []
    config = read_space(None, **{**space.fixed, "head": "linear", "pairs": 1, "network": "tiny", "init": "none"})
    made(config, tmp_path, trials=2, budgets=(10, 20), progress=lambda *told: seen.append(told)).run()
    steps = [(done, total) for stage, done, total in seen]
    assert steps == sorted(steps)
    assert steps[-1] == (30, 30), "two trials of 10 steps, one of 10 more"
    assert seen[-1][0] == "rung 2 of 2, trial 1 of 1"


def test_the_schedule_is_that_of_the_whole_run(space: Space, tmp_path: Path) -> None:
    """A trial that went on is bit for bit the run that `fakelab train --config best.toml` makes."""
    search = made(space, tmp_path / "search")
    best = search.run()
    config = read_config(tmp_path / "search" / "best.toml")
    assert config == search.config(best) and config.steps == 4
    whole = Trainer(config, tmp_path / "whole", log=quiet)
    ema = whole.run()
    went_on = Trainer(config, search.trial_folder(best), log=quiet)
    assert went_on.step == 4
    assert all(torch.equal(went_on.ema[name], value) for name, value in ema.items())
    assert whole.val_auc() == best.last_auc


def test_only_val_chooses_and_nothing_reads_test(space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = {"train": 0, "val": 0}
    pair = loop.PairSource.pair

    def watched(self: Any, number: int) -> Any:
        read[self.split] += 1
        kept = self.store.crops
        look = lab.Watched(np.asarray(kept))
        object.__setattr__(self.store, "crops", look)
        try:
            return pair(self, number)
        finally:
            object.__setattr__(self.store, "crops", kept)
            assert {str(self.store.split[row]) for row in look.read} == {self.split}

    monkeypatch.setattr(loop.PairSource, "pair", watched)
    made(space, tmp_path).run()
    assert read["val"] == 7 * 6, "each of the seven trainings is judged by six pairs"


def test_a_store_without_val_is_refused_before_anything_is_trained(tmp_path: Path, file: Path) -> None:
    people = lab.people("train", 6) + lab.people("test", 6)
    store = lab.save_store(lab.make_store(people, lab.faces(12, 32)), tmp_path / "store")
    with pytest.raises(TrainingError, match=r"nothing to choose by: .*split val"):
        made(read_space(file, store=str(store)), tmp_path / "out").run()
    assert not (tmp_path / "out" / "trials").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"trials": 0}, "a search needs trials"),
        ({"budgets": ()}, "the budgets cannot be none"),
        ({"budgets": (3, 2)}, "the budgets cannot be 3, 2"),
        ({"budgets": (0, 2)}, "the budgets cannot be 0, 2"),
        ({"keep": 1.0}, "the share that goes on cannot be 1"),
    ],
)
def test_choices_that_make_no_search(settings: dict[str, Any], words: str, space: Space, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=words):
        made(space, tmp_path, **settings)
    assert not list(tmp_path.iterdir())


# -- going on ------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from fakelab.training import loop
from fakelab.training.loop import Trainer
from fakelab.training.search import Search
from fakelab.training.space import read_space

loop.draw_curves = lambda folder: None
where, at, space, store, out = sys.argv[1:]
count = 0
def killed(name):
    method = getattr(Trainer, name)
    def call(self, *rest):
        global count
        count += 1
        if count == int(at):
            os.kill(os.getpid(), signal.SIGKILL)
        return method(self, *rest)
    setattr(Trainer, name, call)
killed(where)
Search(read_space(Path(space), store=store), Path(out), trials=4, budgets=(1, 2, 4), keep=.5, seed=3).run()
"""


@pytest.mark.parametrize(("where", "at"), [("_learn", 8), ("_save", 5), ("val_auc", 6)])
def test_a_killed_search_goes_on_and_writes_the_same_table(
    where: str, at: int, finished: Path, space: Space, store_folder: Path, file: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """kill -9 in the midst of the last rung, before a checkpoint is written, and after it but before its entry."""
    words = [sys.executable, "-c", KILLED, where, str(at), str(file), str(store_folder), str(tmp_path)]
    path = os.pathsep.join(sys.path)
    assert subprocess.run(words, env=os.environ | {"PYTHONPATH": path}, check=False).returncode == -signal.SIGKILL
    done = json.loads((tmp_path / "search.json").read_text())["trials"]
    before = sum(len(trial["val_auc"]) for trial in done)
    assert not (tmp_path / "best.toml").exists()
    ran: list[int] = []
    run = Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda self, until: ran.append(until) or run(self, until))
    made(space, tmp_path).run()
    assert len(ran) == 7 - before, "what was finished is not run again"
    for name in ("results.csv", "best.toml", "search.json"):
        assert (tmp_path / name).read_text() == (finished / name).read_text()


def test_a_finished_search_trains_nothing_more(finished: Path, space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "run", lambda self, until: pytest.fail("trained again"))
    told: list[str] = []
    before = (finished / "results.csv").read_text()
    made(space, finished, told.append).run()
    assert told == ["resumed: 7 trainings of this search are done"]
    assert (finished / "results.csv").read_text() == before


def test_a_search_that_was_begun_otherwise_is_refused(finished: Path, space: Space) -> None:
    with pytest.raises(TrainingError, match=r"begun with other choices: trials 4 -> 5.*another --out"):
        made(space, finished, trials=5)
    with pytest.raises(TrainingError, match=r"seed 3 -> 4"):
        made(space, finished, seed=4)


def test_a_damaged_search_is_told(space: Space, tmp_path: Path) -> None:
    (tmp_path / "search.json").write_text('{"plan": {}}')
    with pytest.raises(TrainingError, match=r"search.json cannot be read"):
        made(space, tmp_path)


# -- what is written -----------------------------------------------------------------------------------------------


def test_every_kind_of_value_comes_back_from_the_toml(tmp_path: Path) -> None:
    config = loop.TrainConfig(
        store='a "b" \\ é \U0001f600 \x7f', learning_rate=3.2e-05, sources={"a b.c": 0.5}, kinds={"self": 1e-6}
    )
    write_toml(config, tmp_path / "best.toml")
    assert asdict(read_config(tmp_path / "best.toml")) == asdict(config)


def test_the_figure_shows_axes_and_lines(finished: Path) -> None:
    picture = np.asarray(PillowImage.open(finished / "parallel.png").convert("RGB"))
    assert picture.shape[0] >= 500 and picture.shape[1] >= 900
    white = (picture > 250).all(2)
    assert 0.3 < white.mean() < 0.97
    colours = picture[(np.ptp(picture.astype(int), 2) > 60)]
    assert len(colours) > 2000, "lines and the bar are coloured"
    axis_columns = ((~white).mean(0) > 0.75).sum()
    assert axis_columns >= 7, "an axis for each of four settings and three budgets"


def test_the_colour_of_a_line_is_its_auc(tmp_path: Path) -> None:
    axes = [Axis("dropout", low=0.0, high=1.0)]
    draw_parallel(axes, [({"dropout": 0.2}, {5: 0.5}), ({"dropout": 0.9}, {5: 0.9})], [5], tmp_path / "p.png")
    picture = np.asarray(PillowImage.open(tmp_path / "p.png").convert("RGB")).astype(int)
    lines = picture[:, : int(picture.shape[1] * 0.75)]
    yellow = (lines[..., 0] > 200) & (lines[..., 1] > 200) & (lines[..., 2] < 90)
    violet = (lines[..., 0] < 130) & (lines[..., 1] < 80) & (lines[..., 2] > 80)
    assert yellow.sum() > 300 and violet.sum() > 300
    assert np.nonzero(yellow)[0].mean() < np.nonzero(violet)[0].mean(), "the better one lies higher"


def test_values_lie_on_their_axis() -> None:
    log, choice = Axis("w", low=0.01, high=1.0, log=True), Axis("dropout", choices=(0.9, 0.75, 0.8))
    assert [place(log, value) for value in (0.01, 0.1, 1.0)] == pytest.approx([0, 0.5, 1])
    assert [place(choice, value) for value in (0.75, 0.8, 0.9)] == [0, 0.5, 1]
    assert ticks(choice) == [0.75, 0.8, 0.9] and ticks(Axis("head", choices=("linear", "hidden")))[0] == "linear"
    assert ticks(log) == pytest.approx([0.01, 0.0316228, 0.1, 0.316228, 1.0])
    assert place(Axis("p", choices=(4,)), 4) == 0.5


# -- the command line ----------------------------------------------------------------------------------------------


def test_the_verb_searches_and_train_takes_what_is_best(
    store_folder: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--store", str(store_folder), "--space", str(file), "--trials", "3", "--budgets", "1,2", "--seed", "1"]
    out = tmp_path / "out"
    assert main(["search", "--out", str(out), *words]) == 0
    printed, told = capsys.readouterr()
    best = rows(out)[0]
    assert f"trial {best['trial']}, AUC {float(best['val_auc_2']):.3f} at step 2" in printed
    assert "rung 1 of 2, trial 3 of 3: val AUC" in told and "rung 2 of 2, trial 1 of 1: val AUC" in told
    folder = out / "trials" / f"{int(best['trial']):03d}"
    assert f"fakelab train --config {out / 'best.toml'} --out {folder}" in printed
    assert main(["train", "--config", str(out / "best.toml"), "--out", str(folder)]) == 0
    assert len(read_known([folder / "known.npy"])) > 0, "what it was trained on, beside the model and not in it"
    assert not (folder / "model" / "known.npy").exists()
    assert "resumed at step 2\n" in capsys.readouterr().err, "nothing is trained again"
    assert (folder / "model" / "card.json").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing option '--out'"),
        (["--out", "o"], "Give --store FOLDER."),
        (["--out", "o", "--store", "nowhere"], "nowhere holds no face store"),
        (["--out", "o", "--store", "s", "--budgets", "1,x"], "the budgets cannot be '1,x'"),
        (["--out", "o", "--store", "s", "--space", "none.toml"], "none.toml cannot be read"),
        (["--out", "o", "--store", "s", "--network", "resnet"], "Did you mean 'resnet18'?"),
    ],
)
def test_the_verb_says_what_is_wrong(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["search", *words]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# -- a start that cannot be had is told first ----------------------------------------------------------------------


def refuse(*arguments: Any, **named: Any) -> Any:
    raise urllib.error.URLError("no route to host")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--network", "resnet18", "--init", "imagenet"], "the ImageNet weights of resnet18 cannot be fetched"),
        (["--network", "resnet18"], "the ImageNet weights of resnet18 cannot be fetched"),
        (["--network", "tiny", "--init", "imagenet"], "there are no ImageNet weights of tiny"),
        (["--network", "tiny", "--init", "weights.safetensors"], "cannot start from 'weights.safetensors'"),
        (["--network", "tiny", "--init", "clip"], "tiny cannot start from CLIP"),
        (["--network", "tiny", "--head", "hiden"], "Did you mean 'hidden'?"),
    ],
)
@pytest.mark.parametrize("asked", ["manifest", "twins"])
def test_train_tells_of_a_start_that_cannot_be_had_before_the_work(
    asked: str, words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    import torchvision.models._api as api

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api, "load_state_dict_from_url", refuse)
    for work in ("_build_store", "_make_twins"):
        monkeypatch.setattr(f"fakelab.cli.train.{work}", lambda *given: pytest.fail("the work was begun"))
    more = {"manifest": ["--manifest", "m.csv"], "twins": ["--make-twins", "taef", "--twins", "t"]}[asked]
    assert main(["train", "--out", "run", "--store", "s", *more, *words]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_search_tells_of_a_start_that_cannot_be_had_before_the_first_step(
    store_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.models._api as api

    monkeypatch.setattr(api, "load_state_dict_from_url", refuse)
    with pytest.raises(TrainingError, match="the ImageNet weights of resnet18 cannot be fetched"):
        made(read_space(None, store=str(store_folder)), tmp_path).run()
    assert not (tmp_path / "trials").exists()
