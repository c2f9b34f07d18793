from datetime import date

import numpy as np
import pytest
from scipy.stats import binom

from mlops_course.errors import ParameterError
from mlops_course.flights import load_flights
from mlops_course.monitoring import AccuracyRule, measure, upper_bound


@pytest.fixture(scope="module")
def week(shared_workspace):
    return load_flights(shared_workspace, date(2013, 9, 23), date(2013, 9, 29))


def test_measure_when_every_call_is_right_then_accuracy_is_one(week):
    quality = measure(week, (week["late"] == 1).to_numpy() * 1.0)
    assert quality.accuracy == 1.0 and quality.confidence == 1.0
    assert quality.predicted_late == pytest.approx(quality.observed_late, abs=0.003)


def test_measure_when_nothing_is_called_late_then_accuracy_is_the_share_on_time(week):
    quality = measure(week, np.full(len(week), 0.2))
    assert quality.accuracy == pytest.approx(1 - quality.observed_late)
    assert quality.predicted_late == 0 and quality.confidence == pytest.approx(0.8)


def test_measure_when_flights_were_diverted_then_they_count_as_rows_without_label(week):
    quality = measure(week, np.full(len(week), 0.2))
    assert quality.rows - quality.labelled == week["late"].isna().sum() > 0


def test_measure_when_requests_failed_then_their_rows_are_not_judged(week):
    probability = (week["late"] == 1).to_numpy() * 1.0
    probability[:1_000] = np.nan
    quality = measure(week, probability)
    assert quality.labelled == week["late"].iloc[1_000:].notna().sum() and quality.accuracy == 1.0


def test_bound_when_truth_is_known_then_lies_above_it_nineteen_times_in_twenty():
    trials, truth = 400, 0.9
    successes = np.arange(trials + 1)
    covered = np.array([upper_bound(int(count), trials) >= truth for count in successes])
    assert binom.pmf(successes, trials, truth)[covered].sum() == pytest.approx(0.95, abs=0.015)


def test_bound_when_nothing_was_observed_then_is_one():
    assert upper_bound(0, 0) == 1.0


def test_rule_when_accuracy_is_just_below_then_waits_for_more_evidence(week):
    late = week["late"].to_numpy()
    wrong = np.arange(len(week)) * 103 % 1_000 < 103
    quality = measure(week, np.where(wrong, 1 - late, late))
    assert quality.accuracy < 0.90 < quality.upper
    assert not AccuracyRule(0.90).fires(quality)
    assert AccuracyRule(0.95).fires(quality)


def test_rule_when_threshold_is_no_accuracy_then_says_what_it_takes():
    with pytest.raises(ParameterError, match=r"between 0.5 and 0.999"):
        AccuracyRule(90)
