from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_course.drift.profiles import (
    MAX_VALUES,
    Kind,
    count,
    kind_of,
    profile,
    table,
    thinned,
)
from mlops_course.stats.distances import kolmogorov_smirnov, leave_one_out, total_variation

NUMBER, DATE, CATEGORY = Kind
DAY = datetime(2013, 1, 1)
COLUMNS = {
    "floats": ([1.5, None, 1.5], NUMBER),
    "integers": ([1, 2, 2], NUMBER),
    "integers that may miss": (pd.array([1, None], dtype="Int64"), NUMBER),
    "integers beyond 64 bits": ([10**30, 1], NUMBER),
    "large integers": (np.array([2**64 - 1, 1], dtype="uint64"), NUMBER),
    "decimals": ([Decimal("1.5"), None], NUMBER),
    "infinite": ([np.inf, -np.inf, 1.0], NUMBER),
    "durations": (pd.to_timedelta([1, None], unit="s"), NUMBER),
    "durations as objects": (pd.Series([timedelta(1), None], dtype="object"), NUMBER),
    "times": (pd.to_datetime(["2013-01-01", None]), DATE),
    "times of a zone": (pd.to_datetime(["2013-01-01", None]).tz_localize("US/Eastern"), DATE),
    "days": (pd.Series([date(2013, 1, 1), None], dtype="object"), DATE),
    "a far day": (pd.Series([datetime(9999, 1, 1)], dtype="object"), DATE),
    "true or false": ([True, False], CATEGORY),
    "true, false or neither": (pd.array([True, None], dtype="boolean"), CATEGORY),
    "text": (["a", "b", None], CATEGORY),
    "categories": (pd.Categorical(["a", None]), CATEGORY),
    "categories that are numbers": (pd.Categorical([1, 2]), CATEGORY),
    "words and numbers": (pd.Series([1, "a", None], dtype="object"), CATEGORY),
    "lists": (pd.Series([[1], [1], None], dtype="object"), CATEGORY),
    "bytes": ([b"a", b"b"], CATEGORY),
    "complex": ([1 + 2j, 0j], CATEGORY),
    "periods": (pd.period_range("2013", periods=2, freq="D"), CATEGORY),
    "nothing": ([None, None], None),
    "no rows": ([], None),
}


@pytest.mark.parametrize(("values", "kind"), COLUMNS.values(), ids=COLUMNS)
def test_column_when_of_any_type_then_has_its_kind_and_every_row_is_counted(values, kind):
    column = pd.Series(values)
    assert kind_of(column) is kind
    found = count(column, kind or NUMBER)
    assert found.counts.sum() + found.missing == len(column)
    assert found.missing == column.isna().sum()
    assert len(found.values) == len(found.counts) == len(set(map(str, column.dropna())))


@pytest.mark.parametrize("values", [one for one, _ in COLUMNS.values()], ids=COLUMNS)
@pytest.mark.parametrize("kind", Kind)
def test_column_when_counted_as_a_kind_that_it_is_not_then_the_rest_is_missing(values, kind):
    column = pd.Series(values)
    found = count(column, kind)
    assert found.kind is kind
    assert found.counts.sum() + found.missing == len(column)


def test_words_among_numbers_when_counted_then_are_missing():
    found = count(pd.Series(["7", "n/a", "", None, "8.5"]), NUMBER)
    assert found.values.tolist() == [7.0, 8.5] and found.missing == 3


def test_whole_numbers_when_read_with_gaps_then_are_the_same_words():
    assert count(pd.Series([7.0, np.nan]), CATEGORY).values.tolist() == ["7"]
    assert count(pd.Series([7]), CATEGORY).values.tolist() == ["7"]


def test_profile_when_a_column_is_absent_then_it_is_missing_in_every_row():
    found = profile(pd.DataFrame({"x": [1, 2]}), {"x": NUMBER, "y": CATEGORY})
    assert found.rows == 2
    assert found.columns["y"].missing == 2 and found.columns["x"].missing == 0


def test_table_when_words_differ_between_periods_then_each_has_a_column():
    periods = [count(pd.Series(words), CATEGORY) for words in (["UA", "AA", None], ["UA", "ZZZZ"])]
    assert table(periods).tolist() == [[1, 1, 1, 0], [0, 1, 0, 1]]


@pytest.mark.parametrize("kind", [NUMBER, CATEGORY])
def test_table_when_values_are_many_then_is_coarser_and_holds_every_row(kind):
    generator = np.random.default_rng(0)
    columns = [generator.normal(mean, size=5_000) for mean in (0, 0, 0.2)]
    if kind is CATEGORY:
        columns = [np.char.add("u", np.round(column, 1).astype(str)) for column in columns]
        columns[0] = np.array([f"{number}" for number in range(5_000)])
    coarse = table([count(pd.Series(column), kind) for column in columns])
    assert coarse.shape[1] <= MAX_VALUES + 1
    assert coarse.sum(axis=1).tolist() == [5_000] * 3


def test_distances_when_values_are_many_then_err_by_less_than_is_said():
    generator = np.random.default_rng(0)
    columns = [generator.normal(mean, size=20_000) for mean in (0, 0, 0.2)]
    coarse = table([count(pd.Series(column), NUMBER) for column in columns])[:, 1:]
    every = np.sort(np.concatenate(columns))
    exact = np.array([np.isin(every, column).astype(int) for column in columns])
    error = leave_one_out(kolmogorov_smirnov, exact) - leave_one_out(kolmogorov_smirnov, coarse)
    assert (error >= 0).all() and (error <= 3 / MAX_VALUES).all()


def test_thinned_when_drawn_then_has_so_many_rows_and_the_same_for_the_same_counts():
    counts = np.array([[5, 100, 100], [0, 30, 20], [1, 2, 3]])
    found = thinned(counts, 50)
    assert found.sum(axis=1).tolist() == [50, 50, 6] and (found <= counts).all()
    assert (thinned(counts, 50) == found).all()


values = st.lists(st.integers(-5, 5) | st.none(), min_size=1, max_size=30)


@settings(max_examples=50, deadline=None)
@given(values, values)
def test_distances_when_any_two_columns_are_compared_then_are_distances(one, other):
    for kind, distance in ((NUMBER, kolmogorov_smirnov), (CATEGORY, total_variation)):
        first, second = (count(pd.Series(column, dtype="object"), kind) for column in (one, other))
        counts = table([first, second])[:, 1:]
        there = distance(counts[0], counts[1])
        back = distance(counts[1], counts[0])
        itself = distance(counts[0], counts[0])
        assert np.isnan(there) == (not counts.sum(axis=1).all())
        assert np.isnan(there) or (0 <= there <= 1 and there == pytest.approx(back))
        assert np.isnan(itself) or itself == 0


@settings(max_examples=50, deadline=None)
@given(values, values)
def test_numbers_when_put_through_a_rising_map_then_lie_as_far_apart(one, other):
    columns = [pd.Series(column, dtype="float64") for column in (one, other)]
    plain = table([count(column, NUMBER) for column in columns])[:, 1:]
    mapped = table([count(np.exp(column) * 3, NUMBER) for column in columns])[:, 1:]
    assert kolmogorov_smirnov(*plain) == pytest.approx(kolmogorov_smirnov(*mapped), nan_ok=True)
