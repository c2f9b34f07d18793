import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import date

import httpx
import numpy as np
import orjson
import pandas as pd
import psutil
import pytest
import skops.io

from mlops_course.core.errors import ServiceError, WorkspaceError
from mlops_course.data.features import CATEGORICAL, FEATURES
from mlops_course.data.flights import load_flights
from mlops_course.registry import versions
from mlops_course.serving.app import BODY_SECONDS
from mlops_course.serving.contract import MAX_ROWS, request_body
from mlops_course.serving.prediction_log import PredictionLog, read_predictions, read_requests
from mlops_course.serving.routing import Split, role_of
from mlops_course.serving.service import Service
from mlops_course.training import tracking
from mlops_course.training.model import load_model
from mlops_course.training.trainer import TrainingConfig, train


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
        made.append((result.model, versions.register(store, run_id, uri)))
    return made


@pytest.fixture(scope="module")
def live(models):
    with Service() as service:
        service.load(models[0][1].path, "one")
        yield service


def post(service, content):
    headers = {"content-type": "application/json"}
    return httpx.post(f"{service.url}/invocations", content=content, headers=headers)


def figures(service):
    lines = httpx.get(f"{service.url}/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


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
        (b'{"instances": [], "inputs": []}', 422, "exactly one of"),
        (b'{"instances": [], "params": {}}', 422, "0 rows"),
        (b'{"instances": {"hour": 1}}', 422, "a list for each"),
        (b'{"instances": {"hour": [1], "temp": []}}', 422, "lists of one length"),
        (b'{"dataframe_split": {"columns": ["hour", "hour"], "data": []}}', 422, "more than once"),
        (b'{"dataframe_split": {"columns": [1], "data": []}}', 422, "all of them strings"),
        (b'{"instances": [{"dep_delay": Infinity}]}', 422, "not JSON"),
        (b'{"instances": [{"dep_delay": NaN, "temp": Infinity}]}', 422, "not JSON"),
        (b'{"instances": NaN', 422, "not JSON"),
        (b'{"instances": NaN}', 422, "list of objects"),
        (b'{"instances": ' + b"[" * 30_000 + b"NaN", 422, "not JSON"),
        (b'{"instances": ' + b"[" * 50_000 + b"NaN", 422, "more than 20000 flights"),
        (b"{}", 422, "dataframe_split"),
        (b'{"dataframe_split": {"columns": ["hour"], "data": [[1, 2]]}}', 422, "needs 1 values"),
        (b'{"dataframe_split": {"columns": ["hour"], "data": [[1]]}}', 422, "Missing: dep_delay"),
        (b'{"dataframe_split": {"columns": [], "data": []}}', 422, "Missing: dep_delay"),
        (b'{"dataframe_records": []}', 422, "0 rows"),
        (b'{"dataframe_records": [3]}', 422, "list of objects"),
        (b'{"dataframe_records": [{}]}', 422, "Missing: dep_delay"),
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
        ({"hour": {"at": 5}}, "hour must be a number"),
        ({"hour": [1]}, "hour must be a number"),
        ({"distance": 10**400}, "not JSON|distance"),
        ({"origin": 3}, "origin must be a string"),
        ({"origin": None}, "origin is null"),
        ({"dep_delay": None}, "dep_delay is null"),
    ],
)
def test_invocations_when_a_field_is_wrong_then_names_it(live, flights, changed, sentence):
    body = json.dumps({"dataframe_records": rows(flights, **changed)})
    answer = post(live, body)
    assert answer.status_code == 422 and re.search(sentence, answer.json()["error"])


def test_invocations_when_a_number_is_too_large_for_64_bits_then_names_the_field(live, flights):
    body = orjson.dumps({"instances": rows(flights, distance=12345)}).replace(b"12345", b"1e999")
    answer = post(live, body)
    assert answer.status_code == 422 and re.search("distance|not JSON", answer.json()["error"])


def test_invocations_when_the_body_is_too_long_then_413_and_the_next_request_is_served(
    live, flights
):
    with httpx.Client(base_url=live.url) as client:
        headers = {"content-type": "application/json"}
        answer = client.post("/invocations", content=b"x" * (10 * 2**20), headers=headers)
        assert answer.status_code == 413 and "send fewer rows" in answer.json()["error"]
        chunks = (b"x" * 2**20 for _ in range(10))
        answer = client.post("/invocations", content=chunks, headers=headers)
        assert answer.status_code == 413
        body = request_body(flights.iloc[:1])
        assert client.post("/invocations", content=body, headers=headers).status_code == 200


def test_invocations_when_too_many_flights_are_sent_then_says_how_many_are_allowed(live, flights):
    (flight,) = rows(flights)
    short = [list(flight.values())] * (MAX_ROWS + 1)
    body = orjson.dumps({"dataframe_split": {"columns": list(flight), "data": short}})
    answer = post(live, body)
    assert answer.status_code == 422 and "takes 1 to 20000" in answer.json()["error"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_invocations_when_the_content_type_is_another_then_415(live, flights, kind):
    headers = {"content-type": kind} if kind else {}
    body = request_body(flights.iloc[:1])
    answer = httpx.post(f"{live.url}/invocations", content=body, headers=headers)
    assert answer.status_code == 415 and "send application/json" in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/invocations", 405), ("POST", "/ping", 405)],
)
def test_service_when_a_route_is_unknown_then_names_those_there_are(live, method, path, status):
    answer = httpx.request(method, f"{live.url}{path}")
    assert answer.status_code == status and "POST /invocations" in answer.json()["error"]


def test_invocations_when_the_client_is_slow_then_others_are_served_and_it_gets_408(live, flights):
    address = ("127.0.0.1", int(live.url.rpartition(":")[2]))
    head = "POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with socket.create_connection(address, timeout=BODY_SECONDS + 10) as slow:
        slow.sendall(f"{head}content-length: 100\r\n\r\n{{".encode())
        assert live.score(flights.iloc[:1]).errors == 0
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")


def test_service_when_mlflows_own_client_calls_it_then_it_works_unchanged(live, models, flights):
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    client = ScoringServerClient("127.0.0.1", int(live.url.rpartition(":")[2]))
    client.wait_server_ready(timeout=5)
    frame = flights.iloc[:30][list(FEATURES)]
    frame.loc[frame.index[:3], ["temp", "pressure"]] = np.nan  # which this client writes as NaN
    whole = flights.iloc[:30][list(FEATURES)].astype({name: str for name in CATEGORICAL})
    whole = whole.assign(temp=40.0, pressure=1012.5)
    for sent, params in ((frame, None), (frame, {"cut": 0.4}), (whole.to_dict("records"), None)):
        answered = client.invoke(sent, params).get_predictions().iloc[:, 0]
        expected = models[0][0].probability(frame if sent is frame else whole)
        np.testing.assert_allclose(answered, expected, atol=1e-6)


def test_logs_when_requests_are_answered_then_hold_ids_versions_and_inputs(
    models, flights, tmp_path
):
    log, access = tmp_path / "predictions.db", tmp_path / "access.jsonl"
    with Service(predictions=log, access_log=access) as service:
        service.load(models[0][1].path, "one")
        headers = {"content-type": "application/json", "x-request-id": "flight-1"}
        body = orjson.dumps({"instances": rows(flights, 2, temp=None, dest="XXX")})
        answer = httpx.post(f"{service.url}/invocations", content=body, headers=headers)
        refused = post(service, b"{")
        service.load(models[1][1].path, "two")
        service.score(flights.iloc[:3])
    assert answer.headers["x-request-id"] == "flight-1"
    assert len(refused.headers["x-request-id"]) == 32
    kept = read_predictions(log)
    assert list(kept["version"]) == ["one"] * 2 + ["two"] * 3
    assert list(kept["request_id"][:2]) == ["flight-1"] * 2 and list(kept["row"][:2]) == [0, 1]
    assert list(kept["probability"][:2]) == answer.json()["predictions"]
    assert kept["temp"][:2].isna().all() and list(kept["dest"][:2]) == ["XXX"] * 2
    pd.testing.assert_frame_equal(read_predictions(log, ["flight-1", "none"]), kept.iloc[:2])
    assert read_predictions(log, []).empty
    columns = list(FEATURES)
    pd.testing.assert_frame_equal(
        kept.iloc[2:][columns].reset_index(drop=True),
        flights.iloc[:3][columns].astype({name: str for name in CATEGORICAL}),
        check_dtype=False,
    )
    lines = [orjson.loads(line) for line in access.read_text().splitlines()]
    told = {line["request_id"]: line for line in lines}
    assert told["flight-1"].items() >= {"status": 200, "rows": 2, "version": "one"}.items()
    assert told[refused.headers["x-request-id"]]["error"].startswith("The body is not JSON")


def test_prediction_log_when_the_service_is_killed_under_load_then_no_answer_is_missing(
    models, flights, tmp_path
):
    log = tmp_path / "predictions.db"
    answered: list[str] = []
    body = request_body(flights.iloc[:1])

    def ask(worker):
        with httpx.Client(base_url=service.url) as client, suppress(httpx.HTTPError):
            for number in range(10_000):
                request_id = f"{worker}-{number}"
                headers = {"content-type": "application/json", "x-request-id": request_id}
                client.post("/invocations", content=body, headers=headers).raise_for_status()
                answered.append(request_id)

    with Service(predictions=log) as service:
        service.load(models[0][1].path, "1")
        with ThreadPoolExecutor(4) as crowd:
            crowd.map(ask, range(4))
            while len(answered) < 200:
                time.sleep(0.01)
            os.kill(service.pid, signal.SIGKILL)
    kept = read_predictions(log)["request_id"]
    assert set(answered) <= set(kept) and kept.is_unique


def test_invocations_when_nothing_can_be_logged_then_503_and_no_answer(models, flights, tmp_path):
    log = tmp_path / "predictions.db"
    with Service(predictions=log) as service:
        service.load(models[0][1].path, "1")
        with closing(sqlite3.connect(log)) as spoiler, spoiler:
            spoiler.execute("ALTER TABLE predictions RENAME TO elsewhere")
        answer = post(service, request_body(flights.iloc[:1]))
    assert answer.status_code == 503 and "cannot be logged" in answer.json()["error"]


def test_service_when_it_crashes_then_the_answer_tells_only_the_id_and_the_log_the_cause(
    models, flights, tmp_path
):
    broken, access = tmp_path / "model", tmp_path / "access.jsonl"
    shutil.copytree(models[0][1].path, broken)
    expect_three_columns(broken)
    with Service(access_log=access) as service:
        service.load(broken, "1")
        body = request_body(flights.iloc[:1])
        answers = [post(service, body) for _ in range(2)]
    request_id = answers[0].headers["x-request-id"]
    assert [answer.status_code for answer in answers] == [500, 500]
    sentence = f"The service failed; its log tells why under {request_id}."
    assert answers[0].json() == {
        "error": sentence,
        "error_code": "INTERNAL_ERROR",
        "message": sentence,
    }
    lines = [orjson.loads(line) for line in access.read_text().splitlines()]
    crashed = next(line for line in lines if line.get("crashed"))
    assert crashed["request_id"] == request_id and "ValueError" in crashed["crashed"]


def expect_three_columns(folder):
    """Let a model be one that loads, and fails whenever it is asked."""
    estimator = load_model(folder).estimator
    estimator.n_features_in_ = 3
    (folder / "model.skops").write_bytes(skops.io.dumps(estimator))


def ask_each(service, flights):
    """Send one flight a request, each under an id of its own; return the answers."""
    with httpx.Client(base_url=service.url) as client:
        for number in range(len(flights)):
            headers = {"content-type": "application/json", "x-request-id": f"r-{number}"}
            body = request_body(flights.iloc[[number]])
            yield client.post("/invocations", content=body, headers=headers)


def test_shadow_when_on_then_the_challenger_sees_every_request_and_answers_none(
    models, flights, tmp_path
):
    log, some = tmp_path / "predictions.db", flights.iloc[:60]
    with Service(predictions=log) as service:
        for (_, registered), role in zip(models, ("champion", "challenger"), strict=True):
            service.load(registered.path, role, role)
        service.share(Split("shadow"))
        answers = list(ask_each(service, some))
    assert {answer.json()["model_version"] for answer in answers} == {"champion"}
    kept = read_predictions(log).pivot(index="request_id", columns="role", values="probability")
    kept = kept.loc[[f"r-{number}" for number in range(60)]]
    for (model, _), role in zip(models, ("champion", "shadow"), strict=True):
        np.testing.assert_array_equal(kept[role], model.probability(some))


def test_canary_when_on_then_answers_its_share_by_request_id(models, flights, tmp_path):
    log, some = tmp_path / "predictions.db", flights.iloc[:100]
    split = Split("canary", 0.3)
    with Service(predictions=log) as service:
        for (_, registered), role in zip(models, ("champion", "challenger"), strict=True):
            service.load(registered.path, role, role)
        service.share(split)
        answered = [answer.json()["model_version"] for answer in ask_each(service, some)]
        service.share(Split())
        after = {answer.json()["model_version"] for answer in ask_each(service, some)}
    assert answered == [role_of(f"r-{number}", split) for number in range(100)]
    assert 10 < answered.count("challenger") < 60 and after == {"champion"}
    assert list(read_requests(log)["role"][:100]) == answered


def test_canary_when_the_challenger_fails_then_the_champion_answers_and_the_failure_is_logged(
    models, flights, tmp_path
):
    log, broken, some = tmp_path / "predictions.db", tmp_path / "model", flights.iloc[:40]
    shutil.copytree(models[1][1].path, broken)
    expect_three_columns(broken)
    with Service(predictions=log) as service:
        service.load(models[0][1].path, "good")
        service.load(broken, "broken", "challenger")
        service.share(Split("canary", 0.5))
        answers = [(a.status_code, a.json()["model_version"]) for a in ask_each(service, some)]
        counted = figures(service)
    assert set(answers) == {(200, "good")}
    requests = read_requests(log)
    failed = requests[requests["failure"] != ""]
    assert 5 < len(failed) < 35 and set(failed["role"]) == {"challenger"}
    assert failed["failure"].str.startswith("ValueError").all()
    assert len(requests) == 40 + len(failed) and len(read_predictions(log)) == 40
    name = 'push_back_model_failures_total{role="challenger",version="broken"}'
    assert counted[name] == len(failed)


def test_start_when_the_port_is_taken_then_one_sentence(live):
    with pytest.raises(ServiceError, match="cannot be used"):
        Service(port=int(live.url.rpartition(":")[2])).start()


def test_start_when_it_died_then_listens_on_the_same_port_again(models):
    with Service() as service:
        url = service.url
        os.kill(service.pid, signal.SIGKILL)
        while service.alive:
            time.sleep(0.01)
        service.load(models[0][1].path, "1")
        assert service.url == url and service.ping()


def test_load_when_called_while_serving_then_the_next_answer_is_the_new_versions(models, flights):
    with Service() as service:
        assert not service.ping()
        assert post(service, request_body(flights.iloc[:1])).status_code == 503
        for version, (model, registered) in zip("12", models, strict=True):
            service.load(registered.path, version)
            scores = service.score(flights.iloc[:50])
            assert service.ping() and scores.version == version
            np.testing.assert_array_equal(scores.probability, model.probability(flights.iloc[:50]))


def test_load_when_the_files_are_not_those_of_the_digest_then_refused_and_the_old_one_stays(
    models, flights
):
    (_, registered), (_, other) = models
    with Service() as service:
        service.load(registered.path, "1", files=registered.files)
        with pytest.raises(ServiceError, match="have changed since it was registered"):
            service.load(other.path, "2", files=registered.files)
        assert service.score(flights.iloc[:1]).version == "1"


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


def test_kill_when_it_runs_then_it_is_gone_and_when_it_does_not_then_one_sentence():
    with Service() as service:
        pid = service.pid
        service.kill()
        while service.alive:
            time.sleep(0.01)
        assert not psutil.pid_exists(pid)
        with pytest.raises(ServiceError, match="is not running"):
            service.kill()


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
        "import time; from mlops_course.serving.service import Service;"
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


@pytest.mark.parametrize("content", ["old", "rubbish"])
def test_service_when_its_prediction_log_is_not_ours_then_says_so_and_leaves_it_alone(
    tmp_path, content
):
    path = tmp_path / "predictions.db"
    if content == "old":
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE predictions (number INTEGER, request_id TEXT)")
    else:
        path.write_bytes(b"rubbish" * 1_000)
    size = path.stat().st_size
    with pytest.raises(ServiceError, match=r"prediction log .* cannot be used .* Move it"):
        Service(predictions=path).start()
    assert path.stat().st_size == size
    with pytest.raises(WorkspaceError, match="Move it to another folder"):
        PredictionLog(path)


def test_log_when_begun_anew_then_later_requests_go_there_and_the_one_before_is_whole(
    models, flights, tmp_path
):
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    PredictionLog.anew(second).close()
    with Service(predictions=first) as service:
        service.load(models[0][1].path, "one")
        service.score(flights.iloc[:10])
        service.begin_log(second)
        service.score(flights.iloc[:20])
        process = psutil.Process(service.pid)
        service.kill()
        process.wait(10)
        service.load(models[0][1].path, "one")
        service.score(flights.iloc[:5])
    assert len(read_predictions(first)) == 10 and len(read_predictions(second)) == 25


def test_log_when_it_cannot_be_begun_then_says_so_and_the_one_before_goes_on(
    models, flights, tmp_path
):
    path = tmp_path / "first.db"
    with Service(predictions=path) as service:
        service.load(models[0][1].path, "one")
        with pytest.raises(ServiceError, match=r"could not begin a log.*cannot be used"):
            service.begin_log(tmp_path / "nowhere" / "second.db")
        service.score(flights.iloc[:10])
    assert len(read_predictions(path)) == 10


def test_send_when_some_requests_are_refused_then_the_answers_say_which(live, flights):
    good = request_body(flights.iloc[:2])
    answers = live.send([good, b"{}", good], ids=["a", "b", "c"])
    assert [answer.status_code for answer in answers] == [200, 422, 200]
    assert [answer.headers["x-request-id"] for answer in answers] == ["a", "b", "c"]


def test_log_when_begun_anew_at_the_same_place_then_is_emptied_and_goes_on(
    models, flights, tmp_path
):
    path = tmp_path / "run.db"
    with Service(predictions=path) as service:
        service.load(models[0][1].path, "one")
        service.score(flights.iloc[:10])
        service.begin_log(path)
        service.score(flights.iloc[:20])
        assert len(read_predictions(path)) == 20
        path.unlink()
        service.begin_log(path)
        service.score(flights.iloc[:5])
    assert len(read_predictions(path)) == 5


def test_order_when_nobody_waited_for_the_answer_to_the_last_then_gets_its_own(models, flights):
    with Service() as service:
        service.load(models[0][1].path, "one")
        service._answers.put({"order": service._orders, "failed": "of no interest"})
        service.load(models[1][1].path, "two")
        scores = service.score(flights.iloc[:50])
    np.testing.assert_array_equal(scores.probability, models[1][0].probability(flights.iloc[:50]))


def test_start_when_the_access_log_cannot_be_opened_then_names_the_file(tmp_path):
    service = Service(access_log=tmp_path / "nowhere" / "access.jsonl")
    with pytest.raises(ServiceError, match=r"access\.jsonl cannot be used \(No such file"):
        service.start()
