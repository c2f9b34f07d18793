"""Detectors on streams in which nothing is broken: the small version of `bench_drift`."""

import numpy as np
import pytest

from mlops_course.data.flights import load_flights
from mlops_course.stats.adwin import Adwin
from mlops_course.stats.betting import wealth
from mlops_course.stats.clustered import cluster_sums
from mlops_course.stats.cusum import Cusum
from mlops_course.stats.distances import (
    aligned,
    kolmogorov_smirnov,
    kolmogorov_smirnov_p_value,
)
from mlops_course.stats.page_hinkley import PageHinkley
from mlops_course.training.evaluation import right_calls

WEEKS = range(0, 39, 3)


@pytest.fixture(scope="module")
def wrong(real_year):
    """For each flight from April on 1.0 where it was called wrong."""
    return 1 - right_calls(real_year["probability"].to_numpy(), real_year["late"].to_numpy())


@pytest.fixture(scope="module")
def day(real_year):
    return np.unique(real_year["date"].to_numpy(), return_inverse=True)[1]


@pytest.fixture(scope="module")
def shares(wrong, day):
    return cluster_sums(wrong, day) / np.bincount(day)


def count(detector, values):
    """Return how often a detector alarms."""
    alarms = 0
    for value in values.tolist():
        detector.update(value)
        alarms += detector.drift_detected
    return alarms


def p_values(samples):
    """Return the p-value of each sample against all the others together."""
    table = aligned([np.unique(sample, return_counts=True) for sample in samples])
    others = table.sum(axis=0) - table
    gaps = kolmogorov_smirnov(table, others)
    return kolmogorov_smirnov_p_value(gaps, table.sum(axis=1), others.sum(axis=1))


def test_p_value_when_calm_weeks_are_whole_then_calls_each_different_and_shuffled_rows_hardly(
    shared_workspace,
):
    flights = load_flights(shared_workspace, "2013-01-07", "2013-03-31")
    week = ((flights["date"] - flights["date"].min()).dt.days // 7).to_numpy()
    known = flights["temp"].notna().to_numpy()
    temperature = flights["temp"].to_numpy()[known]
    weeks = np.split(temperature, np.flatnonzero(np.diff(week[known])) + 1)
    assert len(weeks) == 12 and (p_values(weeks) < 0.05 / 14).all()
    shuffled = np.random.default_rng(0).permutation(temperature)
    assert (p_values(np.array_split(shuffled, 60)) < 0.05 / 14).sum() <= 3


def test_cusum_when_settings_are_the_textbook_s_then_alarms_on_most_calm_streams_of_flights():
    streams = (np.random.default_rng(0).random((40, 1_000)) < 0.1).astype(float)
    assert sum(count(Cusum(0.1, 0.3), stream) > 0 for stream in streams) > 35
    assert sum(count(PageHinkley(), stream) > 0 for stream in streams) == 0
    assert sum(count(Adwin(), stream) > 0 for stream in streams) == 0


@pytest.mark.parametrize("detector", [PageHinkley, Adwin])
def test_detector_when_real_flights_come_in_order_then_alarms_and_in_random_order_it_does_not(
    wrong, day, detector
):
    generator = np.random.default_rng(1)
    weeks = [wrong[day // 7 == week] for week in WEEKS]
    in_order = sum(count(detector(), week) > 0 for week in weeks)
    at_random = sum(count(detector(), generator.permutation(week)) > 0 for week in weeks)
    assert in_order > len(weeks) / 2 and at_random <= 1


def test_cusum_when_it_takes_days_then_real_years_alarm_more_often_than_independent_days(shares):
    generator = np.random.default_rng(2)
    in_blocks = 0
    independent = 0
    for _ in range(40):
        starts = generator.integers(0, len(shares) - 7, 52)
        year = np.concatenate([shares[start : start + 7] for start in starts])
        in_blocks += count(Cusum(shares.mean(), shares.std()), year)
        shuffled = generator.permutation(year)
        independent += count(Cusum(shares.mean(), shares.std()), shuffled)
    assert in_blocks > 3 * 40 and independent < in_blocks / 2


def test_bet_when_days_are_real_then_holds_with_slack_or_by_week_and_not_by_day_alone(shares):
    generator = np.random.default_rng(3)
    exact = shares + 0.1 - shares.mean()
    starts = generator.integers(0, len(exact), (1_000, 39))
    days = exact[(starts[:, :, None] + np.arange(7)) % len(exact)]
    in_a_row = days.reshape(1_000, -1)
    assert (wealth(in_a_row, 0.10) >= 20).any(axis=1).mean() > 0.15
    assert (wealth(in_a_row, 0.12) >= 20).any(axis=1).mean() < 0.03
    assert (wealth(in_a_row, 0.13) >= 20).any(axis=1).mean() < 0.01
    assert (wealth(days.mean(axis=2), 0.10) >= 20).any(axis=1).mean() < 0.01
