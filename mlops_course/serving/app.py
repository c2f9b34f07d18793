"""The scoring service's HTTP side: a FastAPI app that speaks MLflow's protocol.

A `Scorer` holds the models and answers a request's body; `create_app` puts routes around it. It
needs neither MLflow nor pandas. `worker` runs it in a process of its own.
"""

import asyncio
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import orjson

from mlops_course.serving.contract import (
    ANSWER_SCHEMA,
    CSV,
    ERROR_SCHEMA,
    JSON,
    MAX_BYTES,
    NO_LOG,
    NO_MODEL,
    NOTES,
    REQUEST_SCHEMA,
    Refused,
    packed_columns,
    read_columns,
    shown,
    unpacked_columns,
)
from mlops_course.serving.metrics import Metrics
from mlops_course.serving.prediction_log import MAX_BYTES as LOG_BYTES
from mlops_course.serving.prediction_log import PredictionLog, Scored, Writer
from mlops_course.serving.routing import CHALLENGER, CHAMPION, REFUSED, SHADOW, Split, role_of
from mlops_course.training.model import DelayModel, load_model

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.responses import Response

BODY_SECONDS = 10
READY_SECONDS = 0.5
MAX_WAITING_BYTES = 4 * 2**20
MAX_HELD_BYTES = 32 * 2**20
MAX_DRAINED_BYTES = 64 * 2**20
# A body larger than this is scored in a thread, so that small requests need not wait for it.
LARGE_BYTES = 256 * 2**10

ABOUT = f"""
Will this flight arrive late?
{NOTES}
Answers are kept in a log; beyond {LOG_BYTES // 2**20} MiB its oldest tenth goes.
"""
_UTF_8 = re.compile(r'\s*(charset\s*=\s*("utf-?8"|utf-?8))?\s*;?\s*', re.IGNORECASE)
_ERROR = {"content": {"application/json": {"schema": ERROR_SCHEMA}}}
_ANSWER = {"content": {"application/json": {"schema": ANSWER_SCHEMA}}}
_KINDS = {JSON: {"schema": REQUEST_SCHEMA}, CSV: {"schema": {"type": "string"}}}
_BODY = {"content": _KINDS, "required": True}
REQUEST = {"requestBody": _BODY}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Scored.", **_ANSWER},
    408: {"description": "The body took too long.", **_ERROR},
    413: {"description": "The body is too long.", **_ERROR},
    415: {"description": "The body is neither JSON nor CSV, or not UTF-8.", **_ERROR},
    422: {"description": "The body cannot be scored; the error names the field.", **_ERROR},
    503: {"description": "No model is loaded, nothing can be logged, or too much asked.", **_ERROR},
}
ERROR_CODES = {
    404: "ENDPOINT_NOT_FOUND",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
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
        self._writer = Writer(log) if log is not None else None
        self._exchange = Lock()
        self._onlooker = ThreadPoolExecutor(1)
        self._waiting_bytes = 0
        metrics.measure_log(self._log_size)

    @property
    def loaded(self) -> Loaded | None:
        """The champion, once there is one."""
        return self.models.get(CHAMPION)

    def load(self, path: Path, version: str, role: str = CHAMPION, files: str = "") -> None:
        """Read a model from MLflow's files, and serve it from the next request on.

        Raises
        ------
        ModelError
            If it cannot be read, or ``files`` is a digest and not theirs.
        """
        self.models[role] = Loaded(load_model(path, files), version)
        self.metrics.serves(role, version)

    def begin_log(self, path: Path) -> None:
        """Write the predictions from the next request on into a log that begins empty.

        Its own log is emptied and not deleted: some systems delete no file that is open.
        """
        former = self._writer
        if former is not None and former.log.path == path and path.exists():
            former.log.clear()
            return
        with self._exchange:
            self._writer = Writer(PredictionLog.anew(path))
        if former is not None:
            former.close()

    def score(self, request_id: str, columns: Mapping[str, Any]) -> list[Scored]:
        """Return what the models made of a request's columns; the last one is the answer.

        A model that fails has an entry that says so, and no probabilities; where a challenger does,
        the champion answers in its place.

        Raises
        ------
        Refused
            If no model is loaded.
        """
        champion = self.loaded
        challenger = self.models.get(CHALLENGER)
        if champion is None:
            sentence = "No model is loaded yet; ask /ping until it answers 200."
            raise Refused(sentence, 503, NO_MODEL)
        request = (request_id, packed_columns(columns), columns)
        if challenger is None or role_of(request_id, self.split) != CHALLENGER:
            return [self._ask(champion, CHAMPION, *request)]
        first = self._ask(challenger, CHALLENGER, *request)
        return [first, self._ask(champion, CHAMPION, *request)] if first.failure else [first]

    def keep(self, entries: Sequence[Scored]) -> "Future[None]":
        """Write entries into the log; the future is done once they are in the file."""
        with self._exchange:
            if self._writer is not None:
                return self._writer.write(entries)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def note(self, request_id: str, why: Refused) -> None:
        """Write down that a request was refused, soon: nobody waits for it, and no body is kept."""
        self.keep([Scored(request_id, REFUSED, "", b"", 0.0, failure=f"{why.status}: {why}")])

    def look_on(self, answered: Scored) -> None:
        """Let a shadow score what was answered, in a thread of its own; nobody waits for it.

        Where it cannot keep up, requests pass unseen, and are counted.
        """
        challenger = self.models.get(CHALLENGER)
        if challenger is None or self.split.mode != SHADOW:
            return
        size = len(answered.body)
        if self._waiting_bytes and self._waiting_bytes + size > MAX_WAITING_BYTES:
            self.metrics.skipped_by_shadow.inc()
            return
        self._waiting_bytes += size

        def look() -> None:
            try:
                columns = unpacked_columns(answered.body)
                request = (answered.request_id, answered.body, columns)
                self.keep([self._ask(challenger, SHADOW, *request)]).result()
            finally:
                self._waiting_bytes -= size

        self._onlooker.submit(look)

    def close(self) -> None:
        """Finish what the shadow has still to look at, and close the log."""
        self._onlooker.shutdown()
        if self._writer is not None:
            self._writer.close()

    def _log_size(self) -> int:
        return self._writer.log.size_on_disk() if self._writer is not None else 0

    def _ask(
        self, loaded: Loaded, role: str, request_id: str, body: bytes, columns: Mapping[str, Any]
    ) -> Scored:
        """Let one model score; whatever goes wrong with it is an entry, too."""
        begun = time.perf_counter()
        version = loaded.version
        probabilities: list[float] = []
        failure = ""
        try:
            matrix = loaded.model.encode(columns)
            probability = loaded.model.probability_of(matrix)
            probabilities = probability.tolist()
            self.metrics.scored(role, version, matrix, probability)
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
            self.metrics.failures.labels(role, version).inc()
        spent = 1000 * (time.perf_counter() - begun)
        return Scored(request_id, role, version, body, spent, probabilities, failure)


def create_app(scorer: Scorer) -> "FastAPI":
    """Build the HTTP side: ``/invocations``, ``/ping``, ``/health``, ``/version``, ``/metrics``."""
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import PlainTextResponse
    from prometheus_client import CONTENT_TYPE_LATEST

    # The usual pages that draw the description fetch their scripts from the network.
    app = FastAPI(title="Push-back", description=ABOUT, docs_url=None, redoc_url=None)
    intake = Intake()
    large = ThreadPoolExecutor(1)

    @app.get("/ping", responses={503: {"description": "No model is loaded yet."}})
    async def ping() -> Response:
        """Tell whether a model is loaded: is the process alive?"""
        return Response("\n", 200 if scorer.loaded else 503, media_type=JSON)

    @app.get("/health", responses={503: {"description": "Requests cannot be answered now."}})
    async def health() -> Response:
        """Tell whether a request would be answered: scored, and logged."""
        return Response("\n", 200 if await _ready(scorer) else 503, media_type=JSON)

    @app.get("/version")
    async def version() -> Response:
        """Tell which version answers."""
        return _answer({"model_version": scorer.loaded.version if scorer.loaded else None})

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Tell the service's figures in Prometheus's text format."""
        return Response(scorer.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.post("/invocations", openapi_extra=REQUEST, responses=ANSWERS)
    async def invocations(request: Request) -> Response:
        """Score flights."""
        request_id = request.scope["request_id"]
        kind = _kind_of(request)

        def score(body: bytes) -> list[Scored]:
            return scorer.score(request_id, read_columns(body, kind))

        async with intake.body_of(request) as body:
            if len(body) > LARGE_BYTES:
                entries = await asyncio.get_running_loop().run_in_executor(large, score, body)
            else:
                entries = score(body)
        try:
            await asyncio.wrap_future(scorer.keep(entries))
        except sqlite3.Error as error:
            sentence = f"Not answered, for it cannot be logged ({error})."
            raise Refused(sentence, 503, NO_LOG) from error
        answered = entries[-1]
        if answered.failure:
            raise RuntimeError(f"version {answered.version}: {answered.failure}")
        scorer.look_on(answered)
        request.scope["told"] = {"rows": len(answered.probabilities), "version": answered.version}
        predictions = {"predictions": answered.probabilities}
        return _answer({**predictions, "model_version": answered.version})

    _word_errors(app, scorer)
    return app


def _word_errors(app: "FastAPI", scorer: Scorer) -> None:
    """Give every answer that is an error the same form."""
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import Response

    @app.exception_handler(Refused)
    async def refuse(request: Request, error: Refused) -> Response:
        scorer.note(request.scope["request_id"], error)
        return refusal(request.scope, error)

    @app.exception_handler(ClientDisconnect)
    async def leave(request: Request, error: ClientDisconnect) -> Response:
        return refusal(request.scope, Refused("The client left before its body was here.", 499))

    @app.exception_handler(HTTPException)
    async def elsewhere(request: Request, error: HTTPException) -> Response:
        routes = "POST /invocations, GET /ping, /health, /version and /metrics"
        asked = f"{shown(request.method)} {shown(request.url.path)}"
        why = Refused(f"{asked} is not served. There is {routes}.", error.status_code)
        return refusal(request.scope, why, error.headers)

    @app.exception_handler(Exception)
    async def fail(request: Request, error: Exception) -> Response:
        request_id = request.scope["request_id"]
        sentence = f"The service failed; its log tells why under {request_id}."
        return refusal(request.scope, Refused(sentence, 500))


class Intake:
    """The bodies that requests have sent and are not done with: so many bytes, and no more."""

    def __init__(self) -> None:
        self._held = 0

    @asynccontextmanager
    async def body_of(self, request: "Request") -> AsyncIterator[bytes]:
        """Hold a request's body; one that is too long is read to its end, and not kept."""
        parts: list[bytes] = []
        size = 0
        try:
            async with _in_time():
                async for part in request.stream():
                    size += len(part)
                    if size > MAX_DRAINED_BYTES:
                        break
                    if size <= MAX_BYTES:
                        self._take(part)
                        parts.append(part)
            if size > MAX_BYTES:
                raise Refused(f"The body has over {MAX_BYTES} bytes; send fewer rows.", 413)
            yield b"".join(parts)
        finally:
            self._held -= sum(map(len, parts))

    def _take(self, part: bytes) -> None:
        if self._held + len(part) > MAX_HELD_BYTES:
            raise Refused("Too many large requests are being answered; ask again.", 503)
        self._held += len(part)


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            yield
    except TimeoutError as error:
        raise Refused(f"The body did not arrive within {BODY_SECONDS} seconds.", 408) from error


async def _ready(scorer: Scorer) -> bool:
    try:
        await asyncio.wait_for(asyncio.wrap_future(scorer.keep(())), READY_SECONDS)
    except (sqlite3.Error, TimeoutError):
        return False
    return scorer.loaded is not None


def _kind_of(request: "Request") -> str:
    """Return what a request says its body is, if it can be read."""
    sent = request.headers.get("content-type", "missing")
    kind, _, further = sent.partition(";")
    kind = kind.strip().lower()
    if kind not in (JSON, CSV):
        raise Refused(f"The content type is {shown(sent)}; send {JSON} or {CSV}.", 415)
    if not _UTF_8.fullmatch(further):
        raise Refused(f"Send {kind} in UTF-8, with no parameter but charset=utf-8.", 415)
    return kind


def refusal(
    scope: MutableMapping[str, Any], why: Refused, headers: Mapping[str, str] | None = None
) -> "Response":
    """Return the answer to a request that is not scored, as MLflow words it and as we do."""
    sentence = str(why)
    scope["told"] = {"error": sentence}
    scope["reason"] = why.reason
    code = ERROR_CODES.get(why.status, "BAD_REQUEST")
    retry = {"retry-after": "1"} if why.status == 503 else {}
    content = {"error": sentence, "error_code": code, "message": sentence}
    return _answer(content, why.status, {**(headers or {}), **retry})


def _answer(
    content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> "Response":
    from starlette.responses import Response

    return Response(orjson.dumps(content), status, headers, media_type=JSON)
