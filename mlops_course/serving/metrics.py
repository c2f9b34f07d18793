"""What the service tells about itself, in Prometheus's terms.

Names follow https://prometheus.io/docs/practices/naming: one prefix, base units, ``_total`` on
counters, ``_info`` on what never changes. A label's values come from this program and from the
versions that its owner loads, never from what clients send, so that nobody can make it hold more
and more series. What can happen is there from the start, at zero: to a series that appears with
its first error, the error is no increase.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from mlops_course.data.features import CATEGORICAL, FEATURES, WEATHER
from mlops_course.serving.contract import REASONS
from mlops_course.serving.prediction_log import MAX_BYTES
from mlops_course.serving.routing import SHADOW
from mlops_course.training.model import called_late

INVOCATIONS = "/invocations"
ROUTES = (INVOCATIONS, "/ping", "/health", "/version", "/metrics", "/openapi.json")
OTHER = "other"
STATUSES = (200, 403, 405, 408, 413, 415, 422, 499, 500, 503)
CALLED = ("late", "on time")
LATENCY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
PROBABILITIES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0)
PREFIX = "push_back"


class Metrics:
    """The service's own Prometheus registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        own: dict[str, Any] = {"namespace": PREFIX, "registry": self.registry}
        self._watch_requests(own)
        self._watch_models(own)
        self._watch_log(own)
        build = Gauge("build_info", "The program that serves; always 1.", ("version",), **own)
        build.labels(version("mlops-course")).set(1)
        self._begin_at_zero()

    def _watch_requests(self, own: Mapping[str, Any]) -> None:
        self.requests = Counter(
            "requests", "Requests answered, by route and HTTP status.", ("route", "status"), **own
        )
        self.refusals = Counter(
            "refusals", "Requests not answered as asked, by the kind of reason.", ("reason",), **own
        )
        self.seconds = Histogram(
            "request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            ("route",),
            buckets=LATENCY_SECONDS,
            **own,
        )
        self.in_progress = Gauge(
            "requests_in_progress", "Requests being answered now.", ("route",), **own
        )
        self.most_in_progress = Gauge(
            "max_requests_in_progress", "Requests to score that are let in at once.", **own
        )

    def _watch_models(self, own: Mapping[str, Any]) -> None:
        model = ("role", "version")
        self._versions: dict[str, str] = {}
        self.model = Gauge("model_info", "The versions being served; always 1.", model, **own)
        self.flights = Counter(
            "flights", "Flights scored, by what they were called.", (*model, "called"), **own
        )
        self.probabilities = Probabilities(f"{PREFIX}_late_probability", model)
        self.registry.register(self.probabilities)
        self.missing = Counter(
            "missing_values",
            "Weather values that were null; a shadow's not again.",
            ("field",),
            **own,
        )
        self.unseen = Counter(
            "unseen_values",
            "Categories unknown to the model; a shadow's not again.",
            ("field",),
            **own,
        )
        self.failures = Counter("model_failures", "Requests that a model failed on.", model, **own)
        self.skipped_by_shadow = Counter(
            "shadow_skipped_requests", "Requests that the shadow had no time for.", **own
        )

    def _watch_log(self, own: Mapping[str, Any]) -> None:
        self.log_bytes = Gauge(
            "prediction_log_bytes", "Size of the prediction log's files; 0 without one.", **own
        )
        self.most_log_bytes = Gauge(
            "prediction_log_max_bytes", "In use at most; beyond it the oldest tenth goes.", **own
        )
        self.most_log_bytes.set(MAX_BYTES)

    def _begin_at_zero(self) -> None:
        for status in STATUSES:
            self.requests.labels(INVOCATIONS, str(status))
        for reason in REASONS:
            self.refusals.labels(reason)
        for field in WEATHER:
            self.missing.labels(field)
        for field in CATEGORICAL:
            self.unseen.labels(field)
        self.seconds.labels(INVOCATIONS)
        self.in_progress.labels(INVOCATIONS)

    def measure_log(self, size: Callable[[], int]) -> None:
        """Ask ``size`` for the prediction log's bytes whenever somebody looks."""
        self.log_bytes.set_function(size)

    def serves(self, role: str, version: str) -> None:
        """Note which version has a role from now on."""
        former = self._versions.get(role)
        if former is not None:
            self.model.remove(role, former)
        self._versions[role] = version
        self.model.labels(role, version).set(1)
        self.failures.labels(role, version)
        for called in CALLED:
            self.flights.labels(role, version, called)

    def begun(self, path: str) -> None:
        """Count a request as being answered, until `answered` is called with the same path."""
        self.in_progress.labels(_route(path)).inc()

    def answered(self, path: str, status: int, seconds: float, reason: str = "") -> None:
        """Count an answer; ``reason`` is one of `REASONS`, empty where nothing was refused."""
        route = _route(path)
        self.in_progress.labels(route).dec()
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)
        if reason:
            self.refusals.labels(reason).inc()

    def scored(self, role: str, version: str, matrix: np.ndarray, probability: np.ndarray) -> None:
        """Count what was in a request, by column of the encoded matrix, and what came out."""
        late = int(called_late(probability).sum())
        self.flights.labels(role, version, "late").inc(late)
        self.flights.labels(role, version, "on time").inc(len(probability) - late)
        self.probabilities.observe((role, version), probability)
        if role == SHADOW:
            return
        for name, count in zip(FEATURES, np.isnan(matrix).sum(axis=0).tolist(), strict=True):
            if count:
                kind = self.unseen if name in CATEGORICAL else self.missing
                kind.labels(name).inc(count)

    def text(self) -> bytes:
        """Return all of it in Prometheus's text format."""
        return generate_latest(self.registry)


class Probabilities(Collector):
    """A histogram of the probability of late, by whatever the labels name.

    The client library's own takes one value at a time; here a request's flights come as an array.

    >>> from prometheus_client import CollectorRegistry
    >>> histogram = Probabilities("late", ("role", "version"))
    >>> histogram.observe(("champion", "1"), np.array([0.05, 0.3, 0.97]))
    >>> registry = CollectorRegistry()
    >>> registry.register(histogram)
    >>> champion = {"role": "champion", "version": "1"}
    >>> [registry.get_sample_value("late_bucket", {**champion, "le": le}) for le in ("0.05", "0.5")]
    [1, 2]
    """

    def __init__(self, name: str, labels: Sequence[str]) -> None:
        self._name = name
        self._labels = labels
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], np.ndarray] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def observe(self, labels: tuple[str, ...], probability: np.ndarray) -> None:
        """Count probabilities, shape (flights,), each in the first bucket that reaches it."""
        places = np.searchsorted(PROBABILITIES, probability)
        counts = np.bincount(places, minlength=len(PROBABILITIES) + 1)
        total = float(probability.sum())
        with self._lock:
            self._counts[labels] = self._counts.get(labels, 0) + counts
            self._sums[labels] = self._sums.get(labels, 0.0) + total

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Return the name alone, for the registry to know it."""
        return [self._family({}, {})]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return what was counted."""
        with self._lock:
            return [self._family(dict(self._counts), dict(self._sums))]

    def _family(
        self,
        counts: Mapping[tuple[str, ...], np.ndarray],
        sums: Mapping[tuple[str, ...], float],
    ) -> HistogramMetricFamily:
        about = "Probability of late of each flight scored."
        family = HistogramMetricFamily(self._name, about, labels=self._labels)
        bounds = [*map(str, PROBABILITIES), "+Inf"]
        for labels, counted in counts.items():
            buckets = list(zip(bounds, np.cumsum(counted).tolist(), strict=True))
            family.add_metric(labels, buckets, sums[labels])
        return family


def _route(path: str) -> str:
    return path if path in ROUTES else OTHER
