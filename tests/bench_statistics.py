"""Count how often each stated bound keeps its promise: `mlops-course bench --statistics`.

Nothing here passes or fails. Every line says what was counted, how often, and what was promised; a
small version of each is a test.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd

from mlops_course.core.workspace import Workspace, open_workspace
from mlops_course.data.flights import labelled, load_flights
from mlops_course.monitoring.alerts import ACCURACY_RULE
from mlops_course.monitoring.performance import measure
from mlops_course.pipeline.loop import run_pipeline
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.pipeline.state import RunState, alerted_weeks, fold, outcome
from mlops_course.serving.service import Service
from mlops_course.stats.clustered import mean_bounds
from mlops_course.training.evaluation import right_calls
from mlops_course.training.trainer import TrainingConfig, train

SEEDS = range(20)
SYNTHETIC_TURNS = 5_000
WEEK_DAYS = 7
AROUND_WEEKS = 2


@dataclass(frozen=True)
class Count:
    """How often something happened, of how many, and what was promised."""

    what: str
    happened: int
    turns: int
    promise: str

    def row(self) -> str:
        """Return the line of the table, with the simulation's own standard error."""
        share = self.happened / self.turns
        error = sqrt(max(share * (1 - share), 1e-9) / self.turns)
        figures = f"{self.happened:>6,} of {self.turns:>6,}  {share:7.2%} ± {error:.2%}"
        return f"{self.what:<66} {figures:<36} {self.promise}"


def main() -> None:
    """Count everything and print the table, line by line as it comes."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory(prefix="mlops-bench-", ignore_cleanup_errors=True) as place:
        workspace = open_workspace(Path(place) / "workspace")
        year = real_year(workspace)
        for section in (clusters(), weeks(year), seeds(workspace)):
            for count in section:
                print(count.row(), flush=True)


def real_year(workspace: Workspace) -> pd.DataFrame:
    """Return the labelled flights from April on, scored by a model of winter."""
    model = train(load_flights(workspace, last="2013-03-17"), TrainingConfig()).model
    flights = labelled(load_flights(workspace, first="2013-04-01"))
    probability = model.probability(flights)
    right = right_calls(probability, flights["late"].to_numpy())
    return flights.assign(probability=probability, right=right)


def clusters() -> Iterator[Count]:
    """Bounds by day on calls made up so that each day has a level of its own."""
    generator = np.random.default_rng(0)
    for days in (WEEK_DAYS, 2 * WEEK_DAYS):
        found = [made_up_days(generator, days) for _ in range(SYNTHETIC_TURNS)]
        by_day, by_row = np.sum(found, axis=0)
        name = f"made up, {days} days: upper bound covers"
        yield Count(f"{name}, by day", by_day, SYNTHETIC_TURNS, "95%")
        yield Count(f"{name}, by flight", by_row, SYNTHETIC_TURNS, "95%, and breaks it")


def made_up_days(generator: np.random.Generator, days: int) -> tuple[bool, bool]:
    """Return whether the upper bounds by day and by row lie above the truth, once."""
    truth = 0.9
    sizes = generator.integers(700, 1_000, days)
    levels = np.clip(truth + generator.normal(0, 0.03, days), 0, 1)
    right = (generator.random(sizes.sum()) < np.repeat(levels, sizes)).astype(float)
    day = np.repeat(np.arange(days), sizes)
    accuracy = right.mean()
    by_row = accuracy + 1.645 * sqrt(accuracy * (1 - accuracy) / len(right))
    return mean_bounds(right, day).high >= truth, by_row >= truth


def weeks(year: pd.DataFrame) -> Iterator[Count]:
    """The accuracy's bound on each seven days in a row of the real year."""
    groups = [group for _, group in year.groupby("date")]
    sums = year.groupby("date")["right"].agg(["sum", "count"])
    qualities = [measure(pd.concat(groups[n : n + WEEK_DAYS])) for n in range(len(groups) - 6)]
    upper = np.array([quality.upper for quality in qualities])
    rows = np.array([quality.labelled for quality in qualities])
    accuracy = np.array([quality.accuracy for quality in qualities])
    by_row = accuracy + 1.645 * np.sqrt(accuracy * (1 - accuracy) / rows)
    for around in (1, AROUND_WEEKS, 3):
        level = levels_around(sums, WEEK_DAYS * around)
        name = f"real weeks, level of the {2 * around + 1} weeks around"
        turns = len(level)
        yield Count(f"{name}: upper bound by day covers", (upper >= level).sum(), turns, "95%")
        yield Count(f"{name}: by flight", (by_row >= level).sum(), turns, "95%, and breaks it")
        low = (upper < level - 0.005).sum()
        yield Count(f"{name}: alarm at a true 90.5%", low, turns, "at most 5%")
    fired = (upper[::WEEK_DAYS] < 0.90).sum()
    yield Count("calendar weeks that alarm at 90%", fired, len(upper[::WEEK_DAYS]), "(no promise)")
    fired = (by_row[::WEEK_DAYS] < 0.90).sum()
    yield Count("... by flight", fired, len(upper[::WEEK_DAYS]), "(no promise)")


def levels_around(sums: pd.DataFrame, days: int) -> np.ndarray:
    """Return for each window of a week the share right in it and so many days on either side."""
    windows = (
        sums.iloc[max(first - days, 0) : first + WEEK_DAYS + days].sum()
        for first in range(len(sums) - WEEK_DAYS + 1)
    )
    return np.array([window["sum"] / window["count"] for window in windows])


def seeds(workspace: Workspace) -> Iterator[Count]:
    """Whole runs of the loop, each seed with days drawn anew."""
    with Service() as service:
        good = [run(workspace, service, "good", seed) for seed in SEEDS]
        drift = [run(workspace, service, "drift", seed) for seed in SEEDS]
    count = len(SEEDS)
    calm = sum(not alerted_weeks(state, ACCURACY_RULE) for state in good)
    yield Count("good data, 8 weeks: no alert", calm, count, "at least 18 of 20")
    soon = sum(first_alert(state) in (4, 5) for state in drift)
    yield Count("drift from week 4: first alert in week 4 or 5", soon, count, "20 of 20")
    back = sum(recovered(state) for state in drift)
    yield Count("drift: retrained, and better than the old model", back, count, "20 of 20")


def run(workspace: Workspace, service: Service, scenario: str, seed: int) -> RunState:
    """Run the loop, and tell what came of it on stderr."""
    state = fold(run_pipeline(RunConfig(scenario, seed=seed), workspace, service))
    told = " ".join(f"{week.accuracy:.3f}{'!' if week.alert else ''}" for week in state.weeks)
    print(f"{scenario} {seed}: {told} {state.error}", file=sys.stderr, flush=True)
    return state


def first_alert(state: RunState) -> int | None:
    """Return the number of the first week on which the accuracy rule fired."""
    fired = alerted_weeks(state, ACCURACY_RULE)
    return fired[0].number if fired else None


def recovered(state: RunState) -> bool:
    """Return whether a retrained model served in the end, without alert and above the old one."""
    found = outcome(state)
    better = found.recovered and found.otherwise and found.recovered > found.otherwise
    return bool(better) and not state.weeks[-1].alert


if __name__ == "__main__":
    main()
