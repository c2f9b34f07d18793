"""The scoring service's HTTP side: a FastAPI app that speaks MLflow's protocol.

A `Scorer` holds the models and answers a request's body; `create_app` puts routes around it. It
needs neither MLflow nor pandas. `worker` runs it in a process of its own.
"""

import asyncio
import sqlite3
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from mlops_course.serving.contract import (
    ANSWER_SCHEMA,
    ERROR_SCHEMA,
    MAX_BYTES,
    REQUEST_SCHEMA,
    Refused,
    read_columns,
)
from mlops_course.serving.metrics import Metrics
from mlops_course.serving.prediction_log import PredictionLog, Scored
from mlops_course.serving.routing import CHALLENGER, CHAMPION, SHADOW, Split, role_of
from mlops_course.training.model import DelayModel, load_model

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

BODY_SECONDS = 10
MAX_WAITING_REQUESTS = 1_000
MAX_DRAINED_BYTES = 64 * 2**20
# A body larger than this is scored in a thread, so that small requests need not wait for it.
LARGE_BYTES = 256 * 2**10

_ERROR = {"content": {"application/json": {"schema": ERROR_SCHEMA}}}
_ANSWER = {"content": {"application/json": {"schema": ANSWER_SCHEMA}}}
_BODY = {"content": {"application/json": {"schema": REQUEST_SCHEMA}}, "required": True}
REQUEST = {"requestBody": _BODY}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Scored.", **_ANSWER},
    408: {"description": "The body took too long.", **_ERROR},
    413: {"description": "The body is too long.", **_ERROR},
    415: {"description": "The body is not application/json.", **_ERROR},
    422: {"description": "The body cannot be scored; the error names the field.", **_ERROR},
    503: {"description": "No model is loaded yet, or nothing can be logged.", **_ERROR},
}


@dataclass(frozen=True)
class Loaded:
    """A model being served, and its version in the registry."""

    model: DelayModel
    version: str


class Scorer:
    """Holds the models being served; loading another replaces one between two requests."""

    def __init__(self, metrics: Metrics, log: PredictionLog | None = None) -> None:
        self.models: dict[str, Loaded] = {}
        self.split = Split()
        self.metrics = metrics
        self._log = log
        self._onlooker = ThreadPoolExecutor(1)
        self._waiting = 0

    @property
    def loaded(self) -> Loaded | None:
        """The champion, once there is one."""
        return self.models.get(CHAMPION)

    def load(self, path: Path, version: str, role: str = CHAMPION) -> None:
        """Read a model from MLflow's files, and serve it from the next request on."""
        self.models[role] = Loaded(load_model(path), version)
        self.metrics.serves(role, version)

    def begin_log(self, path: Path) -> None:
        """Write the predictions from the next request on into a log that begins empty.

        Its own log is emptied and not deleted: some systems delete no file that is open.
        """
        former = self._log
        if former is not None and former.path == path and path.exists():
            former.clear()
            return
        self._log = PredictionLog.anew(path)
        if former is not None:
            former.close()

    def score(self, request_id: str, body: bytes) -> tuple[str, list[float]]:
        """Return the version that answers a request's body and its probabilities, once logged.

        A challenger that fails is noted, and the champion answers in its place.
        """
        champion = self.loaded
        challenger = self.models.get(CHALLENGER)
        if champion is None:
            raise Refused("No model is loaded yet; ask /ping until it answers 200.", 503)
        columns = read_columns(body)
        if challenger and role_of(request_id, self.split) == CHALLENGER:
            try:
                return self._answer(challenger, CHALLENGER, request_id, body, columns)
            except Refused:
                raise
            except Exception:  # whatever it is: users must not meet a candidate's faults
                pass
        answer = self._answer(champion, CHAMPION, request_id, body, columns)
        if challenger and self.split.mode == SHADOW:
            self._look_on(challenger, request_id, body, columns)
        return answer

    def close(self) -> None:
        """Finish what the shadow has still to look at, and close the log."""
        self._onlooker.shutdown()
        if self._log is not None:
            self._log.close()

    def _answer(
        self, loaded: Loaded, role: str, request_id: str, body: bytes, columns: Mapping[str, Any]
    ) -> tuple[str, list[float]]:
        """Let one model score, and log what it made of the request, a failure too."""
        begun = time.perf_counter()
        version = loaded.version

        def kept(probabilities: Sequence[float] = (), failure: str = "") -> Scored:
            spent = 1000 * (time.perf_counter() - begun)
            return Scored(request_id, role, version, body, spent, probabilities, failure)

        try:
            matrix = loaded.model.encode(columns)
            probability = loaded.model.probability_of(matrix)
        except Exception as error:
            self._write(kept(failure=f"{type(error).__name__}: {error}"))
            self.metrics.failures.labels(role, version).inc()
            raise
        scored = kept(probability.tolist())
        self._write(scored)
        self.metrics.scored(role, version, matrix, probability)
        return version, list(scored.probabilities)

    def _write(self, scored: Scored) -> None:
        if self._log is None:
            return
        try:
            self._log.append(scored)
        except sqlite3.Error as error:
            raise Refused(f"Not answered, for it cannot be logged ({error}).", 503) from error

    def _look_on(
        self, loaded: Loaded, request_id: str, body: bytes, columns: Mapping[str, Any]
    ) -> None:
        """Let the challenger score in a thread of its own; the answer does not wait for it.

        Where it cannot keep up, requests pass unseen, and are counted.
        """
        if self._waiting >= MAX_WAITING_REQUESTS:
            self.metrics.unseen_by_shadow.inc()
            return
        self._waiting += 1

        def look() -> None:
            try:
                self._answer(loaded, SHADOW, request_id, body, columns)
            finally:
                self._waiting -= 1

        self._onlooker.submit(look)


def create_app(scorer: Scorer) -> "FastAPI":
    """Build the HTTP side: ``/invocations``, ``/ping``, ``/version``, ``/metrics``."""
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import PlainTextResponse
    from prometheus_client import CONTENT_TYPE_LATEST
    from starlette.exceptions import HTTPException

    # The usual pages that draw the description fetch their scripts from the network.
    asks = "Will this flight arrive late?"
    app = FastAPI(title="Push-back", description=asks, docs_url=None, redoc_url=None)

    def answer(content: Mapping[str, Any], status: int = 200) -> Response:
        return Response(orjson.dumps(content), status, media_type="application/json")

    @app.get("/ping", responses={503: {"description": "No model is loaded yet."}})
    async def ping() -> Response:
        """Tell whether a model is loaded."""
        return Response(status_code=200 if scorer.loaded else 503)

    @app.get("/version")
    async def version() -> Response:
        """Tell which version answers."""
        return answer({"model_version": scorer.loaded.version if scorer.loaded else None})

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Tell the service's figures in Prometheus's text format."""
        return Response(scorer.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.post("/invocations", openapi_extra=REQUEST, responses=ANSWERS)
    async def invocations(request: Request) -> Response:
        """Score flights."""
        request_id = request.scope["request_id"]
        body = await _body(request)
        if len(body) > LARGE_BYTES:
            version, predictions = await asyncio.to_thread(scorer.score, request_id, body)
        else:
            version, predictions = scorer.score(request_id, body)
        request.scope["told"] = {"rows": len(predictions), "version": version}
        return answer({"predictions": predictions, "model_version": version})

    @app.exception_handler(Refused)
    async def refuse(request: Request, error: Refused) -> Response:
        request.scope["told"] = {"error": str(error)}
        return answer({"error": str(error)}, error.status)

    @app.exception_handler(HTTPException)
    async def elsewhere(request: Request, error: HTTPException) -> Response:
        routes = "POST /invocations, GET /ping, /version and /metrics"
        sentence = f"{request.method} {request.url.path} is not served. There is {routes}."
        return answer({"error": sentence}, error.status_code)

    @app.exception_handler(Exception)
    async def fail(request: Request, error: Exception) -> Response:
        request_id = request.scope["request_id"]
        return answer({"error": f"The service failed; its log tells why under {request_id}."}, 500)

    return app


async def _body(request: "Request") -> bytes:
    """Return a request's body; one that is too long is read to its end, and not kept."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(f"The content type is {kind or 'missing'}; send application/json.", 415)
    parts = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size <= MAX_BYTES:
                    parts.append(part)
                elif size > MAX_DRAINED_BYTES:
                    break
    except TimeoutError as error:
        raise Refused(f"The body did not arrive within {BODY_SECONDS} seconds.", 408) from error
    if size > MAX_BYTES:
        raise Refused(f"The body has over {MAX_BYTES} bytes; send fewer rows a request.", 413)
    return b"".join(parts)
