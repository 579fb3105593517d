"""Numbers for Prometheus: requests by route, jobs by state, bytes taken in. No names, no addresses."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from fakelab import __version__
from fakelab.service.jobs import Jobs

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The numbers of one server."""

    def __init__(self, jobs: Jobs) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "fakelab_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "fakelab_request_seconds",
            "Time until the answer began.",
            ("route",),
            registry=self.registry,
            buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 10),
        )
        self.taken = Counter("fakelab_uploaded_bytes", "Bytes of files taken in.", registry=self.registry)
        self.registry.register(_Jobs(jobs))

    def text(self) -> bytes:
        """All numbers in the text format of Prometheus."""
        return generate_latest(self.registry)


class _Jobs(Collector):
    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Asked of the database when somebody asks us."""
        states = GaugeMetricFamily("fakelab_jobs", "Analyses that were asked for, by state.", labels=["state"])
        for state, count in self._jobs.counts().items():
            states.add_metric([state], count)
        yield states
        version = GaugeMetricFamily("fakelab_info", "The version that runs.", labels=["version"])
        version.add_metric([__version__], 1)
        yield version

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing beforehand: that would ask the database."""
        return iter(())
