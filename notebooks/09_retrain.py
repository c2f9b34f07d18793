"""Retrain a classifier, and promote it if it surely gains: a job for cron or any orchestrator.

    python 09_retrain.py flights.parquet --time date --target late --model delays

It reads rows that carry labels, trains a candidate on the weeks before the newest one, and lets
candidate and champion answer the newest, which neither has seen. The alias ``champion`` of MLflow's
registry moves if the candidate gains by more than the luck of days.

Exit status
    0   kept: the champion stays
    10  promoted: the candidate of these rows is champion
    2   called wrongly
    3   could not judge: labels are too few, late or damaged, or another job is at work. Nothing
        has changed; call it again when that is mended
Any other status is a crash. Nothing but 10 means that the champion has moved.

It may be called again at any time. Rows that were judged before, with the same settings, are not
judged again: it says what came of them, and 10 only while their candidate is champion. Of two jobs
at once one waits for the other. A job that was killed is taken up where it stopped, once its lease
has run out.

It needs mlflow, pandas and scikit-learn. The store is where MLFLOW_TRACKING_URI says.
"""

import argparse
import hashlib
import json
import logging
import os
import sqlite3
import sys
import time
from contextlib import closing, contextmanager, suppress
from uuid import uuid4

import mlflow
import numpy as np
import pandas as pd
import sklearn
from mlflow.exceptions import MlflowException
from scipy.stats import t
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

KEPT = 0
PROMOTED = 10
COULD_NOT_JUDGE = 3
CHAMPION = "champion"
EXAM_DAYS = 7
MIN_EXAM_DAYS = 5
MIN_LABELLED_SHARE = 0.95
CONFIDENCE = 0.95
FORM = 1  # of what the job does; another number judges the same rows anew
# The one type of such a model that skops does not take from anybody; this job wrote it itself.
TRUSTED = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]


class CouldNotJudge(Exception):
    """A sentence that says what is missing; nothing has changed."""


# ---- the rows, and whether they can be trusted


def read(path, time_column, target):
    """Return the rows of a CSV or Parquet file in order of time."""
    try:
        rows = pd.read_parquet(path) if path.endswith(".parquet") else pd.read_csv(path)
        rows[time_column] = pd.to_datetime(rows[time_column])
        rows[target] = pd.to_numeric(rows[target])
    except (OSError, KeyError, ValueError) as error:
        raise CouldNotJudge(f"{path} cannot be read: {type(error).__name__}: {error}.") from error
    return rows.sort_values(time_column, kind="stable", ignore_index=True)


def parts(rows, options):
    """Return the labelled rows to learn from, and those of the newest days to be judged on."""
    if rows.empty:
        raise CouldNotJudge(f"{options.data} has no rows.")
    day = rows[options.time].dt.normalize()
    last = day.max() - pd.Timedelta(days=options.label_days)
    exam_from = last - pd.Timedelta(days=EXAM_DAYS - 1)
    learn_from = exam_from - pd.Timedelta(weeks=options.weeks)
    exam = rows[day.between(exam_from, last)]
    learn = rows[(day >= learn_from) & (day < exam_from)]
    check_labels(learn, exam, options)
    return (part[part[options.target].notna()] for part in (learn, exam))


def check_labels(learn, exam, options):
    """Refuse labels that are none, late, too few, or unlike those of every day before."""
    for name, part, least in (("train on", learn, options.min_rows), ("judge on", exam, 1_000)):
        label = part[options.target]
        if not label.dropna().isin([0, 1]).all():
            raise CouldNotJudge(f"A label to {name} is neither 0 nor 1: have the labels repaired.")
        if label.notna().sum() < least or label.nunique() < 2:
            raise CouldNotJudge(
                f"There are {label.notna().sum():,} labels to {name}, of {label.nunique()} kinds; "
                f"it takes {least:,} of both kinds."
            )
    share = exam[options.target].notna().mean()
    if share < MIN_LABELLED_SHARE:
        raise CouldNotJudge(
            f"{share:.0%} of the newest {EXAM_DAYS} days have a label: those that come first are "
            f"no fair sample. Call again later, or with --label-days."
        )
    before = learn.groupby(learn[options.time].dt.normalize())[options.target].mean()
    newest = exam.groupby(exam[options.time].dt.normalize())[options.target].mean().median()
    if not before.min() <= newest <= before.max():
        raise CouldNotJudge(
            f"Of the newest labels {newest:.0%} are 1 on the middle day; none of the {len(before)} "
            f"days before had such a share. Have the labels looked at."
        )


# ---- candidate and champion


def features_of(rows, options):
    """Return the columns to learn from: all but time, label and what is to be left out."""
    return [name for name in rows if name not in {options.time, options.target, *options.ignore}]


def fit(rows, options):
    """Return a model of the rows, the same for the same rows."""
    features = rows[features_of(rows, options)]
    words = [name for name in features if not pd.api.types.is_numeric_dtype(features[name])]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    model = make_pipeline(
        make_column_transformer((encoder, words), remainder="passthrough"),
        HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=0),
    )
    return model.fit(features, rows[options.target] == 1)


def answers(model, rows, which):
    """Return what a model says of rows, 0 or 1 for each."""
    try:
        said = model.predict(rows[model.feature_names_in_])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CouldNotJudge(f"The {which} cannot answer these rows: {error}.") from error
    if not np.isin(said, [0, 1]).all():
        raise CouldNotJudge(f"The {which} says {said[0]!r} of a row; its answers are to be 0 or 1.")
    return said


def judge(exam, candidate, champion, options):
    """Return whether the candidate surely gains on the exam, and what was seen.

    The difference is paired, and its bound counts days: rows of a day share its luck. Without a
    champion the rival is the answer that was right more often.
    """
    truth = exam[options.target] == 1
    mine = answers(candidate, exam, "candidate") == truth
    if champion is None:
        theirs = truth if truth.mean() > 0.5 else ~truth
    else:
        theirs = answers(champion, exam, "champion") == truth
    by_day = pd.DataFrame({"lead": mine.astype(float) - theirs, "rows": 1.0})
    by_day = by_day.groupby(exam[options.time].dt.normalize()).sum()
    lead = by_day["lead"].sum() / by_day["rows"].sum()
    residuals = by_day["lead"] - lead * by_day["rows"]
    days = len(by_day)
    if days < MIN_EXAM_DAYS:
        raise CouldNotJudge(f"{days} days have rows to judge on; it takes {MIN_EXAM_DAYS}.")
    error = np.sqrt(days / (days - 1) * (residuals**2).sum()) / by_day["rows"].sum()
    low = lead - t.ppf(CONFIDENCE, days - 1) * error
    return {
        "passed": bool(low > 0),
        "candidate": float(mine.mean()),
        "rival": float(theirs.mean()),
        "lead_at_least": float(low),
        "days": days,
        "rows": len(exam),
    }


def check_newer(client, exam, champion, options):
    """Refuse rows to judge on that the champion has learned from."""
    learned = client.get_run(champion.run_id).data.params if champion else {}
    first = f"{exam[options.time].min():%Y-%m-%d}"
    if first <= learned.get("last", ""):
        raise CouldNotJudge(
            f"The champion has learned from days up to {learned['last']}, and these rows are to be "
            f"judged from {first} on. It takes newer ones."
        )


# ---- the store


def opened(wait):
    """Open the store, one job at a time: MLflow makes the tables of a new one without a lock."""
    uri = mlflow.get_tracking_uri()
    if not uri.startswith("sqlite:///"):
        return mlflow.MlflowClient()
    lock = sqlite3.connect(f"{uri.removeprefix('sqlite:///')}.opening", wait, isolation_level=None)
    with closing(lock):
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            raise CouldNotJudge(f"The store cannot be opened: {error}.") from error
        client = mlflow.MlflowClient()
        client.search_registered_models(max_results=1)
        return client


@contextmanager
def alone(client, name, lease, wait):
    """Let one job at a time into the block, on whatever machine; give a check that it still is.

    A registry lets only one of two create a name. So the lock is a name with a number: whoever
    creates the next has it, until it is given back or its lease has run out. A job that slept
    through its lease finds a higher number, and must not move anything.
    """
    deadline = time.time() + wait
    while True:
        number, until = newest_lock(client, name)
        if until < time.time() and has_created(client, lock_name(name, number + 1), lease):
            number += 1
            break
        if time.time() >= deadline:
            raise CouldNotJudge(
                f"Another job holds the lock of {name}, for {max(until - time.time(), 0):.0f} "
                f"seconds more at most, also if it was killed. Call again later."
            )
        time.sleep(0.5)

    def check():
        if newest_lock(client, name)[0] != number:
            raise CouldNotJudge("This job took longer than its lease, and another has taken over.")

    with suppress(MlflowException):
        client.delete_registered_model(lock_name(name, number - 1))
    try:
        yield check
    finally:
        with suppress(MlflowException):
            client.set_registered_model_tag(lock_name(name, number), "until", "0")


def lock_name(name, number):
    """Return the name that whoever holds the lock for the so manyth time has created."""
    return f"{name}.retraining-lock.{number:06d}"


def newest_lock(client, name):
    """Return the number of the newest lock, and when it ends; 0 and 0 if there was none."""
    found = client.search_registered_models(f"name LIKE '{name}.retraining-lock.%'")
    found = [lock for lock in found if lock.name.startswith(f"{name}.")]  # LIKE takes _ for any
    newest = max(found, key=lambda lock: lock.name, default=None)
    if newest is None:
        return 0, 0.0
    return int(newest.name.rpartition(".")[2]), float(newest.tags.get("until", 0))


def has_created(client, name, lease):
    """Create a name that ends after some seconds; False if another was faster."""
    try:
        tags = {"until": str(time.time() + lease), "holder": f"{os.getpid()} {uuid4().hex}"}
        client.create_registered_model(name, tags, "Held by a retraining job.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return False
    return True


def key_of(learn, exam, options):
    """Return what names this piece of work: the rows, and all settings that shape the answer."""
    digest = hashlib.sha256()
    for part in (learn, exam):
        digest.update(pd.util.hash_pandas_object(part, index=False).to_numpy().tobytes())
    settings = [FORM, list(learn), options.time, options.target, sorted(options.ignore)]
    digest.update(json.dumps([*settings, options.weeks, options.label_days]).encode())
    return digest.hexdigest()[:16]


def trained(client, experiment, key, learn, options):
    """Return the run of the candidate, trained now or by a job that was killed later on."""
    named = f"tags.`job.key` = '{key}'"
    for run in client.search_runs([experiment], named, order_by=["attributes.start_time DESC"]):
        if run.data.tags.get("job.model"):
            return run
        if run.info.status == "RUNNING":  # whoever began it is gone: this job has the lock
            client.set_terminated(run.info.run_id, "KILLED")
    first, last = (f"{moment:%Y-%m-%d}" for moment in learn[options.time].agg(["min", "max"]))
    with mlflow.start_run(experiment_id=experiment, tags={"job.key": key}) as run:
        mlflow.log_params({"rows": len(learn), "first": first, "last": last, "data": options.data})
        try:
            model = fit(learn, options)
        except (TypeError, ValueError) as error:
            raise CouldNotJudge(f"The training failed: {error}.") from error
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
            serialization_format="skops",
            skops_trusted_types=TRUSTED,
        )
        mlflow.set_tag("job.model", logged.model_uri)
    return client.get_run(run.info.run_id)


def registered(client, name, run):
    """Return the number of the candidate's version, made now or by a job that was killed later."""
    if found := client.search_model_versions(f"run_id = '{run.info.run_id}' and name = '{name}'"):
        return found[0].version
    with suppress(MlflowException):  # it is there already
        client.create_registered_model(name)
    made = client.create_model_version(name, run.data.tags["job.model"], run.info.run_id)
    return made.version


def champion_of(client, name):
    """Return the champion's version, or None."""
    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


# ---- the job


def work(client, learn, exam, options):
    """Train, judge and promote, or take up what a killed job has left; return status and why."""
    key = key_of(learn, exam, options)
    with alone(client, options.model, options.lease, options.wait) as still_alone:
        experiment = mlflow.set_experiment(options.model).experiment_id
        run = trained(client, experiment, key, learn, options)
        if outcome := run.data.tags.get("job.outcome"):
            status, why = json.loads(outcome)
            return still_true(status, why, run, champion_of(client, options.model))
        champion = champion_of(client, options.model)
        mine = champion is not None and champion.run_id == run.info.run_id
        if mine:  # a job was killed after it had moved the alias
            status = PROMOTED
            why = f"Version {champion.version} is champion."
        else:
            status, why = decided(client, run, exam, champion, still_alone, options)
        client.set_tag(run.info.run_id, "job.outcome", json.dumps([status, why]))
        return status, why


def still_true(status, why, run, champion):
    """Return what to answer for rows that were judged before."""
    before = f"{why} These rows were judged before; "
    if status == PROMOTED and (champion is None or champion.run_id != run.info.run_id):
        now = f"version {champion.version}" if champion else "nobody"
        return KEPT, f"{before}by now {now} is champion."
    return status, f"{before}nothing was done again."


def decided(client, run, exam, champion, still_alone, options):
    """Judge the candidate against the champion, and move the alias if it surely gains."""
    check_newer(client, exam, champion, options)
    candidate = mlflow.sklearn.load_model(run.data.tags["job.model"])
    uri = f"models:/{options.model}/{champion.version}" if champion else None
    verdict = judge(exam, candidate, uri and mlflow.sklearn.load_model(uri), options)
    rival = f"version {champion.version}" if champion else "the commonest answer"
    seen = (
        f"Accuracy {verdict['candidate']:.3f} against {verdict['rival']:.3f} of {rival} on "
        f"{verdict['rows']:,} rows: {100 * verdict['lead_at_least']:+.2f} points at least "
        f"(one-sided {CONFIDENCE:.0%}, by {verdict['days']} days)."
    )
    client.log_dict(run.info.run_id, {**verdict, "rival_is": rival}, "verdict.json")
    if not verdict["passed"]:
        return KEPT, f"{seen} The champion stays."
    number = registered(client, options.model, run)
    client.set_model_version_tag(options.model, number, "promotion.reason", seen)
    still_alone()
    now = champion_of(client, options.model)
    if (now and now.version) != (champion and champion.version):
        raise CouldNotJudge("Somebody has moved the champion meanwhile. Call again.")
    client.set_registered_model_alias(options.model, CHAMPION, number)
    return PROMOTED, f"{seen} Version {number} is champion."


def options_of(arguments):
    """Return what the job was called with."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", help="a CSV or Parquet file, one row for each thing to predict")
    parser.add_argument("--time", required=True, metavar="COLUMN", help="when it happened")
    parser.add_argument("--target", required=True, metavar="COLUMN", help="1, 0, or empty")
    parser.add_argument("--model", required=True, metavar="NAME", help="its name in the registry")
    parser.add_argument("--ignore", nargs="*", default=[], metavar="COLUMN", help="not to be used")
    parser.add_argument("--weeks", type=int, default=13, help="weeks to train on")
    parser.add_argument("--label-days", type=int, default=0, help="newest days to leave out")
    parser.add_argument("--min-rows", type=int, default=5_000, help="labels to train on, at least")
    parser.add_argument("--wait", type=float, default=60, help="seconds to wait for another job")
    parser.add_argument("--lease", type=float, default=900, help="seconds that a job may take")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Do the job, say what came of it, and return the exit status."""
    options = options_of(arguments)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    words = {KEPT: "kept", PROMOTED: "promoted", COULD_NOT_JUDGE: "could not judge"}
    try:
        learn, exam = parts(read(options.data, options.time, options.target), options)
        status, why = work(opened(options.wait), learn, exam, options)
    except CouldNotJudge as error:
        status = COULD_NOT_JUDGE
        why = str(error)
    except MlflowException as error:
        told = str(error).partition("\n")[0]
        status = COULD_NOT_JUDGE
        why = f"The store failed: {told} Call again when it is mended."
    print(f"{words[status]}: {why}")
    return status


if __name__ == "__main__":
    sys.exit(main())
