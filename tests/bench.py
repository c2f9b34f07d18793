"""Measure the course's figures on this machine and print one table: `mlops-course bench`.

Nothing here passes or fails. Ratios are of figures measured in turn in the same run, so that
a busy machine slows both sides alike.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import psutil
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from mlops_course import PipelineSimulator, pipeline, registry, tracking
from mlops_course.events import StageFailed
from mlops_course.features import encode, vocabulary_of
from mlops_course.flights import draw, labelled, load_flights
from mlops_course.scenarios import RunConfig
from mlops_course.serving import Service
from mlops_course.training import TrainingConfig
from mlops_course.workspace import HOME_VARIABLE, Workspace, open_workspace

sys.path.insert(0, str(Path(__file__).parent / "tools"))
from executor import NOTEBOOKS, clean_place, execute

LOOPS, DRIFTS, IMPORTS, CLICKS, REQUESTS = 5, 3, 7, 5, 500
WEEKS = 8
MB = 2**20

FIRST_RUN = f"""
from time import perf_counter
begun = perf_counter()
from mlops_course import PipelineSimulator
PipelineSimulator(weeks={WEEKS}).run()
print(perf_counter() - begun)
"""
IMPORT = """
from time import perf_counter
begun = perf_counter()
import mlops_course
print(perf_counter() - begun)
"""


@dataclass(frozen=True)
class Line:
    """One line of the table; ``target`` is the most that the figure should be."""

    what: str
    value: float
    unit: str
    target: float | None = None
    note: str = ""

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return the line as text: figure, measured, target, reached or not, note."""
        measured = f"{self.value:.0f}" if self.value >= 100 else f"{self.value:.3g}"
        if self.target is None:
            return self.what, f"{measured} {self.unit}", "", "", self.note
        reached = "reached" if self.value <= self.target else "NOT REACHED"
        target = f"<= {self.target:g} {self.unit}"
        return self.what, f"{measured} {self.unit}", target, reached, self.note


def main() -> None:
    """Measure everything and print the table."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory(prefix="mlops-bench-", ignore_cleanup_errors=True) as place:
        workspace = open_workspace(Path(place) / "workspace")
        lines = [
            *imports(),
            *first_runs(Path(place) / "first"),
            *loops(workspace),
            *clicks(workspace),
            *requests(workspace),
            *lesson(),
        ]
    print(table(lines))


def imports() -> Iterator[Line]:
    """How long the package alone takes to import, in processes of their own."""
    tell("imports")
    seconds = [ask_python(IMPORT) for _ in range(IMPORTS)]
    yield Line("import mlops_course", 1000 * median(seconds), "ms", 50, f"median of {IMPORTS}")


def first_runs(home: Path) -> Iterator[Line]:
    """A first run of 8 weeks in a new process, imports and service start included."""
    tell("first runs")
    yield Line("first run in a fresh process, nothing cached", ask_python(FIRST_RUN, home), "s", 10)
    yield Line("first run in a fresh process, data cached", ask_python(FIRST_RUN, home), "s")


def loops(workspace: Workspace) -> Iterator[Line]:
    """The warm loop beside one bare fit of the same model on the same rows, taken in turn."""
    tell("loops")
    fits, good, drift = [], [], []
    with Service() as service:
        run_loop(workspace, service, "good")
        rows = training_rows(workspace)
        for turn in range(LOOPS):
            fits.append(fit(rows)[1])
            good.append(run_loop(workspace, service, "good"))
            if turn < DRIFTS:
                drift.append(run_loop(workspace, service, "drift"))
    bare, loop, repaired = median(fits), median(good), median(drift)
    yield Line("one bare fit", bare, "s", None, f"median of {LOOPS}, one thread")
    yield Line("full loop, good data, 8 weeks, warm", loop, "s", 2.5, f"median of {LOOPS}")
    yield Line("... in bare fits", loop / bare, "x", 5)
    yield Line("full loop, drift and retraining, warm", repaired, "s", 3.5, f"median of {DRIFTS}")
    yield Line("... in bare fits", repaired / bare, "x")


def clicks(workspace: Workspace) -> Iterator[Line]:
    """From *Run pipeline* to the first change of the picture, and to the first event in it."""
    tell("clicks")
    simulator = PipelineSimulator(weeks=1, workspace=workspace)
    simulator.run()
    pairs = [click(simulator) for _ in range(CLICKS)]
    simulator.close()
    changed, event = (median(times) for times in zip(*pairs, strict=True))
    note = f"median of {CLICKS}, in the kernel; the page adds about 30 ms"
    yield Line("click to the first change of the picture", changed, "ms", None, note)
    yield Line("click to the first event in the picture", event, "ms", 100, note)


def requests(workspace: Workspace) -> Iterator[Line]:
    """One flight over HTTP beside the model called in this process, taken in turn."""
    tell("requests")
    rows = training_rows(workspace)
    matrix, (estimator, _) = encoded(rows), fit(rows)
    champion = registry.find(tracking.connect(workspace))
    assert champion is not None, "the loops above registered and promoted one"
    over_http: list[float] = []
    bare: list[float] = []
    with Service() as service, threadpool_limits(1):
        service.load(champion.path, champion.version)
        for row in range(REQUESTS):
            over_http.extend(service.score(rows.iloc[[row]]).latency_ms)
            begun = time.perf_counter()
            estimator.predict_proba(matrix[row : row + 1])
            bare.append(1000 * (time.perf_counter() - begun))
    note = f"p50 of {REQUESTS}"
    yield Line("one flight, predict_proba in this process", median(bare), "ms", None, note)
    yield Line("one flight, request to the service", median(over_http), "ms", None, note)
    yield Line("... in calls of predict_proba", median(over_http) / median(bare), "x")


def lesson() -> Iterator[Line]:
    """Notebook 00 from nothing, and the most memory its kernel and service held after a cell."""
    path = next(NOTEBOOKS.glob("00_*.ipynb"), None)
    if path is None:
        return
    tell("notebook 00")
    held: list[tuple[int, int]] = []
    spent: list[float] = []

    def watch(kernel: int) -> None:
        begun = time.perf_counter()
        held.append(memory_of(kernel))
        spent.append(time.perf_counter() - begun)

    with clean_place() as surroundings:
        seconds = execute(path, surroundings, watch=watch).seconds - sum(spent)
    yield Line("notebook 00, nothing cached", seconds, "s", 25, "kernel start included")
    most = max(held, key=sum)
    kind = "PSS" if psutil.LINUX else "RSS, which counts shared pages twice"
    note = f"{kind}, the most after a cell: {most[0] / MB:.0f} and {most[1] / MB:.0f}"
    yield Line("kernel and service in notebook 00", sum(most) / MB, "MB", 600, note)


def run_loop(workspace: Workspace, service: Service, scenario: str) -> float:
    """Run the loop and return the seconds; a failed stage ends the benchmark."""
    begun = time.perf_counter()
    for event in pipeline.run_pipeline(RunConfig(scenario, weeks=WEEKS), workspace, service):
        if isinstance(event, StageFailed):
            raise SystemExit(f"The {event.stage} stage failed: {event.message}")
    return time.perf_counter() - begun


def training_rows(workspace: Workspace) -> pd.DataFrame:
    """Return the rows of a run's first training: January to mid-March, as seed 0 draws them."""
    last = pipeline.FIRST_HELD_OUT - timedelta(days=1)
    return labelled(draw(load_flights(workspace, pipeline.FIRST_TRAINED, last), 0))


def encoded(rows: pd.DataFrame) -> np.ndarray:
    """Return the features as the model takes them."""
    return encode(rows, vocabulary_of(rows))


def fit(rows: pd.DataFrame) -> tuple[HistGradientBoostingClassifier, float]:
    """Fit the course's model with scikit-learn alone; return it and the seconds of the fit."""
    matrix, late = encoded(rows), rows["late"].to_numpy() == 1
    estimator = HistGradientBoostingClassifier(**asdict(TrainingConfig()))
    with threadpool_limits(1):
        begun = time.perf_counter()
        estimator.fit(matrix, late)
        return estimator, time.perf_counter() - begun


def click(simulator: PipelineSimulator) -> tuple[float, float]:
    """Press *Run pipeline*; return milliseconds to the first change and to the first event."""
    simulator.reset()
    seen: dict[str, float] = {}
    shown = threading.Event()

    def notice(_: object) -> None:
        seen.setdefault("change", time.perf_counter())
        if simulator.state.started is not None:
            seen.setdefault("event", time.perf_counter())
            shown.set()

    simulator.view.observe(notice)
    begun = time.perf_counter()
    simulator.controls.run.click()
    shown.wait(60)
    simulator.view.unobserve(notice)
    simulator.wait(60)
    return 1000 * (seen["change"] - begun), 1000 * (seen["event"] - begun)


def memory_of(kernel: int) -> tuple[int, int]:
    """Return the bytes of a kernel, and of its children together."""

    def held(process: psutil.Process) -> int:
        try:
            return process.memory_full_info().pss if psutil.LINUX else process.memory_info().rss
        except psutil.NoSuchProcess:
            return 0

    process = psutil.Process(kernel)
    return held(process), sum(map(held, process.children(recursive=True)))


def ask_python(code: str, home: Path | None = None) -> float:
    """Run code in a fresh interpreter and return the number it prints last."""
    environment = {**os.environ, **({HOME_VARIABLE: str(home)} if home else {})}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])


def table(lines: list[Line]) -> str:
    """Lay the lines out in columns."""
    rows = [("figure", "measured", "target", "", ""), *(line.cells() for line in lines)]
    what, measured, target, reached = (max(len(row[i]) for row in rows) for i in range(4))
    return "\n".join(
        f"{a:<{what}}  {b:>{measured}}  {c:<{target}}  {d:<{reached}}  {e}".rstrip()
        for a, b, c, d, e in rows
    )


def tell(what: str) -> None:
    """Say on stderr what is being measured."""
    print(f"measuring {what} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
