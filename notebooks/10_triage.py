"""The morning round on a model in production: what is off, and what to do about it first.

    python 10_triage.py predictions.csv labels.csv requests.csv --model NAME [--day 2013-10-16]

It needs what any team has. Tables as CSV or Parquet: *predictions* (columns time, id, version,
probability, and the inputs, whatever they are), *labels* (id, label) and the service's *requests*
(time, status, ms). And MLflow's registry, found by MLFLOW_TRACKING_URI: who made which version the
champion, when, and why. It looks at one day, the newest without --day, beside the 14 days before.

What is off is printed with the most suspicious first, each with a first step. Exit status: 0 calm;
1 something is off; 3 could not tell, since a table or the registry is not to be had, or too little
is in them; 2 it was called wrongly. Nothing is changed anywhere.
"""

import argparse
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
import mlflow
from mlflow.exceptions import MlflowException

CALM = 0
OFF = 1
COULD_NOT_TELL = 3
DAYS_BEFORE = 14
MIN_DAYS = 5  # before, to know what is usual
MIN_ROWS = 100  # of a day
REFUSED = 0.01  # of the requests
SLOWER = 3.0  # times the usual milliseconds
SLOW_MS = 50  # below which nobody minds
CERTAIN = 0.002  # spread of the answers' probabilities, below which they are all one
JUMP = 0.10  # of the share called positive, beyond the range of the days before
EMPTY = 0.50  # more empty values in a column than on any day before
FEWER = 0.70  # of the usual rows
APART = 3.0  # a median's distance from those of the days before, in their ranges
LABELLED = 0.80  # of the answers of the days that should have labels
LABEL_DAYS = 2
WORSE = 0.05  # accuracy below the worst of the days before
NEW_DAYS = 7  # for which a version is new
FORCED = ("forced", "by hand", "override")
TOLD = ("reason", "who", "by")  # how the names of tags end that say who promoted, and why


@dataclass(frozen=True)
class Finding:
    """Something that is off: how suspicious, what was seen, and what to do first."""

    weight: int
    what: str
    first_step: str


class CouldNotTell(Exception):
    """There is too little to judge by; the message says what."""


# ---- what is looked at


def read(path, *columns):
    """Return a table that has some columns; its times are times."""
    try:
        table = pd.read_parquet(path) if Path(path).suffix == ".parquet" else pd.read_csv(path)
        if "time" in columns:
            table["time"] = pd.to_datetime(table["time"], utc=True).dt.tz_localize(None)
    except (OSError, ValueError, KeyError) as error:
        raise CouldNotTell(f"{path} cannot be read: {type(error).__name__}, {error}.") from error
    if missing := set(columns) - set(table):
        raise CouldNotTell(f"{path} has no column {', '.join(sorted(missing))}.")
    return table


def champion_of(model):
    """Return the champion's version, and what its tags say of who promoted it and why.

    MLflow notes no moment at which an alias moved; a version's first answer in the log tells it.
    """
    try:
        version = mlflow.MlflowClient().get_model_version_by_alias(model, "champion")
    except MlflowException as error:
        told = str(error).partition("\n")[0]
        raise CouldNotTell(f"The registry does not say who is champion: {told}") from error
    told = {name: text for name, text in version.tags.items() if name.endswith(TOLD)}
    return str(version.version), told


def by_day(table):
    """Return the day of each row."""
    return table["time"].dt.normalize()


# ---- what may be off


def from_requests(requests, day):
    """Yield refusals and slowness."""
    days = by_day(requests)
    today = requests[days == day]
    if today.empty:
        yield Finding(
            95, "No request reached the service.", "Is it up? Ask who calls it, then its host."
        )
        return
    refused = (today["status"] >= 400).mean()
    if refused > REFUSED:
        yield Finding(
            90,
            f"{refused:.0%} of {len(today)} requests were refused.",
            "Let the rule answer; read the reason in the service's log; ask who sends the field.",
        )
    usual = requests[days < day].groupby(days)["ms"].median()
    now = today.loc[today["status"] < 400, "ms"].median()
    if len(usual) >= MIN_DAYS and now > max(SLOWER * usual.median(), SLOW_MS):
        yield Finding(
            70,
            f"A request takes {now:.0f} ms, usually {usual.median():.0f}.",
            "Which version is it since? If a new one, roll back; else look at the host.",
        )


def from_registry(predictions, day, champion):
    """Yield a champion that nobody judged, one that is new, and one that does not answer."""
    version, told = champion
    versions = predictions["version"].astype(str)
    days = by_day(predictions)
    first = days[versions == version].min()
    since = f"which answers since {first:%d %B}" if first <= day else "which has not answered yet"
    note = "; ".join(told.values()) or "no tag says who promoted it, or why"
    if any(word in note.lower() for word in FORCED):
        yield Finding(
            89,
            f"Version {version}, {since}, went past the gate: {note}.",
            "Roll back first, then ask. A version that nobody judged has no claim to stay.",
        )
    elif first > day - pd.Timedelta(days=NEW_DAYS) and first > days.min():
        yield Finding(
            30,
            f"Version {version}, {since}, is new: {note}.",
            "If anything else is off since its first day, roll back.",
        )
    answering = versions[days == day]
    if version not in set(answering):
        yield Finding(
            60,
            f"The champion is version {version}; version {answering.mode()[0]} answers.",
            "The service does not follow the registry: look at its log, restart it.",
        )


def from_answers(predictions, day):
    """Yield answers that are all one, and a share of calls unlike that of the days before."""
    days = by_day(predictions)
    today = predictions[days == day]["probability"]
    if today.std() < CERTAIN:
        yield Finding(
            88,
            f"All {len(today):,} answers are {today.mean():.2f}.",
            "A model that knows one answer: roll back if the version is new, else look at inputs.",
        )
    shares = (predictions["probability"] >= 0.5).groupby(days).mean()
    now = shares[day]
    before = shares[shares.index < day]
    if now < before.min() - JUMP or now > before.max() + JUMP:
        yield Finding(
            50,
            f"{now:.0%} are called positive, {before.min():.0%} to {before.max():.0%} before.",
            "Compare with a simple rule: does it call as many? Then the day is like that; else "
            "look at the version, then at the inputs.",
        )
    elif now < 0.25 * before.min():
        yield Finding(
            55,
            f"{now:.1%} are called positive, never below {before.min():.1%} before.",
            "Is a unit wrong? Look at the inputs' largest values; then at the version.",
        )


def from_inputs(predictions, day):
    """Yield fewer rows, empty columns, names never seen, and numbers from elsewhere."""
    days = by_day(predictions)
    today = predictions[days == day]
    before = predictions[days < day]
    sizes = before.groupby(days).size()
    if len(today) < FEWER * sizes.median():
        yield Finding(
            40,
            f"{len(today):,} rows, usually {sizes.median():,.0f}.",
            "A holiday, a closed site, or a feed that lost some? Compare site by site.",
        )
    for name in predictions.columns.difference(["time", "id", "version", "probability"]):
        yield from from_column(name, today[name], before[name], days)


def from_column(name, now, before, days):
    """Yield what is off in one input."""
    empty = now.isna().mean() - before.isna().groupby(days).mean().max()
    if empty > EMPTY:
        yield Finding(
            65, f"{name} is {now.isna().mean():.0%} empty.", "Ask who delivers it, today."
        )
    elif pd.api.types.is_numeric_dtype(before):
        for quantile in (0.1, 0.5, 0.9):
            middles = before.groupby(days).quantile(quantile)
            spread = middles.max() - middles.min()
            newest = now.quantile(quantile)
            off = max(newest - middles.max(), middles.min() - newest)
            if spread > 0 and off > APART * spread:
                yield Finding(
                    75,
                    f"{name}: its {quantile:.0%} point is {newest:.3g}, "
                    f"{middles.min():.3g} to {middles.max():.3g} before.",
                    "A unit or a meaning has changed: ask who delivers it. Do not retrain on it.",
                )
                return
    elif (strange := 1 - now.astype(str).isin(set(before.astype(str))).mean()) > 0.05:
        yield Finding(
            20,
            f"{name}: {strange:.0%} of the rows have a name never seen before.",
            "A merger, a new site? The model treats it as unknown; look whether it minds.",
        )


def from_labels(predictions, labels, day):
    """Yield labels that stay away, and accuracy that has fallen."""
    known = predictions.merge(labels[["id", "label"]], how="left", on="id", validate="one_to_one")
    days = by_day(known)
    due = known[days < day - pd.Timedelta(days=LABEL_DAYS - 1)]
    right = ((due["probability"] >= 0.5) == (due["label"] == 1)).where(due["label"].notna())
    share = due["label"].notna().groupby(days).mean()
    accuracy = right.astype("float64").groupby(days).mean()
    if share.iloc[-1] < LABELLED:
        yield Finding(
            45,
            f"{share.iloc[-1]:.0%} of the answers of {share.index[-1]:%d %B} have a label.",
            "Until labels come nobody knows the accuracy: ask who delivers them.",
        )
    elif len(accuracy) > MIN_DAYS and accuracy.iloc[-1] < accuracy.iloc[:-1].min() - WORSE:
        yield Finding(
            80,
            f"{accuracy.iloc[-1]:.0%} of {accuracy.index[-1]:%d %B} were right, "
            f"{accuracy.iloc[:-1].min():.0%} at least before.",
            "What moved first: version, inputs, or neither? If neither, has a simple rule fallen "
            "too? Then the day was hard.",
        )


# ---- the round


def round_of(predictions, labels, requests, champion, day):
    """Return what is off, the most suspicious first."""
    days = by_day(predictions)
    window = (days <= day) & (days >= day - pd.Timedelta(days=DAYS_BEFORE))
    seen = predictions[window]
    rows = (days == day).sum()
    before = seen[by_day(seen) < day]["time"].dt.normalize().nunique()
    if before < MIN_DAYS:
        raise CouldNotTell(f"{before} days before {day:%d %B}; it takes {MIN_DAYS}.")
    found = list(from_requests(requests[requests["time"] < day + pd.Timedelta(days=1)], day))
    if rows < MIN_ROWS and not found:
        raise CouldNotTell(f"{rows} answers on {day:%d %B}; it takes {MIN_ROWS}.")
    if rows >= MIN_ROWS:
        found += from_registry(seen, day, champion)
        found += from_answers(seen, day)
        found += from_inputs(seen, day)
        found += from_labels(seen, labels, day)
    return sorted(found, key=lambda one: -one.weight)


def options_of(arguments):
    """Return what it was called with."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    columns = "CSV or Parquet: time, id, version, probability, inputs"
    parser.add_argument("predictions", help=columns)
    parser.add_argument("labels", help="CSV or Parquet: id, label")
    parser.add_argument("requests", help="CSV or Parquet: time, status, ms")
    parser.add_argument("--model", required=True, metavar="NAME", help="its name in the registry")
    parser.add_argument("--day", metavar="DATE", help="the day to look at; without it, the newest")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Make the round, say what is off, and return the exit status."""
    options = options_of(arguments)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    try:
        predictions = read(options.predictions, "time", "id", "version", "probability")
        labels = read(options.labels, "id", "label")
        requests = read(options.requests, "time", "status", "ms")
        newest = pd.concat([predictions["time"], requests["time"]]).max()
        day = pd.Timestamp(options.day or newest)
        if pd.isna(day):
            raise CouldNotTell("There is no row that has a time.")
        day = day.normalize()
        found = round_of(predictions, labels, requests, champion_of(options.model), day)
    except (CouldNotTell, MlflowException, ValueError, TypeError, KeyError) as error:
        print(f"could not tell: {error}")
        return COULD_NOT_TELL
    told = {0: "calm", 1: "1 thing is off"}.get(len(found), f"{len(found)} things are off")
    print(f"{day:%A, %d %B}: {told}")
    for number, one in enumerate(found, start=1):
        print(f"{number}. {one.what}\n   First: {one.first_step}")
    return OFF if found else CALM


if __name__ == "__main__":
    sys.exit(main())
