from datetime import date

import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.data.incidents import INCIDENTS
from mlops_course.pipeline.events import MYSTERY
from mlops_course.pipeline.scenarios import SCENARIOS, RunConfig, scenario_of

YEARS = ("year-clock", "year-repaired", "year-padding")


def test_scenarios_when_listed_then_hold_every_incident_and_those_with_a_calendar():
    assert set(SCENARIOS) == {
        "good",
        "drift",
        "real-year",
        *INCIDENTS,
        "repaired",
        *YEARS,
        "mystery",
    }
    assert SCENARIOS["drift"].incident.name == "clock"
    assert SCENARIOS["good"].strikes == ()
    (strike,) = SCENARIOS["drift"].strikes
    assert (strike.first, strike.last, strike.severity) == (date(2013, 9, 23), None, 1.0)


def test_scenarios_when_they_have_a_calendar_then_strike_on_those_days():
    (strike,) = SCENARIOS["repaired"].strikes
    assert (strike.first, strike.last) == (date(2013, 9, 23), date(2013, 10, 27))
    for name in YEARS:
        (strike,) = SCENARIOS[name].strikes
        assert strike.first == date(2013, 6, 3) and strike.first.weekday() == 0
    assert [SCENARIOS[name].strikes[0].last for name in YEARS] == [None, date(2013, 7, 28), None]


@pytest.mark.parametrize("name", [name for name in INCIDENTS if name != "none"])
def test_incidents_when_they_have_a_scenario_then_strike_in_week_4_and_weather_passes(name):
    (strike,) = SCENARIOS[name].strikes
    assert strike.first == date(2013, 9, 23) and strike.incident is INCIDENTS[name]
    assert (strike.last is not None) == INCIDENTS[name].world
    if strike.last:
        assert (strike.last - strike.first).days + 1 == INCIDENTS[name].lasts


def test_mystery_when_weather_is_drawn_then_passes_as_in_its_own_scenario():
    drawn = (scenario_of(RunConfig(MYSTERY, seed=seed)) for seed in range(200))
    (strike,) = next(one for one in drawn if one.incident.name == "storm").strikes
    assert (strike.last - strike.first).days + 1 == INCIDENTS["storm"].lasts


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
