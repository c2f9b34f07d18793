"""Judging a challenger on live traffic: by pairs in the shadow, by shares in a canary.

Nothing here moves traffic or aliases; it says what the prediction log allows to say, at any time
and as often as one likes (see `confidence_sequences`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from math import isnan, sqrt

import numpy as np
import pandas as pd

from mlops_course.core.errors import DataError, ParameterError
from mlops_course.core.verdicts import Check
from mlops_course.serving.prediction_log import KEY
from mlops_course.serving.routing import CHALLENGER, CHAMPION, SHADOW
from mlops_course.stats.confidence_sequences import (
    ALPHA,
    Difference,
    between,
    paired,
    rows_for_one_look,
    rows_needed,
)
from mlops_course.training.model import called_late


@dataclass(frozen=True)
class Limits:
    """What a challenger may lose before a canary ends, each as a share of requests or flights.

    Attributes
    ----------
    failures
        More requests that the model fails on.
    slow
        More requests that take it longer than ``slow_ms``.
    called_late
        More or fewer flights called late.
    errors
        More flights called wrongly.
    """

    failures: float = 0.01
    slow: float = 0.01
    slow_ms: float = 20.0
    called_late: float = 0.05
    errors: float = 0.03

    def __post_init__(self) -> None:
        """Refuse limits that are no shares."""
        shares = (self.failures, self.slow, self.called_late, self.errors)
        if not all(0 < share < 1 for share in shares) or self.slow_ms <= 0:
            raise ParameterError(
                f"The limits {self} cannot be.",
                "Each is a share between 0 and 1, and slow_ms is above 0.",
                "Write for instance Limits(errors=0.03).",
            )


@dataclass(frozen=True)
class Ruling:
    """What the log says about a challenger: ``promote``, ``abort`` or ``wait``, and on what."""

    action: str
    checks: tuple[Check, ...]


def judge_shadow(log: pd.DataFrame, late: pd.Series, margin: float, planned: int) -> Ruling:
    """Compare champion and challenger on the flights that both have scored.

    Parameters
    ----------
    log
        What `prediction_log.read_predictions` returns.
    late
        The labels that have arrived, 1 or 0, with ``request_id`` and ``row`` as index.
    margin
        The loss of accuracy that would still be taken, as a share.
    planned
        The number of labelled flights at which to decide.
    """
    sides = log.assign(called=called_late(log["probability"])).pivot_table(
        index=KEY, columns="role", values="called", aggfunc="last"
    )
    if not {CHAMPION, SHADOW} <= set(sides.columns):
        raise DataError(
            "The log holds no flights that champion and shadow have both scored.",
            "In the shadow each request is scored twice.",
            "Set the split to shadow and send requests first.",
        )
    both = sides[[CHAMPION, SHADOW]].dropna().astype(bool).join(late.rename("late"), how="inner")
    truth = both["late"] == 1
    gained = (both[SHADOW] == truth).astype(float) - (both[CHAMPION] == truth)
    found = paired(gained.to_numpy(), planned)
    disagree = float((both[SHADOW] != both[CHAMPION]).mean()) if len(both) else 0.0
    seen = f"{_points(found)} on {found.rows:,} flights; they disagree on {disagree:.1%}."
    lost = found.high < 0
    fine = found.low > -margin
    action = "abort" if lost else "promote" if fine else "wait"
    return Ruling(action, (Check("accuracy", not lost, seen),))


def judge_canary(
    requests: pd.DataFrame, log: pd.DataFrame, late: pd.Series, limits: Limits, planned: int
) -> Ruling:
    """Compare the requests that the challenger was to answer with those of the champion.

    Requests of one period are compared with each other, since the challenger's share grows and
    days differ. It aborts as soon as one figure is surely worse, and promotes once every figure
    surely keeps its limit. Between the two it waits. A request that was sent again counts once,
    as it went the first time: rows that repeat others tell nothing new.

    Parameters
    ----------
    requests, log
        What `prediction_log.read_requests` and `read_predictions` return. The period is the day
        of ``at``, unless the requests have a column ``period`` that says otherwise.
    late
        The labels that have arrived, as for `judge_shadow`.
    planned
        The number of rows of the challenger at which to decide.
    """
    requests = requests.drop_duplicates(["request_id", "role"])
    log = log.drop_duplicates([*KEY, "role"])
    period = requests["period"] if "period" in requests else requests["at"].dt.date
    when = dict(zip(requests["request_id"], period, strict=True))
    log = log.assign(
        called=called_late(log["probability"]).astype(float),
        period=log["request_id"].map(when),
    )
    known = log.join(late.rename("late"), on=KEY, how="inner")
    known = known.assign(wrong=(known["called"] != known["late"]).astype(float))
    sent = requests.assign(
        failed=(requests["failure"] != "").astype(float),
        slow=(requests["ms"] > limits.slow_ms).astype(float),
        period=period,
    )
    figures = {
        "failures": (sent, "failed", limits.failures),
        "slow": (sent, "slow", limits.slow),
        "called late": (log, "called", limits.called_late),
        "errors": (known, "wrong", limits.errors),
    }
    # Four figures get four chances to be wrong, so each is held to a quarter of the usual rate.
    alpha = ALPHA / len(figures)
    rulings = [
        _ruling(name, between(_arms(rows, column), planned, alpha), limit)
        for name, (rows, column, limit) in figures.items()
    ]
    actions = [ruling.action for ruling in rulings]
    action = next((a for a in ("abort", "wait") if a in actions), "promote")
    checks = chain.from_iterable(ruling.checks for ruling in rulings)
    return Ruling(action, tuple(checks))


def plan(
    margin: float, *, error_rate: float, disagreement: float, per_day: float, share: float
) -> pd.DataFrame:
    """Return how many labelled flights a verdict takes, and how many days, before it starts.

    Parameters
    ----------
    margin
        The loss of accuracy to be told from none, as a share.
    error_rate
        How often the champion is wrong.
    disagreement
        How often the two models call a flight differently, for the shadow.
    per_day, share
        Flights a day, and the challenger's share of them in a canary.

    Returns
    -------
    One row each for shadow and canary: flights that the challenger scores, and days, for a test
    looked at once at its end and for one that may be looked at any time.
    """
    ways = {
        SHADOW: (sqrt(disagreement), per_day),
        "canary": (sqrt(2 * error_rate * (1 - error_rate)), per_day * share),
    }
    rows = {}
    for way, (deviation, flights) in ways.items():
        once = rows_for_one_look(margin, deviation)
        always = rows_needed(margin, deviation)
        rows[way] = (once, once / flights, always, always / flights)
    columns = pd.MultiIndex.from_product([["one look", "any time"], ["flights", "days"]])
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _arms(rows: pd.DataFrame, column: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield a column's values for challenger and champion, period by period.

    Requests on which the champion stood in for a failed challenger count for neither.
    """
    new = rows["role"] == CHALLENGER
    old = (rows["role"] == CHAMPION) & ~rows["request_id"].isin(rows.loc[new, "request_id"])
    for _, values in rows.groupby("period")[column]:
        yield values[new].to_numpy(), values[old].to_numpy()


def _ruling(name: str, found: Difference, limit: float) -> Ruling:
    """Rule on one figure; the share called late may move neither way, the others only rise."""
    if name == "called late":
        worse = found.low > limit or found.high < -limit
        fine = found.high < limit and found.low > -limit
    else:
        worse = found.low > 0
        fine = found.high < limit
    seen = f"{_points(found)} on {found.rows:,} rows; the limit is {100 * limit:g}."
    action = "abort" if worse else "promote" if fine else "wait"
    return Ruling(action, (Check(name, not worse, seen),))


def _points(found: Difference) -> str:
    if isnan(found.mean):
        return "Too little to tell"
    low, mean, high = (f"{100 * value:+.2f}" for value in (found.low, found.mean, found.high))
    return f"{mean} points, surely between {low} and {high}"
