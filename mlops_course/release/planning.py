"""How long a verdict on a challenger takes, before it starts: in the shadow, and in a canary.

The verdicts themselves are in `canary`; this is their arithmetic beforehand. `plan` compares the
two ways in one figure, the errors; both ways of looking get the same power, since a plan with 50%
beside one with 80% compares nothing. A canary is promoted once *every* figure keeps its limit:
`canary_lengths` gives the length of each, and the longest is the canary's.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from math import ceil, sqrt

import pandas as pd
from scipy.stats import nct, t

from mlops_course.core.errors import ParameterError
from mlops_course.release.canary import Limits
from mlops_course.serving.routing import SHADOW
from mlops_course.stats.confidence_sequences import (
    ALPHA,
    DAYS_A_LOOK,
    LONG_RUN,
    level_of_look,
    rows_for_one_look,
    rows_needed,
    rows_without_one,
)

POWERS = (0.5, 0.8, 0.9)
# Measured on the flights from April to December 2013, model trained to 17 March: within a day by
# requests of ten neighbours, errors 1.38 and the share called late 2.14; what one model gains on
# another by day, 1.2 to 2.1 for nine others that were trained with other settings or other rows.
CANARY_EFFECT = 1.4
CALLED_LATE_EFFECT = 2.2
SHADOW_EFFECT = 2.0
MOST_WEEKS = 10**9


def plan(
    margin: float,
    *,
    error_rate: float,
    disagreement: float,
    per_day: float,
    share: float | Sequence[float],
    powers: Sequence[float] = POWERS,
    canary_effect: float = CANARY_EFFECT,
    shadow_effect: float = SHADOW_EFFECT,
) -> pd.DataFrame:
    """Return how many labelled flights and days it takes to tell a loss of accuracy from none.

    It is the power of one figure, the errors; a canary's others may take longer (`canary_lengths`).

    Parameters
    ----------
    margin
        The loss of accuracy to be told from none, as a share.
    error_rate
        How often the champion is wrong.
    disagreement
        How often the two models call a flight differently, for the shadow.
    per_day, share
        Flights a day, and the challenger's share of them in a canary; several shares for one that
        grows from day to day and stays at the last.
    powers
        How often a challenger that loses nothing is to keep the limit of errors, each a share.
    canary_effect, shadow_effect
        How many times the variance is what independent flights would give: of errors by request
        (1 for single flights), and of the models' difference by day; see `clustered.design_effect`.

    Returns
    -------
    A row for each way and power, with the flights that the challenger scores, and days: looked at
    once, at the end, or at any time; bounds are one-sided, 95%. The power of *any time* is that of
    its last look, within 3 points; looking all along promotes more by then. A shadow takes weeks.

    Raises
    ------
    ParameterError
        If a rate is not between 0 and 1, or another number not above 0.

    >>> settings = {"error_rate": 0.09, "disagreement": 0.013, "per_day": 914}
    >>> table = plan(0.01, **settings, share=0.1, powers=[0.8])
    >>> table["one look"].round(1).values.tolist()
    [[6398.0, 7.0], [7877.0, 86.2]]
    """
    shares = [share] if isinstance(share, int | float) else list(share)
    rates = (*shares, *powers, error_rate, disagreement)
    _refuse_impossible(rates, (margin, per_day, canary_effect, shadow_effect))
    loss = margin / sqrt(disagreement * shadow_effect * LONG_RUN / per_day)
    canary = (error_rate, canary_effect, shares, per_day)
    rows = {(SHADOW, f"{100 * power:g}%"): _shadow(loss, power, per_day) for power in powers}
    rows |= {("canary", f"{100 * power:g}%"): _canary(margin, power, *canary) for power in powers}
    return pd.DataFrame(
        list(rows.values()),
        pd.MultiIndex.from_tuples(rows, names=["way", "power (errors)"]),
        pd.MultiIndex.from_product([["one look", "any time"], ["flights", "days"]]),
    )


def canary_lengths(
    limits: Limits,
    *,
    error_rate: float,
    late_rate: float,
    per_day: float,
    request_rows: float,
    share: float,
    power: float = 0.8,
) -> pd.DataFrame:
    """Return how long each figure of a canary takes, looked at any time; the longest is its length.

    Promotion asks for all figures. Give `canary.judge_canary` the longest number of requests as
    ``planned``. An equal challenger is then promoted about as often as ``power`` says, some points
    less where two figures take about as long; one with failures or slow requests of its own waits
    longer.

    Parameters
    ----------
    limits
        What the challenger may lose.
    error_rate, late_rate
        How often the champion is wrong, and how often it calls a flight late.
    per_day, request_rows
        Flights a day, and flights in a request.
    share
        The challenger's share of them; it stands still.
    power
        How often a challenger that loses nothing is to keep the limit, figure by figure.

    Returns
    -------
    By figure, the challenger's requests, and days. For failures and slow requests it is what it
    takes if there is none; for the share called late, which may move neither way, both bounds.

    Raises
    ------
    ParameterError
        If a rate is not between 0 and 1, or another number not above 0.

    >>> usual = {"error_rate": 0.1, "late_rate": 0.18, "per_day": 914, "request_rows": 10}
    >>> table = canary_lengths(Limits(failures=0.02, slow=0.02), **usual, share=0.5)
    >>> table["requests"].to_dict()
    {'failures': 277, 'slow': 277, 'called late': 429, 'errors': 368}
    """
    _refuse_impossible((error_rate, late_rate, share, power), (per_day, request_rows))
    both_bounds = (1 + power) / 2
    called = _canary(
        limits.called_late, both_bounds, late_rate, CALLED_LATE_EFFECT, [share], per_day
    )
    errors = _canary(limits.errors, power, error_rate, CANARY_EFFECT, [share], per_day)
    requests = {
        "failures": rows_without_one(limits.failures, share),
        "slow": rows_without_one(limits.slow, share),
        "called late": ceil(called[2] / request_rows),
        "errors": ceil(errors[2] / request_rows),
    }
    table = pd.DataFrame({"requests": requests})
    return table.assign(days=table["requests"] * request_rows / (per_day * share))


def _shadow(loss: float, power: float, per_day: float) -> list[float]:
    """Return flights and days for one look, and for any; the loss in deviations of a day."""
    cells: list[float] = []
    for level in (lambda _: ALPHA, level_of_look):
        days = DAYS_A_LOOK * _weeks(loss, power, level)
        cells += [ceil(days * per_day), days]
    return cells


def _weeks(loss: float, power: float, level: Callable[[int], float]) -> int:
    """Return the first week whose look, at its level, has the power.

    Source: Cohen, *Statistical power analysis for the behavioral sciences*, 2nd ed., chapter 2:
    the t statistic of a difference that is there has a non-central t distribution.
    """

    def reached(week: int) -> float:
        days = week * DAYS_A_LOOK
        return float(nct.sf(t.isf(level(week), days - 1), days - 1, loss * sqrt(days)))

    return 1 + bisect_left(range(1, MOST_WEEKS), power, key=reached)


def _canary(
    margin: float,
    power: float,
    error_rate: float,
    effect: float,
    shares: Sequence[float],
    per_day: float,
) -> list[float]:
    """Return flights and days for one look, and for any.

    Where the challenger has a share of all flights, the difference's variance is that of an error,
    ``p (1 - p)``, over flights times ``share (1 - share)``: the champion's side has luck, too, and
    the less the more flights it has. The smaller the share, the more skewed the luck.
    """
    last = shares[-1]
    deviation = sqrt(error_rate * (1 - error_rate) * effect / (1 - last))
    skew = effect * (1 - 2 * error_rate) * max(0.0, 1 - 2 * last) / (1 - last)
    once = rows_for_one_look(margin, deviation, power)
    always = rows_needed(margin, deviation, power, skew)
    return [*_grown(once, shares, per_day), *_grown(always, shares, per_day)]


def _grown(flights: int, shares: Sequence[float], per_day: float) -> tuple[int, float]:
    """Return flights and days of a growing share that tell what so many at its last share do."""
    *ramp, last = shares
    missing = flights * (1 - last)
    flown = 0.0
    days = 0.0
    for share in ramp:
        told = per_day * share * (1 - share)
        day = min(1.0, missing / told)
        missing -= day * told
        flown += day * per_day * share
        days += day
    rest = missing / (per_day * last * (1 - last))
    return ceil(flown + rest * per_day * last), days + rest


def _refuse_impossible(rates: Sequence[float], sizes: Sequence[float]) -> None:
    if not all(0 < rate < 1 for rate in rates) or not all(size > 0 for size in sizes):
        raise ParameterError(
            f"No plan can be made for the rates {rates} and the sizes {sizes}.",
            "Shares, powers, errors and disagreement lie between 0 and 1; margin, flights a day "
            "and design effects are above 0.",
            "Correct the one that is not; a share of 1 is no canary any more.",
        )
