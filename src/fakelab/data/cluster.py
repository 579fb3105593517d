"""Faces -> who is probably the same person, for sets that do not say: dlib's face embedding, clustered.

The network is `dlib_face_recognition_resnet_model_v1.dat` by Davis King (CC0; in the package
`face_recognition_models`): a 150 px chip -> 128 numbers. The chip is cut by our finder's five points, since the
package's shape predictors were trained on data under other terms, and would be a second opinion on where a face is.
"""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.util
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.data.manifest import Row, replace_file
from fakelab.data.store import FaceStore
from fakelab.errors import DataError, EnvironmentBrokenError, unknown_name
from fakelab.records import Image

PACKAGE = "face_recognition_models"
FILE = "models/dlib_face_recognition_resnet_model_v1.dat"
SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
CHIP_PX = 150
CHIP_POINTS = np.array([[47.55, 46.6], [100.48, 46.6], [74.01, 76.56], [50.41, 103.02], [97.61, 103.02]], np.float32)
"""Where right eye, left eye, nose tip and mouth corners lie in a chip: dlib's mean face with a quarter of padding."""
DISTANCE = 0.5
"""Measured on 176 crops of 88 people of four sources: 90 % of pairs of one person are in one cluster, and .07 % of
pairs of different people. Single crops of one person are .31 apart (median; 90 %: .48), of two people .59 (99 %)."""
CROPS_PER_FILE = 3
MOST_AGGLOMERATED = 8000
"""Files: the matrix of distances takes half a gigabyte then."""

Floats = NDArray[np.float32]
Embedder = Callable[[Image], Floats]
Progress = Callable[[int, int], None]


def make_embedder() -> Embedder:
    """A function: 150 px chip -> (128,) float32. Raises EnvironmentBrokenError without dlib or its network."""
    path = _network()
    try:
        import dlib
    except ImportError as error:
        raise EnvironmentBrokenError(
            "faces cannot be compared", str(error), "Install the package 'dlib-bin'."
        ) from error
    network = dlib.face_recognition_model_v1(str(path))
    return lambda chip: np.asarray(network.compute_face_descriptor(np.ascontiguousarray(chip)), dtype=np.float32)


def cut_chip(crop: Image, points: NDArray[np.float32]) -> Image:
    """The (150, 150, 3) chip of a crop, by its (5, 2) points, turned, scaled and moved onto CHIP_POINTS."""
    import cv2

    turn = similarity(points, CHIP_POINTS)
    scale = float(np.hypot(turn[0, 0], turn[1, 0]))
    if scale < 0.5:  # two pixels of the crop or more for one of the chip: average them first
        small = cv2.resize(crop, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        factor = np.array([small.shape[1] / crop.shape[1], small.shape[0] / crop.shape[0]], np.float32)
        crop, turn = np.asarray(small, np.uint8), similarity(points * factor, CHIP_POINTS)
    chip = cv2.warpAffine(crop, turn, (CHIP_PX, CHIP_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(chip, dtype=np.uint8)


def similarity(source: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
    """(2, 3) turn, scale and shift that brings `source` points nearest to `target`, least squares (Umeyama, 1991)."""
    a, b = source.astype(np.float64), target.astype(np.float64)
    # As complex numbers a turn and a scale are one factor.
    p, q = a - a.mean(axis=0), b - b.mean(axis=0)
    u, v = p[:, 0] + 1j * p[:, 1], q[:, 0] + 1j * q[:, 1]
    factor = (np.conj(u) @ v) / max(float((np.conj(u) @ u).real), 1e-9)
    matrix = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    shift = b.mean(axis=0) - matrix @ a.mean(axis=0)
    return np.hstack([matrix, shift[:, None]])


def embed_files(
    store: FaceStore, row_of: NDArray[np.int64], embed: Embedder, progress: Progress | None = None
) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Rows that have a clear face, (n, 128) the mean embedding of up to three of its crops, and one crop to show.

    Crops without points, or that the finder was not sure of, are left out.
    """
    usable = (row_of >= 0) & (store.score >= 0.6) & np.isfinite(store.points).all(axis=(1, 2))
    rows = np.unique(row_of[usable])
    means = np.zeros((len(rows), 128), np.float32)
    shown = np.zeros(len(rows), np.int64)
    for k, row in enumerate(rows):
        crops = np.flatnonzero(usable & (row_of == row))
        crops = crops[np.linspace(0, len(crops) - 1, min(CROPS_PER_FILE, len(crops))).round().astype(int)]
        means[k] = np.mean([embed(cut_chip(np.array(store.crops[c]), store.points[c])) for c in crops], axis=0)
        shown[k] = crops[len(crops) // 2]
        if progress:
            progress(k + 1, len(rows))
    return rows, means, shown


def cluster_faces(embeddings: Floats, distance: float = DISTANCE, method: str = "agglomerative") -> NDArray[np.int64]:
    """(n,) numbers of clusters from 0, the largest first. Raises UnknownNameError, EnvironmentBrokenError.

    agglomerative: average linkage up to `distance`, for up to 8,000 files. dbscan: whoever is within `distance` of a
    member is one, so that clusters may grow in chains; needs little memory.
    """
    if method not in METHODS:
        raise unknown_name("way to cluster", method, METHODS)
    if len(embeddings) < 2:
        return np.zeros(len(embeddings), np.int64)
    try:
        labels = METHODS[method](embeddings, distance)
    except ImportError as error:
        raise EnvironmentBrokenError(
            "faces cannot be clustered", str(error), "Install it with: pip install 'fakelab-verify[train]'"
        ) from error
    order = {label: k for k, (label, _) in enumerate(Counter(labels.tolist()).most_common())}
    return np.array([order[label] for label in labels.tolist()], dtype=np.int64)


def _agglomerative(embeddings: Floats, distance: float) -> NDArray[Any]:
    from sklearn.cluster import AgglomerativeClustering

    if len(embeddings) > MOST_AGGLOMERATED:
        raise DataError(
            f"{len(embeddings)} files are too many for agglomerative clusters",
            f"their distances fill the memory; the limit is {MOST_AGGLOMERATED}",
            "Give --cluster-by dbscan, with a smaller --cluster-distance such as .4.",
        )
    made = AgglomerativeClustering(n_clusters=None, distance_threshold=distance, linkage="average")
    return np.asarray(made.fit_predict(embeddings))


def _dbscan(embeddings: Floats, distance: float) -> NDArray[Any]:
    from sklearn.cluster import DBSCAN

    return np.asarray(DBSCAN(eps=distance, min_samples=1).fit_predict(embeddings))


METHODS: dict[str, Callable[[Floats, float], NDArray[Any]]] = {"agglomerative": _agglomerative, "dbscan": _dbscan}


def with_clusters(rows: Sequence[Row], found: NDArray[np.int64], labels: NDArray[np.int64]) -> list[Row]:
    """The rows with a column `cluster`; rows without a clear face have none."""
    names = {int(row): f"c{label:04d}" for row, label in zip(found, labels, strict=True)}
    return [row.with_column("cluster", names.get(number, "")) for number, row in enumerate(rows)]


def contact_sheet(
    rows: Sequence[Row],
    store: FaceStore,
    found: NDArray[np.int64],
    shown: NDArray[np.int64],
    labels: NDArray[np.int64],
    target: Path,
    per_cluster: int = 16,
) -> None:
    """Writes an HTML page, complete in itself, that shows the faces of every cluster with their files, for a look."""
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Clusters of faces</title>",
        "<style>body{font:14px sans-serif;margin:1.5em}figure{display:inline-block;margin:2px;width:84px}"
        "img{width:84px;height:84px}figcaption{font-size:10px;overflow:hidden;white-space:nowrap}</style>",
        f"<h1>{int(labels.max()) + 1 if len(labels) else 0} clusters of {len(labels)} files</h1>"
        "<p>Each should show one person. Raise the distance if one person fills several, lower it where one mixes"
        " two.</p>",
    ]
    for label in range(int(labels.max()) + 1 if len(labels) else 0):
        members = np.flatnonzero(labels == label)
        parts.append(f"<h2>c{label:04d}: {len(members)} files</h2>")
        for k in members[:per_cluster]:
            row = rows[int(found[k])]
            name = html.escape(f"{row.label} {row.source} {row.path.name}", quote=True)
            parts.append(
                f"<figure><img alt='{name}' src='data:image/jpeg;base64,{_thumbnail(store.crops[shown[k]])}'>"
                f"<figcaption title='{name}'>{html.escape(row.path.name)}</figcaption></figure>"
            )
    replace_file(target, "\n".join(parts).encode("utf-8"))


def _thumbnail(crop: NDArray[np.uint8]) -> str:
    import cv2

    small = cv2.resize(np.array(crop), (84, 84), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return base64.b64encode(data.tobytes()).decode()


def _network() -> Path:
    """The network's file, checked. The package is not imported: it needs a module that new Pythons lack."""
    spec = importlib.util.find_spec(PACKAGE)
    path = Path(spec.submodule_search_locations[0]) / FILE if spec and spec.submodule_search_locations else None
    if path is None or not path.is_file():
        raise EnvironmentBrokenError(
            "faces cannot be compared",
            f"the package '{PACKAGE}' is not installed",
            "Install it with: pip install 'fakelab-verify[train]'",
        )
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            raise EnvironmentBrokenError(
                f"the network {path} was altered",
                "its SHA-256 differs from the published one",
                f"Reinstall the package '{PACKAGE}' 0.3.0.",
            )
    return path
