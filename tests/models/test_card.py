from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakelab.errors import ModelError, UnknownNameError
from fakelab.models.card import (
    DEFAULT_MODEL,
    MODELS,
    WEIGHTS,
    card_as_json,
    load_card,
    model_file,
    model_folder,
    read_card,
    sha256_of,
    verify,
)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A copy of the tiny model's folder, to be damaged."""
    return Path(shutil.copytree(WEIGHTS / "tiny", tmp_path / "tiny"))


def change(folder: Path, how: Callable[[dict[str, Any]], object]) -> Path:
    card = folder / "card.json"
    raw = json.loads(card.read_text(encoding="utf-8"))
    how(raw)
    card.write_text(json.dumps(raw), encoding="utf-8")
    return card


def test_a_card_that_is_written_is_read_back_the_same(tiny: Path) -> None:
    card = replace(
        read_card(tiny / "card.json"),
        summary="naïve – 日本",
        data=({"name": "LFW", "use": "training", "licence": "none stated"},),
        weak_spots=("a", "b"),
        mean=(0.1, 0.2, 0.3),
        metrics={"auc": {"value": 0.9, "interval": [0.8, 1.0]}},
    )
    (tiny / "card.json").write_text(json.dumps(card_as_json(card)), encoding="utf-8")
    assert read_card(tiny / "card.json") == card


@pytest.mark.parametrize("name", MODELS)
def test_the_card_of_every_shipped_model_can_be_used(name: str) -> None:
    card = load_card(name)
    assert card.name == name
    assert card.colour_order == "RGB"
    assert card.licence
    assert card.weak_spots
    for kind in ("video", "photo"):
        lines = card.thresholds[kind]
        assert lines["unsure"] <= lines["moderate"] <= lines["strong"]
        assert "slope" in card.calibration[kind]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda raw: raw.pop("mean"), "lacks mean"),
        (lambda raw: raw.update(colour="RGB"), "has an unknown field colour"),
        (lambda raw: raw.update(colour_order="BGR"), "colour order BGR"),
        (lambda raw: raw.update(mean=[0.5, 0.5]), "2 means"),
        (lambda raw: raw.update(std=[0.5]), "feeds RGB pictures of 3 channels"),
        (lambda raw: raw.update(std=[0.5, 0.0, 0.5]), "a deviation is over 0"),
        (lambda raw: raw.update(mean=["0.5", "0.5", "0.5"]), "Both are numbers"),
        (lambda raw: raw["crop"].pop("margin"), "margin"),
        (lambda raw: raw["crop"].update(padding=3), "padding"),
        (lambda raw: raw.update(data=None), "does not fit this FakeLab"),
    ],
)
def test_a_card_that_does_not_fit_is_refused_with_what_is_wrong(
    how: Callable[[dict[str, Any]], object], words: str, tiny: Path
) -> None:
    card = change(tiny, how)
    with pytest.raises(ModelError, match=words) as error:
        read_card(card)
    assert str(card) in str(error.value)


@pytest.mark.parametrize("text", [b"{", b"", b"5", b"[]", b'"card"', b"\xff\xfe{}"])
def test_a_file_that_is_no_card_is_a_model_error(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_bytes(text)
    with pytest.raises(ModelError, match=r"card\.json cannot be read"):
        read_card(tmp_path / "card.json")
    with pytest.raises(ModelError, match="cannot be read"):
        read_card(tmp_path / "none.json")


@pytest.mark.parametrize(("name", "nearest"), [("tinny", "tiny"), ("clipface", "clip_face"), ("Tiny", "tiny")])
def test_an_unknown_model_answers_with_the_known_ones_and_the_nearest(name: str, nearest: str) -> None:
    for ask in (model_folder, load_card, verify):
        known = "clip_face, generated_photo, lip_sync, tiny, voice"
        with pytest.raises(UnknownNameError, match=rf"'{name}'. Did you mean '{nearest}'\? Known: {known}"):
            ask(name)


def test_the_path_of_a_folder_with_a_card_is_a_model_and_one_without_is_not(tiny: Path, tmp_path: Path) -> None:
    assert load_card(str(tiny)).name == "tiny"
    assert model_folder(str(tiny)) == tiny
    with pytest.raises(UnknownNameError):
        model_folder(str(tmp_path))


def test_files_of_the_shared_tower_lie_with_fakelab_and_others_beside_their_card(tiny: Path) -> None:
    assert model_file(str(tiny), "model.onnx") == tiny / "model.onnx"
    assert model_file(str(tiny), "clip_tower/tower.onnx") == WEIGHTS / "clip_tower" / "tower.onnx"


@pytest.mark.parametrize("name", MODELS)
def test_every_file_of_the_shipped_models_is_there_unaltered(name: str) -> None:
    rows = verify(name)
    assert rows
    assert [(file, ok, found) for file, ok, found in rows if not ok or found != "ok"] == []
    assert DEFAULT_MODEL in MODELS


def test_verify_lists_what_is_altered_and_what_is_missing(tiny: Path) -> None:
    change(tiny, lambda raw: raw["files"].update({"more.safetensors": "0" * 64}))
    data = bytearray((tiny / "model.onnx").read_bytes())
    data[-1] ^= 1
    (tiny / "model.onnx").write_bytes(data)
    altered, missing = verify(str(tiny))
    assert altered == ("model.onnx", False, f"altered: SHA-256 is {sha256_of(tiny / 'model.onnx')}")
    assert missing == ("more.safetensors", False, "missing")


def test_a_hash_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_of(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
