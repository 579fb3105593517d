from __future__ import annotations

from pathlib import Path

import model_maker as maker
import numpy as np
import pytest

from fakelab.models.card import WEIGHTS
from fakelab.models.onnx_file import FLOAT, initializers, subgraph


@pytest.mark.parametrize("file", ["tiny/model.onnx", "clip_tower/tower.onnx"])
def test_names_types_and_shapes_are_those_that_the_onnx_package_reads(file: str) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    wanted = {
        each.name: (each.data_type, tuple(each.dims)) for each in onnx.load(str(WEIGHTS / file)).graph.initializer
    }
    assert initializers(WEIGHTS / file) == wanted


def test_a_tensor_of_integers_is_not_said_to_be_of_floats(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the extra 'train' is not installed")
    found = initializers(maker.write_linear(tmp_path / "m.onnx", {"head.1.weight": np.ones((3, 1), np.float32)}))
    assert found["head.1.weight"] == (FLOAT, (3, 1))
    assert found["to.111"] == (7, (3,))


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", b"\xff" * 40])
def test_another_file_is_a_value_error(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(ValueError):  # noqa: PT011 (an empty file cannot be mapped, which has its own words)
        initializers(tmp_path / "m.onnx")


def test_a_file_that_was_cut_off_is_a_value_error(tmp_path: Path) -> None:
    whole = (WEIGHTS / "tiny" / "model.onnx").read_bytes()
    for length in (len(whole) // 3, len(whole) - 1):
        (tmp_path / "m.onnx").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="no ONNX file"):
            initializers(tmp_path / "m.onnx")


def test_a_subgraph_computes_the_tensor_that_the_whole_computes_and_holds_nothing_else() -> None:
    onnx, ort = (
        pytest.importorskip("onnx", reason="the extra 'train' is not installed"),
        pytest.importorskip("onnxruntime"),
    )
    tower, wanted = WEIGHTS / "clip_tower" / "tower.onnx", ["blocks.1.result", "norm_pre.out"]
    early = subgraph(tower, wanted)
    model = onnx.load_from_string(early)
    assert [each.name for each in model.graph.output] == wanted
    assert len(early) < 0.3 * tower.stat().st_size
    used = {name for node in model.graph.node for name in node.input}
    assert {each.name for each in model.graph.initializer} <= used
    whole = onnx.load(str(tower))
    for name in wanted:
        whole.graph.output.append(onnx.helper.make_tensor_value_info(name, FLOAT, None))
    pixels = {"pixels": np.random.default_rng(1).standard_normal((1, 3, 224, 224)).astype(np.float32)}
    told = ort.SessionOptions()
    told.log_severity_level = 3
    for name in wanted:
        one, other = (
            ort.InferenceSession(each, told, providers=["CPUExecutionProvider"]).run([name], pixels)[0]
            for each in (early, whole.SerializeToString())
        )
        assert np.array_equal(one, other)


def test_a_subgraph_of_a_tensor_that_is_not_there_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no node computes"):
        subgraph(WEIGHTS / "clip_tower" / "tower.onnx", ["blocks.77"])
    (tmp_path / "m.onnx").write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match="no ONNX file"):
        subgraph(tmp_path / "m.onnx", ["logit"])
