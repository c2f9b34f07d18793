"""A pre-flight check: is this machine able to run the course, and if not, what helps."""

import argparse
import platform
import shutil
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from mlops_course.cli.terminal import DONE, FAILED
from mlops_course.core import addresses, holders
from mlops_course.core.errors import CourseError
from mlops_course.core.files import check_writing, open_to_read
from mlops_course.core.workspace import (
    HOME_VARIABLE,
    MIN_FREE_BYTES,
    RESET,
    Workspace,
    check_place,
    check_store,
    default_home,
    is_workspace,
    logs,
    workspaces_within,
)

STATUSES = (
    "Exit status: 0 all is well; 1 there is something to mend; 2 the command was misused; 3 it "
    "could not look."
)
MIN_PYTHON = (3, 11)
MIN_MEMORY_BYTES = 1_000_000_000
READING_SECONDS = 1.0
CGROUP = Path("/sys/fs/cgroup")
ALWAYS_PRINTED = ("python", "packages", "memory", "disk", "ports", "workspace")
PACKAGES = ("jupyterlab", "ipywidgets", "anywidget", "mlflow", "scikit-learn", "pandas", "fastapi")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: whether it will do, what was seen, and what helps if not."""

    name: str
    fine: bool
    seen: str
    advice: str = ""


def examine() -> list[Finding]:
    """Look at Python, packages, memory, disk, ports and the workspace; change nothing."""
    return list(_findings())


def preflight() -> None:
    """Print one line a finding; safe to store in a notebook, since it names no version or size."""
    findings = examine()
    for finding in findings:
        if finding.fine and finding.name not in ALWAYS_PRINTED:
            continue
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
    available = _memory()
    yield Finding(
        "memory",
        available >= MIN_MEMORY_BYTES,
        f"{available / 1e9:.1f} GB available",
        "Close other programs or notebooks: about 1 GB should be free.",
    )
    yield _disk()
    yield _port()
    yield from _workspace(default_home())


def _memory() -> int:
    """Return the bytes that are free, in a container those that it may still take."""
    available = psutil.virtual_memory().available
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        kept = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        return min(available, limit - used + int(kept["inactive_file"]))  # files may be dropped
    except (OSError, ValueError, KeyError):  # no such file, or no limit
        return available


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


def _workspace(home: Path) -> Iterator[Finding]:
    """Look at a workspace from outside in: the folder, its databases, and who is at them."""
    try:
        check_place(home)
        place = next(path for path in (home, *home.parents) if path.exists())
        check_writing(place)
        if not is_workspace(home):
            yield Finding("workspace", True, f"{home} (will be made)")
            return
        if (artifacts := Workspace(home).artifacts).exists():
            check_writing(artifacts)
        check_store(Workspace(home))
    except CourseError as error:
        yield Finding("workspace", False, error.happened, f"{error.expected} {error.remedy}")
        return
    except OSError as error:
        advice = f"Make the folder writable, or name another one in {HOME_VARIABLE}."
        yield Finding("workspace", False, f"{error.filename or home}: {error.strerror}", advice)
        return
    state = "store present" if Workspace(home).database.exists() else "empty"
    yield Finding("workspace", True, f"{home} ({state}; written and read back)")
    inside = workspaces_within(home)
    yield _databases(inside)
    yield _addresses(inside)
    yield from _programs(home)


def _databases(workspaces: Sequence[Workspace]) -> Finding:
    """Open every database and read as much of it as a second allows."""
    deadline = time.monotonic() + READING_SECONDS
    seen = []
    damaged = []
    for workspace in workspaces:
        for path in (workspace.database, *logs(workspace)):
            if path.exists():
                fault = _fault(path, deadline)
                seen.append(str(path.relative_to(workspaces[0].root)))
                damaged += [f"{path}: {fault}"] if fault else []
    advice = f"Copy away what you need of it, then start afresh: {RESET}."
    return Finding("databases", not damaged, "; ".join(damaged or seen) or "none yet", advice)


def _fault(database: Path, deadline: float) -> str:
    """Return what is wrong with a SQLite file, as far as can be read until the deadline."""
    try:
        with closing(open_to_read(database)) as reader:
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
            reader.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
            (found,) = reader.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return "" if "interrupted" in str(error) else str(error)
    return "" if found == "ok" else str(found)


def _addresses(workspaces: Sequence[Workspace]) -> Finding:
    """Look for files that a store expects where nothing is, outside the workspace."""
    lost: list[str] = []
    for workspace in workspaces:
        if workspace.database.exists():
            try:
                place = (workspace.database, workspace.artifacts, workspace.outermost)
                lost += addresses.strays(*place)
            except sqlite3.Error:
                continue  # told with the databases
    seen = f"{len(lost)} lead to nothing, as {lost[0]}" if lost else "all within reach"
    advice = "Move these files back to where they were, or delete the runs and models they are of."
    return Finding("addresses", not lost, seen, advice)


def _programs(home: Path) -> Iterator[Finding]:
    found = holders.others(home)
    left_over = [one for one in found if one.left_over]
    users = ", ".join(str(one) for one in found if not one.left_over)
    yield Finding("in use", True, f"by {users}" if users else "by no other program")
    for one in left_over:
        advice = f"Its program is gone; end it: `kill {one.pid}`, or in the task manager."
        yield Finding("left over", False, str(one), advice)
