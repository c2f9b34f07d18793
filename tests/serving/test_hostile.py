"""The service under hostile traffic: it answers everybody, keeps its log readable, and its size."""

import os
import random
import resource
import socket
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from datetime import date

import httpx
import orjson
import psutil
import pytest
from hostile import ask, hostile_requests, wire

from mlops_course.core.errors import DataError, ServiceError, WorkspaceError
from mlops_course.core.files import delete_database
from mlops_course.course.fixtures import saved
from mlops_course.data.flights import load_flights
from mlops_course.serving import edge
from mlops_course.serving.app import MAX_WAITING_BYTES, Scorer
from mlops_course.serving.contract import read_columns, request_body
from mlops_course.serving.metrics import Metrics
from mlops_course.serving.prediction_log import (
    PredictionLog,
    Scored,
    Writer,
    read_predictions,
    read_requests,
)
from mlops_course.serving.routing import Split
from mlops_course.serving.service import Service
from mlops_course.training.trainer import TrainingConfig, train

HOSTILE_REQUESTS = int(os.environ.get("HOSTILE_REQUESTS", "228"))
PING_MS = 100
MB = 2**20


@pytest.fixture(scope="module")
def flights(shared_workspace):
    return load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 31))


@pytest.fixture(scope="module")
def model_path(flights):
    """The files of a small model."""
    with saved(train(flights, TrainingConfig(max_iter=5)).model) as path:
        yield path


@pytest.fixture
def live(model_path, tmp_path):
    """A service with its log in the test's folder."""
    with Service(
        predictions=tmp_path / "predictions.db", access_log=tmp_path / "access.jsonl"
    ) as service:
        service.load(model_path, "1")
        yield service


@pytest.fixture(scope="module")
def named(model_path):
    """A service without a log, for all tests that only ask it; a name of its own, too."""
    with Service(hosts=["Hub.Example:8080"]) as service:
        service.load(model_path, "1")
        yield service


@pytest.fixture(scope="module")
def flight(flights):
    body = orjson.loads(request_body(flights.iloc[:1]))["dataframe_split"]
    return dict(zip(body["columns"], body["data"][0], strict=True))


@pytest.fixture(scope="module")
def one(flights):
    return request_body(flights.iloc[:1])


def port_of(service):
    return int(service.url.rpartition(":")[2])


def post(service, body, **headers):
    headers = {"content-type": "application/json", **headers}
    return httpx.post(f"{service.url}/invocations", content=body, headers=headers, timeout=30)


@contextmanager
def pinging(service):
    """Ping for as long as the block lasts; give status and milliseconds of each."""
    pings = []
    over = threading.Event()

    def ping():
        with httpx.Client(base_url=service.url, trust_env=False, timeout=30) as client:
            while not over.wait(0.01):
                begun = time.perf_counter()
                status = client.get("/ping").status_code
                pings.append((status, 1000 * (time.perf_counter() - begun)))

    thread = threading.Thread(target=ping)
    thread.start()
    try:
        yield pings
    finally:
        over.set()
        thread.join()


def test_service_when_asked_in_hostile_ways_then_never_fails_stays_quick_and_keeps_its_size(
    live, flight, flights, tmp_path
):
    requests = list(hostile_requests(flight))
    assert len({request.name for request in requests}) == len(requests) >= 100
    lot = random.Random(0)
    order = []
    while len(order) < HOSTILE_REQUESTS:
        order += lot.sample(requests, len(requests))
    for request in requests:
        ask(port_of(live), request)
    process = psutil.Process(live.pid)
    before = process.memory_info().rss
    statuses = Counter()
    with pinging(live) as pings:
        for request in order[:HOSTILE_REQUESTS]:
            statuses[ask(port_of(live), request)] += 1
        grown = process.memory_info().rss - before
    assert not [status for status in statuses if status >= 500], statuses
    assert {status for status, _ in pings} == {200}
    times = sorted(ms for _, ms in pings)
    assert times[int(0.95 * len(times))] < PING_MS, times[-5:]
    assert times[-1] < 5 * PING_MS
    assert grown < 50 * MB
    assert live.score(flights).errors == 0
    assert len(read_predictions(tmp_path / "predictions.db")) >= len(flights)
    lines = (tmp_path / "access.jsonl").read_text().splitlines()
    told = [orjson.loads(line) for line in lines]
    assert not [line for line in told if "crashed" in line]
    assert all(line.isprintable() for line in lines)
    texts = [value for line in told for value in line.values() if isinstance(value, str)]
    assert max(map(len, texts)) <= edge.MAX_NOTED
    assert 499 in {line.get("status") for line in told}


@pytest.mark.parametrize("name", ["a word of 6 MB", "a column with a name of a megabyte"])
def test_answer_when_much_was_sent_then_repeats_little_of_it(named, flight, name):
    request = next(one for one in hostile_requests(flight) if one.name == name)
    assert len(wire(request)) > MB
    answer = post(named, request.body)
    assert answer.status_code == 422 and len(answer.text) < 600


def test_ping_when_hundreds_of_connections_say_nothing_then_is_answered_and_they_are_closed(live):
    # 300 silent connections stopped a service that could open 256 files.
    _, most = resource.prlimit(live.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(live.pid, resource.RLIMIT_NOFILE, (256, most))
    silent = [socket.create_connection(("127.0.0.1", port_of(live))) for _ in range(300)]
    dripping = silent[-1]
    dripping.sendall(b"GET /ping HTTP/1.1\r\nhost: localhost\r\nx: ")
    begun = time.monotonic()
    assert httpx.get(f"{live.url}/ping", timeout=5).status_code == 200
    assert psutil.Process(live.pid).num_fds() < 256
    dripping.settimeout(0.2)
    closed = False
    while not closed and time.monotonic() < begun + 3 * edge.IDLE_SECONDS:
        try:
            dripping.sendall(b"y")
            closed = dripping.recv(1) == b""
        except TimeoutError:
            continue
        except OSError:
            closed = True
    assert closed and time.monotonic() - begun < edge.IDLE_SECONDS + 3
    for connection in silent:
        connection.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:1"}, 200),
        ({"host": "[::1]:1"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "hub.example:443"}, 200),
        ({"host": "HUB.example"}, 200),
        ({"host": "localhost#.evil.example"}, 403),
        ({"host": "evil.example@localhost"}, 403),
        ({"origin": "http://localhost:8888"}, 200),
        ({"origin": "https://hub.example"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_service_when_asked_under_a_foreign_name_then_403(named, one, headers, status):
    assert post(named, one, **headers).status_code == status
    assert httpx.get(f"{named.url}/metrics", headers=headers).status_code == status


def test_log_when_locked_then_pings_go_on_requests_get_503_and_later_ones_an_answer(
    live, one, tmp_path
):
    path = tmp_path / "predictions.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pinging(live) as pings:
            begun = time.monotonic()
            assert httpx.get(f"{live.url}/health").status_code == 503
            answer = post(live, one)
            waited = time.monotonic() - begun
        other.execute("ROLLBACK")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert 1 < waited < 6
    assert {status for status, _ in pings} == {200} and max(ms for _, ms in pings) < 5 * PING_MS
    assert post(live, one).status_code == 200
    assert httpx.get(f"{live.url}/health").status_code == 200
    assert len(read_predictions(path)) == 1


def test_log_when_its_file_is_deleted_then_answers_go_into_a_new_one(live, one, tmp_path):
    path = tmp_path / "predictions.db"
    assert post(live, one).status_code == 200
    delete_database(path)
    assert post(live, one).status_code == 200
    assert len(read_predictions(path)) == 1


def test_log_when_it_was_away_for_a_moment_then_answers_go_on(live, one, tmp_path):
    path = tmp_path / "predictions.db"
    away = path.with_name("away")
    path.rename(away)
    path.mkdir()
    assert post(live, one).status_code == 503
    path.rmdir()
    path.symlink_to(path)
    assert post(live, one).status_code == 503
    assert httpx.get(f"{live.url}/health").status_code == 503
    path.unlink()
    away.rename(path)
    assert post(live, one).status_code == 200
    assert httpx.get(f"{live.url}/health").status_code == 200
    assert len(read_predictions(path)) == 1


def test_request_when_the_route_takes_no_such_method_then_405_says_which(named):
    answer = httpx.get(f"{named.url}/invocations")
    assert answer.status_code == 405 and answer.headers["allow"] == "POST"


def entry(body, probabilities=(0.5,), name="r"):
    return Scored(name, "champion", "1", body, 1.0, probabilities)


POISON = {
    "no JSON": b"{",
    "a surrogate": b'{"inputs": {"dest": ["\\ud800"]}}',
    "a word of 100 kB": None,
    "too few probabilities": None,
}


@pytest.mark.parametrize("name", POISON)
def test_log_when_one_entry_is_poison_then_it_is_named_and_the_rest_can_be_read(
    tmp_path, one, flight, name
):
    path = tmp_path / "predictions.db"
    log = PredictionLog(path)
    body = POISON[name] or one
    if name == "a word of 100 kB":
        body = orjson.dumps({"instances": [{**flight, "dest": "x" * 100_000}]})
    few = (0.5, 0.5) if name == "too few probabilities" else (0.5,)
    log.append(entry(one), entry(body, few, "bad"), entry(one))
    log.close()
    with pytest.raises(DataError, match=r"Entry 2 .* cannot be read"):
        read_predictions(path)
    kept = read_predictions(path, skip_unreadable=True)
    assert len(kept) == 2 and list(kept.attrs["unreadable"]) == [2]
    assert len(read_requests(path)) == 3


@pytest.mark.parametrize("content", [None, b"rubbish" * 1_000, b""])
def test_log_when_missing_or_damaged_then_reading_says_so(tmp_path, content):
    path = tmp_path / "predictions.db"
    if content is not None:
        path.write_bytes(content)
    for read in (read_predictions, read_requests):
        with pytest.raises(WorkspaceError, match="cannot be read"):
            read(path)


def test_log_when_too_large_then_the_oldest_entries_go(tmp_path, one):
    path = tmp_path / "predictions.db"
    log = PredictionLog(path, max_bytes=MB)
    for number in range(3_000):
        log.append(entry(one * 2, (), str(number)))
    log.close()
    kept = read_requests(path)["request_id"].astype(int)
    assert path.stat().st_size < 2 * MB
    assert kept.iloc[0] > 0 and kept.iloc[-1] == 2_999 and kept.is_monotonic_increasing


def test_writer_when_a_batch_cannot_be_written_then_nobody_waits_for_ever(tmp_path, one):
    writer = Writer(PredictionLog(tmp_path / "predictions.db"))
    writer.write([entry(one)]).result(timeout=5)
    broken = writer.write([entry(one, name=object())])  # type: ignore[arg-type]
    with pytest.raises(sqlite3.Error):
        broken.result(timeout=5)
    writer.write([entry(one)]).result(timeout=5)
    writer.close()
    assert len(read_predictions(tmp_path / "predictions.db")) == 2


def test_shadow_when_it_cannot_keep_up_then_passes_requests_and_holds_few_bytes(
    model_path, flights
):
    scorer = Scorer(Metrics())
    for role in ("champion", "challenger"):
        scorer.load(model_path, role, role)
    scorer.split = Split("shadow")
    columns = read_columns(request_body(flights.iloc[:20_000]))
    go_on = threading.Event()
    scorer._onlooker.submit(go_on.wait)
    for number in range(10):
        (answered,) = scorer.score(str(number), columns)
        scorer.look_on(answered)
    held = len(answered.body) * (10 - unseen(scorer))
    go_on.set()
    scorer.close()
    assert 0 < held <= MAX_WAITING_BYTES


def unseen(scorer):
    """How many requests the shadow had no time for."""
    return scorer.metrics.registry.get_sample_value("push_back_shadow_skipped_requests_total")


def test_order_when_the_one_before_timed_out_then_its_answer_is_not_taken_for_the_next(
    live, model_path, tmp_path, monkeypatch
):
    monkeypatch.setattr("mlops_course.serving.service.START_SECONDS", 0.5)
    process = psutil.Process(live.pid)
    process.suspend()
    with pytest.raises(ServiceError, match="does not answer"):
        live.load(model_path, "2")
    process.resume()
    monkeypatch.setattr("mlops_course.serving.service.START_SECONDS", 30)
    with pytest.raises(ServiceError, match="could not load version 3"):
        live.load(tmp_path / "nowhere", "3")
    live.load(model_path, "4")
    assert httpx.get(f"{live.url}/version").json() == {"model_version": "4"}
