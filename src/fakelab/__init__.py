"""FakeLab: how strong the evidence is that a face in a video or photo was manipulated, and why.

    from fakelab import analyze

    analysis = analyze("clip.mp4")
    print(analysis.verdict.sentence)

Importing this loads nothing else: names are fetched when they are first used (PEP 562).
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fakelab.analyze import analyze
    from fakelab.errors import FakeLabError
    from fakelab.records import Analysis, Finding, Kind, Level, MediaInfo, ModelCard, PersonScore, Reason, Verdict
    from fakelab.settings import Settings

__version__ = "0.1.0"

_HOME = {
    "Analysis": "records",
    "FakeLabError": "errors",
    "Finding": "records",
    "Kind": "records",
    "Level": "records",
    "MediaInfo": "records",
    "ModelCard": "records",
    "PersonScore": "records",
    "Reason": "records",
    "Settings": "settings",
    "Verdict": "records",
    "analyze": "analyze",
}

__all__ = [
    "Analysis",
    "FakeLabError",
    "Finding",
    "Kind",
    "Level",
    "MediaInfo",
    "ModelCard",
    "PersonScore",
    "Reason",
    "Settings",
    "Verdict",
    "__version__",
    "analyze",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps `fakelab.analyze` the function: importing the module of that name would put the module in its place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "analyze" and isinstance(value, ModuleType):
            value = value.analyze
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
