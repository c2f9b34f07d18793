from dataclasses import replace
from datetime import date
from math import isnan, nan

import numpy as np
import pytest
from watched import flights_of, record_of

from mlops_course.core.errors import ParameterError
from mlops_course.data.features import vocabulary_of
from mlops_course.monitoring.figures import FIGURES, SAMPLES, Terms, measured, range_of
from mlops_course.monitoring.windows import by_days, window_of
from mlops_course.serving.routing import REFUSED

MONDAY = date(2013, 9, 23)


@pytest.fixture(scope="module")
def flights(shared_workspace):
    return flights_of(shared_workspace, MONDAY, date(2013, 9, 29))


@pytest.fixture(scope="module")
def terms(flights):
    return Terms(0.9, 30, 10, vocabulary_of(flights))


def seen(record, terms):
    return measured(window_of(record, "the week", MONDAY, 7), terms)


def test_figures_when_a_week_is_whole_then_all_are_known_and_within_their_range(flights, terms):
    right = (flights["late"] == 1).to_numpy() * 0.8 + 0.1
    found = seen(record_of(flights, right), terms)
    assert {name for name, value in found.items() if isnan(value)} == {"volume", "drift_score"}
    for name, value in found.items():
        if not isnan(value):
            low, high = range_of(FIGURES[name], terms)
            assert low <= value <= high, name
    assert found["accuracy"] == 1 and found["burn_rate"] == 0 and found["cost_minutes"] == 0
    assert found["called_late"] == pytest.approx(flights["late"].mean(), abs=0.005)
    assert found["label_delay_hours"] == 24 and found["labelled_share"] > 0.98


def test_figures_when_nothing_was_answered_then_that_is_seen_and_the_rest_cannot_tell(
    flights, terms
):
    found = seen(record_of(flights, nan), terms)
    assert found["unanswered_share"] == 1
    unknown = {name for name, value in found.items() if isnan(value)}
    assert {"accuracy", "called_late", "confidence", "missing_share", "labelled_share"} <= unknown


def test_figures_when_there_was_no_flight_then_all_is_unanswered(flights, terms):
    found = seen(record_of(flights.iloc[:0]), terms)
    assert found["unanswered_share"] == 1
    assert {name for name, value in found.items() if not isnan(value)} == {"unanswered_share"}


def test_volume_when_a_day_loses_flights_then_falls_beside_the_same_weekday(
    shared_workspace, terms
):
    flights = flights_of(shared_workspace, date(2013, 9, 9), date(2013, 9, 29))
    some = flights[(flights["date"] != "2013-09-28") | (flights.index % 4 == 0)]
    days = by_days(record_of(some), 1)
    volume = {day.name[-2:]: measured(day, terms)["volume"] for day in days}
    assert isnan(volume["15"]) and volume["28"] == pytest.approx(0.25, abs=0.02)
    assert all(0.9 < volume[f"{day}"] < 1.1 for day in (16, 21, 22, 27, 29))


def test_cost_when_calls_are_wrong_then_each_kind_costs_its_minutes(flights, terms):
    known = flights[flights["late"].notna()]
    late = known["late"].mean()
    none = seen(record_of(known, 0.1), terms)
    every = seen(record_of(known, 0.9), terms)
    assert none["cost_minutes"] == pytest.approx(1_000 * late * 30)
    assert every["cost_minutes"] == pytest.approx(1_000 * (1 - late) * 10)
    assert none["burn_rate"] == pytest.approx(late / 0.1)
    assert every["burn_rate"] == pytest.approx((1 - late) / 0.1)


def test_service_when_requests_are_refused_or_fail_then_shares_tell_them_apart(flights, terms):
    record = record_of(flights)
    requests = record.requests
    refused = requests.index % 4 == 0
    failed = requests.index % 4 == 1
    requests = requests.assign(
        role=np.where(refused, REFUSED, "champion"),
        failure=np.where(refused, "422: dep_delay", np.where(failed, "ValueError", "")),
        ms=np.where(refused, 0.0, np.where(failed, 900.0, 4.0)),
    )
    found = seen(replace(record, requests=requests), terms)
    assert found["refused_share"] == pytest.approx(refused.mean())
    assert found["failed_share"] == pytest.approx(failed.sum() / (~refused).sum())
    assert found["slow_ms"] == 900


def test_inputs_when_they_are_odd_then_the_worst_column_counts(flights, terms):
    odd = flights.assign(
        temp=flights["temp"].mask(flights.index % 2 == 0),
        hour=np.where(flights.index % 10 == 0, 27.0, flights["hour"]),
        dest=flights["dest"].astype(str).where(flights.index % 5 > 0, "XXX"),
    )
    found = seen(record_of(odd), terms)
    assert found["missing_share"] == pytest.approx(0.5, abs=0.02)
    assert found["out_of_range_share"] == pytest.approx(0.1, abs=0.01)
    assert found["unseen_share"] == pytest.approx(0.2, abs=0.01)
    assert isnan(seen(record_of(odd), Terms())["unseen_share"])


def test_burn_rate_when_an_objective_is_given_then_cannot_pass_one_over_the_budget():
    assert range_of(FIGURES["burn_rate"], Terms(objective=0.9)) == (0, 10)
    assert range_of(FIGURES["burn_rate_at_least"], Terms(objective=0.99)) == (0, 100)
    assert range_of(FIGURES["accuracy"], Terms()) == (0, 1)


def test_catalogue_when_read_then_every_figure_rests_on_a_known_sample():
    assert {figure.sample for figure in FIGURES.values()} <= set(SAMPLES)
    assert FIGURES["accuracy"].needs_labels and not FIGURES["called_late"].needs_labels


@pytest.mark.parametrize("wrong", [{"objective": 90}, {"objective": "0.9"}, {"missed_minutes": -1}])
def test_terms_when_nobody_can_keep_them_then_says_what_they_are(wrong):
    with pytest.raises(ParameterError, match=r"between 0.5 and 0.999"):
        Terms(**wrong)
