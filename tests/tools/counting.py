"""How often something happened in a simulation, as a line of a table; and the year to count on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd

from mlops_course.core.workspace import Workspace
from mlops_course.data.flights import draw_days, labelled, load_flights
from mlops_course.stats.clustered import mean_bounds
from mlops_course.training.evaluation import right_calls
from mlops_course.training.trainer import TrainingConfig, train

CHAMPION = "winter"
FIRST_DAY = np.datetime64("2013-01-07")
BLOCK = np.timedelta64(28, "D")


@dataclass(frozen=True)
class Count:
    """How often something happened, of how many, and what was promised.

    Attributes
    ----------
    error
        The standard error of the share; None where the turns are independent of each other.
    """

    what: str
    happened: int
    turns: int
    promise: str
    error: float | None = None

    def row(self) -> str:
        """Return the line of the table, with the simulation's own standard error."""
        share = self.happened / self.turns
        error = self.error
        if error is None:
            error = sqrt(share * (1 - share) / self.turns)
        figures = f"{self.happened:>6,} of {self.turns:>6,}  {share:7.2%} ± {error:.2%}"
        return f"{self.what:<78} {figures:<36} {self.promise}"


def together(what: str, happened: np.ndarray, blocks: np.ndarray, promise: str) -> Count:
    """Count turns that are not independent: those of one block have flights in common.

    Parameters
    ----------
    happened
        Whether it happened, shape (turns,).
    blocks
        To which block each turn belongs, shape (turns,): the weeks of one random order, or the
        stretches of the year that begin within the same four weeks (`blocks_of`).
    """
    error = mean_bounds(np.asarray(happened, float), blocks).error
    return Count(what, int(np.sum(happened)), len(happened), promise, error)


def blocks_of(days: np.ndarray) -> np.ndarray:
    """Return the block of four weeks in which each day lies: the same for all that is counted."""
    return (days.astype("datetime64[D]") - FIRST_DAY) // BLOCK


def other_weeks(sums: np.ndarray, sizes: np.ndarray, days: int, around: int) -> np.ndarray:
    """Return for each stretch of so many days the level of such stretches beside it.

    A stretch is no part of its own truth: it would agree with itself.

    Parameters
    ----------
    sums, sizes
        The sum of each day, and how many rows it is of, in the order of the days; shape (days,).
    around
        How many stretches on either side count.
    """
    levels = []
    for first in range(len(sums) - days + 1):
        beside = np.arange(
            max(first - around * days, 0), min(first + (1 + around) * days, len(sums))
        )
        beside = beside[(beside < first) | (beside >= first + days)]
        levels.append(sums[beside].sum() / sizes[beside].sum())
    return np.array(levels)


@dataclass(frozen=True)
class RealYear:
    """The real year, and models of winter that answer alike.

    Attributes
    ----------
    everything
        All flights, as `load_flights` returns them.
    flights
        Those with a label from 18 March on.
    probability
        By model, the probability of late of each of ``flights``; the first is the champion.
    """

    everything: pd.DataFrame
    flights: pd.DataFrame
    probability: dict[str, np.ndarray]

    def right(self, name: str) -> np.ndarray:
        """Return 1.0 where a model called a flight right, else 0.0."""
        return right_calls(self.probability[name], self.flights["late"].to_numpy())

    def between(self, first: str, last: str) -> np.ndarray:
        """Return which flights are of the days from first to last, both included."""
        return self.flights["date"].between(first, last).to_numpy()


def real_year(workspace: Workspace) -> RealYear:
    """Return the real year, scored by a champion and by challengers as good as it."""
    everything = load_flights(workspace)
    past = everything[everything["date"] < "2013-03-18"]
    plans = {
        CHAMPION: (past, TrainingConfig()),
        "days redrawn": (draw_days(past, 1), TrainingConfig(random_state=1)),
        "days redrawn again": (draw_days(past, 2), TrainingConfig(random_state=2)),
        "days redrawn a third time": (draw_days(past, 3), TrainingConfig(random_state=3)),
        "40 trees": (past, TrainingConfig(max_iter=40, learning_rate=0.15)),
        "120 trees": (past, TrainingConfig(max_iter=120, learning_rate=0.05)),
        "15 leaves": (past, TrainingConfig(max_leaf_nodes=15)),
    }
    flights = labelled(everything[everything["date"] >= "2013-03-18"])
    probability = {
        name: train(rows, config).model.probability(flights)
        for name, (rows, config) in plans.items()
    }
    return RealYear(everything, flights, probability)


def windows(days: Sequence[pd.Timestamp], length: int, step: int) -> Iterator[tuple[str, str]]:
    """Yield the first and the last day of stretches of so many days in a row."""
    for first in range(0, len(days) - length + 1, step):
        yield str(days[first].date()), str(days[first + length - 1].date())
