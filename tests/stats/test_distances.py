import numpy as np
import pytest
from scipy.stats import ks_2samp

from mlops_course.stats.distances import (
    aligned,
    kolmogorov_smirnov,
    leave_one_out,
    total_variation,
)


def counted(*samples):
    return aligned([np.unique(sample, return_counts=True) for sample in samples])


def test_aligned_when_samples_share_some_values_then_each_count_stands_under_its_value():
    table = counted([1.0, 1.0, 3.0], [2.0], [])
    assert table.tolist() == [[2, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_aligned_when_values_are_words_of_unequal_length_then_none_is_cut():
    table = counted(np.array(["UA"]), np.array(["UA1", "AA"]), np.array([], dtype=str))
    assert table.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]


def test_distance_when_samples_have_ties_then_equals_scipy():
    generator = np.random.default_rng(0)
    for _ in range(50):
        one = np.round(generator.normal(size=400), 1)
        two = np.round(generator.normal(0.3, 2, size=900), 1)
        expected = ks_2samp(one, two).statistic
        assert kolmogorov_smirnov(*counted(one, two)) == pytest.approx(expected, abs=1e-12)


def test_leave_one_out_when_samples_are_many_then_equals_scipy_on_each_and_the_pooled_others():
    generator = np.random.default_rng(1)
    samples = [np.round(generator.normal(mean, size=300), 1) for mean in (0, 0, 0.2, 0.5, -1)]
    found = leave_one_out(kolmogorov_smirnov, counted(*samples))
    for number, sample in enumerate(samples):
        others = np.concatenate(samples[:number] + samples[number + 1 :])
        assert found[number] == pytest.approx(ks_2samp(sample, others).statistic, abs=1e-12)


def test_total_variation_when_shares_are_known_then_is_half_the_sum_of_differences():
    one = np.array([50, 50, 0])
    assert total_variation(one, np.array([0, 25, 75])) == pytest.approx(0.75)
    assert total_variation(np.array([7, 0]), np.array([0, 1])) == 1.0
    assert total_variation(one, 3 * one) == 0.0


@pytest.mark.parametrize("distance", [kolmogorov_smirnov, total_variation])
def test_distance_when_a_sample_is_empty_then_is_unknown(distance):
    table = np.array([[1, 2], [0, 0], [2, 1]])
    found = leave_one_out(distance, table)
    assert np.isnan(found).tolist() == [False, True, False]
    assert np.isnan(distance(table[0], table[1])) and np.isnan(distance(table[1], table[0]))
    assert np.isnan(leave_one_out(distance, np.zeros((3, 0), dtype=int))).all()
