"""Has a week of a table drifted from the calm weeks before it? With pandas, numpy and scipy alone.

    python 08_drift.py REFERENCE.csv WEEK.csv --time COLUMN
    python 08_drift.py REFERENCE.csv WEEK.csv --time COLUMN --given temp dewp humid

The reference is cut into weeks of seven days, counted back from the first day of the week in
question. Each week, the new one among them, is held against all the others; the new one alarms if
it is the strangest of all. Of N calm weeks and one more that is like them any is the strangest with
the same chance: a false alarm comes one time in N + 1 at most. A column that is gone, and a word
among numbers, are missing values.

One calm week that lies far out in one column, as with a campaign, sets the bar for all columns of
every later week. Such a week is told when the new one is calm. If its cause is known, take its rows
out of the reference; the promise is then for weeks that one would have taken out no more than it.

With --given a column is judged by what others leave unexplained of it: warmer weather moves the
temperature, and not the temperature given dew point and humidity. Try it on calm seasons first.

Exit status: 0 calm, 1 drifted, 2 not judged.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp, wasserstein_distance

MIN_WEEKS = 9
FULL = 0.8  # of the rows of the smallest calm week
FAR = 3.0  # times as far out as any other calm week


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
    farthest = column.idxmax()
    others = pd.Series(column.max(), column.index)
    others[farthest] = column.drop(farthest).max()
    return column / (others + 0.001)


def strangeness(table: pd.DataFrame) -> pd.DataFrame:
    """Return how far out each week is in each feature, all weeks scored alike."""
    return (-np.log(1 - table.clip(upper=1 - 1e-6))).apply(far_out)


def scores(apart: pd.DataFrame) -> pd.Series:
    """Return how strange the last week is in each feature, by the strangest of the others as 1."""
    table = strangeness(apart)
    return table.iloc[-1] / table.iloc[:-1].to_numpy().max()


def farthest(apart: pd.DataFrame) -> tuple[int, str, float]:
    """Return which calm week lies out farthest, in which column, and how many times any other."""
    calm = strangeness(apart.iloc[:-1])
    name = calm.max().idxmax()
    return calm[name].idxmax(), name, calm[name].max()


def explained(weeks: Sequence[pd.DataFrame], name: str, context: list[str]) -> list[pd.DataFrame]:
    """Add a column: what a line through the context, fitted to all weeks, leaves of another one."""
    every = pd.concat(weeks).dropna(subset=[name, *context])
    known = every[context].assign(constant=1.0).astype("float64")
    line = np.linalg.lstsq(known, every[name].astype("float64"))[0]
    title = f"{name} given {', '.join(context)}"
    return [week.assign(**{title: week[name] - week[context] @ line[:-1]}) for week in weeks]


def calm_weeks(
    reference: pd.DataFrame, days: pd.Series, first: pd.Timestamp
) -> dict[pd.Timestamp, pd.DataFrame]:
    """Return the weeks before a day that have rows on each of seven days, by their first day."""
    number = (first - days).dt.days.sub(1) // 7
    begins = (first - pd.to_timedelta(7 * (number + 1), unit="D"))[number >= 0]
    grouped = reference.loc[begins.index].groupby(begins, sort=True)
    return {begin: rows for begin, rows in grouped if days[rows.index].nunique() == 7}


def days_of(rows: pd.DataFrame, time: str) -> pd.Series:
    """Return the day of each row, by the clock of Greenwich where the times have a zone."""
    moments = pd.to_datetime(rows[time], format="ISO8601", utc=True)
    return moments.dt.tz_localize(None).dt.normalize()


def read(asked: argparse.Namespace) -> dict[pd.Timestamp, pd.DataFrame]:
    """Return the calm weeks and, last, the week in question, each by its first day.

    ValueError says what is wrong.
    """
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
    smallest = min(map(len, calm.values()), default=0)
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
    weeks = {**calm, days.min(): week}
    if not asked.given:
        return weeks
    name, *context = asked.given
    given = explained(list(weeks.values()), name, context)
    return {begin: rows.drop(columns=name) for begin, rows in zip(weeks, given, strict=True)}


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


def report(weeks: Mapping[pd.Timestamp, pd.DataFrame]) -> int:
    """Print how strange the last week is in each feature, above 1 drifted; return the status."""
    *calm, newest = weeks.values()
    apart = distances([*calm, newest])
    table = pd.DataFrame({"score": scores(apart), "missing": newest.isna().mean()})
    table = table.join(measured(newest, pd.concat(calm))).sort_values("score", ascending=False)
    shown = table.replace([np.inf, -np.inf], np.nan).round(2) + 0.0  # which makes 0 of -0
    print(shown.to_string(na_rep="-"))
    print(f"A week like the others alarms one time in {len(weeks)} at most.")
    drifted = bool((table["score"] > 1).any())
    place, name, times = farthest(apart)
    if not drifted and times > FAR:
        print(
            f"The bar: the calm week from {list(weeks)[place]:%Y-%m-%d} lies {times:.1f} times as "
            f"far out in {name} as any other, and only a stranger week alarms."
        )
    return int(drifted)


def measured(newest: pd.DataFrame, calm: pd.DataFrame) -> pd.DataFrame:
    """Return the measures of each column of numbers, of its finite values."""
    found = {}
    for name in calm.select_dtypes("number"):
        values = newest[name][np.isfinite(newest[name])]
        others = calm[name][np.isfinite(calm[name])]
        if len(values) and len(others):
            with np.errstate(all="ignore"):
                found[name] = measures(values, others)
    return pd.DataFrame(found).T


if __name__ == "__main__":
    sys.exit(main())
