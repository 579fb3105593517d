"""What an answer depends on, in short: the file's bytes, the models, the settings that can move it, and the version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fakelab.errors import FakeLabError
from fakelab.service.chain import sha256_of_json
from fakelab.settings import Settings

MACHINE = frozenset({"threads", "memory_mb", "cpu_s", "wall_s", "pixels", "debug"})
"""Settings about how fast and within what limits, not about the answer."""


def recipe(sha256: str, settings: Mapping[str, Any], models: Sequence[Mapping[str, str]], fakelab: str) -> str:
    """One SHA-256, in hexadecimal, that two analyses share exactly when they must give the same answer.

    `settings` are those of a document, `models` its rows (name, version, sha256) of the models that they name.
    """
    asked = {name: value for name, value in settings.items() if name not in MACHINE}
    rows = [dict(each) for each in models]
    return sha256_of_json({"file": sha256, "settings": asked, "models": rows, "fakelab": fakelab})


def recipe_of_document(document: Mapping[str, Any]) -> str:
    """The recipe of an analysis that was just made; empty where its file could not be read or a model is not known.

    Before a file is opened nobody knows which models it needs, so that all that its settings name count: a recording
    has no use for that of faces, and its recipe names it all the same.
    """
    settings, sha256 = document["settings"], document["file"]["sha256"]
    if not sha256 or not settings.get("model"):
        return ""
    used = {each["name"]: each for each in document["models"]}
    try:
        rows = [used.get(name) or _row(name) for name in _named(settings)]
    except FakeLabError:
        return ""
    return recipe(sha256, settings, rows, document["versions"]["fakelab"])


def recipe_of_settings(sha256: str, settings: Settings) -> str:
    """The recipe that the analysis of a file with this SHA-256 and these settings is going to have."""
    from fakelab.analyze import shown_settings, versions

    shown = shown_settings(settings)
    return recipe(sha256, shown, [_row(name) for name in _named(shown)], versions()["fakelab"])


def _named(settings: Mapping[str, Any]) -> list[str]:
    """The models that settings name. Those of earlier versions knew none for voices or whole pictures."""
    voice = settings.get("voice_model") if settings.get("voice", True) else None
    picture = settings.get("picture_model") if settings.get("generated") else None
    lips = ["lip_sync"] if settings.get("lip_sync") else []
    return [settings["model"], *([voice] if voice else []), *([picture] if picture else []), *lips]


def _row(name: str) -> dict[str, str]:
    from fakelab.analyze import model_row

    return model_row(name)
