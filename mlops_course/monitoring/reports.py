"""Two tables in, one report out: has the window drifted from the reference, and what else is odd?

The tables may be anybody's. If their rows have days, the reference is cut into calm periods like
the window, and the verdict of `monitoring.drift` says whether the window is the strangest of all;
if not, or if there are too few, distances are given without a verdict. What no distance tells is a
finding: a sentence about missing values, columns, types and days.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops_course.core.errors import DataError, ParameterError
from mlops_course.core.texts import short
from mlops_course.monitoring.causes import (
    MAX_SLICES,
    broken_contracts,
    change_day,
    learn_contracts,
    moved_value,
    worst_slice,
)
from mlops_course.monitoring.drift import Group, Moved, judge
from mlops_course.monitoring.periods import NO_PERIOD, Days, Periods, calm_periods
from mlops_course.monitoring.profiles import Counts, Kind, Profile, kind_of, profile

MIN_ROWS = 100
MISSING_MORE = 0.01
FEW_VALUES = 24  # so many at most, and a column of numbers makes slices
MAX_CAUSES = 3
MAX_CONTRACT_COLUMNS = 20
LETTERS = 60  # of a name or a value that a sentence quotes
_OFFSET = r"\s*(?:Z|[+-]\d\d:?\d\d)$"


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
    """

    alarm: bool | None
    rows: int
    periods: int
    period_days: int
    features: tuple[Moved, ...]
    findings: tuple[str, ...]

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
        Days of the reference that are not to be compared with.

    Raises
    ------
    DataError
        If there is nothing to compare: no rows, no column in both, a column that is there twice.
    ParameterError
        If ``time`` is no column of times.
    """
    names = _shared(reference, window, time)
    findings = [*_of_columns(reference, window, time)]
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
    moved = judge(group, seen, verdict=seen.rows >= MIN_ROWS)
    is_judged = bool(moved) and not np.isnan(moved[0].score)
    alarm = any(one.drifted for one in moved) if is_judged else None
    findings += _of_values(group, seen)
    if alarm:
        findings += _causes(moved, group, dated, periods.code != NO_PERIOD)
    return Report(
        alarm,
        seen.rows,
        len(periods.starts),
        dated.when.count if time is not None else 0,
        tuple(sorted(moved, key=_how_far, reverse=True)),
        tuple(findings),
    )


def as_record(report: Report) -> dict[str, Any]:
    """Return a report as one plain record; what is not known is None."""
    return {
        "alarm": report.alarm,
        "rows": report.rows,
        "calm_weeks": report.periods,
        "at_most": report.at_most,
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


def _how_far(one: Moved) -> tuple[float, float]:
    return (one.distance if np.isnan(one.score) else one.score), one.distance


# ---- columns and days


@dataclass(frozen=True)
class _Dated:
    """Both tables without the rows that have no day, the day of each row, and the window's days."""

    reference: pd.DataFrame
    window: pd.DataFrame
    calm_days: np.ndarray
    seen_days: np.ndarray
    when: Days
    findings: tuple[str, ...]


def _dated(reference: pd.DataFrame, window: pd.DataFrame, time: str, days: Days | None) -> _Dated:
    calm_days, said = _days_of(reference, time, "reference")
    seen_days, also_said = _days_of(window, time, "window")
    known = ~np.isnat(calm_days)
    also_known = ~np.isnat(seen_days)
    calm = calm_days[known]
    seen = seen_days[also_known]
    when = days or Days(seen.min().item(), seen.max().item())
    zones = _zones(reference[time], window[time])
    findings = (*said, *also_said, *zones)
    return _Dated(reference[known], window[also_known], calm, seen, when, findings)


def _shared(reference: pd.DataFrame, window: pd.DataFrame, time: str | None) -> list[str]:
    for which, frame in (("reference", reference), ("window", window)):
        if twice := sorted({str(name) for name in frame.columns[frame.columns.duplicated()]}):
            raise DataError(
                f"The {which} has {_named(twice)} more than once.",
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
            f"The reference has {_named(reference.columns)}, the window {_named(window.columns)}.",
            "Give two tables with the same columns, each with its names in the first line.",
        )
    return names


def _of_columns(reference: pd.DataFrame, window: pd.DataFrame, time: str | None) -> Iterator[str]:
    """Yield what is odd about which columns there are, and about their types."""
    gone = [name for name in reference.columns if name not in window.columns and name != time]
    new = [name for name in window.columns if name not in reference.columns and name != time]
    if gone:
        yield f"Only the reference has {_named(gone)}: not compared."
    if new:
        yield f"Only the window has {_named(new)}: not compared."
    for name in reference.columns:
        if name == time or name not in window.columns:
            continue
        before = kind_of(reference[name])
        after = kind_of(window[name])
        if before and after and before is not after:
            yield (
                f"{short(name, LETTERS)} holds {before} in the reference and {after} in the "
                f"window; compared as {before}."
            )


def _kind(reference: pd.Series, window: pd.Series) -> Kind:
    """Return how a column is compared: as in the reference, unless it holds no value there."""
    return kind_of(reference) or kind_of(window) or Kind.NUMBER


def _days_of(frame: pd.DataFrame, time: str, which: str) -> tuple[np.ndarray, list[str]]:
    """Return the day of each row, as its own clock has it; NaT where there is none."""
    if time not in frame.columns:
        raise ParameterError(
            f"The {which} has no column {short(time, LETTERS)}.",
            f"It has {_named(frame.columns)}.",
            "Name one that says when a row was.",
        )
    column = frame[time]
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_localize(None)
    elif pd.api.types.is_numeric_dtype(column.dtype):
        column = pd.Series(pd.NaT, column.index)  # numbers may count anything, from any day on
    elif not pd.api.types.is_datetime64_any_dtype(column.dtype):
        column = _on_their_clock(column.astype("str"))
    moments = column.to_numpy(dtype="datetime64[D]")
    unknown = int(np.isnat(moments).sum())
    if unknown == len(moments):
        example = short(frame[time].iloc[0], LETTERS)
        raise ParameterError(
            f"The column {short(time, LETTERS)} of the {which} holds no times, but {example}.",
            "A time is written as 2013-09-02, or as 2013-09-02T17:30:00.",
            "Name another column, or write its times like that.",
        )
    if not unknown:
        return moments, []
    said = f"{unknown:,} rows of the {which} have no time in {short(time, LETTERS)}: left out."
    return moments, [said]


def _on_their_clock(text: pd.Series) -> pd.Series:
    """Return written times without their time zones; NaT where there is no time."""
    try:
        times = pd.to_datetime(text, errors="coerce", format="ISO8601")
    except ValueError:  # of several zones, or only some have one
        times = None
    if times is None or isinstance(times.dtype, pd.DatetimeTZDtype):
        text = text.str.replace(_OFFSET, "", regex=True)
        times = pd.to_datetime(text, errors="coerce", format="ISO8601")
    return times


def _zones(reference: pd.Series, window: pd.Series) -> Iterator[str]:
    if _has_zone(reference) != _has_zone(window):
        with_one = "reference" if _has_zone(reference) else "window"
        yield (
            f"Only the times of the {with_one} have a time zone; days are taken as each clock "
            "has them."
        )


def _has_zone(column: pd.Series) -> bool:
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return isinstance(column.dtype, pd.DatetimeTZDtype)
    return bool(column.dropna().head(1).astype("str").str.contains(_OFFSET, regex=True).any())


def _profiles(
    reference: pd.DataFrame, periods: Periods, kinds: Mapping[str, Kind]
) -> tuple[Profile, ...]:
    """Return the calm periods; if there are none, the whole reference as one."""
    if not periods.starts:
        return (profile(reference, kinds),)
    inside = periods.code != NO_PERIOD
    grouped = reference[inside].groupby(periods.code[inside])
    return tuple(profile(rows, kinds) for _, rows in grouped)


# ---- findings


def _of_values(group: Group, seen: Profile) -> Iterator[str]:
    """Yield what is odd about the window's values."""
    if seen.rows < MIN_ROWS:
        yield f"The window has {seen.rows:,} rows; a verdict takes {MIN_ROWS}."
    for name, kind in group.kinds.items():
        yield from _of_missing(group, seen, name)
        here = seen.columns[name]
        known = np.concatenate([week.columns[name].values for week in group.weeks])
        quoted = short(name, LETTERS)
        if kind is Kind.CATEGORY:
            yield from _of_unseen(here, known, seen.rows, quoted)
        elif infinite := int(here.counts[np.isinf(here.values)].sum()):
            yield f"{quoted} is infinite in {infinite:,} rows of the window."
        if len(here.values) == 1 and len(set(known.tolist())) > 1:
            yield f"{quoted} has one value in all rows of the window: {short(here.values[0])}."


def _of_unseen(here: Counts, known: np.ndarray, rows: int, quoted: str) -> Iterator[str]:
    """Yield a sentence if the window holds categories that the reference does not."""
    familiar = set(known)
    fresh = np.array([value not in familiar for value in here.values], dtype=bool)
    if fresh.any():
        share = here.counts[fresh].sum() / rows
        example = short(here.values[fresh][here.counts[fresh].argmax()], LETTERS)
        yield (
            f"{quoted}: {share:.1%} of the rows have one of {fresh.sum():,} values never seen in "
            f"the reference, as {example}."
        )


def _of_missing(group: Group, seen: Profile, name: str) -> Iterator[str]:
    """Yield a sentence if more is missing than in any of the calm periods."""
    share = seen.columns[name].missing / seen.rows
    usual = [week.columns[name].missing / week.rows for week in group.weeks]
    quoted = short(name, LETTERS)
    if share == 1:
        also = " as in the reference" if min(usual) == 1 else ""
        yield f"{quoted} is missing in every row of the window{also}."
    elif share > max(usual) + MISSING_MORE:
        before = f"at most {max(usual):.1%}"
        yield f"{quoted} is missing in {share:.1%} of the window's rows; before in {before}."
    elif min(usual) == 1:
        yield f"{quoted} was missing in every row of the reference, and is there now."


def _named(names: Sequence[Any] | pd.Index) -> str:
    """Return names for a sentence, some of them if they are many."""
    return short(", ".join(short(name, LETTERS) for name in list(names)[:20]) or "none")


# ---- causes


def _causes(
    moved: Sequence[Moved], group: Group, dated: _Dated, inside: np.ndarray
) -> Iterator[str]:
    """Yield what may have caused an alarm: the value, the day, the slice, the contract."""
    reference = dated.reference[inside]
    window = dated.window
    days = np.concatenate([dated.calm_days[inside], dated.seen_days])
    drifted = sorted((one for one in moved if one.drifted), key=_how_far, reverse=True)
    kinds = group.kinds
    by = [name for name in kinds if _makes_slices(group, name)]
    for one in drifted[:MAX_CAUSES]:
        name = one.name
        quoted = short(name, LETTERS)
        if kinds[name] is Kind.CATEGORY:
            value, before, after = moved_value(reference[name], window[name])
            yield f"{quoted}: {short(value, LETTERS)} went from {before:.1%} to {after:.1%}."
        column = pd.concat([reference[name], window[name]], ignore_index=True)
        change = change_day(column, days, dated.when.first, kinds[name])
        if change and change.day > dated.when.first:
            yield f"{quoted} is different from {change.day} on."
        part = worst_slice(reference, window, name, kinds[name], by)
        if part:
            yield (
                f"{quoted} has moved most where {short(part.column, LETTERS)} is "
                f"{short(part.value, LETTERS)}: by {part.inside:.2f}, elsewhere by "
                f"{part.elsewhere:.2f}."
            )
    numbers = [name for name, kind in kinds.items() if kind is Kind.NUMBER]
    contracts = learn_contracts(reference, numbers[:MAX_CONTRACT_COLUMNS])
    for broken in broken_contracts(contracts, window):
        yield (
            f"{short(broken.smaller, LETTERS)} is above {short(broken.larger, LETTERS)} in "
            f"{broken.broken:.1%} of the window's rows; before in {broken.held:.2%}."
        )


def _makes_slices(group: Group, name: str) -> bool:
    """Return whether a column has so few values in each period that each may be a slice."""
    most = max(len(week.columns[name].values) for week in group.weeks)
    return most <= (MAX_SLICES if group.kinds[name] is Kind.CATEGORY else FEW_VALUES)
