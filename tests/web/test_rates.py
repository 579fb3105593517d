"""The rate of requests: bursts, refill, one client beside another, and the answer that says when to come back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from web_maker import Desk

from fakelab.errors import TooManyError
from fakelab.reports.json_report import rfc3339
from fakelab.service.database import RunRow
from fakelab.web.rates import MOST_CLIENTS, Rates


def test_a_burst_then_an_even_rate_for_each_client() -> None:
    now = [0.0]
    rates = Rates(2, 5, clock=lambda: now[0])
    for _ in range(5):
        rates.take("a")
    with pytest.raises(TooManyError) as told:
        rates.take("a")
    assert told.value.retry_after_s == pytest.approx(0.5)
    rates.take("b")
    now[0] = 0.5
    rates.take("a")
    with pytest.raises(TooManyError):
        rates.take("a")
    now[0] = 100.0
    for _ in range(5):
        rates.take("a")
    with pytest.raises(TooManyError):
        rates.take("a")


def test_none_is_none_and_memory_is_bounded() -> None:
    free = Rates(0, 0)
    for _ in range(1000):
        free.take("a")
    rates = Rates(1, 1)
    for number in range(MOST_CLIENTS + 50):
        rates.take(str(number))
    assert len(rates._buckets) == MOST_CLIENTS


def test_a_key_that_asks_too_often_is_told_when_to_come_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.house, "rates", Rates(0.1, 3))
    answers = [desk.client.get("/api/v1/jobs") for _ in range(5)]
    assert [each.status_code for each in answers] == [200, 200, 200, 429, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 10
    assert answers[-1].headers["content-type"] == "application/problem+json"


def test_the_retention_rule_deletes_record_and_file(desk: Desk, fresh_photo: bytes) -> None:
    run = desk.hand_in(fresh_photo).json()["id"]
    desk.result(run)
    place = desk.house.history.get(run).place
    history = desk.house.history
    # As if it had been analysed long ago, and everything else just now.
    assert history.prune(rfc3339(datetime.now(UTC) - timedelta(days=1)), actor="retention") == 0
    with history.writing() as session:
        session.execute(update(RunRow).where(RunRow.id == run).values(ended="2020-01-01T00:00:00.000Z"))
    settings = desk.house.settings
    desk.house.settings = settings.model_copy(update={"retention_days": 30})
    try:
        desk.house.housekeep()
    finally:
        desk.house.settings = settings
    assert not Path(place).exists()
    assert desk.client.get(f"/api/v1/analyses/{run}").status_code == 404
    last = history.events(run)[-1]
    assert (last.action, last.actor) == ("deleted", "retention")
