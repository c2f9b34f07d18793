"""Pure training: the same rows and the same configuration give the same model.

No files, no MLflow, no globals. `tracking` records what happens here, `gate` judges it.
"""

import time
from dataclasses import asdict, dataclass

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from mlops_course.core.errors import DataError, ParameterError
from mlops_course.data.features import encode, vocabulary_of
from mlops_course.data.flights import labelled
from mlops_course.training.model import DelayModel, model_digest

MIN_TRAINING_ROWS = 500


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
    if len(known) < MIN_TRAINING_ROWS or known["late"].nunique() < 2:
        raise DataError(
            f"There are {len(known)} labelled flights to train on, "
            f"{int(known['late'].sum())} of them late.",
            f"Training needs at least {MIN_TRAINING_ROWS}, some late and some not.",
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
