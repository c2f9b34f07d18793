"""A candidate's answers against the champion's, or against the rule's, on flights new to both.

Differences are paired, and their bounds count days (`stats.clustered`). `compare` says what a
release asks of them. What else it asks, and how many candidates share an exam, is `gate`'s.

*Not worse* takes proof: the lower bound of the difference must be above minus a margin. Not to
have found a loss is not enough, since an exam finds none that it is too small to see. All of these
bounds must hold, so each is at the full level: a candidate that loses more than its margin,
overall or in a large slice, passes at most as often as that one bound fails. The checks that
stop a *sure* loss are of the other kind: each by itself stops a candidate, so slices share the
level (Bonferroni). They are all that can be asked of a slice of fewer than 800 flights, beside a
margin for all the small ones of a column together: one airline may lose far more unseen.

Sources: Blackwelder, *"Proving the null hypothesis" in clinical trials*, Controlled Clinical
Trials 3, 1982 (margins); Berger, *Multiparameter hypothesis testing and acceptance sampling*,
Technometrics 24, 1982 (every bound at the full level).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd

from mlops_course.core.errors import ParameterError
from mlops_course.core.verdicts import Check, Verdict
from mlops_course.stats.clustered import CONFIDENCE, mean_bounds, quantile
from mlops_course.training.evaluation import baseline, right_calls

RULE = "the rule dep_delay > 15"
MIN_COMPARED_ROWS = 1_000
MIN_COMPARED_DAYS = 5
# Points that may be lost, overall and in a slice: about what two weeks can tell from nothing.
MARGIN = 1.0
SLICE_MARGIN = 3.0
SLICES = ("origin", "carrier")
MIN_SLICE_ROWS = 800
# The days on which a model leads the rule come in spells: its daily lead correlates by .31, .17,
# .16, .15, .09, .05 and .05 with that of one to seven days before (April to December 2013), so a
# mean's error is sqrt(1 + 2 * .98) times what independent days give; 1.7 to 1.9 for five models.
# What lasts longer is not in it: counted by four weeks the error is 2.2 times that by days. Between
# two models of the same weeks and as many trees a day correlates by less than .1 with the one
# before (.16 against one of 15 trees, .24 against one that has not seen January): there days count
# as independent; held against the fortnights beside it, a 95% bound of 14 days covers 87 to 92%
# where 91% are due (the level of two fortnights has luck, too), with an error of 2 points.
# Source: Hansen and Hodrick, Journal of Political Economy 88, 1980 (equal weights to a last lag).
SPELLS = 1.74


@dataclass(frozen=True)
class _Lead:
    """How far the candidate is ahead of its rival, in points, and how sure that is, by day.

    Attributes
    ----------
    about
        Both accuracies, or the slice, and the lead, as the beginning of a sentence.
    mean, error
        The lead in points, and its standard error.
    rows
        How many flights it is the mean of.
    quantile
        How many errors the bounds lie away from the mean.
    sure
        Level, side and unit of a bound, for the sentence.
    """

    about: str
    mean: float
    error: float
    rows: int
    quantile: float
    sure: str

    @property
    def high(self) -> float:
        """The upper bound in points."""
        return self.mean + self.quantile * self.error

    def keeps(self, margin: float, asked: str) -> tuple[bool, str]:
        """Return whether surely less than a margin of points is lost, and a sentence.

        Whoever loses the margin is wrong where the rival is right on at least that share of
        flights. The error is at least what such flights give by luck; otherwise an exam that has
        few of them would look surer than one with many.

        Source: Tango, *Equivalence test and confidence interval for the difference in proportions
        for the paired-sample design*, Statistics in Medicine 17, 1998 (the error under the margin).
        """
        share = margin / 100
        error = max(self.error, 100 * sqrt(share * (1 - share) / self.rows))
        low = self.mean - self.quantile * error
        return low > -margin, f"{self.about}, at least {_points(low)} {self.sure}; {asked}."

    def not_lost(self) -> tuple[bool, str]:
        """Return whether nothing is surely lost, and a sentence."""
        seen = f"{self.about}, at most {_points(self.high)} {self.sure}; a sure loss blocks."
        return self.high >= 0, seen


@dataclass(frozen=True)
class _Pairs:
    """Two sides on the same flights.

    Attributes
    ----------
    mine, other
        1.0 where the candidate, or its rival, is right, 0.0 where wrong, shape (rows,).
    days
        The day of each flight, shape (rows,).
    rival
        The rival's name.
    spells
        How many times as wide its bounds are as independent days would make them.
    """

    mine: np.ndarray
    other: np.ndarray
    days: np.ndarray
    rival: str
    spells: float = 1.0

    def lead(self, confidence: float) -> _Lead:
        """Return the lead on all flights."""
        one = float(self.mine.mean())
        two = float(self.other.mean())
        about = (
            f"Accuracy {one:.1%} against {two:.1%} of {self.rival}: {_points(100 * (one - two))}"
        )
        return self._lead(np.full(len(self.days), True), f"{about} points", confidence)

    def lead_in(self, name: str, inside: np.ndarray, confidence: float) -> _Lead:
        """Return the lead on the flights of one slice."""
        mean = 100 * float((self.mine - self.other)[inside].mean())
        about = f"For {name} {_points(mean)} points against {self.rival}"
        return self._lead(inside, about, confidence)

    def _lead(self, inside: np.ndarray, about: str, confidence: float) -> _Lead:
        found = mean_bounds((self.mine - self.other)[inside], self.days[inside], confidence)
        error = 100 * self.spells * found.error
        reach = quantile(confidence, found.clusters)
        spells = " in spells" if self.spells > 1 else ""
        sure = f"(one-sided {100 * confidence:.4g}%, by {found.clusters} days{spells})"
        return _Lead(about, 100 * found.mean, error, found.rows, reach, sure)


def compare(
    flights: pd.DataFrame,
    candidate: np.ndarray,
    champion: np.ndarray | None = None,
    *,
    against: str = "the champion",
    must_gain: bool = False,
    confidence: float = CONFIDENCE,
) -> Verdict:
    """Judge a candidate's answers on labelled rows that neither it nor the champion was trained on.

    It must answer every flight, and lose at most `MARGIN` points to what serves today, and at most
    `SLICE_MARGIN` in each slice of `MIN_SLICE_ROWS` flights or more, and in the smaller ones of a
    column together. Where no champion serves, that is the rule, and the candidate must
    also be ahead of it on these flights.

    Parameters
    ----------
    flights
        The labelled flights, with ``date``, ``late``, ``dep_delay`` and the columns of `SLICES`.
    candidate, champion
        The probability of late that each gives, shape (rows,), NaN where it gave no answer, which
        is no call. They are compared on the flights that both have answered.
    against
        The champion's name in the sentences.
    must_gain
        Whether the candidate is to repair something: then its lead over the champion must surely be
        above 0. A slice stops it only by a sure loss: a champion that is broken fails on some days
        more than on others, and one week rules out three points in no slice.
    confidence
        One-sided level of each bound, by day, for one look.

    Raises
    ------
    ParameterError
        If ``confidence`` is no level.
    """
    _check_level(confidence)
    late = flights["late"].to_numpy()
    rule = (baseline(flights) == (late == 1)).astype(float)
    mine = right_calls(candidate, late)
    other = rule if champion is None else right_calls(champion, late)
    days = np.unique(flights["date"].to_numpy(), return_inverse=True)[1]
    answered = ~np.isnan(mine)
    both = answered & ~np.isnan(other)
    enough = list(_enough(days[both]))
    checks = [_complete(answered), *enough]
    if not all(check.passed for check in enough):
        return Verdict("model", tuple(checks))
    to_rule = _Pairs(mine[answered], rule[answered], days[answered], RULE, SPELLS)
    if champion is None:
        checks.append(_ahead(to_rule))
        checks += _not_worse(to_rule, flights[both], confidence)
        return Verdict("model", tuple(checks))
    checks.append(Check("no sure loss to the rule", *to_rule.lead(confidence).not_lost()))
    pairs = _Pairs(mine[both], other[both], days[both], against)
    asked = _gained if must_gain else _not_worse
    return Verdict("model", (*checks, *asked(pairs, flights[both], confidence)))


def surely_better(
    flights: pd.DataFrame, others: Mapping[str, np.ndarray], champion: np.ndarray
) -> tuple[str, ...]:
    """Return which of several versions would surely have done better than the champion, best first.

    Each is held to all that `compare` asks of a candidate that must gain. They share the level, so
    that where all are as good as the champion, any is named at most as often as one would be.

    Parameters
    ----------
    flights
        Labelled flights that none of them was trained on, as for `compare`.
    others
        The probabilities that each gives, by its name.
    champion
        Those of the champion.
    """
    level = _shared(CONFIDENCE, len(others))
    late = flights["late"].to_numpy()
    theirs = right_calls(champion, late)
    better = {}
    for name, probability in others.items():
        lead = np.nansum(right_calls(probability, late) - theirs)
        if lead <= 0:  # then nothing is surely gained, and the slices need not be looked at
            continue
        if compare(flights, probability, champion, must_gain=True, confidence=level).passed:
            better[name] = lead
    return tuple(sorted(better, key=lambda name: -better[name]))


def _check_level(confidence: float) -> None:
    if not 0.5 <= confidence < 1:
        raise ParameterError(
            f"The level of a bound is {confidence}.",
            "It is a share, at least 0.5 and below 1.",
            "Write for instance confidence=0.95.",
        )


def _complete(answered: np.ndarray) -> Check:
    """Check that nothing was left out."""
    seen = f"{int(answered.sum()):,} of {len(answered):,} flights were answered."
    return Check("answers every flight", bool(answered.all()), seen)


def _enough(days: np.ndarray) -> Iterator[Check]:
    """Check that there is enough to tell anything from."""
    seen = f"{len(days):,} labelled flights answered by both; it takes {MIN_COMPARED_ROWS:,}."
    yield Check("enough rows", len(days) >= MIN_COMPARED_ROWS, seen)
    count = len(np.unique(days))
    seen = f"They are of {count} days; fewer than {MIN_COMPARED_DAYS} cannot tell."
    yield Check("enough days", count >= MIN_COMPARED_DAYS, seen)


def _ahead(pairs: _Pairs) -> Check:
    """Check that the candidate beats the rule on these flights, whatever others would say."""
    lead = pairs.lead(CONFIDENCE)
    seen = f"{lead.about} on these {len(pairs.days):,} flights."
    return Check("better than the rule", lead.mean > 0, seen)


def _not_worse(pairs: _Pairs, flights: pd.DataFrame, confidence: float) -> Iterator[Check]:
    """Check that nowhere more than a margin may be lost."""
    found = pairs.lead(confidence).keeps(MARGIN, f"at most {MARGIN:.2f} may be lost")
    yield Check("not worse overall", *found)
    large, small = _sliced(flights, pairs.days)
    for name, inside in large.items():
        lead = pairs.lead_in(name, inside, confidence)
        found = lead.keeps(SLICE_MARGIN, f"at most {SLICE_MARGIN:.2f} may be lost")
        yield Check(f"not worse for {name}", *found)
    yield from _none_lost(pairs, small, _shared(confidence, len(small)))


def _gained(pairs: _Pairs, flights: pd.DataFrame, confidence: float) -> Iterator[Check]:
    """Check that something is gained overall, and in no slice surely lost."""
    found = pairs.lead(confidence).keeps(0, "more than 0 is asked")
    yield Check("better overall", *found)
    large, small = _sliced(flights, pairs.days)
    level = _shared(confidence, len(large) + len(small))
    for name, inside in large.items():
        found = pairs.lead_in(name, inside, level).not_lost()
        yield Check(f"no sure loss for {name}", *found)
    yield from _none_lost(pairs, small, level)


def _none_lost(pairs: _Pairs, small: Mapping[str, np.ndarray], level: float) -> Iterator[Check]:
    """Check that no slice surely loses that is too small to rule a loss out, in one line."""
    if not small:
        return
    leads = [pairs.lead_in(name, inside, level) for name, inside in small.items()]
    lost = [lead.not_lost()[1] for lead in leads if lead.high < 0]
    sure = f"none surely loses (one-sided {100 * level:.4g}% each, by day)"
    seen = f"Too small to rule a loss out: {', '.join(small)}; {sure}."
    yield Check("no sure loss for small slices", not lost, " ".join(lost) or seen)


def _shared(confidence: float, count: int) -> float:
    """Return the level of each of several checks of which none may raise a false alarm."""
    return 1 - (1 - confidence) / max(count, 1)


def _sliced(
    flights: pd.DataFrame, days: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the large slices and the small ones, as boolean masks of shape (rows,).

    The small ones of a column together are one of the large ones, if they are enough.
    """
    large = {}
    small = {}
    for column in SLICES:
        codes, values = pd.factorize(flights[column], sort=True)
        rest = np.full(len(flights), True)
        for code, value in enumerate(values):
            inside = codes == code
            if _large_enough(days[inside]):
                large[f"{column} {value}"] = inside
                rest &= ~inside
            else:
                small[f"{column} {value}"] = inside
        if _large_enough(days[rest]):
            large[f"other {column}s"] = rest
    return large, small


def _large_enough(days: np.ndarray) -> bool:
    return len(days) >= MIN_SLICE_ROWS and len(np.unique(days)) >= MIN_COMPARED_DAYS


def _points(value: float) -> str:
    """Return points with a sign; what rounds to nothing has a plus.

    >>> _points(-0.001), _points(1.234)
    ('+0.00', '+1.23')
    """
    return f"{round(value, 2) + 0.0:+.2f}"
