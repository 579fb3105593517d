from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fakelab.media.views import CUTS, LONGEST_PX, views_of


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """Every pixel says where it is: red its row, green its column (both modulo 256)."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows % 256, columns % 256, np.zeros_like(rows)], -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "count"),
    [(500, 500, 5), (480, 640, 5), (300, 300, 2), (300, 900, 3), (224, 600, 1), (90, 70, 1)],
)
def test_a_picture_is_seen_whole_and_in_as_many_parts_as_it_has_room_for(height: int, width: int, count: int) -> None:
    views = views_of(picture(height, width), 224)
    assert len(views) == count
    assert all(view.shape == (224, 224, 3) and view.dtype == np.uint8 for view in views)


def test_parts_are_pixels_of_the_picture_as_they_are_and_lie_apart() -> None:
    whole = picture(250, 250)
    seen = picture(900, 700)
    places = set()
    for part in views_of(seen, 64)[1:]:
        found = [
            (y, x)
            for y in range(int(part[0, 0, 0]), 900 - 63, 256)
            for x in range(int(part[0, 0, 1]), 700 - 63, 256)
            if np.array_equal(seen[y : y + 64, x : x + 64], part)
        ]
        assert found
        places.add(found[0])
    assert len(places) == CUTS
    assert np.array_equal(views_of(whole, 200, cuts=1)[1], whole[25:225, 25:225])


def test_the_whole_is_the_square_in_the_middle() -> None:
    seen = np.zeros((100, 300, 3), np.uint8)
    seen[:, 100:200] = 200
    assert views_of(seen, 50)[0].min() == 200


def test_parts_with_the_most_detail_come_first() -> None:
    seen = np.full((400, 400, 3), 90, np.uint8)
    seen[200:, 200:] = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    _, first, *others = views_of(seen, 100)
    assert first.std() > 50
    assert all(other.std() < first.std() for other in others)


def test_a_huge_picture_is_made_smaller_before_parts_are_cut() -> None:
    seen = np.zeros((20, 2 * LONGEST_PX, 3), np.uint8)
    seen[:, ::2] = 255
    part = views_of(seen, 8)[1]
    assert part.min() > 100, "two columns became one"
    assert part.max() < 160
