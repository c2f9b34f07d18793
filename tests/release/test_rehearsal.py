import shutil
import sqlite3
from contextlib import closing
from datetime import date

import pandas as pd
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from mlops_course.core.errors import ModelError, RegistryError, WorkspaceError
from mlops_course.course.fixtures import train_candidate
from mlops_course.data.features import FEATURES
from mlops_course.data.flights import load_flights
from mlops_course.registry import versions
from mlops_course.release import rehearsal
from mlops_course.release.canary import Ruling
from mlops_course.release.rehearsal import rehearse, rehearse_canary, rehearse_skew
from mlops_course.training.tracking import connect


@pytest.fixture(scope="module")
def flights(shared_workspace):
    return load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 7))


@pytest.fixture
def store(workspace, flights):
    """A store with a champion."""
    store = connect(workspace)
    made = train_candidate(store, flights, max_iter=3)
    store.client.set_registered_model_alias(versions.MODEL_NAME, "champion", made.version)
    return store


def test_rehearse_when_flights_go_through_then_the_log_holds_them_as_they_were(store, flights):
    log = rehearse(store, flights.iloc[:50])
    columns = list(FEATURES)
    pd.testing.assert_frame_equal(
        log[columns].astype(object),
        flights.iloc[:50][columns].reset_index(drop=True).astype(object),
    )
    assert set(log["version"]) == {"1"} and log["probability"].between(0, 1).all()
    with pytest.raises(RegistryError, match="is nobody"):
        rehearse(store, flights.iloc[:5], "nobody")


def test_skew_when_the_log_holds_what_was_sent_then_passes(store, flights):
    verdict = rehearse_skew(store, flights.iloc[:50])
    assert verdict.passed and len(verdict.checks) == 2, verdict.failures


@pytest.mark.parametrize(
    ("change", "blamed"),
    [
        (lambda rows: rows.assign(distance=rows["distance"] + 1), "equal"),
        (lambda rows: rows.assign(hour=rows["hour"] + 4), "shift"),
    ],
)
def test_skew_when_the_log_differs_or_the_hour_cannot_be_told_then_fails(
    store, flights, monkeypatch, change, blamed
):
    monkeypatch.setattr(rehearsal, "rehearse", lambda store, rows: change(rows))
    verdict = rehearse_skew(store, flights.iloc[:50])
    assert blamed in [check.name for check in verdict.checks if not check.passed]


def test_rehearse_when_files_are_gone_or_the_store_is_locked_or_deleted_then_says_so_at_once(
    store, flights
):
    shutil.rmtree(versions.get(store, "1").path)
    with pytest.raises(ModelError, match=r"files cannot be read \(No such file"):
        rehearse(store, flights.iloc[:5])
    database = store.workspace.database
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(WorkspaceError, match="locked by another program"):
            rehearse(store, flights.iloc[:5])
    database.unlink()
    with pytest.raises(WorkspaceError, match="first cell"):
        rehearse(store, flights.iloc[:5])


def test_rehearsal_when_open_then_scores_on_one_thread_and_gives_the_others_back():
    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"}

    with threadpool_limits(2):
        with rehearsal.rehearsal():
            assert threads() == {1}
        assert threads() == {2}


def test_canary_when_a_challenger_fails_then_it_is_blamed_and_nobody_notices(store, flights):
    verdict = rehearse_canary(store, flights.iloc[:400])
    assert verdict.passed and len(verdict.checks) == 4, verdict.failures


def test_canary_when_failures_go_unseen_then_the_rehearsal_fails(store, flights, monkeypatch):
    monkeypatch.setattr(rehearsal, "judge_canary", lambda *_: Ruling("promote", ()))
    verdict = rehearse_canary(store, flights.iloc[:400])
    assert not verdict.passed and "failing: blamed for" in str(verdict)


def test_canary_when_nothing_serves_then_says_so(workspace, flights):
    with pytest.raises(RegistryError, match="is champion"):
        rehearse_canary(connect(workspace), flights.iloc[:5])
