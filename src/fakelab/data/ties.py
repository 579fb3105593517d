"""Things that belong together -> the sets they form (union-find), for identities and for splits."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)


class Ties(Generic[Name]):
    """Names tied to each other, directly or through others."""

    def __init__(self) -> None:
        self._above: dict[Name, Name] = {}

    def tie(self, a: Name, b: Name) -> None:
        """From now on `a` and `b`, and all that is tied to either, belong together."""
        first, second = self.root(a), self.root(b)
        if first != second:
            self._above[second] = first

    def root(self, name: Name) -> Name:
        """The name that stands for all that is tied to `name`."""
        path = []
        while (above := self._above.setdefault(name, name)) != name:
            path.append(name)
            name = above
        for each in path:
            self._above[each] = name
        return name


def components(keys_of: Sequence[Iterable[Hashable]]) -> list[list[int]]:
    """Positions that share a key, directly or through others: one list each, in the order of their first members."""
    ties: Ties[Hashable] = Ties()
    for number, keys in enumerate(keys_of):
        for key in keys:
            ties.tie(("position", number), ("key", key))
    found: dict[Hashable, list[int]] = {}
    for number in range(len(keys_of)):
        found.setdefault(ties.root(("position", number)), []).append(number)
    return list(found.values())
