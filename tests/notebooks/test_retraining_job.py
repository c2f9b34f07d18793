"""The job that lesson 09 gives away, run for real: in an empty folder, twice at once, killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from mlops_course.data.flights import load_flights
from mlops_course.data.incidents import INCIDENTS

JOB = Path(__file__).parents[2] / "notebooks" / "09_retrain.py"
KEPT, PROMOTED, COULD_NOT_JUDGE, MISUSED = 0, 10, 3, 2
COLUMNS = ["date", "dep_delay", "distance", "hour", "carrier", "dest", "late"]
CALL = ["--time", "date", "--target", "late", "--model", "push-back", "--weeks", "3"]
NAME = "push-back"

# Runs the job, and kills it -9 at the moment when it calls a function, or just after.
DRIVER = """
import importlib, os, runpy, signal, sys
import mlflow
moment, path = sys.argv[1], sys.argv[2]
before, _, name = moment.partition(" ")
owner = importlib.import_module("mlflow.sklearn") if name == "log_model" else mlflow.MlflowClient
real = getattr(owner, name)
def dying(*arguments, **settings):
    if before == "after":
        real(*arguments, **settings)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, dying)
sys.argv = sys.argv[2:]
runpy.run_path(path, run_name="__main__")
"""
# Runs the job as one that is so slow that another takes over before it promotes.
SLOW = """
import runpy, sys
import mlflow
real = mlflow.MlflowClient.create_model_version
def slow(client, name, *arguments, **settings):
    made = real(client, name, *arguments, **settings)
    client.create_registered_model(f"{name}.retraining-lock.999999", {"until": "0"})
    return made
mlflow.MlflowClient.create_model_version = slow
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def flights(shared_workspace):
    """Flights from one airport, from August to the middle of October, the label last."""
    rows = load_flights(shared_workspace, "2013-08-19", "2013-10-13")
    return rows[rows["origin"] == "EWR"]


@pytest.fixture(scope="module")
def calm(flights):
    """Four weeks in which nothing is broken."""
    return flights.loc[flights["date"] < "2013-09-16", COLUMNS]


@pytest.fixture(scope="module")
def changed(flights):
    """Four weeks later: in all of them the feed says another moment."""
    rows = INCIDENTS["clock"].apply(flights[flights["date"] >= "2013-09-16"])
    return rows[COLUMNS]


@pytest.fixture(scope="module")
def rows(tmp_path_factory, calm, changed):
    """A folder that holds the job and its rows, and nothing else."""
    place = tmp_path_factory.mktemp("rows")
    shutil.copy(JOB, place)
    calm.to_parquet(place / "calm.parquet")
    changed.to_csv(place / "changed.csv", index=False)
    return place


@pytest.fixture
def folder(rows, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(rows, tmp_path / "empty")


@pytest.fixture(scope="module")
def first(rows, tmp_path_factory):
    """A folder with a first champion, of the calm weeks."""
    place = shutil.copytree(rows, tmp_path_factory.mktemp("first") / "folder")
    assert status_of(run(place, "calm.parquet")) == PROMOTED
    return place


@pytest.fixture
def served(first, tmp_path):
    """A copy of the folder with a first champion, to which nothing has happened since."""
    return shutil.copytree(first, tmp_path / "served")


def run(folder, data, *settings, code=(), moment=()):
    program = [*code, *moment, JOB.name, data, *CALL, *settings]
    alien = ("MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID")  # MLflow has put them there
    surroundings = {name: value for name, value in os.environ.items() if name not in alien}
    surroundings["MLFLOW_TRACKING_URI"] = "sqlite:///mlflow.db"
    return subprocess.run(
        [sys.executable, *program],
        cwd=folder,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=300,
    )


def status_of(done):
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


def store(folder):
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    return MlflowClient(uri, uri)


def champion(folder):
    return str(store(folder).get_model_version_by_alias(NAME, "champion").version)


def versions(folder):
    return len(store(folder).search_model_versions(f"name = '{NAME}'"))


def runs(folder):
    client = store(folder)
    (experiment,) = [e for e in client.search_experiments() if e.name == NAME]
    return [run.info.status for run in client.search_runs([experiment.experiment_id])]


def test_job_when_read_then_needs_nothing_of_the_course():
    assert "mlops_course" not in JOB.read_text(encoding="utf-8")


def test_job_when_called_again_and_again_then_does_each_thing_once(folder):
    first = run(folder, "calm.parquet")
    assert status_of(first) == PROMOTED and "Version 1 is champion" in first.stdout
    again = run(folder, "calm.parquet")
    assert status_of(again) == PROMOTED and "nothing was done again" in again.stdout
    assert versions(folder) == 1 and runs(folder) == ["FINISHED"]
    changed = run(folder, "changed.csv")
    assert status_of(changed) == PROMOTED and "of version 1" in changed.stdout
    assert champion(folder) == "2"
    back = run(folder, "calm.parquet", "--weeks", "2", "--min-rows", "4000")
    assert status_of(back) == COULD_NOT_JUDGE and "has learned from days up to" in back.stdout
    assert champion(folder) == "2"


def test_job_when_its_version_was_taken_back_then_an_old_promotion_is_no_longer_told_as_one(served):
    store(served).delete_registered_model_alias(NAME, "champion")
    done = run(served, "calm.parquet")
    assert status_of(done) == KEPT
    assert done.stdout.startswith("kept:") and "by now nobody is champion" in done.stdout


def test_judge_when_few_days_have_rows_then_cannot_judge(main, calm):
    exam = calm[calm["date"] >= calm["date"].max() - pd.Timedelta(days=2)]
    never = SimpleNamespace(
        feature_names_in_=np.array(["dep_delay"]), predict=lambda rows: np.zeros(len(rows))
    )
    options = SimpleNamespace(target="late", time="date")
    with pytest.raises(main.__globals__["CouldNotJudge"], match="3 days have rows to judge on"):
        main.__globals__["judge"](exam, never, None, options)


def test_answers_when_a_model_says_words_then_cannot_be_compared(main):
    names = np.array(["dep_delay"])
    words = SimpleNamespace(feature_names_in_=names, predict=lambda rows: ["late"] * len(rows))
    with pytest.raises(main.__globals__["CouldNotJudge"], match="0 or 1"):
        main.__globals__["answers"](words, pd.DataFrame({"dep_delay": [1.0]}), "champion")
    nameless = SimpleNamespace(predict=lambda rows: [0])
    with pytest.raises(main.__globals__["CouldNotJudge"], match="cannot answer"):
        main.__globals__["answers"](nameless, pd.DataFrame({"dep_delay": [1.0]}), "champion")


def test_job_when_the_candidate_gains_nothing_then_the_champion_stays(served):
    kept = run(served, "calm.parquet", "--weeks", "2", "--min-rows", "4000")
    assert status_of(kept) == KEPT and "The champion stays" in kept.stdout
    assert champion(served) == "1" and versions(served) == 1


def test_jobs_when_two_run_at_once_in_an_empty_folder_then_one_works_and_both_say_the_same(folder):
    with ThreadPoolExecutor(2) as crowd:
        jobs = [crowd.submit(run, folder, "calm.parquet", "--wait", "240") for _ in range(2)]
        done = [job.result() for job in jobs]
    assert [status_of(one) for one in done] == [PROMOTED, PROMOTED]
    assert sum("nothing was done again" in one.stdout for one in done) == 1
    assert versions(folder) == 1 and runs(folder) == ["FINISHED"]


def test_job_when_another_holds_the_lock_then_waits_no_longer_than_it_may_and_changes_nothing(
    served,
):
    until = {"until": str(time.time() + 600)}
    store(served).create_registered_model(f"{NAME}.retraining-lock.000009", until)
    done = run(served, "changed.csv", "--wait", "0")
    assert status_of(done) == COULD_NOT_JUDGE and "Another job holds the lock" in done.stdout
    assert champion(served) == "1" and runs(served) == ["FINISHED"]


@pytest.mark.skipif(os.name == "nt", reason="sends a Unix signal")
@pytest.mark.parametrize(
    ("moment", "champion_then", "versions_then"),
    [
        ("before log_model", "1", 1),
        ("before create_model_version", "1", 1),
        ("before set_registered_model_alias", "1", 2),
        ("after set_registered_model_alias", "2", 2),
    ],
)
def test_job_when_killed_then_nothing_is_half_promoted_and_the_next_call_ends_the_work(
    served, moment, champion_then, versions_then
):
    killed = run(served, "changed.csv", "--lease", "1", code=("-c", DRIVER), moment=(moment,))
    assert killed.returncode == -signal.SIGKILL
    assert (champion(served), versions(served)) == (champion_then, versions_then)
    done = run(served, "changed.csv")
    assert status_of(done) == PROMOTED and "Version 2 is champion" in done.stdout
    assert champion(served) == "2" and versions(served) == 2
    trained_twice = moment == "before log_model"
    assert sorted(runs(served)) == ["FINISHED"] * 2 + ["KILLED"] * trained_twice


def test_job_when_it_took_longer_than_its_lease_then_it_moves_nothing(served):
    done = run(served, "changed.csv", code=("-c", SLOW))
    assert status_of(done) == COULD_NOT_JUDGE and "another has taken over" in done.stdout
    assert champion(served) == "1"


def test_job_when_the_champion_asks_for_other_columns_then_cannot_judge(served, changed):
    changed.rename(columns={"hour": "clock_hour"}).to_parquet(served / "other.parquet")
    done = run(served, "other.parquet")
    assert status_of(done) == COULD_NOT_JUDGE and "champion cannot answer" in done.stdout
    assert champion(served) == "1" and versions(served) == 1


def test_job_when_the_training_fails_halfway_then_says_so_and_the_champion_stays(served, changed):
    changed.assign(weather=np.nan).to_parquet(served / "spoilt.parquet")
    done = run(served, "spoilt.parquet")
    assert status_of(done) == COULD_NOT_JUDGE
    assert done.stdout.startswith("could not judge: The training failed: ")
    assert champion(served) == "1" and versions(served) == 1
    assert sorted(runs(served)) == ["FAILED", "FINISHED"]
    left_out = run(served, "spoilt.parquet", "--ignore", "weather")
    assert status_of(left_out) == PROMOTED and champion(served) == "2"


# ---- labels that nothing may be learned from


@pytest.fixture(scope="module")
def main():
    return run_path(str(JOB))["main"]


def spoilt(rows, how):
    """Return rows whose newest week, or all, has damaged labels."""
    newest = rows["date"] >= rows["date"].max() - pd.Timedelta(days=6)
    late = rows["late"]
    return {
        "neither": rows.assign(late=late.where(~newest, 7)),
        "all on time": rows.assign(late=late.where(~newest, 0.0)),
        "the wrong way round": rows.assign(late=late.where(~newest, 1 - late)),
        "late": rows.assign(late=late.where(~newest | (np.arange(len(rows)) % 5 > 0))),
        "too few": rows[~newest].tail(4_000).pipe(lambda some: pd.concat([some, rows[newest]])),
        "none": rows.assign(late=np.nan),
        "no rows": rows.iloc[:0],
        "no such column": rows.drop(columns="late"),
    }[how]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("neither", "neither 0 nor 1"),
        ("all on time", "0 labels to judge on|labels to judge on, of 1 kinds"),
        ("the wrong way round", "none of the 21 days before had such a share"),
        ("late", "79% of the newest 7 days have a label"),
        ("too few", r"4,\d\d\d labels to train on|3,\d\d\d labels to train on"),
        ("none", "0 labels to train on"),
        ("no rows", "has no rows"),
        ("no such column", "cannot be read: KeyError"),
    ],
)
def test_job_when_labels_are_damaged_late_or_few_then_says_so_before_it_opens_a_store(
    tmp_path, monkeypatch, capsys, calm, main, how, said
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    spoilt(calm, how).to_parquet("rows.parquet")
    status = main(["rows.parquet", *CALL])
    told = capsys.readouterr().out
    assert status == COULD_NOT_JUDGE and told.startswith("could not judge: ")
    assert pd.Series([told]).str.contains(said).all(), told
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]


def test_job_when_called_wrongly_then_status_2(main):
    with pytest.raises(SystemExit) as ended:
        main(["rows.parquet", "--time", "date"])
    assert ended.value.code == MISUSED
