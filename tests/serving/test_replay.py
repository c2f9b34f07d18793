from datetime import date

import pytest

from mlops_course.core.errors import ServiceError
from mlops_course.course.fixtures import train_candidate
from mlops_course.data.flights import load_flights
from mlops_course.registry.versions import MODEL_NAME
from mlops_course.release.follower import get_split, serve, set_split
from mlops_course.serving import replay
from mlops_course.serving.prediction_log import read_predictions, read_requests
from mlops_course.serving.routing import Split
from mlops_course.serving.service import Service
from mlops_course.training.tracking import connect


@pytest.fixture
def flights(shared_workspace):
    return load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 7))


@pytest.fixture
def store(workspace, flights):
    """A store with a champion and a challenger."""
    store = connect(workspace)
    for seed, alias in enumerate(("champion", "challenger")):
        made = train_candidate(store, flights, max_iter=3, random_state=seed)
        store.client.set_registered_model_alias(MODEL_NAME, alias, made.version)
    return store


def test_numbered_when_a_day_ends_then_a_new_request_begins(flights):
    two_days = flights[flights["date"] <= "2013-01-02"].groupby("date").head(7)
    found = replay.numbered(two_days, 5)
    first = [f"01-01.{n}" for n in (0, 0, 0, 0, 0, 1, 1)]
    assert found["request_id"].tolist() == [*first, *(n.replace("01-01", "01-02") for n in first)]
    assert found["row"].tolist() == [0, 1, 2, 3, 4, 0, 1] * 2


def test_send_when_requests_are_shared_then_the_log_has_what_was_answered(store, flights):
    log, rows = replay.new_log(store, "log"), replay.numbered(flights.iloc[:100])
    with serve(store, service=Service(predictions=log)) as service:
        set_split(store, Split("canary", 0.5), service)
        answered = replay.send(service.url, rows)
        assert replay.send(service.url, rows.iloc[:10], insist=True).items() <= answered.items()
    assert get_split(store) == Split("canary", 0.5) and set(answered.values()) == {"1", "2"}
    requests, predictions = read_requests(log), read_predictions(log)
    assert dict(zip(requests["request_id"], requests["version"], strict=True)) == answered
    assert len(predictions) == 110
    assert set(read_requests(log, ["01-01.3"])["request_id"]) == {"01-01.3"}
    assert not replay.new_log(store, "log").exists()


def test_send_when_nothing_listens_or_a_flight_is_refused_then_says_so(store, flights):
    rows = replay.numbered(flights.iloc[:5])
    with pytest.raises(ServiceError, match="Nobody answers"):
        replay.send("http://127.0.0.1:9", rows)
    with (
        serve(store, service=Service()) as service,
        pytest.raises(ServiceError, match=r"01-01.0 was answered with 422: .*hour"),
    ):
        replay.send(service.url, rows.assign(hour=float("nan")))
