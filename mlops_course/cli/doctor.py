"""A pre-flight check: is this machine able to run the course, and if not, what helps."""

import argparse
import platform
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import psutil

from mlops_course.cli.terminal import DONE, FAILED
from mlops_course.core.errors import CourseError
from mlops_course.core.workspace import MIN_FREE_BYTES, default_home, open_workspace

MIN_PYTHON = (3, 11)
MIN_MEMORY_BYTES = 1_000_000_000
PACKAGES = ("jupyterlab", "ipywidgets", "anywidget", "mlflow", "scikit-learn", "pandas", "fastapi")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: whether it will do, what was seen, and what helps if not."""

    name: str
    fine: bool
    seen: str
    advice: str = ""


def examine() -> list[Finding]:
    """Look at Python, packages, memory, disk, ports and the workspace; change nothing else."""
    return list(_findings())


def preflight() -> None:
    """Print one line a finding; safe to store in a notebook, since it names no version or size."""
    findings = examine()
    for finding in findings:
        print(f"{finding.name:<10} {'ok' if finding.fine else finding.advice}")
    if all(finding.fine for finding in findings):
        print("Ready.")


def report(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Print what was seen, and what helps where it will not do."""
    findings = examine()
    for finding in findings:
        print(f"{'ok  ' if finding.fine else 'FIX '}{finding.name:<10} {finding.seen}")
        if not finding.fine:
            print(f"    {finding.advice}")
    return DONE if all(finding.fine for finding in findings) else FAILED


def _findings() -> Iterator[Finding]:
    yield Finding(
        "python",
        sys.version_info >= MIN_PYTHON,
        f"{platform.python_version()} on {platform.platform()}",
        "Install Python 3.11 or newer.",
    )
    yield _packages()
    available = psutil.virtual_memory().available
    yield Finding(
        "memory",
        available >= MIN_MEMORY_BYTES,
        f"{available / 1e9:.1f} GB available",
        "Close other programs or notebooks: about 1 GB should be free.",
    )
    yield _disk()
    yield _port()
    yield _store()


def _packages() -> Finding:
    seen = []
    absent = []
    for name in PACKAGES:
        try:
            seen.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            absent.append(name)
    advice = f"Missing: {', '.join(absent)}. Run `python3 course.py lab` to install what is needed."
    return Finding("packages", not absent, ", ".join(seen), advice)


def _disk() -> Finding:
    home = default_home()
    place = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(place).free
    return Finding(
        "disk",
        free >= 2 * MIN_FREE_BYTES,
        f"{free / 1e9:.1f} GB free at {place}",
        "Free some space, or move the workspace with MLOPS_COURSE_HOME.",
    )


def _port() -> Finding:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            seen = f"loopback gave port {probe.getsockname()[1]}"
    except OSError as error:
        advice = "Allow programs to listen on 127.0.0.1; a firewall may forbid it."
        return Finding("ports", False, str(error), advice)
    return Finding("ports", True, seen)


def _store() -> Finding:
    try:
        workspace = open_workspace()
    except CourseError as error:
        return Finding("workspace", False, error.happened, f"{error.expected} {error.remedy}")
    state = "store present" if workspace.database.exists() else "empty"
    return Finding("workspace", True, f"{workspace.root} ({state})")
