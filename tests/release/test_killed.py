"""Kill -9 at random moments: nothing that was told is lost, and the store opens.

`KILLS` programs and services are killed: 12 by default, 200 to measure.
"""

import os
import random
import signal
import sqlite3
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress

import pytest
from busy import PASSED, busy, empty, finishes, release, use

from mlops_course.core.errors import ServiceError
from mlops_course.core.workspace import Workspace, open_workspace
from mlops_course.course.fixtures import train_candidate
from mlops_course.data.flights import load_flights
from mlops_course.registry import promotions, versions
from mlops_course.release import gate
from mlops_course.release.follower import serve
from mlops_course.serving.client import send
from mlops_course.serving.contract import request_body
from mlops_course.serving.prediction_log import read_predictions
from mlops_course.training import tracking

KILLS = int(os.environ.get("KILLS", "12"))
CHAIN = {"unchanged", "chained", "in order of time", "evidence kept", "kept"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="sends Unix signals"),
]


@pytest.fixture
def store(tmp_path, shared_workspace):
    """A store with one version, in charge."""
    made = tracking.connect(open_workspace(tmp_path / "workspace", cache=shared_workspace.cache))
    rows = load_flights(shared_workspace, "2013-01-01", "2013-01-03")
    registered = train_candidate(made, rows, max_iter=2)
    evidence = gate.record(made, registered.version, PASSED)
    promotions.promote(made, registered.version, "test", evidence=evidence)
    return made


@contextmanager
def traffic(service, body):
    """Ask two clients' worth for as long as the block lasts; give the ids that were answered."""
    answered = []
    over = threading.Event()

    def ask(client):
        number = 0
        while not over.is_set():
            number += 1
            name = f"{client}-{number}"
            with suppress(ServiceError):
                (answer,) = send(service.url, [body], [name])
                if answer.status_code == 200:
                    answered.append(name)
                else:
                    assert answer.status_code == 503

    with ThreadPoolExecutor(2) as crowd:
        asked = [crowd.submit(ask, client) for client in range(2)]
        try:
            yield answered
        finally:
            over.set()
    for one in asked:
        one.result()


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def told(done):
    """What the programs noted once it was done."""
    return set(done.read_text(encoding="utf-8").splitlines()) if done.exists() else set()


def intact(database):
    with closing(sqlite3.connect(database)) as opened:
        return opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_release_when_programs_and_services_are_killed_then_nothing_that_was_told_is_lost(
    store, tmp_path, shared_workspace
):
    lot = random.Random(0)
    done = tmp_path / "done"
    body = request_body(load_flights(shared_workspace, "2013-01-01", "2013-01-01").iloc[:1])
    killed = {"program": 0, "service": 0}
    with serve(store) as service, traffic(service, body) as answered:
        while sum(killed.values()) < KILLS // 2:
            with busy(release, store.workspace, done) as program:
                time.sleep(lot.uniform(0.2, 4))
                wait_for(lambda: told(done))  # the first to be killed has moved something
                assert program.is_alive()
                if service.pid and lot.random() < 0.5:
                    os.kill(service.pid, signal.SIGKILL)
                    killed["service"] += 1
                    time.sleep(lot.uniform(0, 1))
            killed["program"] += 1
            checks = {check.name: check for check in promotions.audit(store).checks}
            assert all(checks[name].passed for name in CHAIN), checks
            assert checks["alias where the log left it"].passed or not checks["carried out"].passed
            assert versions.resolve(store).version in {e.after for e in promotions.history(store)}
        before = len(answered)
        wait_for(lambda: len(answered) > before + 10)
    kept = set(read_predictions(store.workspace.predictions)["request_id"])
    assert len(answered) > 100 and not set(answered) - kept
    logged = {entry.digest for entry in promotions.history(store)}
    assert told(done) and not told(done) - logged
    assert intact(store.workspace.database) and intact(store.workspace.predictions)
    print(killed, len(answered), "answers,", len(told(done)), "moves told")


def test_reset_when_it_is_killed_then_the_store_opens_and_takes_what_is_written(
    tmp_path, shared_workspace
):
    lot = random.Random(0)
    done = tmp_path / "done"
    workspace = Workspace(tmp_path / "workspace", shared_workspace.cache)
    for _ in range(KILLS - KILLS // 2):
        with busy(empty, workspace, done) as program:
            time.sleep(lot.uniform(0.1, 2.5))
            assert program.is_alive()
        assert finishes(use, workspace, done)
        assert intact(workspace.database)
    assert told(done)
