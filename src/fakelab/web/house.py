"""What every request reaches: the history, the jobs, the queue, the accounts, the key that signs."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from fakelab.reports.json_report import rfc3339
from fakelab.service.accounts import Accounts
from fakelab.service.copies import prune_orphans
from fakelab.service.database import is_postgres
from fakelab.service.history import History
from fakelab.service.intake import Intake
from fakelab.service.jobs import Jobs
from fakelab.service.queue import JobQueue, default_jobs, default_name
from fakelab.service.seal import Signer
from fakelab.service.watch import Watch
from fakelab.service.webhooks import Webhooks
from fakelab.service.work import Workshop
from fakelab.settings import Settings
from fakelab.web.events import Hub
from fakelab.web.metrics import Metrics
from fakelab.web.oidc import Provider, check_settings
from fakelab.web.rates import Rates
from fakelab.web.uploads import Uploads

HOUSEKEEPING_S = 3600.0
PUT_S = 60.0
BURST = 10.0
"""Seconds' worth of requests that may come at once: a page with its pictures."""
log = logging.getLogger("fakelab.server")


@dataclass
class House:
    """A server's parts. `local` is the mode for one person on this machine, without accounts."""

    settings: Settings
    history: History
    jobs: Jobs
    queue: JobQueue
    intake: Intake
    accounts: Accounts
    uploads: Uploads
    signer: Signer
    hub: Hub
    metrics: Metrics
    rates: Rates
    webhooks: Webhooks
    provider: Provider | None
    local: bool
    works: bool
    """Whether this process analyses files itself."""
    _stop: threading.Event = field(default_factory=threading.Event)
    stopping: bool = False

    def housekeep(self) -> None:
        """What is done once an hour: the retention rule, old sessions, unfinished uploads, files of nobody."""
        for task in (self.accounts.prune, self.uploads.prune, lambda: prune_orphans(self.history), self._retain):
            try:
                task()
            except Exception as error:  # the others are wanted all the same
                log.warning("housekeeping: %s", type(error).__name__)

    def _retain(self) -> None:
        days = self.settings.retention_days
        if not days:
            return
        before = rfc3339(datetime.now(UTC) - timedelta(days=days))
        count = self.history.prune(before, actor="retention") + self.jobs.prune_cancelled(before, actor="retention")
        if count:
            log.info("retention: %d records deleted", count)

    def keep_house(self) -> None:
        """Does so until the server ends; every minute jobs that never reached the queue are put into it."""
        last = time.monotonic()
        while not self._stop.wait(PUT_S):
            with contextlib.suppress(Exception):
                self.queue.put_lost_ones()
            if time.monotonic() - last > HOUSEKEEPING_S:
                last = time.monotonic()
                self.housekeep()


@contextlib.contextmanager
def opened(settings: Settings, *, local: bool, works: bool = True) -> Iterator[House]:
    """A house whose queue runs, closed afterwards.

    With PostgreSQL a server analyses nothing itself when `works` is false: that is left to the workers.
    """
    history = History(settings.data_dir, settings.database)
    name = default_name() if is_postgres(settings.database) else "server"
    engines = settings.jobs or default_jobs()
    workshop = Workshop(history, settings, worker=name, engines=engines) if works else None
    queue = JobQueue(history, name if works else f"{name}-web", workshop)
    webhooks = Webhooks(settings.data_dir, settings.webhooks)
    queue.hooks.append(webhooks.tell)
    jobs = Jobs(history)
    accounts = Accounts(history, tickets=local)
    provider = None
    if settings.oidc_issuer and not local:
        check_settings(settings)
        provider = Provider(settings, accounts)
    intake = Intake(history, settings, queue.put)
    house = House(
        settings=settings,
        history=history,
        jobs=jobs,
        queue=queue,
        intake=intake,
        accounts=accounts,
        uploads=Uploads(settings.data_dir / "uploads", settings.upload_mb << 20),
        signer=Signer(settings.data_dir),
        hub=Hub(jobs),
        metrics=Metrics(jobs),
        webhooks=webhooks,
        provider=provider,
        rates=Rates(settings.rate, BURST * settings.rate),
        local=local,
        works=works,
    )
    try:
        queue.start()
        threads = [threading.Thread(target=house.keep_house, name="housekeeping", daemon=True)]
        if settings.watch:
            watch = Watch(settings.watch, intake, settings.data_dir)
            threads.append(threading.Thread(target=watch.run, args=(house._stop,), name="watch", daemon=True))
        for each in threads:
            each.start()
        yield house
    finally:
        house.stopping = True
        house._stop.set()
        started = time.monotonic()
        queue.close()
        history.close()
        log.info("stopped after %.1f s", time.monotonic() - started)
