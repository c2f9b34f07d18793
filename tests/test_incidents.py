from datetime import date

import pandas as pd
import pytest

from mlops_course.errors import ParameterError
from mlops_course.features import WEATHER
from mlops_course.flights import load_flights
from mlops_course.incidents import INCIDENTS
from mlops_course.scenarios import SCENARIOS, RunConfig

CHANGES = {
    "none": set(),
    "clock": {"dep_delay"},
    "hours": {"dep_delay"},
    "dead-weather": set(WEATHER),
    "padding": {"arr_delay", "late"},
    "timezone": {"hour"},
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


def test_scenarios_when_listed_then_hold_every_incident_and_the_three_named_ones():
    assert set(SCENARIOS) == {"good", "drift", "real-year", *INCIDENTS}
    assert SCENARIOS["drift"].incident.name == "clock"
    assert not any(SCENARIOS["good"].strikes(week) for week in range(1, 18))
    assert [SCENARIOS["drift"].strikes(week) for week in (3, 4, 5)] == [False, True, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scenario": "winter"}, "no scenario 'winter'.*real-year"),
        ({"weeks": 0}, "1 to 17 weeks"),
        ({"weeks": 18}, "1 to 17 weeks"),
        ({"scenario": "real-year", "weeks": 40}, "1 to 39 weeks"),
        ({"weeks": 2.5}, "whole number"),
        ({"weeks": True}, "whole number"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": "x"}, "seed is 'x'"),
        ({"threshold": 90}, "between 0.5 and 0.999"),
        ({"threshold": float("nan")}, "between 0.5 and 0.999"),
        ({"threshold": "high"}, "between 0.5 and 0.999"),
        ({"retrain": "maybe"}, "'auto' or 'never'"),
    ],
)
def test_config_when_a_value_is_out_of_range_then_says_what_is_accepted(settings, message):
    with pytest.raises(ParameterError, match=message):
        RunConfig(**settings)
