"""Every model that could have been trained, on every later week: a table to try policies on.

Training takes most of the time that a policy takes. So each model is trained once, at the end of
each week on each window of the past, and what it would have called late of all later flights is
kept, one bit a flight. A policy then is a walk through this table (`trials`), and what would have
been best can be found in hindsight (`oracle`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd

from mlops_course.core.errors import ParameterError
from mlops_course.pipeline.policies import QUARTER, Window

# All history is a sample of it, as many flights as a quarter has. On the four weeks after each of
# 12 Sundays from April to December 2013 that called .04 points fewer right than all of it (standard
# error .02), where a quarter called .19 fewer (.07).
ALL_HISTORY = Window(flights=80_000)
WEIGHTED = Window(half_life=8)
LAST_QUARTER = Window(QUARTER)
LAST_MONTH = Window(4)
LAST_FORTNIGHT = Window(2)
WINDOWS = (ALL_HISTORY, WEIGHTED, LAST_QUARTER, LAST_MONTH, LAST_FORTNIGHT)


@dataclass(frozen=True)
class Truth:
    """What is true of a week, whatever model serves.

    Attributes
    ----------
    monday
        Its first day.
    incident
        What struck it, empty for nothing; no monitor sees that.
    drifted
        The features that were stranger than in each reference week.
    """

    monday: date
    incident: str
    drifted: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Stretch:
    """The weeks of production of a world.

    Attributes
    ----------
    scenario, seed, shuffle
        The world: a key of `scenarios.SCENARIOS`, what drew its days, and what ordered them.
    truths
        One for each week, in order.
    flights
        One row a flight, in order of weeks: ``date``, ``late`` as it was known when the week was
        looked at, ``dep_delay``, ``origin``, ``carrier``.
    starts
        The number of each week's first flight, and the number of all flights; shape (weeks + 1,).
    """

    scenario: str
    seed: int | None
    shuffle: int | None
    truths: tuple[Truth, ...]
    flights: pd.DataFrame = field(repr=False)
    starts: np.ndarray = field(repr=False)

    @property
    def weeks(self) -> int:
        """How many weeks there are."""
        return len(self.truths)

    def inside(self, week: int) -> slice:
        """Return which flights are a week's; weeks count from 1."""
        return slice(int(self.starts[week - 1]), int(self.starts[week]))

    @cached_property
    def days(self) -> np.ndarray:
        """The days that have flights, in order; shape (days,)."""
        return self.flights["date"].unique().to_numpy()

    @cached_property
    def week_of_day(self) -> np.ndarray:
        """The week of each day, from 1; shape (days,)."""
        return np.searchsorted(self.starts, self._first_of_day, side="right")

    @cached_property
    def labelled(self) -> np.ndarray:
        """How many flights of each day have a label; shape (days,)."""
        return self.by_day(self.flights["late"].notna().to_numpy())

    def by_day(self, signs: np.ndarray) -> np.ndarray:
        """Return how many flights of each day have a sign, of shape (flights,)."""
        return np.add.reduceat(signs.astype("int64"), self._first_of_day)

    def by_week(self, by_day: np.ndarray) -> np.ndarray:
        """Return the sums over each week's days; the last axis is that of days."""
        weeks = range(1, self.weeks + 1)
        sums = [by_day[..., self.week_of_day == week].sum(axis=-1) for week in weeks]
        return np.stack(sums, axis=-1)

    @cached_property
    def _first_of_day(self) -> np.ndarray:
        return self.flights["date"].to_numpy().searchsorted(self.days)


@dataclass(frozen=True)
class Trained:
    """A model of the table.

    Attributes
    ----------
    after
        The week after which it was trained, from 1; 0 for the first model, of winter.
    window
        What it was trained on; None for the first.
    rows
        Of how many labelled flights it learned.
    regimes
        What was broken in the weeks it learned from: names of incidents, empty for nothing.
    fault
        Why there is no such model, as a sentence; empty if there is.
    """

    after: int
    window: Window | None
    rows: int
    regimes: frozenset[str]
    fault: str = ""


@dataclass(frozen=True, eq=False)
class Part:
    """Some models, and what they say.

    Attributes
    ----------
    models
        In the order of their trainings.
    calls
        What each calls late of each flight after its training, packed eight to a byte; shape
        (models, ceil(flights / 8)).
    confidence
        The mean confidence of each in its calls of each week, NaN up to its training; shape
        (models, weeks).
    """

    models: tuple[Trained, ...]
    calls: np.ndarray = field(repr=False)
    confidence: np.ndarray = field(repr=False)


@dataclass(frozen=True, eq=False)
class Matrix:
    """The models of a world by its weeks: the first model, and then the others.

    Attributes
    ----------
    stretch
        The weeks.
    models, calls, confidence
        As a `Part` has them.
    """

    stretch: Stretch
    models: tuple[Trained, ...] = field(repr=False)
    calls: np.ndarray = field(repr=False)
    confidence: np.ndarray = field(repr=False)

    @property
    def windows(self) -> tuple[Window, ...]:
        """The windows that its models were trained on."""
        return tuple(dict.fromkeys(model.window for model in self.models if model.window))

    def find(self, after: int, window: Window) -> int:
        """Return the number of the model that was trained after a week on a window.

        Raises
        ------
        ParameterError
            If the table has none.
        """
        if (number := self._places.get((after, window))) is not None:
            return number
        known = "; ".join(map(str, self.windows)) or "none"
        raise ParameterError(
            f"The table has no model trained after week {after} on {window}.",
            f"It has models trained after weeks 1 to {self.stretch.weeks - 1} on: {known}.",
            "Build it with that window, too.",
        )

    def called_late(self, model: int, week: int) -> np.ndarray:
        """Return which flights of a week a model calls late, boolean."""
        inside = self.stretch.inside(week)
        first = inside.start // 8
        bits = np.unpackbits(self.calls[model, first : inside.stop // 8 + 1])
        return bits[inside.start - 8 * first : inside.stop - 8 * first].astype(bool)

    @cached_property
    def right(self) -> np.ndarray:
        """How many labelled flights of each day each model calls right; shape (models, days).

        Zero on days before it was trained. Days are what counts as independent, so whatever is said
        of models can be said with its uncertainty (`stats.clustered`).
        """
        stretch = self.stretch
        known = stretch.flights["late"].notna().to_numpy()
        late = stretch.flights["late"].to_numpy() == 1
        found = np.zeros((len(self.models), len(stretch.days)), dtype="int64")
        for number, model in enumerate(self.models):
            calls = np.unpackbits(self.calls[number])[: len(late)].astype(bool)
            found[number] = stretch.by_day(known & (calls == late))
            found[number, stretch.week_of_day <= model.after] = 0
        return found

    @cached_property
    def wrong(self) -> np.ndarray:
        """How many labelled flights of each week each model calls wrong; shape (models, weeks).

        Infinite up to its training, and where there is no such model.
        """
        found = self.stretch.by_week(self.stretch.labelled - self.right).astype("float64")
        weeks = np.arange(1, self.stretch.weeks + 1)
        after = np.array([model.after for model in self.models])[:, None]
        missing = np.array([bool(model.fault) for model in self.models])[:, None]
        found[missing | (weeks <= after)] = np.inf
        return found

    @cached_property
    def _places(self) -> dict[tuple[int, Window | None], int]:
        keys = [(model.after, model.window) for model in self.models]
        return {key: number for number, key in enumerate(keys)}


def assembled(stretch: Stretch, parts: Sequence[Part]) -> Matrix:
    """Return the table that some parts make, the first of which holds the first model."""
    return Matrix(
        stretch,
        sum((part.models for part in parts), ()),
        np.concatenate([part.calls for part in parts]),
        np.concatenate([part.confidence for part in parts]),
    )
