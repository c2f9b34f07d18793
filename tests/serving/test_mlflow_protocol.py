"""The service beside MLflow's own scoring app, with the same model and the flights' schema.

The table tells what both make of a request. Where they differ, the service says why in the
description that it serves at ``/openapi.json``.
"""

from datetime import date

import mlflow
import numpy as np
import orjson
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.pyfunc.scoring_server import init
from mlflow.types import ColSpec, Schema
from starlette.testclient import TestClient

from mlops_course.course.fixtures import saved
from mlops_course.data.features import CATEGORICAL, FEATURES, REQUIRED
from mlops_course.data.flights import load_flights
from mlops_course.serving.app import Scorer, create_app
from mlops_course.serving.contract import request_body
from mlops_course.serving.edge import Guarded, Observed
from mlops_course.serving.metrics import Metrics
from mlops_course.training.trainer import TrainingConfig, train

JSON = "application/json"
CSV = "text/csv"


@pytest.fixture(scope="module")
def flights(shared_workspace):
    return load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 7))


@pytest.fixture(scope="module")
def both(flights, tmp_path_factory):
    """MLflow's scoring app and ours, with one model."""
    model = train(flights, TrainingConfig(max_iter=5)).model

    class Push(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            rows = model_input.reindex(columns=list(FEATURES))
            return model.probability(rows)

    columns = [
        ColSpec("string" if name in CATEGORICAL else "double", name, required=name in REQUIRED)
        for name in FEATURES
    ]
    place = tmp_path_factory.mktemp("mlflow") / "model"
    mlflow.pyfunc.save_model(
        place, python_model=Push(), signature=ModelSignature(Schema(columns)), pip_requirements=[]
    )
    metrics = Metrics()
    scorer = Scorer(metrics)
    with saved(model) as path:
        scorer.load(path, "1")
    ours = Observed(Guarded(create_app(scorer)), metrics)
    yield (
        TestClient(init(mlflow.pyfunc.load_model(place)), raise_server_exceptions=False),
        TestClient(ours, base_url="http://localhost", raise_server_exceptions=False),
    )
    scorer.close()


@pytest.fixture(scope="module")
def rows(flights):
    """Two flights as records; the first has weather that is missing."""
    body = orjson.loads(request_body(flights.iloc[:2].assign(temp=[np.nan, 40.0])))
    split = body["dataframe_split"]
    return [dict(zip(split["columns"], row, strict=True)) for row in split["data"]]


def split(rows, **more):
    """Return rows as pandas would write them, with an index."""
    data = [list(row.values()) for row in rows]
    return {"dataframe_split": {"columns": list(rows[0]), "data": data, **more}}


def by_column(rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


def but(rows, *names):
    return [{name: row[name] for name in row if name not in names} for row in rows]


def csv(rows):
    return pd.DataFrame(rows).to_csv(index=False).encode()


NAN = -98765.5
SAME, GUESSES, STATUS = "", "it guesses", "another status"
# What is sent, as what, MLflow's status, ours, and why they differ where they do.
TABLE = {
    "split": (lambda r: split(r), JSON, 200, 200, SAME),
    "split with an index": (lambda r: split(r, index=[0, 1]), JSON, 200, 200, SAME),
    "records": (lambda r: {"dataframe_records": r}, JSON, 200, 200, SAME),
    "instances": (lambda r: {"instances": r}, JSON, 200, 200, SAME),
    "instances by column": (lambda r: {"instances": by_column(r)}, JSON, 200, 200, SAME),
    "inputs by column": (lambda r: {"inputs": by_column(r)}, JSON, 200, 200, SAME),
    "inputs as records": (lambda r: {"inputs": r}, JSON, 200, 200, SAME),
    "csv": (csv, CSV, 200, 200, SAME),
    "csv, charset given": (csv, f"{CSV}; charset=utf-8", 200, 200, SAME),
    "csv without weather": (lambda r: csv(but(r, "temp", "visib")), CSV, 200, 200, SAME),
    "params": (lambda r: {**split(r), "params": {"cut": 0.4}}, JSON, 200, 200, SAME),
    "a further key": (lambda r: {**split(r), "trace": "x"}, JSON, 200, 200, SAME),
    "a further column": (
        lambda r: {"dataframe_records": [{**row, "gate": "A1"} for row in r]},
        JSON,
        200,
        200,
        SAME,
    ),
    "weather left out": (
        lambda r: {"dataframe_records": but(r, "temp", "visib")},
        JSON,
        200,
        200,
        SAME,
    ),
    "another order of columns": (
        lambda r: split([dict(reversed(row.items())) for row in r]),
        JSON,
        200,
        200,
        SAME,
    ),
    "a byte order mark": (
        lambda r: b"\xef\xbb\xbf" + orjson.dumps(split(r)),
        JSON,
        200,
        200,
        SAME,
    ),
    "NaN for weather": (
        lambda r: orjson.dumps(split([{**row, "temp": NAN} for row in r])).replace(
            str(NAN).encode(), b"NaN"
        ),
        JSON,
        200,
        200,
        SAME,
    ),
    "charset utf-8": (lambda r: split(r), f"{JSON}; charset=utf-8", 200, 200, SAME),
    "charset utf-16": (lambda r: split(r), f"{JSON}; charset=utf-16", 415, 415, SAME),
    "another parameter": (lambda r: split(r), f"{JSON}; pandas=split", 415, 415, SAME),
    "plain text": (lambda r: split(r), "text/plain", 415, 415, SAME),
    "no flights": (lambda r: {"dataframe_records": []}, JSON, 400, 422, STATUS),
    "no JSON": (lambda r: b"{", JSON, 400, 422, STATUS),
    "a list": (lambda r: r, JSON, 400, 422, STATUS),
    "no format": (lambda r: {"flights": r}, JSON, 400, 422, STATUS),
    "two formats": (lambda r: {**split(r), "instances": r}, JSON, 400, 422, STATUS),
    "a required column left out": (
        lambda r: {"dataframe_records": but(r, "dep_delay")},
        JSON,
        400,
        422,
        STATUS,
    ),
    "a word for a number": (
        lambda r: {"dataframe_records": [{**row, "hour": "noon"} for row in r]},
        JSON,
        400,
        422,
        STATUS,
    ),
    "a number as text": (
        lambda r: {"dataframe_records": [{**row, "hour": "5"} for row in r]},
        JSON,
        200,
        422,
        GUESSES,
    ),
    "null for a number that must be": (
        lambda r: {"dataframe_records": [{**row, "hour": None} for row in r]},
        JSON,
        200,
        422,
        GUESSES,
    ),
    "true for a number": (
        lambda r: {"dataframe_records": [{**row, "hour": True} for row in r]},
        JSON,
        200,
        422,
        GUESSES,
    ),
    "utf-16": (
        lambda r: orjson.dumps(split(r)).decode().encode("utf-16"),
        JSON,
        200,
        422,
        GUESSES,
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_request_when_sent_to_mlflows_app_and_ours_then_both_answer_as_the_table_says(
    both, rows, name
):
    make, kind, theirs, ours, why = TABLE[name]
    made = make(rows)
    body = made if isinstance(made, bytes) else orjson.dumps(made)
    answers = [
        app.post("/invocations", content=body, headers={"content-type": kind}) for app in both
    ]
    told = [answer.text[:300] for answer in answers]
    assert [answer.status_code for answer in answers] == [theirs, ours], told
    assert bool(why) == (theirs != ours)
    found = [orjson.loads(answer.content) for answer in answers if answer.status_code == 200]
    if len(found) == 2:
        np.testing.assert_allclose(found[0]["predictions"], found[1]["predictions"], rtol=1e-12)
    if ours != 200:
        error = answers[1].json()
        assert error["error"] == error["message"] and error["error_code"] == "BAD_REQUEST"


@pytest.mark.parametrize("path", ["/ping", "/health"])
def test_probe_when_ready_then_answers_byte_for_byte_as_mlflow(both, path):
    theirs, ours = (app.get(path) for app in both)
    assert (theirs.status_code, theirs.content) == (ours.status_code, ours.content)
    assert theirs.headers["content-type"] == ours.headers["content-type"]


def test_description_when_read_then_says_where_it_differs_from_mlflow(both):
    told = both[1].get("/openapi.json").json()["info"]["description"]
    assert "refuses what it" in told and "422, where MLflow answers 400" in told
