"""Train a classifier, and keep a record by which it can be found, checked and made again.

    python 02_track.py flights.parquet --time date --target late

It reads a table with a time, a label of 0 or 1, and features: numbers or words. The newest days
are held back and judge the model. The record goes to where MLFLOW_TRACKING_URI says, or into the
file mlflow.db beside you; look at it with `mlflow ui`. At the end the model is loaded from the
record and must answer as the one that was trained.

It needs mlflow, pandas, scikit-learn, skops and matplotlib, and git for the commit.
"""

import argparse
import hashlib
import os
import platform
import subprocess
from importlib.metadata import version

import mlflow
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

PACKAGES = ("scikit-learn", "numpy", "scipy", "pandas", "skops")
# The one type of such a model that skops does not know; allow it in files that you wrote yourself.
TRUSTED = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]
STEP = 10  # trees from one point of the curve to the next
UNKNOWN = "unknown"


def main(arguments=None):
    """Train, record, load back and compare; the exit status is 0 if the answers are the same."""
    options = read_options(arguments)
    learn, later = split(read(options.table, options.time), options)
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db"))
    mlflow.set_experiment(options.experiment)
    model = fit(learn, options)
    run_id, model_uri = record(model, learn, later, options)
    return report(run_id, model_uri, model, features_of(later, options))


def record(model, learn, later, options):
    """Log one training as a run; return its id and the address of its model."""
    digest = digest_of(learn)
    source = CodeDatasetSource({"file": options.table})
    dataset = mlflow.data.from_pandas(learn, source=source, name=options.table, digest=digest)
    curve = losses(model, later, options)
    said = model.predict(features_of(later, options))
    name = f"rate {options.rate}, trees {options.trees}"
    with mlflow.start_run(run_name=name, tags=origin(), description=options.note) as run:
        mlflow.set_tag("dataset_version", digest)
        mlflow.log_params({"learning_rate": options.rate, "max_iter": options.trees})
        mlflow.log_params({"seed": options.seed, "rows": len(learn), "days": options.days})
        mlflow.log_params({"time": options.time, "target": options.target})
        mlflow.log_input(dataset, context="training")
        for trees, loss in curve.items():
            mlflow.log_metric("log_loss", loss, step=trees)
        mlflow.log_metric("accuracy", accuracy_score(later[options.target], said))
        mlflow.log_figure(drawn(curve), "log_loss.png")
        logged = log_model(model, features_of(learn, options).head(3))
    return run.info.run_id, logged.model_uri


def read_options(arguments):
    """Return what stands on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", help="a CSV or Parquet file")
    parser.add_argument("--time", required=True, help="the column with the day of a row")
    parser.add_argument("--target", required=True, help="the column with 0 or 1")
    parser.add_argument("--days", type=int, default=28, help="newest days that judge the model")
    parser.add_argument("--rate", type=float, default=0.1, help="learning rate")
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--experiment", default="late-flights", help="the question, in two words")
    parser.add_argument("--note", default="", help="why this run was made, a sentence")
    return parser.parse_args(arguments)


# ---- where the model comes from


def digest_of(table):
    """Return 12 hexadecimal digits over column names, values and the order of rows."""
    digest = hashlib.sha256("\n".join(table.columns).encode())
    digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:12]


def git(*words):
    """Return what git prints, or None outside a repository and without git."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def origin():
    """Return tags for code and environment: the commit, whether files differ from it, versions."""
    commit = git("rev-parse", "HEAD")
    changed = git("status", "--porcelain")
    dirty = UNKNOWN if commit is None else "yes" if changed else "no"
    versions = {f"environment.{name}": version(name) for name in PACKAGES}
    return {
        "mlflow.source.git.commit": commit or UNKNOWN,
        "git.dirty": dirty,
        "environment.python": platform.python_version(),
        **versions,
    }


# ---- rows and model


def read(path, time):
    """Return the table of a CSV or Parquet file, its time as a day."""
    rows = pd.read_parquet(path) if path.endswith(".parquet") else pd.read_csv(path)
    return rows.assign(**{time: pd.to_datetime(rows[time]).dt.normalize()})


def split(rows, options):
    """Return the labelled rows before the newest days, and those of the newest days."""
    known = rows[rows[options.target].notna()]
    cut = known[options.time].max() - pd.Timedelta(days=options.days)
    return known[known[options.time] <= cut], known[known[options.time] > cut]


def features_of(rows, options):
    """Return the columns that the model sees; numbers as floats, since any may be missing."""
    table = rows.drop(columns=[options.time, options.target])
    numbers = table.select_dtypes("number").columns
    table[numbers] = table[numbers].astype(float)
    words = table.columns.difference(numbers)
    table[words] = table[words].astype(object)
    return table


def fit(rows, options):
    """Return a pipeline that carries its own vocabulary: callers send words, not codes."""
    table = features_of(rows, options)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    words = list(table.select_dtypes(object).columns)
    trees = HistGradientBoostingClassifier(
        learning_rate=options.rate,
        max_iter=options.trees,
        random_state=options.seed,
        early_stopping=False,
    )
    encoded = make_column_transformer((encoder, words), remainder="passthrough")
    return make_pipeline(encoded, trees).fit(table, rows[options.target].astype(int))


def losses(model, rows, options):
    """Return the log loss on rows after every few trees and the last: number of trees to loss."""
    matrix = model[0].transform(features_of(rows, options))
    stages = enumerate(model[-1].staged_predict_proba(matrix), start=1)
    wanted = {n: chances for n, chances in stages if n % STEP == 0 or n == options.trees}
    return {trees: log_loss(rows[options.target], chances) for trees, chances in wanted.items()}


def drawn(curve):
    """Return the curve as a figure."""
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    axes.plot(list(curve), list(curve.values()), "o-")
    axes.set(xlabel="trees", ylabel="log loss on later days")
    best = min(curve, key=curve.get)
    axes.set_title(f"Lowest after {best} trees")
    return figure


# ---- the model in the record, and out of it again


def vocabulary_of(model):
    """Return the words that the model knows, for each column that has words."""
    _, encoder, columns = model[0].transformers_[0]
    if not columns:
        return {}
    return {name: list(words) for name, words in zip(columns, encoder.categories_, strict=True)}


def log_model(model, example):
    """Keep the model with its types, an example, the versions that it needs and its vocabulary."""
    return mlflow.sklearn.log_model(
        model,
        name="model",
        signature=infer_signature(example, model.predict_proba(example)),
        input_example=example,
        pip_requirements=[f"{name}=={version(name)}" for name in PACKAGES],
        metadata={"vocabulary": vocabulary_of(model)},
        pyfunc_predict_fn="predict_proba",
        serialization_format="skops",
        skops_trusted_types=TRUSTED,
    )


def report(run_id, uri, model, rows):
    """Print what the record holds, and compare the model from the record with the trained one."""
    run = mlflow.get_run(run_id)
    history = mlflow.MlflowClient().get_metric_history(run_id, "log_loss")
    again = mlflow.pyfunc.load_model(uri)
    same = np.array_equal(again.predict(rows), model.predict_proba(rows))
    print("run:", run.info.run_name)
    print("parameters:", ", ".join(sorted(run.data.params)))
    print("uncommitted changes:", run.data.tags["git.dirty"])
    print("dataset version:", run.data.tags["dataset_version"])
    print(f"log loss: {history[-1].value:.4f}, {len(history)} steps")
    print(f"loaded from the record, {len(rows):,} answers, the same: {'yes' if same else 'NO'}")
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
