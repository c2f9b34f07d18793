from math import inf, sqrt

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from mlops_course.data.flights import labelled, load_flights
from mlops_course.serving.replay import numbered
from mlops_course.serving.routing import CHALLENGER, Split, role_of
from mlops_course.stats import confidence_sequences
from mlops_course.stats.clustered import mean_bounds
from mlops_course.stats.confidence_sequences import (
    ALPHA,
    MIN_UNITS,
    Arm,
    between,
    half_width,
    level_of_look,
    paired,
    rows_for_one_look,
    rows_needed,
)

ERROR_RATE, MARGIN, CANARIES = 0.09, 0.03, 400
DEVIATION = sqrt(2 * ERROR_RATE * (1 - ERROR_RATE))
POWERS = (0.5, 0.8, 0.9)


def by_lot(generator, rate, rows):
    """Return units of one row each, some of them counted."""
    return Arm((generator.random(rows) < rate).astype(float), np.ones(rows))


def of(periods):
    """Return periods of values as periods of units with one row each."""
    return [tuple(Arm(np.asarray(values), np.ones(len(values))) for values in p) for p in periods]


@pytest.fixture(scope="module")
def canaries():
    """Gaps between two error rates, their deviations and row counts at 40 looks, 400 times.

    The challenger is worse by exactly the margin.
    """
    most = 2 * rows_needed(MARGIN, DEVIATION, power=0.5)
    looks = np.unique(np.geomspace(100, most, 40).astype(int))
    generator = np.random.default_rng(0)
    rates = []
    for rate in (ERROR_RATE + MARGIN, ERROR_RATE):
        wrong = generator.random((CANARIES, most)) < rate
        rates.append(np.cumsum(wrong, axis=1)[:, looks - 1] / looks)
    gap = rates[0] - rates[1]
    return gap, np.sqrt(sum(rate * (1 - rate) for rate in rates)), looks


def test_bound_when_looked_at_forty_times_then_seldom_promotes_what_loses_the_margin(canaries):
    gap, deviation, looks = canaries
    planned = rows_needed(MARGIN, DEVIATION)
    far = np.array([half_width(int(rows), 1.0, planned) for rows in looks]) * deviation
    promoted = (gap + far < MARGIN).any(axis=1).mean()
    assert 0.005 < promoted <= 0.05


def test_ordinary_bound_when_looked_at_forty_times_then_promotes_it_far_too_often(canaries):
    gap, deviation, looks = canaries
    promoted = (gap + 1.645 * deviation / np.sqrt(looks) < MARGIN).any(axis=1).mean()
    assert promoted > 0.2


def test_bound_when_compared_with_one_that_minds_both_sides_then_is_narrower():
    one_sided = half_width(1_000, 1.0, planned=1_000, alpha=0.05)
    assert one_sided < half_width(1_000, 1.0, planned=1_000, alpha=0.025)
    assert half_width(1_000, 1.0, planned=1_000) < half_width(1_000, 1.0, planned=100)
    assert norm.isf(ALPHA) / sqrt(1_000) < one_sided


def test_rows_when_asked_for_then_are_the_known_figures():
    any_time = [rows_needed(MARGIN, DEVIATION, power) for power in POWERS]
    assert any_time == pytest.approx([1_410, 2_388, 3_002], rel=0.004)
    assert [rows_for_one_look(MARGIN, DEVIATION, power) for power in POWERS] == [493, 1_126, 1_559]


@pytest.mark.parametrize("power", POWERS)
def test_rows_when_an_equal_challenger_gets_them_then_the_bound_has_the_power(power):
    generator = np.random.default_rng(5)
    rows = rows_needed(MARGIN, DEVIATION, power)
    early = np.linspace(rows / 2, rows, 4, dtype=int)
    now = []
    ever = []
    for _ in range(400):
        new = by_lot(generator, ERROR_RATE, rows)
        old = by_lot(generator, ERROR_RATE, rows)
        looks = [
            between([(Arm(new.sums[:n], new.rows[:n]), Arm(old.sums[:n], old.rows[:n]))], rows)
            for n in early
        ]
        now.append(looks[-1].high < MARGIN)
        ever.append(any(found.high < MARGIN for found in looks))
    assert np.mean(now) == pytest.approx(power, abs=0.05)
    assert np.mean(ever) > np.mean(now) + 0.01


@pytest.mark.parametrize("power", POWERS)
def test_rows_when_looked_at_once_then_the_ordinary_bound_has_the_power(power):
    generator = np.random.default_rng(6)
    rows = rows_for_one_look(MARGIN, DEVIATION, power)
    new, old = generator.binomial(rows, ERROR_RATE, (2, 20_000)) / rows
    error = np.sqrt((new * (1 - new) + old * (1 - old)) / rows)
    promoted = new - old + norm.isf(ALPHA) * error < MARGIN
    assert promoted.mean() == pytest.approx(power, abs=0.015)


def test_rows_when_the_challenger_has_a_tenth_then_the_skew_is_in_the_power():
    generator = np.random.default_rng(7)
    deviation = sqrt(ERROR_RATE * (1 - ERROR_RATE) / 0.9)
    rows = rows_needed(MARGIN, deviation, 0.8, skew=(1 - 2 * ERROR_RATE) * 0.8 / 0.9)
    found = [
        between([(by_lot(generator, 0.09, rows), by_lot(generator, 0.09, 9 * rows))], rows).high
        for _ in range(400)
    ]
    assert np.mean(np.array(found) < MARGIN) == pytest.approx(0.78, abs=0.05)
    assert rows > 1.05 * rows_needed(MARGIN, deviation, 0.8)


def requests_of_ten(generator, rate, requests, effect):
    """Return wrong calls of requests of ten flights that share their luck."""
    alike = (effect - 1) / 9
    level = generator.beta(
        rate * (1 - alike) / alike, (1 - rate) * (1 - alike) / alike, size=requests
    )
    return generator.binomial(10, level).astype(float)


def as_flights(sums):
    """Return the flights of requests of ten as units of their own."""
    counted = (np.arange(10) < sums[:, None]).astype(float).ravel()
    return Arm(counted, np.ones(len(counted)))


def test_between_when_flights_of_a_request_share_its_luck_then_requests_keep_the_promise():
    generator = np.random.default_rng(8)
    looks = range(60, 301, 60)
    by_request = by_flight = 0
    for _ in range(300):
        new = requests_of_ten(generator, ERROR_RATE + MARGIN, 300, effect=4)
        old = requests_of_ten(generator, ERROR_RATE, 300, effect=4)
        tens = np.full(300, 10)
        pairs = [(Arm(new[:n], tens[:n]), Arm(old[:n], tens[:n])) for n in looks]
        by_request += any(between([pair], 300).high < MARGIN for pair in pairs)
        flights = [(as_flights(new[:n]), as_flights(old[:n])) for n in looks]
        by_flight += any(between([pair], 3_000).high < MARGIN for pair in flights)
    assert by_request / 300 <= 0.05
    assert by_flight / 300 > 0.1


def test_between_when_each_unit_is_one_row_then_has_the_rows_own_mean_and_spread():
    generator = np.random.default_rng(9)
    new = by_lot(generator, 0.3, 2_000)
    old = by_lot(generator, 0.3, 2_000)
    found = between([(new, old)], 20_000)
    assert found.mean == pytest.approx(new.sums.mean() - old.sums.mean())
    deviation = sqrt(new.sums.var(ddof=1) + old.sums.var(ddof=1))
    far = half_width(2_000, deviation, 20_000)
    assert found.high - found.mean == pytest.approx(far, rel=0.005)
    assert found.mean - found.low == pytest.approx(far, rel=0.005)
    assert found.units == 2_000


def test_between_when_days_tell_differently_much_then_weighs_them_by_what_they_tell():
    late = np.tile([1.0, 0.0], 1_000)
    never = np.zeros(2_000)
    much = (late[:1_000], never[:1_000])
    little = (never[:100], late[:1_900])
    found = between(of([much, little]), 1_000)
    weights = np.array([500, 95])
    assert found.mean == pytest.approx(weights @ [0.5, -0.5] / weights.sum())
    assert found.units == 1_100
    assert found.high < between(of([much]), 1_000).high


def test_between_when_requests_hold_one_kind_of_flights_then_counts_them_as_single():
    wrong = np.arange(1_000) % 10 == 0
    tens = Arm(10.0 * wrong, np.full(1_000, 10.0))
    single = Arm(1.0 * wrong, np.ones(1_000))
    whole = between([(tens, tens)], 1_000)
    assert whole.units == 1_000
    assert whole.high == pytest.approx(between([(single, single)], 1_000).high, rel=0.03)


@pytest.mark.parametrize(
    ("share", "champion", "limit"), [(0.5, 0.0, 0.03), (0.1, 0.0, 0.03), (0.1, 0.09, 0.05)]
)
def test_between_when_a_figure_is_rare_then_still_seldom_promotes_what_is_at_the_limit(
    share, champion, limit
):
    assert promoted_at(share, champion, limit) <= 0.05


def test_between_when_the_skew_of_rare_figures_is_left_out_then_breaks_the_promise(monkeypatch):
    monkeypatch.setattr(confidence_sequences, "_skewed", lambda factor: 0)
    assert promoted_at(0.1, 0.0, 0.03) > 0.07


def promoted_at(share, champion, limit, canaries=200):
    """Return how often a challenger that is worse by just the limit is promoted at any look."""
    generator = np.random.default_rng(10)
    looks = np.arange(60, 271, 10)
    others = np.round(looks * (1 - share) / share).astype(int)
    promoted = 0
    for _ in range(canaries):
        new = by_lot(generator, champion + limit, looks[-1]).sums
        old = by_lot(generator, champion, others[-1]).sums
        promoted += any(
            between(of([(new[:mine], old[:theirs])]), 200).high < limit
            for mine, theirs in zip(looks, others, strict=True)
        )
    return promoted / canaries


@pytest.mark.parametrize("units", [0, 2, MIN_UNITS - 1])
def test_difference_when_there_are_few_units_then_nothing_is_known(units):
    few, many = np.zeros(units), np.zeros(5_000)
    for found in (between(of([(few, many)]), 500), between(of([(many, few)]), 500)):
        assert (found.low, found.high, found.units) == (-inf, inf, units)


def test_difference_when_all_rows_are_alike_then_is_not_certain():
    clean, many = np.zeros(300), np.zeros(3_000)
    assert between(of([(clean, clean)]), 300).high > 4 / 300
    assert between(of([(many, many)]), 300).high < between(of([(clean, clean)]), 300).high


def test_between_when_one_group_is_small_then_the_bound_is_as_wide_as_it_makes_it():
    generator = np.random.default_rng(2)
    large = by_lot(generator, 0.1, 9_000)
    small = by_lot(generator, 0.1, 1_000)
    found = between([(small, large)], 1_000)
    even = between([(small, by_lot(generator, 0.1, 1_000))], 1_000)
    assert found.units == 1_000 and found.high - found.low < even.high - even.low
    assert found.high - found.low > (even.high - even.low) / 2


def ramp(generator, extra):
    """Return four days of a canary whose share grows while the weather gets worse."""
    days = []
    for share, rate in ((0.05, 0.04), (0.10, 0.08), (0.25, 0.12), (0.50, 0.20)):
        new = by_lot(generator, rate + extra, int(4_000 * share))
        old = by_lot(generator, rate, int(4_000 * (1 - share)))
        days.append((new, old))
    return days


def pooled(days):
    """Return four days as one period."""
    sides = [np.concatenate([arm.sums for arm in side]) for side in zip(*days, strict=True)]
    return of([sides])


def test_between_when_the_share_grows_on_bad_days_then_the_days_are_not_blamed_on_the_challenger():
    generator = np.random.default_rng(3)
    days = [ramp(generator, 0.0) for _ in range(100)]
    by_day = [between(canary, 3_000) for canary in days]
    together = [between(pooled(canary), 3_000) for canary in days]
    assert np.mean([found.low > 0 for found in together]) > 0.9
    assert np.mean([found.low > 0 for found in by_day]) <= 0.05
    assert abs(np.mean([found.mean for found in by_day])) < 0.003


def test_between_when_a_growing_canary_loses_the_margin_then_is_seldom_promoted_at_any_day():
    generator = np.random.default_rng(4)
    promoted = 0
    for _ in range(CANARIES):
        days = ramp(generator, MARGIN)
        looks = [between(days[: day + 1], 2_000) for day in range(len(days))]
        promoted += any(found.high < MARGIN for found in looks)
    assert promoted / CANARIES <= 0.05


@pytest.fixture(scope="module")
def year(shared_workspace):
    """The flights from April to December, what the rule calls wrong and late, and their day."""
    flights = labelled(load_flights(shared_workspace, "2013-04-01", "2013-12-31"))
    late = flights["late"] == 1
    called = flights["dep_delay"] > 15
    return numbered(flights).assign(
        wrong=(called != late).astype(float),
        called=called.astype(float),
        gained=((flights["dep_delay"] > 17) == late).astype(float) - (called == late),
        day=pd.factorize(flights["date"])[0],
    )


@pytest.fixture(scope="module")
def requests(year):
    """The same, request by request: ten neighbouring flights of a day."""
    each = year.groupby(["day", "request_id"], sort=False)
    return each.agg(wrong=("wrong", "sum"), called=("called", "sum"), rows=("row", "size"))


def arms(week, figure, new, by_flight):
    """Return challenger and champion, a pair for each day; by flight, each has its own 0 or 1."""
    days = week.index.get_level_values("day").to_numpy()
    sums = week[figure].to_numpy()
    rows = week["rows"].to_numpy()
    if by_flight:
        first = np.cumsum(rows) - rows
        place = np.arange(rows.sum()) - np.repeat(first, rows)
        sums = (place < np.repeat(sums, rows)).astype(float)
        days = np.repeat(days, rows)
        new = np.repeat(new, rows)
        rows = np.ones(len(sums))
    return [
        tuple(Arm(sums[one & side], rows[one & side]) for side in (new, ~new))
        for one in (days == day for day in np.unique(days))
    ]


def test_between_when_a_model_runs_against_itself_on_real_weeks_then_flights_see_what_is_not(
    requests,
):
    generator = np.random.default_rng(11)
    split = Split("canary", 0.5)
    missed = {("wrong", False): 0, ("called", False): 0, ("called", True): 0}
    for turn in range(120):
        first = generator.integers(0, 268)
        week = requests.loc[first : first + 6]
        ids = week.index.get_level_values("request_id")
        new = np.array([role_of(f"{turn}/{one}", split) == CHALLENGER for one in ids])
        for figure, by_flight in missed:
            days = arms(week, figure, new, by_flight)
            planned = 3_000 if by_flight else 300
            looks = [between(days[:seen], planned) for seen in range(1, 8)]
            missed[figure, by_flight] += any(f.low > 0 or f.high < 0 for f in looks)
    shares = {one: count / 120 for one, count in missed.items()}
    assert shares["wrong", False] <= 0.1 and shares["called", False] <= 0.1
    assert shares["called", True] > 0.1


def test_paired_when_days_are_counted_on_the_real_year_then_each_bound_keeps_its_promise(year):
    gained = (year["gained"] - year["gained"].mean()).to_numpy()
    day = year["day"].to_numpy()
    weekly = []
    daily = []
    for first in range(0, 246, 6):
        until = np.searchsorted(day, first + np.arange(29))
        seen = [slice(until[0], until[days]) for days in range(1, 29)]
        looks = [paired(gained[some], day[some]) for some in seen[6::7]]
        weekly.append([any(f.low > 0 for f in looks), any(f.high < 0 for f in looks)])
        looks = [mean_bounds(gained[some], day[some]) for some in seen[6::2]]
        daily.append([any(f.low > 0 for f in looks), any(f.high < 0 for f in looks)])
    assert np.mean(weekly, axis=0).max() <= 0.05
    assert np.mean(daily, axis=0).min() > 0.15


def test_paired_when_days_are_independent_then_is_wrong_less_often_than_promised():
    generator = np.random.default_rng(12)
    days = np.repeat(np.arange(28), 50)
    wrong = {1.0: 0, confidence_sequences.LONG_RUN: 0}
    for _ in range(300):
        gained = generator.choice([-1, 0, 1], len(days), p=[0.01, 0.98, 0.01])
        for long_run in wrong:
            looks = [
                paired(gained[days < 7 * k], days[days < 7 * k], long_run=long_run)
                for k in range(1, 9)
            ]
            wrong[long_run] += any(found.low > 0 for found in looks)
    assert wrong[1.0] / 300 == pytest.approx(0.035, abs=0.03)
    assert wrong[confidence_sequences.LONG_RUN] < wrong[1.0]


def test_paired_when_a_week_is_incomplete_then_waits_for_it():
    generator = np.random.default_rng(13)
    days = np.repeat(np.arange(13), 100)
    gained = generator.choice([-1.0, 0, 1], len(days))
    six = paired(gained[days < 6], days[days < 6])
    assert (six.low, six.high, six.units) == (-inf, inf, 0)
    week = paired(gained[days < 7], days[days < 7])
    assert week.units == 7 and -inf < week.low < week.mean < week.high < inf
    assert paired(gained, days) == week
    assert paired(gained[::-1], days[::-1]) == week


def test_paired_when_the_models_never_differ_then_few_flights_are_not_certain():
    days = np.repeat(np.arange(7), 5)
    assert paired(np.zeros(35), days).low < -0.05
    assert paired(np.zeros(35_000), np.repeat(np.arange(7), 5_000)).low > -0.001


def test_levels_when_added_up_over_all_looks_then_are_the_whole_and_no_more():
    levels = [level_of_look(look) for look in range(1, 10_001)]
    assert sum(levels) == pytest.approx(ALPHA, rel=0.001) and sum(levels) < ALPHA
    assert levels == sorted(levels, reverse=True)
