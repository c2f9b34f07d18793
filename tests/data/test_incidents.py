from datetime import date

import pandas as pd
import pytest

from mlops_course.data.features import WEATHER
from mlops_course.data.flights import load_flights
from mlops_course.data.incidents import INCIDENTS

CHANGES = {
    "none": set(),
    "clock": {"dep_delay"},
    "hours": {"dep_delay"},
    "dead-weather": set(WEATHER),
    "padding": {"arr_delay", "late"},
    "timezone": {"hour"},
    "refused": {"dep_delay"},
    "celsius": {"temp", "dewp"},
}


@pytest.fixture(scope="module")
def week(shared_workspace):
    return load_flights(shared_workspace, date(2013, 9, 23), date(2013, 9, 29))


@pytest.mark.parametrize("name", INCIDENTS)
def test_incident_when_applied_then_changes_its_columns_alone_and_not_the_given_rows(name, week):
    before = week.copy()
    after = INCIDENTS[name].apply(week)
    pd.testing.assert_frame_equal(week, before)
    changed = {column for column in week if not after[column].equals(week[column])}
    assert changed == CHANGES[name]
    assert (after.dtypes == week.dtypes).all()


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
