"""The scoring model: a fitted classifier with its vocabulary, and where its calls are cut.

Training makes it, the service and the gate read it from the registry's files. It needs neither
pandas nor MLflow, as the service does not.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from threadpoolctl import threadpool_limits

from mlops_course.core.errors import ModelError
from mlops_course.data.features import Vocabulary, encode

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

DECISION_THRESHOLD = 0.5


@dataclass(frozen=True)
class DelayModel:
    """A fitted classifier and the vocabulary it was fitted with; they belong together."""

    estimator: "HistGradientBoostingClassifier"
    vocabulary: Vocabulary = field(repr=False)

    def encode(self, rows: Mapping[str, Any]) -> np.ndarray:
        """Return rows as the matrix that the classifier takes; see `features.encode`."""
        return encode(rows, self.vocabulary)

    def probability_of(self, matrix: np.ndarray) -> np.ndarray:
        """Return the probability of late for each row of an encoded matrix, shape (rows,)."""
        return self.estimator.predict_proba(matrix)[:, 1]

    def probability(self, rows: Mapping[str, Any]) -> np.ndarray:
        """Return each flight's probability of arriving late, shape (rows,), on one thread."""
        with threadpool_limits(1):
            return self.probability_of(self.encode(rows))


def called_late(probability: np.ndarray) -> np.ndarray:
    """Return which flights a model calls late, boolean; NaN, no answer, is called nothing.

    >>> called_late(np.array([0.2, 0.5, np.nan]))
    array([False,  True, False])
    """
    return probability >= DECISION_THRESHOLD


def load_model(folder: Path) -> DelayModel:
    """Read a model that MLflow saved with skops.

    Raises
    ------
    ModelError
        If its files are missing, or are no such model.
    """
    import skops.io
    import yaml

    try:
        saved = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
        flavor = saved["flavors"]["sklearn"]
        trusted = flavor["skops_trusted_types"]
        estimator = skops.io.load(folder / flavor["pickled_model"], trusted=trusted)
        return DelayModel(estimator, saved["metadata"]["vocabulary"])
    except (OSError, KeyError, TypeError, ValueError, BadZipFile, yaml.YAMLError) as error:
        why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise ModelError(
            f"The model's files cannot be read ({' '.join(str(why).split())}).",
            f"MLflow keeps a model as MLmodel and a skops file, here in {folder}.",
            "Put the files back, or register the model again.",
        ) from error


def model_digest(estimator: "HistGradientBoostingClassifier") -> str:
    """Return 12 hex digits over the fitted arrays: equal digests, equal predictions.

    A digest over the saved file would not do: skops writes other bytes each time.
    """
    digest = hashlib.sha256(np.asarray(estimator._baseline_prediction).tobytes())
    for trees in estimator._predictors:
        for tree in trees:
            for name in tree.nodes.dtype.names:
                digest.update(np.ascontiguousarray(tree.nodes[name]).tobytes())
    return digest.hexdigest()[:12]
