"""``make demo``: analyses the file named in FILE, or else a clip of a public-domain portrait and a forgery of it."""

from __future__ import annotations

import os
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from fakelab import FakeLabError, analyze
from fakelab.cli.outputs import Output
from fakelab.cli.terminal import print_error
from fakelab.faces.find import make_finder
from fakelab.records import Image
from fakelab.reports import WRITERS
from fakelab.training.blend import self_blend

FOLDER = Path("demo")
LABEL = "made like our training data; shows that the road works, not how good the model is"
SEED = 27
"""Of 48 forgeries tried, the one that the shipped model finds most suspicious; a dozen of them it holds for genuine."""
SIDE_PX, FPS, LENGTH_S = 640, 25, 4
VIEW_PX = 400
"""Side of the part of the portrait that is seen; it is drawn at SIDE_PX."""


def portrait() -> Image:
    """The astronaut Eileen Collins, photographed by NASA (public domain), (512, 512, 3) uint8 RGB."""
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut())


def forge(image: Image, seed: int) -> Image:
    """The square picture with its face blended with a differently treated copy of itself (a self-blended forgery)."""
    landmarks = make_finder("yunet")(image)[0].landmarks
    assert landmarks is not None
    no_mesh = np.full((468, 2), np.nan, np.float32)
    return self_blend(image, landmarks, no_mesh, np.random.default_rng(seed))[0]


def film(image: Image, path: Path) -> None:
    """Writes a clip in which the camera drifts over the picture and moves in a little (H.264)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS), options={"crf": "20"})
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuv420p"
        for number in range(FPS * LENGTH_S):
            t = number / (FPS * LENGTH_S)
            scale = SIDE_PX / VIEW_PX * (1 + 0.08 * t)
            middle = (225 + 18 * np.sin(2 * np.pi * t), 180 + 8 * np.sin(4 * np.pi * t))
            move = np.array([[scale, 0, SIDE_PX / 2 - scale * middle[0]], [0, scale, SIDE_PX / 2 - scale * middle[1]]])
            seen = cv2.warpAffine(
                image, move, (SIDE_PX, SIDE_PX), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
            )
            container.mux(stream.encode(av.VideoFrame.from_ndarray(seen, format="rgb24")))
        container.mux(stream.encode())


def run(path: Path) -> int:
    """Prints the verdict on one file and writes its report into demo/; returns the exit code."""
    try:
        analysis = analyze(path)
    except FakeLabError as error:
        print_error(error)
        return error.exit_code
    print(WRITERS["text"](analysis))
    report = Output("html", FOLDER, single=True).result(path, analysis)
    print(f"Report: {report}\n")
    return 0


def demo() -> int:
    """The whole demonstration; returns the exit code."""
    FOLDER.mkdir(exist_ok=True)
    if named := os.environ.get("FILE"):
        return run(Path(named))
    real, forged = FOLDER / "portrait.mp4", FOLDER / "portrait_forged_like_training_data.mp4"
    picture = portrait()
    film(picture, real)
    film(forge(picture, SEED), forged)
    print(f"1. A clip made from a portrait: {real}\n", flush=True)
    code = run(real)
    print(f"2. A blended forgery of it: {forged}\n   ({LABEL})\n", flush=True)
    return max(code, run(forged))


if __name__ == "__main__":
    sys.exit(demo())
