"""A server that is not ours, such as MLflow's, for as long as it is asked."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import httpx

from mlops_course.core.errors import ServiceError
from mlops_course.course import server_guard
from mlops_course.serving.client import READY_SECONDS, send_at_once


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
        [sys.executable, "-m", server_guard.__name__, *command],
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


def send_while_running(
    command: Sequence[str], url: str, bodies: Sequence[bytes], clients: int = 1
) -> list[httpx.Response]:
    """Start a server, send bodies as soon as its ``/ping`` answers, and end it."""
    with running(command, f"{url}/ping"):
        return send_at_once(url, bodies, clients)


def free_port() -> int:
    """Return a port of this machine that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
