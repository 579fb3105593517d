"""Which measured files show a face that the model was trained on: their answers say nothing of other files.

`fakelab train` leaves hashes of its faces in the run's folder; they are compared with the crops that an analysis keeps
for its report, the most suspicious faces of each person. The comparison needs no list, no name and no path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fakelab.data.duplicates import NEAR_BITS, bits_apart, face_hash, read_known
from fakelab.records import Finding

FIELD = "known_bits"
"""Of a result: in how many of 256 bits its faces differ from the nearest one of training; None if there is no face."""
R = TypeVar("R", bound=Mapping[str, Any])


def is_known(result: Mapping[str, Any]) -> bool:
    """Whether a face of this result's file is nearly the same picture as one of training."""
    bits = result.get(FIELD)
    return bits is not None and int(bits) <= NEAR_BITS


def strangers(results: Sequence[R]) -> list[R]:
    """The results whose faces the model was not trained on, as far as that was looked at."""
    return [each for each in results if not is_known(each)]


def nearest(finding: Finding, paths: Sequence[str]) -> int | None:
    """In how many bits the finding's faces differ from the nearest in the files `paths`; None without a crop."""
    crops = [face.crop for person in finding.people for face in person.faces if face.crop is not None]
    if not crops:
        return None
    return int(bits_apart(np.stack([face_hash(crop) for crop in crops]), _read(tuple(paths))).min())


@lru_cache(maxsize=4)
def _read(paths: tuple[str, ...]) -> NDArray[np.uint8]:
    return read_known([Path(path) for path in paths])
