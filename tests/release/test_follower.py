import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import date

import httpx
import pytest

from mlops_course.core.errors import RegistryError, ServiceError, WorkspaceError
from mlops_course.core.resetting import reset_workspace
from mlops_course.core.verdicts import Check, Verdict
from mlops_course.core.workspace import open_workspace
from mlops_course.data.flights import load_flights
from mlops_course.registry import promotions, versions
from mlops_course.release import follower
from mlops_course.release.follower import get_split, serve, set_split
from mlops_course.release.follower import wait_for as wait_until_served
from mlops_course.serving.client import asking, insist
from mlops_course.serving.contract import request_body
from mlops_course.serving.prediction_log import read_predictions
from mlops_course.serving.routing import Split, role_of
from mlops_course.training import tracking
from mlops_course.training.trainer import TrainingConfig, train

PASSED = Verdict("model", (Check("better overall", True, "Better."),))
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def flights(shared_workspace):
    return load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 14))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, shared_workspace, flights):
    """A workspace with two versions, the first of them champion, and a copy of its folder."""
    root = tmp_path_factory.mktemp("deployment") / "workspace"
    workspace = open_workspace(root, cache=shared_workspace.cache)
    store = tracking.connect(workspace)
    for trees in (5, 6):
        result = train(flights, TrainingConfig(max_iter=trees))
        run_id, uri = tracking.log_training(
            store, tracking.provenance(), result, flights, {}, name="t", seed=0, parent=""
        )
        promotions.log_verdict(store, run_id, PASSED)
        versions.register(store, run_id, uri)
    promote(store, "1")
    return workspace, shutil.copytree(root, root.with_name("copy"))


@pytest.fixture
def store(prepared):
    """The store with the two versions, whatever the test before has done to it."""
    workspace, copy = prepared
    shutil.rmtree(workspace.root)
    shutil.copytree(copy, workspace.root)
    return tracking.connect(workspace)


def promote(store, version):
    evidence = versions.get(store, version).run_id
    promotions.promote(store, version, "test", evidence=evidence)


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_serve_when_the_alias_moves_under_load_then_follows_and_drops_no_request(store, flights):
    with serve(store) as service:
        with asking(service.url, [request_body(flights.iloc[:1])], 3) as answers:
            wait_for(lambda: len(answers) > 50)
            promote(store, "2")
            wait_for(lambda: answers[-1].version == "2")
            promotions.roll_back(store, "test")
            wait_for(lambda: answers[-1].version == "1")
        count = len(answers)
        time.sleep(0.1)
        assert len(answers) == count
    assert {answer.status for answer in answers} == {200}
    assert answers[0].version == answers[-1].version == "1"
    assert "2" in {answer.version for answer in answers}
    assert len(read_predictions(store.workspace.predictions)) == len(answers)


def test_serve_when_the_service_dies_then_it_is_started_again_at_the_same_url(store, flights):
    with serve(store) as service:
        os.kill(service.pid, signal.SIGKILL)
        wait_for(lambda: not service.alive)
        wait_for(lambda: service.alive and service.ping())
        assert service.score(flights.iloc[:1]).version == "1"


def test_serve_when_killed_in_mid_canary_then_no_answer_is_lost_and_the_split_is_resumed(
    store, flights
):
    store.client.set_registered_model_alias(versions.MODEL_NAME, "challenger", "2")
    split, answered = Split("canary", 0.3), {}

    def ask(service, numbers):
        names = [f"r-{number}" for number in numbers]
        bodies = [request_body(flights.iloc[:1])] * len(names)
        for answer in insist(service.url, bodies, ids=names):
            answered[answer.headers["x-request-id"]] = answer.json()["model_version"]

    with serve(store) as service:
        set_split(store, split, service)
        ask(service, range(60))
        os.kill(service.pid, signal.SIGKILL)
        ask(service, range(60, 120))
    with serve(store) as another:
        ask(another, range(120, 180))
    serving = {"champion": "1", "challenger": "2"}
    assert answered == {name: serving[role_of(name, split)] for name in answered}
    assert set(answered.values()) == {"1", "2"}
    kept = read_predictions(store.workspace.predictions)
    assert dict(zip(kept["request_id"], kept["version"], strict=True)) == answered


def test_split_when_it_is_changed_in_the_registry_then_the_service_follows_and_tells(store):
    told = []
    with pytest.raises(RegistryError, match="No version of push-back is challenger"):
        set_split(store, Split("shadow"))
    store.client.set_registered_model_alias(versions.MODEL_NAME, "challenger", "2")
    with serve(store, tell=told.append) as service:
        set_split(store, Split("canary", 0.25))
        wait_for(lambda: service.split.share == 0.25)
        set_split(store, Split())
        wait_for(lambda: service.split == Split())
    assert told[0] == "Version 2 is the challenger now."
    assert told[1] == "Requests are split: canary, 25% to the challenger."


def test_split_when_the_service_is_closed_then_says_so_at_once(store):
    with serve(store) as service:
        pass
    for late in (
        lambda: set_split(store, Split(), service),
        lambda: wait_until_served(service, "1"),
    ):
        with pytest.raises(ServiceError, match="closed"):
            late()


def test_split_when_the_store_is_locked_then_says_so(store):
    with closing(sqlite3.connect(store.workspace.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(WorkspaceError, match="lock"):
            set_split(store, Split())


@pytest.mark.parametrize(("mode", "share"), [("canary", "a lot"), ("canary", "2"), ("x\n", "0")])
def test_split_when_somebody_edited_it_then_it_is_told_and_the_service_goes_on(
    store, flights, mode, share
):
    told = []
    with serve(store, tell=told.append) as service:
        store.client.set_registered_model_tag(versions.MODEL_NAME, follower.SHARE, share)
        store.client.set_registered_model_tag(versions.MODEL_NAME, follower.MODE, mode)
        wait_for(lambda: told)
        assert service.score(flights.iloc[:1]).version == "1"
    assert "push-back has the tags split.mode=" in told[-1] and told[-1].isprintable()


def test_serve_when_the_store_rests_then_the_registry_is_not_asked_until_it_is_written(
    store, monkeypatch
):
    asked = []

    def note(store):
        asked.append(time.monotonic())
        return get_split(store)

    monkeypatch.setattr(follower, "get_split", note)
    monkeypatch.setattr(follower, "SETTLED_SECONDS", 0.3)
    with serve(store) as service:
        time.sleep(1.0)
        count = len(asked)
        time.sleep(1.0)
        assert len(asked) == count
        promote(store, "2")
        assert wait_until_served(service, "2") == "2"
        assert len(asked) > count


def test_serve_when_the_workspace_is_reset_then_nothing_is_served_until_the_new_one_has_a_champion(
    store, prepared, flights, monkeypatch
):
    monkeypatch.setattr(follower, "SETTLED_SECONDS", 0.3)
    body = request_body(flights.iloc[:1])
    told = []
    with serve(store, tell=told.append) as service:
        assert service.send([body])[0].status_code == 200
        time.sleep(0.5)
        reset_workspace(store.workspace)
        wait_for(lambda: len(told) > 1)
        assert "emptied or replaced" in told[0] and service.versions == {}
        assert httpx.post(f"{service.url}/invocations", content=body, headers=JSON).is_server_error
        again = tracking.connect(store.workspace)
        result = train(flights, TrainingConfig(max_iter=7))
        run_id, uri = tracking.log_training(
            again, tracking.provenance(), result, flights, {}, name="t", seed=0, parent=""
        )
        promotions.log_verdict(again, run_id, PASSED)
        versions.register(again, run_id, uri)
        promote(again, "1")
        assert wait_until_served(service, "1") == "1"
        expected = result.model.probability(flights.iloc[:1])
        assert service.score(flights.iloc[:1]).probability == pytest.approx(expected)
    assert len(read_predictions(store.workspace.predictions)) == 1


def test_serve_when_the_workspace_is_put_back_as_it_was_then_its_version_is_served_again(
    store, prepared, flights, tmp_path
):
    """Version and folder are the same then, and yet it is another workspace in between."""
    told = []
    with serve(store, tell=told.append) as service:
        reset_workspace(store.workspace)
        wait_for(lambda: len(told) > 1)
        shutil.rmtree(store.workspace.root)
        shutil.copytree(prepared[1], store.workspace.root)
        assert wait_until_served(service, "1") == "1"
        assert service.score(flights.iloc[:1]).version == "1"
    assert len(read_predictions(store.workspace.predictions)) == 1


def test_serve_when_the_alias_points_at_nothing_then_says_what_to_do(store):
    with pytest.raises(RegistryError, match=r"is challenger.*Promote"), serve(store, "challenger"):
        pass


def test_serve_when_the_new_model_cannot_be_read_then_tells_once_and_the_old_one_stays(
    store, flights
):
    told = []
    (versions.get(store, "2").path / "MLmodel").write_text("broken: [")
    with serve(store, tell=told.append) as service:
        store.client.set_registered_model_alias(versions.MODEL_NAME, "champion", "2")
        wait_for(lambda: told)
        time.sleep(1.2)
        assert service.score(flights.iloc[:1]).version == "1"
    assert len(told) == 1 and "have changed since it was registered" in told[0]


@pytest.mark.skipif(sys.platform == "win32", reason="sends Unix signals")
def test_command_when_started_then_prints_the_url_once_ready_and_stops_on_sigterm(store, flights):
    command = [sys.executable, "-m", "mlops_course", "serve", "--workspace"]
    process = subprocess.Popen(
        [*command, str(store.workspace.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = process.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
    body = request_body(flights.iloc[:2])
    answer = httpx.post(f"{url}/invocations", content=body, headers=JSON)
    assert answer.status_code == 200 and answer.json()["model_version"] == "1"
    promote(store, "2")
    wait_for(lambda: httpx.get(f"{url}/version").json()["model_version"] == "2")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0 and said.endswith("Stopped.\n")
    assert "Version 2 serves now." in said and '"path":"/invocations","status":200' in said
    assert len(read_predictions(store.workspace.predictions)) == 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [(("--port", "99999"), "Ports go from 0"), (("--alias", "nobody"), "is nobody")],
)
def test_command_when_it_cannot_serve_then_one_sentence(store, options, sentence):
    command = [sys.executable, "-m", "mlops_course", "serve", *options]
    done = subprocess.run(
        [*command, "--workspace", str(store.workspace.root)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode in (1, 2) and sentence in done.stderr and "Traceback" not in done.stderr


def test_wait_for_when_the_alias_moves_then_returns_and_else_says_what_is_served(
    store, monkeypatch
):
    with serve(store) as service:
        promote(store, "2")
        assert wait_until_served(service, "2") == "2"
        monkeypatch.setattr(follower, "MOVE_SECONDS", 0.2)
        with pytest.raises(ServiceError, match="serves version 2, not 1"):
            wait_until_served(service, "1")
