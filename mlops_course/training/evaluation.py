"""How good calls are: the one-line rule to beat, who was right, and the usual figures."""

import numpy as np
import pandas as pd
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from mlops_course.data.flights import LATE_MINUTES
from mlops_course.training.model import called_late


def baseline(flights: pd.DataFrame) -> np.ndarray:
    """Return the one-line rule that stays in every table: left late, arrives late."""
    return (flights["dep_delay"] > LATE_MINUTES).to_numpy()


def right_calls(probability: np.ndarray, late: np.ndarray) -> np.ndarray:
    """Return 1.0 where a flight was called right, 0.0 where wrong, NaN where nobody can say.

    Parameters
    ----------
    probability
        Predicted probability of late, shape (rows,); NaN where the model gave no answer.
    late
        Labels, 1 or 0, shape (rows,); NaN where none has arrived.

    >>> right_calls(np.array([0.9, 0.9, np.nan, 0.1]), np.array([1.0, 0.0, 1.0, np.nan]))
    array([ 1.,  0., nan, nan])
    """
    known = ~(np.isnan(probability) | np.isnan(late))
    return np.where(known, called_late(probability) == (late == 1), np.nan)


def evaluate(late: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Return the figures of a set of predictions, their calls cut at the decision threshold.

    Parameters
    ----------
    late
        Labels, 1 or 0, shape (rows,).
    probability
        Predicted probability of late, shape (rows,).
    """
    called = called_late(probability)
    return {
        "accuracy": float(accuracy_score(late, called)),
        "precision": float(precision_score(late, called, zero_division=0)),
        "recall": float(recall_score(late, called, zero_division=0)),
        "roc_auc": float(roc_auc_score(late, probability)),
        "brier": float(brier_score_loss(late, probability)),
        "log_loss": float(log_loss(late, probability)),
    }
