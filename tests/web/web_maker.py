"""What the tests of the web share: a client with a desk of its own, files to hand in, and patience."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from fakelab.web.house import House
from portrait_maker import portrait


@dataclass
class Desk:
    """A client with a key for a desk of its own."""

    client: TestClient
    name: str
    house: House

    def hand_in(self, data: bytes, name: str = "photo.jpg", **query: str) -> httpx.Response:
        return self.client.post("/api/v1/analyses", content=data, params={"name": name, **query})

    def result(self, run: str, seconds: float = 60) -> dict[str, Any]:
        """An analysis once it is over."""
        return wait_until(lambda: self._over(run), seconds)

    def _over(self, run: str) -> dict[str, Any] | None:
        answer = self.client.get(f"/api/v1/analyses/{run}")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told if told["state"] not in ("waiting", "running") else None


def wait_until(found: Callable[[], Any], seconds: float = 60) -> Any:
    """What `found` gives once it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.1)
    pytest.fail(f"nothing came within {seconds} s")


def photo_bytes(shade: int = 0, ending: str = "JPEG") -> bytes:
    """A portrait as a photo; each shade is a file of its own."""
    picture = Image.fromarray(portrait())
    picture.putpixel((0, 0), (shade % 256, shade // 256, 7))
    with io.BytesIO() as out:
        picture.save(out, ending, quality=95)
        # Bytes after the end of a JPEG change nothing but the hash.
        return out.getvalue() + shade.to_bytes(4, "big")


def make_clip(path: Path, seconds: float = 2.0, shade: int = 0, codec: str = "libx264") -> Path:
    """A video of the portrait, whose first frame's corner tells it from others."""
    face = np.asarray(Image.fromarray(portrait()).resize((320, 320)))
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(int(25 * seconds)):
            frame = np.ascontiguousarray(np.roll(face, number % 7, axis=1)[40:280])
            frame[:16, :16] = shade % 256
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    return path
