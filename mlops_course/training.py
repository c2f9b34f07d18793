"""Pure training: the same rows and the same configuration give the same model.

No files, no MLflow, no globals. `tracking` records what happens here, `validation` judges it.
"""

import hashlib
import time
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)
from threadpoolctl import threadpool_limits

from mlops_course.errors import DataError, ParameterError
from mlops_course.features import Vocabulary, encode, vocabulary_of
from mlops_course.flights import LATE_MINUTES, labelled

LEAST_ROWS = 500


@dataclass(frozen=True)
class TrainingConfig:
    """Hyperparameters, by scikit-learn's names; early stopping is off so that seeds agree."""

    max_iter: int = 60
    learning_rate: float = 0.1
    max_leaf_nodes: int = 31
    min_samples_leaf: int = 20
    early_stopping: bool = False
    random_state: int = 0


@dataclass(frozen=True)
class DelayModel:
    """A fitted classifier and the vocabulary it was fitted with; they belong together."""

    estimator: HistGradientBoostingClassifier
    vocabulary: Vocabulary = field(repr=False)

    def probability(self, rows: pd.DataFrame) -> np.ndarray:
        """Return each flight's probability of arriving late, shape (rows,)."""
        with threadpool_limits(1):
            return self.estimator.predict_proba(encode(rows, self.vocabulary))[:, 1]


@dataclass(frozen=True)
class TrainingResult:
    """What one call to `train` gave."""

    model: DelayModel
    config: TrainingConfig
    rows: int
    seconds: float
    digest: str


def train(flights: pd.DataFrame, config: TrainingConfig | None = None) -> TrainingResult:
    """Fit the delay model to the labelled flights among ``flights``.

    Raises
    ------
    DataError
        If there are fewer than 500 labelled flights, or only one kind of them.
    ParameterError
        If scikit-learn refuses a hyperparameter.
    """
    config = config or TrainingConfig()
    known = labelled(flights)
    if len(known) < LEAST_ROWS or known["late"].nunique() < 2:
        raise DataError(
            f"There are {len(known)} labelled flights to train on, "
            f"{int(known['late'].sum())} of them late.",
            f"Training needs at least {LEAST_ROWS}, some late and some not.",
            "Choose a longer period.",
        )
    vocabulary = vocabulary_of(known)
    matrix = encode(known, vocabulary)
    estimator = HistGradientBoostingClassifier(**asdict(config))
    started = time.perf_counter()
    try:
        with threadpool_limits(1):
            estimator.fit(matrix, known["late"].to_numpy() == 1)
    except ValueError as error:
        raise ParameterError(
            f"scikit-learn refuses this configuration: {error}",
            "The fields of TrainingConfig follow HistGradientBoostingClassifier.",
            "Correct the value named above.",
        ) from error
    seconds = time.perf_counter() - started
    return TrainingResult(
        DelayModel(estimator, vocabulary), config, len(known), seconds, model_digest(estimator)
    )


def model_digest(estimator: HistGradientBoostingClassifier) -> str:
    """Return 12 hex digits over the fitted arrays: equal digests, equal predictions.

    A digest over the saved file would not do: skops writes other bytes each time.
    """
    digest = hashlib.sha256(np.asarray(estimator._baseline_prediction).tobytes())
    for trees in estimator._predictors:
        for tree in trees:
            for name in tree.nodes.dtype.names:
                digest.update(np.ascontiguousarray(tree.nodes[name]).tobytes())
    return digest.hexdigest()[:12]


def baseline(flights: pd.DataFrame) -> np.ndarray:
    """Return the one-line rule that stays in every table: left late, arrives late."""
    return (flights["dep_delay"] > LATE_MINUTES).to_numpy()


def evaluate(late: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Return the figures of a set of predictions at the decision threshold 0.5.

    Parameters
    ----------
    late
        Labels, 1 or 0, shape (rows,).
    probability
        Predicted probability of late, shape (rows,).
    """
    called = probability >= 0.5
    return {
        "accuracy": float(accuracy_score(late, called)),
        "precision": float(precision_score(late, called, zero_division=0)),
        "recall": float(recall_score(late, called, zero_division=0)),
        "roc_auc": float(roc_auc_score(late, probability)),
        "brier": float(brier_score_loss(late, probability)),
        "log_loss": float(log_loss(late, probability)),
    }
