"""Measure the course's figures on this machine and print one table: `mlops-course bench`.

Nothing here passes or fails. Ratios are of figures measured in turn in the same run, so that
a busy machine slows both sides alike.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import psutil
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from mlops_course import PipelineSimulator
from mlops_course.core.workspace import HOME_VARIABLE, Workspace, open_workspace
from mlops_course.course.servers import free_port, running
from mlops_course.data.features import FEATURES, encode, vocabulary_of
from mlops_course.data.flights import FIRST_DAY, FIRST_HELD_OUT, draw_days, labelled, load_flights
from mlops_course.pipeline.events import StageFailed
from mlops_course.pipeline.loop import run_pipeline
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.registry import versions
from mlops_course.serving.contract import request_body
from mlops_course.serving.routing import CHAMPION
from mlops_course.serving.service import Service
from mlops_course.training import tracking
from mlops_course.training.model import DelayModel, load_model
from mlops_course.training.trainer import TrainingConfig

sys.path.insert(0, str(Path(__file__).parent / "tools"))
from drift_speed import milliseconds, prepared, textbook_report, verdict
from executor import NOTEBOOKS, clean_place, execute
from load import Caller, at_rate, closed_loop, throughput, timed

LOOPS, DRIFTS, IMPORTS, CLICKS = 5, 3, 7, 5
REQUESTS, BATCHES, BATCH, BODIES, CALLERS = 500, 60, 1_000, 300, 4
LOAD, SECONDS_OF_LOAD, ROUNDS = 0.6, 2, 7
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
    """One line of the table; ``target`` is the most that the figure should be, or the least."""

    what: str
    value: float
    unit: str
    target: float | None = None
    note: str = ""
    least: bool = False

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return the line as text: figure, measured, target, reached or not, note."""
        measured = f"{self.value:.0f}" if self.value >= 100 else f"{self.value:.3g}"
        if self.target is None:
            return self.what, f"{measured} {self.unit}", "", "", self.note
        good = self.value >= self.target if self.least else self.value <= self.target
        reached = "reached" if good else "NOT REACHED"
        target = f"{'>=' if self.least else '<='} {self.target:g} {self.unit}"
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
            *serving(workspace),
            *drifting(workspace),
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
    yield Line("... in bare fits", repaired / bare, "x", 7)


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


def serving(workspace: Workspace) -> Iterator[Line]:
    """The same champion behind `mlflow models serve` and behind ours, one after the other."""
    rows = training_rows(workspace)
    singles = [request_body(rows.iloc[[row]]) for row in range(BODIES)]
    uri = f"models:/{versions.MODEL_NAME}@{CHAMPION}"
    model = champion_of(workspace)
    # MLflow's server takes what the model takes: the encoded matrix.
    matrix = pd.DataFrame(encode(rows.iloc[:BODIES], model.vocabulary), columns=list(FEATURES))
    encoded = [split_body(matrix.iloc[[row]]) for row in range(BODIES)]
    tell("mlflow models serve")
    begun = time.perf_counter()
    url = f"http://127.0.0.1:{free_port()}"
    serve = ["mlflow", "models", "serve", "-m", uri, "--env-manager", "local"]
    with running([*serve, "-p", url.rpartition(":")[2]], f"{url}/ping") as guard:
        ready = time.perf_counter() - begun
        theirs = closed_loop(url, encoded, REQUESTS)
        their_rate = throughput(url, encoded, REQUESTS, CALLERS)
        yield Line("mlflow models serve: ready", ready, "s")
        yield Line("... one row, p50", median(theirs), "ms", None, f"of {REQUESTS}, one caller")
        yield Line("... one row, requests a second", their_rate, "/s", None, f"{CALLERS} callers")
        yield Line("... memory", memory_of(guard)[1] / MB, "MB", None, "all its processes")
    tell("mlops-course serve")
    begun = time.perf_counter()
    log = workspace.root / "access.jsonl"
    with course_server(workspace, log) as (url, process):
        yield Line("mlops-course serve: ready", time.perf_counter() - begun, "s", 4)
        ours, bare = in_turn(url, model, [rows.iloc[[row]] for row in range(BODIES)], REQUESTS)
        rates, tails = zip(*(loaded(url, singles, log) for _ in range(ROUNDS)), strict=True)
        rate = median(rates)
        many, bare_many = in_turn(url, model, [rows.iloc[:BATCH]], BATCHES)
        follower, service = memory_of(process)
        yield Line("... one row, p50", ours, "ms", None, f"of {REQUESTS}, one caller")
        yield Line("... one row, requests a second", rate, "/s", None, f"{CALLERS} callers")
        yield Line("... of mlflow's throughput", rate / their_rate, "x", 4, least=True)
        yield Line("... of predict_proba on a one-row frame", ours / bare, "x", 2.5)
        rounds = ", ".join(f"{tail:.1f}" for tail in sorted(tails))
        note = f"by its access log, median of {ROUNDS} rounds: {rounds}"
        yield Line(f"... p99 over p50 at {LOAD:.0%} of capacity", median(tails), "x", 3, note)
        ratio = many / bare_many
        yield Line(f"... {BATCH} rows, of predict_proba on the frame", ratio, "x", 1.5)
        note = f"and {follower / MB:.0f} MB for what follows the registry"
        yield Line("... memory", service / MB, "MB", 300, note)
    yield Line("predict_proba on a one-row frame", bare, "ms", None, f"p50 of {REQUESTS}")
    yield Line(f"predict_proba on {BATCH} rows", bare_many, "ms", None, f"p50 of {BATCHES}")


def loaded(url: str, bodies: Sequence[bytes], log: Path) -> tuple[float, float]:
    """Return the capacity in requests a second, and p99 over p50 at a share of it right after.

    The times are those of the service's access log: a client's include its own waiting for a
    processor. The speed of a shared machine moves by a fifth from one second to the next, and
    above the capacity of the moment every queue grows; hence many short rounds.
    """
    rate = throughput(url, bodies, 2 * REQUESTS, CALLERS)
    count = int(LOAD * rate * SECONDS_OF_LOAD)
    at_rate(url, bodies, LOAD * rate, count, CALLERS)
    told = log.read_text(encoding="utf-8").splitlines()
    lines = [json.loads(line) for line in told if line.startswith("{")]
    spent = [line["ms"] for line in lines if line["path"] == "/invocations"]
    p50, p99 = np.percentile(spent[-count:], [50, 99])
    return rate, float(p99 / p50)


def champion_of(workspace: Workspace) -> DelayModel:
    """Load the champion into this process."""
    return load_model(versions.resolve(tracking.connect(workspace)).path)


def in_turn(
    url: str, model: DelayModel, frames: Sequence[pd.DataFrame], count: int
) -> tuple[float, float]:
    """Return the median milliseconds of a request and of the model called in this process."""
    caller = Caller(url)
    bodies = [request_body(frame) for frame in frames]
    asked, called = [], []
    with threadpool_limits(1):
        for turn in range(count):
            asked.append(timed(caller, bodies[turn % len(bodies)]))
            begun = time.perf_counter()
            model.estimator.predict_proba(encode(frames[turn % len(frames)], model.vocabulary))
            called.append(1000 * (time.perf_counter() - begun))
    return median(asked), median(called)


def split_body(frame: pd.DataFrame) -> bytes:
    """Return a frame of numbers as MLflow's ``dataframe_split``, missing ones as null."""
    return f'{{"dataframe_split": {frame.to_json(orient="split", index=False)}}}'.encode()


@contextmanager
def course_server(workspace: Workspace, log: Path) -> Iterator[tuple[str, int]]:
    """Run `mlops-course serve` with its access log in a file; give its URL and process id."""
    command = [sys.executable, "-m", "mlops_course", "serve", "--workspace", str(workspace.root)]
    with (
        log.open("w", encoding="utf-8") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.terminate()


def drifting(workspace: Workspace) -> Iterator[Line]:
    """How long a drift report takes, of a week against three months that are counted already."""
    tell("drift")
    flights = load_flights(workspace)
    reference = flights[flights["date"] < "2013-04-01"]
    week = flights[flights["date"].between("2013-09-02", "2013-09-08")]
    whole, weeks = prepared(reference)
    report = milliseconds(lambda: textbook_report(whole, week))
    yield Line("drift: a report with p-values", report, "ms", 15)
    judging = milliseconds(lambda: verdict(weeks, week))
    yield Line(f"drift: the verdict, {len(weeks.weeks) + 1} weeks scored", judging, "ms", 60)
    small = milliseconds(lambda: verdict(weeks, week.sample(1_000, random_state=0)))
    yield Line("drift: the verdict on 1,000 rows", small, "ms", 60)


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
    for event in run_pipeline(RunConfig(scenario, weeks=WEEKS), workspace, service):
        if isinstance(event, StageFailed):
            raise SystemExit(f"The {event.stage} stage failed: {event.message}")
    return time.perf_counter() - begun


def training_rows(workspace: Workspace) -> pd.DataFrame:
    """Return the rows of a run's first training: January to mid-March, as seed 0 draws them."""
    last = FIRST_HELD_OUT - timedelta(days=1)
    return labelled(draw_days(load_flights(workspace, FIRST_DAY, last), 0))


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
    simulator.view._handle_custom_msg({"order": "play"}, [])
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
