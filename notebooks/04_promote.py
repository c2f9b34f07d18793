r"""Promote a registered model with a reason and evidence, and roll back: plain Python and MLflow.

    python 04_promote.py promote delays 2 --exam exam.csv --time date --target late \
        --slices airport --reason "trained on a month more" --who "release team"
    python 04_promote.py rollback delays --reason "the week's accuracy fell" --who "on call"
    python 04_promote.py log delays

`promote` lets the version and the champion answer the same labelled rows, which *you* choose. What
came of it is kept in the version's training run as gate.json, together with the SHA-256 of the
exam's file. If nothing serious is lost, the version's tags say why, who and on which exam, a model
card is kept beside the evidence (model_card.md), and the alias ``champion`` moves.

`rollback` points ``champion`` at the version before, if that one's promotion still stands.

Exit status
    0   done
    1   refused: nothing has moved
    2   called wrongly
    3   could not judge: too few rows or days, missing columns, no such version. Nothing has moved

It needs mlflow, pandas, scikit-learn and scipy. The store is where MLFLOW_TRACKING_URI says; a
version must come from a run. Licence and limits on the card are tags of the registered model:
``client.set_registered_model_tag("delays", "limits", "Not for winter.")``.
"""

import argparse
import hashlib
import json
import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from scipy.stats import t

DONE = 0
REFUSED = 1
COULD_NOT_JUDGE = 3
EVIDENCE = "gate.json"
CARD = "model_card.md"
OURS = ("validation_status", "promotion.", "rollback.")
CONFIDENCE = 0.95  # one-sided, by day, for one look
MARGIN = 0.01  # of accuracy that may be lost overall
SLICE_MARGIN = 0.03  # and in a slice
MIN_ROWS = 800  # to judge on, overall and in a slice
MIN_DAYS = 5


class CouldNotJudge(Exception):
    """A sentence that says what is missing."""


# ---- the two moves; each writes its tags first, so that no alias moves without a reason


def promote(client, name, version, reason, who):
    """Point `champion` at a version whose evidence passed, and write down why."""
    chosen = client.get_model_version(name, version)
    evidence = mlflow.artifacts.load_dict(f"runs:/{chosen.run_id}/gate.json")
    failed = [check["seen"] for check in evidence["checks"] if not check["passed"]]
    before = client.get_registered_model(name).aliases.get("champion", "")
    if failed or not reason.strip() or str(before) == str(version):
        raise ValueError(f"Refused. Failed: {failed}; reason: {reason!r}; champion: {before!r}.")
    tags = {"validation_status": "passed", "promotion.reason": reason, "promotion.who": who}
    tags |= {"promotion.exam": evidence["exam"], "promotion.over": before}
    for tag, text in tags.items():
        client.set_model_version_tag(name, version, tag, text)
    client.set_registered_model_alias(name, "champion", version)


def roll_back(client, name, reason, who):
    """Point `champion` at the version before, if its promotion stands, and write down why."""
    left = client.get_model_version_by_alias(name, "champion")
    before = left.tags.get("promotion.over", "")
    earlier = client.get_model_version(name, before).tags if before else {}
    status = earlier.get("validation_status", "unknown")
    if status != "passed" or not reason.strip():
        raise ValueError(f"Refused. Reason: {reason!r}; version before: {before!r}, {status}.")
    tags = {"validation_status": "rolled back", "rollback.reason": reason, "rollback.who": who}
    for tag, text in tags.items():
        client.set_model_version_tag(name, left.version, tag, text)
    client.set_registered_model_alias(name, "champion", before)


# ---- evidence: both versions on the same labelled rows


def judge(client, name, version, options):
    """Let a version and the champion answer the exam, and keep the verdict in the version's run."""
    rows, days = read(options)
    truth = rows[options.target] == 1
    champion = client.get_registered_model(name).aliases.get("champion")
    mine = answers(name, version, rows) == truth
    if champion is None:
        rival = "the commonest answer"
        theirs = truth if truth.mean() > 0.5 else ~truth
    else:
        rival = f"version {champion}"
        theirs = answers(name, champion, rows) == truth
    lead = mine.astype(float) - theirs.astype(float)
    accuracies = f"Accuracy {mine.mean():.3f} against {theirs.mean():.3f} of {rival}"
    checks = [check("overall", accuracies, lead, days, MARGIN)]
    unjudged = []
    for column in options.slices:
        for value, part in rows.groupby(column, observed=True):
            if enough(days[part.index]):
                about = f"Accuracy {mine[part.index].mean():.3f}"
                where = (lead[part.index], days[part.index])
                checks.append(check(f"{column} {value}", about, *where, SLICE_MARGIN))
            else:
                unjudged.append(f"{column} {value}, {len(part)} rows")
    exam = hashlib.sha256(Path(options.exam).read_bytes()).hexdigest()[:12]
    verdict = {"subject": f"{name} {version}", "rival": rival, "exam": exam, "checks": checks}
    verdict["too small to judge"] = unjudged
    client.log_dict(client.get_model_version(name, version).run_id, verdict, EVIDENCE)
    return verdict


def check(name, about, lead, days, margin):
    """Return whether surely less than a margin is lost: rows of a day share its luck."""
    by_day = pd.DataFrame({"lead": lead, "rows": 1.0}).groupby(days).sum()
    mean = by_day["lead"].sum() / by_day["rows"].sum()
    residuals = by_day["lead"] - mean * by_day["rows"]
    count = len(by_day)
    error = np.sqrt(count / (count - 1) * (residuals**2).sum()) / by_day["rows"].sum()
    low = mean - t.ppf(CONFIDENCE, count - 1) * error
    seen = (
        f"{about}: {100 * mean:+.2f} points, at least {100 * low:+.2f} (one-sided "
        f"{CONFIDENCE:.0%}, by {count} days); at most {100 * margin:g} may be lost."
    )
    return {"name": name, "passed": bool(low > -margin), "seen": seen}


def enough(days):
    """Return whether there are rows and days enough to judge on."""
    return len(days) >= MIN_ROWS and days.nunique() >= MIN_DAYS


def answers(name, version, rows):
    """Return what a version says of rows, 0 or 1 for each."""
    uri = f"models:/{name}/{version}"
    model = mlflow.sklearn.load_model(uri)
    signature = mlflow.models.get_model_info(uri).signature
    names = signature.inputs.input_names() if signature else list(model.feature_names_in_)
    if missing := sorted(set(names) - set(rows)):
        raise CouldNotJudge(f"Version {version} asks for {', '.join(missing)}: no such columns.")
    columns = rows[names]
    if not hasattr(model, "feature_names_in_"):
        columns = columns.to_numpy()  # it was trained on an array without names
    try:
        said = model.predict(columns)
    except (TypeError, ValueError) as error:
        raise CouldNotJudge(f"Version {version} cannot answer these rows: {error}") from error
    if not np.isin(said, [0, 1]).all():
        raise CouldNotJudge(f"Version {version} says {said[0]!r} of a row, where 0 or 1 is due.")
    return said


def read(options):
    """Return the labelled rows of the exam's file, and the day of each."""
    path = options.exam
    try:
        rows = pd.read_parquet(path) if path.endswith(".parquet") else pd.read_csv(path)
        rows = rows[rows[options.target].notna()].reset_index(drop=True)
        days = pd.to_datetime(rows[options.time]).dt.normalize()
    except KeyError as error:
        raise CouldNotJudge(f"{path} has no column {error}.") from error
    except (OSError, ValueError) as error:
        raise CouldNotJudge(f"{path} cannot be read: {error}") from error
    if missing := sorted(set(options.slices) - set(rows)):
        raise CouldNotJudge(f"{path} has no column {', '.join(missing)}.")
    if not rows[options.target].isin([0, 1]).all():
        raise CouldNotJudge(f"Some labels in {options.target} are neither 0 nor 1.")
    if not enough(days):
        raise CouldNotJudge(
            f"{path} has {len(days)} labelled rows of {days.nunique()} days; it takes "
            f"{MIN_ROWS} and {MIN_DAYS}."
        )
    return rows, days


# ---- the model card


def card(client, name, version):
    """Return a version's model card in Markdown, written from what the registry holds of it."""
    kept = client.get_model_version(name, version)
    about = client.get_registered_model(name)
    run = client.get_run(kept.run_id)
    evidence = mlflow.artifacts.load_dict(f"runs:/{kept.run_id}/{EVIDENCE}")
    named = [entry.dataset for entry in run.inputs.dataset_inputs] if run.inputs else []
    facts = {
        "For": about.description,
        "Version": kept.description,
        "Learned from": ", ".join(f"{one.name}, fingerprint {one.digest}" for one in named),
        "Judged on": f"exam {evidence['exam']}" if evidence.get("exam") else "",
        "Decided by": kept.tags.get("promotion.who"),
        "Because": kept.tags.get("promotion.reason"),
        "Limits": about.tags.get("limits"),
        "Licence": about.tags.get("licence"),
    }
    if small := evidence.get("too small to judge"):
        facts["Not judged, too small"] = "; ".join(small)
    lines = [f"# Model card: {name}, version {version}", ""]
    lines += [f"- **{fact}**: {text or 'not stated'}" for fact, text in facts.items()]
    lines += ["", "| checked | result | seen |", "|---|---|---|"]
    for one in evidence["checks"]:
        result = "pass" if one["passed"] else "**fail**"
        lines.append(f"| {one['name']} | {result} | {one['seen']} |")
    return "\n".join([*lines, ""])


def log(client, name):
    """Return a line for each version: its number, its aliases, and what its tags say."""
    aliases = client.get_registered_model(name).aliases
    for kept in client.search_model_versions(f"name = '{name}'", order_by=["version_number ASC"]):
        marks = [alias for alias, version in aliases.items() if str(version) == str(kept.version)]
        said = {tag: text for tag, text in sorted(kept.tags.items()) if tag.startswith(OURS)}
        yield f"{kept.version} {','.join(marks) or '-'} {json.dumps(said)}"


# ---- the command line


def work(client, options):
    """Do what was asked for; return the exit status and the lines to print."""
    if options.task == "log":
        return DONE, list(log(client, options.name))
    if options.task == "rollback":
        roll_back(client, options.name, options.reason, options.who)
        now = client.get_model_version_by_alias(options.name, "champion")
        return DONE, [f"Version {now.version} is champion again."]
    champion = client.get_registered_model(options.name).aliases.get("champion")
    if str(champion) == options.version:
        return REFUSED, [f"Version {champion} is champion already."]
    verdict = judge(client, options.name, options.version, options)
    said = [
        f"{one['name']}, {'passed' if one['passed'] else 'FAILED'}. {one['seen']}"
        for one in verdict["checks"]
    ]
    said += [f"{one}: too few to judge." for one in verdict["too small to judge"]]
    if not all(one["passed"] for one in verdict["checks"]):
        return REFUSED, [*said, f"Version {options.version} was not promoted."]
    promote(client, options.name, options.version, options.reason, options.who)
    run = client.get_model_version(options.name, options.version).run_id
    client.log_text(run, card(client, options.name, options.version), CARD)
    return DONE, [*said, f"Version {options.version} is champion, on exam {verdict['exam']}."]


def options_of(arguments):
    """Return what the program was called with."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    tasks = parser.add_subparsers(dest="task", required=True)
    promoting = tasks.add_parser("promote", help="judge a version, and make it the champion")
    going_back = tasks.add_parser("rollback", help="make the version before the champion again")
    telling = tasks.add_parser("log", help="list the versions, and what their tags say")
    for task in (promoting, going_back, telling):
        task.add_argument("name", help="the registered model")
    promoting.add_argument("version")
    promoting.add_argument("--exam", required=True, help="a CSV or Parquet file of labelled rows")
    promoting.add_argument("--time", required=True, metavar="COLUMN", help="when a row happened")
    promoting.add_argument("--target", required=True, metavar="COLUMN", help="1, 0, or empty")
    promoting.add_argument("--slices", nargs="*", default=[], metavar="COLUMN")
    for task in (promoting, going_back):
        task.add_argument("--reason", required=True)
        task.add_argument("--who", required=True, help="who has decided")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Do what was asked for, say what came of it, and return the exit status."""
    options = options_of(arguments)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    try:
        status, lines = work(mlflow.MlflowClient(), options)
    except CouldNotJudge as error:
        status = COULD_NOT_JUDGE
        lines = [f"Could not judge: {error}"]
    except ValueError as error:
        status = REFUSED
        lines = [str(error)]
    except MlflowException as error:
        status = COULD_NOT_JUDGE
        lines = [f"MLflow says: {error.message}"]
    print(*lines, sep="\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
