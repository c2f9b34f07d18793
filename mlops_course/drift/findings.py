"""What is odd about a window, and what may have caused an alarm: findings, a sentence each.

They stand beside the verdict and change nothing about it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlops_course.core.texts import short
from mlops_course.data.periods import Days
from mlops_course.data.tables import LETTERS, has_zone, named
from mlops_course.drift.calm_weeks import Group, Moved
from mlops_course.drift.causes import (
    MAX_SLICES,
    broken_contracts,
    change_day,
    learn_contracts,
    moved_value,
    worst_slice,
)
from mlops_course.drift.profiles import Counts, Kind, Profile, kind_of

MISSING_MORE = 0.01
FEW_VALUES = 24  # whole numbers, at most, and a column of them makes slices, as hours do
MAX_CAUSES = 3
MAX_CONTRACT_COLUMNS = 20


@dataclass(frozen=True)
class Dated:
    """Two tables without the rows that have no day, and the day of each row.

    Attributes
    ----------
    calm_days, seen_days
        The days of the reference's and of the window's rows, ``datetime64[D]``.
    when
        The window's days.
    findings
        A sentence for each thing that is odd about the days.
    """

    reference: pd.DataFrame
    window: pd.DataFrame
    calm_days: np.ndarray
    seen_days: np.ndarray
    when: Days
    findings: tuple[str, ...]


def of_columns(reference: pd.DataFrame, window: pd.DataFrame, time: str | None) -> Iterator[str]:
    """Yield what is odd about which columns there are, and about their types."""
    gone = [name for name in reference.columns if name not in window.columns and name != time]
    new = [name for name in window.columns if name not in reference.columns and name != time]
    if gone:
        yield f"Only the reference has {named(gone)}: not compared."
    if new:
        yield f"Only the window has {named(new)}: not compared."
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


def of_zones(reference: pd.Series, window: pd.Series) -> Iterator[str]:
    """Yield a sentence if only one of two columns of times has time zones."""
    if has_zone(reference) != has_zone(window):
        with_one = "reference" if has_zone(reference) else "window"
        yield (
            f"Only the times of the {with_one} have a time zone; days are taken as each clock "
            "has them."
        )


def of_values(group: Group, seen: Profile, min_rows: int) -> Iterator[str]:
    """Yield what is odd about the window's values, and about how few rows it has."""
    if seen.rows < min_rows:
        yield f"The window has {rows_in_words(seen.rows)}; a verdict takes {min_rows}."
    for name, kind in group.kinds.items():
        yield from _of_missing(group, seen, name)
        here = seen.columns[name]
        known = np.concatenate([week.columns[name].values for week in group.weeks])
        quoted = short(name, LETTERS)
        if kind is Kind.CATEGORY:
            yield from _of_unseen(here, known, seen.rows, quoted)
        elif infinite := int(here.counts[np.isinf(here.values)].sum()):
            yield f"{quoted} is infinite in {infinite:,} rows of the window."
        if len(here.values) == 1 < seen.rows and len(set(known.tolist())) > 1:
            yield f"{quoted} has one value in all rows of the window: {short(here.values[0])}."


def of_contracts(
    kinds: Mapping[str, Kind], reference: pd.DataFrame, window: pd.DataFrame
) -> Iterator[str]:
    """Yield a sentence for each contract between two columns that the window breaks."""
    numbers = [name for name, kind in kinds.items() if kind is Kind.NUMBER]
    contracts = learn_contracts(reference, numbers[:MAX_CONTRACT_COLUMNS])
    for broken in broken_contracts(contracts, window):
        yield (
            f"{short(broken.smaller, LETTERS)} is above {short(broken.larger, LETTERS)} in "
            f"{broken.broken:.1%} of the window's rows; before in {broken.held:.2%}."
        )


def rows_in_words(rows: int) -> str:
    """Return a number of rows for a sentence.

    >>> rows_in_words(1), rows_in_words(1_200)
    ('1 row', '1,200 rows')
    """
    return "1 row" if rows == 1 else f"{rows:,} rows"


def _of_unseen(here: Counts, known: np.ndarray, rows: int, quoted: str) -> Iterator[str]:
    """Yield a sentence if the window holds categories that the reference does not."""
    familiar = set(known)
    fresh = np.array([value not in familiar for value in here.values], dtype=bool)
    if fresh.any():
        share = here.counts[fresh].sum() / rows
        example = short(here.values[fresh][here.counts[fresh].argmax()], LETTERS)
        yield (
            f"{quoted}: {share:.1%} of the rows have a value never seen in the reference, as "
            f"{example}; {fresh.sum():,} in all."
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


def causes(moved: Sequence[Moved], group: Group, dated: Dated, inside: np.ndarray) -> Iterator[str]:
    """Yield what may have caused an alarm: the value, the day, the slice.

    Parameters
    ----------
    moved
        The features, the most drifted first.
    inside
        Which rows of the reference belong to a calm period, shape (rows,).
    """
    reference = dated.reference[inside]
    window = dated.window
    days = np.concatenate([dated.calm_days[inside], dated.seen_days])
    drifted = [one for one in moved if one.drifted]
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


def _makes_slices(group: Group, name: str) -> bool:
    """Return whether a column has few values in each period: each of them may be a slice.

    Numbers that are not whole, such as miles of sight, are measured; nobody looks for a fault in
    those that happen to be equal.
    """
    columns = [week.columns[name] for week in group.weeks]
    most = max(len(column.values) for column in columns)
    if group.kinds[name] is Kind.CATEGORY:
        return most <= MAX_SLICES
    is_whole = all((column.values == np.floor(column.values)).all() for column in columns)
    return is_whole and most <= FEW_VALUES
