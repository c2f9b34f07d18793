"""Which days of a reference are like a window: calm periods of its length and its weekdays.

A rank among periods holds for periods that are alike. So a window from Tuesday to Thursday is held
against the Tuesdays to Thursdays of each calm week, a week against weeks, ten days against ten days
of every other week.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from math import ceil

import numpy as np

WEEK_DAYS = 7
EXPECTED = 0.5  # of the calm periods have rows on a day: then it belongs to such a period
MAX_NAMED = 3
NO_PERIOD = -1


@dataclass(frozen=True)
class Days:
    """Some days in a row, both included."""

    first: date
    last: date

    @property
    def count(self) -> int:
        """How many there are."""
        return (self.last - self.first).days + 1

    def __str__(self) -> str:
        """Return them as an option names them."""
        return f"{self.first}..{self.last}"


@dataclass(frozen=True)
class Periods:
    """The calm periods of a reference.

    Attributes
    ----------
    code
        For each row of the reference its period, counted from 0, oldest first, or `NO_PERIOD`;
        shape (rows,).
    starts
        The first day of each.
    findings
        A sentence for each thing that was left out, or is missing.
    """

    code: np.ndarray = field(repr=False)
    starts: tuple[date, ...]
    findings: tuple[str, ...]


def calm_periods(
    days: np.ndarray, window: Days, seen: np.ndarray, without: Sequence[Days] = ()
) -> Periods:
    """Cut a reference into periods like the window.

    Those that have no rows on a day on which most have some are left out, as are those that touch
    the window or a day in ``without``.

    Parameters
    ----------
    days
        The day of each row of the reference, ``datetime64[D]``, shape (rows,).
    window
        The window's days.
    seen
        The days on which the window has rows, ``datetime64[D]``. On the others, which are told, the
        calm periods are not looked at either.
    without
        Days that are not to be compared with.

    >>> days = np.arange("2013-01-01", "2013-02-01", dtype="datetime64[D]")
    >>> week = Days(date(2013, 3, 4), date(2013, 3, 10))
    >>> found = calm_periods(days, week, np.arange("2013-03-04", "2013-03-11", dtype=days.dtype))
    >>> [str(start) for start in found.starts]
    ['2013-01-07', '2013-01-14', '2013-01-21']
    """
    first = np.datetime64(window.first, "D")
    stride = WEEK_DAYS * ceil(window.count / WEEK_DAYS)
    position = (days - first).astype("int64")
    number = position // stride
    offset = position % stride
    inside = offset < window.count
    own = inside & (number == 0)
    numbers, row = np.unique(number, return_inverse=True)
    there = np.zeros((len(numbers), stride), dtype=bool)
    there[row, offset] = True
    there = there[:, : window.count]
    known = numbers != 0
    visited = np.isin(np.arange(window.count), (seen - first).astype("int64"))
    inner = known & _is_inner(there)
    expected = there[inner].mean(axis=0) >= EXPECTED if inner.any() else visited
    complete = there[:, expected & visited].all(axis=1) & there[:, visited].any(axis=1)
    begins = first + numbers * stride
    named = _touched(begins, window.count, without)
    kept = complete & known & ~named
    code = np.where(kept, np.cumsum(kept) - 1, NO_PERIOD)[row]
    gaps = inner & ~named & ~complete
    findings = [
        *_of_window(first + np.flatnonzero(expected & ~visited), own.any()),
        *_of_reference(begins[named & known], begins[gaps]),
    ]
    looked_at = inside & np.isin(offset, np.flatnonzero(visited))
    starts = tuple(begin.astype(date) for begin in begins[kept])
    return Periods(np.where(looked_at, code, NO_PERIOD), starts, tuple(findings))


def _touched(begins: np.ndarray, length: int, without: Sequence[Days]) -> np.ndarray:
    """Return which periods hold a day that is to be left out, shape (periods,)."""
    touched = np.zeros(len(begins), dtype=bool)
    for days in without:
        touched |= (begins <= np.datetime64(days.last)) & (
            begins + length > np.datetime64(days.first)
        )
    return touched


def _is_inner(there: np.ndarray) -> np.ndarray:
    """Return which periods are neither the first nor the last, which may just be cut off."""
    inner = np.ones(len(there), dtype=bool)
    inner[:1] = False
    inner[-1:] = False
    return inner


def _of_window(gaps: np.ndarray, shared: bool) -> list[str]:
    found = []
    if shared:
        found.append("The reference holds days of the window; it is compared with the others.")
    if len(gaps):
        found.append(
            f"The window has no rows on {_listed(gaps)}; it is compared with the other days of "
            "the calm weeks."
        )
    return found


def _of_reference(named: np.ndarray, gaps: np.ndarray) -> list[str]:
    found = []
    if len(named):
        found.append(f"Left out, as asked: what begins on {_listed(named)}.")
    if len(gaps):
        found.append(
            f"Left out, because days without rows are in it: what begins on {_listed(gaps)}."
        )
    return found


def _listed(days: np.ndarray) -> str:
    """Return the first few days, and how many more there are."""
    few = ", ".join(str(day) for day in days[:MAX_NAMED])
    return few if len(days) <= MAX_NAMED else f"{few} and {len(days) - MAX_NAMED} more"
