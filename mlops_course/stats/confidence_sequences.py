"""Verdicts that may be looked at as often as one likes: always-valid intervals for a difference.

An ordinary 95% interval holds for one look. Whoever looks every hour and stops at the first good
one is wrong far more often. The intervals here hold at all looks together, and pay for it by
being wider. Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, *Time-uniform central limit
theory and asymptotic confidence sequences*, Annals of Statistics 52, 2024, theorem 2.2.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, inf, log, nan, sqrt

import numpy as np
from scipy.stats import norm

ALPHA = 0.05
MIN_ROWS = 100


@dataclass(frozen=True)
class Difference:
    """An estimated difference with bounds that hold at every look."""

    low: float
    mean: float
    high: float
    rows: int


def half_width(rows: int, deviation: float, planned: int, alpha: float = ALPHA) -> float:
    """Return how far the truth may be from the mean, on each side, at any number of rows.

    Parameters
    ----------
    rows
        How many rows there are by now; the theory is for many, so it takes `MIN_ROWS`.
    deviation
        The standard deviation of one row.
    planned
        The number of rows at which the interval is to be narrowest; it is valid at all others.
    alpha
        How often one of all the bounds may fail, upper and lower together.

    >>> round(half_width(1_000, 0.3, planned=1_000), 4)
    0.0288
    """
    tuned = rows * _rate(planned, alpha)
    return deviation * sqrt(2 * (tuned + 1) / (rows * tuned) * log(sqrt(tuned + 1) / alpha))


def paired(gained: np.ndarray, planned: int, alpha: float = ALPHA) -> Difference:
    """Return the mean of differences within pairs, such as one flight judged by two models.

    Parameters
    ----------
    gained
        Shape (rows,); for example 1 where only the challenger is right, -1 where only the
        champion is, otherwise 0.
    """
    rows = len(gained)
    if rows < MIN_ROWS:
        return _unknown(rows)
    # Where all rows are alike, as if one had been different.
    variance = max(float(gained.var(ddof=1)), 1 / rows)
    mean = float(gained.mean())
    far = half_width(rows, sqrt(variance), planned, alpha)
    return Difference(mean - far, mean, mean + far, rows)


def between(
    periods: Iterable[tuple[np.ndarray, np.ndarray]], planned: int, alpha: float = ALPHA
) -> Difference:
    """Return the difference of two groups' means, challenger less champion.

    The rows of the two groups are different ones, as in a canary. Only rows of one period are
    compared with each other, so a challenger whose share grows on a bad day is not blamed for
    the day. In each period the smaller group, which decides how much is known, counts as rows.

    Parameters
    ----------
    periods
        The values of challenger and champion, a pair for each period in which the share of the
        traffic stood still. Weights: Mantel and Haenszel, 1959.
    """
    usable = [pair for pair in periods if min(map(len, pair)) > 1]
    rows = sum(min(map(len, pair)) for pair in usable)
    if rows < MIN_ROWS:
        return _unknown(rows)
    weights = np.array([1 / (1 / len(new) + 1 / len(old)) for new, old in usable])
    weights /= weights.sum()
    gaps = np.array([new.mean() - old.mean() for new, old in usable])
    noise = np.array([sum(group.var(ddof=1) / len(group) for group in pair) for pair in usable])
    # Where all rows are alike, as if one of each group had been different.
    least = sum(1 / sum(map(len, groups)) ** 2 for groups in zip(*usable, strict=True))
    mean = float(weights @ gaps)
    variance = max(float(weights**2 @ noise), least)
    far = half_width(rows, sqrt(rows * variance), planned, alpha)
    return Difference(mean - far, mean, mean + far, rows)


def rows_needed(margin: float, deviation: float, alpha: float = ALPHA) -> int:
    """Return the rows at which the interval is as narrow as ``margin``, planned for just that.

    With that many rows a challenger that loses nothing is told from one that loses the margin
    half of the time; with about twice as many nearly always.

    >>> rows_needed(0.03, 0.3)
    922
    """
    low = MIN_ROWS
    high = MIN_ROWS
    while half_width(high, deviation, high, alpha) > margin:
        low = high
        high = 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if half_width(middle, deviation, middle, alpha) > margin:
            low = middle
        else:
            high = middle
    return high


def rows_for_one_look(margin: float, deviation: float, power: float = 0.8) -> int:
    """Return the rows that a test needs which is looked at once, at its end.

    Source: any text on sample size for a one-sided comparison of a mean with a margin.

    >>> rows_for_one_look(0.03, 0.3)
    619
    """
    reached = float(norm.ppf(1 - ALPHA) + norm.ppf(power))
    return ceil((reached * deviation / margin) ** 2)


def _unknown(rows: int) -> Difference:
    return Difference(-inf, nan, inf, rows)


def _rate(planned: int, alpha: float) -> float:
    """Return the mixture's variance that makes the interval narrowest at ``planned`` rows."""
    return (-2 * log(alpha) + log(-2 * log(alpha) + 1)) / planned
