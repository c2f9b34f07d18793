"""May this version serve? A candidate against the champion, on a table with labels.

    python 06_gate.py exam.csv --model delays --candidate 7 --time date --target late

Both are versions of a classifier in MLflow's registry, and answer the same rows. The candidate
passes if it is shown to lose less than a margin of accuracy, overall and in each large slice. Not
to have found a loss is not enough. Its bounds count days, since the rows of a day share their luck.

Exit status
    0   passed
    1   blocked: it may lose more than a margin, or it fails on these rows
    2   called wrongly
    3   could not judge: the rows, the registry or the champion are in trouble
A crash ends with 3, too: Python's own status for one is 1, and would read as a verdict.

It cannot know whether a version has learned from these rows; take rows that are newer than both.
It needs mlflow, pandas, scipy, and what the models need. The store is where MLFLOW_TRACKING_URI
says. Made for one look at a table: of many candidates held to the same rows one passes by luck.
"""

import argparse
import logging
import sys
import traceback
import warnings
from collections import namedtuple
from pathlib import Path

PASSED = 0
BLOCKED = 1
COULD_NOT_JUDGE = 3

try:
    import mlflow
    import numpy as np
    import pandas as pd
    from mlflow.exceptions import MlflowException
    from scipy.stats import t
except ImportError as missing:
    print(f"The gate could not judge: {missing}.")
    sys.exit(COULD_NOT_JUDGE)

MIN_ROWS = 1_000
MIN_DAYS = 7
MIN_SLICE_ROWS = 800
MIN_LABELLED_SHARE = 0.95
WORDS = {PASSED: "passed", BLOCKED: "is blocked", COULD_NOT_JUDGE: "could not be judged"}

Check = namedtuple("Check", "name passed seen")


class CouldNotJudge(Exception):
    """A sentence that says what is missing; it says nothing about the candidate."""


# ---- the rows


def read(options):
    """Return the rows that have a label, with their day."""
    try:
        reader = pd.read_parquet if options.table.endswith(".parquet") else pd.read_csv
        rows = reader(options.table)
        day = pd.to_datetime(rows[options.time]).dt.normalize()
        label = pd.to_numeric(rows[options.target])
    except (OSError, KeyError, ValueError, TypeError) as error:
        told = f"{options.table} cannot be read: {type(error).__name__}: {error}."
        raise CouldNotJudge(told) from error
    if day.isna().any():
        raise CouldNotJudge(f"{day.isna().sum():,} rows have no {options.time}.")
    if not label.dropna().isin([0, 1]).all():
        raise CouldNotJudge(f"Some {options.target} are neither 0 nor 1.")
    share = label.notna().mean()
    if not share >= MIN_LABELLED_SHARE:
        raise CouldNotJudge(
            f"{share:.0%} of the rows have a label, and it takes {MIN_LABELLED_SHARE:.0%}: those "
            "that come first are no fair sample."
        )
    known = label.notna()
    rows = rows[known].assign(**{"gate.day": day[known], "gate.label": label[known]})
    days = rows["gate.day"].nunique()
    if len(rows) < MIN_ROWS or days < MIN_DAYS:
        raise CouldNotJudge(
            f"There are {len(rows):,} rows of {days} days with a label; it takes {MIN_ROWS:,} of "
            f"{MIN_DAYS}."
        )
    return rows.reset_index(drop=True)


# ---- the two versions


def version_named(name, which):
    """Return a version's number, by its number or its alias."""
    client = mlflow.MlflowClient()
    which = which.strip()
    if which.isdecimal():
        return client.get_model_version(name, which).version
    return client.get_model_version_by_alias(name, which).version


def load(name, number):
    """Return a version as a function of rows, and the columns that it asks for."""
    try:
        model = mlflow.pyfunc.load_model(f"models:/{name}/{number}")
    except MlflowException:
        raise
    except Exception as error:  # whatever reading a file can raise
        told = f"Version {number} cannot be loaded: {type(error).__name__}: {error}."
        raise CouldNotJudge(told) from error
    schema = model.metadata.get_input_schema()
    if schema is None:
        raise CouldNotJudge(f"Version {number} was registered without a signature.")
    return model, schema


def answers(model, schema, rows):
    """Return what a model says of rows, 1.0 or 0.0 for each, NaN where it says nothing.

    Its answers may be labels, probabilities of 1, or a pair of probabilities for each row.
    """
    numbers = {field.name for field in schema if field.type.name in ("double", "float")}
    asked = rows[schema.input_names()].astype(dict.fromkeys(numbers, "float64"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a model grumbles about is no answer
        said = np.asarray(model.predict(asked), dtype="float64")
    said = said[:, 1] if said.ndim == 2 and said.shape[1] == 2 else said.ravel()
    if len(said) != len(rows):
        raise ValueError(f"{len(said):,} answers to {len(rows):,} rows")
    return np.where(np.isfinite(said), said >= 0.5, np.nan)


# ---- the verdict


def judge(rows, candidate, champion, options):
    """Return the checks of a candidate, given what both have said of the rows."""
    answered = np.isfinite(candidate)
    seen = f"{answered.sum():,} of {len(rows):,} rows were answered."
    checks = [Check("answers every row", bool(answered.all()), seen)]
    if not answered.all():
        return checks
    truth = rows["gate.label"]
    lead = (candidate == truth).astype(float) - (champion == truth)
    about = f"Accuracy {(candidate == truth).mean():.3f} against {(champion == truth).mean():.3f}"
    checks.append(not_worse("overall", about, lead, rows["gate.day"], options.margin, options))
    for column in options.slice:
        checks += sliced(rows, column, lead, options)
    return checks


def sliced(rows, column, lead, options):
    """Yield a check for each slice of a column that has rows enough; the others are not judged."""
    for value, inside in rows.groupby(column).groups.items():
        days = rows.loc[inside, "gate.day"]
        if len(inside) >= MIN_SLICE_ROWS and days.nunique() >= MIN_DAYS:
            name = f"{column} {value}"
            yield not_worse(name, name, lead[inside], days, options.slice_margin, options)


def not_worse(name, about, lead, day, margin, options):
    """Check that the lower bound of the mean lead, by days, is above minus a margin of points.

    The error is at least what so many rows give by luck where just the margin is lost; otherwise
    rows on which the two never differ would look surer than many rows.
    """
    by_day = lead.groupby(day).agg(["sum", "size"])
    days = len(by_day)
    mean = lead.mean()
    residuals = by_day["sum"] - mean * by_day["size"]
    error = np.sqrt(days / (days - 1) * (residuals**2).sum()) / len(lead)
    error = max(error, np.sqrt(margin / 100 / len(lead)))
    low = 100 * (mean - t.ppf(options.confidence, days - 1) * error)
    seen = (
        f"{about}: {100 * mean:+.2f} points on {len(lead):,} rows, at least {low:+.2f} (one-sided "
        f"{options.confidence:.0%}, by {days} days); less than {margin:g} may be lost."
    )
    return Check(f"not worse: {name}", bool(low > -margin), seen)


def gate(options):
    """Judge, and return the exit status, the checks, and a sentence."""
    rows = read(options)
    number = version_named(options.model, options.candidate)
    rival = version_named(options.model, options.champion)
    if str(number) == str(rival):
        return PASSED, [], f"Version {number} is {options.champion} already; nothing would change."
    candidate, asked = load(options.model, number)
    champion, asked_by_rival = load(options.model, rival)
    columns = {*asked.input_names(), *asked_by_rival.input_names(), *options.slice}
    if lacking := sorted(columns - set(rows)):
        raise CouldNotJudge(f"The rows lack {', '.join(lacking)}.")
    try:
        theirs = answers(champion, asked_by_rival, rows)
    except Exception as error:  # a model may raise anything
        raise CouldNotJudge(f"The {options.champion} fails on these rows: {error}.") from error
    if not np.isfinite(theirs).all():
        raise CouldNotJudge(f"The {options.champion} leaves rows without an answer.")
    try:
        mine = answers(candidate, asked, rows)
    except Exception as error:
        failed = Check("answers every row", False, f"It fails: {type(error).__name__}: {error}.")
        return BLOCKED, [failed], f"Compared with version {rival}."
    checks = judge(rows, mine, theirs, options)
    status = PASSED if all(check.passed for check in checks) else BLOCKED
    return status, checks, f"Compared with version {rival}, which is {options.champion}."


# ---- the report


def report(options, status, checks, sentence):
    """Return the verdict in Markdown, for a job's summary."""
    heading = f"## Release gate: version {options.candidate} of {options.model} {WORDS[status]}"
    lines = [in_cell(heading), "", in_cell(sentence)]
    if checks:
        lines += ["", "| check | result | seen |", "|---|---|---|"]
    for name, passed, seen in checks:
        lines.append(f"| {in_cell(name)} | {'pass' if passed else '**FAIL**'} | {in_cell(seen)} |")
    return "\n".join([*lines, ""])


def in_cell(text):
    """Return a text that stays in its line and cell, and is no markup of its own."""
    plain = " ".join(str(text).split())[:500]
    for character, harmless in {"&": "&amp;", "<": "&lt;", "|": "\\|", "`": "'"}.items():
        plain = plain.replace(character, harmless)
    return plain


def options_of(arguments):
    """Return what the gate was called with."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", help="a CSV or Parquet file, or its address")
    parser.add_argument("--model", required=True, metavar="NAME", help="its name in the registry")
    parser.add_argument("--candidate", required=True, metavar="VERSION", help="number or alias")
    parser.add_argument("--champion", default="champion", metavar="VERSION", help="number or alias")
    parser.add_argument("--time", required=True, metavar="COLUMN", help="when it happened")
    parser.add_argument("--target", required=True, metavar="COLUMN", help="1, 0, or empty")
    slicing = "judge each of its values that has rows enough; may be given again"
    parser.add_argument("--slice", action="append", default=[], metavar="COLUMN", help=slicing)
    parser.add_argument("--margin", type=points, default=1.0, help="points that may be lost")
    parser.add_argument("--slice-margin", type=points, default=3.0, help="the same in a slice")
    parser.add_argument("--confidence", type=level, default=0.95, help="of each bound, one-sided")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the Markdown there")
    return parser.parse_args(arguments)


def points(text):
    """Return a margin in points."""
    if not 0 < float(text) < 100:
        raise argparse.ArgumentTypeError(f"{text} is no number of points between 0 and 100")
    return float(text)


def level(text):
    """Return the level of a bound."""
    if not 0.5 <= float(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no share from 0.5 to below 1")
    return float(text)


def main(arguments=None):
    """Judge, report, and return the exit status."""
    options = options_of(arguments)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    status = COULD_NOT_JUDGE
    checks = []
    try:
        status, checks, sentence = gate(options)
    except CouldNotJudge as error:
        sentence = str(error)
    except MlflowException as error:
        told = str(error).partition("\n")[0]
        sentence = f"The registry says: {told}"
    except Exception as error:
        traceback.print_exc()
        sentence = f"It crashed: {type(error).__name__}."
    text = report(options, status, checks, sentence)
    print(text)
    if options.report:
        try:
            options.report.write_text(text, encoding="utf-8")
        except OSError as error:
            print(f"The report could not be written: {error}.")
            return COULD_NOT_JUDGE
    return status


if __name__ == "__main__":
    sys.exit(main())
