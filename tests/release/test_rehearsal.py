import shutil
import sqlite3
from contextlib import closing
from datetime import date
from types import SimpleNamespace

import pandas as pd
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from mlops_course.core.errors import ModelError, RegistryError, WorkspaceError
from mlops_course.core.verdicts import Check, Verdict
from mlops_course.course.fixtures import train_candidate
from mlops_course.data.features import FEATURES
from mlops_course.data.flights import load_flights
from mlops_course.registry import promotions, versions
from mlops_course.release import rehearsal
from mlops_course.release.canary import Ruling
from mlops_course.release.rehearsal import (
    rehearse,
    rehearse_canary,
    rehearse_rollback,
    rehearse_skew,
)
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


@pytest.fixture
def two_judged(workspace, flights):
    """A store with two versions of different models, each with a verdict that passed."""
    store = connect(workspace)
    for trees in (3, 9):
        made = train_candidate(store, flights, max_iter=trees)
        passed = Verdict("model", (Check("better overall", True, "Better."),))
        promotions.log_verdict(store, made.run_id, passed)
    return store


def test_rollback_when_rehearsed_then_answers_return_and_the_store_is_left_alone(
    two_judged, flights
):
    verdict = rehearse_rollback(two_judged, flights[:50], "1", "2")
    assert verdict.passed and {check.name for check in verdict.checks} == {"answers", "log"}
    assert versions.version_at(two_judged) == "" and promotions.history(two_judged) == []


def test_rollback_when_it_goes_nowhere_or_writes_what_is_not_so_then_the_rehearsal_fails(
    two_judged, flights, monkeypatch
):
    stays = SimpleNamespace(after="2")
    monkeypatch.setattr(promotions, "roll_back", lambda *_: stays)
    answers, log = rehearse_rollback(two_judged, flights[:50], "1", "2").checks
    assert not answers.passed and log.passed
    monkeypatch.setattr(promotions, "roll_back", lambda *_: SimpleNamespace(after="1"))
    answers, log = rehearse_rollback(two_judged, flights[:50], "1", "2").checks
    assert not answers.passed and not log.passed
