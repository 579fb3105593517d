# ruff: noqa: E402 (without torch the module is skipped before it imports what needs torch)
from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import lab_maker as lab
import numpy as np
import pytest

import portrait_maker

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("timm", reason="the extra 'train' is not installed")
pytest.importorskip("matplotlib", reason="the extra 'train' is not installed")
pytest.importorskip("sklearn", reason="the extra 'train' is not installed")

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fakelab.errors import TrainingError, UnknownNameError
from fakelab.training import loop
from fakelab.training.loop import TrainConfig, Trainer, pair_loss, read_config
from fakelab.training.pairs import Pair

# From Python 3.12 on, a process with threads warns when it forks, as torch's loader does.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
SIZE = 32


@pytest.fixture(scope="module")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [row for split in ("train", "val", "test") for row in lab.people(split, 12, each=2, fakes=1)]
    return lab.save_store(lab.make_store(rows, lab.faces(len(rows), SIZE)), tmp_path_factory.mktemp("store"))


@pytest.fixture(autouse=True)
def curves_are_drawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where a test asks for them: drawing takes longer than the steps."""
    if "draws_curves" not in request.fixturenames:
        monkeypatch.setattr(loop, "draw_curves", lambda folder: None)


@pytest.fixture
def draws_curves() -> None:
    """Asks for the drawing of curves."""


@pytest.fixture
def config(store_folder: Path) -> TrainConfig:
    """Six steps of the smallest network, with every source of chance: dropout, a hidden head, several kinds."""
    return TrainConfig(
        store=str(store_folder),
        network="tiny",
        head="hidden",
        dropout=0.5,
        augment="founding",  # without codecs: x264 does not give the same bits twice
        steps=6,
        pairs=2,
        learning_rate=1e-2,
        warmup_steps=2,
        kinds={"self": 1.0, "cross": 1.0, "given": 1.0},
        save_every=2,
        check_every=100,
        check_pairs=6,
        threads=1,
        precision="float32",
    )


def trainer(config: TrainConfig, folder: Path) -> Trainer:
    return Trainer(config, folder, log=lambda line: None)


def curve(folder: Path, name: str) -> list[float]:
    with (folder / "curves.csv").open(newline="", encoding="utf-8") as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["name"] == name]


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


# -- resuming ------------------------------------------------------------------------------------------------------


def test_a_resumed_run_keeps_the_number_type_that_was_found_faster(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undecided = replace(config, precision="auto")
    monkeypatch.setattr(loop, "bfloat16_pays", lambda: False)
    cut_after(3, undecided, tmp_path, monkeypatch)
    monkeypatch.setattr(loop, "bfloat16_pays", lambda: True)
    assert trainer(undecided, tmp_path).short is False
    assert trainer(undecided, tmp_path / "new").short is True
    assert trainer(replace(config, precision="bfloat16"), tmp_path).short is True, "unless told otherwise"


def test_fused_operations_learn_the_same(config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = trainer(config, tmp_path / "plain")
    fused, told = replace(config, fuse=True), []

    def compile_(network: Any) -> Any:
        told.append(network)
        return lambda pictures: network(pictures)

    monkeypatch.setattr(torch, "compile", compile_)
    made = trainer(fused, tmp_path / "fused")
    assert told == [made.network]
    assert same(made.run(), plain.run())
    assert set(load_file(tmp_path / "fused" / "checkpoint.safetensors")) == set(
        load_file(tmp_path / "plain" / "checkpoint.safetensors")
    )


def cut_after(at: int, config: TrainConfig, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is stopped, as by Ctrl+C, when `at` steps are done."""
    learn = Trainer._learn

    def stop(self: Trainer, *batch: Any) -> float:
        if self.step == at:
            raise KeyboardInterrupt
        return learn(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_learn", stop)
        with pytest.raises(KeyboardInterrupt):
            trainer(config, folder).run()


def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not_been(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, also where the cut lies past the last checkpoint."""
    whole = trainer(config, tmp_path / "whole")
    ema = whole.run()
    cut_after(3, config, tmp_path / "cut", monkeypatch)
    resumed = trainer(config, tmp_path / "cut")
    assert resumed.step == 2
    assert same(resumed.run(), ema)
    one, other = (
        {k: v for k, v in each.network.state_dict().items() if "num_batches" not in k} for each in (resumed, whole)
    )
    assert same(one, other)
    assert not same(trainer(replace(config, seed=1), tmp_path / "other").run(), ema)


def test_a_run_that_teaches_no_map_goes_on_too(config: TrainConfig, tmp_path: Path) -> None:
    plain = replace(config, patch_loss=0.0)
    ema = trainer(plain, tmp_path).run()
    again = trainer(plain, tmp_path)
    assert again.step == 6 and same(again.run(), ema)


def test_a_run_that_goes_on_tells_what_was_changed_and_forgets_what_it_will_write_again(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "curves.csv").write_text("step,name,value\n")
    cut_after(3, config, tmp_path, monkeypatch)
    (tmp_path / "curves.csv").write_text("step,name,value\n2,train_loss,0.5\n3,train_loss,0.4\n10,val_auc,0.6\n")
    told: list[str] = []
    Trainer(replace(config, learning_rate=1e-3), tmp_path, log=told.append)
    assert told == ["resumed at step 2, with changed settings: learning_rate 0.01 -> 0.001"]
    assert json.loads((tmp_path / "config.json").read_text())["learning_rate"] == 1e-3
    assert (tmp_path / "curves.csv").read_text() == "step,name,value\n2,train_loss,0.5\n"
    Trainer(config, tmp_path, log=told.append)
    assert told[1] == "resumed at step 2"


@pytest.mark.usefixtures("draws_curves")
def test_a_finished_run_has_its_checkpoint_curves_and_configuration(config: TrainConfig, tmp_path: Path) -> None:
    ema = trainer(replace(config, steps=10), tmp_path).run()
    stored = load_file(tmp_path / "checkpoint.safetensors")
    assert same({k.removeprefix("ema."): v for k, v in stored.items() if k.startswith("ema.")}, ema)
    with safe_open(tmp_path / "checkpoint.safetensors", "pt") as file:
        assert file.metadata()["step"] == "10"
    assert json.loads((tmp_path / "config.json").read_text())["network"] == "tiny"
    assert len(curve(tmp_path, "train_loss")) == 1
    assert 0 <= curve(tmp_path, "val_auc")[0] <= 1
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert not list(tmp_path.glob("*.part"))
    again = trainer(replace(config, steps=10), tmp_path)
    assert again.step == 10
    assert same(again.run(), ema)


def test_a_checkpoint_of_another_network_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    trainer(replace(config, steps=2), tmp_path).run()
    with pytest.raises(TrainingError, match=r"is of another network.*another --out"):
        trainer(replace(config, network="resnet18", init="none"), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["network"] == "tiny", "what was refused changes nothing"


def test_a_checkpoint_that_tunes_other_numbers_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    trainer(replace(config, steps=2), tmp_path).run()
    for changed in (replace(config, tune="head"), replace(config, head="linear")):
        with pytest.raises(TrainingError, match="tunes other numbers"):
            trainer(changed, tmp_path)
    stored = load_file(tmp_path / "checkpoint.safetensors")
    with safe_open(tmp_path / "checkpoint.safetensors", "pt") as file:
        metadata = file.metadata()
    stored["net.body.0_bias"] = stored.pop("net.body.0.bias")
    save_file(stored, tmp_path / "checkpoint.safetensors", metadata=metadata)
    with pytest.raises(TrainingError, match="tunes other numbers"):
        trainer(config, tmp_path)


def test_the_frozen_part_of_a_network_does_not_move(config: TrainConfig, tmp_path: Path) -> None:
    made = trainer(replace(config, tune="head", head="linear"), tmp_path)
    before = {name: value.clone() for name, value in made.network.state_dict().items()}
    made.run()
    moved = {name for name, value in made.network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"head.1.weight", "head.1.bias", "patch_head.weight", "patch_head.bias"}


# -- configuration -------------------------------------------------------------------------------------------------


def test_flags_override_the_file_and_the_file_overrides_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('network = "resnet18"\nsteps = 7\npairs = 3\n[kinds]\nself = 1.0\n[sources]\nlfw = 0.5\n')
    chosen = read_config(file, steps=9, seed=None, store="s")
    assert (chosen.steps, chosen.pairs, chosen.network, chosen.store) == (9, 3, "resnet18", "s")
    assert chosen.seed == TrainConfig().seed
    assert chosen.learning_rate == TrainConfig().learning_rate
    assert chosen.kinds == {"self": 1.0}
    assert chosen.sources == {"lfw": 0.5}
    assert read_config(None) == TrainConfig()
    assert read_config(file, dropout=0.0, pairs=0).pairs == 0, "a flag of nought is a flag"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("learning_rat = 1", r"no training setting is called 'learning_rat'. Did you mean 'learning_rate'\?"),
        ("[kinds]\nselv = 1.0", r"no kind of forgery is called 'selv'. Did you mean 'self'\?"),
        ('augment = "foundin"', r"no augmentation is called 'foundin'. Did you mean 'founding'\? Known: default, f"),
    ],
)
def test_an_unknown_setting_answers_with_the_known_ones_and_the_nearest(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(UnknownNameError, match=words):
        read_config(file)


def test_whole_pictures_are_learnt_from_twins_alone_unless_told_otherwise(tmp_path: Path) -> None:
    chosen = read_config(None, task="pictures")
    assert (chosen.augment, chosen.kinds, chosen.patch_loss) == ("photo", {"twin_whole": 1.0}, 0.0)
    assert read_config(None, task="pictures", patch_loss=0.2).patch_loss == 0.2
    file = tmp_path / "run.toml"
    file.write_text('task = "pictures"\n[kinds]\nself = 1.0\n')
    with pytest.raises(TrainingError, match="whole pictures have no forgery of kind 'self'"):
        read_config(file)
    with pytest.raises(UnknownNameError, match=r"no task is called 'picture'. Did you mean 'pictures'"):
        read_config(None, task="picture")


def test_an_unknown_flag_is_an_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match="'batch'"):
        read_config(None, batch=3)


def test_a_file_that_cannot_be_read_is_a_training_error(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("steps = ")
    for file in ("bad.toml", "none.toml"):
        with pytest.raises(TrainingError, match=f"{file} cannot be read"):
            read_config(tmp_path / file)


def test_a_run_without_a_store_is_a_training_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Give --store FOLDER"):
        trainer(TrainConfig(), tmp_path)


# -- what is learnt from, and what is looked at --------------------------------------------------------------------


def test_a_batch_holds_as_many_reals_as_fakes_of_the_pairs_of_its_step(config: TrainConfig, tmp_path: Path) -> None:
    made = trainer(config, tmp_path)
    steps = loop._Steps(made.train_pairs, count=3, start=2, stop=4)
    assert len(steps) == 2
    crops, masks, labels, known = steps[1]
    assert labels.tolist() == [0, 1] * 3
    assert not masks[::2].any()
    for at in range(3):
        kind, real, fake, (_, mask) = made.train_pairs.pair(9 + at)
        assert np.array_equal(crops[2 * at], real)
        assert np.array_equal(crops[2 * at + 1], fake)
        assert np.array_equal(masks[2 * at + 1], mask)
        assert known[2 * at : 2 * at + 2].tolist() == [1.0, 0.0 if kind == "given" else 1.0]
    with pytest.raises(IndexError):
        steps[2]


def test_training_reads_train_rows_and_checking_reads_val_rows_and_nothing_reads_test(
    config: TrainConfig, tmp_path: Path
) -> None:
    """Only evaluation opens `test`; a checkpoint is never chosen on what it was trained on."""
    made = trainer(config, tmp_path)
    for pairs, split, use in (
        (made.train_pairs, "train", lambda: [made.train_pairs.pair(number) for number in range(120)]),
        (made.val_pairs, "val", made._check),
    ):
        watched = lab.Watched(np.asarray(made.store.crops))
        object.__setattr__(made.store, "crops", watched)
        assert pairs.store is made.store
        use()
        assert {str(made.store.split[row]) for row in watched.read} == {split}
        object.__setattr__(made.store, "crops", watched.crops)


def check_with(scores: list[tuple[float, float]], config: TrainConfig, folder: Path) -> Trainer:
    """The check of a network that gives these logits to the real and the fake of each pair."""
    made = trainer(replace(config, check_pairs=len(scores)), folder)
    answers = iter(scores)
    made.score = lambda crops: np.array(next(answers), np.float32)  # type: ignore[method-assign]
    made._check()
    return made


def test_auc_is_computed_from_scores_not_from_hard_predictions(config: TrainConfig, tmp_path: Path) -> None:
    """All are called fake, so hard predictions have AUC .5, yet every fake scores above every real."""
    check_with([(1.0 + k / 100, 2.0 + k / 100) for k in range(20)], config, tmp_path)
    assert curve(tmp_path, "val_auc") == [1.0]
    assert curve(tmp_path, "val_accuracy") == [0.5]


def test_auc_by_kind_sets_each_kind_against_all_the_reals(config: TrainConfig, tmp_path: Path) -> None:
    made = trainer(config, tmp_path / "kinds")
    kinds = [made.val_pairs.pair(number)[0] for number in range(30)]
    check_with([(0.0, {"self": -1.0, "cross": 0.0, "given": 1.0}[kind]) for kind in kinds], config, tmp_path)
    assert curve(tmp_path, "val_auc_self") == [0.0]
    assert curve(tmp_path, "val_auc_cross") == [0.5]
    assert curve(tmp_path, "val_auc_given") == [1.0]
    pooled = (kinds.count("given") + kinds.count("cross") / 2) / 30
    assert curve(tmp_path, "val_auc") == [pytest.approx(pooled, abs=1e-4)]


def test_the_check_scores_the_averaged_network_and_leaves_the_other_as_it_was(
    config: TrainConfig, tmp_path: Path
) -> None:
    made = trainer(replace(config, head="linear"), tmp_path)
    crops = np.stack([portrait_maker.face_crop(SIZE, seed) for seed in range(3)])
    plain = made.score(crops)
    before = {name: value.clone() for name, value in made.network.state_dict().items()}
    made.ema = {name: value + 1.0 for name, value in made.ema.items()}
    with made.averaged():
        averaged = made.score(crops)
        assert all(torch.equal(made.network.state_dict()[name], value) for name, value in made.ema.items())
    assert not np.allclose(averaged, plain)
    assert same(made.network.state_dict(), before)
    assert np.array_equal(made.score(crops), plain)


def test_scores_are_the_same_twice_though_dropout_is_trained_with(config: TrainConfig, tmp_path: Path) -> None:
    made = trainer(replace(config, dropout=0.9), tmp_path)
    made.network.train()
    crops = np.stack([portrait_maker.face_crop(SIZE, seed) for seed in range(4)])
    assert np.array_equal(made.score(crops), made.score(crops))


def test_pictures_are_normalised_as_the_table_says_in_training_and_in_checking(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, seen = trainer(replace(config, steps=1), tmp_path), list[Any]()
    forward = type(made.network).forward

    def spied(self: Any, pictures: Any) -> Any:
        seen.append((self.training, pictures.float().clone()))
        return forward(self, pictures)

    monkeypatch.setattr(type(made.network), "forward", spied)
    crops = lab.faces(2, SIZE)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    made.score(crops)
    assert np.allclose(seen[0][1].permute(0, 2, 3, 1), (crops / 255 - mean) / std, atol=1e-5)
    made.run()
    (training, batch), first = next(each for each in seen if each[0]), made.train_pairs.pair(0)
    assert training
    assert np.allclose(batch[0].permute(1, 2, 0), (first[1] / 255 - mean) / std, atol=1e-5)


# -- the loss ------------------------------------------------------------------------------------------------------


def losses(known: list[float], patches: Any, masks: Any, **settings: Any) -> Any:
    logits, labels = torch.tensor([-2.0, 1.5, 0.5, -1.0]), torch.tensor([0.0, 1.0] * 2)
    return pair_loss(logits, patches, masks, labels, torch.tensor(known), replace(TrainConfig(), **settings))


def test_given_forgeries_teach_no_patch_map_and_the_others_do() -> None:
    patches = torch.zeros(4, 2, 2, requires_grad=True)
    masks = torch.zeros(4, 8, 8)
    masks[1], masks[3] = 1.0, 1.0
    losses([1, 1, 1, 0], patches, masks).backward()
    assert (patches.grad[3] == 0).all()
    assert (patches.grad[1] < 0).all(), "towards fake where it was blended"
    assert (patches.grad[[0, 2]] > 0).all(), "and away from it on the reals"


def test_the_map_is_taught_where_the_mask_lies() -> None:
    patches = torch.zeros(4, 2, 2, requires_grad=True)
    masks = torch.zeros(4, 8, 8)
    masks[1, :4, 4:] = 1.0
    losses([1, 1, 1, 1], patches, masks).backward()
    assert (patches.grad[1] < 0).tolist() == [[False, True], [False, False]]


def test_patches_that_were_not_seen_teach_nothing() -> None:
    patches = torch.zeros(4, 2, 2)
    patches[1] = torch.tensor([[torch.nan, 2.0], [-1.0, torch.nan]])
    patches.requires_grad_(True)
    masks = torch.zeros(4, 8, 8)
    masks[1, :4] = 1.0
    without = losses([1, 0, 1, 1], patches, masks, patch_loss=3.0, given_weight=1.0)
    loss = losses([1, 1, 1, 1], patches, masks, patch_loss=3.0, given_weight=1.0)
    zero, seen = np.log(2), (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-1.0))) / 2
    assert float((loss - without).detach()) == pytest.approx(3.0 * ((3 * zero + seen) / 4 - zero), abs=1e-5)
    loss.backward()
    assert torch.isfinite(patches.grad).all()
    assert (patches.grad[1] == 0).tolist() == [[True, False], [False, True]]


def test_given_forgeries_weigh_less() -> None:
    arguments = {
        "patches": torch.zeros(4, 2, 2),
        "masks": torch.zeros(4, 8, 8),
        "patch_loss": 0.0,
        "label_smoothing": 0.0,
    }
    each = torch.nn.functional.softplus(torch.tensor([-2.0, -1.5, 0.5, 1.0]))
    assert float(losses([1, 1, 1, 1], **arguments)) == pytest.approx(float(each.mean()))
    weights = torch.tensor([1, 1, 1, 0.25])
    wanted = float((each * weights).sum() / weights.sum())
    assert float(losses([1, 1, 1, 0], given_weight=0.25, **arguments)) == pytest.approx(wanted)


def test_the_spread_of_genuine_logits_is_punished_and_that_of_forgeries_is_not() -> None:
    flat = torch.zeros(4, 2, 2)
    labels = torch.tensor([0.0, 1.0] * 2)

    def added(logits: list[float]) -> float:
        one, none = (
            pair_loss(torch.tensor(logits), flat, flat, labels, torch.ones(4), replace(TrainConfig(), real_spread=each))
            for each in (0.5, 0.0)
        )
        return float(one - none)

    assert added([-2.0, 1.0, 1.0, 3.0]) == pytest.approx(0.5 * 2.25)
    assert added([-2.0, 1.0, -2.0, 9.0]) == 0


def test_an_unknown_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="float32"):
        read_config(None, precision="float31")


def test_label_smoothing_punishes_certainty() -> None:
    def at(logit: float, smoothing: float) -> float:
        config = replace(TrainConfig(), patch_loss=0.0, label_smoothing=smoothing)
        flat = torch.zeros(1, 2, 2)
        return float(pair_loss(torch.tensor([logit]), flat, flat, torch.ones(1), torch.ones(1), config))

    assert at(9.0, 0.0) < at(3.0, 0.0)
    assert at(9.0, 0.1) > at(3.0, 0.1)


def test_a_loss_that_is_not_a_number_stops_the_run(config: TrainConfig, tmp_path: Path) -> None:
    made = trainer(config, tmp_path)
    with torch.no_grad():
        made.network.head[1].weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"the loss is nan at step 0.*--learning-rate"):
        made.run()


# -- it learns -----------------------------------------------------------------------------------------------------


class ColourPairs:
    """Reals are bluish and fakes reddish, of any brightness, the forged half marked in the mask."""

    usable = True

    def pair(self, number: int) -> Pair:
        rng = np.random.default_rng(number)
        base = rng.integers(40, 180, (2, SIZE, SIZE, 1)) + rng.integers(-30, 30, (2, SIZE, SIZE, 3))
        tint = np.array([[-25, 0, 25], [25, 0, -25]]).reshape(2, 1, 1, 3)
        real, fake = np.clip(base + tint, 0, 255).astype(np.uint8)
        mask = np.ones((SIZE, SIZE), np.float32)
        return "self", real, fake, (np.zeros_like(mask), mask)


def test_the_loop_learns_what_can_be_learnt(config: TrainConfig, tmp_path: Path) -> None:
    settings = {"head": "linear", "dropout": 0.0, "steps": 40, "pairs": 4, "check_every": 40, "check_pairs": 20}
    made = trainer(replace(config, **settings, save_every=100), tmp_path)
    made.train_pairs = made.val_pairs = ColourPairs()  # type: ignore[assignment]
    made._check()
    made.run()
    untrained, trained = curve(tmp_path, "val_auc")
    assert untrained < 0.95
    assert trained == 1.0
    assert curve(tmp_path, "val_accuracy")[-1] == 1.0
    first, *_, last = curve(tmp_path, "train_loss")
    assert last < 0.5 * first
    _, real, fake, _ = made.val_pairs.pair(1000)
    with made.averaged() as network, torch.inference_mode():
        pictures = torch.from_numpy(np.stack([real, fake])).permute(0, 3, 1, 2).float() / 255
        maps = network.eval()(made._normal(pictures))[1]
    assert maps[1].min() > maps[0].max(), "the heat map learns, too"
