"""Means, ratios and differences whose rows come in clusters: flights of a day, rows of a request.

Flights of a day share its weather and its queues, so a thousand of them tell less than a thousand
of a thousand days. Here the cluster is what counts as independent. Whoever chooses it says what
the luck is: days for a week of production, requests for a canary that draws requests by lot.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import inf, nan, sqrt

import numpy as np
import pandas as pd
from scipy.stats import t

from mlops_course.core.errors import ParameterError

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Bounds:
    """An estimate with a lower and an upper bound, each one-sided at the same level.

    Attributes
    ----------
    low, mean, high
        The estimate between its bounds; infinite where fewer than two clusters were seen, and the
        mean NaN where none was.
    error
        The standard error of the estimate, by cluster; infinite with the bounds.
    rows, clusters
        How many rows there were, and how many clusters they came in.
    """

    low: float
    mean: float
    high: float
    error: float
    rows: int
    clusters: int


def mean_bounds(values: np.ndarray, clusters: np.ndarray, confidence: float = CONFIDENCE) -> Bounds:
    """Return the mean of rows that come in clusters, with bounds that count the clusters.

    For a paired difference give the differences: 1 where only the candidate is right, -1 where
    only the champion is, else 0. The bounds are for one look.

    Parameters
    ----------
    values
        Shape (rows,).
    clusters
        Which cluster each row belongs to, for instance its date; shape (rows,).
    confidence
        Level of each bound by itself.

    Raises
    ------
    ParameterError
        If a value or a cluster is missing.

    Source: Cochran, *Sampling techniques*, 3rd ed., section 9A.1 (clusters of unequal size); t with
    clusters minus one degrees of freedom, as in Cameron and Miller, *A practitioner's guide to
    cluster-robust inference*, Journal of Human Resources 50, 2015, section VI.

    >>> day = np.array(["Mon", "Mon", "Tue", "Tue", "Wed", "Wed"])
    >>> found = mean_bounds(np.array([1, 1, 1, 0, 0, 0]), day)
    >>> found.mean, found.clusters, round(found.high, 2)
    (0.5, 3, 1.34)
    """
    return ratio_bounds(values, np.ones(len(values)), clusters, confidence)


def ratio_bounds(
    top: np.ndarray, bottom: np.ndarray, clusters: np.ndarray, confidence: float = CONFIDENCE
) -> Bounds:
    """Return a ratio of two sums, such as wrong calls over calls made, with bounds by cluster.

    Parameters
    ----------
    top, bottom
        What is summed above and below the line, shape (rows,).
    clusters, confidence
        As for `mean_bounds`, where the source is, too.

    Raises
    ------
    ParameterError
        If a value or a cluster is missing.

    >>> ratio_bounds(np.array([1, 2]), np.array([2, 4]), np.array([0, 1])).mean
    0.5
    """
    sums = cluster_sums(top, clusters)
    sizes = cluster_sums(bottom, clusters)
    whole = float(sizes.sum())
    ratio = float(sums.sum()) / whole if whole else nan
    count = len(sums)
    if count < 2 or not whole:
        return Bounds(-inf, ratio, inf, inf, len(top), count)
    residuals = sums - ratio * sizes
    error = sqrt(count / (count - 1) * float(residuals @ residuals)) / whole
    reach = quantile(confidence, count) * error
    return Bounds(ratio - reach, ratio, ratio + reach, error, len(top), count)


@lru_cache(maxsize=1024)
def quantile(confidence: float, clusters: int) -> float:
    """Return how many standard errors a one-sided bound by so many clusters lies from the mean.

    That of Student's t with clusters minus one degrees of freedom. It is remembered: to ask for it
    takes as long as all the rest of a bound.

    >>> round(quantile(0.95, 7), 2)
    1.94
    """
    return float(t.ppf(confidence, max(clusters - 1, 1)))


def design_effect(values: np.ndarray, clusters: np.ndarray) -> float:
    """Return how many times the variance of the mean is what independent rows would give.

    With a design effect of 28, as the accuracy of a week has by day, 6,300 flights tell what 225
    independent ones would. NaN where all values are alike or fewer than two clusters were seen.

    Raises
    ------
    ParameterError
        If a value or a cluster is missing.

    Source: Kish, *Survey sampling*, 1965, section 8.2.

    >>> design_effect(np.array([1, 1, 0, 0]), np.array([1, 1, 2, 2]))
    3.0
    """
    _refuse_missing(values, clusters)
    count = len(np.unique(clusters))
    spread = float(np.var(values, ddof=1)) if len(values) > 1 else 0.0
    if count < 2 or spread == 0:
        return nan
    sums = cluster_sums(values, clusters)
    residuals = sums - float(np.mean(values)) * cluster_sums(np.ones(len(values)), clusters)
    clustered = count / (count - 1) * float(residuals @ residuals) / len(values) ** 2
    return clustered / (spread / len(values))


def cluster_sums(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Return the sum of each cluster's values, in the order of the clusters.

    Raises
    ------
    ParameterError
        If a value or a cluster is missing.

    >>> cluster_sums(np.array([1.0, 2.0, 3.0]), np.array(["b", "a", "b"]))
    array([2., 4.])
    """
    _refuse_missing(values, clusters)
    _, member = np.unique(clusters, return_inverse=True)
    return np.bincount(member, weights=values)


def resample_clusters(clusters: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the row numbers of as many whole clusters as there are, drawn with replacement.

    A block bootstrap: rows of one day, or of one week, stay together.

    Raises
    ------
    ParameterError
        If a cluster is missing.

    Source: Davison and Hinkley, *Bootstrap methods and their application*, 1997, section 3.8.

    >>> days = np.array([1, 1, 2, 3, 3, 3])
    >>> drawn = resample_clusters(days, np.random.default_rng(1))
    >>> days[drawn]
    array([2, 2, 3, 3, 3])
    """
    _refuse_missing(clusters)
    _, member = np.unique(clusters, return_inverse=True)
    rows_of = np.split(np.argsort(member, kind="stable"), np.cumsum(np.bincount(member))[:-1])
    chosen = generator.integers(0, len(rows_of), len(rows_of))
    return np.concatenate([rows_of[number] for number in chosen])


def sign_flips(
    differences: np.ndarray, clusters: np.ndarray, flips: int, generator: np.random.Generator
) -> np.ndarray:
    """Return means of paired differences after the sign of whole clusters was drawn by lot.

    They show what luck alone gives where neither side is better: if whole days were as likely to
    have gone the other way. The share of them at or above the mean that was seen is a p-value.

    Parameters
    ----------
    differences
        Shape (rows,).
    flips
        How many means are drawn; shape (flips,) of the result.

    Raises
    ------
    ParameterError
        If a difference or a cluster is missing.

    Source: Canay, Romano and Shaikh, *Randomization tests under an approximate symmetry
    assumption*, Econometrica 85, 2017.

    >>> sign_flips(np.array([1, 1, 0, 0]), np.array([1, 1, 2, 2]), 3, np.random.default_rng(0))
    array([ 0.5,  0.5, -0.5])
    """
    sums = cluster_sums(differences, clusters)
    signs = generator.choice((-1.0, 1.0), size=(flips, len(sums)))
    return signs @ sums / len(differences)


def _refuse_missing(*columns: np.ndarray) -> None:
    """Refuse rows of which something is not known: left in, they would make every bound NaN."""
    missing = sum(int(pd.isna(column).sum()) for column in columns)
    if missing:
        raise ParameterError(
            f"{missing:,} of the values or clusters are missing.",
            "Each row has a value, and the cluster that it belongs to.",
            "Leave the other rows out first, and say how many they were.",
        )
