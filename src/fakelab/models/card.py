"""The table of models, and the card that travels with each one's weights.

A model is a folder ``weights/NAME`` with ``card.json`` and ``model.onnx``, or ``tuning.safetensors``, numbers that are
laid over the shared tower in ``weights/clip_tower``, or ``heads.safetensors``, which read its tokens. Everything
is checked by SHA-256 before it is used.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from fakelab.errors import ModelError, UsageError, unknown_name
from fakelab.records import CropSpec, ModelCard

WEIGHTS = Path(__file__).parent / "weights"
MODELS: dict[str, str] = {
    "clip_face": "CLIP ViT-B/16 with tuned norms, biases and head: manipulated faces in videos and photos (default)",
    "tiny": "a small seeded network that travels the same road in milliseconds: for tests; it knows nothing",
}
DEFAULT_MODEL = "clip_face"
VOICES: dict[str, str] = {
    "voice": "early layers of Whisper tiny.en under a linear head: synthesised and converted voices, in any sound",
}
"""Models of sound: `models.voice` loads them."""
DEFAULT_VOICE = "voice"
LIPS: dict[str, str] = {
    "lip_sync": "two linear maps, of mouths and of sound: whether lips and voice go together (experimental)",
}
"""Models of lips and sound together: `models.lips` loads them."""
PICTURES: dict[str, str] = {
    "generated_photo": "linear heads on tokens of the CLIP tower: wholly generated pictures (experimental)",
}
"""Models of whole pictures: `models.pictures` runs their heads, `media.views` cuts what they see."""
DEFAULT_PICTURES = "generated_photo"
EVERY: dict[str, str] = MODELS | VOICES | PICTURES | LIPS
_KINDS = (
    (MODELS, "faces", "look at faces", "Faces are looked at by --model."),
    (VOICES, "voices", "listen to voices", "Voices are chosen by --voice-model."),
    (LIPS, "lips and sound", "compare lips with sound", "They are compared by --lip-sync."),
    (PICTURES, "whole pictures", "judge whole pictures", "Pictures are judged by --picture-model."),
)
"""Table, what its models judge, what a model of another kind cannot do, and how it is asked for."""
TOWER = "clip_tower"
COLOUR_ORDER = "RGB"
NEVER = 1.1
"""A line that no probability reaches."""
UNCALIBRATED: dict[str, Any] = {
    "strong": NEVER,
    "moderate": NEVER,
    "unsure": 0.0,
    "error_rates": {"all": "not measured"},
}
"""An uncalibrated model answers `inconclusive`, never with evidence."""


def model_folder(name: str, table: dict[str, str] | None = None) -> Path:
    """Where the model called `name` lies: a row of the table, or the path of a folder that holds a card.

    `table`, one of MODELS, VOICES, LIPS and PICTURES, says which kind is wanted. Raises UnknownNameError;
    UsageError for the name of a model of another kind.
    """
    if table is not None and name not in table and name in EVERY:
        _, what, _, how = next(row for row in _KINDS if name in row[0])
        _, wanted, cannot, _ = next(row for row in _KINDS if row[0] is table)
        raise UsageError(
            f"{name!r} cannot {cannot}",
            f"it is a model of {what}",
            f"Models of {wanted}: {', '.join(table)}. {how}",
        )
    if name in EVERY:
        return WEIGHTS / name
    if (Path(name) / "card.json").is_file():
        return Path(name)
    raise unknown_name("model", name, EVERY if table is None else table)


def model_file(name: str, file: str) -> Path:
    """The path of a file that a card names: the shared tower lies with FakeLab's weights, the rest by the card."""
    return WEIGHTS / file if file.startswith(f"{TOWER}/") else model_folder(name) / file


@lru_cache(maxsize=8)
def load_card(name: str) -> ModelCard:
    """The card of the model called `name`. Raises UnknownNameError, or ModelError for a card that cannot be used."""
    return read_card(model_folder(name) / "card.json")


def read_card(path: Path) -> ModelCard:
    """The card in a JSON file, every field checked. Raises ModelError."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the model card {path} cannot be read", str(error), "Reinstall fakelab-verify.") from error
    if not isinstance(raw, dict):
        raise ModelError(f"the model card {path} cannot be read", "it is no JSON object", "Reinstall fakelab-verify.")
    names = {each.name for each in fields(ModelCard)}
    missing, extra = names - set(raw), set(raw) - names
    if missing or extra:
        why = ", ".join([f"lacks {n}" for n in sorted(missing)] + [f"has an unknown field {n}" for n in sorted(extra)])
        raise ModelError(f"the model card {path} does not fit this FakeLab", why, "Use weights made with this version.")
    try:
        card = ModelCard(
            **{
                **raw,
                "crop": CropSpec(**raw["crop"]),
                "mean": tuple(raw["mean"]),
                "std": tuple(raw["std"]),
                "data": tuple(raw["data"]),
                "weak_spots": tuple(raw["weak_spots"]),
            }
        )
    except TypeError as error:
        raise ModelError(f"the model card {path} does not fit this FakeLab", str(error), "Mend the card.") from error
    if card.colour_order != COLOUR_ORDER or len(card.mean) != 3 or len(card.std) != 3:
        raise ModelError(
            f"the model card {path} does not fit this FakeLab",
            f"colour order {card.colour_order}, {len(card.mean)} means",
            f"This version feeds {COLOUR_ORDER} pictures of 3 channels.",
        )
    if not all(isinstance(each, int | float) for each in (*card.mean, *card.std)) or min(card.std) <= 0:
        raise ModelError(
            f"the model card {path} does not fit this FakeLab",
            f"mean {card.mean}, deviation {card.std}",
            "Both are numbers, and a deviation is over 0.",
        )
    return card


def card_as_json(card: ModelCard) -> dict[str, Any]:
    """The card as what `read_card` reads."""
    plain: dict[str, Any] = {each.name: getattr(card, each.name) for each in fields(ModelCard)}
    plain["crop"] = {each.name: getattr(card.crop, each.name) for each in fields(CropSpec)}
    return plain


def write_card(card: ModelCard, folder: Path) -> None:
    """Writes `card` as the folder's card.json."""
    text = json.dumps(card_as_json(card), indent=2, ensure_ascii=False)
    (folder / "card.json").write_text(text + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(name: str) -> list[tuple[str, bool, str]]:
    """For every file that the card names: (file, whether it is there unaltered, what was found)."""
    rows = []
    for file, wanted in load_card(name).files.items():
        path = model_file(name, file)
        if not path.is_file():
            rows.append((file, False, "missing"))
            continue
        found = sha256_of(path)
        rows.append((file, found == wanted, "ok" if found == wanted else f"altered: SHA-256 is {found}"))
    return rows


def checked_onnx(name: str) -> tuple[ModelCard, Path]:
    """The card of a model and its ONNX file, once every file was found unaltered by its SHA-256.

    Raises UnknownNameError, and ModelError when a file is missing or altered, or the card names no ONNX file.
    """
    card = load_card(name)
    for file, unaltered, found in verify(name):
        if not unaltered:
            raise ModelError(
                f"the model '{name}' cannot be used",
                f"{model_file(name, file)} is {found}",
                "Reinstall fakelab-verify; `fakelab models verify` lists every file.",
            )
    onnx_file = next((f for f in card.files if f.endswith(".onnx")), None)
    if onnx_file is None:
        raise ModelError(f"the model '{name}' cannot be used", "its card names no .onnx file", "Mend the card.")
    return card, model_file(name, onnx_file)
