"""Verdicts that may be looked at again and again: bounds for a difference that hold at all looks.

An ordinary 95% bound holds for one look. Whoever looks every hour and stops at the first good one
is wrong far more often. With many units, such as the requests of a canary, a bound can be made to
hold at every number of them (`half_width`, `between`). With few, such as the days of a shadow,
each look gets a share of the level (`level_of_look`, `paired`). Both pay by being wider.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, hypot, inf, log, nan, sqrt

import numpy as np
from scipy.stats import norm, t

from mlops_course.stats.clustered import mean_bounds

ALPHA = 0.05
MIN_UNITS = 30
DAYS_A_LOOK = 7
# Variance of differences by week over that by day, for nine second models on the flights from April
# to December 2013: .9 to 2.2, rounded up. Days of one week, and weeks of one season, go together.
LONG_RUN = 2.5


@dataclass(frozen=True)
class Difference:
    """An estimated difference with a lower and an upper bound, each one-sided at one level.

    Attributes
    ----------
    low, mean, high
        The estimate between its bounds, which hold at all looks together.
    units
        How many units carry the verdict: days, or requests of the smaller group.
    """

    low: float
    mean: float
    high: float
    units: int


@dataclass(frozen=True)
class Arm:
    """What one side of a comparison saw in one period, unit by unit.

    The unit is what was drawn by lot: the request, if a hash of its id decides who answers it.

    Attributes
    ----------
    sums
        Each unit's sum of the figure, such as the wrong calls in a request; shape (units,).
    rows
        How many rows it is the sum of, such as the flights in the request; shape (units,).
    """

    sums: np.ndarray
    rows: np.ndarray


def half_width(units: float, deviation: float, planned: float, alpha: float = ALPHA) -> float:
    """Return how far the truth may be from the mean on one side, at any number of units.

    Parameters
    ----------
    units
        How many units there are by now; the theory is for many, see `MIN_UNITS`.
    deviation
        The standard deviation of one unit.
    planned
        The number of units at which the bound is to be narrowest, chosen before the first look;
        it is valid at all others.
    alpha
        How often the bound may fail at one look or more.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, *Time-uniform central limit theory and
    asymptotic confidence sequences*, Annals of Statistics 52, 2024, the one-sided bound of the
    appendix; the curve is the one-sided normal mixture of Howard, Ramdas, McAuliffe and Sekhon,
    Annals of Statistics 49, 2021, section 3.

    >>> round(half_width(1_000, 0.3, planned=1_000), 4)
    0.0264
    """
    rate = (-2 * log(2 * alpha) + log(-2 * log(2 * alpha) + 1)) / planned
    tuned = units * rate
    spread = 2 * (tuned + 1) / (units * tuned)
    return deviation * sqrt(spread * log(1 + sqrt(tuned + 1) / (2 * alpha)))


def between(periods: Iterable[tuple[Arm, Arm]], planned: float, alpha: float = ALPHA) -> Difference:
    """Return the difference of two groups' means by row, challenger less champion.

    The groups hold different units, drawn by lot, as in a canary. Rows of one unit share its luck,
    so the units are what counts. Only units of one period are compared with each other: a
    challenger whose share grows on a bad day is not blamed for the day.

    Parameters
    ----------
    periods
        Challenger and champion, a pair for each period in which the share of the traffic stood
        still.
    planned
        The units of each group, were the groups equally large, at which the bounds are to be
        narrowest. A challenger's 100 among 900 of the champion tell what 180 and 180 would.
    alpha
        How often each bound by itself may fail, at one look or more.

    Source: Mantel and Haenszel, *Statistical aspects of the analysis of data from retrospective
    studies of disease*, Journal of the National Cancer Institute 22, 1959, for the weights;
    Cochran, *Sampling techniques*, 3rd ed., section 6.3, for the variance of a ratio; Johnson,
    *Modified t tests and confidence intervals for asymmetrical populations*, Journal of the
    American Statistical Association 73, 1978, for rare figures, whose luck is skewed.

    >>> ones = np.ones(500)
    >>> challenger, champion = Arm(ones * 0.0, ones), Arm(np.arange(500) % 10 == 0, ones)
    >>> found = between([(challenger, champion)], planned=500)
    >>> round(found.mean, 3), round(found.high, 3), found.units
    (-0.1, -0.062, 500)
    """
    usable = [pair for pair in periods if min(len(arm.rows) for arm in pair) > 1]
    units = sum(min(len(arm.rows) for arm in pair) for pair in usable)
    if units < MIN_UNITS:
        return Difference(-inf, nan, inf, units)
    weights = np.array([_shared(new.rows.sum(), old.rows.sum()) for new, old in usable])
    weights /= weights.sum()
    new = _side([pair[0] for pair in usable], weights)
    old = _side([pair[1] for pair in usable], weights)
    # The clock of the bounds runs with what is known, not with the units of one side.
    clock = sum(2 * _shared(len(new.rows), len(old.rows)) for new, old in usable)
    factor = half_width(clock, sqrt(clock), planned, alpha)
    mean = new.mean - old.mean
    return Difference(mean - _reach(old, new, factor), mean, mean + _reach(new, old, factor), units)


def paired(
    gained: np.ndarray, days: np.ndarray, alpha: float = ALPHA, long_run: float = LONG_RUN
) -> Difference:
    """Return the mean of differences within pairs, by day, looked at whenever a week is complete.

    Both models judge the same flights, so on these the difference is a fact. What is uncertain is
    how it goes on other days. Seven days make a look, and look k has the level of
    `level_of_look`; days beyond the last whole week wait for the next. Over all looks each bound
    fails at most ``alpha`` of the time: tried on nine second models, whose mean of nine months was
    the truth. Where seasons change who is better it is less sure: for a one-line rule against a
    model the lower bound failed in 4 to 11% of two months.

    Parameters
    ----------
    gained
        Shape (rows,); 1 where only the challenger is right, -1 where only the champion is, else 0.
    days
        The day of each row, in an order that can be sorted; shape (rows,).
    long_run
        How many times the variance is what independent days would give.

    Source: `clustered.mean_bounds` for one look; Lan and DeMets, *Discrete sequential boundaries
    for clinical trials*, Biometrika 70, 1983, for a level that is spent look by look.

    >>> days = np.repeat(np.arange(14), 100)
    >>> found = paired(np.tile([1, -1, 0, 0], 350), days)
    >>> found.mean, found.units, round(found.high, 4)
    (0.0, 14, 0.002)
    """
    names, number = np.unique(days, return_inverse=True)
    look = len(names) // DAYS_A_LOOK
    if look == 0:
        return Difference(-inf, nan, inf, 0)
    whole = number < look * DAYS_A_LOOK
    found = mean_bounds(gained[whole], number[whole])
    # As if one row had been different: days that are all alike are not certain, either.
    error = hypot(sqrt(long_run) * found.error, 1 / found.rows)
    far = error * float(t.isf(level_of_look(look, alpha), found.clusters - 1))
    return Difference(found.mean - far, found.mean, found.mean + far, found.clusters)


def level_of_look(look: int, alpha: float = ALPHA) -> float:
    """Return how often look number ``look`` (from 1) may fail, so that all together keep alpha.

    Half of alpha goes to the first look, a sixth to the second, a twelfth to the third: however
    many follow, the shares never add up to more than 1.

    >>> [round(level_of_look(look), 4) for look in (1, 2, 3)]
    [0.025, 0.0083, 0.0042]
    """
    return alpha / (look * (look + 1))


def rows_needed(margin: float, deviation: float, power: float = 0.8, skew: float = 0.0) -> int:
    """Return the rows at which an always-valid bound, planned for them, has this power.

    At that look, taken by itself, so many of the challengers that lose nothing are told from one
    that loses the margin, one-sided at 95%. Earlier looks promote some that this one would not, so
    whoever has looked all along has promoted more by then.

    Parameters
    ----------
    margin
        The loss to be told from none.
    deviation
        The standard deviation of one row's difference.
    skew
        One row's third moment over its variance, for the term by which `between` is wider: 0 where
        both groups are equally large and alike.

    >>> rows_needed(0.03, 0.3), rows_needed(0.03, 0.3, skew=0.8)
    (1311, 1454)
    """
    factor = half_width(1, 1.0, planned=1)
    # The loss that is told with n rows: widths of order 1 / sqrt(n), and the skew's of order 1 / n.
    spread = (factor + float(norm.ppf(power))) * deviation
    root = spread + sqrt(spread**2 + 4 * margin * skew * _skewed(factor))
    return ceil((root / (2 * margin)) ** 2)


def rows_without_one(limit: float, share: float = 0.5) -> int:
    """Return the challenger's units at which `between` rules a rare figure out, if none was seen.

    So many rule out, one-sided at 95% and at all looks, that the challenger has ``limit`` more of
    it, if the bound was planned for just so many. Nothing of it is luck.

    Parameters
    ----------
    limit
        The share of units to be ruled out, such as requests that fail.
    share
        The challenger's share of all units.

    >>> rows_without_one(0.02), rows_without_one(0.01), rows_without_one(0.01, share=0.1)
    (277, 553, 557)
    """
    clock = 2 * (1 - share)
    factor = half_width(clock, sqrt(clock), planned=1)
    return ceil((factor + _skewed(factor)) / limit)


def rows_for_one_look(margin: float, deviation: float, power: float = 0.8) -> int:
    """Return the rows that a test needs which is looked at once, at its end; one-sided at 95%.

    Source: any text on sample size for a one-sided comparison of a mean with a margin.

    >>> rows_for_one_look(0.03, 0.3)
    619
    """
    factor = float(norm.isf(ALPHA))
    return ceil(((factor + float(norm.ppf(power))) * deviation / margin) ** 2)


@dataclass(frozen=True)
class _Side:
    """A group's mean over the periods, that mean's variance and third moment, and one row of it."""

    mean: float
    variance: float
    third: float
    row: float


def _side(arms: list[Arm], weights: np.ndarray) -> _Side:
    means = np.array([arm.sums.sum() / arm.rows.sum() for arm in arms])
    # What each unit adds to its period's mean; they add up to nothing.
    parts = [
        (arm.sums - mean * arm.rows) / arm.rows.sum() for arm, mean in zip(arms, means, strict=True)
    ]
    variances = np.array([len(part) / (len(part) - 1) * (part**2).sum() for part in parts])
    thirds = np.array([(part**3).sum() for part in parts])
    return _Side(
        float(weights @ means),
        float(weights**2 @ variances),
        float(weights**3 @ thirds),
        1 / sum(float(arm.rows.sum()) for arm in arms),
    )


def _reach(suspect: _Side, other: _Side, factor: float) -> float:
    """Return how far a bound lies from the mean beyond which ``suspect`` would be worse.

    It is as if one more row of the suspect had counted against it: no failure among few is not
    never a failure. Where its luck is the more skewed, as a rare figure's in the smaller group, few
    bad rows make its mean *and* its variance too small; Johnson's term makes up for that.
    """
    variance = suspect.variance + other.variance + suspect.row**2
    skew = (suspect.third - other.third + suspect.row**3) / variance
    return factor * sqrt(variance) + max(skew, 0.0) * _skewed(factor)


def _skewed(factor: float) -> float:
    """Return how much wider a skew of 1 makes a bound of so many standard errors: Johnson."""
    return (2 * factor**2 + 1) / 6


def _shared(new: float, old: float) -> float:
    """Return how many rows of each kind tell as much as the two groups together, halved."""
    return 1 / (1 / new + 1 / old)
