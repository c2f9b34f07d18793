from datetime import date

import numpy as np
import pandas as pd
import pytest

from mlops_course.data.features import FEATURES
from mlops_course.data.flights import load_flights
from mlops_course.monitoring.performance import MIN_DAYS, join, measure
from mlops_course.serving.prediction_log import KEY
from mlops_course.serving.replay import numbered
from mlops_course.training.evaluation import right_calls


@pytest.fixture(scope="module")
def week(shared_workspace):
    return numbered(load_flights(shared_workspace, date(2013, 9, 23), date(2013, 9, 29)), 500)


def logged(week, probability, role="champion"):
    """The prediction log of a week in which every flight was answered with these."""
    return week[[*KEY, *FEATURES]].assign(role=role, version="1", probability=probability)


def measured(week, probability):
    return measure(join(logged(week, probability), week))


def test_measure_when_every_call_is_right_then_accuracy_is_one(week):
    quality = measured(week, (week["late"] == 1).to_numpy() * 1.0)
    assert quality.accuracy == 1.0 and quality.confidence == 1.0 and quality.unanswered == 0
    assert (quality.days, quality.upper, quality.standard_error) == (7, 1.0, 0.0)
    assert quality.predicted_late == pytest.approx(quality.observed_late, abs=0.003)


def test_measure_when_nothing_is_called_late_then_accuracy_is_the_share_on_time(week):
    quality = measured(week, np.full(len(week), 0.2))
    assert quality.accuracy == pytest.approx(1 - quality.observed_late)
    assert quality.predicted_late == 0 and quality.confidence == pytest.approx(0.8)


def test_measure_when_flights_were_diverted_then_they_count_as_rows_without_label(week):
    quality = measured(week, np.full(len(week), 0.2))
    assert quality.answered == quality.rows
    assert quality.rows - quality.labelled == week["late"].isna().sum() > 0


def test_measure_when_flights_have_no_answer_then_they_are_unanswered_and_not_on_time(week):
    calls = (week["late"] == 1).to_numpy() * 1.0
    log = logged(week, calls)
    some = log[log["request_id"] != log["request_id"].iloc[0]]
    quality = measure(join(some, week))
    assert quality.unanswered == len(log) - len(some) == 500
    assert quality.accuracy == 1.0 and quality.labelled < quality.answered == len(some)


def test_measure_when_nothing_was_answered_then_no_share_is_known_and_nothing_is_warned(week):
    none = logged(week, 0.5).iloc[:0]
    quality = measure(join(none, week))
    assert quality.unanswered == quality.rows == len(week) and quality.labelled == 0
    assert np.isnan([quality.accuracy, quality.predicted_late, quality.confidence]).all()
    assert np.isnan(quality.upper) and quality.days == 0
    assert quality.observed_late == week["late"].mean()


def test_measure_when_days_or_labels_are_few_then_has_no_bound(week):
    days = week["date"].unique()
    for known, days_known in ((week["date"] <= days[3], 4), (week.index < week.index[150], 1)):
        quality = measured(week.assign(late=week["late"].where(known)), np.full(len(week), 0.2))
        assert quality.days == days_known and 0 < quality.accuracy < 1
        assert np.isnan([quality.upper, quality.standard_error]).all()
    enough = week.assign(late=week["late"].where(week["date"] <= days[MIN_DAYS - 1]))
    assert measured(enough, np.full(len(week), 0.2)).upper < 1


def weeks_and_levels(real_year):
    """Yield each seven days in a row of the real year, and the level of the five weeks around."""
    right = real_year.assign(
        right=right_calls(real_year["probability"].to_numpy(), real_year["late"].to_numpy())
    )
    by_day = right.groupby("date")["right"].agg(["sum", "count"])
    days = [group for _, group in right.groupby("date")]
    for first in range(len(days) - 6):
        around = by_day.iloc[max(first - 14, 0) : first + 21].sum()
        yield pd.concat(days[first : first + 7]), around["sum"] / around["count"]


def test_measure_when_days_differ_near_the_top_then_the_bound_stays_a_share(week):
    worst = week["date"] == week["date"].iloc[0]
    calls = np.where(worst, week["late"] != 1, week["late"] == 1) * 1.0
    quality = measured(week, calls)
    assert 0.8 < quality.accuracy < 0.9 and quality.upper == 1.0


def test_bound_when_real_weeks_follow_each_other_then_keeps_its_promise_and_by_rows_it_breaks(
    real_year,
):
    covered, by_row, alarms = [], [], []
    for week, level in weeks_and_levels(real_year):
        quality = measure(week)
        covered.append(quality.upper >= level)
        alarms.append(quality.upper < level - 0.005)
        independent = np.sqrt(quality.accuracy * (1 - quality.accuracy) / quality.labelled)
        by_row.append(quality.accuracy + 1.645 * independent >= level)
    assert len(covered) == 269
    assert 0.93 <= np.mean(covered) <= 0.97
    assert np.mean(alarms) <= 0.05
    assert np.mean(by_row) < 0.75


def test_join_when_a_shadow_looked_on_or_a_request_came_twice_then_each_flight_counts_once(week):
    first, again = logged(week, 0.9), logged(week, 0.1)
    log = pd.concat([logged(week, 0.3, role="shadow"), first, again])
    joined = join(log, week)
    assert len(joined) == len(week) and (joined["probability"] == 0.9).all()
