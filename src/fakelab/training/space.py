"""What a search draws from: settings of training that are fixed, and axes along which the others are drawn.

A space is a training configuration in which a setting may also be a list of choices or a range:
``dropout = [0.5, 0.8]``, ``weight_decay = { low = 0.01, high = 0.3, log = true }``.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from fakelab.errors import TrainingError, unknown_name
from fakelab.training.augment import AUGMENTS
from fakelab.training.loop import TrainConfig
from fakelab.training.networks import BACKBONES, HEADS, TUNES
from fakelab.training.pairs import KINDS

FOUNDING: dict[str, Any] = {
    "network": "resnet18",
    "tune": "all",
    "augment": "founding",
    "kinds": {"given": 1.0, "self": 1e-6},
    "given_weight": 1.0,
    "patch_loss": 0.0,
    "label_smoothing": 0.0,
    "head": ["linear", "hidden"],
    "dropout": [0.75, 0.8, 0.9],
    "weight_decay": {"low": 0.01, "high": 0.3, "log": True},
    "learning_rate": {"low": 3e-5, "high": 7e-5, "log": True},
    "pairs": [128, 256, 512],
}
"""The space of 2020: ResNet18 from ImageNet, all layers free, batches of 256 to 1,024 pictures, forgeries that came
with the data (a trace of self-blending serves `val` where it has too few)."""
NEVER_DRAWN = (
    "store", "twins", "task", "augment", "kinds", "sources", "steps", "seed", "save_every", "check_every",
    "check_pairs", "threads",
)  # fmt: skip
"""They decide what `val` is or how long a run is: trials that differ in them could not be compared."""
TABLES = {"network": BACKBONES, "head": HEADS, "tune": ("", *TUNES), "augment": AUGMENTS}
RANGE_KEYS = ("low", "high", "log")
_TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}
_WORDS = {"str": "text", "int": "a whole number", "float": "a number"}


@dataclass(frozen=True, slots=True)
class Axis:
    """A setting that is drawn: one of `choices`, or from `low` to `high`, evenly or (`log`) evenly in the logarithm."""

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    def draw(self, rng: np.random.Generator) -> Any:
        """A value; numbers of ranges have four significant digits, so that they can be read and typed."""
        if self.choices:
            return self.choices[int(rng.integers(len(self.choices)))]
        if self.log:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = float(rng.uniform(self.low, self.high))
        return round(value) if self.whole else min(self.high, max(self.low, float(f"{value:.4g}")))


@dataclass(frozen=True, slots=True)
class Space:
    """Fixed settings, and the axes."""

    fixed: dict[str, Any]
    axes: tuple[Axis, ...]

    def draw(self, count: int, seed: int) -> list[dict[str, Any]]:
        """`count` different trials, or as many as the space has (it gives up after 200 draws for each).

        A longer list of the same seed begins with the shorter one.
        """
        found: list[dict[str, Any]] = []
        for number in range(200 * count):
            rng = np.random.default_rng((seed, number))
            drawn = {axis.name: axis.draw(rng) for axis in self.axes}
            if drawn not in found:
                found.append(drawn)
            if len(found) == count:
                break
        return found

    def config(self, drawn: dict[str, Any], steps: int, seed: int) -> TrainConfig:
        """The configuration of a trial: `steps` long, warm-up a tenth of it and one check at its end unless fixed."""
        defaults = {"warmup_steps": steps // 10, "check_every": steps, "seed": seed}
        return TrainConfig(**{**defaults, **self.fixed, **drawn, "steps": steps})


def read_space(path: Path | None, **flags: Any) -> Space:
    """The space of a TOML file (None: the founding space) with flags laid over it (None means not given).

    A setting that a flag gives is not drawn. Raises TrainingError for what cannot be read or drawn, UnknownNameError
    for a setting, network, head, part or kind that does not exist.
    """
    values: dict[str, Any] = dict(FOUNDING)
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise TrainingError(f"the space {path} cannot be read", str(error), "Give a TOML file.") from error
    values |= {key: value for key, value in flags.items() if value is not None}
    known = {each.name: str(each.type) for each in fields(TrainConfig)}
    fixed: dict[str, Any] = {}
    axes: dict[str, Axis] = {}
    for name, value in values.items():
        if name not in known:
            raise unknown_name("training setting", name, known)
        if name == "steps":
            raise TrainingError("'steps' is not a part of a space", "", "The last of --budgets says how long a run is.")
        if name in ("kinds", "sources"):
            fixed[name] = _shares(name, value)
        elif isinstance(value, list | dict):
            axes[name] = _axis(name, value, known[name])
        else:
            _check_value(name, value, known[name])
            fixed[name] = value
    if not axes:
        raise TrainingError("the space has nothing to draw", "every setting is fixed", "Give one as a list or a range.")
    # In the order of the table, so that the order of a file changes no trial.
    return Space(fixed, tuple(axes[name] for name in known if name in axes))


def _axis(name: str, value: Any, kind: str) -> Axis:
    if name in NEVER_DRAWN:
        drawn = ", ".join(each.name for each in fields(TrainConfig) if each.name not in NEVER_DRAWN)
        why = "trials that differ in it cannot be compared on val"
        raise TrainingError(f"'{name}' cannot be drawn", why, f"Give one value. What can be drawn: {drawn}.")
    if isinstance(value, list):
        if not value:
            raise TrainingError(f"'{name}' has no choices", "the list is empty", "Name at least one.")
        for each in value:
            _check_value(name, each, kind)
        return Axis(name, choices=tuple(value))
    if kind == "str":
        raise TrainingError(f"'{name}' cannot be a range", "it is text", "Give a list of choices.")
    for key in value:
        if key not in RANGE_KEYS:
            raise unknown_name(f"part of the range '{name}'", key, RANGE_KEYS)
    for key in ("low", "high"):
        if key not in value:
            raise TrainingError(f"the range '{name}' lacks '{key}'", "", f"Give {name} = {{ low = .., high = .. }}.")
        _check_value(name, value[key], kind)
    low, high, log = value["low"], value["high"], value.get("log", False)
    if not isinstance(log, bool):
        raise TrainingError(f"'log' of the range '{name}' is {log!r}", "it must be true or false", "")
    if low >= high or (log and low <= 0):
        why = "a logarithmic range needs low above 0" if log and low <= 0 else "low must be below high"
        raise TrainingError(f"the range '{name}' goes from {low:g} to {high:g}", why, "")
    return Axis(name, low=low, high=high, log=log, whole=kind == "int")


def _check_value(name: str, value: Any, kind: str) -> None:
    right = type(value) in _TYPES[kind]
    if not right or (kind == "float" and not math.isfinite(value)):
        raise TrainingError(f"'{name}' cannot be {value!r}", f"it must be {_WORDS[kind]}", "")
    if name in TABLES and value not in TABLES[name]:
        kinds = {"tune": "choice of what to tune", "augment": "augmentation"}
        raise unknown_name(kinds.get(name, name), value, filter(None, TABLES[name]))


def _shares(name: str, value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        raise TrainingError(f"'{name}' cannot be {value!r}", "it is a table of shares", f"Give it as [{name}].")
    for key, share in value.items():
        if name == "kinds" and key not in KINDS:
            raise unknown_name("kind of forgery", key, KINDS)
        _check_value(f"{name}.{key}", share, "float")
    return value
