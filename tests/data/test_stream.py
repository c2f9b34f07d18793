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


def storm(first, last, **more):
    return Strike(INCIDENTS["storm"], date(2013, 9, first), date(2013, 9, last), **more)


def test_storm_when_it_strikes_then_the_other_days_are_as_they_were_and_no_flight_is_harmed(calm):
    week, plain = replace(calm, strikes=(storm(10, 12),)).week(2), calm.week(2)
    stormy = week.flights["date"].between("2013-09-10", "2013-09-12")
    others = ~plain.flights["date"].between("2013-09-10", "2013-09-12")
    pd.testing.assert_frame_equal(week.flights[~stormy], plain.flights[others])
    assert stormy.sum() < (~others).sum() and week.struck and week.unharmed is None
    drawn = week.flights[stormy]
    pd.testing.assert_frame_equal(drawn, plain.flights.loc[drawn.index])  # labels come as its own


def test_storm_when_it_hits_a_part_then_days_stay_in_order_and_rows_real(calm):
    week, plain = replace(calm, strikes=(storm(9, 15, severity=0.5),)).week(2), calm.week(2)
    assert week.flights["date"].is_monotonic_increasing
    pd.testing.assert_frame_equal(week.flights, plain.flights.loc[week.flights.index])
    whole = replace(calm, strikes=(storm(9, 15),)).week(2)
    assert len(whole.flights) < len(week.flights) < len(plain.flights)


def test_storm_when_a_feed_breaks_too_then_what_the_fault_changed_is_known_of_the_stormy_flights(
    calm,
):
    week = replace(calm, strikes=(Strike(CLOCK, MONDAY), storm(10, 12))).week(2)
    assert week.unharmed.index.equals(week.flights.index)
    assert week.flights["dep_delay"].equals(week.unharmed["dep_delay"] + 20)


def test_new_carrier_when_it_hits_a_part_then_the_column_stays_one_of_categories(calm):
    strike = Strike(INCIDENTS["new-carrier"], date(2013, 9, 11), severity=0.5)
    stream = replace(calm, strikes=(strike,))
    for number in (1, 2):
        assert stream.week(number).flights["carrier"].dtype == "category"
    pd.testing.assert_frame_equal(stream.week(1).flights, calm.week(1).flights)
    named = stream.week(3).flights["carrier"].astype(str)
    assert 0.4 < (named == "EN").sum() / named.isin(["EN", "MQ"]).sum() < 0.6


def test_late_labels_when_they_strike_then_come_two_weeks_later_and_inputs_stay(calm):
    late = replace(calm, strikes=(Strike(INCIDENTS["late-labels"], date(2013, 9, 11)),)).week(2)
    plain = calm.week(2)
    waits = (late.flights["label_at"] - plain.flights["label_at"]).dropna()
    by_day = waits.groupby(plain.flights["date"]).agg(set)
    assert by_day.tolist() == [{pd.Timedelta(0)}] * 2 + [{pd.Timedelta(days=15)}] * 5
    assert late.flights.drop(columns="label_at").equals(plain.flights.drop(columns="label_at"))
    assert (
        late.seen_at(date(2013, 9, 19))["late"].notna().groupby(plain.flights["date"]).any().sum()
        == 2
    )
    assert late.struck


def test_monitoring_when_it_is_dead_on_a_day_then_the_week_is_blind_and_no_flight_differs(calm):
    strike = Strike(INCIDENTS["monitoring-dead"], date(2013, 9, 11), date(2013, 9, 12))
    weeks = list(replace(calm, strikes=(strike,)).weeks(3))
    assert [week.blind for week in weeks] == [False, True, False]
    assert [week.struck for week in weeks] == [False, True, False]
    assert weeks[1].flights.equals(calm.week(2).flights)


def test_release_when_it_is_on_the_calendar_then_falls_into_its_week_and_strikes_no_flight(calm):
    strike = Strike(INCIDENTS["stuck-release"], date(2013, 9, 11))
    stream = replace(calm, strikes=(strike, Strike(CLOCK, date(2013, 9, 16))))
    assert [stream.releases(number) for number in (1, 2, 3)] == [(), ("stuck",), ()]
    assert [week.struck for week in stream.weeks(3)] == [False, False, True]
