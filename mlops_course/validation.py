"""Tests of data and of models, each giving one `Verdict` that says what was checked and seen.

Data tests use the schema library pandera; model tests compare two sets of predictions on the
same later rows, flight by flight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import norm

from mlops_course.features import CATEGORICAL, NUMERIC, WEATHER, Vocabulary
from mlops_course.training import baseline

if TYPE_CHECKING:
    import pandera.pandas as pa

CONFIDENCE = 0.95
LEAST_JUDGED = 1_000
LEAST_SLICE = 500
MOST_UNSEEN = 0.05
MOST_MISSING = {name: 0.35 if name == "pressure" else 0.05 for name in WEATHER}
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


@dataclass(frozen=True)
class Check:
    """One thing that was checked: whether it held, and a sentence with what was seen."""

    name: str
    passed: bool
    seen: str


@dataclass(frozen=True)
class Verdict:
    """All the checks of one subject; it passes when every check does."""

    subject: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check held."""
        return all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[str, ...]:
        """The sentences of the checks that did not hold."""
        return tuple(check.seen for check in self.checks if not check.passed)


@cache
def flight_schema() -> "pa.DataFrameSchema":
    """Return the schema of flights at push-back: types, ranges, and shares that may be missing."""
    import pandera.pandas as pa

    columns = {}
    for name in NUMERIC:
        low, high = RANGES[name]
        checks = [pa.Check.in_range(low, high, error=f"between {low} and {high}")]
        if name in MOST_MISSING:
            checks.append(_missing_at_most(MOST_MISSING[name]))
        columns[name] = pa.Column("float64", checks, nullable=name in WEATHER)
    for name in CATEGORICAL:
        columns[name] = pa.Column("category", nullable=False)
    return pa.DataFrameSchema(columns)


def validate_flights(
    flights: pd.DataFrame, *, least_rows: int, vocabulary: Vocabulary | None = None
) -> Verdict:
    """Check flights against the schema, for enough rows and for categories never seen before.

    Parameters
    ----------
    flights
        One row a flight, with the 14 features.
    least_rows
        The fewest rows that a healthy feed delivers for the period.
    vocabulary
        The categories known from training; None when these rows are to define them.
    """
    checks = [
        Check(
            "row count",
            len(flights) >= least_rows,
            f"{len(flights):,} flights; at least {least_rows:,} were expected.",
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
                share <= MOST_UNSEEN,
                f"{int(unseen.sum())} flights ({share:.1%}) have a {name} never seen in training; "
                f"at most {MOST_UNSEEN:.0%} is usual.",
            )
        )
    return Verdict("data", tuple(checks))


def gate(
    flights: pd.DataFrame, candidate: np.ndarray, yardstick: np.ndarray, against: str
) -> Verdict:
    """Judge a candidate against a yardstick on the same labelled rows, new to both.

    Parameters
    ----------
    flights
        The labelled flights, with ``late`` and ``origin``.
    candidate, yardstick
        What each calls late, boolean, shape (rows,).
    against
        Name of the yardstick: the champion, or the one-line rule where there is none.

    Returns
    -------
    A verdict: enough rows; better overall, beyond chance; no worse than the one-line rule and
    at no airport worse, beyond chance. Differences are paired: what both get wrong cancels.
    Source of the interval: Agresti, *Categorical Data Analysis*, 3rd ed., section 11.1.
    """
    late = flights["late"].to_numpy() == 1
    gained = (candidate == late).astype(float) - (yardstick == late)
    low, mean, _ = paired_interval(gained)
    checks = [
        Check(
            "enough rows",
            len(flights) >= LEAST_JUDGED,
            f"{len(flights):,} labelled flights; a verdict takes {LEAST_JUDGED:,}.",
        ),
        Check(
            "better overall",
            low > 0,
            f"Accuracy {np.mean(candidate == late):.3f} against {np.mean(yardstick == late):.3f} "
            f"of {against}: {100 * mean:+.2f} points, at least {100 * low:+.2f} "
            f"with {CONFIDENCE:.0%} confidence.",
        ),
    ]
    if not np.array_equal(rule := baseline(flights), yardstick):
        _, mean, high = paired_interval((candidate == late).astype(float) - (rule == late))
        seen = f"Against the rule {100 * mean:+.2f} points, at most {100 * high:+.2f}."
        checks.append(Check("no worse than the rule", high >= 0, seen))
    for airport in sorted(flights["origin"].unique()):
        inside = (flights["origin"] == airport).to_numpy()
        if inside.sum() >= LEAST_SLICE:
            _, mean, high = paired_interval(gained[inside])
            seen = f"At {airport} {100 * mean:+.2f} points, at most {100 * high:+.2f}."
            checks.append(Check(f"not worse at {airport}", high >= 0, seen))
    return Verdict("model", tuple(checks))


def paired_interval(
    gained: np.ndarray, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Return lower bound, mean and upper bound of a paired difference, each one-sided.

    Parameters
    ----------
    gained
        For each row 1 where only the candidate is right, -1 where only the yardstick is, else 0.
    """
    mean = float(gained.mean()) if len(gained) else 0.0
    error = float(gained.std(ddof=1) / np.sqrt(len(gained))) if len(gained) > 1 else np.inf
    reach = float(norm.ppf(confidence)) * error
    return mean - reach, mean, mean + reach


def report(verdict: Verdict) -> pd.DataFrame:
    """Return a verdict as a table: one row a check."""
    return pd.DataFrame(
        [(check.name, "pass" if check.passed else "FAIL", check.seen) for check in verdict.checks],
        columns=["check", "result", "seen"],
    )


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
