"""The plan: spread over the whole clip, in order, without overlap."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakelab.media.density import Density, plan


def test_thorough_is_one_burst_every_two_seconds() -> None:
    assert [Density.thorough().bursts_for(s) for s in (0, 10, 16, 60, 3600)] == [8, 8, 8, 30, 1800]


def test_usual_density_does_not_grow() -> None:
    assert Density().bursts_for(3600) == 8


@pytest.mark.parametrize("wrong", [{"bursts": 0}, {"frames_per_burst": 0}, {"every_s": 0.0}, {"every_s": float("nan")}])
def test_a_senseless_density_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Density(**wrong)  # type: ignore[arg-type]


@given(bursts=st.integers(1, 40), per_burst=st.integers(1, 8), spare=st.integers(1, 5000))
def test_bursts_lie_inside_the_clip_and_never_overlap(bursts: int, per_burst: int, spare: int) -> None:
    frames = bursts * per_burst + spare
    targets = [s.target for s in plan(bursts, per_burst, 0, frames - 1, 1)]
    assert targets[0] >= 0
    assert targets[-1] + per_burst - 1 <= frames - 1 + 1e-6
    gaps = [b - a for a, b in itertools.pairwise(targets)]
    assert all(gap >= per_burst - 1 for gap in gaps)
    assert targets[0] <= frames / bursts
    assert targets[-1] >= frames - 1 - frames / bursts - per_burst
