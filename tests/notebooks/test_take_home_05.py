"""Lesson 05's service and its image work as they are, where the course cannot be imported."""

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from importlib.metadata import requires
from pathlib import Path
from runpy import run_path

import dockerfiles
import httpx
import mlflow
import pytest
from packaging.requirements import Requirement
from plain import plain_environment

CLONE = Path(__file__).parents[2]
NOTEBOOKS = CLONE / "notebooks"
APP = NOTEBOOKS / "05_app.py"
LOCK = NOTEBOOKS / "05_requirements.txt"

# What a team has: a store, in it a model with its vocabulary, and an alias. All of it MLflow's.
MAKE = """
import logging

logging.disable(logging.WARNING)
import mlflow, numpy as np
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from sklearn.ensemble import HistGradientBoostingClassifier

NUMBERS = ["dep_delay", "distance", "hour", "day_of_week", "temp", "dewp", "humid", "wind_speed",
           "precip", "pressure", "visib"]
WORDS = {"carrier": ["AA", "UA"], "origin": ["EWR", "JFK", "LGA"], "dest": ["CLT", "MIA"]}
lots = np.random.default_rng(0)
rows = lots.normal(20, 20, size=(500, 14))
rows[:, 11:] = lots.integers(0, 2, size=(500, 3))
model = HistGradientBoostingClassifier(max_iter=5).fit(rows, rows[:, 0] + 30 * rows[:, 11] > 15)
client = mlflow.MlflowClient()
for name, columns in {"push-back": [*NUMBERS, *WORDS], "narrow": NUMBERS}.items():
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            metadata={"vocabulary": WORDS},
            pip_requirements=["scikit-learn"],
            serialization_format="skops",
            signature=ModelSignature(Schema([ColSpec(DataType.double, one) for one in columns])),
            skops_trusted_types=["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"],
        )
    client.create_registered_model(name)
    client.create_model_version(name, logged.model_uri)
    client.set_registered_model_alias(name, "champion", "1")
"""
FLIGHT = {
    **{"dep_delay": -6.0, "distance": 529, "hour": 6, "day_of_week": 0, "temp": 41.0},
    **{"dewp": 20.0, "humid": 42.0, "wind_speed": 9.2, "precip": 0.0, "pressure": None},
    **{"visib": 10.0, "carrier": "UA", "origin": "LGA", "dest": "MIA"},
}


@pytest.fixture(scope="module")
def team():
    """A folder that others may read, with a store that plain MLflow has made."""
    with tempfile.TemporaryDirectory(prefix="team-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        store = f"sqlite:///{folder / 'mlflow.db'}"
        surroundings = plain_environment(folder / "plain", MLFLOW_TRACKING_URI=store)
        subprocess.run([sys.executable, "-c", MAKE], cwd=folder, env=surroundings, check=True)
        yield folder


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def address_of(team):
    return f"sqlite:///{team / 'mlflow.db'}"


def is_up(url):
    try:
        return httpx.get(f"{url}/ping").status_code == 200
    except httpx.HTTPError:
        return False


def wait_for(url, process, said=str, seconds=60):
    deadline = time.monotonic() + seconds
    while not is_up(url):
        assert process.poll() is None, f"it ended with {process.returncode}: {said()[-2000:]}"
        assert time.monotonic() < deadline, "it did not answer in time"
        time.sleep(0.1)


@contextmanager
def served(folder, team):
    """Run the app in a folder, and give its process and where it answers."""
    port = free_port()
    command = ["-m", "uvicorn", "05_app:app", "--host", "127.0.0.1", "--port", str(port)]
    surroundings = plain_environment(folder / "plain", MLFLOW_TRACKING_URI=address_of(team))
    with subprocess.Popen(
        [sys.executable, *command], cwd=folder, env=surroundings, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}", process)
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def app(tmp_path_factory, team):
    """The app in an empty folder of its own: the folder, and where it answers."""
    folder = tmp_path_factory.mktemp("app")
    shutil.copy(APP, folder)
    with served(folder, team) as (_, url):
        yield folder, url


@pytest.fixture
def in_the_store(team, tmp_path, monkeypatch):
    """Let MLflow's functions in this process work in the team's store, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(address_of(team))
    mlflow.set_registry_uri(address_of(team))
    yield
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])


def ask(url, *flights):
    return httpx.post(f"{url}/invocations", json={"dataframe_records": flights})


def logged(path):
    with closing(sqlite3.connect(path)) as log:
        return {row[0]: row[1:] for row in log.execute("SELECT * FROM predictions")}


def test_app_when_asked_then_answers_as_the_model_does_and_the_answer_is_in_the_log(
    app, in_the_store
):
    folder, url = app
    odd = {**FLIGHT, "carrier": "ZZ", "hour": None}
    answer = ask(url, FLIGHT, {**FLIGHT, "carrier": "AA"}, {**odd, "hour": 6})
    assert answer.status_code == 200
    told = answer.json()
    model = mlflow.sklearn.load_model("models:/push-back@champion")
    row = [-6, 529, 6, 0, 41, 20, 42, 9.2, 0, float("nan"), 10]
    coded = [[*row, 1, 2, 1], [*row, 0, 2, 1], [*row, float("nan"), 2, 1]]
    assert told == {
        "predictions": model.predict_proba(coded)[:, 1].tolist(),
        "model_version": "1",
    }
    assert len(set(told["predictions"])) > 1, "the model must look at the carrier"
    _, version, flights, probabilities = logged(folder / "predictions.db")[
        answer.headers["x-request-id"]
    ]
    assert version == "1" and json.loads(probabilities) == told["predictions"]
    assert json.loads(flights)["dataframe_records"][2]["carrier"] == "ZZ"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"dataframe_records": ', 422, "JSON decode error"),
        (b'{"rows": []}', 422, "dataframe_records: Field required"),
        ({"dataframe_records": []}, 422, "at least 1 item"),
        ({"dataframe_records": {}}, 422, "should be a valid list"),
        (
            {"dep_delay": "10 min"},
            422,
            "dataframe_records.0.dep_delay: Input should be a valid num",
        ),
        ({"dep_delay": "10"}, 422, "dep_delay: Input should be a valid number"),
        ({"dep_delay": True}, 422, "dep_delay: Input should be a valid number"),
        ({"dep_delay": 10**400}, 422, "dep_delay: "),
        ({"hour": None}, 422, "hour: Input should be a valid number"),
        ({"temp": "cold"}, 422, "temp: Input should be a valid number"),
        ({"carrier": 7}, 422, "carrier: Input should be a valid string"),
        ({"carrier": None}, 422, "carrier: Input should be a valid string"),
        (b'{"dataframe_records": [{"dep_delay": NaN}]}', 422, "finite number"),
        ({"hour": ...}, 422, "hour: Field required"),
        ({"temp": ..., "Temp": 41.0}, 422, "dataframe_records.0.Temp: Extra inputs"),
        (b"7", 422, "body: Input should be a valid dictionary"),
    ],
)
def test_app_when_a_request_is_not_in_order_then_says_which_field_and_logs_nothing(
    app, body, status, said
):
    folder, url = app
    before = len(logged(folder / "predictions.db"))
    if isinstance(body, dict) and "dataframe_records" not in body:
        changed = {name: value for name, value in {**FLIGHT, **body}.items() if value is not ...}
        body = {"dataframe_records": [changed]}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    answer = httpx.post(f"{url}/invocations", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"} and said in answer.json()["error"], answer.text
    assert len(logged(folder / "predictions.db")) == before


def test_app_when_the_weather_is_left_out_then_answers_as_if_it_were_null(app):
    _, url = app
    weather = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")
    short = {name: value for name, value in FLIGHT.items() if name not in weather}
    nulls = {**FLIGHT, **dict.fromkeys(weather)}
    assert ask(url, short).json() == ask(url, nulls).json()


def test_app_when_nothing_can_be_logged_then_does_not_answer(app):
    folder, url = app
    with closing(sqlite3.connect(folder / "predictions.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        answer = httpx.post(f"{url}/invocations", json={"dataframe_records": [FLIGHT]}, timeout=30)
        other.execute("ROLLBACK")
    assert answer.status_code == 503 and "cannot be logged" in answer.json()["error"]
    assert ask(url, FLIGHT).status_code == 200


def test_app_when_another_path_is_asked_for_then_404(app):
    _, url = app
    assert httpx.post(f"{url}/score", json={}).status_code == 404
    assert httpx.get(f"{url}/invocations").status_code == 405


# ---- killed


def lost_when_killed(folder, url, process):
    """Ask about flights, kill the service at once, and return how many answers the log lacks."""
    with httpx.Client() as client:
        body = {"dataframe_records": [FLIGHT]}
        answers = [client.post(f"{url}/invocations", json=body) for _ in range(50)]
    process.kill()
    process.wait()
    told = {answer.headers["x-request-id"] for answer in answers}
    assert len(told) == 50
    return len(told - set(logged(folder / "predictions.db")))


def test_app_when_it_logs_in_the_background_then_a_kill_is_seen_to_lose_answers(tmp_path, team):
    source = APP.read_text(encoding="utf-8")
    written = 'log.execute("INSERT INTO predictions VALUES (?, ?, ?, ?, ?)", entry)'
    assert written in source
    late = source.replace("with log:  #", "if waiting.append(entry):  #")
    late = late.replace("log = sqlite3", "waiting = []\nlog = sqlite3")
    (tmp_path / APP.name).write_text(late, encoding="utf-8")
    with served(tmp_path, team) as (process, url):
        assert lost_when_killed(tmp_path, url, process) == 50


# ---- what it needs


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MODEL_NAME", "narrow", "models:/narrow/1 asks for other columns"),
        ("MODEL_ALIAS", "challenger", "alias challenger not found"),
        ("MODEL_NAME", "nobody", "nobody not found"),
    ],
)
def test_app_when_there_is_no_such_model_then_does_not_start(
    in_the_store, monkeypatch, name, value, said
):
    monkeypatch.setenv(name, value)
    with pytest.raises((RuntimeError, mlflow.MlflowException), match=said):
        run_path(str(APP))


def test_files_when_read_then_none_knows_the_course_and_the_app_is_some_fifty_lines():
    for name in ("05_app.py", "05_Dockerfile", "05_requirements.txt", "05_requirements.in"):
        assert "mlops_course" not in (NOTEBOOKS / name).read_text(encoding="utf-8"), name
    source = re.sub(r'""".*?"""', "", APP.read_text(encoding="utf-8"), flags=re.DOTALL)
    beyond_imports = source[source.index("class Flight(") :].splitlines()
    columns = [line for line in beyond_imports if re.match(r"    \w+: (float|str)\b", line)]
    assert len(columns) == len(FLIGHT)
    assert len([line for line in beyond_imports if line.strip()]) - len(columns) <= 50


def test_lock_when_compared_with_the_course_s_then_has_the_same_pins():
    ours = dockerfiles.locked(LOCK)
    course = dockerfiles.locked(CLONE / "requirements.txt")
    assert ours.items() <= course.items()


def test_lock_when_a_package_needs_others_then_has_them_too():
    ours = {dockerfiles.normal(name) for name in dockerfiles.locked(LOCK)}
    wanted = set((NOTEBOOKS / "05_requirements.in").read_text(encoding="utf-8").split())
    assert wanted <= ours
    for name in ours:
        for needed in map(Requirement, requires(name) or []):
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert dockerfiles.normal(needed.name) in ours, f"{name} needs {needed.name}"


# ---- the image


@pytest.fixture
def image():
    with tempfile.TemporaryDirectory(prefix="image-") as name:
        Path(name).chmod(0o755)
        yield dockerfiles.build(NOTEBOOKS / "05_Dockerfile", Path(name))


# What only a store in a file needs; the lock is for one that answers at an address.
OF_A_STORE_IN_A_FILE = {
    "sqlalchemy": "",
    "alembic": "",
    "mako": "",
    "greenlet": "",
    "markupsafe": "",
}


def test_image_when_its_steps_are_followed_then_serves_is_healthy_and_loses_nothing(image, team):
    assert image.user == "scorer" and image.volumes == ["/srv/log"]
    assert image.environment["OMP_NUM_THREADS"] == "1"
    port = str(free_port())
    image.installed |= OF_A_STORE_IN_A_FILE
    for path in (team, *team.rglob("*")):
        if dockerfiles.can_change_user():
            os.chown(path, image.users[image.user], -1)
    more = {"PORT": port, "MLFLOW_TRACKING_URI": address_of(team)}
    assert image.run(image.health, **more).wait() != 0, "healthy before anything runs"
    process = image.run(image.command, **more)
    try:
        wait_for(f"http://127.0.0.1:{port}", process, image.said)
        assert image.run(image.health, **more).wait() == 0
        folder = image.folder / "log"
        assert lost_when_killed(folder, f"http://127.0.0.1:{port}", process) == 0
        assert image.run(image.health, **more).wait() != 0, "healthy after its death"
    finally:
        process.kill()
        process.wait()
    assert sorted(path.name for path in image.folder.iterdir()) == [
        "05_app.py",
        "05_requirements.txt",
        "log",
    ]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("USER scorer\n", "", "it would run as root"),
        (" --require-hashes", "", "require-hashes"),
        ("EXPOSE 8000", "EXPOSE 80", "80 is not the port"),
        ("USER scorer\n", "USER scorer\nRUN mkdir more\n", "must not belong to the user"),
        ("VOLUME /srv/log", "VOLUME /srv/logs", "takes its owner"),
        ("COPY 05_app.py .", "ADD 05_app.py .", "ADD"),
    ],
)
def test_image_when_a_step_is_wrong_then_following_it_fails(tmp_path, before, after, said):
    text = (NOTEBOOKS / "05_Dockerfile").read_text(encoding="utf-8")
    assert before in text
    for name in ("05_app.py", "05_requirements.txt"):
        shutil.copy(NOTEBOOKS / name, tmp_path)
    (tmp_path / "05_Dockerfile").write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises((AssertionError, KeyError), match=said):
        dockerfiles.build(tmp_path / "05_Dockerfile", tmp_path / "image")


def test_image_when_a_pin_differs_from_what_is_here_then_following_it_fails(tmp_path):
    for name in ("05_app.py", "05_Dockerfile"):
        shutil.copy(NOTEBOOKS / name, tmp_path)
    lock = re.sub(r"fastapi==[\d.]+", "fastapi==0.1", LOCK.read_text(encoding="utf-8"))
    (tmp_path / LOCK.name).write_text(lock, encoding="utf-8")
    with pytest.raises(AssertionError, match=r"the lock has fastapi 0\.1"):
        dockerfiles.build(tmp_path / "05_Dockerfile", tmp_path / "image")
