import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance

from mlops_course.core.errors import ParameterError
from mlops_course.stats.distances import (
    aligned,
    bin_by_quantiles,
    chi_squared,
    jensen_shannon,
    kolmogorov_smirnov,
    kolmogorov_smirnov_p_value,
    leave_one_out,
    population_stability_index,
    total_variation,
    wasserstein_scaled,
)

SIZE = 6


def wasserstein(counts, others):
    return wasserstein_scaled(counts, others, np.arange(counts.shape[-1]))


def chi_squared_statistic(counts, others):
    return chi_squared(counts, others)[0]


SYMMETRIC = [
    *(kolmogorov_smirnov, total_variation, population_stability_index, jensen_shannon),
    chi_squared_statistic,
]
EVERY = [*SYMMETRIC, wasserstein]
BOUNDED = [kolmogorov_smirnov, total_variation, jensen_shannon]

SAMPLES = arrays(np.int64, SIZE, elements=st.integers(0, 40)).filter(lambda found: found.sum() > 0)


def counted(*samples):
    return aligned([np.unique(sample, return_counts=True) for sample in samples])


def test_aligned_when_samples_share_some_values_then_each_count_stands_under_its_value():
    table = counted([1.0, 1.0, 3.0], [2.0], [])
    assert table.tolist() == [[2, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_aligned_when_values_are_words_of_unequal_length_then_none_is_cut():
    table = counted(np.array(["UA"]), np.array(["UA1", "AA"]), np.array([], dtype=str))
    assert table.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]


# ---- what holds for all


@settings(deadline=None, max_examples=40)
@given(one=SAMPLES, times=st.integers(1, 9))
@pytest.mark.parametrize("distance", EVERY)
def test_distance_when_the_shares_are_equal_then_is_zero(distance, one, times):
    found = distance(times * one, one)
    if distance is chi_squared_statistic and np.isnan(found):  # all is one pool
        assert one.max() < 5 or np.sort(one)[:-1].sum() < 5
    else:
        assert found == pytest.approx(0, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(one=SAMPLES, two=SAMPLES)
@pytest.mark.parametrize("distance", SYMMETRIC)
def test_distance_when_the_samples_change_places_then_stays_the_same(distance, one, two):
    assert distance(one, two) == pytest.approx(distance(two, one), rel=1e-9, nan_ok=True)


@settings(deadline=None, max_examples=40)
@given(one=SAMPLES, two=SAMPLES)
@pytest.mark.parametrize("distance", EVERY)
def test_distance_when_samples_are_any_then_is_within_its_bounds(distance, one, two):
    found = float(distance(one, two))
    highest = 1 if distance in BOUNDED else np.inf
    assert np.isnan(found) or -1e-12 <= found <= highest + 1e-12
    if not (one * two).any() and distance in BOUNDED[1:]:
        assert found == pytest.approx(1)


@settings(deadline=None, max_examples=40)
@given(table=arrays(np.int64, (2, 3, SIZE), elements=st.integers(0, 40)))
@pytest.mark.parametrize("distance", EVERY)
def test_distance_when_samples_are_many_then_equals_that_of_each(distance, table):
    together = distance(table, table[0, 0])
    alone = [[distance(sample, table[0, 0]) for sample in row] for row in table]
    assert together == pytest.approx(np.array(alone, dtype=float), nan_ok=True)


@pytest.mark.parametrize("distance", EVERY)
def test_distance_when_a_sample_is_empty_then_is_unknown(distance):
    table = np.array([[10, 20], [0, 0], [20, 10]])
    found = leave_one_out(distance, table)
    assert np.isnan(found).tolist() == [False, True, False]
    assert np.isnan(distance(table[0], table[1])) and np.isnan(distance(table[1], table[0]))
    assert np.isnan(leave_one_out(distance, np.zeros((3, 0), dtype=int))).all()


@pytest.mark.parametrize("distance", EVERY)
def test_distance_when_the_column_is_one_constant_in_both_then_is_zero(distance):
    assert distance(np.array([7]), np.array([900])) == 0
    assert distance(np.array([0, 7, 0]), np.array([0, 900, 0])) == 0


@pytest.mark.parametrize("distance", EVERY)
def test_distance_when_a_constant_becomes_another_one_then_is_as_large_as_it_can_be(distance):
    found = distance(np.array([0, 70]), np.array([900, 0]))
    most = {population_stability_index: 7.0, chi_squared_statistic: 970.0, wasserstein: np.inf}
    assert found >= most.get(distance, 1) - 1e-9


# ---- one by one


def test_distance_when_samples_have_ties_then_equals_scipy():
    generator = np.random.default_rng(0)
    for _ in range(50):
        one = np.round(generator.normal(size=400), 1)
        two = np.round(generator.normal(0.3, 2, size=900), 1)
        expected = ks_2samp(one, two).statistic
        assert kolmogorov_smirnov(*counted(one, two)) == pytest.approx(expected, abs=1e-12)


def test_kolmogorov_smirnov_when_the_unit_changes_monotonically_then_stays_the_same():
    generator = np.random.default_rng(2)
    one = np.round(generator.normal(size=300), 1)
    two = np.round(generator.normal(0.4, size=200), 1)
    expected = kolmogorov_smirnov(*counted(one, two))
    for changed in (np.exp, lambda value: value**3, lambda value: 1.8 * value + 32):
        assert kolmogorov_smirnov(*counted(changed(one), changed(two))) == expected


def test_kolmogorov_smirnov_p_value_when_samples_are_large_then_is_a_little_above_scipys():
    generator = np.random.default_rng(3)
    one = generator.normal(size=400)
    two = generator.normal(0.05, size=900)
    expected = ks_2samp(one, two, method="asymp")
    found = kolmogorov_smirnov_p_value(kolmogorov_smirnov(*counted(one, two)), 400, 900)
    assert expected.pvalue <= found == pytest.approx(expected.pvalue, rel=0.06)
    equal, apart = kolmogorov_smirnov_p_value(np.array([0.0, 1.0]), 400, 900)
    assert equal == 1
    assert apart == pytest.approx(0)


def test_kolmogorov_smirnov_p_value_when_values_repeat_then_calls_too_little_a_difference():
    generator = np.random.default_rng(4)
    called = 0
    for _ in range(1_000):
        table = counted(generator.integers(0, 2, 500), generator.integers(0, 2, 500))
        called += kolmogorov_smirnov_p_value(kolmogorov_smirnov(*table), 500, 500) < 0.05
    assert called < 20


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


def test_population_stability_index_when_worked_by_hand_then_is_the_same():
    by_hand = (0.2 - 0.1) * np.log(0.2 / 0.1) + (0.8 - 0.9) * np.log(0.8 / 0.9)
    found = population_stability_index(np.array([20, 80]), np.array([100, 900]))
    assert found == pytest.approx(by_hand, rel=1e-12)


def test_population_stability_index_when_a_bin_is_empty_then_it_counts_as_half_a_row():
    by_hand = (0.005 - 0.5) * np.log(0.005 / 0.5) + (1 - 0.5) * np.log(1 / 0.5)
    found = population_stability_index(np.array([0, 100, 0]), np.array([50, 50, 0]))
    assert found == pytest.approx(by_hand, rel=1e-12)


def test_population_stability_index_when_nothing_differs_then_depends_on_the_rows_as_stated():
    generator = np.random.default_rng(5)
    for rows, others in ((200, 2_000), (1_000, 1_000)):
        samples = generator.multinomial(rows, [0.1] * 10, size=2_000)
        references = generator.multinomial(others, [0.1] * 10, size=2_000)
        average = population_stability_index(samples, references).mean()
        assert average == pytest.approx(9 * (1 / rows + 1 / others), rel=0.05)


def test_jensen_shannon_when_samples_are_any_then_equals_scipy():
    generator = np.random.default_rng(6)
    counts = generator.integers(1, 50, size=(20, SIZE))
    others = generator.integers(0, 50, size=(20, SIZE))
    expected = jensenshannon(counts, others, base=2, axis=-1)
    assert jensen_shannon(counts, others) == pytest.approx(expected, rel=1e-9)


def test_jensen_shannon_when_shares_differ_in_the_last_digits_alone_then_is_still_a_number():
    counts = np.random.default_rng(0).integers(1, 10**7, size=(5_000, 300))
    others = counts.copy()
    others[:, 0] += 1
    assert (jensen_shannon(counts, others) < 1e-6).all()


def test_wasserstein_when_samples_are_any_then_equals_scipy_over_the_deviation_of_the_reference():
    generator = np.random.default_rng(7)
    one = np.round(generator.normal(1, 3, size=300), 1)
    two = np.round(generator.normal(0, 2, size=200), 1)
    found = wasserstein_scaled(*counted(one, two), np.unique([*one, *two]))
    assert found == pytest.approx(wasserstein_distance(one, two) / two.std(), rel=1e-9)


def test_wasserstein_when_all_is_shifted_by_half_a_deviation_then_is_a_half_in_any_unit():
    celsius = np.random.default_rng(8).normal(15, 8, size=500)
    for sample in (celsius, 1.8 * celsius + 32):
        shifted = sample + sample.std() / 2
        table = counted(shifted, sample)
        found = wasserstein_scaled(*table, np.unique([*shifted, *sample]))
        assert found == pytest.approx(0.5, rel=1e-9)


@pytest.mark.parametrize("values", [[2.0, 1.0], [1.0, 1.0], [1.0, np.nan]])
def test_wasserstein_when_values_do_not_ascend_then_says_so(values):
    with pytest.raises(ParameterError, match="ascend"):
        wasserstein_scaled(np.array([1, 2]), np.array([2, 1]), np.array(values))


def test_chi_squared_when_no_category_is_sparse_then_equals_scipy():
    generator = np.random.default_rng(9)
    counts = generator.integers(20, 50, size=(5, SIZE))
    others = generator.integers(20, 500, size=(5, SIZE))
    statistics, p_values = chi_squared(counts, others)
    for number in range(5):
        table = np.stack([counts[number], others[number]])
        expected = chi2_contingency(table, correction=False)
        assert statistics[number] == pytest.approx(expected.statistic, rel=1e-9)
        assert p_values[number] == pytest.approx(expected.pvalue, rel=1e-9)


def test_chi_squared_when_categories_are_sparse_then_they_are_one_pool_of_five_or_more():
    # Expected in the smaller sample of a tenth of the rows: 1, 2, 4, 43 and 50. The first two come
    # to three, so the third goes with them.
    counts = np.array([1, 0, 6, 43, 50])
    others = np.array([9, 20, 34, 387, 450])
    pooled = [[7, 43, 50], [63, 387, 450]]
    expected = chi2_contingency(pooled, correction=False)
    found = chi_squared(counts, others)
    assert found[0] == pytest.approx(expected.statistic, abs=1e-9)
    assert found[1] == pytest.approx(expected.pvalue, rel=1e-9)
    # A pool of one that is too small takes the next rarest.
    found = chi_squared(np.array([3, 20, 77]), np.array([10, 180, 710]))
    expected = chi2_contingency([[23, 77], [190, 710]], correction=False)
    assert found[0] == pytest.approx(expected.statistic, rel=1e-9)


def test_chi_squared_when_few_rows_are_spread_over_many_categories_then_nobody_can_tell():
    statistic, p_value = chi_squared(np.array([1, 2, 1]), np.array([30, 20, 40]))
    assert np.isnan(statistic) and np.isnan(p_value)


def test_chi_squared_when_nothing_differs_and_categories_are_sparse_then_keeps_its_level():
    generator = np.random.default_rng(10)
    shares = np.array([0.4, 0.3, 0.2, *[0.01] * 10])
    counts = generator.multinomial(200, shares, size=1_000)
    others = generator.multinomial(4_000, shares, size=1_000)
    assert np.mean(chi_squared(counts, others)[1] < 0.05) == pytest.approx(0.05, abs=0.02)


# ---- bins


def test_bins_when_numbers_have_no_ties_then_hold_equally_many_of_the_reference():
    generator = np.random.default_rng(11)
    reference = generator.normal(size=1_000)
    sample = generator.normal(1, size=500)
    table = bin_by_quantiles(counted(sample, reference), counted(sample, reference)[1])
    assert table[1].tolist() == [100] * 10
    assert table[0].sum() == 500


def test_bins_when_edges_are_quantiles_then_the_counts_are_those_of_a_histogram():
    generator = np.random.default_rng(12)
    reference = np.round(generator.normal(size=1_003), 1)
    sample = np.round(generator.normal(1, size=500), 1)
    edges = np.quantile(reference, np.linspace(0, 1, 11)[1:-1], method="inverted_cdf")
    expected = np.bincount(np.searchsorted(edges, sample, side="left"), minlength=10)
    table = counted(sample, reference)
    assert bin_by_quantiles(table, table[1])[0].tolist() == expected.tolist()


def test_bins_when_the_reference_is_constant_then_a_larger_value_has_a_bin_of_its_own():
    found = bin_by_quantiles(np.array([[0, 5], [9, 0]]), np.array([9, 0]), bins=4)
    assert found.tolist() == [[0, 0, 0, 5], [9, 0, 0, 0]]


def test_bins_when_there_is_no_reference_or_one_bin_then_says_what_is_needed():
    with pytest.raises(ParameterError, match="0 rows"):
        bin_by_quantiles(np.array([1, 2]), np.array([0, 0]))
    with pytest.raises(ParameterError, match="two bins"):
        bin_by_quantiles(np.array([1, 2]), np.array([1, 1]), bins=1)
