"""The log: every kind of tampering with a stored event shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakelab.service.chain import START, Event, canonical, first_break


def _chain(count: int) -> list[tuple[Event, str]]:
    chain: list[tuple[Event, str]] = []
    for seq in range(1, count + 1):
        before = chain[-1][1] if chain else START
        event = Event(seq, f"2026-01-01T00:00:{seq:02}.000Z", "somebody", "viewed", f"run{seq}", {"n": seq}, before)
        chain.append((event, event.hash))
    return chain


def test_a_whole_chain_holds_and_so_does_an_empty_one() -> None:
    assert first_break(_chain(5)) is None
    assert first_break([]) is None


@given(at=st.integers(0, 4), field=st.sampled_from(["at", "actor", "action", "run", "detail"]))
def test_an_altered_event_is_named(at: int, field: str) -> None:
    chain = _chain(5)
    event, stored = chain[at]
    chain[at] = (replace(event, **{field: {"n": -1} if field == "detail" else "altered"}), stored)
    assert f"event {at + 1}" in (first_break(chain) or "")


def test_an_event_altered_with_its_hash_breaks_the_link_behind_it() -> None:
    chain = _chain(3)
    forged = replace(chain[0][0], actor="nobody")
    chain[0] = (forged, forged.hash)
    assert first_break(chain) == "event 2 does not follow the event before it"


@pytest.mark.parametrize("gone", [0, 2])
def test_a_missing_event_is_noticed(gone: int) -> None:
    chain = _chain(4)
    del chain[gone]
    assert first_break(chain) == f"event {gone + 1} is missing: event {gone + 2} stands in its place"


def test_canonical_json_does_not_depend_on_order_and_refuses_what_is_no_json() -> None:
    assert canonical({"b": 1, "a": "é"}) == canonical({"a": "é", "b": 1}) == '{"a":"é","b":1}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        canonical({"p": float("nan")})
