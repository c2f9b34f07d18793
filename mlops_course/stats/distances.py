"""How far apart two samples of one feature are, from 0 for no difference to 1."""

from collections.abc import Mapping

import numpy as np


def kolmogorov_smirnov(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest gap between the distribution functions of two sorted samples.

    The gap is largest just before or at a value of either sample, so those of one suffice.

    Source: Massey, *The Kolmogorov-Smirnov test for goodness of fit*, Journal of the American
    Statistical Association 46, 1951.

    >>> kolmogorov_smirnov(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.5
    """
    gaps = [
        np.searchsorted(one, one, side) / len(one) - np.searchsorted(other, one, side) / len(other)
        for side in ("left", "right")
    ]
    return float(np.abs(gaps).max())


def total_variation(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Return half the sum of the differences between two sets of shares.

    Source: any text on probability; half the L1 distance.

    >>> total_variation({"UA": 0.5, "AA": 0.5}, {"UA": 1.0})
    0.5
    """
    names = {*one, *other}
    return sum(abs(one.get(name, 0.0) - other.get(name, 0.0)) for name in names) / 2
