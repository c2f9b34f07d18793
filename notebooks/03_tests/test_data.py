"""What must hold of the table, whatever the model."""

import pandas as pd
import pandera.pandas as pa
import pytest

MAX_MISSING = 0.35
MAX_UNKNOWN = 0.05
MIN_FLIGHTS_A_DAY = 150
RANGES = {
    "dep_delay": (-60, 2_000),  # minutes
    "distance": (50, 6_000),  # miles
    "hour": (0, 23),
    "day_of_week": (0, 6),
    "temp": (-20, 120),  # degrees Fahrenheit, as the next
    "dewp": (-30, 90),
    "humid": (0, 100),
    "wind_speed": (0, 100),
    "precip": (0, 5),
    "pressure": (950, 1_060),
    "visib": (0, 10),
}
WEATHER = {"temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"}


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
    return bool(0.05 < (table["dep_delay"] > 15).mean() < 0.5)


def dew_point_is_below(table):
    """Say for each row whether the dew point is no higher than the temperature."""
    return ~(table["dewp"] > table["temp"])


SCHEMA = pa.DataFrameSchema(
    {name: column(name) for name in RANGES},
    checks=[
        pa.Check(in_minutes, error="5 to 50% leave more than 15 minutes late"),
        pa.Check(dew_point_is_below, error="the dew point is below the temperature"),
    ],
    unique=["date", "carrier", "flight", "origin"],
)


def test_table_keeps_to_the_schema(flights):
    try:
        SCHEMA.validate(flights, lazy=True)
    except pa.errors.SchemaErrors as errors:
        broken = errors.failure_cases["check"].unique()
        pytest.fail(f"not as agreed: {', '.join(map(str, broken))}", pytrace=False)


@pytest.mark.parametrize("airport", ["EWR", "JFK", "LGA"])
def test_airport_delivers_enough_flights(flights, airport):
    a_day = int((flights["origin"] == airport).sum()) / flights["date"].nunique()
    assert a_day >= MIN_FLIGHTS_A_DAY


@pytest.mark.parametrize("name", ["carrier", "origin", "dest"])
def test_few_categories_are_unknown(train, holdout, name):
    unknown = ~holdout[name].isin(train[name].unique())
    share = round(float(unknown.mean()), 4)
    assert share <= MAX_UNKNOWN


def test_no_day_is_missing(flights):
    days = pd.date_range(flights["date"].min(), flights["date"].max())
    missing = days.difference(flights["date"]).strftime("%d %B")
    assert list(missing) == []


def test_training_ends_before_the_holdout_begins(train, holdout):
    assert train["date"].max() < holdout["date"].min()
