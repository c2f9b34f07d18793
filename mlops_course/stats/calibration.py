"""Does it rain on seven of ten days for which 70% was said? How far probabilities are from that.

A model that ranks well need not say good probabilities. On rows that it was not trained on one can
see how often what it calls likely comes true (`reliability`), and learn a monotone curve from what
it says to what happens (`fit_calibration`).
"""

from dataclasses import dataclass, field

import numpy as np

from mlops_course.core.errors import ParameterError

BINS = 10


@dataclass(frozen=True)
class Calibration:
    """A monotone curve from what a model says to how often it came true.

    Attributes
    ----------
    said, came_true
        The curve's corners, in ascending order, shape (corners,): straight lines between them,
        constant beyond the first and the last.
    rows
        How many rows it was learned from.
    """

    said: np.ndarray = field(repr=False)
    came_true: np.ndarray = field(repr=False)
    rows: int


@dataclass(frozen=True)
class Reliability:
    """What a model said and what came true, in bins of equally many rows.

    Attributes
    ----------
    said, came_true
        The mean probability and the share that came true of each bin, shape (bins,).
    rows
        How many rows each bin holds. Equal probabilities are never parted, so the bins may differ,
        and there may be fewer of them than were asked for.
    """

    said: np.ndarray
    came_true: np.ndarray
    rows: np.ndarray

    @property
    def expected_error(self) -> float:
        """The expected calibration error: how far the two are apart, on average over the rows."""
        return float(np.average(np.abs(self.said - self.came_true), weights=self.rows))


def fit_calibration(probability: np.ndarray, came_true: np.ndarray) -> Calibration:
    """Learn the curve by isotonic regression, from rows that the model was not trained on.

    Parameters
    ----------
    probability
        What the model said, from 0 to 1, shape (rows,).
    came_true
        1 where it happened and 0 where not, shape (rows,).

    Raises
    ------
    ParameterError
        If there are no rows, or one of them is no probability or has no label.

    Source: Zadrozny and Elkan, *Transforming classifier scores into accurate multiclass probability
    estimates*, KDD 2002; scikit-learn's `IsotonicRegression` does it.

    >>> curve = fit_calibration(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 1, 0, 1]))
    >>> calibrated(curve, np.array([0.1, 0.5, 1.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    from sklearn.isotonic import IsotonicRegression  # takes longer to import than all of this floor

    _check(probability, came_true)
    curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    curve.fit(probability, came_true)
    return Calibration(curve.X_thresholds_, curve.y_thresholds_, len(probability))


def calibrated(calibration: Calibration, probability: np.ndarray) -> np.ndarray:
    """Return what comes true of what a model says, shape (rows,); NaN stays NaN.

    >>> curve = Calibration(np.array([0.2, 0.6]), np.array([0.1, 0.9]), rows=100)
    >>> calibrated(curve, np.array([0.0, 0.4, 0.6, np.nan])).round(2).tolist()
    [0.1, 0.5, 0.9, nan]
    """
    return np.interp(probability, calibration.said, calibration.came_true)


def reliability(probability: np.ndarray, came_true: np.ndarray, bins: int = BINS) -> Reliability:
    """Compare what a model said with what came true, in bins of equally many rows.

    Its `expected_error` is above 0 by the luck of the rows alone, the more so the more bins and the
    fewer rows; and it is small, if not useless, on the rows that a calibration was learned from.

    Parameters
    ----------
    probability, came_true
        As for `fit_calibration`.
    bins
        How many bins, at most.

    Raises
    ------
    ParameterError
        If there are no rows, or one of them is no probability or has no label.

    Source: Naeini, Cooper and Hauskrecht, *Obtaining well calibrated probabilities using Bayesian
    binning*, AAAI 2015 (the error); Nguyen and O'Connor, *Posterior calibration and exploratory
    analysis for natural language processing models*, EMNLP 2015 (bins of equally many rows).

    >>> found = reliability(np.array([0.1, 0.3, 0.7, 0.9]), np.array([0, 0, 1, 0]), bins=2)
    >>> found.said.tolist(), found.came_true.tolist(), round(found.expected_error, 2)
    ([0.2, 0.8], [0.0, 0.5], 0.25)
    """
    _check(probability, came_true)
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    ends = np.unique(np.quantile(probability, inner, method="inverted_cdf"))
    number = np.searchsorted(ends, probability, side="left")
    rows = np.bincount(number)
    held = rows > 0
    said = np.bincount(number, weights=probability)[held] / rows[held]
    true = np.bincount(number, weights=came_true)[held] / rows[held]
    return Reliability(said, true, rows[held])


def _check(probability: np.ndarray, came_true: np.ndarray) -> None:
    """Refuse rows that would teach nothing or something wrong."""
    said = np.asarray(probability, dtype="float64")
    happened = np.asarray(came_true, dtype="float64")
    known = (said >= 0) & (said <= 1) & ((happened == 0) | (happened == 1))
    if not len(known) or not known.all():
        raise ParameterError(
            f"Of {len(known):,} rows, {int((~known).sum()):,} lack a probability or a label.",
            "It takes at least one row, each with a probability from 0 to 1, and a label 0 or 1.",
            "Leave out the rows that were not answered, and those whose label is not known.",
        )
