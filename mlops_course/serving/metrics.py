"""What the service tells about itself: Prometheus metrics and a structured access log.

One layer around the app sees every request and every answer, those of unknown routes too.
"""

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TextIO
from uuid import uuid4

import numpy as np
import orjson
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

ROUTES = ("/invocations", "/ping", "/version", "/metrics", "/openapi.json")
LATENCY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
MAX_ID_LETTERS = 64

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


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


class Observed:
    """An ASGI layer: gives each request an id, times it, counts it, and writes it down.

    The app has answered a crash by the time it arrives here; its cause goes to the log.
    """

    def __init__(self, app: App, metrics: Metrics, access: TextIO | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 500
        request_id = scope["request_id"] = _request_id(scope)

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            self._note({"request_id": request_id, "crashed": f"{type(error).__name__}: {error}"})
        finally:
            self._account(scope, status, time.perf_counter() - begun)

    def _account(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope["path"] if scope["path"] in ROUTES else "other"
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        about = {"request_id": scope["request_id"], "method": scope["method"]}
        about |= {"path": scope["path"], "status": status, "ms": round(1000 * seconds, 3)}
        self._note({"at": time.time(), **about, **scope.get("told", {})})

    def _note(self, line: dict[str, Any]) -> None:
        if self._access is not None:
            print(orjson.dumps(line).decode(), file=self._access, flush=True)


def _request_id(scope: Scope) -> str:
    """Return the caller's own id if it is a plain word, or else a new one."""
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return given if re.fullmatch(rf"[\w.-]{{1,{MAX_ID_LETTERS}}}", given, re.ASCII) else uuid4().hex
