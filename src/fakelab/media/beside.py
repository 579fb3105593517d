"""The sound beside some stretches of a video: what lies elsewhere is not kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from fakelab.media.audio import RATE, Samples, Window, speech_in


class SoundBeside:
    """The samples of `windows` that lie beside `stretches`, each (start_s, end_s), and how much speech they hold."""

    def __init__(self, stretches: Sequence[tuple[float, float]], windows: Iterable[Window]) -> None:
        self._start_s = min(start for start, _ in stretches)
        count = round((max(end for _, end in stretches) - self._start_s) * RATE)
        self._samples, self._known = np.zeros(count, np.float32), np.zeros(count, bool)
        self.speech_s = 0.0
        last = -math.inf
        for window in windows:
            if not any(window.start_s < end and start < window.end_s for start, end in stretches):
                continue
            at = round((window.start_s - self._start_s) * RATE)
            samples = window.samples[max(0, -at) :]
            at = max(0, at)
            samples = samples[: max(0, count - at)]
            self._samples[at : at + len(samples)] = samples
            self._known[at : at + len(samples)] = True
            if window.start_s >= last:
                # Windows overlap by half: every other one is a look of its own.
                speech = speech_in(window.samples)
                self.speech_s += 0.0 if speech.reason else speech.speech_s
                last = window.end_s

    def samples(self, start_s: float, seconds: float) -> Samples:
        """The samples from `start_s` on, at most `seconds` of them: as far as the sound is known without a gap."""
        at = max(0, round((start_s - self._start_s) * RATE))
        known = self._known[at : at + round(seconds * RATE)]
        length = len(known) if known.all() else int(known.argmin())
        return self._samples[at : at + length]
