from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from mlops_course.data.flights import labelled, load_flights
from mlops_course.data.incidents import INCIDENTS
from mlops_course.data.stream import Stream, Strike
from mlops_course.drift.calm_weeks import KINDS
from mlops_course.drift.causes import (
    broken_contracts,
    change_day,
    learn_contracts,
    moved_value,
    permutation_importance,
    worst_slice,
)
from mlops_course.drift.profiles import Kind
from mlops_course.training.trainer import TrainingConfig, train

WEEKS = timedelta(weeks=12)
MONDAYS = [date(2013, 6, 3), date(2013, 10, 14)]
SLICES = ("carrier", "origin", "dest", "hour")


@pytest.fixture(scope="module")
def flights(shared_workspace):
    return load_flights(shared_workspace)


@pytest.fixture(scope="module")
def winter(flights):
    return flights[flights["date"] < "2013-04-01"]


@pytest.fixture(scope="module")
def week(flights):
    return flights[flights["date"].between("2013-09-02", "2013-09-08")]


def located(flights, incident, name, day):
    """Return the day of change that is found where an incident strikes on that day."""
    monday = day - timedelta(days=day.weekday())
    struck = Stream(flights, monday, (Strike(INCIDENTS[incident], day),)).week(1).flights
    before = flights[flights["date"].between(str(monday - WEEKS), str(monday - timedelta(days=1)))]
    both = pd.concat([before, struck])
    days = both["date"].to_numpy(dtype="datetime64[D]")
    found = change_day(both[name], days, monday, KINDS[name])
    return found and found.day


# ---- since when


@pytest.mark.parametrize("monday", MONDAYS)
@pytest.mark.parametrize("weekday", range(7))
@pytest.mark.parametrize(
    ("incident", "name"), [("clock", "dep_delay"), ("timezone", "hour"), ("hours", "dep_delay")]
)
def test_change_when_an_incident_strikes_on_any_day_then_is_located_to_it(
    flights, monday, weekday, incident, name
):
    day = monday + timedelta(days=weekday)
    assert located(flights, incident, name, day) == day


def test_change_when_values_go_missing_then_is_located_too(flights):
    day = date(2013, 10, 17)
    assert located(flights, "dead-weather", "temp", day) == day


def test_change_when_nothing_happens_then_no_day_stands_out_in_what_was_not_the_weather(flights):
    for monday in MONDAYS:
        for name in ("dep_delay", "distance", "carrier", "origin", "dest"):
            assert located(flights, "none", name, monday) is None


def test_change_when_there_is_one_day_on_either_side_then_cannot_be_located(flights):
    rows = flights[flights["date"].between("2013-09-01", "2013-09-03")]
    days = rows["date"].to_numpy(dtype="datetime64[D]")
    for first in (date(2013, 9, 2), date(2013, 9, 3), date(2013, 9, 4), date(2013, 9, 1)):
        assert change_day(rows["hour"], days, first, Kind.NUMBER) is None


# ---- where


@pytest.mark.parametrize(
    ("column", "value"),
    [("origin", "JFK"), ("origin", "LGA"), ("carrier", "UA"), ("dest", "ATL"), ("hour", "17.0")],
)
def test_slice_when_the_clock_switched_there_alone_then_is_named(winter, week, column, value):
    late = 20 * (week[column].astype(str) == value)
    changed = week.assign(dep_delay=week["dep_delay"] + late)
    found = worst_slice(winter, changed, "dep_delay", Kind.NUMBER, SLICES)
    assert (found.column, found.value) == (column, value)
    assert found.inside > 0.6 and found.elsewhere < 0.2


def test_slice_when_one_carrier_loses_the_weather_then_is_named(winter, week):
    changed = week.assign(temp=week["temp"].mask(week["carrier"] == "UA"))
    found = worst_slice(week, changed, "temp", Kind.NUMBER, SLICES)
    assert (found.column, found.value, found.elsewhere) == ("carrier", "UA", 0.0)


@pytest.mark.parametrize("airport", ["EWR", "JFK", "LGA"])
def test_airport_when_it_is_lost_then_is_what_moved_and_what_moved_the_rest(winter, week, airport):
    rest = week[week["origin"] != airport]
    value, before, after = moved_value(winter["origin"], rest["origin"])
    assert (value, after) == (airport, 0.0) and before > 0.25
    found = worst_slice(winter, rest, "carrier", Kind.CATEGORY, SLICES)
    assert (found.column, found.value) == ("origin", airport)


def test_slice_when_a_feature_moved_everywhere_then_none_is_named(winter, week):
    changed = INCIDENTS["clock"].apply(week)
    assert worst_slice(winter, changed, "dep_delay", Kind.NUMBER, SLICES) is None


def test_slice_when_no_other_column_has_slices_then_none_is_named(winter, week):
    assert worst_slice(winter, week, "origin", Kind.CATEGORY, ["origin"]) is None
    ids = np.arange(len(winter)).astype(str)
    assert (
        worst_slice(
            winter.assign(id=ids),
            week.assign(id=ids[: len(week)]),
            "hour",
            Kind.NUMBER,
            ["id"],
        )
        is None
    )


# ---- contracts


def test_contracts_when_learned_from_winter_then_the_dew_point_is_the_only_one(winter):
    (found,) = learn_contracts(winter)
    assert (found.smaller, found.larger, found.held) == ("dewp", "temp", 0.0)


def test_contract_when_only_the_temperature_is_in_celsius_then_is_broken(winter, week):
    changed = week.assign(temp=INCIDENTS["celsius"].apply(week)["temp"])
    (found,) = broken_contracts(learn_contracts(winter), changed)
    assert found.smaller == "dewp" and found.broken > 0.9


def test_contract_when_both_are_in_celsius_then_holds_and_does_not_see_it(winter, week):
    contracts = learn_contracts(winter)
    assert broken_contracts(contracts, INCIDENTS["celsius"].apply(week)) == ()
    assert broken_contracts(contracts, week) == ()


@pytest.mark.parametrize("rows", [0, 5])
def test_contracts_when_rows_are_few_then_none_is_learned(winter, rows):
    assert learn_contracts(winter.head(rows)) == ()
    assert broken_contracts(learn_contracts(winter), winter.head(0)) == ()


# ---- importance


def test_importance_when_measured_then_the_delay_leads_and_the_pressure_does_not_matter(winter):
    rows = labelled(winter)
    before = rows["date"] < "2013-03-18"
    model = train(rows[before], TrainingConfig()).model
    found = permutation_importance(model, rows[~before], ["pressure", "dep_delay", "distance"])
    assert [one.name for one in found] == ["dep_delay", "distance", "pressure"]
    assert found[0].lost > 0.2 and found[0].deviation < 0.01
    assert abs(found[-1].lost) < 0.002
    again = permutation_importance(model, rows[~before], ["pressure", "dep_delay", "distance"])
    assert again == found
