from datetime import date

import pandas as pd
import pytest

from mlops_course.data.features import WEATHER
from mlops_course.data.flights import load_flights
from mlops_course.data.incidents import INCIDENTS, OWNERS
from mlops_course.training.bad_releases import BAD_RELEASES

CHANGES = {
    "none": set(),
    "clock": {"dep_delay"},
    "hours": {"dep_delay"},
    "dead-weather": set(WEATHER),
    "padding": {"arr_delay", "late"},
    "timezone": {"hour"},
    "refused": {"dep_delay"},
    "celsius": {"temp", "dewp"},
    "new-carrier": {"carrier"},
    "desk-skew": {"hour"},
}
STAYING = [name for name, incident in INCIDENTS.items() if not incident.world]
STORM = INCIDENTS["storm"]


@pytest.fixture(scope="module")
def week(shared_workspace):
    return load_flights(shared_workspace, date(2013, 9, 23), date(2013, 9, 29))


@pytest.fixture(scope="module")
def month(shared_workspace):
    return load_flights(shared_workspace, date(2013, 9, 2), date(2013, 9, 29))


@pytest.mark.parametrize("incident", INCIDENTS.values(), ids=INCIDENTS)
def test_record_when_read_then_says_what_can_be_seen_and_names_who_and_what_there_is(incident):
    for words in (incident.title, incident.story, incident.response, incident.visible):
        assert words.strip()
    assert set(incident.changed) <= {"X", "Y", "Y|X"}
    assert incident.owner in ("", *OWNERS) and incident.release in ("", *BAD_RELEASES)
    assert INCIDENTS[incident.name] is incident
    assert incident.changes_flights == bool(incident.changed)


@pytest.mark.parametrize("name", STAYING)
def test_incident_when_applied_then_changes_its_columns_alone_and_not_the_given_rows(name, week):
    before = week.copy()
    after = INCIDENTS[name].apply(week)
    pd.testing.assert_frame_equal(week, before)
    changed = {column for column in week if not after[column].equals(week[column])}
    assert changed == CHANGES.get(name, set())
    assert after.dtypes.astype(str).equals(week.dtypes.astype(str))


def test_clock_when_applied_then_adds_twenty_minutes(week):
    moved = INCIDENTS["clock"].apply(week)["dep_delay"] - week["dep_delay"]
    assert (moved == 20).all()


def test_padding_when_applied_then_labels_follow_the_tighter_schedule(week):
    after = INCIDENTS["padding"].apply(week)
    known = week["arr_delay"].notna()
    assert ((after.loc[known, "late"] == 1) == (week.loc[known, "arr_delay"] > -5)).all()
    assert after.loc[~known, "late"].isna().all()


def test_timezone_when_applied_then_hours_stay_on_the_clock(week):
    assert INCIDENTS["timezone"].apply(week)["hour"].between(0, 23).all()


def test_refused_when_applied_then_each_day_has_an_empty_delay_and_few_flights_do(week):
    empty = INCIDENTS["refused"].apply(week)["dep_delay"].isna()
    assert empty.groupby(week["date"]).any().all() and empty.mean() < 0.004


def test_new_carrier_when_applied_then_one_airline_has_another_name_and_no_other(week):
    before = week["carrier"].astype(str)
    after = INCIDENTS["new-carrier"].apply(week)["carrier"].astype(str)
    renamed = before == "MQ"
    assert renamed.any() and "EN" not in set(before)
    assert set(after[renamed]) == {"EN"} and after[~renamed].equals(before[~renamed])


def test_desk_skew_when_applied_then_one_desk_has_twelve_hours_and_the_others_all(week):
    after = INCIDENTS["desk-skew"].apply(week)["hour"]
    there = week["origin"] == "LGA"
    assert after[there].max() == 11 and week.loc[there, "hour"].max() > 20
    assert after[~there].equals(week.loc[~there, "hour"])


def test_storm_when_applied_then_every_row_is_a_real_flight_of_its_day_from_no_closed_airport(week):
    before = week.copy()
    after = STORM.apply(week)
    pd.testing.assert_frame_equal(week, before)
    pd.testing.assert_frame_equal(after, week.loc[after.index])
    closed = (week["origin"] == "EWR") & week["hour"].between(8, 20)
    assert closed.any() and not closed[after.index].any()
    assert after["date"].value_counts().equals(week.loc[~closed, "date"].value_counts())
    late = (after["dep_delay"] > 15).mean()
    assert 2 < late / (week.loc[~closed, "dep_delay"] > 15).mean() < 3


def test_storm_when_applied_then_what_is_known_at_push_back_says_as_much_as_before(month):
    after = STORM.apply(month)
    closed = (month["origin"] == "EWR") & month["hour"].between(8, 20)
    minutes = [-60, -5, 0, 15, 30, 60, 2_000]
    shares = [
        rows["late"].groupby(pd.cut(rows["dep_delay"], minutes)).mean()
        for rows in (month[~closed], after)
    ]
    assert (shares[0] - shares[1]).abs().max() < 0.03


def test_storm_when_a_day_is_struck_alone_then_is_as_among_others(week):
    day = week[week["date"] == "2013-09-25"]
    together = STORM.apply(week)
    pd.testing.assert_frame_equal(STORM.apply(day), together[together["date"] == "2013-09-25"])


def test_storm_when_no_flight_is_left_then_is_none(week):
    closed = (week["origin"] == "EWR") & week["hour"].between(8, 20)
    assert STORM.apply(week[closed]).empty and STORM.apply(week.iloc[:0]).empty
