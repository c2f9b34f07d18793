"""Clients that try out a server: one that asks in turn, several at once, some that never stop.

Also `running`, which holds a server that is not ours, such as MLflow's, for as long as it is asked.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import cycle, repeat
from typing import NamedTuple

import httpx

from mlops_course.errors import ServiceError

READY_SECONDS = 90.0
REQUEST_SECONDS = 60.0
RETRY_SECONDS = 0.1
NOT_YET = 503  # what a service says that has just been started

# Ends a command and all that descend from it once stdin ends, which it does when the owner dies.
# Ends itself when the command does.
_GUARD = """
import contextlib, os, subprocess, sys, threading, time, psutil
def runs(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE  # which init may be slow to take away
    return False
quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
command = psutil.Popen(sys.argv[1:], **quiet)
owned = threading.Thread(target=os.read, args=(0, 1), daemon=True)
owned.start()
while owned.is_alive() and command.poll() is None:
    time.sleep(0.02)
with contextlib.suppress(psutil.NoSuchProcess):
    family = [*command.children(recursive=True), command]
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + 5
    while any(map(runs, family)) and time.monotonic() < deadline:
        time.sleep(0.02)
"""


class Answer(NamedTuple):
    """When a request was answered (by `time.monotonic`), how, and by which version.

    The status is 0 where nobody answered.
    """

    at: float
    status: int
    version: str


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
        try:
            return [_post(client, body, name) for body, name in _named(bodies, ids)]
        except httpx.HTTPError as error:
            raise _nobody(url, error) from error


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
        try:
            return client.get(path)
        except httpx.HTTPError as error:
            raise _nobody(url, error) from error


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


def send_while_running(
    command: Sequence[str], url: str, bodies: Sequence[bytes], clients: int = 1
) -> list[httpx.Response]:
    """Start a server, send bodies as soon as its ``/ping`` answers, and end it."""
    with running(command, f"{url}/ping"):
        return send_at_once(url, bodies, clients)


@contextmanager
def running(command: Sequence[str], ready: str) -> Iterator[int]:
    """Run a server that is not ours; it and all that it starts end with the block.

    They end, too, if this process dies inside the block, whatever the manner. The block is given
    the id of the process that sees to that, whose descendants are the server.

    Parameters
    ----------
    command
        The program, found beside this Python or on the PATH, and its arguments.
    ready
        A URL that answers 200 once the server is ready; the block begins then.

    Raises
    ------
    ServiceError
        If it ends before it is ready, or is not ready in time.
    """
    folders = [os.path.dirname(sys.executable), os.environ.get("PATH", "")]
    guard = subprocess.Popen(
        [sys.executable, "-c", _GUARD, *command],
        stdin=subprocess.PIPE,
        env={**os.environ, "PATH": os.pathsep.join(folders)},
        start_new_session=sys.platform != "win32",
    )
    try:
        _wait_for(ready, command, guard)
        yield guard.pid
    finally:
        assert guard.stdin is not None
        guard.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            guard.wait(timeout=15)


def free_port() -> int:
    """Return a port of this machine that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _client(url: str) -> httpx.Client:
    return httpx.Client(
        base_url=url,
        headers={"content-type": "application/json"},
        timeout=REQUEST_SECONDS,
        trust_env=False,
    )


def _named(bodies: Iterable[bytes], ids: Iterable[str]) -> Iterator[tuple[bytes, str]]:
    names = list(ids)
    return zip(bodies, names, strict=True) if names else zip(bodies, repeat(""), strict=False)


def _post(client: httpx.Client, body: bytes, name: str = "") -> httpx.Response:
    headers = {"x-request-id": name} if name else {}
    return client.post("/invocations", content=body, headers=headers)


def _told(client: httpx.Client, body: bytes) -> Answer:
    try:
        answer = _post(client, body)
    except httpx.HTTPError:
        time.sleep(RETRY_SECONDS)
        return Answer(time.monotonic(), 0, "")
    version = answer.json()["model_version"] if answer.status_code == httpx.codes.OK else ""
    return Answer(time.monotonic(), answer.status_code, version)


def _nobody(url: str, error: httpx.HTTPError) -> ServiceError:
    return ServiceError(
        f"Nobody answers at {url} ({type(error).__name__}).",
        "A service must run there for the length of the call.",
        "Run the cell again that starts the service, and those after it.",
    )


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


def _wait_for(ready: str, command: Sequence[str], guard: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if httpx.get(ready, trust_env=False).status_code == 200:
                return
        if guard.poll() is not None:
            raise ServiceError(
                f"{command[0]} ended before it was ready.",
                "It should start a server on this machine.",
                "Run the command in a terminal to see what it says.",
            )
        time.sleep(0.1)
    raise ServiceError(
        f"{command[0]} was not ready within {READY_SECONDS:.0f} seconds.",
        "It should start a server on this machine.",
        "Run the command in a terminal to see what it says.",
    )
