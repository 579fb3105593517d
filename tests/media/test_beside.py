from __future__ import annotations

import numpy as np
import pytest

from fakelab.media import Density
from fakelab.media.audio import RATE, Window
from fakelab.media.beside import SoundBeside
from sound_maker import silence, speech_like


def looks(wave: np.ndarray) -> list[Window]:
    """Windows of 4 s every 2 s, as `media.audio.windows` gives them."""
    return [
        Window(at / RATE, min(at + 4 * RATE, len(wave)) / RATE, wave[at : at + 4 * RATE])
        for at in range(0, len(wave) - 2 * RATE + 1, 2 * RATE)
    ]


def test_the_samples_beside_a_stretch_are_those_of_the_file() -> None:
    wave = speech_like(12.0)[: 12 * RATE]
    sound = SoundBeside([(1.0, 3.0), (7.5, 9.0)], looks(wave))
    for start_s in (1.0, 7.5):
        at = round(start_s * RATE)
        assert np.array_equal(sound.samples(start_s, 1.5), wave[at : at + RATE * 3 // 2])


def test_sound_that_ends_early_is_given_as_far_as_it_goes() -> None:
    wave = speech_like(4.0)[: 4 * RATE]
    sound = SoundBeside([(3.0, 6.0)], looks(wave))
    assert len(sound.samples(3.0, 3.0)) == RATE
    assert len(sound.samples(5.0, 1.0)) == 0


def test_speech_is_counted_once_although_windows_overlap() -> None:
    wave = speech_like(8.0)[: 8 * RATE]
    assert 4.0 < SoundBeside([(0.0, 8.0)], looks(wave)).speech_s <= 8.0
    assert SoundBeside([(0.0, 8.0)], looks(silence(8.0))).speech_s == 0.0


@pytest.mark.parametrize(("seconds", "bursts", "frames"), [(8.0, 1, 201), (60.0, 3, 100)])
def test_every_frame_of_a_short_clip_and_of_places_of_a_long_one(seconds: float, bursts: int, frames: int) -> None:
    density = Density.every_frame(seconds, 25.0, longest_s=12.0, places=3)
    assert (density.bursts, density.frames_per_burst) == (bursts, frames)
