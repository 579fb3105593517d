"""Models written node by node, whose logit is known in advance; they need the onnx package, which only tests have."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fakelab.models.card import card_as_json, load_card, sha256_of
from fakelab.records import CropSpec, ModelCard

SIZE = 32
HEADS = {
    "head.1.weight": (3, 1),
    "head.1.bias": (1,),
    "patch_head.weight": (3, 1),
    "patch_head.bias": (1,),
}


def write_linear(path: Path, numbers: dict[str, Any], *, size: int = SIZE, names: tuple[str, ...] = ()) -> Path:
    """logit = the three channels' means x head.1.weight + head.1.bias; map = (1, 1, 1) by patch_head likewise."""
    from onnx import TensorProto, helper, numpy_helper

    given, logit, heat_map = names or ("pixels", "logit", "map")
    values = {name: np.zeros(shape, np.float32) for name, shape in HEADS.items()} | numbers
    constants = {"to.1": np.array([1], np.int64), "to.111": np.array([1, 1, 1], np.int64)} | values
    node = helper.make_node
    nodes = [
        node("GlobalAveragePool", [given], ["means"]),
        node("Flatten", ["means"], ["flat"]),
        node("Gemm", ["flat", "head.1.weight", "head.1.bias"], ["one"]),
        node("Reshape", ["one", "to.1"], [logit]),
        node("Gemm", ["flat", "patch_head.weight", "patch_head.bias"], ["two"]),
        node("Reshape", ["two", "to.111"], [heat_map]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(given, TensorProto.FLOAT, [1, 3, size, size])],
        [
            helper.make_tensor_value_info(logit, TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info(heat_map, TensorProto.FLOAT, [1, 1, 1]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def card(**more: Any) -> ModelCard:
    """The tiny model's card for crops of 32 px, with pixels of 0..1 by default."""
    plain = {"crop": CropSpec(1, SIZE, 1.0), "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    return replace(load_card("tiny"), **(plain | more))


def write_card(folder: Path, made: ModelCard, *files: str) -> str:
    """Writes the card beside its files, hashes included; gives the folder as a name for `load_model`."""
    hashes = {file: sha256_of(folder / file) for file in files}
    text = json.dumps(card_as_json(replace(made, files=hashes)))
    (folder / "card.json").write_text(text, encoding="utf-8")
    return str(folder)
