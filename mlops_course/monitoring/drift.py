"""How far a week's inputs have moved from training, on a scale that training itself sets.

A textbook test asks whether a week differs from the training rows by more than chance. Real
weeks always do: their rows share the same weather and the same storms. So the yardstick here
is how much the training weeks differ from one another. No labels are needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from mlops_course.core.errors import DataError
from mlops_course.data.features import CATEGORICAL, FEATURES
from mlops_course.stats.distances import kolmogorov_smirnov, total_variation

MARGIN = 1.5
MAX_EDGE = 0.8
MIN_WEEKS = 4

Sample = np.ndarray | dict[str, float]


@dataclass(frozen=True)
class Reference:
    """What later weeks are compared with.

    Attributes
    ----------
    sample
        Feature to its training values: sorted numbers, or each category's share.
    missing
        Feature to its share of missing values.
    edge
        Feature to the distance at which a week counts as drifted: `MARGIN` times the
        largest distance of one training week from the whole, and at most `MAX_EDGE`,
        where hardly any of the week's values would be at home in training.
    """

    sample: Mapping[str, Sample]
    missing: Mapping[str, float]
    edge: Mapping[str, float]


def fit_reference(flights: pd.DataFrame) -> Reference:
    """Learn the yardstick from the training flights, week by week.

    Raises
    ------
    DataError
        If they cover fewer than four whole weeks.
    """
    week_of = flights["date"].dt.to_period("W-SUN")
    sizes = flights.groupby(week_of)["date"].nunique()
    whole = sizes.index[sizes == timedelta(weeks=1).days]
    if len(whole) < MIN_WEEKS:
        raise DataError(
            f"The training period holds {len(whole)} whole weeks.",
            f"Judging drift takes at least {MIN_WEEKS}, to see how weeks differ by themselves.",
            "Train on a longer period.",
        )
    sample, missing = _summarise(flights)
    weeks = [flights[week_of == week] for week in whole]
    edge = {}
    for name in FEATURES:
        typical = [_distance(week[name], sample[name], missing[name]) for week in weeks]
        edge[name] = min(MARGIN * max(typical), MAX_EDGE)
    return Reference(sample, missing, edge)


def drift_scores(reference: Reference, flights: pd.DataFrame) -> dict[str, float]:
    """Return each feature's distance from training, divided by its edge: above 1 is drift.

    The distance is the Kolmogorov-Smirnov statistic for numbers and the total variation distance
    for categories, or the change of the share of missing values
    where that is larger: 0 is no change, and a wholly missing column scores as far as it can.
    """
    return {
        name: _distance(flights[name], reference.sample[name], reference.missing[name])
        / max(reference.edge[name], 1e-9)
        for name in FEATURES
    }


def drifted(scores: Mapping[str, float]) -> tuple[str, ...]:
    """Return the features whose score is above 1, most drifted first."""
    return tuple(sorted((name for name in scores if scores[name] > 1), key=lambda n: -scores[n]))


def _shares(column: pd.Series) -> dict[str, float]:
    """Return each category's share of the values that are there."""
    counted = column.value_counts(normalize=True)
    return {str(name): float(share) for name, share in counted.items() if share > 0}


def _summarise(flights: pd.DataFrame) -> tuple[dict[str, Sample], dict[str, float]]:
    sample: dict[str, Sample] = {}
    for name in FEATURES:
        present = flights[name].dropna()
        sample[name] = _shares(present) if name in CATEGORICAL else np.sort(present.to_numpy())
    return sample, {name: float(flights[name].isna().mean()) for name in FEATURES}


def _distance(column: pd.Series, sample: Sample, missing: float) -> float:
    present = column.dropna()
    change = abs(float(column.isna().mean()) - missing)
    if present.empty:
        return change
    if isinstance(sample, dict):
        return max(change, total_variation(_shares(present), sample))
    return max(change, kolmogorov_smirnov(np.sort(present.to_numpy()), sample))
