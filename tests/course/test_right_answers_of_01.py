"""Right answers to lesson 01's exercises that are not the reference solutions."""

import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from mlops_course.course.exercises import check, find
from mlops_course.data.features import FEATURES
from mlops_course.data.flights import labelled, load_flights
from mlops_course.training.evaluation import baseline


def by_query(flights, last, gap):
    end = pd.Timestamp(last)
    later = flights[flights["date"].sub(end).gt(pd.Timedelta(days=gap))]
    return flights.query("date <= @end").copy(), later


def by_days(flights, last, gap):
    away = (flights["date"] - pd.Timestamp(last)).dt.days
    return [flights[away <= 0].reset_index(drop=True), flights.loc[away > gap].sort_values("date")]


@pytest.mark.parametrize("answer", [by_query, by_days])
def test_split_when_written_otherwise_then_right(answer):
    assert check("01.2", answer).status == "right", check("01.2", answer)


def by_what_the_model_sees(flights):
    return flights.sort_values([*FEATURES, "late"])


def by_a_hash(flights):
    return flights.iloc[pd.util.hash_pandas_object(flights, index=False).argsort()]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (by_what_the_model_sees, "may still change places"),
        (by_a_hash, "one fingerprint and one digest"),
    ],
)
def test_order_when_it_follows_from_the_content_then_right_and_says_what_agrees(answer, told):
    feedback = check("01.3", answer)
    assert feedback.status == "right", feedback
    assert told in feedback.text


@pytest.mark.parametrize("answer", [0.79, 0.85, 0.895])
def test_prediction_when_between_never_and_the_rule_then_right(answer):
    assert check("01.1", answer).status == "right", check("01.1", answer)


def test_task_when_it_tells_three_scores_of_may_then_they_are_measured(shared_workspace):
    flights = labelled(load_flights(shared_workspace, last="2013-05-31"))
    past = flights[flights["date"] <= "2013-03-31"]
    may = flights[flights["date"].dt.month == 5]
    model = HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=0)
    model.fit(past[list(FEATURES)], past["late"])
    honest = model.score(may[list(FEATURES)], may["late"])
    rule = (baseline(may) == (may["late"] == 1)).mean()
    never = (may["late"] == 0).mean()
    told = find("01.1").task
    assert f"honest model scores {honest:.3f}" in told
    assert f"lesson 00 scores {rule:.3f}" in told
    assert f'"never late" scores {never:.3f}' in told
