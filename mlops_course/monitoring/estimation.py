"""How good the calls probably were, before any label has arrived: an estimate with its band.

A model that knows how sure to be tells its own accuracy: of flights that it calls late with 80%, it
should be right about 80. That needs no labels, and it holds while what the model knows about these
flights is still true: other flights, other weather. It cannot see that the relation itself has
changed; then it stays calm, and wrong. So it is a figure to fill the days until the labels come,
and wakes nobody by itself. Where they come within days, it was not shown to be closer than the
accuracy of the four weeks before (April to December 2013, counted in lesson 07).
"""

from dataclasses import dataclass
from math import nan

import numpy as np
import pandas as pd

from mlops_course.monitoring.performance import MIN_DAYS
from mlops_course.stats.calibration import Calibration, calibrated
from mlops_course.training.model import called_late

# Of the 39 weeks from April to December 2013, 34 lie within it, and the estimate of one is off by
# 11 points. Calibrated on the 14 days before.
BAND = 0.04


@dataclass(frozen=True)
class Estimate:
    """What the accuracy of a window probably is, as shares from 0 to 1.

    Attributes
    ----------
    accuracy
        The estimate; NaN where no flight was answered.
    low, high
        The band of `BAND` around it; NaN with fewer than `performance.MIN_DAYS` days. It was
        measured on whole weeks while nothing was broken.
    raw
        The mean confidence before calibration. On the real year it was as close: off by .0217 a
        week on average, the estimate by .0225, and the held-out accuracy as a constant by .0307.
    rows, days
        The answered flights, and on how many days they are.
    """

    accuracy: float
    low: float
    high: float
    raw: float
    rows: int
    days: int


def estimate_accuracy(window: pd.DataFrame, calibration: Calibration) -> Estimate:
    """Estimate the accuracy of a window of production without its labels.

    It is the mean, over the flights answered, of the calibrated probability of the class that was
    called. The call is made with the probability as the model gave it.

    Parameters
    ----------
    window
        One row a flight, with ``date`` and ``probability``, which is NaN where none was answered:
        for instance what `performance.join` returns.
    calibration
        Learned from flights that the model was not trained on.

    Source: confidence-based performance estimation (CBPE) in the documentation of the package
    NannyML; average confidence in Guillory et al., *Predicting with confidence on unseen
    distributions*, ICCV 2021, and in Garg et al., *Leveraging unlabeled data to predict
    out-of-distribution performance*, ICLR 2022, where it is shown that no such estimate holds
    under every change.
    """
    probability = window["probability"].to_numpy(dtype="float64")
    answered = ~np.isnan(probability)
    said = probability[answered]
    days = int(window["date"][answered].nunique())
    if not len(said):
        return Estimate(nan, nan, nan, nan, rows=0, days=0)
    late = calibrated(calibration, said)
    accuracy = float(np.where(called_late(said), late, 1 - late).mean())
    enough = days >= MIN_DAYS
    return Estimate(
        accuracy,
        low=max(accuracy - BAND, 0.0) if enough else nan,
        high=min(accuracy + BAND, 1.0) if enough else nan,
        raw=float(np.maximum(said, 1 - said).mean()),
        rows=len(said),
        days=days,
    )
