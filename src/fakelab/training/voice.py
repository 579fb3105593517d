"""The voice network: layers of a speech recogniser and spectral statistics, pooled over time, under one linear head.

The recogniser (Whisper's encoder) stays as it is: its early layers have heard much speech and many channels. Only the
head is fitted, from sources of which each weighs the same. What ships is one ONNX file that takes levelled samples.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fakelab.errors import TrainingError
from fakelab.media.audio import RATE, Samples
from fakelab.training.voice_twin import mel_bank

if TYPE_CHECKING:
    from fakelab.training.voice_head import Head

WIDTH, HEADS, BANDS, LONGEST = 384, 6, 80, 250
"""Of Whisper tiny: numbers a frame, attention heads, mel bands; and frames of 20 ms of which the places are kept."""
LAYERS = 3
"""Layers of the encoder that are kept: the states before, between and after them are pooled."""
SPECTRA = ((512, 64), (1024, 96))
"""Length of the transform and number of linear bands, for the statistics."""
CLIP = 4.0
"""A feature counts at most this many of its standard deviations."""
OPSET = 18
_KINDS = (np.float32, np.int8, np.int16, np.int32, np.float16)


class Spectrum(nn.Module):
    """(B, N) samples -> (B, size // 2 + 1, T) power, a frame every 10 ms, Hann window, edges mirrored."""

    kernel: Tensor
    groups: Tensor
    steps: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        time = np.arange(size)
        turn = 2 * np.pi * np.arange(size // 2 + 1)[:, None] * time / size
        window = 0.5 - 0.5 * np.cos(2 * np.pi * time / size)
        kernel = np.concatenate([np.cos(turn) * window, -np.sin(turn) * window])[:, None]
        self.register_buffer("kernel", torch.tensor(kernel, dtype=torch.float32))

    def forward(self, samples: Tensor) -> Tensor:
        edge = self.size // 2
        padded = functional.pad(samples[:, None], (edge, edge), mode="reflect")
        real, imaginary = functional.conv1d(padded, self.kernel, stride=RATE // 100).chunk(2, dim=1)
        power: Tensor = real * real + imaginary * imaginary
        return power


class Layer(nn.Module):
    """One layer of Whisper's encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.attend_norm, self.feed_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.ask, self.answer = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.widen, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        shape = (x.shape[0], -1, HEADS, WIDTH // HEADS)
        query, key, value = (each.reshape(shape).transpose(1, 2) for each in self.ask(self.attend_norm(x)).chunk(3, -1))
        weights = torch.softmax(query @ key.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5, dim=-1)
        x = x + self.answer((weights @ value).transpose(1, 2).reshape(x.shape[0], -1, WIDTH))
        wide = functional.gelu(self.widen(self.feed_norm(x)))
        fed: Tensor = x + self.narrow(wide)
        return fed


class VoiceFeatures(nn.Module):
    """(B, N) levelled samples -> (B, F): mean, deviation and change over time of every kept state and band."""

    bank: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.spectrum = Spectrum(400)
        self.register_buffer("bank", torch.tensor(mel_bank(BANDS, 400, RATE, 8000.0), dtype=torch.float32))
        self.first = nn.Conv1d(BANDS, WIDTH, 3, padding=1)
        self.second = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.place = nn.Parameter(torch.zeros(LONGEST, WIDTH))
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.spectra = nn.ModuleList(Spectrum(size) for size, _ in SPECTRA)
        for (size, bands), each in zip(SPECTRA, self._spectra(), strict=True):
            each.register_buffer("groups", _groups(size // 2 + 1, bands))
            each.register_buffer("steps", _groups(size // 2, bands))

    def forward(self, samples: Tensor) -> Tensor:
        parts = []
        for state in self.states(samples):
            change = state[:, 1:] - state[:, :-1]
            parts += [state.mean(1), state.std(1), torch.log(change.std(1) + 1e-3)]
        return torch.cat([*parts, *self.statistics(samples)], dim=1)

    def states(self, samples: Tensor) -> list[Tensor]:
        """(B, T, WIDTH) each: after the first convolution, before the layers, and after each layer."""
        power = self.spectrum(samples)[..., :-1]
        mel = torch.log10(torch.clamp(self.bank @ power, min=1e-10))
        mel = (torch.maximum(mel, mel.amax((1, 2), keepdim=True) - 8) + 4) / 4
        x = functional.gelu(self.first(mel))
        found = [x.transpose(1, 2)]
        x = functional.gelu(self.second(x)).transpose(1, 2)
        x = x + self.place[: x.shape[1]]
        found.append(x)
        for layer in self.layers:
            x = layer(x)
            found.append(x)
        return found

    def _spectra(self) -> list[Spectrum]:
        return [each for each in self.spectra if isinstance(each, Spectrum)]

    def statistics(self, samples: Tensor) -> list[Tensor]:
        """Of log power in linear bands: shape over time, change, roughness along frequency, ties between bands."""
        parts = []
        for each in self._spectra():
            power = torch.log(each(samples) + 1e-6)
            bands = each.groups @ power
            change = bands[..., 1:] - bands[..., :-1]
            again = change[..., 1:] - change[..., :-1]
            rough = each.steps @ (power[:, 1:] - power[:, :-1]).abs()
            centred = bands - bands.mean(-1, keepdim=True)
            spread = centred.std(-1) + 1e-3
            scaled = centred / spread[..., None]
            parts += [spread, torch.log(change.std(-1)), torch.log(again.std(-1))]
            parts += [(scaled**3).mean(-1), (scaled**4).mean(-1), rough.mean(-1), rough.std(-1)]
            parts += [(scaled[:, 1:] * scaled[:, :-1]).mean(-1), (scaled[:, 4:] * scaled[:, :-4]).mean(-1)]
        return parts


class VoiceNet(nn.Module):
    """(1, N) levelled samples -> (1,) logit."""

    mean: Tensor
    scale: Tensor
    weight: Tensor

    def __init__(self, features: VoiceFeatures, head: Head) -> None:
        super().__init__()
        self.features = features
        for name, value in (("mean", head.mean), ("scale", head.scale), ("weight", head.weight)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float32))
        self.offset = float(head.offset)

    def forward(self, samples: Tensor) -> Tensor:
        scaled: Tensor = torch.clamp((self.features(samples) - self.mean) / self.scale, -CLIP, CLIP)
        logit: Tensor = scaled @ self.weight + self.offset
        return logit


def read_whisper(model_bin: Path) -> VoiceFeatures:
    """The features with the encoder of a CTranslate2 file of Whisper tiny. Raises TrainingError for another file."""
    try:
        stored = _ctranslate2(model_bin.read_bytes())
        features = VoiceFeatures()
        state = features.state_dict()
        for name, value in _named(stored).items():
            if state[name].shape != value.shape:
                raise ValueError(f"{name} is {value.shape}, not {tuple(state[name].shape)}")
            state[name] = torch.tensor(value.astype(np.float32))
        features.load_state_dict(state)
    except (OSError, KeyError, ValueError, IndexError, struct.error) as error:
        raise TrainingError(
            f"{model_bin} is no Whisper tiny encoder of CTranslate2", str(error), "Take model.bin of tiny.en."
        ) from error
    return features.eval()


@torch.inference_mode()
def features_of(features: VoiceFeatures, samples: Samples) -> NDArray[np.float32]:
    """(F,) of one levelled window."""
    return np.asarray(features(torch.from_numpy(samples)[None])[0].numpy(), dtype=np.float32)


def write_onnx(network: VoiceNet, path: Path) -> None:
    """Writes the network as ONNX, samples of any length in, one logit out."""
    example = torch.zeros(1, 4 * RATE).uniform_(-0.1, 0.1)
    length = torch.export.Dim("length", min=4000, max=LONGEST * RATE // 50)
    program: Any = torch.onnx.export(
        network.eval(),
        (example,),
        dynamo=True,
        opset_version=OPSET,
        input_names=["samples"],
        output_names=["logit"],
        dynamic_shapes={"samples": {1: length}},
        verbose=False,
    )
    program.save(str(path))
    _halve(path)


def _halve(path: Path) -> None:
    """Stores numbers that 16 bits hold exactly, as the recogniser's were published, in 16 bits."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    casts = []
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = value.astype(np.float16)
        if (
            tensor.data_type == TensorProto.FLOAT
            and value.size > 1000
            and np.array_equal(half.astype(np.float32), value)
        ):
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    for node in reversed(casts):
        model.graph.node.insert(0, node)
    onnx.save(model, str(path))


def _groups(bins: int, bands: int) -> Tensor:
    """(bands, bins): each row is the mean over its share of the bins."""
    rows = torch.zeros(bands, bins)
    for band in range(bands):
        start, end = band * bins // bands, -(-(band + 1) * bins // bands)
        rows[band, start:end] = 1 / (end - start)
    return rows


def _named(stored: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Our names -> the arrays of the encoder."""
    pairs = {"first": "conv1", "second": "conv2"}
    ours = {f"{name}.{part}": stored[f"encoder/{theirs}/{part}"] for name, theirs in pairs.items() for part in _PARTS}
    ours["place"] = stored["encoder/position_encodings/encodings"][:LONGEST]
    for number in range(LAYERS):
        at = f"encoder/layer_{number}"
        for name, theirs in (("attend_norm", "self_attention"), ("feed_norm", "ffn")):
            ours[f"layers.{number}.{name}.weight"] = stored[f"{at}/{theirs}/layer_norm/gamma"]
            ours[f"layers.{number}.{name}.bias"] = stored[f"{at}/{theirs}/layer_norm/beta"]
        for name, theirs in _LINEAR.items():
            for part in _PARTS:
                ours[f"layers.{number}.{name}.{part}"] = stored[f"{at}/{theirs}/{part}"]
    return ours


_PARTS = ("weight", "bias")
_LINEAR = {
    "ask": "self_attention/linear_0",
    "answer": "self_attention/linear_1",
    "widen": "ffn/linear_0",
    "narrow": "ffn/linear_1",
}


def _ctranslate2(data: bytes) -> dict[str, NDArray[Any]]:
    """Every array of a CTranslate2 file by its name."""
    at = 0

    def number(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{form}", data, at)
        at += struct.calcsize(f"<{form}")
        return int(value)

    def text() -> str:
        nonlocal at
        length = number("H")
        at += length
        return data[at - length : at - 1].decode()

    number("I"), text(), number("I")
    found = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind, length = np.dtype(_KINDS[number("B")]), number("I")
        found[name] = np.frombuffer(data, kind, length // kind.itemsize, at).reshape(shape)
        at += length
    return found
