"""Whether a week's inputs have drifted: a verdict whose false alarms are counted beforehand.

A textbook test asks whether a week differs from the training rows by more than chance. Real weeks
always do: their rows share the same weather and the same storms. So weeks are compared with weeks,
and a week alarms if it is the strangest of all (`stats.conformal`): of N calm weeks and one more
like them, any is the strangest with the same chance, 1 / (N + 1). No labels are needed.

The seasons move, so the weather is compared with the weeks just before; the rest with calm weeks
that stay the same. The promise is for a week of the same season as its reference weeks, and seasons
and timetables do move: of the 39 real weeks from April, with nothing broken, 6 alarm on the
weather, where 3 would by chance alone, and Christmas on the rest. Against the winter's weather, 24
do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np
import pandas as pd

from mlops_course.core.errors import ParameterError
from mlops_course.data.features import CATEGORICAL, FEATURES, WEATHER
from mlops_course.drift.profiles import Counts, Kind, Profile, profile, table, thinned
from mlops_course.stats.conformal import (
    false_alarm_range,
    false_alarm_rate,
    newest_scores,
    nonconformity,
)
from mlops_course.stats.distances import kolmogorov_smirnov, leave_one_out, total_variation

KINDS = {name: Kind.CATEGORY if name in CATEGORICAL else Kind.NUMBER for name in FEATURES}
STEADY = tuple(name for name in FEATURES if name not in WEATHER)
ROLLING_WEEKS = 12
MIN_WEEKS = 9  # a week like the others then alarms one time in ten
FULL_WEEK = 0.8  # of the rows of the smallest reference week
WEEKS_A_YEAR = 52
FAR = 3.0  # times as far out as any other reference week
MEASURES = {
    Kind.NUMBER: "Kolmogorov-Smirnov",
    Kind.DATE: "Kolmogorov-Smirnov",
    Kind.CATEGORY: "total variation",
}
MISSING = "share missing"


@dataclass(frozen=True)
class Group:
    """Some features, and the weeks with which a new one is compared in them: one verdict.

    Attributes
    ----------
    kinds
        The features, and how each is compared.
    weeks
        The reference weeks, oldest first.
    """

    kinds: Mapping[str, Kind]
    weeks: tuple[Profile, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.kinds)

    @property
    def promise(self) -> float | None:
        """The chance that a week like the reference weeks alarms; None if they are too few."""
        return false_alarm_rate(len(self.weeks)) if len(self.weeks) >= MIN_WEEKS else None


@dataclass(frozen=True)
class Moved:
    """How far one feature of a week lies from the reference weeks.

    Attributes
    ----------
    measure
        What the distance is: that of the values for the feature's kind (`MEASURES`), or the change
        of the share of missing values where that is larger.
    distance
        From 0 for no change to 1.
    score
        Above 1 the feature has drifted; NaN where there is no verdict.
    missing
        The share of the week's rows without a value.
    """

    name: str
    measure: str
    distance: float
    score: float
    missing: float

    @property
    def drifted(self) -> bool:
        """Whether the verdict is that it has."""
        return self.score > 1


def judge(group: Group, week: Profile, *, verdict: bool = True) -> tuple[Moved, ...]:
    """Compare a week with the reference weeks of a group, in the order of its features.

    Some feature's score is above 1 just if the week is the strangest of all, which happens to one
    that is like the others no more often than `Group.promise` says. A group with too few weeks has
    distances and no scores; without a week, or for a week without rows, there is nothing to say.
    A week of which little was seen is compared with equally small samples of the others: few rows
    lie further off by chance. That helps if what was seen is spread over the week.

    A week equal to one of the reference weeks never alarms: it is no stranger than its equal. Ties
    within a column do no harm either, as they do to a p-value of Kolmogorov and Smirnov, which is
    too large then: the distance is the same, and what is far is told by other weeks.

    Parameters
    ----------
    verdict
        Whether scores are wanted, too.
    """
    if not group.weeks or not week.rows:
        return ()
    judged = verdict and group.promise is not None
    found = _distances(group, week, alike=judged)
    of_values = np.column_stack([values for values, _ in found])
    of_missing = np.column_stack([missing for _, missing in found])
    apart = np.fmax(of_values, of_missing)
    scores = newest_scores(apart) if judged else np.full(len(found), np.nan)
    return tuple(
        Moved(
            name,
            MISSING if not of_values[-1, place] >= of_missing[-1, place] else MEASURES[kind],
            float(apart[-1, place]),
            float(scores[place]),
            week.columns[name].missing / week.rows,
        )
        for place, (name, kind) in enumerate(group.kinds.items())
    )


@dataclass(frozen=True)
class FarOut:
    """A reference week that lies far out, so that only a week stranger than it alarms.

    Attributes
    ----------
    place
        Which of the group's weeks, counted from 0.
    name
        The feature.
    times
        How many times as far out it lies as any other reference week (`nonconformity`).
    """

    place: int
    name: str
    times: float


def far_out(group: Group, week: Profile) -> FarOut | None:
    """Return the reference week that sets the bar for a week, if it lies far out by itself.

    One week that lies fully apart in one feature makes the verdict blind in all of them: the next
    ones must be as strange. Such a week is more than `FAR` times as far out in a feature as any
    other reference week. Two times would be said of most: of the 39 real weeks from April, each
    against the 12 before, 26 are calm with such a week among those, and 10 with one beyond three
    times: the blizzard's, or one of two with little sight.
    """
    if group.promise is None or not week.rows:
        return None
    found = _distances(group, week, alike=True)
    apart = np.column_stack([np.fmax(values, missing) for values, missing in found])
    ratios = nonconformity(apart[:-1])
    place, column = np.unravel_index(ratios.argmax(), ratios.shape)
    times = float(ratios[place, column])
    return FarOut(int(place), group.features[column], times) if times > FAR else None


@dataclass(frozen=True)
class Reference:
    """What later weeks are compared with.

    Attributes
    ----------
    rolling
        The weather, and the weeks just before.
    fixed
        The other features, and calm weeks of training.
    left_out
        The Mondays of weeks that were kept out of both, and their cause.
    """

    rolling: Group
    fixed: Group
    left_out: Mapping[date, str] = field(default_factory=dict)

    @property
    def promise(self) -> float:
        """The largest chance that a week like the reference weeks alarms, in either verdict.

        It is the sum of both (Boole's inequality), and 0 where there is no verdict.
        """
        return sum(group.promise or 0.0 for group in (self.rolling, self.fixed))

    @property
    def false_alarms_a_year(self) -> float:
        """How often a year calm weeks alarm on average, at one look a week."""
        return WEEKS_A_YEAR * self.promise

    def followed_by(self, flights: pd.DataFrame) -> "Reference":
        """Return the reference for the week after these flights: the oldest weather goes.

        A week that alarmed enters like any other. Only so does the promise hold: weeks from which
        every strange one is left out are more alike than real ones (the year's weeks in random
        order then alarm 16% of the time instead of 8%), and they lag behind the season (of the 39
        real weeks from April, 23 alarm instead of 6). The price: a fault in the weather feed that
        stays is told when it begins, and within two weeks it is the new normal. While one is known
        and not repaired, keep the reference as it is, and it is told each week.

        A week of which little was seen is not like the others and does not enter.
        """
        weeks = self.rolling.weeks
        if flights.empty or _is_small(len(flights), weeks):
            return self
        weeks = (*weeks, profile(flights, self.rolling.kinds))[-ROLLING_WEEKS:]
        return replace(self, rolling=replace(self.rolling, weeks=weeks))


def fit_reference(
    calm: pd.DataFrame,
    before: pd.DataFrame | None = None,
    left_out: Mapping[date, str] | None = None,
) -> Reference:
    """Keep the whole weeks of calm flights, and of the flights just before production starts.

    They must be the weeks as they were. Weeks put together from days of several ones are more alike
    than real weeks: against such, 25 of the 39 weeks from April alarm on the rest on average (40
    draws); against the real ones, one.

    Parameters
    ----------
    calm
        Flights of weeks in which nothing was broken.
    before
        Flights before the first week that will be judged, for the weather; None takes ``calm``.
        The last `ROLLING_WEEKS` whole weeks count.
    left_out
        Mondays of weeks that are not to be compared with, and their known cause. That finds
        smaller changes, welcome or not: without the week of February's blizzard, a weekday wrong by
        half a standard deviation is found in each calm week held out (with it, in 1 of those 11);
        and the summer's timetable counts as drift in 36 of the 39 weeks from April (with it, in 1).

    Raises
    ------
    ParameterError
        If a day in ``left_out`` is not the Monday of a whole week.
    """
    causes = left_out or {}
    kinds_steady = {name: KINDS[name] for name in STEADY}
    kinds_weather = {name: KINDS[name] for name in WEATHER}
    steady = _whole_weeks(calm, kinds_steady)
    recent = _whole_weeks(calm if before is None else before, kinds_weather)
    if wrong := [str(day) for day in causes if day not in {*steady, *recent}]:
        raise ParameterError(
            f"There is no whole week from {' or '.join(wrong)} to leave out.",
            "A week is named by its Monday, and has flights on all seven days.",
            "Give the Monday before, such as date(2013, 2, 4).",
        )
    rolling = [week for monday, week in recent.items() if monday not in causes]
    fixed = [week for monday, week in steady.items() if monday not in causes]
    return Reference(
        Group(kinds_weather, tuple(rolling[-ROLLING_WEEKS:])),
        Group(kinds_steady, tuple(fixed)),
        causes,
    )


def drift_scores(reference: Reference, flights: pd.DataFrame) -> dict[str, float]:
    """Return how strange the week is in each feature: it has drifted in those above 1.

    A score is the week's strangeness over that of the strangest reference week, scored alike
    (`judge`). Features of a group with too few weeks have no score, and a week without flights has
    none at all.
    """
    moved = _judged(reference, flights)
    return {one.name: one.score for one in moved if not np.isnan(one.score)}


def drift_distances(reference: Reference, flights: pd.DataFrame) -> dict[str, float]:
    """Return how far the week is from the reference weeks in each feature, without a verdict.

    The distance is the Kolmogorov-Smirnov statistic for numbers and the total variation distance
    for categories, or the change of the share of missing values where that is larger: from 0 for
    no change to 1. How far is far, only other weeks can tell. Features without a reference week
    have no distance, and a week without flights has none at all.
    """
    return {one.name: one.distance for one in _judged(reference, flights)}


def drifted(scores: Mapping[str, float]) -> tuple[str, ...]:
    """Return the features whose score is above 1, most drifted first."""
    return tuple(sorted((name for name in scores if scores[name] > 1), key=lambda n: -scores[n]))


def promise_in_words(reference: Reference) -> str:
    """Return what the two verdicts promise, a line each and one for both together.

    They promise it for weeks of the season of the reference weeks. Measured from April to December
    2013, as the season moved and nothing was broken: 6 of 39 weeks alarmed on the weather, where
    the promise is 3, and 1 on the rest.
    """
    rolling = reference.rolling
    fixed = reference.fixed
    lines = [
        f"The weather, against the {len(rolling.weeks)} weeks before: {_promise_of(rolling)}.",
        f"The rest, against {len(fixed.weeks)} weeks that stay: {_promise_of(fixed)}.",
    ]
    if fixed.promise is not None:
        low, high = false_alarm_range(len(fixed.weeks), WEEKS_A_YEAR)
        lines[1] += f" With the luck of these weeks: {low} to {high} in nine years of ten."
    if rolling.promise and fixed.promise:
        lines.append(
            f"In either of the two: at most {reference.promise:.1%} of such weeks, "
            f"{reference.false_alarms_a_year:.0f} a year."
        )
    for monday, cause in reference.left_out.items():
        lines.append(f"Left out: the week of {monday.day} {monday:%B} ({cause}).")
    return "\n".join(lines)


def _promise_of(group: Group) -> str:
    if group.promise is None:
        return f"distances without a verdict, which takes {MIN_WEEKS} weeks"
    count = len(group.weeks) + 1
    return (
        f"a week of the same season as those, looked at once, alarms with a chance of 1 in {count} "
        f"({group.promise:.1%}), {WEEKS_A_YEAR * group.promise:.0f} times a year on average"
    )


def _judged(reference: Reference, flights: pd.DataFrame) -> list[Moved]:
    """Return what both groups say of a week."""
    found: list[Moved] = []
    for group in (reference.rolling, reference.fixed):
        if group.weeks:
            found.extend(judge(group, profile(flights, group.kinds)))
    return found


def _whole_weeks(flights: pd.DataFrame, kinds: Mapping[str, Kind]) -> dict[date, Profile]:
    """Return the weeks from Monday to Sunday that have flights on every day, by their Monday."""
    mondays = flights["date"] - pd.to_timedelta(flights["date"].dt.day_of_week, unit="D")
    return {
        monday.date(): profile(week, kinds)
        for monday, week in flights.groupby(mondays)
        if week["date"].nunique() == timedelta(weeks=1).days
    }


def _is_small(rows: int, weeks: Sequence[Profile]) -> bool:
    """Return whether so few rows are not comparable with the reference weeks as they are."""
    return rows < FULL_WEEK * min((week.rows for week in weeks), default=0)


def _distances(group: Group, newest: Profile, alike: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return how far each week is from all the others, the newest last.

    A pair for each feature: by its values, and by the share that is missing, shape (weeks + 1,).
    If the weeks are to be ``alike``, no more rows count of one than of a newest that is small.
    """
    small = alike and _is_small(newest.rows, group.weeks)
    found = []
    for name in group.features:
        column = [week.columns[name] for week in (*group.weeks, newest)]
        found.append(_apart(column, newest.rows if small else None))
    return found


def _apart(column: Sequence[Counts], rows: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return each week's distance from the others together, as it is or in so many rows."""
    counts = table(column)
    if rows is not None:
        counts = thinned(counts, rows)
    present = counts[:, 1:]
    distance = total_variation if column[0].kind is Kind.CATEGORY else kolmogorov_smirnov
    is_there = np.column_stack([counts[:, 0], present.sum(axis=1)])
    return leave_one_out(distance, present), leave_one_out(total_variation, is_there)
