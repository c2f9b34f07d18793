"""Load for an HTTP scoring service, and what it took: closed loop, and at a constant rate."""

import http.client
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from urllib.parse import urlsplit

import numpy as np

HEADERS = {"content-type": "application/json"}


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

    A request that waits for a slow one before it is late, too, and counts as such. Connections
    are made before the first is due.
    """
    connected = [Caller(url) for _ in range(callers)]
    for caller in connected:
        caller.call(bodies[0])
    start = time.perf_counter() + 0.2

    def one(number: int) -> list[float]:
        caller, spent = connected[number], []
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
