"""What must hold of the table, whatever the model."""

import pandas as pd
import pandera.pandas as pa
import pytest
from conftest import (
    AIRPORTS,
    APART,
    CATEGORICAL,
    LATE,
    LEAVE_LATE,
    MAX_MISSING,
    MAX_UNKNOWN,
    MIN_FLIGHTS_A_DAY,
    RANGES,
    WEATHER,
)


def column(name):
    """Return what must hold of one column of numbers."""
    in_range = pa.Check.in_range(*RANGES[name])
    gaps = pa.Check(
        lambda values: values.isna().mean() <= MAX_MISSING,
        ignore_na=False,
        error=f"at most {MAX_MISSING:.0%} missing",
    )
    return pa.Column(float, [in_range, gaps], nullable=name in WEATHER)


def in_minutes(table):
    """Say whether as many flights leave late as do where delays come in minutes."""
    fewest, most = LEAVE_LATE
    return bool(fewest < (table["dep_delay"] > LATE).mean() < most)


def dew_point_is_below(table):
    """Say for each row whether the dew point is no higher than the temperature."""
    return ~(table["dewp"] > table["temp"])


fewest, most = LEAVE_LATE
SCHEMA = pa.DataFrameSchema(
    {name: column(name) for name in RANGES},
    checks=[
        pa.Check(in_minutes, error=f"{fewest:.0%} to {most:.0%} leave over {LATE} minutes late"),
        pa.Check(dew_point_is_below, error="the dew point is below the temperature"),
    ],
    unique=APART,
)


def faults(table):
    """Return what is not as agreed, each check once."""
    try:
        SCHEMA.validate(table, lazy=True)
    except pa.errors.SchemaErrors as errors:
        return [str(check) for check in errors.failure_cases["check"].unique()]
    return []


def test_table_keeps_to_the_schema(flights):
    found = faults(flights)
    assert found == []


@pytest.mark.parametrize("airport", AIRPORTS)
def test_airport_delivers_enough_flights(flights, airport):
    a_day = int((flights["origin"] == airport).sum()) / flights["date"].nunique()
    assert a_day >= MIN_FLIGHTS_A_DAY


@pytest.mark.parametrize("name", CATEGORICAL)
def test_few_categories_are_unknown(train, holdout, name):
    unknown = ~holdout[name].isin(train[name].unique())
    share = round(float(unknown.mean()), 4)
    assert share <= MAX_UNKNOWN


def test_no_day_is_missing(flights):
    days = pd.date_range(flights["date"].min(), flights["date"].max())
    missing = days.difference(flights["date"]).strftime("%d %B")
    assert list(missing) == []


def test_table_is_fresh(flights, newest):
    if newest is None:
        pytest.skip("not judged: say by --newest= which day the table must have")
    there = f"{flights['date'].max():%Y-%m-%d}"
    assert there >= f"{newest:%Y-%m-%d}"


def test_training_ends_before_the_holdout_begins(train, holdout):
    assert train["date"].max() < holdout["date"].min()
