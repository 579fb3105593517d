"""Jobs as rows: their life, their rounds, what a worker may and may not begin."""

from __future__ import annotations

import pytest

from fakelab.errors import ConflictError, DamagedMediaError, FakeLabError, UnknownNameError
from fakelab.service.history import History
from fakelab.service.jobs import MOST_ATTEMPTS, Asked, Job, Jobs


def _asked(**changes: object) -> Asked:
    return Asked(**{"name": "a.mp4", "owner": "desk", "actor": "anna", "acquired": "upload", **changes})  # type: ignore[arg-type]


@pytest.fixture
def jobs(history: History) -> Jobs:
    return Jobs(history)


def test_from_waiting_to_done(jobs: Jobs) -> None:
    job = jobs.add(_asked(choices={"prior": 0.2}))
    assert (job.state, job.round, job.attempts, job.choices) == ("waiting", 1, 0, {"prior": 0.2})
    begun = jobs.begin(job.id, 1, "w1")
    assert begun and (begun.state, begun.worker, begun.attempts) == ("running", "w1", 1)
    assert jobs.progress(job.id, "faces", 3, 8)
    assert (jobs.get(job.id).done, jobs.get(job.id).total) == (3, 8)
    jobs.finish(job.id)
    assert jobs.get(job.id).state == "done"
    assert jobs.begin(job.id, 1, "w2") is None, "what is over is not begun again"
    assert not jobs.progress(job.id, "faces", 4, 8)


def test_cancelled_jobs_stop_and_come_back_in_a_new_round(jobs: Jobs) -> None:
    job = jobs.add(_asked())
    jobs.begin(job.id, 1, "w1")
    assert jobs.cancel(job.id, owner="desk", actor="anna").state == "cancelled"
    assert not jobs.progress(job.id, "faces", 1, 2), "whoever does it learns that it is not wanted"
    with pytest.raises(ConflictError):
        jobs.cancel(job.id, actor="anna")
    assert jobs.again(job.id, actor="anna").round == 2
    assert jobs.begin(job.id, 1, "w1") is None, "the first round is over"
    assert jobs.begin(job.id, 2, "w1") is not None
    with pytest.raises(ConflictError):
        jobs.again(job.id, actor="anna")


def test_old_cancelled_ones_are_taken_away_with_their_files_and_the_log_says_so(jobs: Jobs) -> None:
    kept, old = jobs.add(_asked()), jobs.add(_asked())
    folder = jobs.history.media_of(old.id)
    folder.mkdir(parents=True)
    ended = jobs.cancel(old.id, actor="ada").ended
    assert jobs.prune_cancelled(ended, actor="retention") == 0, "it ended then, not before"
    assert jobs.prune_cancelled(ended + "~", actor="retention") == 1
    assert jobs.find(old.id) is None and not folder.exists() and jobs.get(kept.id).open
    last = jobs.history.events(old.id)[-1]
    assert (last.actor, last.action) == ("retention", "deleted") and "cancelled before" in last.detail["why"]


def test_a_file_that_kills_its_worker_each_time_is_given_up(jobs: Jobs) -> None:
    job = jobs.add(_asked())
    for _ in range(MOST_ATTEMPTS):
        assert jobs.begin(job.id, 1, "w") is not None
    with pytest.raises(FakeLabError, match="was stopped 6 times"):
        jobs.begin(job.id, 1, "w")


def test_a_failure_keeps_its_parts(jobs: Jobs) -> None:
    job = jobs.add(_asked())
    jobs.begin(job.id, 1, "w")
    jobs.fail(job.id, DamagedMediaError("it cannot be read", "no frame", "Get another copy."))
    told = jobs.get(job.id)
    assert told.state == "failed"
    assert told.error == {
        "code": "damagedmedia",
        "what": "it cannot be read",
        "why": "no frame",
        "do": "Get another copy.",
    }


def test_owners_see_their_own(jobs: Jobs) -> None:
    job = jobs.add(_asked())
    with pytest.raises(UnknownNameError):
        jobs.get(job.id, owner="others")
    assert jobs.find(job.id, owner="others") is None
    assert jobs.recent(owner="others") == [] and [each.id for each in jobs.recent(owner="desk")] == [job.id]
    with pytest.raises(UnknownNameError):
        jobs.cancel(job.id, owner="others", actor="x")


def test_a_requests_key_is_its_owners(jobs: Jobs) -> None:
    job = jobs.add(_asked(request_key="k", request_hash="h"))
    found = jobs.of_request("k", "h", owner="desk")
    assert isinstance(found, Job) and found.id == job.id
    assert jobs.of_request("k", "h", owner="others") is None
    assert jobs.of_request("", "h", owner="desk") is None
    with pytest.raises(ConflictError):
        jobs.of_request("k", "other", owner="desk")


def test_the_queue_is_counted_in_order(jobs: Jobs) -> None:
    first, second, third = (jobs.add(_asked(name=name)) for name in "abc")
    jobs.begin(first.id, 1, "w")
    assert jobs.counts()["waiting"] == 2 and jobs.counts(owner="others")["waiting"] == 0
    assert jobs.waiting_before(third) <= 1
    assert {each.id for each in jobs.open_ones()} == {first.id, second.id, third.id}
    assert {each.id for each in jobs.changed_since(first.created)} == {first.id, second.id, third.id}
    jobs.forget(second.id)
    assert jobs.find(second.id) is None
