import os
import signal
import subprocess
import sys
import time
from datetime import date

import httpx
import numpy as np
import orjson
import psutil
import pytest

from mlops_course import registry, tracking
from mlops_course.errors import ServiceError
from mlops_course.features import FEATURES
from mlops_course.flights import load_flights
from mlops_course.serving import Service, request_body
from mlops_course.training import TrainingConfig, train


@pytest.fixture(scope="module")
def flights(shared_workspace):
    return load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 14))


@pytest.fixture(scope="module")
def models(shared_workspace, flights):
    """Two registered versions of a small model: fitted model and registered version each."""
    store = tracking.connect(shared_workspace)
    origin, made = tracking.provenance(), []
    for trees in (5, 6):
        result = train(flights, TrainingConfig(max_iter=trees))
        run_id, uri = tracking.log_training(
            store, origin, result, flights, {}, name="serving", seed=0, parent=""
        )
        made.append((result.model, registry.register(store, run_id, uri)))
    return made


@pytest.fixture(scope="module")
def live(models):
    with Service() as service:
        service.load(models[0][1].path, "one")
        yield service


def post(service, content):
    return httpx.post(f"{service.url}/invocations", content=content)


def rows(flights, count=1, **changed):
    records = orjson.loads(request_body(flights.iloc[:count]))["dataframe_split"]
    return [dict(zip(records["columns"], row, strict=True)) | changed for row in records["data"]]


def test_score_when_sent_in_batches_then_equals_the_model_in_this_process(live, models, flights):
    scores = live.score(flights, batch=700)
    np.testing.assert_array_equal(scores.probability, models[0][0].probability(flights))
    assert scores.version == "one" and scores.errors == 0
    assert len(scores.latency_ms) == -(-len(flights) // 700)


def test_invocations_when_rows_come_as_records_then_answers_as_for_split(live, flights):
    split = post(live, request_body(flights.iloc[:20])).json()
    records = post(live, orjson.dumps({"dataframe_records": rows(flights, 20)})).json()
    assert split == records and len(split["predictions"]) == 20


def test_invocations_when_weather_is_null_or_a_category_is_new_then_scores(live, flights):
    body = {"dataframe_records": rows(flights, temp=None, visib=None, dest="XXX", carrier="ZZ")}
    answer = post(live, orjson.dumps(body))
    assert answer.status_code == 200 and 0 < answer.json()["predictions"][0] < 1


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        (b"{", 422, "not JSON"),
        (b"\xff\xfe", 422, "not JSON"),
        (b"[1]", 422, "must be a JSON object"),
        (b"{}", 422, "dataframe_split"),
        (b'{"dataframe_split": {"columns": ["hour"], "data": [[1, 2]]}}', 422, "needs 1 values"),
        (b'{"dataframe_split": {"columns": ["hour"], "data": [[1]]}}', 422, "Missing: dep_delay"),
        (b'{"dataframe_split": {"columns": [], "data": []}}', 422, "Missing: dep_delay"),
        (b'{"dataframe_records": []}', 422, "0 rows"),
        (b'{"dataframe_records": [3]}', 422, "must be an object"),
        (b'{"dataframe_records": [{}]}', 422, "dep_delay is empty"),
    ],
)
def test_invocations_when_the_body_is_wrong_then_answers_4xx_and_says_why(
    live, content, status, sentence
):
    answer = post(live, content)
    assert answer.status_code == status and sentence in answer.json()["error"]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"hour": "noon"}, "hour must be a number"),
        ({"hour": True}, "hour must be a number"),
        ({"hour": [1]}, "hour must be a number"),
        ({"distance": 10**400}, "not JSON|distance"),
        ({"origin": 3}, "origin must be a string"),
        ({"origin": None}, "origin is empty"),
        ({"dep_delay": None}, "dep_delay is empty"),
    ],
)
def test_invocations_when_a_field_is_wrong_then_names_it(live, flights, changed, sentence):
    import json
    import re

    body = json.dumps({"dataframe_records": rows(flights, **changed)})
    answer = post(live, body)
    assert answer.status_code == 422 and re.search(sentence, answer.json()["error"])


def test_load_when_called_while_serving_then_the_next_answer_is_the_new_versions(models, flights):
    with Service() as service:
        assert not service.ping()
        assert post(service, request_body(flights.iloc[:1])).status_code == 422
        for version, (model, registered) in zip("12", models, strict=True):
            service.load(registered.path, version)
            scores = service.score(flights.iloc[:50])
            assert service.ping() and scores.version == version
            np.testing.assert_array_equal(scores.probability, model.probability(flights.iloc[:50]))


def test_load_when_there_is_no_model_then_says_so_and_the_old_one_stays(live, flights, tmp_path):
    with pytest.raises(ServiceError, match="could not load version 9"):
        live.load(tmp_path, "9")
    assert live.score(flights.iloc[:1]).version == "one"


def test_score_when_killed_then_one_sentence_and_the_next_start_recovers(models, flights):
    with Service() as service:
        service.load(models[0][1].path, "1")
        os.kill(service.pid, signal.SIGKILL)
        with pytest.raises(ServiceError, match=r"is not running|does not answer"):
            for _ in range(100):
                service.score(flights.iloc[:10])
                time.sleep(0.01)
        service.load(models[0][1].path, "1")
        assert service.score(flights.iloc[:1]).version == "1"


def test_close_when_called_twice_then_no_process_is_left():
    service = Service()
    service.start()
    pid = service.pid
    service.close()
    service.close()
    assert not psutil.pid_exists(pid) and service.pid is None


@pytest.mark.skipif(sys.platform == "win32", reason="sends Unix signals")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_service_when_its_parent_is_killed_then_ends_by_itself(how):
    code = (
        "import time; from mlops_course.serving import Service;"
        "s = Service(); s.start(); print(s.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(how)
    parent.wait()
    parent.stdout.close()
    child.wait(timeout=15)


@pytest.mark.skipif(sys.platform == "win32", reason="sends Unix signals")
def test_service_when_the_kernels_group_is_interrupted_then_goes_on(live):
    assert os.getpgid(live.pid) != os.getpgid(0)
    assert live.ping()


def test_service_when_running_then_listens_on_loopback_alone(live):
    listening = [c for c in psutil.Process(live.pid).net_connections() if c.status == "LISTEN"]
    assert [connection.laddr.ip for connection in listening] == ["127.0.0.1"]


def test_body_when_made_then_holds_the_features_and_null_for_missing(flights):
    body = orjson.loads(request_body(flights.iloc[:1].assign(temp=np.nan)))["dataframe_split"]
    assert tuple(body["columns"]) == FEATURES
    assert body["data"][0][FEATURES.index("temp")] is None
