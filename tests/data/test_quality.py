from datetime import date

import numpy as np
import pytest

from mlops_course.core.verdicts import Verdict
from mlops_course.data.features import WEATHER, vocabulary_of
from mlops_course.data.flights import load_flights
from mlops_course.data.incidents import INCIDENTS
from mlops_course.data.quality import validate_flights


@pytest.fixture(scope="module")
def week(shared_workspace):
    return load_flights(shared_workspace, date(2013, 9, 23), date(2013, 9, 29))


def failed(verdict: Verdict) -> set[str]:
    return {check.name for check in verdict.checks if not check.passed}


def test_data_when_every_quarter_is_checked_then_real_flights_pass(shared_workspace):
    for first, last in [(1, 3), (4, 6), (7, 9), (10, 12)]:
        day = 31 if last in (3, 12) else 30
        flights = load_flights(shared_workspace, date(2013, first, 1), date(2013, last, day))
        verdict = validate_flights(flights, min_rows=70_000)
        assert verdict.passed, verdict.failures


@pytest.mark.parametrize(
    ("plant", "sentence"),
    [
        (lambda w: w.drop(columns=["hour"]), "Missing column: hour."),
        (lambda w: w.assign(hour=w["hour"].astype(str)), "hour has type str; expected dtype"),
        (lambda w: w.assign(temp=w["temp"] + 100), "temp is out of range in 6480 flights"),
        (lambda w: w.assign(dep_delay=np.inf), "dep_delay is out of range"),
        (
            lambda w: w.assign(dep_delay=w["dep_delay"].where(w.index != w.index[3])),
            "dep_delay is empty in 1 flights; it is required.",
        ),
        (lambda w: w.iloc[:1_000], "1,000 flights; at least 4,000 were expected."),
    ],
)
def test_data_when_a_fault_is_planted_then_one_sentence_names_it(week, plant, sentence):
    assert validate_flights(week, min_rows=4_000).passed
    verdict = validate_flights(plant(week), min_rows=4_000)
    (told,) = verdict.failures
    assert sentence in told


def test_data_when_the_weather_feed_is_dead_then_each_of_its_columns_is_named(week):
    told = validate_flights(INCIDENTS["dead-weather"].apply(week), min_rows=4_000).failures
    assert {failure.split()[0] for failure in told} == set(WEATHER)
    assert all("is missing in 100% of flights" in failure for failure in told)


def test_data_when_two_faults_are_planted_then_both_are_found(week):
    broken = week.drop(columns=["visib"]).assign(humid=101.0)
    outside, missing = sorted(validate_flights(broken, min_rows=1).failures, reverse=True)
    assert outside.startswith("humid is out of range in 6480 flights")
    assert missing == "Missing column: visib."


def test_data_when_many_categories_are_new_then_counts_them(week):
    words = vocabulary_of(week) | {"carrier": ["UA"]}
    verdict = validate_flights(week, min_rows=1, vocabulary=words)
    assert failed(verdict) == {"unseen carrier"}
    assert validate_flights(week, min_rows=1, vocabulary=vocabulary_of(week)).passed
