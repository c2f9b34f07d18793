"""What a real service tells Prometheus after real requests, whatever clients send."""

import socket
import subprocess
import time
from datetime import date

import httpx
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlops_course.course.fixtures import saved
from mlops_course.data.flights import load_flights
from mlops_course.serving.contract import REASONS, request_body
from mlops_course.serving.metrics import PROBABILITIES, Metrics
from mlops_course.serving.service import Service
from mlops_course.training.trainer import TrainingConfig, train

JSON = {"content-type": "application/json"}
HEAD = b"POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


@pytest.fixture(scope="module")
def flights(shared_workspace):
    return load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 7))


@pytest.fixture(scope="module")
def model_path(flights):
    """The files of a small model."""
    with saved(train(flights, TrainingConfig(max_iter=5)).model) as path:
        yield path


@pytest.fixture(scope="module")
def live(model_path, tmp_path_factory):
    with Service(predictions=tmp_path_factory.mktemp("metrics") / "predictions.db") as service:
        service.load(model_path, "1")
        yield service


def scraped(service):
    return httpx.get(f"{service.url}/metrics").text


def figures(service):
    """Return each series' value by its name and labels, as the text has them."""
    pairs = (line.rsplit(" ", 1) for line in scraped(service).splitlines() if line[0] != "#")
    return {name: float(value) for name, value in pairs}


def gained(service, before):
    return {name: value - before.get(name, 0) for name, value in figures(service).items()}


def post(service, content, **headers):
    return httpx.post(f"{service.url}/invocations", content=content, headers={**JSON, **headers})


def records(flights, count=1, **changed):
    split = orjson.loads(request_body(flights.iloc[:count]))["dataframe_split"]
    rows = [dict(zip(split["columns"], row, strict=True)) for row in split["data"]]
    return orjson.dumps({"instances": [row | changed for row in rows]})


def test_metrics_when_flights_were_scored_then_count_rows_nulls_unseen_and_time(live, flights):
    before = figures(live)
    assert post(live, records(flights, 3, temp=None, dest="XXX")).status_code == 200
    assert post(live, b"{").status_code == 422
    more = gained(live, before)
    assert sum(more[name] for name in more if name.startswith("push_back_flights_total")) == 3
    assert more['push_back_missing_values_total{field="temp"}'] == 3
    assert more['push_back_unseen_values_total{field="dest"}'] == 3
    for status in ("200", "422"):
        assert more[f'push_back_requests_total{{route="/invocations",status="{status}"}}'] == 1
    assert more['push_back_request_duration_seconds_count{route="/invocations"}'] == 2


def test_metrics_when_flights_were_scored_then_their_probabilities_fill_the_buckets(live, flights):
    before = figures(live)
    answered = post(live, request_body(flights.iloc[:500])).json()["predictions"]
    more = gained(live, before)
    name = 'push_back_late_probability_{}{{{}role="champion",version="1"}}'
    for bound in PROBABILITIES:
        in_bucket = more[name.format("bucket", f'le="{bound}",')]
        assert in_bucket == sum(one <= bound for one in answered)
    assert more[name.format("count", "")] == 500
    assert more[name.format("sum", "")] == pytest.approx(sum(answered))


@pytest.mark.parametrize(
    ("reason", "sent"),
    [
        ("form", {"content": b"{"}),
        ("form", {"content": b'{"instances": []}'}),
        ("columns", {"content": b'{"instances": [{"hour": 1}]}'}),
        ("type", {"content": b"{}", "content-type": "text/plain"}),
        ("foreign", {"content": b"{}", "host": "evil.example"}),
        ("long", {"content": b" " * 9 * 2**20}),
    ],
)
def test_refusals_when_a_request_is_refused_then_counted_by_the_kind_of_reason(live, reason, sent):
    before = figures(live)
    assert 400 <= post(live, **sent).status_code < 500
    more = gained(live, before)
    counted = {name: more[name] for name in more if name.startswith("push_back_refusals_total")}
    assert {name: count for name, count in counted.items() if count} == {
        f'push_back_refusals_total{{reason="{reason}"}}': 1
    }


def test_refusals_when_a_value_or_a_route_is_wrong_then_counted_apart(live, flights):
    before = figures(live)
    assert post(live, records(flights, hour="x")).status_code == 422
    assert httpx.get(f"{live.url}/nowhere").status_code == 404
    more = gained(live, before)
    for reason in ("values", "route"):
        assert more[f'push_back_refusals_total{{reason="{reason}"}}'] == 1


def test_metrics_when_the_service_has_just_begun_then_what_can_happen_is_there_at_zero(flights):
    with Service() as empty:
        first = figures(empty)
        assert post(empty, records(flights)).status_code == 503
        assert figures(empty)['push_back_refusals_total{reason="no model"}'] == 1
    assert {first[f'push_back_refusals_total{{reason="{reason}"}}'] for reason in REASONS} == {0}
    assert first['push_back_requests_total{route="/invocations",status="500"}'] == 0
    assert first['push_back_missing_values_total{field="pressure"}'] == 0
    assert first["push_back_prediction_log_bytes"] == 0
    assert first["push_back_max_requests_in_progress"] == 64


def test_in_progress_when_a_body_is_on_its_way_then_one_until_it_is_answered(live):
    name = 'push_back_requests_in_progress{route="/invocations"}'
    assert figures(live)[name] == 0
    address = ("127.0.0.1", int(live.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=5) as slow:
        slow.sendall(HEAD + b"content-length: 2\r\n\r\n{")
        wait_until(lambda: figures(live)[name] == 1)
        slow.sendall(b"}")
        assert slow.recv(100).startswith(b"HTTP/1.1 422")
    assert figures(live)[name] == 0


def test_log_size_when_flights_are_logged_then_grows(live, flights):
    name = "push_back_prediction_log_bytes"
    before = figures(live)[name]
    post(live, request_body(flights))
    assert figures(live)[name] > before > 0
    assert figures(live)["push_back_prediction_log_max_bytes"] == 512 * 2**20


def test_model_info_when_another_version_is_loaded_then_names_it_alone():
    metrics = Metrics()
    metrics.serves("champion", "1")
    metrics.serves("champion", "2")
    info = [line for line in metrics.text().decode().splitlines() if "model_info{" in line]
    assert info == ['push_back_model_info{role="champion",version="2"} 1.0']


def test_series_when_clients_send_what_they_like_then_become_no_more(live, flights):
    def send(word):
        post(live, records(flights, dest=word, carrier=word, origin=word))
        post(live, records(flights, **{word: 1}), **{"x-request-id": word})
        post(live, b"{}", host=word)
        post(live, b"{}", **{"content-type": word})
        httpx.get(f"{live.url}/{word}")
        httpx.request(word.upper(), f"{live.url}/invocations")

    send("before")
    known = set(figures(live))
    for number in range(5):
        send(f"word{number}")
    assert set(figures(live)) == known


def test_names_when_read_then_are_those_of_prometheus_conventions(live, flights):
    post(live, records(flights))
    families = list(text_string_to_metric_families(scraped(live)))
    ours = [family for family in families if family.name.startswith("push_back_")]
    for family in ours:
        if family.name.endswith("_created"):
            continue
        assert family.documentation.endswith("."), family.name
        totals = {sample.name.endswith("_total") for sample in family.samples}
        assert (family.type == "counter") == (True in totals), family.name
    assert len(ours) > 15


def test_names_when_checked_by_promtool_then_nothing_is_found(live, promtool):
    command = [promtool, "check", "metrics"]
    done = subprocess.run(command, input=scraped(live), capture_output=True, text=True, timeout=30)
    found = [line for line in done.stderr.splitlines() if "_created" not in line]
    assert not [line for line in found if line.startswith("push_back")], done.stderr


def wait_until(holds):
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
