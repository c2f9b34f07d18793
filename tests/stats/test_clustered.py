import numpy as np
import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.stats.clustered import (
    cluster_sums,
    design_effect,
    mean_bounds,
    ratio_bounds,
    resample_clusters,
    sign_flips,
)

TRUTH = 0.9
PROMISED = 0.95


def days_of_calls(generator, days, spread):
    """Return right calls and their days; each day has a level of its own around the truth."""
    sizes = generator.integers(700, 1_000, days)
    levels = np.clip(TRUTH + generator.normal(0, spread, days), 0, 1)
    right = np.concatenate(
        [generator.random(n) < p for n, p in zip(sizes, levels, strict=True)]
    ).astype(float)
    return right, np.repeat(np.arange(days), sizes)


def covered(days, spread, by_row=False, turns=1_500):
    """Return how often the upper and the lower bound are on their side of the truth."""
    generator = np.random.default_rng(1)
    found = []
    for _ in range(turns):
        right, day = days_of_calls(generator, days, spread)
        bounds = mean_bounds(right, np.arange(len(right)) if by_row else day)
        found.append((bounds.high >= TRUTH, bounds.low <= TRUTH))
    return np.mean(found, axis=0)


@pytest.mark.parametrize("days", [7, 14])
@pytest.mark.parametrize("spread", [0, 0.03])
def test_bounds_when_rows_share_the_luck_of_their_day_then_keep_their_promise(days, spread):
    assert covered(days, spread) == pytest.approx(PROMISED, abs=0.02)


def test_bounds_when_rows_are_counted_instead_then_break_it():
    assert (covered(7, 0.03, by_row=True, turns=300) < 0.75).all()


def test_bounds_when_each_row_is_a_cluster_then_are_those_of_independent_rows():
    values = np.random.default_rng(0).normal(3, 2, 5_000)
    found = mean_bounds(values, np.arange(5_000))
    assert found.mean == pytest.approx(values.mean())
    assert found.error == pytest.approx(values.std(ddof=1) / np.sqrt(5_000))
    assert found.high - found.mean == pytest.approx(1.645 * found.error, rel=1e-3)


def test_bounds_when_the_order_or_the_names_of_clusters_change_then_stay():
    generator = np.random.default_rng(0)
    right, day = days_of_calls(generator, 7, 0.03)
    order = generator.permutation(len(right))
    names = np.array(list("gfedcba"))[day]
    shuffled = mean_bounds(right[order], names[order])
    assert shuffled.high == pytest.approx(mean_bounds(right, day).high)


@pytest.mark.parametrize("clusters", [0, 1])
def test_bounds_when_clusters_are_too_few_then_know_nothing(clusters):
    found = mean_bounds(np.ones(3 * clusters), np.zeros(3 * clusters))
    assert (found.low, found.high) == (-np.inf, np.inf)
    assert found.clusters == clusters and np.isnan(found.mean) == (clusters == 0)


def test_ratio_when_two_sums_are_given_then_is_their_ratio_and_counts_the_clusters():
    requests = np.repeat(np.arange(50), 4)
    flights = np.tile([1.0, 2.0, 3.0, 4.0], 50)
    found = ratio_bounds(flights / 2, flights, requests)
    assert (found.mean, found.clusters) == (0.5, 50)
    assert found.high == pytest.approx(0.5)
    assert np.isnan(ratio_bounds(flights, 0 * flights, requests).mean)


def test_design_effect_when_rows_of_a_cluster_are_alike_then_is_their_number():
    generator = np.random.default_rng(0)
    apart = generator.random(40_000) < 0.5
    together = np.repeat(generator.random(4_000) < 0.5, 10)
    requests = np.repeat(np.arange(4_000), 10)
    assert design_effect(apart, requests) == pytest.approx(1, abs=0.1)
    assert design_effect(together, requests) == pytest.approx(10, rel=0.05)
    assert np.isnan(design_effect(np.ones(10), np.arange(10)))
    assert np.isnan(design_effect(apart[:10], np.zeros(10)))


def test_resample_when_drawn_often_then_the_means_spread_as_the_bounds_say():
    generator = np.random.default_rng(0)
    right, day = days_of_calls(generator, 20, 0.03)
    means = [right[resample_clusters(day, generator)].mean() for _ in range(500)]
    assert np.std(means) == pytest.approx(mean_bounds(right, day).error, rel=0.15)
    drawn = day[resample_clusters(day, generator)]
    sizes = np.bincount(day)
    assert all(count % sizes[one] == 0 for one, count in enumerate(np.bincount(drawn)))


def test_sign_flips_when_nothing_is_gained_then_the_seen_mean_is_an_ordinary_one():
    generator = np.random.default_rng(0)
    p_values = []
    for _ in range(400):
        right, day = days_of_calls(generator, 12, 0.03)
        gained = right - TRUTH
        means = sign_flips(gained, day, 300, generator)
        p_values.append((means >= gained.mean()).mean())
    assert np.mean(np.array(p_values) <= 0.1) == pytest.approx(0.1, abs=0.05)


def test_sums_when_clusters_come_in_any_order_then_are_sorted_by_their_name():
    assert cluster_sums(np.array([1, 2, 4]), np.array([9, 3, 9])).tolist() == [2, 5]


@pytest.mark.parametrize("gap", ["value", "cluster"])
@pytest.mark.parametrize(
    "called",
    [
        mean_bounds,
        lambda values, days: ratio_bounds(np.ones(4), values, days),
        lambda values, days: ratio_bounds(values, np.ones(4), days),
        design_effect,
        cluster_sums,
        lambda values, days: sign_flips(values, days, 3, np.random.default_rng(0)),
    ],
)
def test_clusters_when_a_value_or_a_cluster_is_missing_then_refuses_and_says_what_to_do(
    called, gap
):
    values = np.array([1.0, 0.0, np.nan if gap == "value" else 1.0, 0.0])
    for lost in (None, np.nan, np.datetime64("NaT")):
        days = [np.datetime64("2013-09-02"), np.datetime64("2013-09-02"), lost, lost]
        known = np.array(["a", "a", "b", "b"])
        clusters = known if gap == "value" else np.array(days, dtype=object)
        with pytest.raises(ParameterError, match=r"are missing\. Each row has a value"):
            called(values, clusters)


def test_resampling_when_a_cluster_is_missing_then_refuses():
    with pytest.raises(ParameterError, match="1 of the values or clusters"):
        resample_clusters(np.array([1.0, np.nan]), np.random.default_rng(0))
