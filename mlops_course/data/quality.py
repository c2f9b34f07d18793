"""Tests of flight data: the schema, ranges and shares that a healthy feed keeps to.

The tests use the schema library pandera and give one `Verdict`, with a sentence for each fault.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import pandas as pd

from mlops_course.core.verdicts import Check, Verdict
from mlops_course.data.features import CATEGORICAL, NUMERIC, WEATHER, Vocabulary

if TYPE_CHECKING:
    import pandera.pandas as pa

MAX_UNSEEN_SHARE = 0.05
MAX_MISSING_SHARE = {name: 0.35 if name == "pressure" else 0.05 for name in WEATHER}
RANGES = {
    "dep_delay": (-60, 2_000),
    "distance": (50, 6_000),
    "hour": (0, 23),
    "day_of_week": (0, 6),
    "temp": (-20, 120),
    "dewp": (-30, 90),
    "humid": (0, 100),
    "wind_speed": (0, 100),
    "precip": (0, 5),
    "pressure": (950, 1_060),
    "visib": (0, 10),
}


@cache
def flight_schema() -> "pa.DataFrameSchema":
    """Return the schema of flights at push-back: types, ranges, and shares that may be missing."""
    import pandera.pandas as pa

    columns = {}
    for name in NUMERIC:
        low, high = RANGES[name]
        checks = [pa.Check.in_range(low, high, error=f"between {low} and {high}")]
        if name in MAX_MISSING_SHARE:
            checks.append(_missing_at_most(MAX_MISSING_SHARE[name]))
        columns[name] = pa.Column("float64", checks, nullable=name in WEATHER)
    for name in CATEGORICAL:
        columns[name] = pa.Column("category", nullable=False)
    return pa.DataFrameSchema(columns)


def validate_flights(
    flights: pd.DataFrame, *, min_rows: int, vocabulary: Vocabulary | None = None
) -> Verdict:
    """Check flights against the schema, for enough rows and for categories never seen before.

    Parameters
    ----------
    flights
        One row a flight, with the 14 features.
    min_rows
        The fewest rows that a healthy feed delivers for the period.
    vocabulary
        The categories known from training; None when these rows are to define them.
    """
    checks = [
        Check(
            "row count",
            len(flights) >= min_rows,
            f"{len(flights):,} flights; at least {min_rows:,} were expected.",
        ),
        *_schema_checks(flights),
    ]
    for name in CATEGORICAL:
        if vocabulary is None or name not in flights.columns:
            continue
        unseen = ~flights[name].isin(list(vocabulary[name]))
        share = float(unseen.mean()) if len(flights) else 0.0
        checks.append(
            Check(
                f"unseen {name}",
                share <= MAX_UNSEEN_SHARE,
                f"{int(unseen.sum())} flights ({share:.1%}) have a {name} never seen in training; "
                f"at most {MAX_UNSEEN_SHARE:.0%} is usual.",
            )
        )
    return Verdict("data", tuple(checks))


def _missing_at_most(share: float) -> "pa.Check":
    import pandera.pandas as pa

    return pa.Check(
        lambda column: column.isna().mean() <= share,
        ignore_na=False,
        error=f"at most {share:.0%} missing",
    )


def _schema_checks(flights: pd.DataFrame) -> Sequence[Check]:
    import pandera.errors

    try:
        flight_schema().validate(flights, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        mistyped = cases.loc[cases["check"].str.startswith("dtype"), "column"]
        known = ~cases["column"].isin(mistyped) | cases["check"].str.startswith("dtype")
        return [
            Check(str(rule), False, _sentence(str(column), str(rule), found, flights))
            for (column, rule), found in cases[known].groupby(["column", "check"], dropna=False)
        ]
    return [Check("schema", True, f"{len(NUMERIC) + len(CATEGORICAL)} columns as agreed.")]


def _sentence(column: str, rule: str, cases: pd.DataFrame, flights: pd.DataFrame) -> str:
    """Say in one sentence what pandera found wrong with a column."""
    if rule == "column_in_dataframe":
        return f"Missing column: {', '.join(map(str, cases['failure_case']))}."
    if rule.startswith("dtype"):
        return f"{column} has type {flights[column].dtype}; expected {rule}."
    if rule == "not_nullable":
        return f"{column} is empty in {len(cases)} flights; it is required."
    if rule.endswith("missing"):
        return f"{column} is missing in {flights[column].isna().mean():.0%} of flights; {rule}."
    values = cases["failure_case"].astype(float)
    return (
        f"{column} is out of range in {len(cases)} flights "
        f"({values.min():g} to {values.max():g}); expected {rule}."
    )
