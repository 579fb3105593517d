"""CLIP's tower as a float network, once for every test that needs it, and one thread for every test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small lose more by waiting for each other's threads than they win."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def clip() -> Any:
    """The default network, started from the tower that ships; not to be changed."""
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    from fakelab.training.networks import make_network

    return make_network("clip_vit_b16").eval()


@pytest.fixture(scope="session")
def tower_state() -> Any:
    """The weights of the shipped tower by timm's names; not to be changed."""
    pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    from fakelab.training.networks import _shipped_tower, clip_tower_state

    return clip_tower_state(_shipped_tower())
