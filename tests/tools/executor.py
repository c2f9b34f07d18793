"""Run the course's notebooks, and store or check what comes out.

    python tests/tools/executor.py --execute [NN ...]    run, and store the outputs
    python tests/tools/executor.py --check [NN ...]      run, and compare with what is stored
    python tests/tools/executor.py --solved [NN ...]     run solved copies into solved/

Each notebook runs in a workspace of its own and a fixed environment, so that two runs give
the same bytes. `mlops-course notebooks` calls this file.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from mlops_course.core.workspace import HOME_VARIABLE, open_workspace

sys.path.insert(0, str(Path(__file__).parent))
from solving import solved
from stored import LAX, differences, is_exact_here, normalised, text_of

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
SOLVED = ROOT / "solved"
CELL_SECONDS = 300
LEARNERS = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
FIXED = {
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONUTF8": "1",
}
DROPPED = (
    "COLUMNS",
    "LINES",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_TRACKING_URI",
    "MPLBACKEND",
    "PYTHONSTARTUP",
    "PYTHONWARNINGS",
)


class CellFailed(Exception):
    """A cell raised, took too long, or took the kernel down."""


@dataclass(frozen=True)
class Ran:
    """A notebook after a run, and the seconds it took from kernel start."""

    notebook: NotebookNode
    seconds: float


@contextmanager
def clean_place(cache: Path | None = None) -> Iterator[dict[str, str]]:
    """Give a fresh workspace and the environment that leads there; afterwards remove it.

    Parameters
    ----------
    cache
        A workspace's cache folder to copy, which spares the run from making it again.
    """
    with tempfile.TemporaryDirectory(prefix="mlops-notebook-", ignore_cleanup_errors=True) as name:
        place = Path(name)
        workspace = open_workspace(place / "workspace")
        if cache is not None and cache.exists():
            shutil.copytree(cache, workspace.cache, dirs_exist_ok=True)
        yield environment(place)


def environment(place: Path) -> dict[str, str]:
    """Return the environment of a run whose files live in ``place``.

    The learner's own IPython, Jupyter and matplotlib settings stay out of it.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in DROPPED}
    settings = {name: str(place / name.lower()) for name in LEARNERS}
    for folder in settings.values():
        Path(folder).mkdir(exist_ok=True)
    plain = place / "matplotlibrc"
    plain.touch()
    home = {HOME_VARIABLE: str(place / "workspace"), "MATPLOTLIBRC": str(plain)}
    return {**inherited, **settings, **FIXED, **home}


def execute(
    path: Path,
    surroundings: Mapping[str, str],
    *,
    watch: Callable[[int], None] | None = None,
    change: Callable[[NotebookNode], NotebookNode] = lambda notebook: notebook,
) -> Ran:
    """Run a notebook's cells in a fresh kernel and return it normalised.

    Parameters
    ----------
    watch
        Called with the kernel's process id after each cell.
    change
        Applied to the notebook before it runs.

    Raises
    ------
    CellFailed
        If a cell raises, takes longer than five minutes, or its kernel dies.
    """
    notebook = change(nbformat.read(path, as_version=4))
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(path.resolve().parent)}},
    )
    begun = time.perf_counter()
    with client.setup_kernel(env=dict(surroundings), stderr=subprocess.DEVNULL):
        ran = _run_cells(client, path, watch)
        seconds = time.perf_counter() - begun
    return Ran(normalised(ran), seconds)


def _run_cells(
    client: NotebookClient, path: Path, watch: Callable[[int], None] | None = None
) -> NotebookNode:
    for index, cell in enumerate(client.nb.cells):
        try:
            client.execute_cell(cell, index)
            if watch is not None:
                watch(_process_id(client))
        except CellExecutionError as error:
            reason = f"{error.ename}: {_plain(error.evalue)}"
        except CellTimeoutError:
            reason = f"took longer than {CELL_SECONDS} seconds"
        except DeadKernelError:
            reason = "the kernel died; too little memory is the usual cause"
        else:
            continue
        shown = _beginning(cell.source)
        raise CellFailed(f"{path.name}, cell {index + 1}: {reason}\n{shown}")
    return client.nb


def _beginning(source: str) -> str:
    """Return a cell's first lines, as they are shown below a message."""
    lines = source.strip().splitlines()
    return "\n".join(f"    {line}" for line in lines[:6]) + ("\n    ..." if lines[6:] else "")


def _process_id(client: NotebookClient) -> int:
    provisioner = client.km.provisioner if client.km is not None else None
    return int(getattr(provisioner, "pid", 0))


def _plain(text: str) -> str:
    """Return a message without terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip()


def store(path: Path, cache: Path | None = None) -> str:
    """Run a notebook and store its outputs in one step; return what to tell."""
    with clean_place(cache) as surroundings:
        ran = execute(path, surroundings)
        _keep_cache(surroundings, cache)
    text = text_of(ran.notebook)
    same = path.read_text(encoding="utf-8") == text
    if not same:
        _write(path, text)
    return f"{path.name}: {ran.seconds:.1f} s, {'as it was' if same else 'stored'}"


def solve(path: Path, cache: Path | None = None, folder: Path = SOLVED) -> str:
    """Run a notebook with its exercises solved and write it to ``folder``; return what to tell."""
    with clean_place(cache) as surroundings:
        ran = execute(path, surroundings, change=solved)
        _keep_cache(surroundings, cache)
    folder.mkdir(exist_ok=True)
    _write(folder / path.name, text_of(ran.notebook))
    return f"{path.name}: {ran.seconds:.1f} s, solved in {folder.name}/"


def _write(path: Path, text: str) -> None:
    """Replace a file in one step; one cut off halfway leaves the old one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        if path.exists():
            shutil.copymode(path, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def check(path: Path, cache: Path | None = None) -> tuple[bool, str]:
    """Run a notebook and compare; return whether it agrees with the file, and what to tell."""
    with clean_place(cache) as surroundings:
        ran = execute(path, surroundings)
        _keep_cache(surroundings, cache)
    found = disagreement(path, ran.notebook)
    if found:
        return False, "\n".join(found)
    return True, f"{path.name}: {ran.seconds:.1f} s, as stored"


def disagreement(path: Path, fresh: NotebookNode) -> list[str]:
    """Return how the file differs from a fresh run, and the way out; empty if it does not.

    Metadata that JupyterLab writes when somebody saves the notebook does not count.
    """
    stored = normalised(nbformat.read(path, as_version=4))
    found = differences(stored, fresh, exact=is_exact_here())
    if not found:
        return []
    number = path.name.partition("_")[0]
    return [
        f"{path.name}: a fresh run differs from what is stored (- stored, + fresh)",
        *(f"  {line}" for line in found),
        f"  `mlops-course notebooks --execute {number}` stores a fresh run;"
        f" `git checkout {path.parent.name}` brings the course's own back.",
    ]


def _keep_cache(surroundings: Mapping[str, str], cache: Path | None) -> None:
    """Let the next notebook of this call start from what this one has made."""
    made = Path(surroundings[HOME_VARIABLE]) / "cache"
    if cache is not None and made.exists():
        shutil.copytree(made, cache, dirs_exist_ok=True)


def chosen(numbers: Sequence[str], folder: Path = NOTEBOOKS) -> list[Path]:
    """Return the notebooks with these numbers, or all of them; unknown ones end the program."""
    everything = sorted(folder.glob("*.ipynb"))
    if not numbers:
        return everything
    known = {path.name.partition("_")[0]: path for path in everything}
    unknown = [number for number in numbers if number.zfill(2) not in known]
    if unknown:
        raise SystemExit(
            f"There is no notebook {', '.join(unknown)} in {folder}. "
            f"Its notebooks are {', '.join(known) or 'none yet'}."
        )
    return [known[number.zfill(2)] for number in numbers]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, then store or compare; the exit status is 1 if a notebook fails or differs."""
    parser = argparse.ArgumentParser(
        prog="mlops-course notebooks", description="Run the notebooks; store or check the outputs."
    )
    parser.add_argument("numbers", nargs="*", metavar="NN", help="such as 00; all unless given")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--execute", action="store_true", help="store what comes out")
    what.add_argument("--check", action="store_true", help="compare it with what is stored")
    what.add_argument("--solved", action="store_true", help="write solved copies to solved/")
    parser.add_argument("--folder", type=Path, default=NOTEBOOKS, help="where the notebooks are")
    options = parser.parse_args(arguments)
    paths = chosen(options.numbers, options.folder)
    if options.check and not is_exact_here():
        print(LAX, flush=True)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="mlops-cache-") as cache:
        for path in paths:
            try:
                if options.execute:
                    good, told = True, store(path, Path(cache))
                elif options.solved:
                    good, told = True, solve(path, Path(cache))
                else:
                    good, told = check(path, Path(cache))
            except CellFailed as error:
                good, told = False, f"{error}\nThe file was left as it is."
            failed += not good
            print(told, flush=True)
    if failed:
        print(f"{failed} of {len(paths)} notebooks failed.", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that kernel and files go along
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Stopped; no file was changed by the notebook that was running.")
