"""Which part of the traffic is worse off than usual, while the average may look calm.

Many slices are looked at, so one of them always looks bad. The slices of a week are therefore
held against those of other weeks by the rank of the strangest (`stats.conformal`): the promise is
for all of them together, whatever their number. Labels are needed.

Measured on April to December 2013, twelve weeks before each (`mlops-course bench --statistics`):
weeks in random order alarm in 8.1%, with a simulation error of .3 points, where one in 13 is
promised; in their own order 4 of 27 do. Of 13 autumn weeks, an airline that cuts its schedule
padding by 20 minutes is found and named in 116 of 117 cases (nine airlines), an airport in 39 of
39, but named in 23: else it is one of its airlines. A departure clock switched by 20 minutes costs
less: at one airline it is found in 64 of 117, at one airport in 29 of 39, and named in 16.

Against all weeks from April on these are 70, 28, 15 and 9: of 22 to 28 April, a week of trouble at
LGA, hardly any passes the worst. Without that week they are 103, 37, 24 and 15. So a week with a
known cause is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlops_course.core.errors import DataError, ParameterError
from mlops_course.stats.conformal import newest_scores
from mlops_course.training.evaluation import right_calls

COLUMNS = ("origin", "carrier")
MIN_SLICE_ROWS = 100
MIN_WINDOWS = 9


@dataclass(frozen=True)
class Slice:
    """A part of a window's flights.

    Attributes
    ----------
    column, value
        What they have in common, such as ``origin`` and ``JFK``.
    rows
        How many of them are labelled.
    accuracy, others
        The share of them called right, and of all other flights of the window.
    usual
        What ``accuracy - others`` is in the other windows, on average.
    score
        How much worse off it is than usual, over the worst that any slice was in any other window;
        above 1 it is worse than all of them.
    """

    column: str
    value: str
    rows: int
    accuracy: float
    others: float
    usual: float
    score: float


@dataclass(frozen=True)
class Counts:
    """What is kept of a window to compare its slices.

    Attributes
    ----------
    rows, right
        How many flights are labelled, and how many of them were called right.
    slices
        The same of each slice, by its column and value.
    """

    rows: int
    right: int
    slices: Mapping[tuple[str, str], tuple[int, int]]

    def has(self, name: tuple[str, str]) -> bool:
        """Return whether a slice and the rest of the flights are large enough to compare."""
        rows, _ = self.slices.get(name, (0, 0))
        return rows >= MIN_SLICE_ROWS and self.rows - rows >= MIN_SLICE_ROWS

    def accuracies(self, name: tuple[str, str]) -> tuple[float, float]:
        """Return the share called right of a slice, and of all other flights."""
        rows, right = self.slices[name]
        return right / rows, (self.right - right) / (self.rows - rows)


def slices_of(windows: Sequence[pd.DataFrame], columns: Sequence[str] = COLUMNS) -> list[Slice]:
    """Return the slices of the newest window, worst off first: see `judge`.

    Parameters
    ----------
    windows
        What `performance.join` returns for each window, the newest last; whole weeks, since
        weekdays differ.

    Raises
    ------
    DataError
        If a window has no such column.
    ParameterError
        If fewer than `MIN_WINDOWS` windows with labels come before the newest.
    """
    return judge([counts_of(window, columns) for window in windows])


def counts_of(window: pd.DataFrame, columns: Sequence[str] = COLUMNS) -> Counts:
    """Count the calls of a window that can be judged, and those of each of its slices.

    Rows without a value in a column are in no slice of it.

    Raises
    ------
    DataError
        If the window has no such column.
    """
    missing = [name for name in ("probability", "late", *columns) if name not in window]
    if missing:
        raise DataError(
            f"The window has no column {missing[0]!r}.",
            "Slices are parts of answered and labelled flights with a value in common.",
            "Give what monitoring.performance.join returns, and columns that it has.",
        )
    probability = window["probability"].to_numpy(dtype="float64")
    right = right_calls(probability, window["late"].to_numpy(dtype="float64"))
    known = ~np.isnan(right)
    right = right[known]
    slices = {}
    for column in columns:
        codes, values = pd.factorize(window[column])
        codes = codes[known]
        has_value = codes >= 0
        sizes = np.bincount(codes[has_value], minlength=len(values))
        sums = np.bincount(codes[has_value], weights=right[has_value], minlength=len(values))
        for value, size, total in zip(values, sizes.tolist(), sums.tolist(), strict=True):
            slices[column, str(value)] = (size, int(total))
    return Counts(len(right), int(right.sum()), slices)


def judge(windows: Sequence[Counts]) -> list[Slice]:
    """Return the slices of the newest window, worst off first.

    A slice counts if it and the rest have `MIN_SLICE_ROWS` labelled flights in every window; none
    may do. Its gap to the other flights of the window is held against its own gaps in the other
    windows: what is always harder is not on fire. Some slice scores above 1 with a chance of 1 in
    the number of windows, if the newest is like the others.

    Parameters
    ----------
    windows
        What `counts_of` returns for each window, the newest last. Earlier ones without labels tell
        nothing, and are left out.

    Raises
    ------
    ParameterError
        If fewer than `MIN_WINDOWS` windows with labels come before the newest.
    """
    before = [window for window in windows[:-1] if window.rows]
    if len(before) < MIN_WINDOWS:
        raise ParameterError(
            f"There are {len(before)} windows with labels to hold the newest against.",
            f"It takes {MIN_WINDOWS} for a promise of one in ten.",
            "Give more windows, the newest last.",
        )
    counted = [*before, windows[-1]]
    names = [name for name in counted[-1].slices if all(window.has(name) for window in counted)]
    if not names:
        return []
    accuracies = np.array([[window.accuracies(name) for name in names] for window in counted])
    gaps = accuracies[..., 0] - accuracies[..., 1]
    usual = (gaps.sum(axis=0) - gaps) / (len(gaps) - 1)
    scores = newest_scores(np.clip(usual - gaps, 0, 1))
    found = [
        Slice(*name, counted[-1].slices[name][0], *accuracies[-1, place].tolist(), *figures)
        for place, (name, *figures) in enumerate(
            zip(names, usual[-1].tolist(), scores.tolist(), strict=True)
        )
    ]
    return sorted(found, key=lambda one: -one.score)
