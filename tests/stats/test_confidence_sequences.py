from math import inf, sqrt

import numpy as np
import pytest

from mlops_course.stats.confidence_sequences import (
    MIN_ROWS,
    between,
    half_width,
    paired,
    rows_for_one_look,
    rows_needed,
)

ERROR_RATE, MARGIN, CANARIES = 0.09, 0.03, 1_000
DEVIATION = sqrt(2 * ERROR_RATE * (1 - ERROR_RATE))


@pytest.fixture(scope="module")
def canaries():
    """Gaps between two error rates, their deviations and row counts at 40 looks, 1,000 times.

    The challenger is worse by exactly the margin.
    """
    most = 2 * rows_needed(MARGIN, DEVIATION)
    looks = np.unique(np.geomspace(MIN_ROWS, most, 40).astype(int))
    generator = np.random.default_rng(0)
    rates = []
    for rate in (ERROR_RATE + MARGIN, ERROR_RATE):
        wrong = generator.random((CANARIES, most)) < rate
        rates.append(np.cumsum(wrong, axis=1)[:, looks - 1] / looks)
    gap = rates[0] - rates[1]
    return gap, np.sqrt(sum(rate * (1 - rate) for rate in rates)), looks


def test_interval_when_looked_at_forty_times_then_seldom_promotes_what_loses_the_margin(canaries):
    gap, deviation, looks = canaries
    planned = rows_needed(MARGIN, DEVIATION)
    far = np.array([half_width(int(rows), 1.0, planned) for rows in looks]) * deviation
    promoted = (gap + far < MARGIN).any(axis=1).mean()
    assert promoted <= 0.05


def test_ordinary_interval_when_looked_at_forty_times_then_promotes_it_far_too_often(canaries):
    gap, deviation, looks = canaries
    promoted = (gap + 1.645 * deviation / np.sqrt(looks) < MARGIN).any(axis=1).mean()
    assert promoted > 0.2


def test_rows_when_asked_for_then_are_those_that_one_look_and_many_looks_need():
    assert rows_for_one_look(0.01, DEVIATION) == pytest.approx(10_100, rel=0.01)
    assert rows_for_one_look(0.01, sqrt(0.013)) == pytest.approx(800, rel=0.01)
    for margin in (0.03, 0.01):
        rows = rows_needed(margin, DEVIATION)
        assert (
            half_width(rows, DEVIATION, rows) <= margin < half_width(rows - 1, DEVIATION, rows - 1)
        )
        assert 1 < rows / rows_for_one_look(margin, DEVIATION) < 2


def test_paired_when_both_judge_the_same_flights_then_needs_far_fewer_rows():
    generator = np.random.default_rng(1)
    champion = generator.random(3_000) < 0.91
    differs = generator.random(3_000) < 0.013
    challenger = np.where(differs, ~champion, champion)
    gained = challenger.astype(float) - champion
    by_pair = paired(gained, 1_200)
    by_group = between([(challenger[:1_500].astype(float), champion[1_500:].astype(float))], 1_200)
    assert by_pair.low <= gained.mean() <= by_pair.high
    assert by_pair.high - by_pair.low < (by_group.high - by_group.low) / 4


@pytest.mark.parametrize("rows", [0, 2, MIN_ROWS - 1])
def test_difference_when_there_are_few_rows_then_nothing_is_known(rows):
    few, many = np.zeros(rows), np.zeros(5_000)
    for found in (paired(few, 500), between([(few, many)], 500), between([(many, few)], 500)):
        assert (found.low, found.high, found.rows) == (-inf, inf, rows)


def test_difference_when_all_rows_are_alike_then_is_not_certain():
    clean, many = np.zeros(300), np.zeros(3_000)
    assert between([(clean, clean)], 300).high > 3 / 300
    assert between([(many, many)], 300).high < between([(clean, clean)], 300).high


def test_between_when_one_group_is_small_then_the_interval_is_as_wide_as_it_makes_it():
    generator = np.random.default_rng(2)
    large, small = (generator.random(n) < 0.1 for n in (9_000, 1_000))
    found = between([(small.astype(float), large.astype(float))], 1_000)
    even = between([(small.astype(float), large[:1_000].astype(float))], 1_000)
    assert found.rows == 1_000 and found.high - found.low < even.high - even.low
    assert found.high - found.low > (even.high - even.low) / 2


def ramp(generator, extra):
    """Return four days of a canary whose share grows while the weather gets worse."""
    days = []
    for share, rate in ((0.05, 0.04), (0.10, 0.08), (0.25, 0.12), (0.50, 0.20)):
        sizes = int(4_000 * share), int(4_000 * (1 - share))
        rates = rate + extra, rate
        days.append(
            tuple(
                (generator.random(size) < rate).astype(float)
                for size, rate in zip(sizes, rates, strict=True)
            )
        )
    return days


def test_between_when_the_share_grows_on_bad_days_then_the_days_are_not_blamed_on_the_challenger():
    generator = np.random.default_rng(3)
    days = [ramp(generator, 0.0) for _ in range(100)]
    by_day = [between(canary, 3_000) for canary in days]
    pooled = [
        between([tuple(map(np.concatenate, zip(*canary, strict=True)))], 3_000) for canary in days
    ]
    assert np.mean([found.low > 0 for found in pooled]) > 0.9
    assert np.mean([found.low > 0 for found in by_day]) <= 0.05
    assert abs(np.mean([found.mean for found in by_day])) < 0.003


def test_between_when_a_growing_canary_loses_the_margin_then_is_seldom_promoted_at_any_day():
    generator, promoted = np.random.default_rng(4), 0
    for _ in range(CANARIES):
        days = ramp(generator, MARGIN)
        looks = [between(days[: day + 1], 2_000) for day in range(len(days))]
        promoted += any(found.high < MARGIN for found in looks)
    assert promoted / CANARIES <= 0.05
