"""Programs that work on a workspace without end, to be killed in the middle of it."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

from mlops_course.core.resetting import reset_workspace
from mlops_course.core.verdicts import Check, Verdict
from mlops_course.core.workspace import Workspace, open_workspace
from mlops_course.course.fixtures import train_candidate
from mlops_course.data.flights import load_flights
from mlops_course.registry import promotions
from mlops_course.release import gate
from mlops_course.training import tracking

PASSED = Verdict("model", (Check("better overall", True, "Better."),))

SLOW_TO_IMPORT = [
    *("mlops_course.course.fixtures", "mlops_course.release.gate"),
    *("mlflow.sklearn", "mlflow.data.pandas_dataset", "pyarrow.parquet", "skops.io"),
    *("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store"),
]

Work = Callable[[Workspace, Path], None]


def release(workspace: Workspace, done: Path) -> None:
    """Register, judge, promote and roll back; note each promotion once it has returned."""
    store = tracking.connect(open_workspace(workspace.root, cache=workspace.shared_cache))
    rows = load_flights(workspace, "2013-01-01", "2013-01-03")
    with done.open("a", encoding="utf-8", buffering=1) as notes:
        for seed in count(os.getpid()):
            registered = train_candidate(store, rows, max_iter=2, random_state=seed)
            evidence = gate.record(store, registered.version, PASSED)
            entry = promotions.promote(store, registered.version, "test", evidence=evidence)
            notes.write(f"{entry.digest}\n")
            if entry.before:
                notes.write(f"{promotions.roll_back(store, 'test').digest}\n")


def empty(workspace: Workspace, done: Path) -> None:
    """Fill a workspace and reset it, again and again; note each reset once it has returned."""
    with done.open("a", encoding="utf-8", buffering=1) as notes:
        while True:
            store = tracking.connect(open_workspace(workspace.root, cache=workspace.shared_cache))
            for name in ("one", "two"):
                run_id = tracking.start_run(store, name, tracking.provenance(), {})
                store.client.log_text(run_id, "text", "kept.txt")
                tracking.end_run(store, run_id)
            reset_workspace(workspace)
            notes.write("reset\n")


def _begin(begun: Event, work: Work, workspace: Workspace, done: Path) -> None:
    begun.set()
    work(workspace, done)


def use(workspace: Workspace, _: Path) -> None:
    """Open a workspace, and keep a run with a file in it."""
    store = tracking.connect(open_workspace(workspace.root, cache=workspace.shared_cache))
    run_id = tracking.start_run(store, "after", tracking.provenance(), {})
    store.client.log_text(run_id, "text", "kept.txt")
    tracking.end_run(store, run_id)
    assert store.client.get_run(run_id).info.status == "FINISHED"


def finishes(work: Work, workspace: Workspace, done: Path) -> bool:
    """Let a process of its own do some work that ends, and return whether it did it."""
    with busy(work, workspace, done) as process:
        process.join(60)
        return process.exitcode == 0


@contextmanager
def busy(work: Work, workspace: Workspace, done: Path) -> Iterator[BaseProcess]:
    """Let a process of its own do some work, as long as the block lasts; then kill it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(SLOW_TO_IMPORT)
    begun = context.Event()
    process = context.Process(target=_begin, args=(begun, work, workspace, done), daemon=True)
    process.start()
    try:
        assert begun.wait(60)
        yield process
    finally:
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()
