from datetime import date

import numpy as np
import pandas as pd
import pytest
from counting import blocks_of, other_weeks, together

from mlops_course.data.features import FEATURES
from mlops_course.data.flights import load_flights
from mlops_course.monitoring.labels import Labels
from mlops_course.monitoring.performance import MIN_DAYS, WEEKS_DIFFER, join, measure
from mlops_course.serving.prediction_log import KEY
from mlops_course.serving.replay import numbered
from mlops_course.stats.clustered import ratio_bounds
from mlops_course.training.evaluation import right_calls

AROUND = (1, 2, 3)


@pytest.fixture(scope="module")
def week(shared_workspace):
    return numbered(load_flights(shared_workspace, date(2013, 9, 23), date(2013, 9, 29)), 500)


def logged(week, probability, role="champion"):
    """The prediction log of a week in which every flight was answered with these."""
    return week[[*KEY, *FEATURES]].assign(role=role, version="1", probability=probability)


def known(week):
    """What a label store would hold of a week, all labels in."""
    requests = week.groupby("request_id", sort=False)["date"].agg(at="first", rows="size")
    labels = week.loc[week["late"].notna(), [*KEY, "late", "date"]]
    return Labels(requests.reset_index(), labels.rename(columns={"date": "at"}))


def measured(week, probability):
    return measure(join(logged(week, probability), known(week)))


def test_measure_when_every_call_is_right_then_accuracy_is_one(week):
    quality = measured(week, (week["late"] == 1).to_numpy() * 1.0)
    assert quality.accuracy == 1.0 and quality.confidence == 1.0 and quality.unanswered == 0
    assert (quality.days, quality.upper, quality.standard_error) == (7, 1.0, WEEKS_DIFFER)
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
    quality = measure(join(some, known(week)))
    assert quality.unanswered == len(log) - len(some) == 500
    assert quality.accuracy == 1.0 and quality.labelled < quality.answered == len(some)


def test_measure_when_nothing_was_answered_then_no_share_is_known_and_nothing_is_warned(week):
    none = logged(week, 0.5).iloc[:0]
    quality = measure(join(none, known(week)))
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


def test_measure_when_days_differ_near_the_top_then_the_bound_stays_a_share(week):
    worst = week["date"] == week["date"].iloc[0]
    calls = np.where(worst, week["late"] != 1, week["late"] == 1) * 1.0
    quality = measured(week, calls)
    assert 0.8 < quality.accuracy < 0.9 and quality.upper == 1.0


@pytest.fixture(scope="module")
def days(real_year):
    """The days from April on, each with its calls."""
    right = right_calls(real_year["probability"].to_numpy(), real_year["late"].to_numpy())
    return [day for _, day in real_year.assign(right=right).groupby("date")]


def levels_beside(days, around):
    """Return for each seven days in a row the level of so many weeks on either side."""
    sums = np.array([day["right"].sum() for day in days])
    return other_weeks(sums, np.array([len(day) for day in days]), 7, around)


@pytest.fixture(scope="module")
def seven_days(days):
    return [pd.concat(days[first : first + 7]) for first in range(len(days) - 6)]


@pytest.fixture(scope="module")
def qualities(seven_days):
    return [measure(week) for week in seven_days]


@pytest.fixture(scope="module")
def in_random_order(days):
    """What a bound by day covers where days are exchangeable, by weeks on either side."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(3):
        shuffled = [days[number] for number in generator.permutation(len(days))]
        sums = np.array([(day["right"].sum(), len(day)) for day in shuffled])
        upper = np.array([upper_by_day(sums[first : first + 7]) for first in range(len(days) - 6)])
        found.append([np.mean(upper >= levels_beside(shuffled, around)) for around in AROUND])
    return dict(zip(AROUND, np.mean(found, axis=0), strict=True))


def upper_by_day(sums):
    """Return the upper bound that counts days and nothing else, from each day's sum and size."""
    return ratio_bounds(sums[:, 0], sums[:, 1], np.arange(len(sums))).high


@pytest.mark.parametrize("around", AROUND)
def test_bound_when_real_weeks_follow_each_other_then_covers_what_shuffled_days_would(
    days, qualities, in_random_order, around
):
    level = levels_beside(days, around)
    upper = np.array([quality.upper for quality in qualities])
    first = np.array([day["date"].iloc[0] for day in days[:-6]], dtype="datetime64[D]")
    covered = together("", upper >= level, blocks_of(first), "")
    assert covered.turns == 269 and 0.01 < covered.error < 0.04
    assert 0.93 <= covered.happened / 269 <= 0.97
    assert covered.happened / 269 >= in_random_order[around] - covered.error
    assert 0.03 <= np.mean(upper < level - 0.005) <= 0.05


@pytest.mark.parametrize("around", AROUND)
def test_bound_when_only_days_or_flights_are_counted_then_breaks_its_promise(
    days, seven_days, around
):
    level = levels_beside(days, around)
    sums = np.array([(day["right"].sum(), len(day)) for day in days])
    by_day = np.array([upper_by_day(sums[first : first + 7]) for first in range(len(level))])
    assert np.mean(by_day >= level) < 0.93 and np.mean(by_day < level - 0.005) > 0.06
    accuracy = np.array([week["right"].mean() for week in seven_days])
    size = np.array([len(week) for week in seven_days])
    by_row = accuracy + 1.645 * np.sqrt(accuracy * (1 - accuracy) / size)
    assert np.mean(by_row >= level) < 0.75


@pytest.mark.parametrize("around", AROUND)
def test_weeks_when_held_against_those_beside_them_then_differ_by_what_is_added(
    days, qualities, around
):
    level = levels_beside(days, around)
    accuracy = np.array([quality.accuracy for quality in qualities])
    by_days = np.array([quality.standard_error for quality in qualities]) ** 2 - WEEKS_DIFFER**2
    # The level has its own luck, that of 2 * around weeks.
    apart = (accuracy - level) ** 2 / (1 + 1 / (2 * around)) - by_days
    assert WEEKS_DIFFER < np.sqrt(apart.mean()) < 0.025
    assert WEEKS_DIFFER < np.sqrt(apart[::7].mean()) < 0.025


def test_join_when_a_shadow_looked_on_or_a_request_came_twice_then_each_flight_counts_once(week):
    first, again = logged(week, 0.9), logged(week, 0.1)
    log = pd.concat([logged(week, 0.3, role="shadow"), first, again])
    joined = join(log, known(week))
    assert len(joined) == len(week) and (joined["probability"] == 0.9).all()


def test_join_when_a_label_came_twice_then_the_later_one_counts(week):
    labels = known(week)
    changed = labels.labels.iloc[:1].assign(late=1 - labels.labels["late"].iloc[0])
    twice = Labels(labels.requests, pd.concat([labels.labels, changed], ignore_index=True))
    before = join(logged(week, 0.2), labels)["late"]
    after = join(logged(week, 0.2), twice)["late"]
    assert (before != after).sum() - before.isna().sum() == 1


def test_join_when_rows_are_of_flights_that_nobody_announced_then_they_are_left_out(week):
    names = ["x", "x", week["request_id"].iloc[0], ""]
    stray = logged(week, 0.9).iloc[:4].assign(request_id=names)
    stray["row"] = [0, 1, 500, -1]
    log = pd.concat([logged(week, 0.2), stray])
    joined = join(log, known(week))
    assert len(joined) == len(week) and (joined["probability"] == 0.2).all()
    none = Labels(known(week).requests.iloc[:0], known(week).labels)
    assert join(log, none).empty
