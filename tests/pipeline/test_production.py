from datetime import date
from pathlib import Path

import pytest
from handmade import week

from mlops_course.alerting.rules import Watch
from mlops_course.data.flights import load_flights
from mlops_course.drift.calm_weeks import fit_reference
from mlops_course.pipeline.production import Production, ScoredWeek, followed_by


@pytest.fixture(scope="module")
def flights(shared_workspace):
    winter = load_flights(shared_workspace, date(2013, 1, 1), date(2013, 3, 31))
    return winter.assign(probability=0.5)


@pytest.fixture
def production(flights):
    return Production(None, Path(), fit_reference(flights), Watch(()), {})


def test_reference_when_a_week_was_answered_then_its_weather_becomes_part_of_it(
    production, flights
):
    last = flights[flights["date"] >= "2013-03-25"]
    after = followed_by(production, ScoredWeek(week(1, 0.95), (), last))
    assert after.reference.rolling.weeks[-1].rows == len(last)
    assert after.reference.rolling.weeks[:-1] == production.reference.rolling.weeks[1:]


def test_reference_when_a_week_was_not_answered_then_stays_as_it_is(production, flights):
    last = flights[flights["date"] >= "2013-03-25"].assign(probability=float("nan"))
    assert followed_by(production, ScoredWeek(week(1, 0.95), (), last)) == production


def test_reference_when_a_week_failed_the_tests_of_its_data_then_stays_as_it_is(
    production, flights
):
    failed = week(1, 0.95, findings=("temp is missing in 100% of flights.",))
    assert followed_by(production, ScoredWeek(failed, (), flights)) is production
