"""The scoring service itself: a FastAPI app that speaks MLflow's protocol, in its own process.

Run as ``python -m mlops_course.scorer``. It listens on loopback, loads the model file it is
told to, and ends when its parent does. It needs neither MLflow nor pandas. The other side,
the one that starts and calls it, is `serving`.

Control lines come in on stdin, one JSON object each, so that nobody but the parent can change
what is served: ``{"path": ..., "version": ..., "role": ...}`` loads a model,
``{"mode": ..., "share": ...}`` splits the requests, end of file stops.
"""

import argparse
import asyncio
import json
import os
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import orjson
from threadpoolctl import threadpool_limits

from mlops_course.errors import WorkspaceError
from mlops_course.features import Vocabulary, encode
from mlops_course.observing import Metrics, Observed
from mlops_course.prediction_log import PredictionLog, Scored
from mlops_course.traffic import CHALLENGER, CHAMPION, SHADOW, Split, role_of
from mlops_course.wire import (
    ANSWER_SCHEMA,
    ERROR_SCHEMA,
    MOST_BYTES,
    REQUEST_SCHEMA,
    Refused,
    read_columns,
)

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from sklearn.ensemble import HistGradientBoostingClassifier

BODY_SECONDS = 10
GRACE_SECONDS = 5
MOST_WAITING = 1_000
MOST_DRAINED = 64 * 2**20
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

# scikit-learn and skops import these where they find them; without, the service starts
# faster and is 70 MB smaller.
_UNNEEDED = ("pandas", "pyarrow", "matplotlib", "pytest")


@dataclass(frozen=True)
class Loaded:
    """The model being served."""

    estimator: "HistGradientBoostingClassifier"
    vocabulary: Vocabulary
    version: str


class Scorer:
    """Holds the models being served; loading another replaces one between two requests."""

    def __init__(self, metrics: Metrics, log: PredictionLog | None = None) -> None:
        self.models: dict[str, Loaded] = {}
        self.split = Split()
        self.metrics, self._log = metrics, log
        self._onlooker = ThreadPoolExecutor(1)
        self._waiting = 0

    @property
    def loaded(self) -> Loaded | None:
        """The champion, once there is one."""
        return self.models.get(CHAMPION)

    def load(self, path: Path, version: str, role: str = CHAMPION) -> None:
        """Read a model that MLflow saved with skops, and serve it from the next request on."""
        import skops.io
        import yaml

        saved = yaml.safe_load((path / "MLmodel").read_text(encoding="utf-8"))
        flavor = saved["flavors"]["sklearn"]
        estimator = skops.io.load(
            path / flavor["pickled_model"], trusted=flavor["skops_trusted_types"]
        )
        self.models[role] = Loaded(estimator, saved["metadata"]["vocabulary"], version)
        self.metrics.serves(role, version)

    def score(self, request_id: str, body: bytes) -> tuple[str, list[float]]:
        """Return the version that answers a request's body and its probabilities, once logged.

        A challenger that fails is noted, and the champion answers in its place.
        """
        champion, challenger = self.loaded, self.models.get(CHALLENGER)
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
        """Finish what the shadow has still to look at."""
        self._onlooker.shutdown()

    def _answer(
        self, model: Loaded, role: str, request_id: str, body: bytes, columns: Mapping[str, Any]
    ) -> tuple[str, list[float]]:
        """Let one model score, and log what it made of the request, a failure too."""
        begun = time.perf_counter()

        def kept(probabilities: Sequence[float] = (), failure: str = "") -> Scored:
            spent = 1000 * (time.perf_counter() - begun)
            return Scored(request_id, role, model.version, body, spent, probabilities, failure)

        try:
            matrix = encode(columns, model.vocabulary)
            probability = model.estimator.predict_proba(matrix)[:, 1]
        except Exception as error:
            self._write(kept(failure=f"{type(error).__name__}: {error}"))
            self.metrics.failures.labels(role, model.version).inc()
            raise
        scored = kept(probability.tolist())
        self._write(scored)
        self.metrics.scored(role, model.version, matrix, probability)
        return model.version, list(scored.probabilities)

    def _write(self, scored: Scored) -> None:
        if self._log is None:
            return
        try:
            self._log.append(scored)
        except sqlite3.Error as error:
            raise Refused(f"Not answered, for it cannot be logged ({error}).", 503) from error

    def _look_on(
        self, model: Loaded, request_id: str, body: bytes, columns: Mapping[str, Any]
    ) -> None:
        """Let the challenger score in a thread of its own; the answer does not wait for it.

        Where it cannot keep up, requests pass unseen, and are counted.
        """
        if self._waiting >= MOST_WAITING:
            self.metrics.unseen_by_shadow.inc()
            return
        self._waiting += 1

        def look() -> None:
            try:
                self._answer(model, SHADOW, request_id, body, columns)
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
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size <= MOST_BYTES:
                    parts.append(part)
                elif size > MOST_DRAINED:
                    break
    except TimeoutError as error:
        raise Refused(f"The body did not arrive within {BODY_SECONDS} seconds.", 408) from error
    if size > MOST_BYTES:
        raise Refused(f"The body has over {MOST_BYTES} bytes; send fewer rows a request.", 413)
    return b"".join(parts)


def main() -> None:
    """Serve until stdin ends. The first line on stdout is the URL."""
    for name in _UNNEEDED:
        sys.modules[name] = None  # type: ignore[assignment]
    import uvicorn

    options = _options()
    # Without IPPROTO_TCP asyncio leaves Nagle's algorithm on, and a small request takes 45 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if sys.platform != "win32":  # where this would let two services share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", options.port))
    except OSError as error:
        _say({"failed": f"port {options.port} cannot be used ({error.strerror})"})
        return
    listener.listen()
    metrics = Metrics()
    try:
        log = PredictionLog(options.predictions) if options.predictions else None
    except WorkspaceError as error:
        _say({"failed": f"{error.happened.rstrip('.')}; move it to another folder"})
        return
    scorer = Scorer(metrics, log)
    config = uvicorn.Config(
        Observed(create_app(scorer), metrics, options.access_log),
        log_level="error",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    _say({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"})
    import sklearn.ensemble  # noqa: F401  (the slow import, before the first model)
    import skops.io  # noqa: F401

    with threadpool_limits(1):
        threading.Thread(target=_obey, args=(scorer, server), daemon=True).start()
        server.run([listener])
    scorer.close()
    if log is not None:
        log.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--predictions", type=Path)
    parser.add_argument("--access-log", type=_open_log, metavar="FILE", help="- is stderr")
    return parser.parse_args()


def _open_log(name: str) -> TextIO:
    return sys.stderr if name == "-" else open(name, "a", encoding="utf-8")


def _obey(scorer: Scorer, server: Any) -> None:
    for line in sys.stdin:
        try:
            order = json.loads(line)
            if "mode" in order:
                scorer.split = Split(order["mode"], order["share"])
                _say({"split": order["mode"]})
            else:
                scorer.load(Path(order["path"]), order["version"], order["role"])
                _say({"loaded": order["version"]})
        except Exception as error:
            _say({"failed": f"{type(error).__name__}: {error}"})
    server.should_exit = True
    threading.Timer(2 * GRACE_SECONDS, os._exit, args=(0,)).start()


def _say(message: Mapping[str, str]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
