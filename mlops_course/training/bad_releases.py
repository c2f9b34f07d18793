"""Models that a colleague promotes past the gate: each is real, and wrong in a way of its own.

Whoever drills needs releases that are known to be bad. They are made from the model that serves or
from flights, by the mistakes that make them in practice.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pandas as pd

from mlops_course.training.model import DelayModel, model_digest
from mlops_course.training.trainer import TrainingConfig, TrainingResult, train

COPIES = 64
_LOT = 4  # keeps its draw apart from others
_TYPING_ERROR = TrainingConfig(learning_rate=1e-6, max_iter=1)


def _worse(champion: TrainingResult, flights: pd.DataFrame) -> TrainingResult:
    """Train on as many punctual flights as late ones, and leave the answers as they come out."""
    late = flights["late"] == 1
    lot = np.random.default_rng(_LOT).random(len(flights))
    return train(flights[late | (lot < late.mean() / (1 - late.mean()))])


def _stuck(champion: TrainingResult, flights: pd.DataFrame) -> TrainingResult:
    """Train at a rate so low that nothing is learned."""
    return train(flights, _TYPING_ERROR)


def _slow(champion: TrainingResult, flights: pd.DataFrame) -> TrainingResult:
    """Store every tree many times, each with its share of the weight: the same answers, slowly."""
    estimator = deepcopy(champion.model.estimator)
    for trees in estimator._predictors:
        for tree in trees:
            tree.nodes["value"] /= COPIES
    estimator._predictors = estimator._predictors * COPIES
    model = DelayModel(estimator, champion.model.vocabulary)
    return replace(champion, model=model, digest=model_digest(estimator))


BAD_RELEASES: Mapping[str, Callable[[TrainingResult, pd.DataFrame], TrainingResult]] = {
    "worse": _worse,
    "stuck": _stuck,
    "slow": _slow,
}
"""What makes each from the model that serves and the flights that it learned from, by name."""
