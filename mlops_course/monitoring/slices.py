"""Which part of the traffic is worse off than usual, while the average may look calm.

Many slices are looked at, so one of them always looks bad. The slices of a week are therefore
held against those of other weeks by the rank of the strangest (`stats.conformal`): the promise is
for all of them together, whatever their number. Labels are needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlops_course.core.errors import ParameterError
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


def slices_of(windows: Sequence[pd.DataFrame], columns: Sequence[str] = COLUMNS) -> list[Slice]:
    """Return the slices of the newest window, worst off first.

    A slice counts if it has `MIN_SLICE_ROWS` labelled flights in every window. Its gap to the other
    flights of the window is held against its own gaps in the other windows: what is always harder
    is not on fire. Some slice scores above 1 with a chance of 1 in the number of windows, if the
    newest is like the others.

    Parameters
    ----------
    windows
        What `performance.join` returns for each window, the newest last; whole weeks, since
        weekdays differ.

    Raises
    ------
    ParameterError
        If there are fewer than `MIN_WINDOWS` windows and the newest.
    """
    if len(windows) <= MIN_WINDOWS:
        raise ParameterError(
            f"There are {max(len(windows) - 1, 0)} windows to hold the newest against.",
            f"It takes {MIN_WINDOWS} for a promise of one in ten.",
            "Give more windows, the newest last.",
        )
    counted = [_counted(window, columns) for window in windows]
    names = [name for name in counted[-1].index if all(_has(table, name) for table in counted)]
    if not names:
        return []
    gaps = np.array([table.loc[names, "gap"].to_numpy() for table in counted])
    others = (gaps.sum(axis=0) - gaps) / (len(gaps) - 1)
    scores = newest_scores(np.clip(others - gaps, 0, 1))
    newest = counted[-1].loc[names]
    found = [
        Slice(column, value, int(row.rows), row.accuracy, row.accuracy - row.gap, usual, score)
        for (column, value), row, usual, score in zip(
            names, newest.itertuples(), others[-1], scores, strict=True
        )
    ]
    return sorted(found, key=lambda one: -one.score)


def _counted(window: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return rows, accuracy and gap of each slice, by column and value."""
    probability = window["probability"].to_numpy(dtype="float64")
    right = right_calls(probability, window["late"].to_numpy(dtype="float64"))
    known = ~np.isnan(right)
    judged = window[known].assign(right=right[known])
    total = judged["right"].sum()
    parts = []
    for column in columns:
        part = judged.groupby(judged[column].astype(str))["right"].agg(["size", "sum", "mean"])
        rest = (total - part["sum"]) / (len(judged) - part["size"])
        part = part.assign(gap=part["mean"] - rest).rename(
            columns={"size": "rows", "mean": "accuracy"}
        )
        part.index = pd.MultiIndex.from_product([[column], part.index])
        parts.append(part[["rows", "accuracy", "gap"]])
    return pd.concat(parts)


def _has(table: pd.DataFrame, name: tuple[str, str]) -> bool:
    return name in table.index and bool(table.at[name, "rows"] >= MIN_SLICE_ROWS)
