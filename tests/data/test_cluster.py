from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import set_maker as make

from fakelab.data import cluster
from fakelab.data.cluster import (
    CHIP_POINTS,
    CHIP_PX,
    cluster_faces,
    contact_sheet,
    cut_chip,
    embed_files,
    make_embedder,
    similarity,
    with_clusters,
)
from fakelab.data.manifest import find_leaks
from fakelab.data.split import split_rows
from fakelab.data.store import FaceStore
from fakelab.errors import DataError, EnvironmentBrokenError, UnknownNameError
from fakelab.faces.find import make_finder
from portrait_maker import face_crop


def store_of(crops: Any, points: Any, score: Any = None) -> FaceStore:
    count = len(crops)
    flat, names = np.full(count, 100, np.float32), np.array(["s"] * count)
    return FaceStore(
        crops=crops, points=points, mesh=np.zeros((count, 468, 2), np.float32),
        score=np.full(count, 0.9, np.float32) if score is None else score, blur=flat, luma=flat, side_px=flat,
        fake=np.zeros(count, bool), source=names, group=names, split=names, sha256="",
    )  # fmt: skip


def turned(points: Any, degrees: float, scale: float, shift: tuple[float, float]) -> Any:
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points @ turn.T + np.array(shift)).astype(np.float32)


@pytest.mark.parametrize(("degrees", "scale", "shift"), [(0, 1, (0, 0)), (30, 0.4, (20, -5)), (-170, 3, (1, 200))])
def test_a_similarity_is_found_again(degrees: float, scale: float, shift: tuple[float, float]) -> None:
    moved = turned(CHIP_POINTS, degrees, scale, shift)
    matrix = similarity(moved, CHIP_POINTS)
    back = moved @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(back - CHIP_POINTS).max() < 1e-3


@pytest.mark.parametrize("size", [100, 400])
def test_the_points_of_a_face_lie_where_the_network_expects_them(size: int) -> None:
    crop = face_crop(size)
    found = make_finder("yunet")(crop)[0].landmarks
    assert found is not None
    leaning = cv2.getRotationMatrix2D((size / 2, size / 2), 25, 0.8)
    crop = np.asarray(cv2.warpAffine(crop, leaning, (size, size), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    points = (found @ leaning[:, :2].T + leaning[:, 2]).astype(np.float32)
    chip = cut_chip(crop, points)
    assert chip.shape == (CHIP_PX, CHIP_PX, 3)
    again = make_finder("yunet")(chip)[0].landmarks
    assert again is not None
    assert np.abs(again - CHIP_POINTS).max() < 12


def test_one_face_is_near_itself_and_far_from_a_stranger() -> None:
    """No second face is at hand: noise stands for the stranger."""
    try:
        embed = make_embedder()
    except EnvironmentBrokenError as error:
        pytest.skip(str(error))
    points = make_finder("yunet")(face_crop(224))[0].landmarks
    assert points is not None
    chips = [cut_chip(face_crop(224, seed), points) for seed in (0, 1)]
    first, second = (embed(chip) for chip in chips)
    noise = np.random.default_rng(0).integers(0, 255, (CHIP_PX, CHIP_PX, 3)).astype(np.uint8)
    assert first.shape == (128,)
    assert np.linalg.norm(first - second) < 0.4
    assert np.linalg.norm(first - embed(noise)) > 0.6


def test_without_its_network_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PACKAGE", "no_such_package_at_all")
    with pytest.raises(EnvironmentBrokenError, match=r"is not installed.*fakelab-verify\[train\]"):
        make_embedder()


def test_a_network_that_was_altered_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        cluster._network()
    except EnvironmentBrokenError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(cluster, "SHA256", "0" * 64)
    with pytest.raises(EnvironmentBrokenError, match="was altered"):
        make_embedder()


def people(count: int, each: int, apart: float = 1.0) -> Any:
    """(count x each, 128) embeddings: people far apart, their files close to each other."""
    rng = np.random.default_rng(0)
    centres = np.eye(128)[:count] * apart
    return (np.repeat(centres, each, axis=0) + rng.normal(0, 0.01, (count * each, 128))).astype(np.float32)


@pytest.mark.parametrize("method", ["agglomerative", "dbscan"])
def test_files_of_one_person_are_one_cluster_the_largest_first(method: str) -> None:
    pytest.importorskip("sklearn", reason="the extra 'train' is not installed")
    embeddings = np.concatenate([people(3, 2), people(3, 4)[8:]])
    labels = cluster_faces(embeddings, 0.5, method)
    assert labels.tolist() == [1, 1, 2, 2, 0, 0, 0, 0, 0, 0]


def test_few_or_too_many_faces_and_unknown_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster_faces(people(1, 1)).tolist() == [0]
    assert cluster_faces(people(1, 1)[:0]).tolist() == []
    with pytest.raises(UnknownNameError, match="no way to cluster is called 'kmeans'"):
        cluster_faces(people(2, 2), method="kmeans")
    monkeypatch.setattr(cluster, "MOST_AGGLOMERATED", 3)
    pytest.importorskip("sklearn", reason="the extra 'train' is not installed")
    with pytest.raises(DataError, match="--cluster-by dbscan"):
        cluster_faces(people(2, 2))


def test_a_file_is_the_mean_of_its_sure_crops() -> None:
    crops = np.repeat(np.array([10, 20, 30, 40, 250], np.uint8), 32 * 32 * 3).reshape(5, 32, 32, 3)
    points = np.repeat((CHIP_POINTS * 32 / CHIP_PX)[None], 5, axis=0)
    points[3] = np.nan
    store = store_of(crops, points, np.array([0.9, 0.9, 0.9, 0.9, 0.3], np.float32))

    def embed(chip: Any) -> Any:
        return np.full(128, chip.mean(), np.float32)

    seen: list[tuple[int, int]] = []
    rows, means, shown = embed_files(store, np.array([4, 4, 7, 7, 9]), embed, progress=lambda *told: seen.append(told))
    assert rows.tolist() == [4, 7]
    assert means[:, 0].tolist() == pytest.approx([15, 30])
    assert shown.tolist() == [1, 2]
    assert seen == [(1, 2), (2, 2)]


def test_a_cluster_stays_in_one_split_whatever_its_files_are_called(tmp_path: Path) -> None:
    rows = [make.row(f"{k}.mp4", group=f"g{k}", source=f"s{k % 2}") for k in range(12)]
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    named = with_clusters(rows, np.arange(11), labels)
    assert [row.get("cluster") for row in named[:4]] == ["c0000", "c0000", "c0000", "c0001"]
    assert named[11].get("cluster") == ""
    for seed in range(5):
        done = split_rows(named, (1, 1, 1), seed)
        assert find_leaks(done) == []
        assert done[0].split == done[1].split == done[2].split


def test_the_contact_sheet_shows_every_cluster_and_runs_no_script(tmp_path: Path) -> None:
    rows = [make.row("<script>x.mp4"), make.row("b.mp4"), make.row("c.mp4", "fake")]
    crops = np.stack([face_crop(32, seed) for seed in range(3)])
    store = store_of(crops, np.zeros((3, 5, 2), np.float32))
    target = tmp_path / "sheet.html"
    contact_sheet(rows, store, np.array([0, 1, 2]), np.array([0, 1, 2]), np.array([0, 0, 1]), target)
    text = target.read_text()
    assert "2 clusters of 3 files" in text
    assert text.count("data:image/jpeg;base64,") == 3
    assert "c0000: 2 files" in text and "c0001: 1 files" in text
    assert "<script>" not in text and "&lt;script&gt;x.mp4" in text
    assert "http" not in text
