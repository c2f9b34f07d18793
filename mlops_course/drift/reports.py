"""Two tables in, one report out: has the window drifted from the reference, and what else is odd?

The tables may be anybody's. If their rows have days, the reference is cut into calm periods like
the window, and the verdict of `drift.calm_weeks` says whether the window is the strangest of all;
if not, or if there are too few, distances are given without a verdict. What no distance tells is a
finding: a sentence about missing values, columns, types and days.

The verdict is one, on all columns, and a window like N calm periods alarms with a chance of 1 in N
+ 1. Seasons are not like each other: of the 39 real weeks from April, with nothing broken, 11 alarm
against January to March (ten of them for the temperature), and 5 against the 12 weeks before.

Of 1,000 flights of a calm week, against the other eleven, it finds a departure delay, distance or
hour that is half a standard deviation too large, and the temperature in Celsius, each time (60 of
60), the hour in another time zone 58 times, a lost half of an airport 46 to 49 times, a weekday off
by half a deviation 10 times, and such a temperature no more often than none. Of 200 flights it
finds the time zone 17 times, Celsius each time (``bench --statistics``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from mlops_course.core.errors import DataError
from mlops_course.data.periods import NO_PERIOD, Days, Periods, calm_periods
from mlops_course.data.tables import days_of, named
from mlops_course.drift.calm_weeks import Group, Moved, far_out, judge
from mlops_course.drift.findings import (
    Dated,
    causes,
    of_columns,
    of_contracts,
    of_values,
    of_zones,
)
from mlops_course.drift.profiles import Kind, Profile, kind_of, profile

MIN_ROWS = 100


@dataclass(frozen=True)
class Bar:
    """A calm period that lies so far out that a window must be stranger still to alarm.

    Attributes
    ----------
    days
        The period's.
    feature
        The column in which it lies out.
    times
        How many times as far as any other calm period.
    """

    days: Days
    feature: str
    times: float


@dataclass(frozen=True)
class Report:
    """What comparing a window with a reference has shown.

    Attributes
    ----------
    alarm
        Whether the window is the strangest of all periods; None if that cannot be judged.
    rows
        The window's.
    periods
        How many calm periods like the window the reference holds.
    period_days
        How long each is; 0 if the rows have no days.
    features
        The most drifted first.
    findings
        Sentences about the data, and after an alarm about what may have caused it.
    bar
        What a calm window did not pass, if one calm period stands far out (`calm_weeks.far_out`).
        Leave its days out if their cause is known.
    """

    alarm: bool | None
    rows: int
    periods: int
    period_days: int
    features: tuple[Moved, ...]
    findings: tuple[str, ...]
    bar: Bar | None = None

    @property
    def at_most(self) -> float | None:
        """The chance that a window like the calm periods alarms, at one look; None without verdict.

        It is a promise about windows drawn as the calm periods were, and about one of them.
        """
        return None if self.alarm is None else 1 / (self.periods + 1)


def compare(
    reference: pd.DataFrame,
    window: pd.DataFrame,
    time: str | None = None,
    *,
    days: Days | None = None,
    without: Sequence[Days] = (),
) -> Report:
    """Compare a window with a reference in all columns that both have.

    Parameters
    ----------
    reference
        Rows of calm times; a verdict takes `MIN_WEEKS` whole weeks of them.
    window
        The rows to judge; a verdict takes `MIN_ROWS`.
    time
        The column that says when a row was; it is not compared itself.
    days
        The days that the window covers; by default from its first row's to its last row's.
    without
        Days of the reference that are not to be compared with, for a known cause. The promise is
        then for windows that would not have been left out either.

    Raises
    ------
    DataError
        If there is nothing to compare: no rows, no column in both, a column that is there twice.
    ParameterError
        If ``time`` is no column of times.
    """
    names = _shared(reference, window, time)
    findings = [*of_columns(reference, window, time)]
    kinds = {name: _kind(reference[name], window[name]) for name in names}
    if time is None:
        periods = Periods(np.full(len(reference), NO_PERIOD), (), ())
    else:
        dated = _dated(reference, window, time, days)
        reference = dated.reference
        window = dated.window
        periods = calm_periods(dated.calm_days, dated.when, dated.seen_days, without)
        findings += [*dated.findings, *periods.findings]
    group = Group(kinds, _profiles(reference, periods, kinds))
    seen = profile(window, kinds)
    judged = judge(group, seen, verdict=seen.rows >= MIN_ROWS)
    moved = tuple(sorted(judged, key=_how_far, reverse=True))
    is_judged = bool(moved) and not np.isnan(moved[0].score)
    alarm = any(one.drifted for one in moved) if is_judged else None
    findings += of_values(group, seen, MIN_ROWS)
    findings += of_contracts(kinds, reference, window)
    if alarm:
        findings += causes(moved, group, dated, periods.code != NO_PERIOD)
    length = dated.when.count if time is not None else 0
    bar = _bar(group, seen, periods, length) if alarm is False else None
    return Report(alarm, seen.rows, len(periods.starts), length, moved, tuple(findings), bar)


def as_record(report: Report) -> dict[str, Any]:
    """Return a report as one plain record; what is not known is None."""
    return {
        "alarm": report.alarm,
        "rows": report.rows,
        "calm_weeks": report.periods,
        "at_most": report.at_most,
        "bar": _bar_record(report.bar),
        "features": [
            {
                "name": one.name,
                "measure": one.measure,
                "distance": one.distance,
                "score": None if np.isnan(one.score) else one.score,
                "missing": one.missing,
                "drifted": one.drifted,
            }
            for one in report.features
        ],
        "findings": list(report.findings),
    }


def _bar_record(bar: Bar | None) -> dict[str, Any] | None:
    if bar is None:
        return None
    return {
        "first": bar.days.first.isoformat(),
        "last": bar.days.last.isoformat(),
        "feature": bar.feature,
        "times": bar.times,
    }


def _bar(group: Group, seen: Profile, periods: Periods, length: int) -> Bar | None:
    """Return the calm period of so many days that sets the bar, if one stands far out."""
    found = far_out(group, seen)
    if found is None:
        return None
    first = periods.starts[found.place]
    return Bar(Days(first, first + timedelta(days=length - 1)), found.name, found.times)


def _how_far(one: Moved) -> tuple[float, float]:
    return (one.distance if np.isnan(one.score) else one.score), one.distance


def _dated(reference: pd.DataFrame, window: pd.DataFrame, time: str, days: Days | None) -> Dated:
    calm_days, said = days_of(reference, time, "reference")
    seen_days, also_said = days_of(window, time, "window")
    known = ~np.isnat(calm_days)
    also_known = ~np.isnat(seen_days)
    calm = calm_days[known]
    seen = seen_days[also_known]
    when = days or Days(seen.min().item(), seen.max().item())
    zones = of_zones(reference[time], window[time])
    findings = (*said, *also_said, *zones)
    return Dated(reference[known], window[also_known], calm, seen, when, findings)


def _shared(reference: pd.DataFrame, window: pd.DataFrame, time: str | None) -> list[str]:
    for which, frame in (("reference", reference), ("window", window)):
        if twice := sorted({str(name) for name in frame.columns[frame.columns.duplicated()]}):
            raise DataError(
                f"The {which} has {named(twice)} more than once.",
                "A column is found by its name.",
                "Rename one of them, or leave it out.",
            )
        if frame.empty:
            raise DataError(
                f"The {which} has no rows.",
                "There is nothing to compare, and a feed that is silent is no calm one.",
                "Look at where the rows come from, or choose other days.",
            )
    names = [name for name in reference.columns if name in window.columns and name != time]
    if not names:
        raise DataError(
            "The reference and the window have no column in common to compare.",
            f"The reference has {named(reference.columns)}, the window {named(window.columns)}.",
            "Give two tables with the same columns, each with its names in the first line.",
        )
    return names


def _kind(reference: pd.Series, window: pd.Series) -> Kind:
    """Return how a column is compared: as in the reference, unless it holds no value there."""
    return kind_of(reference) or kind_of(window) or Kind.NUMBER


def _profiles(
    reference: pd.DataFrame, periods: Periods, kinds: Mapping[str, Kind]
) -> tuple[Profile, ...]:
    """Return the calm periods; if there are none, the whole reference as one."""
    if not periods.starts:
        return (profile(reference, kinds),)
    inside = periods.code != NO_PERIOD
    grouped = reference[inside].groupby(periods.code[inside])
    return tuple(profile(rows, kinds) for _, rows in grouped)
