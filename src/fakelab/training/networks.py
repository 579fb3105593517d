"""The networks that can be trained: one class, a literal table of backbones, and where each starts from.

Every network maps (B, 3, S, S) float32, normalised RGB, to a pair: logits (B,) and a map of patch logits (B, h, w).
The default is CLIP's ViT-B/16 image tower with norms, biases and heads tuned (Yermakov, Cech, Matas 2025, "Unlocking
the hidden potential of CLIP in generalizable deepfake detection"; BitFit, Ben Zaken et al. 2022): it keeps what 400
million pictures taught it. ResNet18 is the founding architecture, free to change all over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakelab.errors import TrainingError, unknown_name

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
EFFICIENT_LITE = ((0.498, 0.498, 0.498), (0.502, 0.502, 0.502))
INITS = ("clip", "imagenet", "none")
TUNES = ("all", "norms", "head")
HEADS = ("linear", "hidden")
HEAD_WEIGHTS = ("head.1.weight", "patch_head.weight")
"""What a tuning file holds transposed, as the tower's graph multiplies it."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """A row of the table: how timm calls the network, its features, and how its pictures are normalised."""

    timm_name: str
    features: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    transformer: bool = False
    default_init: str = "imagenet"
    default_tune: str = "all"


BACKBONES = {
    "clip_vit_b16": Backbone("vit_base_patch16_clip_quickgelu_224", 768, *CLIP, True, "clip", "norms"),
    "resnet18": Backbone("resnet18", 512, *IMAGENET),
    "mobilenetv2": Backbone("mobilenetv2_100", 1280, *IMAGENET),
    "efficientnet_lite0": Backbone("tf_efficientnet_lite0", 1280, *EFFICIENT_LITE),
    "tiny": Backbone("", 16, *IMAGENET, default_init="none"),
}


class FaceNet(nn.Module):
    """A backbone with a head: ``forward`` gives logits (B,) and patch logits (B, h, w), both fake when positive.

    While it trains, a transformer is shown all but a share `patch_drop` of a picture's patches, drawn anew each time
    (Li et al. 2023, "Scaling language-image pre-training via masking"): a step costs as much less, and the patch logits
    of what was left out are NaN. In eval mode, and for other networks, every patch is seen.
    """

    def __init__(self, name: str, head: str = "linear", dropout: float = 0.0, patch_drop: float = 0.0) -> None:
        super().__init__()
        row = backbone(name)
        if head not in HEADS:
            raise unknown_name("head", head, HEADS)
        self.name, self.head_kind, self.transformer = name, head, row.transformer
        self.patch_drop = patch_drop
        self.body: Any = _tiny_body() if name == "tiny" else _timm_body(row)
        self.head = _linear_head(row.features, dropout) if head == "linear" else _hidden_head(row.features, dropout)
        # Patch logits have weights of their own, taught by the masks of blended faces.
        self.patch_head = nn.Linear(row.features, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        if self.transformer:
            return self._look(pictures)
        features = self.body(pictures)
        patches = self.patch_head(features.permute(0, 2, 3, 1)).squeeze(-1)
        return self.head(features.mean((2, 3))).squeeze(-1), patches

    def _look(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        body = self.body
        tokens = body._pos_embed(body.patch_embed(pictures))
        count = tokens.shape[1] - 1
        side = round(count**0.5)
        kept: Tensor | None = None
        if self.training and self.patch_drop > 0:
            keep = max(1, round(count * (1 - self.patch_drop)))
            kept = torch.rand(len(tokens), count).argsort(1)[:, :keep]
            at = kept.unsqueeze(-1).expand(-1, -1, tokens.shape[2])
            tokens = torch.cat([tokens[:, :1], tokens[:, 1:].gather(1, at)], 1)
        tokens = body.norm(body.blocks(body.norm_pre(tokens)))
        patches = self.patch_head(tokens[:, 1:]).squeeze(-1)
        if kept is not None:
            patches = patches.new_full((len(patches), count), torch.nan).scatter(1, kept, patches)
        return self.head(tokens[:, 0]).squeeze(-1), patches.reshape(-1, side, side)


def backbone(name: str) -> Backbone:
    """The row called `name`. Raises UnknownNameError."""
    if name not in BACKBONES:
        raise unknown_name("network", name, BACKBONES)
    return BACKBONES[name]


def make_network(
    name: str, *, init: str = "", tune: str = "", head: str = "linear", dropout: float = 0.0, patch_drop: float = 0.0
) -> FaceNet:
    """A FaceNet ready to train: started from `init` (clip, imagenet, none or a path), only `tune` left trainable.

    A path is an ONNX tower, a safetensors file of a network, or a model's tuning.safetensors, to go on from.

    Raises UnknownNameError, and TrainingError where the weights to start from cannot be had or do not fit.
    """
    row = backbone(name)
    network = FaceNet(name, head, dropout, patch_drop)
    _start(network, row, init or row.default_init)
    freeze(network, tune or row.default_tune)
    return network


def check_start(name: str, *, init: str = "", tune: str = "", head: str = "linear") -> None:
    """Raises what `make_network` would, before hours of work are spent: the weights are fetched and tried, then let go.

    The state of torch's generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        make_network(name, init=init, tune=tune, head=head)


def freeze(network: FaceNet, tune: str) -> None:
    """Leaves trainable: `all` weights, the `norms` (every norm, every bias, the heads), or the `head` alone."""
    if tune not in TUNES:
        raise unknown_name("choice of what to tune", tune, TUNES)
    norms = {id(p) for m in network.modules() if isinstance(m, nn.LayerNorm | nn.BatchNorm2d) for p in m.parameters()}
    for name, parameter in network.named_parameters():
        in_head = name.startswith(("head.", "patch_head."))
        parameter.requires_grad_(
            tune == "all" or in_head or (tune == "norms" and (id(parameter) in norms or name.endswith(".bias")))
        )


def has_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16; without them autocast is many times slower than float32."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def bfloat16_pays() -> bool:
    """Whether a transformer's layer is faster in bfloat16, measured: some processors with the instructions are slower.

    Takes a tenth of a second; never true without the instructions.
    """
    return has_bfloat16() and _layer_s(torch.bfloat16) < 0.9 * _layer_s(torch.float32)


def _layer_s(kind: torch.dtype) -> float:
    """The best of five times, in seconds, of one large linear layer forward and back."""
    picture, weight = torch.ones(512, 768, dtype=kind), torch.ones(3072, 768, dtype=kind)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        (nn.functional.linear(picture, weight) @ weight).sum()
        times.append(time.perf_counter() - started)
    return min(times)


def shorten_frozen(network: FaceNet) -> None:
    """Keeps the frozen weights of linear and convolution layers in bfloat16, which autocast would cast at each step."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and not module.weight.requires_grad:
            module.weight.data = module.weight.data.to(torch.bfloat16)


def tuned_state(network: FaceNet) -> dict[str, Tensor]:
    """The numbers that training changes: trainable parameters, and the running statistics of batch norms."""
    trainable = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    return {k: v for k, v in network.state_dict().items() if k in trainable or "running_" in k}


def _linear_head(features: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(features, 1))


def _hidden_head(features: int, dropout: float) -> nn.Module:
    """The founding study's second head, with one logit in place of two."""
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(features, 256),
        nn.ReLU(),
        nn.BatchNorm1d(256),
        nn.Dropout(dropout),
        nn.Linear(256, 1),
    )


def _timm_body(row: Backbone) -> Any:
    import timm

    kwargs: dict[str, Any] = {"num_classes": 0}
    if not row.transformer:
        kwargs["global_pool"] = ""
    return timm.create_model(row.timm_name, pretrained=False, **kwargs)


def _tiny_body() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, stride=4, padding=3), nn.ReLU(), nn.Conv2d(8, 16, 5, stride=4, padding=2), nn.ReLU()
    )


def _start(network: FaceNet, row: Backbone, init: str) -> None:
    if init == "none":
        return
    if init == "clip":
        if network.name != "clip_vit_b16":
            raise TrainingError(
                f"{network.name} cannot start from CLIP", "only clip_vit_b16 can", "Choose another --init."
            )
        _load_body(network, clip_tower_state(_shipped_tower()))
    elif init == "imagenet":
        if not row.timm_name:
            raise TrainingError(
                f"there are no ImageNet weights of {network.name}", "", "Give --init none, or a file with --init PATH."
            )
        _load_body(network, _imagenet_state(network.name, row))
    elif Path(init).is_file():
        _load_path(network, Path(init))
    else:
        raise TrainingError(
            f"cannot start from '{init}'", "there is no such file", f"Give one of {', '.join(INITS)}, or a path."
        )


def _load_body(network: FaceNet, state: dict[str, Tensor]) -> None:
    """Strict: a backbone that silently keeps random weights is the classic mistake of this field."""
    known = network.body.state_dict()
    state = {k: v for k, v in state.items() if k in known or not k.startswith(("fc.", "classifier.", "head."))}
    try:
        network.body.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise TrainingError(
            f"the weights do not fit {network.name}", str(error), "Give weights of this network."
        ) from error


def _load_path(network: FaceNet, path: Path) -> None:
    if path.suffix == ".onnx":
        _load_body(network, clip_tower_state(path))
        return
    if path.suffix != ".safetensors":
        raise TrainingError(
            f"cannot start from {path}",
            "only .safetensors and .onnx are read",
            "Pickled files can run code: convert them.",
        )
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"the weights in {path} cannot be read", str(error), "Give a whole file.") from error
    whole = any(k.startswith("body.") for k in state)
    if network.name == "clip_vit_b16" and not whole and set(HEAD_WEIGHTS) <= set(state):
        state, whole = _laid_over_tower(state), True
    if whole:
        try:
            missing, unexpected = network.load_state_dict(state, strict=False)
        except RuntimeError as error:
            raise TrainingError(
                f"the weights in {path} do not fit {network.name}", str(error), "Give weights of this network."
            ) from error
        wanted = set(tuned_state(network))
        if unexpected or wanted & set(missing):
            raise TrainingError(f"the weights in {path} do not fit {network.name}", f"{unexpected or missing}", "")
    else:
        _load_body(network, state)


def _laid_over_tower(tuning: dict[str, Tensor]) -> dict[str, Tensor]:
    """A whole network's state: the shared tower under tuned numbers, as `export.write_tuning` wrote them."""
    named = {k if k.startswith(("head.", "patch_head.")) else f"body.{k}": v for k, v in tuning.items()}
    heads = {k: named[k].T.contiguous() for k in HEAD_WEIGHTS}
    return {f"body.{k}": v for k, v in clip_tower_state(_shipped_tower()).items()} | named | heads


def _imagenet_state(name: str, row: Backbone) -> dict[str, Tensor]:
    """torchvision's or timm's published ImageNet weights: the user's machine downloads them, when asked."""
    try:
        if name == "resnet18":
            from torchvision.models import ResNet18_Weights

            return dict(ResNet18_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True))
        import timm

        return dict(timm.create_model(row.timm_name, pretrained=True, num_classes=0).state_dict())
    except (OSError, RuntimeError) as error:
        raise TrainingError(
            f"the ImageNet weights of {name} cannot be fetched",
            str(error),
            "Connect to the internet, or give a file with --init PATH, or --init none.",
        ) from error


def _shipped_tower() -> Path:
    from fakelab.models.card import WEIGHTS

    return WEIGHTS / "clip_tower" / "tower.onnx"


def clip_tower_state(path: Path) -> dict[str, Tensor]:
    """CLIP's image tower as a timm state dict in float32, from an INT8 ONNX file.

    The file is ours, or an export that bears the names of Hugging Face's CLIPVisionModel. Integer weights become
    (q - zero point) x scale, per output channel. Raises TrainingError without the file.
    """
    import onnx
    from onnx import numpy_helper

    if not path.is_file():
        raise TrainingError(f"there is no CLIP tower at {path}", "", "Give the path of the tower's ONNX file.")
    graph = onnx.load(str(path)).graph
    arrays = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    if "blocks.0.norm1.weight" in arrays:
        return _from_our_tower(arrays)
    return _from_hugging_face(graph, arrays)


def _dequantise(q: NDArray[Any], scale: NDArray[np.float32], zero: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray((q.astype(np.float32) - zero.astype(np.float32)) * scale, dtype=np.float32)


def _from_our_tower(arrays: dict[str, NDArray[Any]]) -> dict[str, Tensor]:
    state = {}
    for name, value in arrays.items():
        if name.endswith(".weight.q"):
            stem = name.removesuffix(".q")
            float_value = _dequantise(value, arrays[f"{stem}.scale"], arrays[f"{stem}.zero"])
            state[stem] = torch.from_numpy(float_value.T.copy())
        elif name.startswith(("blocks.", "norm", "cls_token", "pos_embed", "patch_embed")) and ".weight." not in name:
            state[name] = torch.from_numpy(value.astype(np.float32))
    return state


def _from_hugging_face(graph: Any, arrays: dict[str, NDArray[Any]]) -> dict[str, Tensor]:
    dense = _dense_by_bias(graph, arrays)
    prefix = "vision_model."
    get: Callable[[str], Tensor] = lambda name: torch.from_numpy(arrays[prefix + name].astype(np.float32).copy())  # noqa: E731
    state = {
        "cls_token": get("embeddings.class_embedding").reshape(1, 1, -1),
        "pos_embed": get("embeddings.position_embedding.weight").unsqueeze(0),
        "patch_embed.proj.weight": get("embeddings.patch_embedding.weight"),
        "norm_pre.weight": get("pre_layrnorm.weight"),
        "norm_pre.bias": get("pre_layrnorm.bias"),
        "norm.weight": get("post_layernorm.weight"),
        "norm.bias": get("post_layernorm.bias"),
    }
    for block in range(12):
        theirs, ours = f"encoder.layers.{block}.", f"blocks.{block}."
        parts = [f"{theirs}self_attn.{letter}_proj" for letter in "qkv"]
        state[f"{ours}attn.qkv.weight"] = torch.cat([dense[f"{prefix}{part}.bias"] for part in parts])
        state[f"{ours}attn.qkv.bias"] = torch.cat([get(f"{part}.bias") for part in parts])
        for their, our in (("self_attn.out_proj", "attn.proj"), ("mlp.fc1", "mlp.fc1"), ("mlp.fc2", "mlp.fc2")):
            state[f"{ours}{our}.weight"] = dense[f"{prefix}{theirs}{their}.bias"]
            state[f"{ours}{our}.bias"] = get(f"{theirs}{their}.bias")
        for their, our in (("layer_norm1", "norm1"), ("layer_norm2", "norm2")):
            for leaf in ("weight", "bias"):
                state[f"{ours}{our}.{leaf}"] = get(f"{theirs}{their}.{leaf}")
    return state


def _dense_by_bias(graph: Any, arrays: dict[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Bias name -> (out, in) weight: each integer product is followed to the Add that names its bias."""
    followers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            followers.setdefault(name, []).append(node)
    found = {}
    for node in graph.node:
        if node.op_type != "MatMulInteger":
            continue
        stem = node.input[1].removesuffix("_quantized")
        value = _dequantise(arrays[node.input[1]], arrays[f"{stem}_scale"], arrays[f"{stem}_zero_point"])
        ahead = node
        while ahead is not None and ahead.op_type != "Add":
            after = followers.get(ahead.output[0], [])
            ahead = after[0] if after else None
        bias = next((name for name in (ahead.input if ahead is not None else ()) if name in arrays), None)
        if bias is not None:
            found[bias] = torch.from_numpy(value.T.copy())
    return found
