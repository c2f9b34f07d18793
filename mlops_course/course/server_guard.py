"""Run a command, and end it with all that descends from it once its owner is gone.

`servers` runs it as a process of its own, ``-m mlops_course.course.server_guard COMMAND``. Its
standard input ends when the owner closes it or dies, whatever the manner. It ends itself when the
command does. It loads next to nothing, since whoever starts a server waits for it.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

LOOK_SECONDS = 0.02
SECONDS_TO_END = 5


def guard(command: Sequence[str]) -> None:
    """Run a command until it ends or standard input does."""
    quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    process = psutil.Popen(command, **quiet)
    owned = threading.Thread(target=os.read, args=(0, 1), daemon=True)
    owned.start()
    while owned.is_alive() and process.poll() is None:
        time.sleep(LOOK_SECONDS)
    end(process)


def end(process: psutil.Process) -> None:
    """Kill a process and all that descend from it, and wait until they are gone."""
    with suppress(psutil.NoSuchProcess):
        family = [*process.children(recursive=True), process]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        deadline = time.monotonic() + SECONDS_TO_END
        while any(runs(member) for member in family) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)


def runs(process: psutil.Process) -> bool:
    """Tell whether a process runs; init may be slow to take a dead one away."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


if __name__ == "__main__":
    guard(sys.argv[1:])
