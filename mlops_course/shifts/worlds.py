"""The flights of a shift: what the first models learn from, and what production delivers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pandas as pd

from mlops_course.core.workspace import Workspace
from mlops_course.data.features import WEATHER
from mlops_course.data.flights import (
    FIRST_DAY,
    FIRST_HELD_OUT,
    LAST_HELD_OUT,
    labelled,
    load_flights,
)
from mlops_course.data.stream import WEEK, Stream
from mlops_course.drift.calm_weeks import ROLLING_WEEKS, Reference, fit_reference
from mlops_course.shifts.plans import Shift
from mlops_course.training.trainer import TrainingResult, train

LAST_OF_FORMER = date(2013, 2, 17)
DAY = timedelta(days=1)
QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class World:
    """What is there when a shift begins.

    Attributes
    ----------
    rows
        The flights of winter, which the champion learned from.
    learned
        What `described` says of them.
    former, champion
        The model that served before, from fewer weeks, and the one that serves.
    stream
        What production delivers, incidents included.
    reference
        What its inputs are compared with.
    memory
        What was worked out once, for whoever plays in this world next: deliveries by week and
        strikes, releases by name, answers by flights and models.
    """

    rows: pd.DataFrame = field(repr=False)
    learned: Mapping[str, float]
    former: TrainingResult
    champion: TrainingResult
    stream: Stream
    reference: Reference
    memory: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)


def open_world(workspace: Workspace, shift: Shift) -> World:
    """Load a shift's flights and train the two models that are there when it begins."""
    winter = load_flights(workspace, FIRST_DAY, LAST_HELD_OUT)
    rows = labelled(winter[winter["date"] < pd.Timestamp(FIRST_HELD_OUT)])
    early = rows[rows["date"] <= pd.Timestamp(LAST_OF_FORMER)]
    production = load_flights(workspace, shift.first - WEEK, shift.last + WEEK)
    before = load_flights(workspace, shift.first - ROLLING_WEEKS * WEEK, shift.first - DAY)
    strikes = tuple(one.strike for one in shift.planned)
    stream = Stream(production, shift.first, strikes, shift.seed)
    return World(
        rows, described(rows), train(early), train(rows), stream, fit_reference(winter, before)
    )


def described(flights: pd.DataFrame) -> dict[str, float]:
    """Return what a glance at some flights shows, by name: minutes, hours, degrees and shares."""
    delay = flights["dep_delay"]
    low, middle, high = delay.quantile(list(QUANTILES))
    return {
        "flights": float(len(flights)),
        "dep_delay, lowest tenth": float(low),
        "dep_delay, median": float(middle),
        "dep_delay, highest tenth": float(high),
        "dep_delay, largest": float(delay.max()),
        "dep_delay, empty": float(delay.isna().mean()),
        "hour, first": float(flights["hour"].min()),
        "hour, last": float(flights["hour"].max()),
        "temp, median": float(flights["temp"].median()),
        "weather, empty": float(flights[list(WEATHER)].isna().mean().max()),
    }
