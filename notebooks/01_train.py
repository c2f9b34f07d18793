"""Train a classifier on the rows of a period and judge it on the days after it.

    python 01_train.py flights.parquet --first 2013-01-01 --last 2013-03-31

It reads a CSV or Parquet file with the columns named below, days written as 2013-03-31, learns from
the days --first to --last, both included, and lets model and rule answer the days after --last. It
prints what it got, and writes two files into the folder --out: `model.joblib`, encoder and
classifier in one object, and `report.json`, with all that it takes to do the same again.

It needs pandas and scikit-learn (and pyarrow for Parquet). For a table of your own change the names
below and `rule`. Load a joblib file only if you made it: loading one can run any code.

Exit status: 0 trained, 1 the rows cannot be used, 2 called wrongly.
"""

import argparse
import hashlib
import json
import platform
import sys
from datetime import datetime
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

TIME = "date"
TARGET = "late"  # 1, 0, or empty where nobody knows
NUMBERS = ["dep_delay", "distance", "hour", "day_of_week"]
NUMBERS += ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
WORDS = ["carrier", "origin", "dest"]
MIN_ROWS = 500


class Unusable(Exception):
    """A sentence that says what is wrong with the rows."""


def rule(rows):
    """Return what one line of code says without learning anything."""
    return rows["dep_delay"] > 15


def main(arguments=None):
    """Read, train, judge, write; return the exit status."""
    options = parsed(arguments)
    try:
        rows = read(options.data)
        learn, test = split(rows, options.first, options.last, options.test_days)
        model = fit(learn, options.seed, options.trees)
        report = described(options, model, learn, test)
        write(options.out, model, report)
    except Unusable as error:
        print(f"Not trained: {error}", file=sys.stderr)
        return 1
    for name, value in report["result"].items():
        print(f"{name:<13} {shown(value)}")
    print(f"Model and report are in {options.out}.")
    return 0


def shown(value):
    """Return a result as text: counts with commas, shares with four decimals."""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def parsed(arguments):
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="a .csv, .parquet or .pq file")
    parser.add_argument("--first", type=day, required=True, help="first day to learn from")
    parser.add_argument("--last", type=day, required=True, help="last day to learn from")
    parser.add_argument("--test-days", type=whole(1, 366), default=28, help="days after it to test")
    parser.add_argument("--trees", type=whole(1, 10_000), default=60, help="trees to grow")
    parser.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="random_state")
    parser.add_argument("--out", type=Path, default=Path("trained"), help="folder to write to")
    options = parser.parse_args(arguments)
    if options.first > options.last:
        parser.error(f"--first {options.first} is after --last {options.last}")
    return options


def day(text):
    """Return a day that is given as 2013-03-31."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day such as 2013-03-31") from error


def whole(least, most):
    """Return a reader of whole numbers between two bounds."""

    def number(text):
        if not (text.isdecimal() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return number


def read(path):
    """Return a file's rows in the form that the model takes, or say what they lack."""
    rows = table_in(path)
    missing = [name for name in [TIME, TARGET, *NUMBERS, *WORDS] if name not in rows]
    if missing:
        raise Unusable(f"{path} has no column {', '.join(missing)}.")
    rows[TIME] = days_of(rows[TIME])
    try:
        rows[[TARGET, *NUMBERS]] = rows[[TARGET, *NUMBERS]].astype("float64")
    except (TypeError, ValueError) as error:
        raise Unusable(f"{path} has other things than numbers ({first_line(error)}).") from error
    words = rows[WORDS].astype(object)
    rows[WORDS] = words.where(words.notna(), np.nan)
    if not rows[TARGET].dropna().isin([0, 1]).all():
        raise Unusable(f"{path} has labels in {TARGET} that are neither 0 nor 1.")
    return rows


def table_in(path):
    """Return what a file holds, by the ending of its name, in small or capital letters."""
    ending = path.suffix.lower()
    if ending not in (".csv", ".parquet", ".pq"):
        raise Unusable(f"{path} has an unknown ending; what is read is .csv, .parquet and .pq.")
    try:
        if ending == ".csv":
            return pd.read_csv(path, dtype=dict.fromkeys(WORDS, str))
        return pd.read_parquet(path)
    except (OSError, ValueError, ImportError) as error:
        raise Unusable(f"{path} cannot be read ({first_line(error)}).") from error


def days_of(column):
    """Return a column as days. Only the ISO form is taken: 01/03/2013 is two days, or one."""
    known = column.dropna()
    if pd.api.types.is_numeric_dtype(known) or known.map(is_number).any():
        if len(known):
            raise Unusable(
                f"{TIME} holds numbers such as {known.iloc[0]}, and numbers are no days."
            )
        return pd.Series(pd.NaT, index=column.index, dtype="datetime64[ns]")
    try:
        days = pd.to_datetime(column, format="ISO8601", errors="coerce")
        days = days.dt.tz_localize(None).dt.normalize()
    except (AttributeError, TypeError, ValueError) as error:
        raise Unusable(f"{TIME} holds other things than days ({first_line(error)}).") from error
    unread = column[days.isna() & column.notna()]
    if len(unread):
        text = str(unread.iloc[0])
        raise Unusable(f"{TIME} holds {text!r}; write days as in 2013-03-31, year first.")
    return days


def is_number(value):
    """Return whether a value of a mixed column is a number."""
    return isinstance(value, (int, float, np.number))


def first_line(error):
    """Return what kind of error it is, and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def split(rows, first, last, test_days):
    """Return the labelled rows to learn from, and those of the days after them."""
    known = rows[rows[TARGET].notna()]
    begin = pd.Timestamp(first)
    end = pd.Timestamp(last)
    learn = known[(known[TIME] >= begin) & (known[TIME] <= end)]
    test = known[(known[TIME] > end) & (known[TIME] <= end + pd.Timedelta(days=test_days))]
    if len(learn) < MIN_ROWS or learn[TARGET].nunique() < 2:
        raise Unusable(
            f"from {first} to {last} there are {len(learn):,} labelled rows, "
            f"{learn[TARGET].sum():,.0f} of them 1; it takes {MIN_ROWS} and both kinds. "
            f"{span_of(rows[TIME].dropna())}"
        )
    if empty := [name for name in [*NUMBERS, *WORDS] if learn[name].isna().all()]:
        raise Unusable(f"from {first} to {last} there is nothing in {', '.join(empty)}.")
    if test.empty:
        raise Unusable(f"there is no labelled row in the {test_days} days after {last}.")
    return learn, test


def span_of(days):
    """Return a sentence on the days that a file has."""
    if days.empty:
        return "The file has no day at all."
    return f"The file goes from {days.min():%Y-%m-%d} to {days.max():%Y-%m-%d}."


def fit(rows, seed, trees):
    """Return encoder and classifier, fitted to these rows and to nothing else."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer([("numbers", "passthrough", NUMBERS), ("words", encoder, WORDS)])
    classifier = HistGradientBoostingClassifier(
        max_iter=trees, early_stopping=False, random_state=seed
    )
    model = Pipeline([("columns", columns), ("classifier", classifier)])
    try:
        with threadpool_limits(1):
            return model.fit(rows[[*NUMBERS, *WORDS]], rows[TARGET] == 1)
    except ValueError as error:
        raise Unusable(f"scikit-learn refuses these rows ({error}).") from error


def probability(model, rows):
    """Return the probability of 1 for each row."""
    with threadpool_limits(1):
        return model.predict_proba(rows[[*NUMBERS, *WORDS]])[:, 1]


def described(options, model, learn, test):
    """Return what came of it, and all that it takes to do the same again."""
    late = test[TARGET] == 1
    called = probability(model, test) >= 0.5
    used = learn[[TIME, TARGET, *NUMBERS, *WORDS]]
    result = {
        "learned from": len(learn),
        "tested on": len(test),
        "model": float((called == late).mean()),
        "rule": float((rule(test) == late).mean()),
        "always 0": float((~late).mean()),
        "data digest": short(hashed(used)),
        "model digest": answers_digest(model, learn),
    }
    packages = {one.__name__: one.__version__ for one in (sklearn, pd, np)}
    return {
        "result": result,
        "arguments": {name: str(value) for name, value in vars(options).items()},
        "columns": [*NUMBERS, *WORDS],
        "versions": {"python": platform.python_version(), **packages},
    }


def answers_digest(model, rows):
    """Return 12 hex digits for rows and the answer to each, whatever order the rows come in."""
    row = hashed(rows[[*NUMBERS, *WORDS]])
    answer = probability(model, rows)
    order = np.argsort(row, kind="stable")  # rows that are equal have equal answers
    return short(np.concatenate([row[order], answer[order].view("uint64")]))


def hashed(rows):
    """Return a number for each row that stands for its content."""
    return pd.util.hash_pandas_object(rows, index=False).to_numpy()


def short(numbers):
    """Return 12 hex digits that stand for these numbers."""
    return hashlib.sha256(numbers.tobytes()).hexdigest()[:12]


def write(folder, model, report):
    """Write the model and its report."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        joblib.dump(model, folder / "model.joblib")
        (folder / "report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    except OSError as error:
        raise Unusable(f"{folder} cannot be written to ({error.strerror}).") from error


if __name__ == "__main__":
    sys.exit(main())
