# ruff: noqa: E402 (without torch the module is skipped before it imports what needs torch)
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")

from fakelab.errors import TrainingError
from fakelab.training import upsample
from fakelab.training.twin import one_of
from fakelab.training.upsample import WAYS, Build, Upsampler, draw_build, fit, upsamplers
from portrait_maker import face_crop

CROPS = np.stack([face_crop(112, seed) for seed in range(4)])
ROWS = np.arange(4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("halvings", [1, 3])
def test_every_build_gives_back_a_picture_of_the_same_shape(way: str, halvings: int) -> None:
    network = Upsampler(Build(way, halvings, 16, 8, 0.0)).eval()
    pictures = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    made = network(pictures, np.random.default_rng(0))
    assert made.shape == pictures.shape
    assert 0 <= made.min() <= made.max() <= 1


def test_builds_differ_and_every_way_comes_in_turn() -> None:
    builds = [draw_build(number, seed=5) for number in range(12)]
    assert [each.way for each in builds] == [*WAYS, *WAYS]
    assert len(set(builds)) == 12
    assert builds == [draw_build(number, seed=5) for number in range(12)]


def test_a_trained_one_keeps_the_picture_and_leaves_a_trace() -> None:
    build = Build("nearest", 1, 16, 6, 0.0)
    pictures = torch.from_numpy(CROPS).permute(0, 3, 1, 2).float() / 255

    def error(network: Upsampler) -> float:
        with torch.inference_mode():
            return float((network(pictures) - pictures).abs().mean())

    begun, trained = fit(build, CROPS, ROWS, steps=1, seed=2), fit(build, CROPS, ROWS, steps=80, seed=2)
    assert not trained.training
    assert 0.001 < error(trained) < error(begun) / 2


def test_the_same_seed_gives_the_same_numbers_and_leaves_torchs_generator_alone() -> None:
    before = torch.random.get_rng_state()
    one, same, other = (fit(Build("shuffle", 1, 16, 6, 0.5), CROPS, ROWS, steps=2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in one.state_dict().items())
    assert not torch.equal(one.up[0].weight, other.up[0].weight)


def test_none_is_trained_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    made = upsamplers(CROPS, ROWS, tmp_path, count=2, steps=1, progress=lambda *each: told.append(each))
    assert told == [(1, 2), (2, 2)]
    monkeypatch.setattr(upsample, "fit", lambda *_, **__: pytest.fail("trained again"))
    again = upsamplers(CROPS, ROWS, tmp_path, count=2, steps=1)
    for one, same in zip(made, again, strict=True):
        assert not same.training
        assert all(torch.equal(value, same.state_dict()[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize("crops", [CROPS[:, :64, :64], CROPS[:0]])
def test_too_little_to_learn_from_is_refused(crops: np.ndarray) -> None:
    with pytest.raises(TrainingError, match="no up-sampler can be trained"):
        fit(draw_build(0), crops, np.arange(len(crops)), steps=1)


def test_makers_are_drawn_by_their_shares() -> None:
    makers = [lambda pictures, _, k=k: pictures + k for k in (1, 2)]
    drawn, rng = one_of(makers, [3.0, 1.0]), np.random.default_rng(0)
    made = [float(drawn(torch.zeros(1), rng)) for _ in range(400)]
    assert 260 < made.count(1.0) < 340
    assert made.count(1.0) + made.count(2.0) == 400
