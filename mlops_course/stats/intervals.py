"""Bounds for a share and for a paired difference, looked at once.

Rows count as independent here. For bounds that hold at every look see `confidence_sequences`.
"""

import numpy as np
from scipy.stats import binomtest, norm

CONFIDENCE = 0.95


def upper_bound(successes: int, trials: int) -> float:
    """Return the one-sided upper 95% bound of a proportion; 1.0 when nothing was observed.

    Source: Wilson, *Probable inference, the law of succession, and statistical inference*,
    Journal of the American Statistical Association 22, 1927.

    >>> round(upper_bound(88, 100), 3)
    0.924
    """
    if trials == 0:
        return 1.0
    interval = binomtest(successes, trials, alternative="less").proportion_ci(CONFIDENCE, "wilson")
    return float(interval.high)


def paired_interval(
    gained: np.ndarray, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Return lower bound, mean and upper bound of a paired difference, each one-sided.

    Parameters
    ----------
    gained
        Shape (rows,): 1 where only the candidate is right, -1 where only the yardstick is, else 0.

    Source: Agresti, *Categorical Data Analysis*, 3rd ed., section 11.1.

    >>> low, mean, high = paired_interval(np.array([1, 0, 0, -1, 1, 0, 0, 0]))
    >>> mean, low < 0 < high
    (0.125, True)
    """
    mean = float(gained.mean()) if len(gained) else 0.0
    error = float(gained.std(ddof=1) / np.sqrt(len(gained))) if len(gained) > 1 else np.inf
    reach = float(norm.ppf(confidence)) * error
    return mean - reach, mean, mean + reach
