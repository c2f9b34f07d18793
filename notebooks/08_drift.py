"""Has a week of a table drifted from the calm weeks before it? With pandas, numpy and scipy alone.

    python 08_drift.py REFERENCE.csv WEEK.csv --time COLUMN
    python 08_drift.py REFERENCE.csv WEEK.csv --time COLUMN --given temp dewp humid

The reference is cut into weeks of seven days, counted back from the first day of the week in
question. Each week, the new one among them, is held against all the others; the new one alarms if
it is the strangest of all. Of N calm weeks and one more that is like them any is the strangest with
the same chance: a false alarm comes one time in N + 1 at most. A column that is gone, and a word
among numbers, are missing values.

With --given a column is judged by what others leave unexplained of it: warmer weather moves the
temperature, and not the temperature given dew point and humidity. Try it on calm seasons first.

Exit status: 0 calm, 1 drifted, 2 not judged.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp, wasserstein_distance

MIN_WEEKS = 9
FULL = 0.8  # of the rows of the smallest calm week


def distance(values: pd.Series, others: pd.Series) -> float:
    """Return the largest gap between two distributions, or between the shares missing: 0 to 1."""
    missing = abs(values.isna().mean() - others.isna().mean())
    values = values.dropna()
    others = others.dropna()
    if values.empty or others.empty:
        return missing
    if pd.api.types.is_numeric_dtype(others) and pd.api.types.is_numeric_dtype(values):
        return max(missing, ks_2samp(values, others).statistic)
    shares = values.astype(str).value_counts(normalize=True)
    other_shares = others.astype(str).value_counts(normalize=True)
    return max(missing, shares.sub(other_shares, fill_value=0).abs().sum() / 2)


def measures(values: pd.Series, others: pd.Series) -> dict[str, float]:
    """Return the usual measures of how far apart two samples of numbers are."""
    edges = [-np.inf, *np.unique(np.quantile(others, np.linspace(0.1, 0.9, 9))), np.inf]
    p = np.histogram(values, edges)[0].clip(min=0.5) / len(values)
    q = np.histogram(others, edges)[0].clip(min=0.5) / len(others)
    return {
        "KS": ks_2samp(values, others).statistic,
        "Wasserstein": wasserstein_distance(values, others) / others.std(),
        "total variation": np.abs(p - q).sum() / 2,
        "PSI": ((p - q) * np.log(p / q)).sum(),
        "Jensen-Shannon": jensenshannon(p, q, base=2),
    }


def distances(weeks: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return how far each week is from all the others: a row a week, a column a feature."""
    rows = []
    for number, week in enumerate(weeks):
        others = pd.concat([*weeks[:number], *weeks[number + 1 :]])
        rows.append({name: distance(week[name], others[name]) for name in week.columns})
    return pd.DataFrame(rows)


def far_out(column: pd.Series) -> pd.Series:
    """Return one feature's figures as multiples of the largest that any other week has."""
    others = pd.Series([column.drop(number).max() for number in column.index])
    return column / (others + 0.001)


def strangeness(table: pd.DataFrame) -> pd.DataFrame:
    """Return how far out each week is in each feature, all weeks scored alike."""
    return (-np.log(1 - table.clip(upper=1 - 1e-6))).apply(far_out)


def scores(weeks: Sequence[pd.DataFrame]) -> pd.Series:
    """Return how strange the last week is in each feature, by the strangest of the others as 1."""
    table = strangeness(distances(weeks))
    return table.iloc[-1] / table.iloc[:-1].to_numpy().max()


def explained(weeks: Sequence[pd.DataFrame], name: str, context: list[str]) -> list[pd.DataFrame]:
    """Add a column: what a line through the context, fitted to all weeks, leaves of another one."""
    every = pd.concat(weeks).dropna(subset=[name, *context])
    known = every[context].assign(constant=1.0).astype("float64")
    line = np.linalg.lstsq(known, every[name].astype("float64"))[0]
    title = f"{name} given {', '.join(context)}"
    return [week.assign(**{title: week[name] - week[context] @ line[:-1]}) for week in weeks]


def calm_weeks(reference: pd.DataFrame, days: pd.Series, first: pd.Timestamp) -> list[pd.DataFrame]:
    """Return the weeks before a day that have rows on each of seven days, oldest first."""
    number = (first - days).dt.days.sub(1) // 7
    before = number >= 0
    grouped = reference[before].groupby(number[before], sort=True)
    return [rows for _, rows in grouped if days[rows.index].nunique() == 7][::-1]


def days_of(rows: pd.DataFrame, time: str) -> pd.Series:
    """Return the day of each row, by the clock of Greenwich where the times have a zone."""
    moments = pd.to_datetime(rows[time], format="ISO8601", utc=True)
    return moments.dt.tz_localize(None).dt.normalize()


def read(asked: argparse.Namespace) -> list[pd.DataFrame]:
    """Return the calm weeks and, last, the week in question; ValueError says what is wrong."""
    reference = pd.read_csv(asked.reference)
    week = pd.read_csv(asked.week)
    for name, rows in (("reference", reference), ("week", week)):
        if asked.time not in rows:
            raise ValueError(f"the {name} has no column {asked.time}, but {', '.join(rows)}")
    names = [name for name in reference if name != asked.time]
    if not set(names) & set(week) or set(asked.given or names) - set(names):
        raise ValueError(f"the columns to compare are not there; the reference has {names}")
    days = days_of(week, asked.time)
    calm = calm_weeks(reference[names], days_of(reference, asked.time), days.min())
    smallest = min(map(len, calm), default=0)
    is_week = days.nunique() == 7 and (days.max() - days.min()).days == 6
    if not is_week or len(calm) < MIN_WEEKS or len(week) < FULL * smallest:
        raise ValueError(
            f"{len(calm)} calm weeks of {smallest} rows or more, and {len(week)} rows on "
            f"{days.nunique()} days in question; it takes {MIN_WEEKS} weeks, and seven days in a "
            "row with as many rows"
        )
    week = week.reindex(columns=names)
    for name in reference[names].select_dtypes("number"):
        week[name] = pd.to_numeric(week[name], errors="coerce")
    if not asked.given:
        return [*calm, week]
    name, *context = asked.given
    return [rows.drop(columns=name) for rows in explained([*calm, week], name, context)]


def main(words: Sequence[str] | None = None) -> int:
    """Print what has moved, and return the exit status."""
    parser = argparse.ArgumentParser(description="Has a week drifted from the calm weeks before?")
    parser.add_argument("reference", help="a CSV file of calm weeks")
    parser.add_argument("week", help="a CSV file of the week in question")
    parser.add_argument("--time", required=True, help="the column that says when, as 2024-03-25")
    parser.add_argument("--given", nargs="+", metavar="COLUMN", help="a column, and its context")
    try:
        weeks = read(parser.parse_args(words))
    except (OSError, ValueError) as error:
        print(f"Not judged: {error}.", file=sys.stderr)
        return 2
    return report(weeks)


def report(weeks: Sequence[pd.DataFrame]) -> int:
    """Print how strange the last week is in each feature, above 1 drifted; return the status."""
    calm = pd.concat(weeks[:-1])
    newest = weeks[-1]
    table = pd.DataFrame({"score": scores(weeks), "missing": newest.isna().mean()})
    for name in calm.select_dtypes("number"):
        values = newest[name].dropna()
        if len(values) and pd.api.types.is_numeric_dtype(values):
            for measure, figure in measures(values, calm[name].dropna()).items():
                table.loc[name, measure] = figure
    print(table.sort_values("score", ascending=False).round(2).to_string())
    print(f"A week like the others alarms one time in {len(weeks)} at most.")
    return int((table["score"] > 1).any())


if __name__ == "__main__":
    sys.exit(main())
