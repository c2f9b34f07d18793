"""The textbook's limits are what they are called, and cry wolf on whole calm weeks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, ks_2samp

from mlops_course.data.flights import load_flights
from mlops_course.drift.calm_weeks import KINDS, Group
from mlops_course.drift.profiles import Kind, Profile, profile
from mlops_course.drift.textbook import (
    BONFERRONI,
    FITTED,
    INDEX,
    JENSEN_SHANNON,
    PLAIN,
    RANK,
    WITHOUT_WEATHER,
    limits_crossed,
    verdicts,
)

NUMBER = {"x": Kind.NUMBER}


@pytest.fixture(scope="module")
def calm(shared_workspace) -> list[Profile]:
    flights = load_flights(shared_workspace, "2013-01-07", "2013-03-31")
    number = (flights["date"] - flights["date"].min()).dt.days // 7
    return [profile(week, KINDS) for _, week in flights.groupby(number)]


def of_normal(seed: int, rows: int = 400, shift: float = 0.0) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(shift, size=rows)
    return pd.DataFrame({"x": values})


def held_against(weeks: Sequence[pd.DataFrame], week: pd.DataFrame, kinds=NUMBER):
    group = Group(kinds, tuple(profile(one, kinds) for one in weeks))
    return limits_crossed(group, profile(week, kinds))


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.12, 0.15, 0.2, 0.5])
def test_p_value_when_numbers_are_compared_then_decides_as_scipy_does(shift):
    weeks = [of_normal(seed) for seed in range(4)]
    week = of_normal(9, shift=shift)
    expected = ks_2samp(week["x"], pd.concat(weeks)["x"], method="asymp").pvalue
    assert abs(expected - 0.05) > 0.005  # else the limit for many rows may decide otherwise
    assert held_against(weeks, week)[PLAIN] == (expected < 0.05)


@pytest.mark.parametrize("share", [0.50, 0.55, 0.60, 0.70])
def test_p_value_when_categories_are_compared_then_decides_as_scipy_does(share):
    weeks = [pd.DataFrame({"x": ["a", "b"] * 100})] * 2
    of_a = int(200 * share)
    week = pd.DataFrame({"x": ["a"] * of_a + ["b"] * (200 - of_a)})
    expected = chi2_contingency([[of_a, 200 - of_a], [200, 200]], correction=False).pvalue
    found = held_against(weeks, week, {"x": Kind.CATEGORY})
    assert found[PLAIN] == (expected < 0.05)


def test_bonferroni_when_there_are_more_features_then_asks_for_a_smaller_p_value():
    weeks = [of_normal(seed) for seed in range(4)]
    week = of_normal(9, shift=0.07)
    assert held_against(weeks, week)[BONFERRONI]
    twelve = {f"x{number}": Kind.NUMBER for number in range(12)} | NUMBER
    wider = [one.assign(**{name: 0.0 for name in twelve if name != "x"}) for one in (*weeks, week)]
    found = held_against(wider[:-1], wider[-1], twelve)
    assert found[PLAIN]
    assert not found[BONFERRONI]


def test_index_and_jensen_shannon_when_the_window_is_small_then_alarm_for_its_size_alone():
    weeks = [of_normal(seed, 5_000) for seed in range(3)]
    small = pd.DataFrame([held_against(weeks, of_normal(seed, 20)) for seed in range(9, 19)]).sum()
    large = held_against(weeks, of_normal(9, 5_000))
    assert small[INDEX] >= 3
    assert small[JENSEN_SHANNON] == 10
    assert not large[INDEX]
    assert not large[JENSEN_SHANNON]


def test_fitted_rule_when_a_week_is_farther_than_it_allows_then_alarms():
    weeks = [of_normal(seed, 4_000) for seed in range(5)]
    assert not held_against(weeks, of_normal(9, 4_000))[FITTED]
    assert held_against(weeks, of_normal(9, 4_000, shift=0.5))[FITTED]
    assert not held_against(weeks[:1], of_normal(9, 4_000, shift=0.5))[FITTED]


def test_limits_when_a_column_is_all_missing_then_pass_it_in_silence():
    weeks = [of_normal(seed) for seed in range(4)]
    empty = pd.DataFrame({"x": [np.nan] * 400})
    assert not any(held_against(weeks, empty).values())


def test_verdicts_when_real_calm_weeks_are_held_out_then_the_textbook_alarms_in_each(calm):
    found = pd.DataFrame(
        [verdicts((*calm[:turn], *calm[turn + 1 :]), week) for turn, week in enumerate(calm)]
    ).sum()
    textbook = dict.fromkeys((PLAIN, BONFERRONI, INDEX, JENSEN_SHANNON), 12)
    steady = {WITHOUT_WEATHER.format(INDEX): 0, WITHOUT_WEATHER.format(RANK): 1}
    assert found.to_dict() == {**textbook, FITTED: 4, RANK: 1, **steady}


def test_index_when_categories_are_rare_then_they_are_one():
    words = [f"rare{number}" for number in range(200)]
    weeks = [pd.DataFrame({"x": ["often"] * 99_800 + words})] * 2
    week = pd.DataFrame({"x": ["often"] * 998 + ["new", "newer"]})
    assert not held_against(weeks, week, {"x": Kind.CATEGORY})[INDEX]
