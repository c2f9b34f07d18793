"""A server that is not ours, such as MLflow's, for as long as it is asked."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import httpx
import psutil

from mlops_course.core.errors import ServiceError
from mlops_course.course import server_guard
from mlops_course.serving.client import READY_SECONDS


@dataclass(frozen=True)
class Server:
    """A server that was started, and the process that ends it in time.

    Attributes
    ----------
    command
        The program and its arguments.
    ready
        A URL that answers 200 once the server is ready.
    """

    command: Sequence[str]
    ready: str
    guard: "subprocess.Popen[bytes]"

    def wait(self) -> None:
        """Wait until it is ready.

        Raises
        ------
        ServiceError
            If it ends before that, or is not ready in time.
        """
        _wait_for(self.ready, self.command, self.guard)

    def kill(self) -> None:
        """Kill it and what it has started, without a warning that they could react to."""
        for process in psutil.Process(self.guard.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()


@contextmanager
def started(command: Sequence[str], ready: str) -> Iterator[Server]:
    """Start a server that is not ours, and do not wait; it and all it starts end with the block.

    They end, too, if this process dies inside the block, whatever the manner.

    Parameters
    ----------
    command
        The program, found beside this Python or on the PATH, and its arguments.
    ready
        A URL that answers 200 once the server is ready.
    """
    folders = [os.path.dirname(sys.executable), os.environ.get("PATH", "")]
    guard = subprocess.Popen(
        [sys.executable, "-m", server_guard.__name__, *command],
        stdin=subprocess.PIPE,
        env={**os.environ, "PATH": os.pathsep.join(folders)},
        start_new_session=sys.platform != "win32",
    )
    try:
        yield Server(command, ready, guard)
    finally:
        assert guard.stdin is not None
        guard.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            guard.wait(timeout=15)


@contextmanager
def running(command: Sequence[str], ready: str) -> Iterator[int]:
    """Run a server as `started` does; the block begins once it is ready.

    The block is given the id of the process that sees to its end, whose descendants it is.

    Raises
    ------
    ServiceError
        If it ends before it is ready, or is not ready in time.
    """
    with started(command, ready) as server:
        server.wait()
        yield server.guard.pid


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
