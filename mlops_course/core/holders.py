"""Who has a workspace open: what must be asked before it is emptied.

A program that opens a workspace leaves a line in it with its process id, and takes it back when
it ends. One that is killed cannot, so a line counts while the process that wrote it runs. Servers
write no line; they are found by their command and their open files. A program in another
container, or on another computer that shares the folder, is not seen.
"""

import atexit
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from mlops_course.core.files import write_text

FOLDER = ".mlops-course-holders"
_SERVICE = "mlops_course.serving.worker"


@dataclass(frozen=True)
class Holder:
    """A program that has a workspace open.

    Attributes
    ----------
    pid, started
        Its process, and when that was started, in seconds since 1970: ids are used again.
    what
        What it is, in words.
    root
        The workspace's folder when it was opened; a line that was copied elsewhere says another.
    left_over
        Whether it is a server that lost the program which had started it.
    """

    pid: int
    started: float
    what: str
    root: str
    left_over: bool = False

    def __str__(self) -> str:
        return f"{self.what} (process {self.pid})"


def hold(root: Path, what: str = "") -> None:
    """Write down that this process has a workspace open, until it ends; forget those that died.

    Parameters
    ----------
    what
        What this process is, in words; by default its command.
    """
    holder = this_process(root, what)
    line = root / FOLDER / f"{holder.pid}.json"
    text = json.dumps(asdict(holder))
    with suppress(FileNotFoundError):
        if line.read_text(encoding="utf-8") == text:
            return
    line.parent.mkdir(exist_ok=True)
    write_text(line, text)
    for dead in (one for one in _written(root) if not runs(one)):
        line.with_name(f"{dead.pid}.json").unlink(missing_ok=True)
    atexit.register(_let_go, line, holder.pid)


def this_process(root: Path, what: str = "") -> Holder:
    """Return what this process writes down when it opens a workspace."""
    own = psutil.Process()
    return Holder(own.pid, own.create_time(), what or _what_this_is(), str(root))


def others(root: Path) -> list[Holder]:
    """Return the programs that have a workspace open; this one and its servers are left out."""
    holders = [one for one in _written(root) if one.pid != os.getpid() and runs(one)]
    servers = _servers(root)
    known = {os.getpid(), *(one.pid for one in holders), *(one.pid for one, _ in servers)}
    return holders + [server for server, parent in servers if parent not in known]


def _written(root: Path) -> Iterator[Holder]:
    for line in sorted((root / FOLDER).glob("*.json")):
        with suppress(OSError, ValueError, TypeError):  # taken back, or damaged
            holder = Holder(**json.loads(line.read_text(encoding="utf-8")))
            if holder.root == str(root):
                yield holder


def runs(holder: Holder) -> bool:
    """Return whether the process that wrote a line still runs."""
    try:
        process = psutil.Process(holder.pid)
        same = abs(process.create_time() - holder.started) < 1
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _servers(root: Path) -> list[tuple[Holder, int]]:
    """Return the scoring services and MLflow servers on a workspace, with their parents' ids."""
    found = []
    for process in psutil.process_iter(["ppid", "cmdline", "create_time"]):
        command = process.info["cmdline"] or []
        what = _server(command)
        names = [*command, *_open_files(process)] if what else []
        if any(f"{root}{os.sep}" in name for name in names):
            parent = process.info["ppid"]
            orphan = parent == 1 or not psutil.pid_exists(parent)
            started = process.info["create_time"]
            found.append((Holder(process.pid, started, what, str(root), orphan), parent))
    return found


def _server(command: list[str]) -> str:
    """Return what kind of server a command starts; empty for any other."""
    if _SERVICE in command:
        return "a scoring service"
    if any(Path(part).stem == "mlflow" or part.startswith("mlflow.server") for part in command):
        return "MLflow's server"
    return ""


def _open_files(process: psutil.Process) -> list[str]:
    try:
        return [file.path for file in process.open_files()]
    except psutil.Error:
        return []


def _let_go(line: Path, pid: int) -> None:
    if os.getpid() == pid:  # a forked child is not the holder
        with suppress(OSError):
            line.unlink()


def _what_this_is() -> str:
    program = Path(sys.argv[0])
    if program.stem == "ipykernel_launcher":
        notebook = os.environ.get("JPY_SESSION_NAME", "")
        return f"the notebook {Path(notebook).name}" if notebook else "a notebook"
    name = "mlops-course" if program.name == "__main__.py" else program.name
    return f"`{' '.join([name, *sys.argv[1:2]])}`"
