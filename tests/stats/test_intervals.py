import numpy as np
import pytest
from scipy.stats import binom

from mlops_course.stats.intervals import paired_interval, upper_bound


def test_interval_when_true_difference_is_zero_then_lower_bound_is_above_it_one_time_in_twenty():
    generator = np.random.default_rng(0)
    outcomes = generator.choice([-1, 0, 1], p=[0.05, 0.9, 0.05], size=(2_000, 3_000))
    above = np.mean([paired_interval(row)[0] > 0 for row in outcomes])
    assert above == pytest.approx(0.05, abs=0.015)


def test_bound_when_truth_is_known_then_lies_above_it_nineteen_times_in_twenty():
    trials, truth = 400, 0.9
    successes = np.arange(trials + 1)
    covered = np.array([upper_bound(int(count), trials) >= truth for count in successes])
    assert binom.pmf(successes, trials, truth)[covered].sum() == pytest.approx(0.95, abs=0.015)


def test_bound_when_nothing_was_observed_then_is_one():
    assert upper_bound(0, 0) == 1.0
