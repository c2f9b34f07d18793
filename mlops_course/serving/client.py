"""Clients that try out a server: one that asks in turn, several at once, some that never stop."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, repeat
from typing import NamedTuple

import httpx
import numpy as np
import orjson

from mlops_course.core.errors import ServiceError

READY_SECONDS = 90.0
REQUEST_SECONDS = 60.0
RETRY_SECONDS = 0.1
NOT_YET = 503  # what a service says that has just been started


class Answer(NamedTuple):
    """When a request was answered (by `time.monotonic`), how, and by which version.

    The status is 0 where nobody answered.
    """

    at: float
    status: int
    version: str


@dataclass(frozen=True)
class Scores:
    """What the service answered to a batch of rows.

    Attributes
    ----------
    probability
        Probability of late, shape (rows,); NaN where a request failed.
    version
        The model version that answered last.
    latency_ms
        Milliseconds each request took, shape (requests,).
    errors
        Requests that the service refused.
    """

    probability: np.ndarray
    version: str
    latency_ms: np.ndarray
    errors: int


def send(url: str, bodies: Iterable[bytes], ids: Iterable[str] = ()) -> list[httpx.Response]:
    """Send bodies to ``/invocations`` over one connection, each after the answer to the last.

    The time that each took is in the answer's ``elapsed``.

    Parameters
    ----------
    ids
        The requests' ids, as many as bodies; by default the service gives each one.

    Raises
    ------
    ServiceError
        If nobody answers.
    """
    with _client(url) as client:
        return send_over(client, bodies, ids)


def connect(url: str) -> httpx.Client:
    """Return a connection to a server of this machine; no proxy of the environment is asked."""
    return httpx.Client(base_url=url, timeout=REQUEST_SECONDS, trust_env=False)


def send_over(
    client: httpx.Client, bodies: Iterable[bytes], ids: Iterable[str] = ()
) -> list[httpx.Response]:
    """Send as `send` does, over a connection that is open already."""
    return [_post(client, body, name) for body, name in _named(bodies, ids)]


def send_at_once(url: str, bodies: Sequence[bytes], clients: int) -> list[httpx.Response]:
    """Deal bodies out to so many clients, which ask at the same time; answers in the same order."""
    with ThreadPoolExecutor(clients) as crowd:
        hands = [bodies[number::clients] for number in range(clients)]
        parts = list(crowd.map(send, [url] * clients, hands))
    return [parts[place % clients][place // clients] for place in range(len(bodies))]


def fetch(url: str, path: str) -> httpx.Response:
    """Get what a server has at a path, such as ``/metrics``.

    Raises
    ------
    ServiceError
        If nobody answers.
    """
    with _client(url) as client:
        return client.get(path)


def insist(
    url: str, bodies: Iterable[bytes], clients: int = 1, ids: Iterable[str] = ()
) -> list[httpx.Response]:
    """Ask as `send_at_once` does, and again for as long as there is no answer.

    Raises
    ------
    ServiceError
        If there is no answer within `READY_SECONDS`.
    """
    with _client(url) as client, ThreadPoolExecutor(clients) as crowd:
        return list(crowd.map(lambda one: _insist(client, *one), _named(bodies, ids)))


@contextmanager
def asking(url: str, bodies: Sequence[bytes], clients: int = 2) -> Iterator[list[Answer]]:
    """Let clients send bodies over and over, side by side, for as long as the block lasts.

    What they are told is added to the list that the block is given, as it comes in.
    """
    answers: list[Answer] = []
    over = threading.Event()

    def ask(first: int) -> None:
        with _client(url) as client:
            for body in cycle([*bodies[first:], *bodies[:first]]):
                if over.is_set():
                    return
                answers.append(_told(client, body))

    with ThreadPoolExecutor(clients) as crowd:
        done = [crowd.submit(ask, number % len(bodies)) for number in range(clients)]
        try:
            yield answers
        finally:
            over.set()
    for one in done:
        one.result()


def read_scores(answers: Sequence[httpx.Response], sizes: Sequence[int], version: str) -> Scores:
    """Return what requests for so many rows each were answered.

    Parameters
    ----------
    version
        The version to name if none answered.
    """
    parts: list[np.ndarray] = []
    errors = 0
    for size, response in zip(sizes, answers, strict=True):
        if response.is_success:
            answer = orjson.loads(response.content)
            parts.append(np.array(answer["predictions"], dtype="float64"))
            version = answer["model_version"]
        else:
            parts.append(np.full(size, np.nan))
            errors += 1
    probability = np.concatenate(parts) if parts else np.empty(0)
    return Scores(probability, version, milliseconds(answers), errors)


def milliseconds(answers: Sequence[httpx.Response]) -> np.ndarray:
    """Return how long each answer took, shape (answers,)."""
    return np.array([1000 * answer.elapsed.total_seconds() for answer in answers])


@contextmanager
def _client(url: str) -> Iterator[httpx.Client]:
    """Hold a connection; an error that leaves the block says that nobody answers."""
    with connect(url) as client:
        try:
            yield client
        except httpx.HTTPError as error:
            raise ServiceError(
                f"Nobody answers at {url} ({type(error).__name__}).",
                "A service must run there for the length of the call.",
                "Run the cell again that starts the service, and those after it.",
            ) from error


def _named(bodies: Iterable[bytes], ids: Iterable[str]) -> Iterator[tuple[bytes, str]]:
    names = list(ids)
    return zip(bodies, names, strict=True) if names else zip(bodies, repeat(""), strict=False)


def _post(client: httpx.Client, body: bytes, name: str = "") -> httpx.Response:
    headers = {"content-type": "application/json"}
    if name:
        headers["x-request-id"] = name
    return client.post("/invocations", content=body, headers=headers)


def _told(client: httpx.Client, body: bytes) -> Answer:
    try:
        answer = _post(client, body)
    except httpx.HTTPError:
        time.sleep(RETRY_SECONDS)
        return Answer(time.monotonic(), 0, "")
    version = answer.json()["model_version"] if answer.status_code == httpx.codes.OK else ""
    return Answer(time.monotonic(), answer.status_code, version)


def _insist(client: httpx.Client, body: bytes, name: str) -> httpx.Response:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            answer = _post(client, body, name)
            if answer.status_code != NOT_YET:
                return answer
        time.sleep(RETRY_SECONDS)
    raise ServiceError(
        f"Nobody answered at {client.base_url} for {READY_SECONDS:.0f} seconds.",
        "A service that was killed should be started again by then.",
        "Run the cell again that starts the service.",
    )
