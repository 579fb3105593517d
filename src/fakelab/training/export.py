"""Trained networks -> what ships: one ONNX file, or tuned numbers laid over the shared INT8 tower, beside a card.

The tower is written node by node, so that every initializer bears the name that the training state dict uses and a
tuning can replace it by name. Integer weights keep 7 bits: with 8, pairs of products overflow the 16-bit sums of
processors without VNNI, and those would give other numbers. Activations are quantised per call: feed one image a call.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fakelab.errors import TrainingError
from fakelab.training.networks import HEAD_WEIGHTS, FaceNet, tuned_state

OPSET = 17
BLOCKS, WIDTH, HEADS, PATCHES_A_SIDE = 12, 768, 12, 14
QUANTISED = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
WEIGHT_MAX = 63
"""2 x 255 x 63 fits 16 bits. Measured: correlation with float .978 (8 bits: .984), AUC the same."""
SHORTENED_FROM = 8192
"""Numbers from which on a weight is worth 8 bits."""
OUTPUTS = ("logit", "map")
"""Every exported model gives the logit (1,), and a map of patch logits (1, h, w)."""


class _TowerGraph:
    """Collects nodes and initializers; every method returns the name of the value it made."""

    def __init__(self, state: dict[str, NDArray[np.float32]]) -> None:
        self.state = state
        self.nodes: list[Any] = []
        self.initializers: dict[str, NDArray[Any]] = {}

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.initializers.setdefault(name, value)
        return name

    def weight(self, name: str) -> str:
        return self.constant(name, self.state[name])

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def norm(self, x: str, name: str) -> str:
        return self.node(
            "LayerNormalization",
            [x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias")],
            f"{name}.out",
            epsilon=1e-5,
        )

    def linear(self, x: str, name: str) -> str:
        """x @ W + b in integers: unsigned activations, their scale found per call; weights with a scale per output."""
        from onnx import helper

        weight = self.state[f"{name}.weight"].T  # (in, out)
        scale = np.maximum(np.abs(weight).max(0) / WEIGHT_MAX, 1e-12).astype(np.float32)
        quantised = np.clip(np.round(weight / scale), -WEIGHT_MAX, WEIGHT_MAX).astype(np.int8)
        stem = f"{name}.weight"
        q = self.constant(f"{stem}.q", quantised)
        w_zero = self.constant(f"{stem}.zero", np.zeros(scale.shape, np.int8))
        w_scale = self.constant(f"{stem}.scale", scale)
        x_q, x_scale, x_zero = f"{name}.x_q", f"{name}.x_scale", f"{name}.x_zero"
        self.nodes.append(helper.make_node("DynamicQuantizeLinear", [x], [x_q, x_scale, x_zero], name=x_q))
        product = self.node("MatMulInteger", [x_q, q, x_zero, w_zero], f"{name}.int")
        as_float = self.node("Cast", [product], f"{name}.float", to=1)
        both = self.node("Mul", [x_scale, w_scale], f"{name}.scales")
        scaled = self.node("Mul", [as_float, both], f"{name}.scaled")
        return self.node("Add", [scaled, self.weight(f"{name}.bias")], f"{name}.out")

    def heads(self, x: str, part: int, name: str, axes: list[int]) -> str:
        """One third of qkv (1, 197, 2304) as (1, heads, 197, 64), axes in the order asked for."""
        starts = self.constant(f"from.{part}", np.array([part * WIDTH], np.int64))
        ends = self.constant(f"to.{part}", np.array([(part + 1) * WIDTH], np.int64))
        piece = self.node("Slice", [x, starts, ends, self.constant("last", np.array([2], np.int64))], f"{name}.slice")
        shape = self.constant("shape.heads", np.array([1, -1, HEADS, WIDTH // HEADS], np.int64))
        return self.node("Transpose", [self.node("Reshape", [piece, shape], f"{name}.split")], f"{name}.t", perm=axes)

    def block(self, x: str, number: int) -> str:
        name = f"blocks.{number}"
        qkv = self.linear(self.norm(x, f"{name}.norm1"), f"{name}.attn.qkv")
        query = self.heads(qkv, 0, f"{name}.q", [0, 2, 1, 3])
        key = self.heads(qkv, 1, f"{name}.k", [0, 2, 3, 1])
        value = self.heads(qkv, 2, f"{name}.v", [0, 2, 1, 3])
        factor = self.constant("attention.factor", np.array((WIDTH // HEADS) ** -0.5, np.float32))
        scores = self.node("MatMul", [self.node("Mul", [query, factor], f"{name}.qs"), key], f"{name}.scores")
        mixed = self.node("MatMul", [self.node("Softmax", [scores], f"{name}.soft", axis=-1), value], f"{name}.mixed")
        back = self.node("Transpose", [mixed], f"{name}.back", perm=[0, 2, 1, 3])
        joined = self.node("Reshape", [back, self.constant("shape.joined", np.array([1, -1, WIDTH]))], f"{name}.join")
        x = self.node("Add", [x, self.linear(joined, f"{name}.attn.proj")], f"{name}.mid")
        hidden = self.linear(self.norm(x, f"{name}.norm2"), f"{name}.mlp.fc1")
        gate = self.node("Mul", [hidden, self.constant("gelu.factor", np.array(1.702, np.float32))], f"{name}.gelu_in")
        active = self.node("Mul", [hidden, self.node("Sigmoid", [gate], f"{name}.gate")], f"{name}.gelu")
        return self.node("Add", [x, self.linear(active, f"{name}.mlp.fc2")], f"{name}.result")


def write_tower(state: dict[str, Tensor], path: Path) -> None:
    """Writes the shared tower: input ``pixels`` (1, 3, 224, 224) float32 normalised RGB, outputs `OUTPUTS`.

    `state` is the timm state dict of CLIP's image tower. The heads are zero: a tuning brings them.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    arrays = {name: np.ascontiguousarray(value.float().numpy()) for name, value in state.items()}
    graph = _TowerGraph(arrays)
    patches = graph.node(
        "Conv",
        ["pixels", graph.weight("patch_embed.proj.weight")],
        "patches",
        kernel_shape=[16, 16],
        strides=[16, 16],
    )
    flat = graph.node("Reshape", [patches, graph.constant("shape.flat", np.array([1, WIDTH, -1]))], "patches.flat")
    rows = graph.node("Transpose", [flat], "patches.rows", perm=[0, 2, 1])
    tokens = graph.node("Concat", [graph.weight("cls_token"), rows], "tokens", axis=1)
    x = graph.norm(graph.node("Add", [tokens, graph.weight("pos_embed")], "tokens.placed"), "norm_pre")
    for number in range(BLOCKS):
        x = graph.block(x, number)
    x = graph.norm(x, "norm")
    zero, one = (graph.constant(f"at.{k}", np.array([k], np.int64)) for k in (0, 1))
    end, axis = (
        graph.constant("at.end", np.array([1 << 30], np.int64)),
        graph.constant("axis.1", np.array([1], np.int64)),
    )
    outputs = (
        ("logit", "head.1", zero, one, [1]),
        ("map", "patch_head", one, end, [1, PATCHES_A_SIDE, PATCHES_A_SIDE]),
    )
    for output, head, start, stop, shape in outputs:
        part = graph.node("Slice", [x, start, stop, axis], f"{head}.tokens")
        weight = graph.constant(f"{head}.weight", np.zeros((WIDTH, 1), np.float32))
        bias = graph.constant(f"{head}.bias", np.zeros(1, np.float32))
        plain = graph.node("Add", [graph.node("MatMul", [part, weight], f"{head}.product"), bias], f"{head}.sum")
        graph.node("Reshape", [plain, graph.constant(f"shape.{output}", np.array(shape, np.int64))], output)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "clip_vit_b16_int8",
            [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 224, 224])],
            [
                helper.make_tensor_value_info("logit", TensorProto.FLOAT, [1]),
                helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, PATCHES_A_SIDE, PATCHES_A_SIDE]),
            ],
            [numpy_helper.from_array(value, name) for name, value in graph.initializers.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=9,
        producer_name="fakelab",
    )
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())


def write_tuning(network: FaceNet, path: Path) -> None:
    """Writes the tuned numbers of a CLIP network under the names of the tower's initializers, as safetensors.

    Raises TrainingError when something was tuned that the tower keeps as integers or has not.
    """
    from safetensors.numpy import save_file

    if network.head_kind != "linear":
        raise TrainingError(
            f"the {network.head_kind} head cannot be laid over the tower",
            "the tower has one linear layer",
            "Train with --head linear.",
        )
    tensors = {}
    for name, value in tuned_state(network).items():
        key = name.removeprefix("body.")
        if any(key.endswith(f"{each}.weight") for each in QUANTISED):
            raise TrainingError(
                f"'{key}' cannot be laid over the tower", "it is kept in 8 bits", "Tune norms or head only."
            )
        array = value.detach().float().numpy()
        tensors[key] = np.ascontiguousarray(array.T if key in HEAD_WEIGHTS else array)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)


def write_onnx(network: FaceNet, path: Path, size_px: int) -> None:
    """Writes any network as one ONNX file with the tower's inputs and outputs, batch of one."""
    network.eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    program = torch.onnx.export(
        network,
        (torch.zeros(1, 3, size_px, size_px),),
        input_names=["pixels"],
        output_names=list(OUTPUTS),
        opset_version=OPSET + 1,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.save(str(path), external_data=False)


def shorten(path: Path) -> None:
    """Keeps the large weights of an ONNX file in 8 bits, a scale for each output, a quarter of the size on disk.

    They become float32 again when a session is made, so that nothing else is rounded and no time is lost. Plain Cast
    and Mul, not DequantizeLinear: ONNX Runtime folds these into constants, and would do that one in every call.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    graph, kept, nodes = model.graph, [], []
    for tensor in graph.initializer:
        weight = numpy_helper.to_array(tensor)
        if weight.dtype != np.float32 or weight.ndim < 2 or weight.size < SHORTENED_FROM:
            kept.append(tensor)
            continue
        axes = tuple(range(1, weight.ndim))
        scale = np.maximum(np.abs(weight).max(axes, keepdims=True) / 127, 1e-12).astype(np.float32)
        kept += [
            numpy_helper.from_array(np.round(weight / scale).astype(np.int8), f"{tensor.name}.q"),
            numpy_helper.from_array(scale, f"{tensor.name}.scale"),
        ]
        nodes += [
            helper.make_node("Cast", [f"{tensor.name}.q"], [f"{tensor.name}.f"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{tensor.name}.f", f"{tensor.name}.scale"], [tensor.name]),
        ]
    nodes += list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
