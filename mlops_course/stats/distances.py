"""How far apart samples of one feature are, and how surely they differ: the usual measures.

Samples come as counts over the values that they share. A feature of thousands of rows has a few
hundred values, and counts can be added and subtracted: so many samples are compared at once. Each
distance is 0 for no difference. Two run to 1, in shares; the others say what they are measured in.

The p-values take every row for independent of every other. Rows of one week are not: they share
its weather. With Bonferroni's correction over the 14 features they call all twelve whole weeks of
January to March 2013 different from the others, and 2 to 5% of windows whose rows are drawn by lot.
The usual limits of the index and of Jensen-Shannon are crossed by all twelve, too. By lot they know
nothing of the number of rows: of 100 windows of 200 flights 3 and 100 alarm, of 1,000 flights 0 and
1, of 6,000 none (`mlops-course bench --statistics`).
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import kolmogorov, rel_entr
from scipy.stats import chi2_contingency

from mlops_course.core.errors import ParameterError

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
BINS = 10
EMPTY_BIN = 0.5  # rows
MIN_EXPECTED = 5  # rows


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


def population_stability_index(counts: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the population stability index of samples that were sorted into bins.

    It is ``sum((p - q) * ln(p / q))`` over the bins' shares, in nats, from 0 without an upper
    bound. A bin that is empty in one sample would make it infinite: it counts as half a row there.
    One that is empty in both adds nothing. The usual limits of .1 and .25 do not know how many rows
    there are, but the index does: two samples of n and m rows of one distribution have about
    ``(bins - 1) * (1 / n + 1 / m)`` on average.

    Parameters
    ----------
    counts, others
        Shape (..., bins): how often each bin occurs. `bin_by_quantiles` makes them of numbers.

    Returns
    -------
    array of shape (...,); NaN where a sample is empty.

    Source: Jeffreys, *An invariant form for the prior probability in estimation problems*,
    Proceedings of the Royal Society A 186, 1946 (the sum); Siddiqi, *Credit risk scorecards*, 2006
    (the limits); Yurdakul, *Statistical properties of population stability index*, Western Michigan
    University, 2018 (the average).

    >>> float(population_stability_index(np.array([50, 50]), np.array([25, 75])).round(3))
    0.275
    """
    occurs = (counts > 0) | (others > 0)
    share = np.maximum(counts, EMPTY_BIN) / _rows(counts)
    other = np.maximum(others, EMPTY_BIN) / _rows(others)
    terms = np.where(occurs, (share - other) * np.log(share / other), 0.0)
    return _unless_empty(terms.sum(axis=-1), counts, others)


def jensen_shannon(counts: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon distance of samples, base 2: from 0 to 1 for nothing in common.

    It is the distance, ``sqrt((KL(p, m) + KL(q, m)) / 2)`` with ``m`` halfway between the shares
    ``p`` and ``q``. Its square is the divergence, in bits. Where most values are all different, as
    in a short sample of a continuous number, it is large by chance: bin such numbers first.

    Parameters
    ----------
    counts, others
        Shape (..., values): how often each value occurs, in any order, the same for both.

    Returns
    -------
    array of shape (...,); NaN where a sample is empty.

    Source: Lin, *Divergence measures based on the Shannon entropy*, IEEE Transactions on
    Information Theory 37, 1991; Endres and Schindelin, *A new metric for probability
    distributions*, the same journal 49, 2003 (that its root is a distance).

    >>> float(jensen_shannon(np.array([50, 50, 0]), np.array([0, 0, 9])))
    1.0
    """
    share = _shares(counts)
    other = _shares(others)
    middle = (share + other) / 2
    nats = (rel_entr(share, middle) + rel_entr(other, middle)).sum(axis=-1) / 2
    # Rounding leaves nearly equal shares a little below 0, which has no root.
    return _unless_empty(np.sqrt(np.maximum(nats, 0) / np.log(2)), counts, others)


def wasserstein_scaled(counts: np.ndarray, others: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return how far the rows must move to turn samples into each other, in standard deviations.

    It is the first Wasserstein distance, the area between the two distribution functions, over the
    standard deviation of ``others``, the reference. A shift of the whole sample by half a standard
    deviation is .5, whatever the unit.

    Parameters
    ----------
    counts, others
        Shape (..., values): how often each value occurs.
    values
        Shape (values,): the values in ascending order, numbers.

    Returns
    -------
    array of shape (...,); NaN where a sample is empty. Where the reference is one constant: 0 if
    the sample is the same one, else infinite.

    Raises
    ------
    ParameterError
        If the values do not ascend.

    Source: Vallender, *Calculation of the Wasserstein distance between probability distributions on
    the line*, Theory of Probability and its Applications 18, 1974.

    >>> minutes = np.array([0.0, 10.0, 20.0])
    >>> float(wasserstein_scaled(np.array([0, 5, 5]), np.array([5, 5, 0]), minutes))
    2.0
    """
    widths = np.diff(values)
    if not (widths > 0).all():
        raise ParameterError(
            "The values do not ascend, or one is missing.",
            "Each count belongs to one number, and the numbers are in ascending order.",
            "Sort the values and their counts, as numpy.unique does, and leave the missing out.",
        )
    gaps = np.cumsum(_shares(counts) - _shares(others), axis=-1)[..., :-1]
    moved = (np.abs(gaps) * widths).sum(axis=-1)
    other = _shares(others)
    mean = (other * values).sum(axis=-1, keepdims=True)
    spread = np.sqrt((other * (values - mean) ** 2).sum(axis=-1))
    constant = (others > 0).sum(axis=-1) <= 1
    scaled = np.divide(moved, spread, out=np.full_like(moved, np.inf), where=~constant)
    return _unless_empty(np.where(moved == 0, 0.0, scaled), counts, others)


def chi_squared(counts: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the chi-squared statistic of samples over categories, and its p-value.

    The p-value is true only if at least five rows are expected in every cell. So the categories in
    which fewer are, in either sample, are pooled, rarest first, until there are five. That looks at
    both samples together and not at their difference. What happens within the pool goes unseen.

    Parameters
    ----------
    counts, others
        Shape (..., values): how often each category occurs, in any order, the same for both.

    Returns
    -------
    two arrays of shape (...,): statistic and p-value. NaN where a sample is empty, or so small that
    all categories are one pool. 0 and 1 where both know one category only, and the same.

    Source: Pearson, *On the criterion that a given system of deviations* ..., Philosophical
    Magazine 50, 1900; Cochran, *Some methods for strengthening the common chi-squared tests*,
    Biometrics 10, 1954 (how many to expect).

    >>> statistic, p_value = chi_squared(np.array([50, 50]), np.array([30, 70]))
    >>> round(float(statistic), 2), round(float(p_value), 4)
    (8.33, 0.0039)
    """
    samples, references = np.broadcast_arrays(counts, others)
    shape = samples.shape[:-1]
    pairs = [np.stack([samples[place], references[place]]) for place in np.ndindex(shape)]
    found = np.array([_chi_squared_of(pair) for pair in pairs]).reshape(*shape, 2)
    return found[..., 0], found[..., 1]


def kolmogorov_smirnov_p_value(
    distances: np.ndarray, rows: np.ndarray | int, others: np.ndarray | int
) -> np.ndarray:
    """Return how often samples of one distribution lie as far apart as `kolmogorov_smirnov` says.

    The limit for many rows. `scipy.stats.ks_2samp` has it more exactly and takes far longer: with
    200 rows against very many this one is some 7% larger, with 3,000 some 2%. Where values repeat,
    the true chance is smaller: with ties the test is conservative.

    Parameters
    ----------
    distances
        Shape (...,).
    rows, others
        How many rows each sample has, at least one.

    Source: Smirnov, *Table for estimating the goodness of fit of empirical distributions*, Annals
    of Mathematical Statistics 19, 1948.

    >>> float(kolmogorov_smirnov_p_value(np.array(0.1), 200, 200).round(2))
    0.27
    """
    return kolmogorov(distances * np.sqrt(np.multiply(rows, others) / np.add(rows, others)))


def bin_by_quantiles(table: np.ndarray, reference: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Return the counts of samples in bins that would hold equally many rows of the reference.

    A bin ends at a quantile of the reference, which belongs to it; the first and the last are open.
    Only the order of the values is asked for, so a monotone change of the unit changes nothing.
    A value that is frequent in the reference fills several bins: the others of these stay empty.
    What lies below all of the reference falls into its first bin, and there goes unseen.

    Parameters
    ----------
    table
        Shape (..., values): the counts, values in ascending order, as `aligned` returns them.
    reference
        Shape (values,): the counts that say where the bins end.

    Returns
    -------
    array of integers, shape (..., bins).

    Raises
    ------
    ParameterError
        If the reference is empty, or there are fewer than two bins.

    >>> bin_by_quantiles(np.array([[0, 1, 1, 8]]), np.array([5, 5, 5, 5]), bins=2)
    array([[1, 9]])
    """
    rows = int(reference.sum())
    if rows == 0 or bins < 2:
        raise ParameterError(
            f"The reference has {rows} rows, and {bins} bins are asked for.",
            "At least one row says where the bins end, and one bin tells nothing.",
            "Give the counts of the reference's known values, and two bins or more.",
        )
    below = np.cumsum(reference) - reference
    number = np.minimum(below * bins // rows, bins - 1)
    return table @ (number[:, None] == np.arange(bins)).astype(np.int64)


def leave_one_out(distance: Distance, table: np.ndarray) -> np.ndarray:
    """Return the distance of each sample from all the others together.

    Parameters
    ----------
    distance
        `kolmogorov_smirnov`, `total_variation`, or another of two samples' counts.
    table
        Shape (samples, values): the counts, as `aligned` returns them.

    Returns
    -------
    array of shape (samples,); NaN where the sample or all the others are empty.

    >>> leave_one_out(kolmogorov_smirnov, np.array([[9, 1], [9, 1], [1, 9]])).round(3)
    array([0.4, 0.4, 0.8])
    """
    return distance(table, table.sum(axis=0) - table)


def _rows(counts: np.ndarray) -> np.ndarray:
    """Return the rows of each sample; 1 of an empty one, which divides without a warning."""
    return np.maximum(counts.sum(axis=-1, keepdims=True), 1)


def _shares(counts: np.ndarray) -> np.ndarray:
    return counts / _rows(counts)


def _unless_empty(distances: np.ndarray, counts: np.ndarray, others: np.ndarray) -> np.ndarray:
    known = (counts.sum(axis=-1) > 0) & (others.sum(axis=-1) > 0)
    return np.where(known, distances, np.nan)


def _chi_squared_of(pair: np.ndarray) -> tuple[float, float]:
    """Return statistic and p-value of two samples, shape (2, values)."""
    if (pair.sum(axis=1) == 0).any():
        return np.nan, np.nan
    occurring = pair[:, pair.sum(axis=0) > 0]
    if occurring.shape[1] == 1:
        return 0.0, 1.0
    cells = _pooled(occurring)
    if cells.shape[1] < 2:
        return np.nan, np.nan
    found = chi2_contingency(cells, correction=False)
    return float(found.statistic), float(found.pvalue)


def _pooled(pair: np.ndarray) -> np.ndarray:
    """Return two samples with the rarest categories in one, until enough is expected in each."""
    totals = pair.sum(axis=0)
    rarest_first = pair[:, np.argsort(totals, kind="stable")]
    smaller = pair.sum(axis=1).min() / pair.sum()
    expected = smaller * np.sort(totals)
    sparse = int((expected < MIN_EXPECTED).sum())
    if sparse == 0:
        return pair
    while sparse < len(totals) and expected[:sparse].sum() < MIN_EXPECTED:
        sparse += 1
    pool = rarest_first[:, :sparse].sum(axis=1, keepdims=True)
    return np.hstack([pool, rarest_first[:, sparse:]])
