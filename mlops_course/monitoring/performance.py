"""How well a window of production did: the prediction log joined with the labels that arrived."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlops_course.serving.prediction_log import KEY
from mlops_course.serving.routing import SHADOW
from mlops_course.stats.intervals import upper_bound
from mlops_course.training.evaluation import baseline, right_calls
from mlops_course.training.model import called_late


@dataclass(frozen=True)
class Quality:
    """How well a window of predictions did, once the labels are in; shares from 0 to 1.

    A share that nobody can know, since nothing was answered or labelled, is NaN.

    Attributes
    ----------
    rows, answered, labelled
        Flights that were to be scored, those the service answered, and those of the answered
        ones whose arrival is known.
    accuracy, upper
        Share of the labelled called right, and its one-sided upper 95% bound.
    baseline_accuracy
        The same of the rule ``dep_delay > 15``.
    predicted_late, observed_late
        Share of the answered called late, and share of all that was.
    confidence
        Mean probability the model gave to its own calls: what it believes its accuracy to be.
    """

    rows: int
    answered: int
    labelled: int
    accuracy: float
    upper: float
    baseline_accuracy: float
    predicted_late: float
    observed_late: float
    confidence: float

    @property
    def unanswered(self) -> int:
        """Flights that were to be scored and have no answer."""
        return self.rows - self.answered


def join(log: pd.DataFrame, labels: pd.Series) -> pd.DataFrame:
    """Join the prediction log with the labels of the flights that were to be scored.

    Parameters
    ----------
    log
        What `prediction_log.read_predictions` returns; what only a shadow saw does not count,
        and a request that was sent again counts as it went the first time.
    labels
        1 or 0 for each flight that was to be scored, NaN where the label has not arrived or
        never will, with ``request_id`` and ``row`` as index.

    Returns
    -------
    One row a flight that was to be scored, with the log's columns and ``late``; the log's are NaN
    where the flight was not answered.
    """
    answers = log[log["role"] != SHADOW].drop_duplicates(KEY).set_index(KEY)
    return labels.rename("late").to_frame().join(answers)


def measure(window: pd.DataFrame) -> Quality:
    """Measure a window of production as `join` returns it."""
    probability = window["probability"].to_numpy(dtype="float64")
    late = window["late"].to_numpy(dtype="float64")
    answered = ~np.isnan(probability)
    right = right_calls(probability, late)
    judged = ~np.isnan(right)
    rule = baseline(window) == (late == 1)
    return Quality(
        rows=len(window),
        answered=int(answered.sum()),
        labelled=int(judged.sum()),
        accuracy=_share(right[judged]),
        upper=upper_bound(int(right[judged].sum()), int(judged.sum())),
        baseline_accuracy=_share(rule[judged]),
        predicted_late=_share(called_late(probability[answered])),
        observed_late=_share(late[~np.isnan(late)]),
        confidence=_share(np.maximum(probability, 1 - probability)[answered]),
    )


def _share(values: np.ndarray) -> float:
    """Return the mean; NaN, without a warning, of nothing."""
    return float(values.mean()) if len(values) else float("nan")
