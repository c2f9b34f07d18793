from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.data.flights import load_flights
from mlops_course.data.incidents import INCIDENTS
from mlops_course.data.stream import Stream, Strike

MONDAY = date(2013, 9, 2)
CLOCK, CELSIUS = INCIDENTS["clock"], INCIDENTS["celsius"]


@pytest.fixture(scope="module")
def flights(shared_workspace):
    return load_flights(shared_workspace, MONDAY, date(2013, 9, 22))


@pytest.fixture(scope="module")
def calm(flights):
    return Stream(flights, MONDAY)


def moved(week, plain):
    """Return by day the share of flights whose delay is 20 minutes later than in the plain week."""
    later = week.flights["dep_delay"] == plain.flights["dep_delay"] + 20
    return later.groupby(week.flights["date"]).mean().tolist()


def test_weeks_when_taken_as_they_were_then_cover_each_flight_once(calm, flights):
    weeks = list(calm.weeks(3))
    assert [week.monday for week in weeks] == [MONDAY, date(2013, 9, 9), date(2013, 9, 16)]
    assert [week.flights["date"].nunique() for week in weeks] == [7, 7, 7]
    together = pd.concat([week.flights for week in weeks]).drop(columns="label_at")
    pd.testing.assert_frame_equal(together, flights)
    assert not any(week.struck for week in weeks)


def test_week_when_drawn_by_seed_then_is_the_same_again_and_another_seed_differs(calm):
    one = replace(calm, seed=3)
    first, again = one.week(2).flights, replace(calm, seed=3).week(2).flights
    other = replace(calm, seed=4).week(2).flights
    pd.testing.assert_frame_equal(first, again)
    assert not first.index.equals(other.index)
    assert first["date"].is_monotonic_increasing
    assert first["date"].unique().tolist() == calm.week(2).flights["date"].unique().tolist()


def test_weeks_when_drawn_by_many_seeds_then_days_are_whole_and_accuracy_would_differ(calm):
    late = [replace(calm, seed=seed).week(2).flights.groupby("date")["late"] for seed in range(9)]
    shares = pd.DataFrame([days.mean() for days in late])
    assert shares.nunique().between(2, 3).all()


def test_strike_when_it_begins_and_ends_in_a_week_then_hits_just_those_days(calm):
    strike = Strike(CLOCK, date(2013, 9, 11), date(2013, 9, 12))
    week = replace(calm, strikes=(strike,)).week(2)
    assert moved(week, calm.week(2)) == [0, 0, 1, 1, 0, 0, 0] and week.struck
    assert not replace(calm, strikes=(strike,)).week(1).struck


def test_week_when_it_was_struck_then_keeps_the_flights_as_they_were_and_else_nothing(calm):
    strike = Strike(CLOCK, date(2013, 9, 11), date(2013, 9, 12))
    week = replace(calm, strikes=(strike,)).week(2)
    assert week.unharmed["dep_delay"].equals(calm.week(2).flights["dep_delay"])
    assert calm.week(2).unharmed is None


def test_strike_when_it_grows_then_hits_more_flights_each_day_up_to_its_severity(calm):
    strike = Strike(CLOCK, date(2013, 9, 9), severity=0.8, onset_days=3)
    shares = moved(replace(calm, strikes=(strike,)).week(2), calm.week(2))
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8], abs=0.05)


def test_strikes_when_two_overlap_then_both_are_seen_in_the_order_of_the_flights(calm):
    strikes = (Strike(CLOCK, MONDAY, severity=0.5), Strike(CELSIUS, MONDAY))
    week, plain = replace(calm, strikes=strikes).week(1), calm.week(1)
    assert week.flights.index.equals(plain.flights.index)
    assert 0.4 < np.mean(moved(week, plain)) < 0.6
    assert week.flights["temp"].max() < 40 < plain.flights["temp"].max()


@pytest.mark.parametrize(
    "wrong", [{"severity": 0}, {"severity": 1.5}, {"onset_days": -1}, {"last": date(2013, 9, 1)}]
)
def test_strike_when_it_cannot_be_then_says_so(wrong):
    with pytest.raises(ParameterError, match="cannot strike like this"):
        Strike(CLOCK, MONDAY, **wrong)


def test_labels_when_looked_at_early_then_only_those_of_landed_flights_are_there(calm):
    week = calm.week(1)
    early, late = week.seen_at(date(2013, 9, 4)), week.seen_at(date(2013, 9, 12))
    by_day = early["late"].notna().groupby(early["date"]).mean()
    assert 0.6 < by_day.iloc[0] < 1 and by_day.iloc[1] < 0.1 and (by_day.iloc[2:] == 0).all()
    known = week.flights["arr_delay"].notna()
    assert (late["late"].notna() == known).all() and (late["arr_delay"].notna() == known).all()
    assert "label_at" not in late and early["dep_delay"].equals(week.flights["dep_delay"])


@pytest.mark.parametrize("name", ["timezone", "hours", "clock"])
def test_labels_when_an_input_arrives_broken_then_come_as_they_would_have(calm, name):
    broken = replace(calm, strikes=(Strike(INCIDENTS[name], MONDAY),)).week(1)
    assert broken.flights["label_at"].equals(calm.week(1).flights["label_at"])


def test_labels_when_the_feed_of_labels_is_slow_then_they_come_that_much_later(calm):
    usual, slow = calm.week(1), replace(calm, label_hours=72.0).week(1)
    waits = (slow.flights["label_at"] - usual.flights["label_at"]).dropna()
    assert set(waits) == {pd.Timedelta(hours=48)}
    assert usual.flights["label_at"].isna().equals(usual.flights["late"].isna())
