"""How far apart samples of one feature are, from 0 for no difference to 1.

Samples come as counts over the values that they share. A feature of thousands of rows has a few
hundred values, and counts can be added and subtracted: so many samples are compared at once.
"""

from collections.abc import Callable, Sequence

import numpy as np

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def aligned(samples: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the counts of several samples over the values of all of them.

    Parameters
    ----------
    samples
        For each sample its distinct values in ascending order, and how often each occurs.

    Returns
    -------
    array of integers, shape (samples, values), values in ascending order.

    >>> one = np.array([1.0, 2.0]), np.array([5, 5])
    >>> other = np.array([2.0, 3.0]), np.array([1, 9])
    >>> aligned([one, other])
    array([[5, 5, 0],
           [0, 1, 9]])
    """
    every = np.concatenate([values for values, _ in samples])
    shared, column = np.unique(every, return_inverse=True)
    row = np.repeat(np.arange(len(samples)), [len(values) for values, _ in samples])
    table = np.zeros((len(samples), len(shared)), dtype=np.int64)
    table[row, column] = np.concatenate([counts for _, counts in samples])
    return table


def kolmogorov_smirnov(counts: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the largest gap between the distribution functions of samples.

    Parameters
    ----------
    counts, others
        Shape (..., values): how often each value occurs, values in ascending order.

    Returns
    -------
    array of shape (...,); NaN where a sample is empty.

    Source: Massey, *The Kolmogorov-Smirnov test for goodness of fit*, Journal of the American
    Statistical Association 46, 1951.

    >>> float(kolmogorov_smirnov(np.array([5, 5, 0]), np.array([0, 5, 5])))
    0.5
    """
    gaps = np.cumsum(_shares(counts) - _shares(others), axis=-1)
    return _unless_empty(np.abs(gaps).max(axis=-1, initial=0.0), counts, others)


def total_variation(counts: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return half the sum of the differences between the shares of samples.

    Parameters
    ----------
    counts, others
        Shape (..., values): how often each value occurs, in any order, the same for both.

    Returns
    -------
    array of shape (...,); NaN where a sample is empty.

    Source: any text on probability; half the L1 distance.

    >>> float(total_variation(np.array([50, 50]), np.array([10, 0])))
    0.5
    """
    halved = np.abs(_shares(counts) - _shares(others)).sum(axis=-1) / 2
    return _unless_empty(halved, counts, others)


def leave_one_out(distance: Distance, table: np.ndarray) -> np.ndarray:
    """Return the distance of each sample from all the others together.

    Parameters
    ----------
    distance
        `kolmogorov_smirnov` or `total_variation`.
    table
        Shape (samples, values): the counts, as `aligned` returns them.

    Returns
    -------
    array of shape (samples,); NaN where the sample or all the others are empty.

    >>> leave_one_out(kolmogorov_smirnov, np.array([[9, 1], [9, 1], [1, 9]])).round(3)
    array([0.4, 0.4, 0.8])
    """
    return distance(table, table.sum(axis=0) - table)


def _shares(counts: np.ndarray) -> np.ndarray:
    return counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)


def _unless_empty(distances: np.ndarray, counts: np.ndarray, others: np.ndarray) -> np.ndarray:
    known = (counts.sum(axis=-1) > 0) & (others.sum(axis=-1) > 0)
    return np.where(known, distances, np.nan)
