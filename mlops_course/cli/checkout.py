"""The commands that work inside a clone of the course, with files that no package holds."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mlops_course.cli import saved_widgets
from mlops_course.cli.terminal import DONE
from mlops_course.core.errors import CourseError
from mlops_course.core.workspace import CLONE

FIRST_NOTEBOOK = "notebooks/00_start_here.ipynb"
TEST_STATUSES = (
    "Exit status: 0 all passed; 1 a test failed; 2 or more there is no verdict: pytest was "
    "interrupted, misused, or found no tests, or this is no clone."
)
NOTEBOOK_STATUSES = (
    "Exit status: 0 all ran, and are as stored if they were compared; 1 one failed or differs; 2 "
    "the command was misused; 3 this is no clone."
)


def open_lab(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Open JupyterLab on the first lesson."""
    from jupyterlab.labapp import main as start_lab

    clone = _clone("lab", FIRST_NOTEBOOK)
    folders = [str(saved_widgets.SETTINGS), os.environ.get(saved_widgets.VARIABLE, "")]
    os.environ[saved_widgets.VARIABLE] = os.pathsep.join(filter(None, folders))
    arguments = [
        f"--ServerApp.root_dir={clone}",
        f"--LabApp.default_url=/lab/tree/{FIRST_NOTEBOOK}",
        "--ServerApp.ip=127.0.0.1",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")
    start_lab([*arguments, *rest])
    return DONE


def run_tests(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Run the tests, and return pytest's status."""
    clone = _clone("test", "tests")
    return subprocess.call([sys.executable, "-m", "pytest", *rest], cwd=clone)


def run_benchmarks(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Measure figures, or count, compare, try or play what the options name."""
    name = "bench.py"
    if options.statistics:
        name = "bench_statistics.py"
    elif options.peers:
        name = "bench_peers.py"
    elif options.retraining:
        name = "bench_retraining.py"
    elif options.oncall:
        name = "bench_oncall.py"
    script = _clone("bench", f"tests/{name}") / "tests" / name
    return subprocess.call([sys.executable, str(script)])


def run_notebooks(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Hand the notebooks to their executor."""
    script = _clone("notebooks", "tests/tools/executor.py") / "tests" / "tools" / "executor.py"
    mode = next(f"--{name}" for name in ("execute", "check", "solved") if getattr(options, name))
    return subprocess.call([sys.executable, str(script), mode, *options.numbers])


def _clone(command: str, needed: str) -> Path:
    """Return the clone's folder, which holds what an installed package does not."""
    if not (CLONE / needed).exists():
        raise CourseError(
            f"`mlops-course {command}` does not find {needed}.",
            "It works inside a clone of the course.",
            "Clone the repository and run `python3 course.py` there.",
        )
    return CLONE
