from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from handmade import week
from sklearn.isotonic import IsotonicRegression

from mlops_course.alerting.rules import Watch
from mlops_course.data.flights import labelled, load_flights
from mlops_course.data.incidents import INCIDENTS
from mlops_course.drift.calm_weeks import fit_reference
from mlops_course.monitoring.estimation import BAND
from mlops_course.pipeline import stages
from mlops_course.pipeline.events import WeekScored
from mlops_course.pipeline.loop import run_pipeline
from mlops_course.pipeline.production import (
    Production,
    ScoredWeek,
    examples_of,
    followed_by,
    looked_at,
)
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.training.trainer import TrainingConfig, train


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


# ---- flights that are followed


@pytest.fixture(scope="module")
def model(flights):
    return train(labelled(flights), TrainingConfig(max_iter=5)).model


def followed(flights, probability, model, unharmed=None):
    given = flights.iloc[: len(probability)].assign(probability=probability)
    return examples_of(given, model, unharmed)


def test_examples_when_chosen_then_answers_alone_decide_and_the_first_of_equals_is_taken(
    flights, model
):
    probability = [0.5, 0.06, 0.97, 0.05, 0.05, float("nan"), 0.52]
    chosen = followed(flights, probability, model)
    assert [one.probability for one in chosen] == [0.05, 0.5, 0.97]
    assert [one.called_late for one in chosen] == [False, True, True]
    assert chosen[0].delivered["dep_delay"] == flights["dep_delay"].iloc[3]
    unlabelled = flights.assign(late=float("nan"), arr_delay=float("nan"))
    others = followed(unlabelled, probability, model)
    assert [one.delivered for one in others] == [one.delivered for one in chosen]
    assert {(one.late, one.arr_delay) for one in others} == {(None, None)}


def test_example_when_it_is_followed_then_the_model_sees_what_it_was_given(flights, model):
    gap = flights.assign(temp=float("nan"))
    (one,) = followed(gap, [0.9], model)
    assert one.encoded["dep_delay"] == one.delivered["dep_delay"]
    assert one.delivered["temp"] is None and one.encoded["temp"] is None
    assert model.vocabulary["carrier"][int(one.encoded["carrier"])] == one.delivered["carrier"]


def test_examples_when_an_incident_struck_then_keep_what_it_changed_and_nothing_else(
    flights, model
):
    struck = INCIDENTS["clock"].apply(flights)
    (one,) = followed(struck, [0.9], model, flights)
    assert one.unharmed == {"dep_delay": one.delivered["dep_delay"] - 20}
    (calm,) = followed(flights, [0.9], model)
    assert calm.unharmed == {}
    padded = INCIDENTS["padding"].apply(flights)
    (late,) = followed(padded, [0.9], model, flights)
    assert late.unharmed == {"arr_delay": late.arr_delay - 20}


@pytest.mark.parametrize(("answered", "count"), [(0, 0), (2, 2), (9, 3)])
def test_examples_when_few_were_answered_then_are_fewer(flights, model, answered, count):
    probability = [0.1 * place for place in range(answered)] + [float("nan")]
    assert len(followed(flights, probability, model)) == count


# ---- the estimate without labels, and when labels came

DRIFT = RunConfig("drift", weeks=7)


@pytest.fixture(scope="module")
def drift(shared_workspace, service):
    events = run_pipeline(DRIFT, shared_workspace, service)
    return [event for event in events if isinstance(event, WeekScored)]


@pytest.fixture(scope="module")
def loaded(shared_workspace):
    return stages.load(shared_workspace, DRIFT).made


def estimated(model, judged_on, flights):
    """Return the estimate as lesson 07 makes it, by hand."""
    curve = IsotonicRegression(out_of_bounds="clip")
    curve.fit(model.probability(judged_on), judged_on["late"])
    said = model.probability(flights)
    late = curve.predict(said)
    return np.where(said >= 0.5, late, 1 - late).mean()


def test_estimate_when_the_first_model_serves_then_is_calibrated_on_the_flights_held_out(
    drift, loaded
):
    model = train(loaded.rows, TrainingConfig()).model
    for scored in (drift[0], drift[4]):
        flights = loaded.stream.week(scored.number).flights
        expected = estimated(model, loaded.held_out, flights)
        assert scored.estimate == pytest.approx(expected, abs=1e-6)
        assert scored.estimate_low == pytest.approx(scored.estimate - BAND)
        assert scored.estimate_high == pytest.approx(scored.estimate + BAND)


def test_estimate_when_retrained_then_is_calibrated_on_the_week_that_the_gate_judged_on(
    drift, loaded
):
    learned = [loaded.stream.week(number) for number in (4, 5)]
    today = looked_at(learned[-1])
    rows = pd.concat([one.seen_at(today) for one in learned], ignore_index=True)
    model = train(rows, TrainingConfig()).model
    judged = loaded.stream.week(6)
    judged_on = labelled(judged.seen_at(looked_at(judged)))
    assert drift[6].model_version != drift[5].model_version
    expected = estimated(model, judged_on, loaded.stream.week(7).flights)
    assert drift[6].estimate == pytest.approx(expected, abs=1e-6)


def test_label_hours_when_a_week_is_looked_at_then_are_those_of_labels_that_have_come(
    drift, loaded
):
    first = loaded.stream.week(1)
    came = first.flights[first.flights["label_at"] < pd.Timestamp(looked_at(first))]
    hours = (came["label_at"] - came["date"]) / pd.Timedelta(hours=1)
    assert drift[0].label_hours == pytest.approx(hours.median())
