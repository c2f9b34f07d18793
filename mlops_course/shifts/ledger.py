"""What a shift has cost so far, day by day and by what, in flights called wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from mlops_course.shifts.prices import (
    CONFIDENCE,
    HOUR,
    SILENT,
    SLOW,
    UNANSWERED,
)
from mlops_course.shifts.systems import Served
from mlops_course.training.evaluation import right_calls


@dataclass(frozen=True)
class Day:
    """What a day of flights has cost.

    Attributes
    ----------
    flights, wrong, unanswered
        How many flights there were, were called wrong as far as anybody will ever know, and got no
        answer.
    slow
        Flights whose answer came late.
    version
        The version that answered most of them; empty for the rule, or for none.
    held
        Whether the rule answered.
    """

    day: date
    flights: int
    wrong: int
    unanswered: int
    slow: int
    version: str
    held: bool

    @property
    def harm(self) -> float:
        """The harm done by answers, and by none."""
        return self.wrong + UNANSWERED * self.unanswered + SLOW * self.slow


@dataclass(frozen=True)
class Charge:
    """Something besides answers that has cost: what, and how much."""

    day: date
    what: str
    harm: float


@dataclass(frozen=True)
class Statement:
    """A cause that was stated with an action, how surely, and whether that was the cause.

    Attributes
    ----------
    cause
        A name of `data.incidents.INCIDENTS`; empty where none was stated.
    sure
        From 0.5 to 1.
    """

    day: date
    action: str
    cause: str
    sure: float
    right: bool

    @property
    def harm(self) -> float:
        """What it costs: the Brier score of the statement, so that saying what one thinks is best.

        Source: Brier, "Verification of forecasts expressed in terms of probability", 1950.
        """
        sure = self.sure if self.cause else SILENT
        outcome = float(self.right) if self.cause else 1.0
        return CONFIDENCE * (outcome - sure) ** 2


@dataclass(frozen=True)
class Harm:
    """What a shift has cost, by what; in flights called wrong."""

    wrong: float
    downtime: float
    work: float
    false_alarms: float
    statements: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.wrong + self.downtime + self.work + self.false_alarms + self.statements


def harm_of(
    days: Sequence[Day],
    charges: Sequence[Charge],
    statements: Sequence[Statement],
    minutes: int,
) -> Harm:
    """Add up what a shift has cost.

    Parameters
    ----------
    minutes
        Of the engineer's work.
    """
    wrong = float(sum(day.wrong for day in days))
    answers = sum(day.harm for day in days)
    return Harm(
        wrong,
        answers - wrong,
        HOUR * minutes / 60,
        sum(charge.harm for charge in charges),
        sum(statement.harm for statement in statements),
    )


def day_of(served: Served, held: bool, slow_versions: Sequence[str]) -> Day:
    """Count what a day of flights has cost, by how they turned out.

    Parameters
    ----------
    slow_versions
        Those that take longer than `SLOW_MS` for a request, by their size and not by the clock:
        what a shift has cost does not depend on the machine that it is played on.
    """
    flights = served.flights
    probability = flights["probability"].to_numpy(dtype="float64")
    right = right_calls(probability, flights["late"].to_numpy(dtype="float64"))
    versions = flights["version"]
    answering = versions[versions != ""]
    return Day(
        served.day,
        len(flights),
        int((right == 0).sum()),
        int(np.isnan(probability).sum()),
        int(versions.isin(slow_versions).sum()),
        str(answering.mode().iloc[0]) if len(answering) else "",
        held,
    )
