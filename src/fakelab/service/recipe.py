"""What an answer depends on, in short: the file's bytes, the model, the settings that can move it, and the version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fakelab.service.chain import sha256_of_json
from fakelab.settings import Settings

MACHINE = frozenset({"threads", "memory_mb", "cpu_s", "wall_s", "pixels", "debug"})
"""Settings about how fast and within what limits, not about the answer."""


def recipe(sha256: str, settings: Mapping[str, Any], model: Mapping[str, str], fakelab: str) -> str:
    """One SHA-256, in hexadecimal, that two analyses share exactly when they must give the same answer.

    `settings` are those of a document, `model` its row of the chosen model (name, version, sha256).
    """
    asked = {name: value for name, value in settings.items() if name not in MACHINE}
    return sha256_of_json({"file": sha256, "settings": asked, "model": dict(model), "fakelab": fakelab})


def recipe_of_document(document: Mapping[str, Any]) -> str:
    """The recipe of a finished analysis; empty where its file could not be read or its model is not named."""
    chosen = document["settings"].get("model")
    rows = [each for each in document["models"] if each["name"] == chosen]
    if not rows or not document["file"]["sha256"]:
        return ""
    return recipe(document["file"]["sha256"], document["settings"], rows[0], document["versions"]["fakelab"])


def recipe_of_settings(sha256: str, settings: Settings) -> str:
    """The recipe that the analysis of a file with this SHA-256 and these settings is going to have."""
    from fakelab.analyze import model_row, shown_settings, versions

    return recipe(sha256, shown_settings(settings), model_row(settings.model), versions()["fakelab"])
