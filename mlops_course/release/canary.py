"""Judging a challenger on live traffic: by days in the shadow, by requests in a canary.

Nothing here moves traffic or aliases; it says what the prediction log allows to say, and may be
asked again and again (see `confidence_sequences`). How long a verdict takes: see `planning`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from math import isinf

import numpy as np
import pandas as pd

from mlops_course.core.errors import DataError, ParameterError
from mlops_course.core.verdicts import Check
from mlops_course.serving.prediction_log import KEY
from mlops_course.serving.routing import CHALLENGER, CHAMPION, SHADOW
from mlops_course.stats.confidence_sequences import (
    ALPHA,
    DAYS_A_LOOK,
    Arm,
    Difference,
    between,
    paired,
)
from mlops_course.training.model import called_late

# A canary is aborted if one of four figures is worse; the share called late has two sides.
CHANCES_TO_ABORT = 5


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


def judge_shadow(
    log: pd.DataFrame, late: pd.Series, margin: float, *, ended: bool = False
) -> Ruling:
    """Compare champion and challenger on the flights that both have scored, by days.

    On these flights the difference is a fact. The verdict is about other days, so it counts days:
    it comes whenever seven more of them are over, and until the first seven are it waits. It
    promotes if the loss is below the margin, and aborts if the challenger is worse, either with
    one-sided 95% confidence over all weekly looks. A day is over once the log holds a later one;
    ask when its labels are in, too. A request that was sent again counts as it went the first time.

    Parameters
    ----------
    log
        What `prediction_log.read_predictions` returns. The day is that of ``at``, unless the log
        has a column ``period`` that says otherwise, as it must for traffic that is replayed.
    late
        The labels that have arrived, 1 or 0, with ``request_id`` and ``row`` as index.
    margin
        The loss of accuracy that would still be taken, as a share.
    ended
        Whether the shadow has ended, so that the last day in the log is over, too.

    Raises
    ------
    DataError
        If nothing was scored twice.
    """
    called = log.assign(called=called_late(log["probability"]), day=_periods(log))
    sides = called.pivot_table(index=KEY, columns="role", values="called", aggfunc="first")
    if not {CHAMPION, SHADOW} <= set(sides.columns):
        raise DataError(
            "The log holds no flights that champion and shadow have both scored.",
            "In the shadow each request is scored twice.",
            "Set the split to shadow and send requests first.",
        )
    both = sides[[CHAMPION, SHADOW]].dropna().astype(bool).join(late.rename("late"), how="inner")
    both = both.join(called.groupby(KEY)["day"].first())
    truth = both["late"] == 1
    gained = ((both[SHADOW] == truth).astype(float) - (both[CHAMPION] == truth)).to_numpy()
    over = np.full(len(both), True) if ended else (both["day"] < called["day"].max()).to_numpy()
    found = paired(gained[over], both["day"].to_numpy()[over])
    lost = found.high < 0
    fine = found.low > -margin
    action = "abort" if lost else "promote" if fine else "wait"
    seen = f"{_these_flights(gained, both)} {_other_days(found, both['day'][over], margin, lost)}"
    return Ruling(action, (Check("accuracy", not lost, seen),))


def judge_canary(
    requests: pd.DataFrame, log: pd.DataFrame, late: pd.Series, limits: Limits, planned: int
) -> Ruling:
    """Compare the requests that the challenger was to answer with those of the champion.

    Requests are what the hash deals out, so requests are counted for every figure, not the flights
    in them. Those of one period are compared with each other, since the challenger's share grows
    and days differ. All bounds are one-sided and hold at all looks:

    - it promotes once every figure keeps its limit with 95% confidence (whoever breaks one limit
      must be lucky there, so no level is shared);
    - it aborts as soon as one figure is worse, or the share called late beyond its limit, with 99%,
      since it has five chances to do so wrongly;
    - otherwise it waits.

    A request that was sent again counts once, as it went the first time.

    Parameters
    ----------
    requests, log
        What `prediction_log.read_requests` and `read_predictions` return. The period is the day
        of ``at``, unless the requests have a column ``period`` that says otherwise.
    late
        The labels that have arrived, as for `judge_shadow`.
    planned
        The number of the challenger's requests at which to decide.

    Source: Berger and Hsu, *Bioequivalence trials, intersection-union tests and equivalence
    confidence sets*, Statistical Science 11, 1996, for the promotion.
    """
    rulings = []
    for name, arms, limit in _figures(requests, log, late, limits):
        keeps = between(arms, planned)
        worse = between(arms, planned, ALPHA / CHANCES_TO_ABORT)
        rulings.append(_ruling(name, keeps, worse, limit))
    actions = [ruling.action for ruling in rulings]
    action = next((a for a in ("abort", "wait") if a in actions), "promote")
    checks = chain.from_iterable(ruling.checks for ruling in rulings)
    return Ruling(action, tuple(checks))


def _figures(
    requests: pd.DataFrame, log: pd.DataFrame, late: pd.Series, limits: Limits
) -> Iterator[tuple[str, list[tuple[Arm, Arm]], float]]:
    """Yield each figure's name, its sums by request for both sides and each period, and its limit.

    A request counts for the side that had it first, and only what that side answered then. So the
    champion's answer does not count where it stood in for a failed challenger, nor does a second
    one, whoever gave it, where the request was sent again.
    """
    to_answer = requests["role"].isin([CHAMPION, CHALLENGER])
    requests = requests[to_answer].drop_duplicates("request_id")
    requests = requests.assign(period=_periods(requests))
    answered = requests.loc[requests["failure"] == "", ["request_id", "role", "period"]]
    log = log.drop_duplicates([*KEY, "role"]).drop(columns="period", errors="ignore")
    log = log.merge(answered, on=["request_id", "role"])
    log = log.assign(called=called_late(log["probability"]))
    known = log.join(late.rename("late"), on=KEY, how="inner")
    slow = requests["ms"] > limits.slow_ms
    wrong = known["called"] != (known["late"] == 1)
    yield "failures", _arms(requests, requests["failure"] != ""), limits.failures
    yield "slow", _arms(requests, slow), limits.slow
    yield "called late", _arms(log, log["called"]), limits.called_late
    yield "errors", _arms(known, wrong), limits.errors


def _arms(rows: pd.DataFrame, counted: pd.Series) -> list[tuple[Arm, Arm]]:
    """Return challenger and champion of each period: how many rows of each request are counted."""
    by_request = counted.astype(float).groupby([rows["period"], rows["role"], rows["request_id"]])
    sums = by_request.agg(["sum", "size"])
    return [
        (_arm(sums, period, CHALLENGER), _arm(sums, period, CHAMPION))
        for period in rows["period"].unique()
    ]


def _arm(sums: pd.DataFrame, period: object, role: str) -> Arm:
    one = sums.index.get_level_values("period") == period
    mine = sums[one & (sums.index.get_level_values("role") == role)]
    return Arm(mine["sum"].to_numpy(), mine["size"].to_numpy())


def _periods(rows: pd.DataFrame) -> pd.Series:
    """Return the period of each row: its day, unless a column says otherwise."""
    if "period" in rows:
        return rows["period"]
    return pd.to_datetime(rows["at"], utc=True).dt.date


def _ruling(name: str, keeps: Difference, worse: Difference, limit: float) -> Ruling:
    """Rule on one figure; the share called late may move neither way, the others only rise.

    Parameters
    ----------
    keeps
        With the bounds that must be within the limit for a promotion.
    worse
        The same difference with the bounds that must be beyond for an abort.
    """
    two_sided = name == "called late"
    if two_sided:
        out = worse.low > limit or worse.high < -limit
        fine = keeps.high < limit and keeps.low > -limit
    else:
        out = worse.low > 0
        fine = keeps.high < limit
    action = "abort" if out else "promote" if fine else "wait"
    seen = _seen(keeps, worse, two_sided, out)
    return Ruling(action, (Check(name, not out, f"{seen}; the limit is {100 * limit:g}."),))


def _seen(keeps: Difference, worse: Difference, two_sided: bool, out: bool) -> str:
    """Say a difference by requests with the bound that counts for what follows from it."""
    if isinf(keeps.high):
        return f"Too little to tell on {keeps.units:,} requests"
    found = worse if out else keeps
    level = 100 * (1 - (ALPHA / CHANCES_TO_ABORT if out else ALPHA))
    low = f"at least {100 * found.low:+.2f}"
    high = f"at most {100 * found.high:+.2f}"
    bound = f"{low} and {high}" if two_sided else low if out else high
    how = f"each one-sided {level:.0f}%" if two_sided else f"one-sided {level:.0f}%"
    return (
        f"{100 * found.mean:+.2f} points on {found.units:,} requests, "
        f"{bound} ({how}, at all looks, by requests)"
    )


def _these_flights(gained: np.ndarray, both: pd.DataFrame) -> str:
    """Say what a shadow has seen, which is a fact."""
    if not len(both):
        return "No label has arrived."
    apart = (both[SHADOW] != both[CHAMPION]).mean()
    return (
        f"{100 * gained.mean():+.2f} points on these {len(both):,} flights; "
        f"they disagree on {apart:.1%} of them."
    )


def _other_days(found: Difference, days: pd.Series, margin: float, lost: bool) -> str:
    """Say what a shadow tells of other days."""
    if not found.units:
        return f"For other days it takes {DAYS_A_LOOK} that are over; there are {days.nunique()}."
    bound = f"at most {100 * found.high:+.2f}" if lost else f"at least {100 * found.low:+.2f}"
    return (
        f"On days like these {found.units} {bound} "
        f"(one-sided 95%, at all weekly looks, by days); the margin is {100 * margin:g}."
    )
