"""Finding and ending the processes that tests start."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

from mlops_course.core.workspace import Workspace
from mlops_course.serving.service import WORKER

HOLDING = """
import sys
from pathlib import Path
from mlops_course.core.holders import hold
hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def scorers(variable: str, value: str) -> list[int]:
    """Return the ids of scoring services that have this environment variable's value."""
    found = []
    for process in psutil.process_iter():
        try:
            if WORKER not in process.cmdline():
                continue
            if process.environ().get(variable) == value:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def wait_for_no_scorers(variable: str, value: str, seconds: float) -> list[int]:
    """Return the scoring services that are still there when the time is up."""
    deadline = time.monotonic() + seconds
    while (left := scorers(variable, value)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def end_family(pid: int, seconds: float = 10) -> None:
    """End a process and all that descend from it: politely first, then by force."""
    try:
        parent = psutil.Process(pid)
        family = [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return
    _tell(process.terminate for process in family)
    _, alive = psutil.wait_procs(family, timeout=seconds)
    _tell(process.kill for process in alive)
    psutil.wait_procs(alive, timeout=seconds)


def _tell(orders: Iterable[Callable[[], None]]) -> None:
    for order in orders:
        with suppress(psutil.NoSuchProcess):
            order()


def holding(workspace: Workspace) -> subprocess.Popen[bytes]:
    """Return a process that has a workspace open; as a context it is waited for."""
    command = [sys.executable, "-c", HOLDING, str(workspace.root)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    return process
