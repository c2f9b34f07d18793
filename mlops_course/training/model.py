"""The scoring model: a fitted classifier with its vocabulary, and where its calls are cut.

Training makes it, the service and the gate read it from the registry's files, of which they
believe nothing. It needs neither pandas nor MLflow, as the service does not.
"""

import hashlib
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import numpy as np
from threadpoolctl import threadpool_limits

from mlops_course.core.errors import ModelError
from mlops_course.core.texts import short
from mlops_course.data.features import CATEGORICAL, FEATURES, Vocabulary, encode

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

DECISION_THRESHOLD = 0.5
# What a model's file may be made of beyond what skops takes from anybody; saving and loading both
# go by this list, and never by the one that MLflow keeps beside the file.
TRUSTED_TYPES = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]
ABOUT = "MLmodel"
ESTIMATOR = "model.skops"
COLUMNS = len(FEATURES)
MAX_BYTES = 64 * 2**20
# Nothing in such a line can end it, or reach into the next, whatever reads it as YAML.
_PLACE = re.compile(rb"^artifact_path: [A-Za-z0-9/:._~%+-]+\r?$", re.MULTILINE)
MAX_NAMES = 1_000


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


def load_model(folder: Path, digest: str = "") -> DelayModel:
    """Read a model that MLflow saved with skops.

    A model file can be code, so nothing in it says what may be made of it. Its name, its format
    and the types that it may need are the course's; what its trees point at is looked through,
    since scikit-learn follows it unchecked.

    Parameters
    ----------
    digest
        What `files_digest` gave when the model was registered; empty where nobody kept it.

    Raises
    ------
    ModelError
        If its files are missing, are no such model, are not those of the digest, or need a type
        that is not in `TRUSTED_TYPES`.
    """
    import skops.io
    import yaml
    from skops.io.exceptions import UntrustedTypesFoundException

    about, content = _files(folder)
    if digest and _digest(about, content) != digest:
        raise _changed(folder)
    try:
        saved = yaml.safe_load(about)
        flavor = saved["flavors"]["sklearn"]
        if (flavor["serialization_format"], flavor["pickled_model"]) != ("skops", ESTIMATOR):
            raise ValueError("it is no skops file of the usual name")
        vocabulary = _checked_vocabulary(saved["metadata"]["vocabulary"])
        _check_unpacked(content)
        return DelayModel(_checked(skops.io.loads(content, TRUSTED_TYPES)), vocabulary)
    except UntrustedTypesFoundException as error:
        foreign = sorted(set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED_TYPES))
        raise ModelError(
            f"The model's file needs a type that is not trusted: {short(', '.join(foreign))}.",
            "Making an object of any type can run code; only the course's own model is made.",
            "Do not load it unless you know who wrote it. Train and register the model again.",
        ) from error
    except Exception as error:  # what a file that is none can provoke has no end
        raise _unreadable(folder, f"{type(error).__name__}: {error}") from error


def files_digest(folder: Path) -> str:
    """Return the SHA-256 over the files that `load_model` reads, as they are now.

    What ``MLmodel`` says of where the files lie does not count, as long as it is a plain address:
    they may be moved.

    Raises
    ------
    ModelError
        If they cannot be read.
    """
    return _digest(*_files(folder))


def check_files(folder: Path, digest: str) -> None:
    """Refuse a model's files if they are not those that a digest was kept of.

    Raises
    ------
    ModelError
        If they have changed, or cannot be read.
    """
    if files_digest(folder) != digest:
        raise _changed(folder)


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


def _files(folder: Path) -> tuple[bytes, bytes]:
    """Return the contents of a model's two files, neither of which may be too large."""
    try:
        return _content(folder / ABOUT), _content(folder / ESTIMATOR)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise _unreadable(folder, why) from error


def _content(path: Path) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path.name} is no file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path.name} is larger than {MAX_BYTES // 2**20} MB")
    return content


def _digest(about: bytes, content: bytes) -> str:
    kept = _PLACE.sub(b"artifact_path:", about)
    return hashlib.sha256(hashlib.sha256(kept).digest() + content).hexdigest()


def _check_unpacked(content: bytes) -> None:
    """Refuse a small archive that would fill the memory."""
    with ZipFile(BytesIO(content)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
            raise ValueError(f"unpacked it is larger than {MAX_BYTES // 2**20} MB")


def _checked_vocabulary(found: Any) -> Vocabulary:
    """Return the vocabulary that a file holds, which every request is looked up in."""
    for name in CATEGORICAL:
        words = found[name]
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"the vocabulary of {name} is no list of names")
        if len(words) > MAX_NAMES:
            raise ValueError(f"the vocabulary of {name} has more than {MAX_NAMES:,} names")
    return {name: found[name] for name in CATEGORICAL}


def _checked(estimator: Any) -> "HistGradientBoostingClassifier":
    """Return the estimator if each of its trees stays inside itself and the model's columns.

    scikit-learn goes from node to node by the numbers that it finds there, without a look at where
    they lead. Children come after their parents, so the way always ends.
    """
    from sklearn._loss import HalfBinomialLoss
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

    if type(estimator) is not HistGradientBoostingClassifier:
        raise ValueError(f"it holds a {type(estimator).__name__}")
    if estimator._preprocessor is not None:
        raise ValueError("it changes its inputs by what the file says")
    parts = {HistGradientBoostingClassifier: estimator, HalfBinomialLoss: estimator._loss}
    for kind, part in {**parts, _BinMapper: estimator._bin_mapper}.items():
        _check_plain(part, kind)
    for trees in estimator._predictors:
        for tree in trees:
            _check_plain(tree, TreePredictor)
            inner = np.flatnonzero(tree.nodes["is_leaf"] == 0)
            nodes = tree.nodes[inner]
            children = np.stack([nodes["left"], nodes["right"]])
            inside = (children > inner) & (children < len(tree.nodes))
            known = (nodes["feature_idx"] >= 0) & (nodes["feature_idx"] < COLUMNS)
            if not (len(tree.nodes) and inside.all() and known.all()):
                raise ValueError("a tree of it points outside itself")
            if nodes["is_categorical"].any():
                raise ValueError(
                    "a tree of it asks for categories, which the course has as numbers"
                )
    return estimator


def _check_plain(part: Any, kind: type) -> None:
    """Refuse a part of another type, or one whose file has put something before its methods."""
    if type(part) is not kind or set(vars(part)) & set(dir(kind)):
        raise ValueError(f"its {kind.__name__} is none, or has methods of its own")


def _unreadable(folder: Path, why: str) -> ModelError:
    return ModelError(
        f"The model's files cannot be read ({short(why)}).",
        f"MLflow keeps a model as MLmodel and a skops file, here in {folder}.",
        "Put the files back, or register the model again.",
    )


def _changed(folder: Path) -> ModelError:
    return ModelError(
        f"The model's files have changed since it was registered, in {folder}.",
        "The registry keeps their digest, and nothing else is loaded under that version's name.",
        "Put the files back, or register the model again and let the gate judge it.",
    )
