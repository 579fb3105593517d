"""Bursts of frames from an animated GIF, WebP, PNG or AVIF. Runs inside the child process.

Such files have no index: the frames are decoded in order, and those of the plan are handed on.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator
from typing import Any

from PIL import ImageSequence

from fakelab.media.density import Density, plan
from fakelab.media.photo import open_image, picture_of, prepare, scaled, to_rgb
from fakelab.media.wire import Job, Message, Picture, RefusedError

__all__ = ["AnimationReader", "prepare"]

USUAL_MS = 100.0
"""Shown for frames that state no duration, as browsers do for GIFs."""
SLACK_S = 0.001
"""A moment this far before a frame still means that frame: written times are rounded."""
ERRORS = (OSError, SyntaxError, ValueError, EOFError)


class AnimationReader:
    """The frames of a moving picture, composed as they are shown."""

    def __init__(self, job: Job) -> None:
        self.failed = 0
        self.warnings: list[str] = []
        self.longest_px: int | None = None
        self._job = job
        self._starts_s: list[float] = []
        self._end_s = 0.0

    def facts(self) -> Message:
        """Size, duration, frame rate. Decodes every frame once: only so are their durations known."""
        image = open_image(self._job)
        gaps_ms = []
        try:
            for frame in ImageSequence.Iterator(image):
                frame.load()
                # A GIF may state 0 or 10 ms; browsers show such frames for 100 ms.
                stated = float(frame.info.get("duration") or 0)
                gaps_ms.append(stated if stated > 10 else USUAL_MS)
                self._starts_s.append(self._end_s)
                self._end_s += gaps_ms[-1] / 1000
        except ERRORS as error:
            self.failed += 1
            self.warnings.append(f"the animation is damaged after frame {len(gaps_ms)} ({error})")
        if not gaps_ms:
            raise RefusedError("damaged", "no frame could be decoded", "Try to get the file again, from its source.")
        return {
            "kind": "video",
            "width_px": image.size[0],
            "height_px": image.size[1],
            "duration_s": self._end_s,
            "fps": len(gaps_ms) / self._end_s,
            "variable_frame_rate": max(gaps_ms) > 1.5 * min(gaps_ms),
            "video_codec": self._job.container,
            "frames_count": len(gaps_ms),
        }

    def frames(self, density: Density) -> Iterator[Picture]:
        """Bursts spread over the whole animation, each frame at most once."""
        wanted = self._wanted(density)
        for index, frame in enumerate(ImageSequence.Iterator(open_image(self._job))):
            if index >= len(self._starts_s):
                return
            if index in wanted:
                yield self._picture(frame, index, wanted[index])

    def at(self, times_s: list[float]) -> Iterator[Picture]:
        """The frame on show at each time; `burst` is the time's place in the list."""
        wanted: dict[int, list[int]] = {}
        for place, time_s in enumerate(times_s):
            shown = bisect.bisect_right(self._starts_s, time_s + SLACK_S) - 1
            wanted.setdefault(max(0, shown), []).append(place)
        for index, frame in enumerate(ImageSequence.Iterator(open_image(self._job))):
            if index > max(wanted):
                return
            for place in wanted.get(index, ()):
                yield self._picture(frame, index, place)

    def _picture(self, frame: Any, index: int, burst: int) -> Picture:
        return picture_of(scaled(to_rgb(frame.copy()), self.longest_px), self._starts_s[index], burst)

    def _wanted(self, density: Density) -> dict[int, int]:
        """Frame number -> burst."""
        count, per_burst = len(self._starts_s), density.frames_per_burst
        bursts = density.bursts_for(self._end_s)
        if count <= bursts * per_burst:
            return {i: i // per_burst for i in range(count)}
        segments = plan(bursts, per_burst, 0, count - 1, 1)
        starts = [math.ceil(s.target) for s in segments]
        return {start + i: burst for burst, start in enumerate(starts) for i in range(per_burst)}
