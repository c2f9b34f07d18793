"""How well a window of production did: the prediction log joined with the labels that arrived."""

from dataclasses import dataclass
from math import hypot, nan

import numpy as np
import pandas as pd

from mlops_course.monitoring.labels import Labels
from mlops_course.serving.prediction_log import KEY
from mlops_course.serving.routing import SHADOW
from mlops_course.stats.clustered import CONFIDENCE, mean_bounds, quantile
from mlops_course.training.evaluation import baseline, right_calls
from mlops_course.training.model import called_late

MIN_DAYS = 5
MIN_LABELLED = 1_000
# Weeks differ by more than the luck of their days: the accuracy of a week varies around that of the
# weeks beside it as if each had a level of its own, off by 1.7 to 2.3 points (April to December
# 2013, for one to three weeks on either side; with the days in random order by none). Taken as
# 1.65 points, which is enough: the bound takes the quantile of few days for all of its error.
WEEKS_DIFFER = 0.0165


@dataclass(frozen=True)
class Quality:
    """How well a window of predictions did, once the labels are in; shares from 0 to 1.

    A share that nobody can know, since nothing was answered or labelled, is NaN. Days are what
    counts as independent, since flights of a day share its weather.

    Attributes
    ----------
    rows, answered, labelled
        Flights that were to be asked about, those the service answered, and those of the answered
        ones whose arrival is known.
    days
        Days with a labelled answer.
    accuracy
        Share of the labelled called right.
    upper
        Its upper 95% bound, one-sided, for one look: where weeks like this one have their level.
        NaN, *cannot tell*, with fewer than `MIN_DAYS` days or `MIN_LABELLED` flights.
    standard_error
        Of the accuracy: the luck of the days, and how weeks differ beyond that (`WEEKS_DIFFER`);
        NaN with the bound.
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
    days: int
    accuracy: float
    upper: float
    standard_error: float
    baseline_accuracy: float
    predicted_late: float
    observed_late: float
    confidence: float

    @property
    def unanswered(self) -> int:
        """Flights that were to be asked about and have no answer."""
        return self.rows - self.answered


def join(log: pd.DataFrame, known: Labels) -> pd.DataFrame:
    """Join the prediction log with what was to be asked, and the labels that have arrived.

    Parameters
    ----------
    log
        What `prediction_log.read_predictions` returns; what only a shadow saw does not count,
        and a request that was sent again counts as it went the first time.
    known
        What `labels.read_labels` returns. A flight with two labels has the one that came last.

    Returns
    -------
    One row a flight that was to be asked about: ``request_id``, ``row``, ``date`` (its day),
    ``late`` (1 or 0, NaN where no label has arrived) and ``label_at``, with the log's columns,
    which are NaN where the flight was not answered.
    """
    asked = known.requests.drop_duplicates("request_id", ignore_index=True)
    asked = asked.assign(date=asked["at"].dt.normalize())
    flights = asked[["request_id", "date"]].take(np.repeat(np.arange(len(asked)), asked["rows"]))
    rows = [np.arange(size) for size in asked["rows"]]
    flights = flights.assign(row=np.concatenate([np.empty(0, dtype="int64"), *rows])).reset_index(
        drop=True
    )
    labels = known.labels.rename(columns={"at": "label_at"})[::-1]
    answers = log[log["role"] != SHADOW]
    parts = [_placed(table, asked).drop(columns=KEY) for table in (labels, answers)]
    return flights.join(parts)


def _placed(table: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """Give each row of a table the number of its flight as index; the first of a flight stays.

    A join on text and number does the same, and took twice as long for a week.
    """
    request = pd.Index(asked["request_id"]).get_indexer(table["request_id"])
    row = table["row"].to_numpy(dtype="int64")
    sizes = np.append(asked["rows"].to_numpy(dtype="int64"), 0)  # the last is for unknown requests
    starts = np.cumsum(sizes) - sizes
    known = (row >= 0) & (row < sizes[request])
    placed = table[known].set_axis(starts[request][known] + row[known])
    return placed[~placed.index.duplicated()]


def measure(window: pd.DataFrame) -> Quality:
    """Measure a window of production as `join` returns it.

    The upper bound has the quantile of Student's t with days minus one degrees of freedom.
    Measured on each seven days in a row from April to December 2013, against the level of the one
    to three weeks on either side without the seven days: it covers that level in 94%, with a
    simulation error of 3 points; without `WEEKS_DIFFER` in 89 to 92%.
    """
    probability = window["probability"].to_numpy(dtype="float64")
    late = window["late"].to_numpy(dtype="float64")
    answered = ~np.isnan(probability)
    right = right_calls(probability, late)
    judged = ~np.isnan(right)
    rule = baseline(window) == (late == 1)
    by_day = mean_bounds(right[judged], window["date"].to_numpy()[judged])
    error = hypot(by_day.error, WEEKS_DIFFER)
    enough = by_day.clusters >= MIN_DAYS and by_day.rows >= MIN_LABELLED
    return Quality(
        rows=len(window),
        answered=int(answered.sum()),
        labelled=by_day.rows,
        days=by_day.clusters,
        accuracy=by_day.mean,
        upper=min(by_day.mean + quantile(CONFIDENCE, by_day.clusters) * error, 1.0)
        if enough
        else nan,
        standard_error=error if enough else nan,
        baseline_accuracy=_share(rule[judged]),
        predicted_late=_share(called_late(probability[answered])),
        observed_late=_share(late[~np.isnan(late)]),
        confidence=_share(np.maximum(probability, 1 - probability)[answered]),
    )


def _share(values: np.ndarray) -> float:
    """Return the mean; NaN, without a warning, of nothing."""
    return float(values.mean()) if len(values) else nan
