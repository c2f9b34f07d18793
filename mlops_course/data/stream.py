"""What production receives and when: flights as a feed delivers them, labels that come later.

A `Stream` turns real flights into weeks of production. Incidents strike on a calendar and may
grow day by day; a flight's label arrives some time after it has landed, and never if it was
diverted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np
import pandas as pd

from mlops_course.core.errors import ParameterError
from mlops_course.data.features import CATEGORICAL
from mlops_course.data.flights import draw_days
from mlops_course.data.incidents import Incident

WEEK = timedelta(weeks=1)
LABEL_HOURS = 24.0
CRUISE_MILES_PER_HOUR = 480.0
GROUND_HOURS = 0.7
_STRIKES = 1  # keeps the draws of who is struck apart from the draws of days


@dataclass(frozen=True)
class Strike:
    """An incident on the calendar.

    Attributes
    ----------
    incident
        What strikes.
    first, last
        Its first and its last day; None for one that stays.
    severity
        The share of flights that it hits once it is fully there, from 0 to 1.
    onset_days
        Days over which that share grows evenly; 0 for one that is there at once.

    >>> from mlops_course.data.incidents import INCIDENTS
    >>> slow = Strike(INCIDENTS["clock"], date(2013, 9, 2), onset_days=3)
    >>> [slow.share_on(date(2013, 9, day)) for day in (1, 2, 3, 4, 5)]
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """

    incident: Incident
    first: date
    last: date | None = None
    severity: float = 1.0
    onset_days: int = 0

    def __post_init__(self) -> None:
        """Refuse a strike that cannot be."""
        ends = self.last is None or self.last >= self.first
        if not ends or not 0 < self.severity <= 1 or self.onset_days < 0:
            raise ParameterError(
                f"{self.incident.title} cannot strike like this: {self.first} to {self.last}, "
                f"severity {self.severity}, onset {self.onset_days} days.",
                "It ends after it began, severity is above 0 and at most 1, onset is 0 or more.",
                "Write for instance Strike(incident, date(2013, 9, 23), severity=0.5).",
            )

    def share_on(self, day: date) -> float:
        """Return the share of the day's flights that it hits."""
        if day < self.first or (self.last is not None and day > self.last):
            return 0.0
        grown = ((day - self.first).days + 1) / (self.onset_days + 1)
        return self.severity * min(grown, 1.0)

    def meets(self, first: date, last: date) -> bool:
        """Return whether it is there on any day of a stretch."""
        return self.first <= last and (self.last is None or self.last >= first)


@dataclass(frozen=True)
class Week:
    """Seven days of flights from a Monday, as they were received.

    Attributes
    ----------
    number
        Counts from 1, the first week of the stream.
    flights
        What `flights.load_flights` returns, changed by whatever struck, and ``label_at``: when
        the flight's label arrives, NaT for never.
    struck
        Whether an incident hit any of it: the truth, which no monitor sees.
    unharmed
        The same flights, in the same order, as they were before it hit; None where none did, or
        only what happened to the flights themselves.
    blind
        Whether nobody watched on a day of it.
    """

    number: int
    monday: date
    flights: pd.DataFrame
    struck: bool
    unharmed: pd.DataFrame | None = None
    blind: bool = False

    def seen_at(self, moment: date) -> pd.DataFrame:
        """Return the flights as they look at the beginning of a day.

        Labels that have not arrived by then are missing.
        """
        arrived = self.flights["label_at"] < pd.Timestamp(moment)
        seen = self.flights.drop(columns="label_at")
        late, delay = (seen[name].where(arrived) for name in ("late", "arr_delay"))
        return seen.assign(late=late, arr_delay=delay)


@dataclass(frozen=True)
class Stream:
    """Weeks of production, made from real flights.

    Attributes
    ----------
    flights
        What `flights.load_flights` returns for the whole period, and with a seed for the week
        before and the week after it, whose days may be drawn, too.
    first
        The Monday on which production starts.
    strikes
        The incidents on the calendar; where two overlap they apply in this order.
    seed
        Draws each week anew by whole days (`flights.draw_days`); None takes the weeks as they
        were.
    label_hours
        How long after landing a label arrives.
    """

    flights: pd.DataFrame = field(repr=False)
    first: date
    strikes: Sequence[Strike] = ()
    seed: int | None = None
    label_hours: float = LABEL_HOURS

    def weeks(self, count: int) -> Iterator[Week]:
        """Yield the first ``count`` weeks, in order."""
        for number in range(1, count + 1):
            yield self.week(number)

    def week(self, number: int) -> Week:
        """Return one week, counted from 1; the same for the same stream."""
        monday = self.first + (number - 1) * WEEK
        sunday = monday + WEEK - timedelta(days=1)
        if self.seed is None:
            rows = self.flights[self.flights["date"].between(str(monday), str(sunday))]
        else:
            rows = draw_days(self.flights, self.seed, monday, sunday)
        rows = rows.assign(label_at=self._label_times(rows))
        generator = np.random.default_rng((self.seed or 0, number, _STRIKES))
        in_the_world = [strike for strike in self.strikes if strike.incident.world]
        others = [one for one in self.strikes if not (one.incident.world or one.incident.release)]
        rows, changed = _struck(in_the_world, rows, generator)
        unharmed = rows.drop(columns="label_at")
        rows, harmed = _struck(others, rows, generator)
        before = unharmed if harmed else None
        blind = any(strike.incident.blinds and strike.meets(monday, sunday) for strike in others)
        return Week(number, monday, rows, changed or harmed, before, blind)

    def releases(self, number: int) -> tuple[str, ...]:
        """Return what colleagues make champion in a week: names of `training.bad_releases`.

        Such an incident changes no flight, so that no week is struck by it.
        """
        monday = self.first + (number - 1) * WEEK
        return tuple(
            strike.incident.release
            for strike in self.strikes
            if strike.incident.release and monday <= strike.first < monday + WEEK
        )

    def broken_feeds(self, first: date, last: date) -> tuple[Strike, ...]:
        """Return the strikes whose owner could repair a feed, there on all days of a stretch."""
        return tuple(
            strike
            for strike in self.strikes
            if strike.incident.repairable
            and strike.first <= first
            and (strike.last is None or strike.last >= last)
        )

    def repaired(self, strikes: Sequence[Strike], day: date) -> "Stream":
        """Return the same stream without some of its strikes from a day on."""
        eve = day - timedelta(days=1)
        ending = [replace(it, last=eve) if it in strikes else it for it in self.strikes]
        return replace(self, strikes=tuple(ending))

    def _label_times(self, rows: pd.DataFrame) -> pd.Series:
        """Return when each label arrives: so long after the landing, for a usual speed in the air.

        It goes by the flights as they were: a fault in the feed lands no aircraft later.
        """
        under_way = rows["distance"] / CRUISE_MILES_PER_HOUR + GROUND_HOURS
        hours = rows["hour"] + rows["dep_delay"].fillna(0) / 60 + under_way + self.label_hours
        times = rows["date"] + pd.to_timedelta(hours, unit="h")
        return times.where(rows["late"].notna())


def _hit(strike: Strike, rows: pd.DataFrame, generator: np.random.Generator) -> np.ndarray:
    """Return which rows a strike hits, boolean, shape (rows,)."""
    shares = {day: strike.share_on(day.date()) for day in rows["date"].unique()}
    chance = rows["date"].map(shares).to_numpy(dtype="float64")
    return generator.random(len(rows)) < chance


def _struck(
    strikes: Sequence[Strike], rows: pd.DataFrame, generator: np.random.Generator
) -> tuple[pd.DataFrame, bool]:
    """Return the rows after some strikes, one after the other, and whether any was hit."""
    struck = False
    for strike in strikes:
        hit = _hit(strike, rows, generator)
        struck = struck or bool(hit.any())
        late = hit.astype(int) * pd.Timedelta(days=strike.incident.label_days)
        rows = _changed(strike.incident, rows.assign(label_at=rows["label_at"] + late), hit)
    return rows, struck


def _changed(incident: Incident, rows: pd.DataFrame, hit: np.ndarray) -> pd.DataFrame:
    """Return the rows with the incident applied to those that are hit, in order of date.

    Unless it happens to the world, they are as many as before, in the same order.
    """
    if hit.all():
        return incident.apply(rows)
    if not hit.any():
        return rows
    joined = _joined(rows[~hit], incident.apply(rows[hit]))
    if incident.world:
        return joined.sort_values("date", kind="stable")
    order = np.concatenate([np.flatnonzero(~hit), np.flatnonzero(hit)])
    return joined.iloc[np.argsort(order)]


def _joined(calm: pd.DataFrame, changed: pd.DataFrame) -> pd.DataFrame:
    """Return both one after the other; names that only one of them knows stay categories."""
    joined = pd.concat([calm, changed])
    names = [name for name in CATEGORICAL if joined[name].dtype != "category"]
    return joined.astype(dict.fromkeys(names, "category"))
