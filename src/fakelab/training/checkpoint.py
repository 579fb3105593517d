"""What an optimizer remembers, as named tensors for a checkpoint in safetensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

KEYS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps of each parameter."""


def optimizer_tensors(optimizer: torch.optim.Optimizer, named: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The state of every named parameter, under ``opt.KEY.NAME``."""
    return {
        f"opt.{key}.{name}": torch.as_tensor(value).clone()
        for name, parameter in named.items()
        for key, value in optimizer.state[parameter].items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, named: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Puts back what `optimizer_tensors` gave.

    What was never taught, as the map's head without its loss, has no state.
    """
    for name, parameter in named.items():
        if f"opt.step.{name}" in tensors:
            optimizer.state[parameter] = {key: tensors[f"opt.{key}.{name}"] for key in KEYS}
