"""Is the error rate above what was promised? A test that may be looked at after every value.

Think of a ticket that costs ``null``, the highest error rate that is still acceptable, and pays the
error share of the next day. While the errors are no higher on average than that, the ticket costs
what it is worth or more, and nobody gets rich on it. So whoever starts with 1, stakes a part of all
he has each day and comes to own 20, has either been lucky, which happens once in 20 times, however
long one plays, or the errors are higher. The wealth is the evidence, and it may be read every day.

What must hold is that the next share is at most ``null`` on average *whatever came before*. Days do
not keep to that: bad ones go together. Three things make up for it, and each costs time: slack in
the null, whole weeks instead of days, and a smaller stake. Counted on the real year's days, drawn
in blocks of 7 and of 21 to make nine months with errors of exactly 10%, at a level of 5%: a bet by
day against .10 wins 27 and 42% of the time, by week .1 and .9%; by day against .12 it wins .9 and
3.7%, against .13 .1 and .4%. A departure clock that runs 20 minutes ahead from one of 32 Mondays
on is told within 4 weeks by day, from all of them against .12 and from 28 against .13; by week
against .10 within 8 weeks from 17 of them (`mlops-course bench --statistics`).

A bet that runs through a calm year loses nearly all it has, and then sees harm late. So a new one
is begun with each episode: when an input has drifted or something was changed, never because of
the errors of the days that it is then to judge.
"""

import numpy as np

from mlops_course.core.errors import ParameterError

ALPHA = 0.05
STAKE = 0.5


def wealth(values: np.ndarray, null: float, stake: float = STAKE) -> np.ndarray:
    """Return what 1 has become after each value, for whoever bets that the mean is above the null.

    Each value multiplies it by ``1 + stake * (value / null - 1)``. It ever reaches ``1 / alpha``
    with a chance of at most ``alpha`` if no value is above the null on average, given those before.

    Parameters
    ----------
    values
        Error shares from 0 to 1 in the order of time, shape (..., looks).
    null
        The highest mean that is still acceptable, above 0 and below 1: the objective, and slack.
    stake
        Which part of the wealth is staked each time, above 0 and at most 1.

    Returns
    -------
    array of the shape of ``values``.

    Raises
    ------
    ParameterError
        If a value, the null or the stake is outside of these limits.

    Source: Waudby-Smith and Ramdas, *Estimating means of bounded random variables by betting*,
    Journal of the Royal Statistical Society B 86, 2024, section 4; Shafer, *Testing by
    betting*, Journal of the Royal Statistical Society A 184, 2021; Ville's inequality.

    >>> wealth(np.array([0.1, 0.2, 0.2]), null=0.1).tolist()
    [1.0, 1.5, 2.25]
    """
    shares = np.asarray(values, dtype="float64")
    _check(null, stake)
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ParameterError(
            "An error share is missing, or is not from 0 to 1.",
            "One bets on shares: of a day's or a week's flights, how many were called wrong.",
            "Leave out a day without labels, and say so: the bet waits meanwhile.",
        )
    return np.cumprod(1 + stake * (shares / null - 1), axis=-1)


def first_alarm(
    values: np.ndarray, null: float, alpha: float = ALPHA, stake: float = STAKE
) -> int | None:
    """Return the number of the first value, from 0, at which the mean is called too high.

    Parameters
    ----------
    values
        Shape (looks,).
    null, stake
        As for `wealth`.
    alpha
        How often it may be called so wrongly, at any look.

    Raises
    ------
    ParameterError
        As `wealth` does, or if alpha is not between 0 and 1.

    >>> first_alarm(np.full(12, 0.2), null=0.1), first_alarm(np.full(12, 0.1), null=0.1)
    (7, None)
    """
    reached = wealth(values, null, stake) >= _needed(alpha)
    return int(reached.argmax()) if reached.any() else None


class Bet:
    """A bet against an acceptable error rate that takes one share at a time.

    Parameters
    ----------
    null, alpha, stake
        As for `first_alarm`.

    Attributes
    ----------
    wealth
        What 1 has become.
    drift_detected
        Whether it now is ``1 / alpha`` or more. With the next value a new bet begins.

    Raises
    ------
    ParameterError
        If a parameter is outside of its limits.

    Source: as for `wealth`.

    >>> bet = Bet(null=0.1)
    >>> for day in range(12):
    ...     bet.update(0.2)
    ...     if bet.drift_detected:
    ...         print("too many errors, seen on day", day)
    too many errors, seen on day 7
    """

    def __init__(self, null: float, alpha: float = ALPHA, stake: float = STAKE) -> None:
        _check(null, stake)
        self.null = null
        self.stake = stake
        self.needed = _needed(alpha)
        self.wealth = 1.0
        self.drift_detected = False

    def update(self, value: float) -> None:
        """Take the next error share, from 0 to 1, and set `drift_detected`.

        Raises
        ------
        ParameterError
            If it is missing, or outside of these limits.
        """
        if self.drift_detected:
            self.wealth = 1.0
        self.wealth *= float(wealth(np.array([value]), self.null, self.stake)[0])
        self.drift_detected = self.wealth >= self.needed


def _needed(alpha: float) -> float:
    if not 0 < alpha < 1:
        raise ParameterError(
            f"The level is {alpha}.",
            "It says how often a bet may win by luck, so it lies between 0 and 1.",
            "Give a small one, such as 0.05.",
        )
    return 1 / alpha


def _check(null: float, stake: float) -> None:
    if not (0 < null < 1 and 0 < stake <= 1):
        raise ParameterError(
            f"The null is {null} and the stake is {stake}.",
            "The null is an error rate between 0 and 1, the stake a part of the wealth up to 1.",
            "Give both as shares, such as null=0.13 and stake=0.5.",
        )
