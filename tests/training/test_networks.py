# ruff: noqa: E402 (without torch the module is skipped before it imports what needs torch)
from __future__ import annotations

import copy
import socket
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("timm", reason="the extra 'train' is not installed")

from safetensors.torch import save_file
from torch import nn

from fakelab.errors import TrainingError, UnknownNameError
from fakelab.training import networks
from fakelab.training.networks import BACKBONES, FaceNet, freeze, make_network, tuned_state

SMALL = ("tiny", "resnet18", "mobilenetv2", "efficientnet_lite0")


def trainable(network: FaceNet) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


def pictures(count: int = 2, size: int = 64) -> Any:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def small() -> dict[str, FaceNet]:
    """Every network of the table but CLIP's, drawn at random; not to be changed."""
    torch.manual_seed(0)
    return {name: make_network(name, init="none").eval() for name in SMALL}


def test_the_networks_tried_here_are_the_whole_table() -> None:
    assert {*SMALL, "clip_vit_b16"} == set(BACKBONES)


@pytest.mark.parametrize("name", SMALL)
def test_a_network_gives_a_logit_a_picture_and_a_map(name: str, small: dict[str, FaceNet]) -> None:
    with torch.inference_mode():
        logits, maps = small[name](pictures())
    assert logits.shape == (2,)
    assert maps.shape == (2, *maps.shape[1:])
    assert maps.ndim == 3
    assert maps.shape[1] == maps.shape[2] == (4 if name == "tiny" else 2)
    assert torch.isfinite(logits).all()


def test_clip_is_read_as_timm_reads_it(clip: FaceNet) -> None:
    seen = pictures(1, 224)
    with torch.inference_mode():
        tokens = clip.body.forward_features(seen)
        logits, maps = clip(seen)
        assert torch.equal(logits, clip.head(tokens[:, 0]).squeeze(-1))
        assert torch.equal(maps.flatten(1), clip.patch_head(tokens[:, 1:]).squeeze(-1))


def test_patches_are_left_out_in_training_alone_and_drawn_anew_for_every_picture(clip: FaceNet) -> None:
    seen, blocks = pictures(2, 224), clip.body.blocks
    # Without the blocks a patch knows nothing of the others, so what is kept can be compared with the whole.
    clip.body.blocks, clip.patch_drop = nn.Identity(), 0.75
    try:
        with torch.inference_mode():
            whole = clip(seen)[1]
            maps = clip.train()(seen)[1]
            again = clip(seen)[1]
    finally:
        clip.eval()
        clip.body.blocks, clip.patch_drop = blocks, 0.0
    assert torch.isfinite(whole).all()
    kept = torch.isfinite(maps)
    assert kept.sum((1, 2)).tolist() == [49, 49]
    assert not torch.equal(kept[0], kept[1])
    assert not torch.equal(kept, torch.isfinite(again))
    assert torch.allclose(maps[kept], whole[kept], atol=1e-5), "what is kept stays in its place"


def test_clip_gives_a_logit_a_picture_and_a_map_of_its_patches(clip: FaceNet) -> None:
    with torch.inference_mode():
        logits, maps = clip(pictures(1, 224))
    assert logits.shape == (1,)
    assert maps.shape == (1, 14, 14)


@pytest.mark.parametrize("name", ["tiny", "resnet18", "clip_vit_b16"])
def test_a_change_of_the_lower_left_corner_moves_the_map_there_most(
    name: str, small: dict[str, FaceNet], clip: FaceNet
) -> None:
    """Rows are rows and columns are columns."""
    network = clip if name == "clip_vit_b16" else small[name]
    plain, marked = torch.zeros(1, 3, 224, 224), torch.zeros(1, 3, 224, 224)
    marked[:, :, 168:, :56] = 2.0
    with torch.inference_mode():
        moved = (network(marked)[1] - network(plain)[1]).abs()[0]
    row, column = divmod(int(moved.argmax()), moved.shape[1])
    assert row >= 0.6 * moved.shape[0]
    assert column <= 0.4 * moved.shape[1]


# -- what is left trainable ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_norms_leaves_exactly_norms_biases_and_heads_trainable(name: str, small: dict[str, FaceNet]) -> None:
    network = copy.deepcopy(small[name])
    freeze(network, "norms")
    wanted = {
        f"{at}.{leaf}"
        for at, module in network.named_modules()
        for leaf, _ in module.named_parameters(recurse=False)
        if leaf == "bias" or "Norm" in type(module).__name__ or at.startswith(("head", "patch_head"))
    }
    assert trainable(network) == wanted
    assert "body.0.weight" not in wanted
    if name != "tiny":
        assert any("bn" in each for each in wanted)


def test_all_leaves_everything_trainable_and_head_the_heads_alone(small: dict[str, FaceNet]) -> None:
    network = copy.deepcopy(small["resnet18"])
    freeze(network, "head")
    assert trainable(network) == {"head.1.weight", "head.1.bias", "patch_head.weight", "patch_head.bias"}
    freeze(network, "all")
    assert trainable(network) == {name for name, _ in network.named_parameters()}
    with pytest.raises(UnknownNameError, match="Did you mean 'norms'"):
        freeze(network, "norm")


def test_clip_tunes_124418_numbers_none_of_them_a_matrix_of_the_tower(clip: FaceNet) -> None:
    tuned = {name: parameter for name, parameter in clip.named_parameters() if parameter.requires_grad}
    assert sum(each.numel() for each in tuned.values()) == 124_418
    assert all(each.ndim == 1 for name, each in tuned.items() if name.startswith("body."))
    assert set(tuned_state(clip)) == set(tuned)


def test_the_tuned_state_holds_the_running_statistics_of_batch_norms(small: dict[str, FaceNet]) -> None:
    network = copy.deepcopy(small["resnet18"])
    freeze(network, "head")
    names = set(tuned_state(network))
    assert {"body.bn1.running_mean", "body.bn1.running_var", "head.1.weight"} <= names
    assert "body.conv1.weight" not in names


# -- heads ---------------------------------------------------------------------------------------------------------


def test_the_hidden_head_is_the_founding_studys_second_one() -> None:
    head = FaceNet("tiny", "hidden", 0.8).head
    kinds = [nn.Dropout, nn.Linear, nn.ReLU, nn.BatchNorm1d, nn.Dropout, nn.Linear]
    assert [type(layer) for layer in head] == kinds
    assert (head[1].in_features, head[1].out_features) == (16, 256)
    assert head[3].num_features == 256
    assert (head[5].in_features, head[5].out_features) == (256, 1)
    assert (head[0].p, head[4].p) == (0.8, 0.8)


def test_the_linear_head_is_dropout_and_one_layer() -> None:
    head = FaceNet("tiny", "linear", 0.75).head
    assert [type(layer) for layer in head] == [nn.Dropout, nn.Linear]
    assert head[0].p == 0.75
    assert (head[1].in_features, head[1].out_features) == (16, 1)


@pytest.mark.parametrize("head", networks.HEADS)
def test_dropout_is_off_at_inference_and_on_in_training(head: str) -> None:
    """The founding study drew dropout and head at random at inference."""
    network = FaceNet("tiny", head, 0.9)
    with torch.inference_mode():
        network.eval()
        first, second = (network(pictures(8))[0] for _ in range(2))
        assert torch.equal(first, second)
        network.train()
        first, second = (network(pictures(8))[0] for _ in range(2))
        assert not torch.equal(first, second)


def test_one_seed_draws_one_head() -> None:
    def drawn(seed: int) -> dict[str, Any]:
        torch.manual_seed(seed)
        return make_network("tiny", head="hidden").state_dict()

    one, same, other = drawn(3), drawn(3), drawn(4)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.1.weight"], other["head.1.weight"])


# -- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "resnet81"}, r"no network is called 'resnet81'. Did you mean 'resnet18'\? Known: clip_vit_b16, "),
        (
            {"name": "tiny", "head": "hiden"},
            r"no head is called 'hiden'. Did you mean 'hidden'\? Known: hidden, linear",
        ),
        ({"name": "tiny", "tune": "heads"}, r"Did you mean 'head'\? Known: all, head, norms"),
    ],
)
def test_an_unknown_name_answers_with_the_known_ones_and_the_nearest(settings: dict[str, str], words: str) -> None:
    with pytest.raises(UnknownNameError, match=words):
        make_network(**settings)


def test_starting_from_what_is_not_there_is_a_training_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"cannot start from 'imagnet'.*clip, imagenet, none"):
        make_network("tiny", init="imagnet")
    with pytest.raises(TrainingError, match="only clip_vit_b16 can"):
        make_network("resnet18", init="clip")
    (tmp_path / "weights.pth").write_bytes(b"pickle")
    with pytest.raises(TrainingError, match="Pickled files can run code"):
        make_network("resnet18", init=str(tmp_path / "weights.pth"))


# -- weights to start from: strict, or not at all ------------------------------------------------------------------


def made_body(seed: int = 9) -> dict[str, Any]:
    """A whole state of ResNet18's body, as torchvision and timm name it, with the ImageNet head."""
    generator = torch.Generator().manual_seed(seed)
    state = {
        name: torch.rand(value.shape, generator=generator) if value.is_floating_point() else value.clone()
        for name, value in FaceNet("resnet18").body.state_dict().items()
    }
    return state | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


def saved(state: dict[str, Any], path: Path) -> str:
    save_file(state, path)
    return str(path)


def holds(network: FaceNet, state: dict[str, Any]) -> bool:
    body = network.body.state_dict()
    return all(torch.equal(body[name], value) for name, value in state.items() if not name.startswith("fc."))


def without(state: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key != name}


def test_a_file_of_weights_is_in_the_network_afterwards(tmp_path: Path) -> None:
    state = made_body()
    assert holds(make_network("resnet18", init=saved(state, tmp_path / "w.safetensors")), state)


@pytest.mark.parametrize("fault", ["missing", "misnamed", "unexpected", "prefixed", "of another shape"])
def test_weights_that_do_not_fit_are_refused(fault: str, tmp_path: Path) -> None:
    """Weights loaded with strict=False into nothing: the classic mistake of this field."""
    state = made_body()
    state = {
        "missing": without(state, "layer3.0.conv1.weight"),
        "misnamed": without(state, "conv1.weight") | {"conv_1.weight": state["conv1.weight"]},
        "unexpected": state | {"layer5.weight": torch.zeros(1)},
        "prefixed": {f"module.{key}": value for key, value in state.items()},
        "of another shape": state | {"bn1.weight": torch.zeros(65)},
    }[fault]
    with pytest.raises(TrainingError, match="do not fit resnet18"):
        make_network("resnet18", init=saved(state, tmp_path / "w.safetensors"))


def test_a_whole_network_is_a_start_for_another_run_and_a_part_of_one_is_not(tmp_path: Path) -> None:
    torch.manual_seed(5)
    source = make_network("tiny").state_dict()
    started = make_network("tiny", init=saved(source, tmp_path / "w.safetensors")).state_dict()
    assert all(torch.equal(started[name], value) for name, value in source.items())
    for fault in (without(source, "body.0.bias"), source | {"body.9.bias": torch.zeros(1)}):
        with pytest.raises(TrainingError, match="do not fit tiny"):
            make_network("tiny", init=saved(fault, tmp_path / "bad.safetensors"))


def test_a_whole_network_of_another_shape_is_refused_as_a_training_error(tmp_path: Path) -> None:
    source = make_network("tiny").state_dict() | {"body.0.bias": torch.zeros(9)}
    with pytest.raises(TrainingError, match="do not fit tiny"):
        make_network("tiny", init=saved(source, tmp_path / "w.safetensors"))


def test_a_damaged_file_of_weights_is_a_training_error(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"not this")
    with pytest.raises(TrainingError, match="cannot be read"):
        make_network("tiny", init=str(tmp_path / "w.safetensors"))


@pytest.fixture
def torchvision_answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What torchvision's download of ResNet18's weights gives."""
    pytest.importorskip("torchvision", reason="the extra 'train' is not installed")
    import torchvision.models._api as api

    state = made_body()
    monkeypatch.setattr(api, "load_state_dict_from_url", lambda url, *a, **k: state if "resnet18" in url else {})
    return state


def test_imagenet_weights_are_in_the_network_afterwards(torchvision_answers: dict[str, Any]) -> None:
    assert holds(make_network("resnet18", init="imagenet"), torchvision_answers)
    assert holds(make_network("resnet18"), torchvision_answers), "it is where ResNet18 starts by default"


def test_imagenet_weights_that_lack_a_layer_are_refused(torchvision_answers: dict[str, Any]) -> None:
    torchvision_answers["conv_1.weight"] = torchvision_answers.pop("conv1.weight")
    with pytest.raises(TrainingError, match="do not fit resnet18"):
        make_network("resnet18", init="imagenet")


@pytest.mark.parametrize("name", ["mobilenetv2", "efficientnet_lite0"])
def test_timms_imagenet_weights_are_in_the_network_afterwards(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    create = timm.create_model
    asked = []

    def answer(timm_name: str, *, pretrained: bool = False, **more: Any) -> Any:
        model = create(timm_name, pretrained=False, **more)
        if pretrained:
            asked.append(timm_name)
            for value in model.state_dict().values():
                value.fill_(2)
        return model

    monkeypatch.setattr(timm, "create_model", answer)
    network = make_network(name, init="imagenet")
    assert asked == [BACKBONES[name].timm_name]
    assert all((value == 2).all() for value in network.body.state_dict().values())
    assert not (network.head[1].weight == 2).all()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, as the libraries meet it: no name is resolved, no connection made, and nothing is cached."""

    def refuse(*arguments: Any, **named: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    # The hub's client tries again after pauses of half a minute in all.
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2"])
def test_without_a_network_the_imagenet_weights_are_a_clear_error(name: str) -> None:
    with pytest.raises(TrainingError, match=rf"the ImageNet weights of {name} cannot be fetched.*--init PATH"):
        make_network(name, init="imagenet")


# -- CLIP's tower --------------------------------------------------------------------------------------------------


def test_the_shipped_tower_names_every_weight_of_clip_and_is_in_the_network(
    clip: FaceNet, tower_state: dict[str, Any]
) -> None:
    body = clip.body.state_dict()
    assert set(tower_state) == set(body)
    assert all(torch.equal(body[name], value) for name, value in tower_state.items())
    assert all(value.std() > 0 for value in tower_state.values())


def test_a_tower_that_is_not_there_is_a_training_error(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    with pytest.raises(TrainingError, match="no CLIP tower"):
        networks.clip_tower_state(tmp_path / "tower.onnx")
