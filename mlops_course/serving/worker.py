"""The scoring service's process: ``python -m mlops_course.serving.worker``.

It listens on loopback, loads the model files it is told to, and ends when its parent does. The
other side, the one that starts and calls it, is `service`.

Control lines come in on stdin, one JSON object each, so that nobody but the parent can change
what is served: ``{"load": path, "version": ..., "role": ..., "files": digest}`` loads a model,
``{"split": mode, "share": ...}`` splits the requests, ``{"log": path}`` begins a new prediction
log, end of file stops. Each has a number, ``order``, and is answered by one line with that number
and ``failed``: why, or nothing.
"""

import argparse
import gc
import json
import os
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from threadpoolctl import threadpool_limits

from mlops_course.core.errors import CourseError, WorkspaceError
from mlops_course.serving.app import Scorer, create_app
from mlops_course.serving.edge import Connection, Guarded, Observed
from mlops_course.serving.metrics import Metrics
from mlops_course.serving.prediction_log import PredictionLog
from mlops_course.serving.routing import Split

GRACE_SECONDS = 5
# scikit-learn and skops import these where they find them; without, the service starts
# faster and is 70 MB smaller.
_UNNEEDED = ("pandas", "pyarrow", "matplotlib", "pytest")


def main() -> None:
    """Serve until stdin ends. The first line on stdout is the URL."""
    for name in _UNNEEDED:
        sys.modules[name] = None  # type: ignore[assignment]
    import uvicorn

    options = _options()
    metrics = Metrics()
    try:
        access = _access_log(options.access_log)
        listener = _listener(options.port)
        log = PredictionLog(options.predictions) if options.predictions else None
    except OSError as error:
        _say({"failed": f"port {options.port} cannot be used ({error.strerror})"})
        return
    except WorkspaceError as error:
        _say({"failed": f"{error.happened} {error.remedy}".rstrip(".")})
        return
    scorer = Scorer(metrics, log)
    config = uvicorn.Config(
        Observed(Guarded(create_app(scorer), options.allow_host), metrics, access),
        http=Connection,
        ws="none",
        log_level="critical",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    _say({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"})
    import sklearn.ensemble  # noqa: F401  (the slow import, before the first model)
    import skops.io  # noqa: F401

    gc.collect()
    gc.freeze()  # else Python looks through all of these libraries again in the midst of a request
    with threadpool_limits(1):
        threading.Thread(target=_obey, args=(scorer, server), daemon=True).start()
        server.run([listener])
    scorer.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--predictions", type=Path)
    parser.add_argument("--access-log", metavar="FILE", help="- is stderr")
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME")
    return parser.parse_args()


def _access_log(name: str | None) -> TextIO | None:
    if name is None:
        return None
    try:
        return sys.stderr if name == "-" else open(name, "a", encoding="utf-8")
    except OSError as error:
        raise WorkspaceError(
            f"The access log {name} cannot be used ({error.strerror}).",
            "Each request is written there.",
            "Name another file.",
        ) from error


def _listener(port: int) -> socket.socket:
    """Return a listening socket on loopback.

    Without IPPROTO_TCP asyncio leaves Nagle's algorithm on, and a small request takes 45 ms.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if sys.platform != "win32":  # where this would let two services share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def _obey(scorer: Scorer, server: Any) -> None:
    """Carry out control lines until stdin ends, then stop the server."""
    for line in sys.stdin:
        order = json.loads(line)
        failed = ""
        try:
            _carry_out(order, scorer)
        except CourseError as error:
            failed = error.happened.rstrip(".")
        except Exception as error:
            failed = f"{type(error).__name__}: {error}"
        _say({"order": order["order"], "failed": failed})
    server.should_exit = True
    threading.Timer(2 * GRACE_SECONDS, os._exit, args=(0,)).start()


def _carry_out(order: Mapping[str, Any], scorer: Scorer) -> None:
    if "load" in order:
        scorer.load(Path(order["load"]), order["version"], order["role"], order["files"])
    elif "split" in order:
        scorer.split = Split(order["split"], order["share"])
    elif "log" in order:
        scorer.begin_log(Path(order["log"]))
    else:
        raise ValueError(f"there is no such order: {', '.join(order)}")


def _say(message: Mapping[str, object]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
