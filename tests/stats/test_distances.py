import numpy as np
import pytest
from scipy.stats import ks_2samp

from mlops_course.stats.distances import kolmogorov_smirnov, total_variation


def test_distance_when_samples_have_ties_then_equals_scipy():
    generator = np.random.default_rng(0)
    for _ in range(50):
        one = np.sort(np.round(generator.normal(size=400), 1))
        two = np.sort(np.round(generator.normal(0.3, 2, size=900), 1))
        expected = ks_2samp(one, two).statistic
        assert kolmogorov_smirnov(one, two) == pytest.approx(expected, abs=1e-12)


def test_total_variation_when_shares_are_known_then_is_half_the_sum_of_differences():
    assert total_variation({"a": 0.5, "b": 0.5}, {"b": 0.25, "c": 0.75}) == pytest.approx(0.75)
    assert total_variation({"a": 1.0}, {"b": 1.0}) == 1.0
    assert total_variation({"a": 0.3, "b": 0.7}, {"b": 0.7, "a": 0.3}) == 0.0
