from datetime import date

import numpy as np
import pytest

from mlops_course.features import vocabulary_of
from mlops_course.flights import labelled, load_flights
from mlops_course.incidents import INCIDENTS
from mlops_course.training import baseline
from mlops_course.validation import Verdict, gate, paired_interval, report, validate_flights


@pytest.fixture(scope="module")
def week(shared_workspace):
    return load_flights(shared_workspace, date(2013, 9, 23), date(2013, 9, 29))


def failed(verdict: Verdict) -> set[str]:
    return {check.name for check in verdict.checks if not check.passed}


def test_data_when_every_quarter_is_checked_then_real_flights_pass(shared_workspace):
    for first, last in [(1, 3), (4, 6), (7, 9), (10, 12)]:
        day = 31 if last in (3, 12) else 30
        flights = load_flights(shared_workspace, date(2013, first, 1), date(2013, last, day))
        verdict = validate_flights(flights, least_rows=70_000)
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
        (INCIDENTS["dead-weather"].apply, "wind_speed is missing in 100% of flights"),
        (lambda w: w.iloc[:1_000], "1,000 flights; at least 4,000 were expected."),
    ],
)
def test_data_when_a_fault_is_planted_then_one_sentence_names_it(week, plant, sentence):
    assert validate_flights(week, least_rows=4_000).passed
    verdict = validate_flights(plant(week), least_rows=4_000)
    assert any(sentence in failure for failure in verdict.failures), verdict.failures


def test_data_when_two_faults_are_planted_then_both_are_found(week):
    broken = week.drop(columns=["visib"]).assign(humid=101.0)
    assert len(validate_flights(broken, least_rows=1).failures) == 2


def test_data_when_many_categories_are_new_then_counts_them(week):
    words = vocabulary_of(week) | {"carrier": ["UA"]}
    verdict = validate_flights(week, least_rows=1, vocabulary=words)
    assert failed(verdict) == {"unseen carrier"}
    assert validate_flights(week, least_rows=1, vocabulary=vocabulary_of(week)).passed


def test_gate_when_candidate_is_the_yardstick_then_refuses(week):
    flights = labelled(week)
    rule = baseline(flights)
    assert failed(gate(flights, rule, rule, "itself")) == {"better overall"}


def test_gate_when_candidate_is_right_more_often_then_passes(week):
    flights = labelled(week)
    late, rule = flights["late"].to_numpy() == 1, baseline(flights)
    better = np.where(np.arange(len(rule)) % 4 == 0, late, rule)
    verdict = gate(flights, better, rule, "the rule")
    assert verdict.passed
    assert set(report(verdict)["result"]) == {"pass"}


def test_gate_when_candidate_wins_overall_but_loses_an_airport_then_refuses(week):
    flights = labelled(week)
    late, rule = flights["late"].to_numpy() == 1, baseline(flights)
    at_jfk = (flights["origin"] == "JFK").to_numpy()
    spoilt = at_jfk & (np.arange(len(late)) % 20 == 0)
    candidate = np.where(spoilt, ~late, np.where(at_jfk, rule, late))
    verdict = gate(flights, candidate, rule, "the rule")
    assert "not worse at JFK" in failed(verdict) and "better overall" not in failed(verdict)


def test_gate_when_rows_are_few_then_refuses_however_good(week):
    flights = labelled(week).iloc[:900]
    late = flights["late"].to_numpy() == 1
    assert failed(gate(flights, late, ~late, "its opposite")) == {"enough rows"}


def test_interval_when_true_difference_is_zero_then_lower_bound_is_above_it_one_time_in_twenty():
    generator = np.random.default_rng(0)
    outcomes = generator.choice([-1, 0, 1], p=[0.05, 0.9, 0.05], size=(2_000, 3_000))
    above = np.mean([paired_interval(row)[0] > 0 for row in outcomes])
    assert above == pytest.approx(0.05, abs=0.015)
