"""The champion behind HTTP: a service in some fifty lines of FastAPI.

    MLFLOW_TRACKING_URI=sqlite:///mlflow.db uvicorn 05_app:app --host 127.0.0.1 --port 8000

It asks MLflow's registry once, as it starts, which version the alias ``champion`` names: start it
again after a promotion. Every answer is in a SQLite file before it leaves. What you have to change
for a model of your own: the fields of `Flight`, and `encode`.
"""

import os
import sqlite3
import time
from uuid import uuid4

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one flight is too little work to be shared out

import mlflow
import numpy as np
from fastapi import FastAPI, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

MODEL = os.environ.get("MODEL_NAME", "push-back")
ALIAS = os.environ.get("MODEL_ALIAS", "champion")
LOG = os.environ.get("PREDICTION_LOG", "predictions.db")


class Flight(BaseModel):
    """What is known as a flight leaves its gate; only the weather may be missing."""

    # strict: "10" is no number. forbid: a misspelt temp is refused, and not read as none at all.
    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")

    dep_delay: float
    distance: float
    hour: float
    day_of_week: float
    temp: float | None = None
    dewp: float | None = None
    humid: float | None = None
    wind_speed: float | None = None
    precip: float | None = None
    pressure: float | None = None
    visib: float | None = None
    carrier: str
    origin: str
    dest: str


class Flights(BaseModel):
    """A request's body, in one of MLflow's formats."""

    dataframe_records: list[Flight] = Field(min_length=1, max_length=10_000)


def load():
    """Return the version that the alias names now, its model, and the vocabulary it learned."""
    found = mlflow.MlflowClient().get_model_version_by_alias(MODEL, ALIAS)
    address = f"models:/{MODEL}/{found.version}"
    about = mlflow.models.get_model_info(address)
    if about.signature.inputs.input_names() != list(Flight.model_fields):
        raise RuntimeError(f"{address} asks for other columns than a Flight has.")
    return str(found.version), mlflow.sklearn.load_model(address), about.metadata["vocabulary"]


def encode(flight):
    """Return a flight as the model's row of numbers; what training never saw becomes NaN."""
    row = []
    for name, value in flight:
        if name in vocabulary:
            words = vocabulary[name]
            value = words.index(value) if value in words else None
        row.append(np.nan if value is None else value)
    return row


version, model, vocabulary = load()
log = sqlite3.connect(LOG, check_same_thread=False)
log.execute("PRAGMA journal_mode = WAL")  # others may read while it is written
log.execute("PRAGMA synchronous = NORMAL")  # outlives a kill; FULL, a power cut as well
log.execute("CREATE TABLE IF NOT EXISTS predictions (id, at, version, flights, probabilities)")
app = FastAPI(title=MODEL)


@app.get("/ping")
async def ping():
    """Tell whether it is there, and which version answers."""
    return {"model_version": version}


@app.post("/invocations")
async def invocations(body: Flights, response: Response):
    """Score flights: one probability of late for each."""
    rows = np.array([encode(flight) for flight in body.dataframe_records], dtype=float)
    late = model.predict_proba(rows)[:, 1].tolist()
    request_id = str(uuid4())
    entry = (request_id, time.time(), version, body.model_dump_json(), str(late))
    try:
        with log:  # a transaction: it is in the file once the block is left
            log.execute("INSERT INTO predictions VALUES (?, ?, ?, ?, ?)", entry)
    except sqlite3.Error as error:
        return JSONResponse({"error": f"Not answered, for it cannot be logged: {error}."}, 503)
    response.headers["x-request-id"] = request_id
    return {"predictions": late, "model_version": version}


@app.exception_handler(RequestValidationError)
async def refuse(request, error):
    """Say in a sentence which field is wrong; without this it is a list of dictionaries."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "body"
    return JSONResponse({"error": f"{where}: {first['msg']}."}, 422)
