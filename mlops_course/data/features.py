"""What the model is told about a flight, and how that becomes numbers.

Training and serving both call `encode`, so the two sides cannot drift apart. Needs numpy
alone: the scoring service imports it without pandas.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

WEATHER = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")
NUMERIC = ("dep_delay", "distance", "hour", "day_of_week", *WEATHER)
CATEGORICAL = ("carrier", "origin", "dest")
FEATURES = (*NUMERIC, *CATEGORICAL)
REQUIRED = tuple(name for name in FEATURES if name not in WEATHER)

Vocabulary = Mapping[str, Sequence[str]]


def vocabulary_of(rows: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return the sorted categories of each categorical feature, as training saw them.

    >>> vocabulary_of({"carrier": ["UA", "AA"], "origin": ["JFK"], "dest": ["MIA", "MIA"]})
    {'carrier': ['AA', 'UA'], 'origin': ['JFK'], 'dest': ['MIA']}
    """
    return {name: sorted(set(rows[name])) for name in CATEGORICAL}


def encode(rows: Mapping[str, Any], vocabulary: Vocabulary) -> np.ndarray:
    """Turn named columns into the model's matrix.

    Parameters
    ----------
    rows
        A data frame or a mapping of the 14 `FEATURES` to equally long columns. Missing
        numbers are NaN.
    vocabulary
        The categories known from training; any other value becomes NaN, which the model
        treats as missing.

    Returns
    -------
    array of float64, shape (rows, 14), columns in the order of `FEATURES`.
    """
    matrix = np.empty((len(rows[FEATURES[0]]), len(FEATURES)))
    for column, name in enumerate(FEATURES):
        if name in CATEGORICAL:
            codes = {value: float(code) for code, value in enumerate(vocabulary[name])}
            matrix[:, column] = [codes.get(value, np.nan) for value in rows[name]]
        else:
            matrix[:, column] = rows[name]
    return matrix
