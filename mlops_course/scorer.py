"""The scoring service itself: a FastAPI app that speaks MLflow's protocol, in its own process.

Run as ``python -m mlops_course.scorer``. It listens on loopback, loads the model file it is
told to, and ends when its parent does. It needs neither MLflow nor pandas. The other side,
the one that starts and calls it, is `serving`.

Control lines come in on stdin, one JSON object each, so that nobody but the parent can
change the model: ``{"path": ..., "version": ...}`` loads, end of file stops.
"""

import json
import os
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from threadpoolctl import threadpool_limits

from mlops_course.features import CATEGORICAL, FEATURES, NUMERIC, REQUIRED, Vocabulary, encode

if TYPE_CHECKING:
    from fastapi import FastAPI
    from sklearn.ensemble import HistGradientBoostingClassifier

MOST_ROWS = 20_000
MOST_BYTES = 20 * 2**20

# scikit-learn and skops import these where they find them; without, the service starts
# faster and is 70 MB smaller.
_UNNEEDED = ("pandas", "pyarrow", "matplotlib", "pytest")


class BadRequest(Exception):
    """A request that cannot be scored; the message names the field and what was expected."""


@dataclass(frozen=True)
class Loaded:
    """The model being served."""

    estimator: "HistGradientBoostingClassifier"
    vocabulary: Vocabulary
    version: str


class Scorer:
    """Holds the model being served; loading another replaces it between two requests."""

    def __init__(self) -> None:
        self.loaded: Loaded | None = None

    def load(self, path: Path, version: str) -> None:
        """Read a model that MLflow saved with skops, and serve it from the next request on."""
        import skops.io
        import yaml

        saved = yaml.safe_load((path / "MLmodel").read_text(encoding="utf-8"))
        flavor = saved["flavors"]["sklearn"]
        estimator = skops.io.load(
            path / flavor["pickled_model"], trusted=flavor["skops_trusted_types"]
        )
        self.loaded = Loaded(estimator, saved["metadata"]["vocabulary"], version)

    def score(self, body: bytes) -> dict[str, Any]:
        """Answer the body of an ``/invocations`` request."""
        loaded = self.loaded
        if loaded is None:
            raise BadRequest("No model is loaded yet; ask /ping until it answers 200.")
        rows = checked(read_rows(body))
        probability = loaded.estimator.predict_proba(encode(rows, loaded.vocabulary))[:, 1]
        return {"predictions": probability.tolist(), "model_version": loaded.version}


def read_rows(body: bytes) -> dict[str, list[Any]]:
    """Read ``dataframe_split`` or ``dataframe_records`` into columns."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from error
    if not isinstance(message, dict):
        raise BadRequest("The body must be a JSON object.")
    if isinstance(split := message.get("dataframe_split"), dict):
        names, data = split.get("columns"), split.get("data")
        if not isinstance(names, list) or not isinstance(data, list):
            raise BadRequest("dataframe_split needs 'columns' and 'data', both lists.")
        if any(not isinstance(row, list) or len(row) != len(names) for row in data):
            raise BadRequest(f"Every row of dataframe_split needs {len(names)} values.")
        columns = [list(column) for column in zip(*data, strict=True)]
        return dict(zip(map(str, names), columns, strict=bool(data)))
    if isinstance(records := message.get("dataframe_records"), list):
        if any(not isinstance(record, dict) for record in records):
            raise BadRequest("Every entry of dataframe_records must be an object.")
        return {name: [record.get(name) for record in records] for name in FEATURES}
    raise BadRequest("The body needs 'dataframe_split' or 'dataframe_records'.")


def checked(rows: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Return the 14 features with numbers as float64, or raise `BadRequest` naming the field."""
    missing = [name for name in FEATURES if name not in rows]
    if missing:
        raise BadRequest(f"Missing: {', '.join(missing)}. Expected: {', '.join(FEATURES)}.")
    count = len(rows[FEATURES[0]])
    if not 1 <= count <= MOST_ROWS:
        raise BadRequest(f"{count} rows were sent; a request takes 1 to {MOST_ROWS}.")
    for name in REQUIRED:
        if any(value is None for value in rows[name]):
            raise BadRequest(f"{name} is empty in some row; only weather may be.")
    for name in CATEGORICAL:
        if any(not isinstance(value, str) for value in rows[name]):
            raise BadRequest(f"{name} must be a string in every row.")
    return {**{name: _numbers(name, rows[name]) for name in NUMERIC}} | {
        name: rows[name] for name in CATEGORICAL
    }


def _numbers(name: str, values: list[Any]) -> np.ndarray:
    if any(isinstance(value, str | bool | list | dict) for value in values):
        raise BadRequest(f"{name} must be a number in every row.")
    try:
        return np.array(values, dtype="float64")
    except (OverflowError, TypeError, ValueError) as error:
        raise BadRequest(f"{name} must be a number in every row ({error}).") from error


def create_app(scorer: Scorer) -> "FastAPI":
    """Build the HTTP side: ``/ping``, ``/version`` and ``/invocations``."""
    from fastapi import FastAPI, Request, Response

    app = FastAPI(title="Push-back", description="Will this flight arrive late?")

    def answer(content: Mapping[str, Any], status: int = 200) -> Response:
        return Response(orjson.dumps(content), status, media_type="application/json")

    @app.get("/ping")
    async def ping() -> Response:
        return Response(status_code=200 if scorer.loaded else 503)

    @app.get("/version")
    async def version() -> Response:
        return answer({"model_version": scorer.loaded.version if scorer.loaded else None})

    @app.post("/invocations")
    async def invocations(request: Request) -> Response:
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length) > MOST_BYTES:
            return answer({"error": f"The body is over {MOST_BYTES} bytes."}, 413)
        try:
            return answer(scorer.score(await request.body()))
        except BadRequest as error:
            return answer({"error": str(error)}, 422)

    return app


def main() -> None:
    """Serve until stdin ends. The first line on stdout is the URL."""
    for name in _UNNEEDED:
        sys.modules[name] = None  # type: ignore[assignment]
    import uvicorn

    # Without IPPROTO_TCP asyncio leaves Nagle's algorithm on, and a small request takes 45 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    scorer = Scorer()
    config = uvicorn.Config(create_app(scorer), log_level="error", access_log=False)
    server = uvicorn.Server(config)
    _say({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"})
    with threadpool_limits(1):
        import sklearn.ensemble  # noqa: F401  (the slow import, before the first model)
        import skops.io  # noqa: F401

        threading.Thread(target=_obey, args=(scorer, server), daemon=True).start()
        server.run([listener])


def _obey(scorer: Scorer, server: Any) -> None:
    for line in sys.stdin:
        try:
            order = json.loads(line)
            scorer.load(Path(order["path"]), order["version"])
            _say({"loaded": order["version"]})
        except Exception as error:
            _say({"failed": f"{type(error).__name__}: {error}"})
    server.should_exit = True
    threading.Timer(5, os._exit, args=(0,)).start()


def _say(message: Mapping[str, str]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
