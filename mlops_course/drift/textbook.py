"""The limits of books and packages, on the same counts as the verdict: here to be counted.

None of them asks how far apart whole weeks lie that are calm, or else only of weeks other than the
one in question. How often they alarm with nothing broken is printed by
``mlops-course bench --statistics`` and by lesson 08; `drift.calm_weeks` has the verdict that holds.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from mlops_course.drift.calm_weeks import KINDS, STEADY, Group, judge
from mlops_course.drift.profiles import Kind, Profile, table
from mlops_course.stats.distances import (
    bin_by_quantiles,
    chi_squared,
    jensen_shannon,
    kolmogorov_smirnov,
    kolmogorov_smirnov_p_value,
    leave_one_out,
    population_stability_index,
    total_variation,
)

LEVEL = 0.05
INDEX_LIMIT = 0.25
JENSEN_SHANNON_LIMIT = 0.1
FACTOR = 1.5
CAP = 0.8
PLAIN = "a p-value below .05"
BONFERRONI = "the same, with Bonferroni"
INDEX = "PSI above .25"
JENSEN_SHANNON = "Jensen-Shannon above .1"
FITTED = "1.5 times the largest"
RANK = "strangest of all"
WITHOUT_WEATHER = "{}, no weather"
RARE = 0.01  # of the reference's rows


def limits_crossed(group: Group, week: Profile) -> Mapping[str, bool]:
    """Return for each limit whether any feature of a week is beyond it.

    The week is held against all reference weeks together. `PLAIN` and `BONFERRONI` ask the tests of
    Kolmogorov and Smirnov and of chi-squared, which take rows for independent. `INDEX` and
    `JENSEN_SHANNON` are of tenths of the reference, and of its categories with the rare ones
    pooled. `FITTED` takes `FACTOR` times the largest distance of a reference week from the others,
    at most `CAP`; with one such week it knows none.

    Returns
    -------
    whether it alarms, by the limit's name.

    Source: Bonferroni's inequality; the limits of the index and of Jensen-Shannon are conventions
    (Siddiqi, *Credit risk scorecards*, 2006, and defaults of packages).
    """
    return _crossed([_of_feature(group, week, name) for name in group.features])


def verdicts(weeks: Sequence[Profile], week: Profile) -> Mapping[str, bool]:
    """Return what alarms in a week of flights: `limits_crossed`, and whether it is the strangest.

    `INDEX` and `RANK` are there twice, the second time without the weather, which moves most.
    """
    every = Group(KINDS, tuple(weeks))
    steady = Group({name: KINDS[name] for name in STEADY}, tuple(weeks))
    beyond = {name: _of_feature(every, week, name) for name in KINDS}
    without = _crossed([beyond[name] for name in STEADY])
    return {
        **_crossed(list(beyond.values())),
        RANK: _is_strangest(every, week),
        WITHOUT_WEATHER.format(INDEX): without[INDEX],
        WITHOUT_WEATHER.format(RANK): _is_strangest(steady, week),
    }


def _is_strangest(group: Group, week: Profile) -> bool:
    return any(one.drifted for one in judge(group, week))


def _crossed(beyond: Sequence[Mapping[str, float]]) -> dict[str, bool]:
    p_values = np.array([one[PLAIN] for one in beyond])
    return {
        PLAIN: bool((p_values < LEVEL).any()),
        BONFERRONI: bool((p_values < LEVEL / len(beyond)).any()),
        INDEX: any(one[INDEX] > INDEX_LIMIT for one in beyond),
        JENSEN_SHANNON: any(one[JENSEN_SHANNON] > JENSEN_SHANNON_LIMIT for one in beyond),
        FITTED: any(one[FITTED] > 0 for one in beyond),
    }


def _of_feature(group: Group, week: Profile, name: str) -> dict[str, float]:
    """Return what each limit is held against; NaN, which is beyond none, where that is unknown."""
    kind = group.kinds[name]
    column = [one.columns[name] for one in (*group.weeks, week)]
    counts = table(column)[:, 1:]
    newest = counts[-1]
    others = counts[:-1].sum(axis=0)
    if not newest.sum() or not others.sum():
        return dict.fromkeys((PLAIN, INDEX, JENSEN_SHANNON, FITTED), np.nan)
    distance = total_variation if kind is Kind.CATEGORY else kolmogorov_smirnov
    apart = distance(newest, others)
    binned = np.stack([newest, others])
    if kind is Kind.CATEGORY:
        p_value = chi_squared(newest, others)[1]
        rare = others < RARE * others.sum()
        binned = np.column_stack([binned[:, ~rare], binned[:, rare].sum(axis=1)])
    else:
        p_value = kolmogorov_smirnov_p_value(apart, newest.sum(), others.sum())
        binned = bin_by_quantiles(binned, others)
    usual = leave_one_out(distance, counts[:-1]).max()
    return {
        PLAIN: float(p_value),
        INDEX: float(population_stability_index(binned[0], binned[1])),
        JENSEN_SHANNON: float(jensen_shannon(binned[0], binned[1])),
        FITTED: float(apart - min(FACTOR * usual, CAP)),
    }
