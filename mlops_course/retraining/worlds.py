"""The worlds in which policies are compared, as a run of the pipeline would meet them.

A world is a scenario with the days that a seed draws, in memory: its weeks of production, what
came before them, and what struck which week. Worlds that differ from June on share what was
before, so that nothing is made twice.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import pandas as pd

from mlops_course.core.workspace import Workspace
from mlops_course.data.features import CATEGORICAL, NUMERIC, Vocabulary, vocabulary_of
from mlops_course.data.quality import validate_flights
from mlops_course.data.stream import WEEK, Week
from mlops_course.drift import calm_weeks
from mlops_course.pipeline import stages
from mlops_course.pipeline.production import MIN_WEEK_ROWS, looked_at
from mlops_course.pipeline.scenarios import SCENARIOS, RunConfig, Scenario
from mlops_course.retraining.matrix import Truth

DAY = timedelta(days=1)
DAYS = 7


@dataclass(frozen=True, eq=False)
class Inputs:
    """The features of a week's flights, ready to be encoded for any model.

    Attributes
    ----------
    numbers
        The numeric features, shape (flights, 11).
    codes
        The categories by their places in ``names``, shape (flights, 3).
    names
        The categories of each categorical feature.
    """

    numbers: np.ndarray
    codes: np.ndarray
    names: Vocabulary

    def encoded(self, vocabulary: Vocabulary) -> np.ndarray:
        """Return what `features.encode` returns for the same flights, by looking codes up."""
        matrix = np.empty((len(self.numbers), len(NUMERIC) + len(CATEGORICAL)))
        matrix[:, : len(NUMERIC)] = self.numbers
        for place, name in enumerate(CATEGORICAL):
            known = {value: float(code) for code, value in enumerate(vocabulary[name])}
            codes = np.array([known.get(value, np.nan) for value in self.names[name]])
            matrix[:, len(NUMERIC) + place] = codes[self.codes[:, place]]
        return matrix


@dataclass(frozen=True, eq=False)
class World:
    """A scenario in memory.

    Attributes
    ----------
    earlier
        Flights before production: those of the first training, and its exam's.
    weeks
        The weeks of production.
    reference
        What the first week is compared with for drift.
    """

    scenario: Scenario
    seed: int | None
    earlier: tuple[pd.DataFrame, ...] = field(repr=False)
    weeks: tuple[Week, ...] = field(repr=False)
    reference: calm_weeks.Reference = field(repr=False)

    def struck(self, number: int) -> Hashable:
        """Return what strikes in a week, empty for nothing; equal where equal things do."""
        return _struck(self.scenario, number)

    def inputs_struck(self, number: int) -> Hashable:
        """Return the same of what changes the inputs."""
        return _struck(self.scenario, number, inputs_alone=True)

    def incident(self, number: int) -> str:
        """Return the names of what strikes in a week, empty for nothing."""
        return ", ".join(dict.fromkeys(name for name, _ in _struck(self.scenario, number)))


def open_worlds(
    workspace: Workspace,
    names: Sequence[str],
    seed: int | None,
    weeks: int | None = None,
    shuffle: int | None = None,
) -> dict[str, World]:
    """Return worlds by the names of their scenarios; equal weeks of theirs are one object.

    Parameters
    ----------
    seed
        Draws the days anew; None takes them as they were.
    weeks
        Weeks of production; None takes each scenario's own number.
    shuffle
        Puts the year's days into another order; None leaves them in their own.
    """
    found = {}
    shared: dict[Hashable, Week] = {}
    before: dict[date, tuple[pd.DataFrame, ...]] = {}
    for name in names:
        config = RunConfig(name, weeks, seed)
        scenario = SCENARIOS[name]
        loaded = stages.load(workspace, config, shuffle).made
        made = []
        for number in range(1, config.planned_weeks + 1):
            key = (scenario.first, scenario.label_hours, number, _struck(scenario, number))
            if key not in shared:
                shared[key] = loaded.stream.week(number)
            made.append(shared[key])
        earlier = before.setdefault(scenario.first, (loaded.rows, loaded.held_out))
        found[name] = World(scenario, seed, earlier, tuple(made), loaded.reference)
    return found


def truths(world: World) -> Iterator[Truth]:
    """Yield what is true of each week, and which features its monitor would say have drifted."""
    reference = world.reference
    vocabulary = vocabulary_of(world.earlier[0])
    for week in world.weeks:
        seen = week.seen_at(looked_at(week))
        moved = calm_weeks.drift_scores(reference, seen)
        yield Truth(week.monday, world.incident(week.number), calm_weeks.drifted(moved))
        if validate_flights(seen, min_rows=MIN_WEEK_ROWS, vocabulary=vocabulary).passed:
            reference = reference.followed_by(seen)


def inputs_of(week: Week) -> Inputs:
    """Return the features of a week's flights."""
    flights = week.flights
    categories = [flights[name].astype("category") for name in CATEGORICAL]
    return Inputs(
        flights[list(NUMERIC)].to_numpy(dtype="float64"),
        np.column_stack([column.cat.codes.to_numpy() for column in categories]),
        {name: list(c.cat.categories) for name, c in zip(CATEGORICAL, categories, strict=True)},
    )


def _struck(
    scenario: Scenario, number: int, inputs_alone: bool = False
) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """Return each incident that hits a week, and the share of flights hit on each of its days."""
    monday = scenario.first + (number - 1) * WEEK
    found = []
    for strike in scenario.strikes:
        shares = tuple(strike.share_on(monday + place * DAY) for place in range(DAYS))
        if any(shares) and ("X" in strike.incident.changed or not inputs_alone):
            found.append((strike.incident.name, shares))
    return tuple(found)
