"""A year with generations: from a prediction of December back to the rows behind it."""

import shutil
import sqlite3
from contextlib import closing

import pytest
from mlflow import MlflowClient

from mlops_course.core.workspace import open_workspace
from mlops_course.data.flights import fingerprint
from mlops_course.pipeline import stages
from mlops_course.pipeline.events import Promoted, WeekScored
from mlops_course.pipeline.loop import run_pipeline
from mlops_course.pipeline.policies import RetrainOnAlert, Window
from mlops_course.pipeline.production import looked_at
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.registry.versions import MODEL_NAME
from mlops_course.training.trainer import train

WINDOW = Window(13)


@pytest.fixture(scope="module")
def place(tmp_path_factory, template_cache):
    workspace = open_workspace(tmp_path_factory.mktemp("lineage") / "workspace")
    shutil.copytree(template_cache, workspace.cache, dirs_exist_ok=True)
    return workspace


@pytest.fixture(scope="module")
def year(place, service):
    config = RunConfig("year-clock", seed=None)
    return list(run_pipeline(config, place, service, RetrainOnAlert(window=WINDOW)))


def only(events, kind):
    return [event for event in events if isinstance(event, kind)]


def last_answer(log):
    """Return the day and the version of the newest answer, with SQLite alone."""
    newest = "SELECT request_id, version FROM predictions ORDER BY number DESC LIMIT 1"
    with closing(sqlite3.connect(log)) as database:
        request, version = database.execute(newest).fetchone()
    return request[:5], version


def test_year_when_it_ends_then_three_generations_have_served(year):
    served = [week.model_version for week in only(year, WeekScored)]
    assert len(served) == 39 and len(set(served)) == len(only(year, Promoted)) >= 3


def test_prediction_when_followed_back_then_its_rows_are_found_and_give_the_same_model(year, place):
    day, version = last_answer(place.run_log)
    assert day == "12-29"
    client = MlflowClient(place.tracking_uri, place.tracking_uri)
    run = client.get_run(client.get_model_version(MODEL_NAME, version).run_id)
    whole = client.get_run(run.data.tags["mlflow.parentRunId"])
    params = run.data.params
    tags = run.data.tags
    (used,) = run.inputs.dataset_inputs
    assert used.dataset.digest == tags["dataset_version"]
    assert (params["window"], params["because"]) == ("the last 13 weeks", "accuracy")

    config = RunConfig(whole.data.params["scenario"], seed=None)
    assert whole.data.params["seed"] == "None"
    loaded = stages.load(place, config).made
    weeks = list(loaded.stream.weeks(config.planned_weeks))
    known = [week for week in weeks if week.monday.isoformat() <= params["trained_after"]]
    earlier = (loaded.rows, loaded.held_out)
    chosen = stages.gather(WINDOW, earlier, known, looked_at(known[-1])).made
    assert ", ".join(chosen.mondays) == params["window_weeks"]
    assert fingerprint(chosen.rows) == tags["dataset_version"]
    assert train(chosen.rows).digest == tags["model_digest"]
