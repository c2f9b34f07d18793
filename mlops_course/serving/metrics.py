"""What the service tells about itself, in Prometheus's terms."""

from typing import Any

import numpy as np
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from mlops_course.data.features import CATEGORICAL, FEATURES
from mlops_course.serving.routing import SHADOW
from mlops_course.training.model import called_late

ROUTES = ("/invocations", "/ping", "/health", "/version", "/metrics", "/openapi.json")
LATENCY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Metrics:
    """The service's own Prometheus registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        own: dict[str, Any] = {"namespace": "push_back", "registry": self.registry}
        self.requests = Counter("requests", "Requests answered.", ("route", "status"), **own)
        self.seconds = Histogram(
            "request_seconds", "Time to answer.", ("route",), buckets=LATENCY_SECONDS, **own
        )
        model = ("role", "version")
        self.flights = Counter(
            "flights", "Flights scored, by what they were called.", (*model, "called"), **own
        )
        self.missing = Counter(
            "missing_values", "Weather values that were null.", ("field",), **own
        )
        self.unseen = Counter(
            "unseen_values", "Categories unknown to the model.", ("field",), **own
        )
        self.failures = Counter("failures", "Requests that a model failed on.", model, **own)
        self.unseen_by_shadow = Counter(
            "unseen_by_shadow", "Requests that the shadow had no time for.", **own
        )
        self.model = Gauge("model_info", "The versions being served.", model, **own)

    def serves(self, role: str, version: str) -> None:
        """Note which version has a role from now on."""
        for labels in [labels for labels in self.model._metrics if labels[0] == role]:
            self.model.remove(*labels)
        self.model.labels(role, version).set(1)

    def scored(self, role: str, version: str, matrix: np.ndarray, probability: np.ndarray) -> None:
        """Count what was in a request, by column of the encoded matrix, and what came out."""
        late = int(called_late(probability).sum())
        self.flights.labels(role, version, "late").inc(late)
        self.flights.labels(role, version, "on time").inc(len(probability) - late)
        if role == SHADOW:
            return
        for name, count in zip(FEATURES, np.isnan(matrix).sum(axis=0).tolist(), strict=True):
            if count:
                kind = self.unseen if name in CATEGORICAL else self.missing
                kind.labels(name).inc(count)

    def text(self) -> bytes:
        """Return all of it in Prometheus's text format."""
        return generate_latest(self.registry)
