"""The simulator without Jupyter, as `mlops-course simulator` serves it, for a test."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from executor import FIXED
from processes import end_family

from mlops_course.core.workspace import HOME_VARIABLE, open_workspace


@dataclass(frozen=True)
class Alone:
    """A program that serves the simulator's page."""

    address: str
    home: Path
    process: "subprocess.Popen[str]"


@contextmanager
def running_alone(home: Path, cache: Path, *options: str) -> Iterator[Alone]:
    """Start the command in a workspace of its own, and end it with all that it started."""
    shutil.copytree(cache, open_workspace(home).cache, dirs_exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops_course", "simulator", "--no-browser", *options],
        env={**os.environ, **FIXED, HOME_VARIABLE: str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Alone(process.stdout.readline().strip(), home, process)
    finally:
        end_family(process.pid)
        process.communicate()
