"""Running notebooks as the tests need it: afresh and twice under nbval, and under papermill.

A run takes many seconds and most of them on one processor, so `Runs` makes them in a process
beside the tests and begins with all that the selected tests will ask for.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import nbformat
from executor import CELL_SECONDS, clean_place
from guards import code_cells
from left import left_behind
from nbformat import NotebookNode
from nbval_runs import LEFT, OUTPUTS, REPEAT_FAILED
from sections import one_hour
from stored import is_exact_here, normalised

from mlops_course.core.workspace import HOME_VARIABLE
from mlops_course.retraining.keeping import FOLDER

TOOLS = Path(__file__).parent

# What papermill sets in each lesson, three times: values other than those in the cell tagged
# "parameters", those that the text invites first. The third set is for the lesson of one hour.
PARAMETERS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "00": ({"seed": 7, "weeks": 7}, {"seed": 1, "weeks": 4}, {"seed": 2, "threshold": 0.93}),
    "01": (
        {"seed": 7, "learn_last": "2013-02-28"},
        {"seed": 1},
        {"seed": 2, "learn_last": "2013-04-30"},
    ),
    "02": ({"seed": 3, "month": 4}, {"month": 10}, {"seed": 7, "month": 5}),
    "03": (
        {"first": "2013-08-01", "cut": "2013-09-16", "last": "2013-09-30", "seed": 7},
        {"seed": 1},
        {"first": "2013-02-01", "cut": "2013-04-15", "last": "2013-04-28", "seed": 2},
    ),
    "04": (
        {"incident": "clock"},
        {"seed": 7, "monday": "2013-10-07", "incident": "clock"},
        {"seed": 1, "monday": "2013-06-03", "incident": "padding"},
    ),
    "05": (
        {"monday": "2013-10-07", "sunday": "2013-10-13", "desk": "LGA", "clients": 3},
        {"share": 0.999, "clients": 2},
        {"monday": "2013-06-03", "sunday": "2013-06-09"},
    ),
    "06": (
        {"seed": 7, "monday": "2013-10-07"},
        {"seed": 1, "monday": "2013-07-01"},
        {"seed": 2, "monday": "2013-06-03"},
    ),
    "07": ({"seed": 7, "monday": "2013-10-07"}, {"monday": "2013-10-14"}, {"seed": 1}),
    "08": ({"seed": 7, "monday": "2013-10-07"}, {"monday": "2013-06-03"}, {"seed": 1}),
    "09": ({"seed": 7, "price": 80}, {"price": 200}, {"seed": 1, "price": 20}),
    "10": ({"seed": 1}, {"level": "normal"}, {"seed": 1, "level": "hard"}),
}


@dataclass(frozen=True)
class Nbval:
    """What nbval said.

    Attributes
    ----------
    red
        The numbers of red cells, counted from 1 in code cells.
    """

    status: int
    red: tuple[int, ...]
    said: str


@dataclass(frozen=True)
class Fresh:
    """What nbval said of a notebook, and what that run gave.

    Attributes
    ----------
    notebook
        The notebook with the outputs of this run, normalised.
    left
        What the lessons' workspace held after the last cell (`left.left_behind`).
    repeat_failed
        Which cell failed when all ran once more in the same kernel, and how; empty if none did.
    """

    nbval: Nbval
    notebook: NotebookNode
    left: Mapping[str, Any]
    repeat_failed: str


@dataclass(frozen=True)
class Papermill:
    """What papermill said, and the notebook it wrote, without the cell it added."""

    status: int
    said: str
    notebook: NotebookNode | None


@dataclass(frozen=True)
class Mutated:
    """The kinds of output that were falsified and the cells they are in, and what nbval said."""

    falsified: Mapping[str, int]
    nbval: Nbval


class Runs:
    """Runs notebooks, each job once: in a process beside the tests, the last of them first.

    Whoever asks for a job whose turn has not come, or which was not begun, makes it.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._beside = ProcessPoolExecutor(1, get_context("spawn"), _end_with_parent)
        self._turns, self._here = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._jobs: dict[tuple[str, Path], Future[Any]] = {}

    def begin(self, wanted: Iterable[tuple[str, Path]]) -> None:
        """Start the jobs named by kind and notebook."""
        for job in reversed(list(dict.fromkeys(wanted))):
            self._jobs[job] = self._turns.submit(self._send, *job)

    def get(self, kind: str, path: Path) -> Any:
        """Return a job's result, or raise what it raised."""
        begun = self._jobs.get((kind, path))
        if begun is None or begun.cancel():
            self._jobs[kind, path] = self._here.submit(KINDS_OF_RUN[kind], path, self._cache)
        return self._jobs[kind, path].result()

    def close(self) -> None:
        """Drop what nobody asked for."""
        self._turns.shutdown(cancel_futures=True)
        self._here.shutdown()
        self._beside.shutdown()

    def _send(self, kind: str, path: Path) -> Any:
        return self._beside.submit(KINDS_OF_RUN[kind], path, self._cache).result()


def _end_with_parent() -> None:
    """Let this process end with the tests, even if they are killed."""

    def wait() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()


def number_of(path: Path) -> str:
    """Return a notebook's number, such as ``00``."""
    return path.name.partition("_")[0]


def number_after(path: Path) -> str:
    """Return the number of the notebook after this one, whether there is one or not."""
    return f"{int(number_of(path)) + 1:02d}"


def fresh(path: Path, cache: Path | None = None) -> Fresh:
    """Compare a notebook's outputs with nbval, keep them, and run all cells once more.

    One cold run serves all that is asked of one, since it takes most of a lesson's time. The tables
    of models of lesson 09, which take a minute, are kept for the runs after it.
    """
    with clean_place(cache) as surroundings:
        kept = Path(surroundings["MATPLOTLIBRC"]).parent / "kept"
        kept.mkdir()
        said = _nbval([path], surroundings, "--keep", str(kept))
        if not (kept / REPEAT_FAILED).exists():
            raise RuntimeError(f"nbval did not run {path.name} to its end:\n{said.said}")
        notebook = nbformat.read(path, as_version=4)
        outputs = json.loads((kept / OUTPUTS).read_text(encoding="utf-8"))
        for cell, gave in zip(code_cells(notebook), outputs, strict=True):
            cell.outputs = [nbformat.from_dict(output) for output in gave]
        lessons = kept / LEFT
        left = left_behind(lessons, number_after(path)) if lessons.exists() else {}
        failed = (kept / REPEAT_FAILED).read_text(encoding="utf-8")
        tables = Path(surroundings[HOME_VARIABLE]) / "cache" / FOLDER
        if cache is not None and tables.exists():
            shutil.copytree(tables, cache / FOLDER, dirs_exist_ok=True)
    return Fresh(said, normalised(notebook), left, failed)


def nbval(paths: Sequence[Path], cache: Path | None = None) -> Nbval:
    """Compare the outputs of notebooks with nbval in one workspace, the first of them first."""
    with clean_place(cache) as surroundings:
        return _nbval(paths, surroundings)


def _nbval(paths: Sequence[Path], surroundings: Mapping[str, str], *more: str) -> Nbval:
    """Run nbval: strictly where every digit is promised."""
    place = Path(surroundings["MATPLOTLIBRC"]).parent
    settings = place / "pytest.ini"
    settings.write_text("[pytest]\n", encoding="utf-8")
    options = ["-c", str(settings), "--rootdir", str(place), "-p", "no:cacheprovider"]
    options += ["-p", "nbval_runs", "--color=no", "-q", "-rfE", *more]
    options += ["--nbval" if is_exact_here() else "--nbval-lax", "--nbval-current-env"]
    options += [f"--nbval-cell-timeout={CELL_SECONDS}"]
    said = _run(["pytest", *options, *map(str, paths)], surroundings)
    found = re.findall(r"^(?:FAILED|ERROR) .*::Cell (\d+)", said.stdout, re.MULTILINE)
    red = tuple(int(cell) + 1 for cell in found)
    return Nbval(said.returncode, red, said.stdout + said.stderr)


def first_settings(path: Path, cache: Path | None = None) -> Papermill:
    """Run a notebook with the settings that its text invites first."""
    return _papermill(path, 0, cache)


def other_settings(path: Path, cache: Path | None = None) -> Papermill:
    """Run a notebook with settings of its second set."""
    return _papermill(path, 1, cache)


def in_an_hour(path: Path, cache: Path | None = None) -> Papermill:
    """Run what is left of a notebook in an hour, with settings of its third set."""
    return _papermill(path, 2, cache, one_hour)


def _papermill(
    path: Path,
    turn: int,
    cache: Path | None,
    change: Callable[[NotebookNode], NotebookNode] = lambda notebook: notebook,
) -> Papermill:
    """Run a notebook with one of its sets of other parameters."""
    sets = PARAMETERS.get(number_of(path), ())
    parameters = sets[turn] if turn < len(sets) else {}
    given = [word for name, value in parameters.items() for word in ("-p", name, _word(value))]
    with clean_place(cache) as surroundings:
        place = Path(surroundings["MATPLOTLIBRC"]).parent
        asked = place / f"asked-{path.name}"
        made = place / path.name
        nbformat.write(change(nbformat.read(path, as_version=4)), asked)
        options = ["-k", "python3", "--cwd", str(path.parent), "--no-progress-bar"]
        options += ["--log-level", "WARNING"]
        said = _run(["papermill", str(asked), str(made), *given, *options], surroundings)
        notebook = nbformat.read(made, as_version=4) if made.exists() else None
    if notebook is not None:
        tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
        own = zip(notebook.cells, tags, strict=True)
        notebook.cells = [cell for cell, tag in own if "injected-parameters" not in tag]
    return Papermill(said.returncode, said.stdout + said.stderr, notebook)


def _word(value: Any) -> str:
    """Return a parameter as papermill's command line reads it: text without quotes."""
    return value if isinstance(value, str) else json.dumps(value)


def mutated(path: Path, cache: Path | None = None) -> Mutated:
    """Falsify one stored output of each kind in a copy, and see what nbval says to it."""
    notebook, falsified = falsify(nbformat.read(path, as_version=4))
    with clean_place() as surroundings:
        copy = Path(surroundings["MATPLOTLIBRC"]).parent / path.name
        nbformat.write(notebook, copy)
        return Mutated(falsified, nbval([copy], cache))


KINDS_OF_RUN: Mapping[str, Callable[[Path, Path], Any]] = {
    "fresh": fresh,
    "first_settings": first_settings,
    "other_settings": other_settings,
    "in_an_hour": in_an_hour,
    "mutated": mutated,
}


def falsify(notebook: NotebookNode) -> tuple[NotebookNode, dict[str, int]]:
    """Return a copy with one digit changed in the first output of each kind, and where.

    The copy ends with the last of them, since what follows would prove nothing more.
    """
    false = deepcopy(notebook)
    falsified: dict[str, int] = {}
    for number, cell in enumerate(code_cells(false), start=1):
        if number not in falsified.values():
            kind = next((kind for kind in KINDS if kind not in falsified and KINDS[kind](cell)), "")
            falsified |= {kind: number} if kind else {}
    keep = max(falsified.values(), default=0)
    wanted = code_cells(false)[:keep]
    false.cells = false.cells[: false.cells.index(wanted[-1]) + 1] if wanted else []
    return false, falsified


def _falsify_stream(cell: NotebookNode) -> bool:
    for output in cell.outputs:
        if output.output_type == "stream" and re.search(r"\d", output.text):
            output.text = _other_digit(output.text)
            return True
    return False


def _falsify_result(cell: NotebookNode) -> bool:
    for output in cell.outputs:
        data = output.get("data", {})
        if set(data) == {"text/plain"} and re.search(r"\d", data["text/plain"]):
            data["text/plain"] = _other_digit(data["text/plain"])
            return True
    return False


def _falsify_table(cell: NotebookNode) -> bool:
    for output in cell.outputs:
        html = output.get("data", {}).get("text/html", "")
        if re.search(r"<td>[^<]*\d", html):
            before, mark, after = html.partition("<td>")
            output.data["text/html"] = before + mark + _other_digit(after)
            return True
    return False


KINDS: Mapping[str, Callable[[NotebookNode], bool]] = {
    "a printed number": _falsify_stream,
    "a result": _falsify_result,
    "a table": _falsify_table,
}


def _other_digit(text: str) -> str:
    return re.sub(r"\d", lambda digit: str((int(digit.group()) + 1) % 10), text, count=1)


def _run(
    arguments: Sequence[str], surroundings: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    paths = [str(TOOLS), surroundings.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env={**surroundings, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
