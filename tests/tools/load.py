"""Load for an HTTP scoring service, and what it took: closed loop, and at a constant rate."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
from processes import end_family

HEADERS = {"content-type": "application/json"}
START_SECONDS = 90


class Caller:
    """One kept-alive connection that sends bodies to ``/invocations``."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(str(address.hostname), address.port)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self, body: bytes) -> None:
        """Send one request; an answer other than 200 ends the measurement."""
        self._connection.request("POST", "/invocations", body, HEADERS)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {text[:200]!r}")


def closed_loop(url: str, bodies: Sequence[bytes], count: int, callers: int = 1) -> np.ndarray:
    """Return the milliseconds of ``count`` requests, each sent when the one before is answered.

    Returns
    -------
    Shape (count,). With several callers each sends its share at the same time.
    """

    def one(share: Sequence[bytes]) -> list[float]:
        caller = Caller(url)
        caller.call(share[0])
        return [timed(caller, body) for body in share]

    shares = [list(islice(cycle(bodies), count // callers)) for _ in range(callers)]
    with ThreadPoolExecutor(callers) as crowd:
        return np.concatenate([np.array(times) for times in crowd.map(one, shares)])


def throughput(url: str, bodies: Sequence[bytes], count: int, callers: int) -> float:
    """Return requests a second in a closed loop."""
    begun = time.perf_counter()
    closed_loop(url, bodies, count, callers)
    return count / (time.perf_counter() - begun)


def at_rate(url: str, bodies: Sequence[bytes], rate: float, count: int, callers: int) -> np.ndarray:
    """Return the milliseconds of requests due at a constant rate, counted from when each was due.

    A request that waits for a slow one before it is late, too, and counts as such.
    """
    start = time.perf_counter() + 0.2

    def one(number: int) -> list[float]:
        caller, spent = Caller(url), []
        for turn in range(number, count, callers):
            due = start + turn / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            caller.call(bodies[turn % len(bodies)])
            spent.append(1000 * (time.perf_counter() - due))
        return spent

    with ThreadPoolExecutor(callers) as crowd:
        return np.concatenate([np.array(times) for times in crowd.map(one, range(callers))])


def timed(caller: Caller, body: bytes) -> float:
    """Return the milliseconds of one request."""
    begun = time.perf_counter()
    caller.call(body)
    return 1000 * (time.perf_counter() - begun)


@contextmanager
def mlflow_server(model_uri: str, tracking_uri: str) -> Iterator[tuple[str, int]]:
    """Run `mlflow models serve`; give its URL and process id, and end it with all its children."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model_uri]
    command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    # It starts uvicorn by name, which an environment that is not activated does not find.
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    process = subprocess.Popen(
        command,
        env={**os.environ, "MLFLOW_TRACKING_URI": tracking_uri, "PATH": search},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for_ping(url, process)
        yield url, process.pid
    finally:
        end_family(process.pid)


def wait_for_ping(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Return when the server is ready."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/ping", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise RuntimeError(f"{url} did not answer.")
