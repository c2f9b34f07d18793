"""What comes back from production: policies that a run is given, and what they may not break."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, replace

import pytest
from mlflow.exceptions import MlflowException

from mlops_course.core.workspace import open_workspace
from mlops_course.deciding.decisions import (
    Retrain,
    RollBack,
    Window,
)
from mlops_course.pipeline.events import (
    Promoted,
    Rejected,
    Retrained,
    RolledBack,
    RunFinished,
    StageFailed,
    StageFinished,
    WeekScored,
)
from mlops_course.pipeline.loop import run_pipeline
from mlops_course.pipeline.policies import (
    DecideByHand,
    RetrainOnSchedule,
    ReuseFirst,
)
from mlops_course.pipeline.scenarios import SCENARIOS, RunConfig
from mlops_course.registry import promotions, versions
from mlops_course.training import tracking


@pytest.fixture(scope="module")
def place(tmp_path_factory, template_cache):
    workspace = open_workspace(tmp_path_factory.mktemp("cycles") / "workspace")
    shutil.copytree(template_cache, workspace.cache, dirs_exist_ok=True)
    return workspace


def only(events, *kinds):
    return [event for event in events if isinstance(event, kinds)]


def run(place, service, policy, scenario="good", weeks=2, **settings):
    config = RunConfig(scenario, weeks, **settings)
    return list(run_pipeline(config, place, service, policy))


@pytest.fixture(scope="module")
def repaired(place, service):
    """The feed changes, a model is retrained; the feed is repaired, the old one serves again."""
    return run(place, service, ReuseFirst(), "repaired", weeks=13)


def test_repaired_run_when_the_old_version_knows_the_world_then_goes_back_to_it(repaired, place):
    first, second = only(repaired, Promoted)
    (back,) = only(repaired, RolledBack)
    assert (back.from_version, back.to_version) == (second.to_version, first.to_version)
    weeks = only(repaired, WeekScored)
    served = [week for week in weeks if week.week > back.week]
    assert back.week == "2013-10-28"  # the first week after the repair
    assert len(served) == 4 and {week.model_version for week in served} == {first.to_version}
    assert len(only(repaired, Retrained)) == 1
    store = tracking.connect(place)
    assert versions.find(store).version == first.to_version
    entry = promotions.history(store)[-1]
    assert (entry.action, entry.evidence) == ("rolled back", first.run_id)
    assert promotions.audit(store).passed


def test_repaired_run_when_the_old_version_is_back_then_beats_the_retrained_one(repaired):
    (back,) = only(repaired, RolledBack)
    served = [week for week in only(repaired, WeekScored) if week.week > back.week]
    assert all(week.accuracy > week.former_accuracy + 0.01 for week in served)


def test_run_when_a_policy_decides_then_mlflow_names_it(repaired, place):
    params = tracking.connect(place).client.get_run(repaired[0].run_id).data.params
    assert params["policy"] == repaired[0].policy == repr(ReuseFirst())


def test_run_when_the_policy_wants_other_weeks_then_the_candidate_is_trained_on_those(
    place, service
):
    policy = DecideByHand({1: Retrain(Window(5, flights=15_000))})
    (retrained,) = only(run(place, service, policy), Retrained)
    assert retrained.weeks == ("2013-03-04", "2013-03-11", "2013-03-18", "2013-03-25", "2013-09-02")
    assert 14_000 < retrained.rows < 16_000


def test_run_when_the_policy_always_retrains_then_each_candidate_has_its_verdict(place, service):
    events = run(place, service, RetrainOnSchedule(1, Window(2)), weeks=4)
    assert [event.week for event in only(events, Retrained)] == [
        week.week for week in only(events, WeekScored)
    ]
    judged = [e for e in only(events, StageFinished) if e.stage == "gate" and e.cycle > 1]
    verdicts = only(events, Promoted, Rejected)[1:]
    assert len(judged) == len(verdicts) == 3
    trained = {event.run_id for event in only(events, Retrained)}
    assert {event.run_id for event in only(events, Promoted)[1:]} <= trained


@dataclass(frozen=True)
class Broken:
    """A policy that raises, or returns what it is given."""

    what: object

    def decide(self, history):
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Broken(KeyError("drift")), "The policy failed (KeyError: 'drift'): nothing was done."),
        (Broken("retrain!"), "The policy said 'retrain!', no decision: nothing was done."),
        (Broken(RollBack("99")), "No version 99 to go back to; it served before: none."),
    ],
)
def test_run_when_the_policy_is_broken_then_says_so_each_week_and_the_champion_stays(
    place, service, policy, said
):
    events = run(place, service, policy)
    assert [event.reason for event in only(events, Rejected)] == [said, said]
    (promoted,) = only(events, Promoted)
    assert {week.model_version for week in only(events, WeekScored)} == {promoted.to_version}
    assert isinstance(events[-1], RunFinished)
    assert versions.find(tracking.connect(place)).version == promoted.to_version


def test_run_when_the_version_to_go_back_to_is_gone_then_says_so_and_the_champion_stays(
    place, service
):
    store = tracking.connect(place)
    decisions = {5: Retrain(Window(2)), 7: RollBack("1")}
    events = []
    for event in run_pipeline(
        RunConfig("drift", 7), place, service, policy := DecideByHand(dict(decisions))
    ):
        events.append(event)
        if isinstance(event, Promoted) and len(only(events, Promoted)) == 2:
            policy.decisions[7] = RollBack(event.from_version)
            store.client.delete_model_version(versions.MODEL_NAME, event.from_version)
    gone, champion = (event.to_version for event in only(events, Promoted))
    assert f"no version {gone}" in only(events, Rejected)[-1].reason
    assert not only(events, RolledBack, StageFailed)
    assert versions.find(store).version == champion == service.version
    assert promotions.audit(store).passed


def test_run_when_no_label_ever_arrives_then_nothing_is_trained_or_promoted(
    place, service, monkeypatch
):
    blind = replace(SCENARIOS["drift"], name="blind", label_hours=24.0 * 365)
    monkeypatch.setitem(SCENARIOS, "blind", blind)
    policy = RetrainOnSchedule(1, Window(1))
    events = run(place, service, policy, "blind", weeks=2)
    assert [week.labelled for week in only(events, WeekScored)] == [0, 0]
    reasons = [event.reason for event in only(events, Rejected)]
    assert len(reasons) == 2 and all(reason.startswith("Not retrained: ") for reason in reasons)
    assert len(only(events, Promoted)) == 1 and not only(events, Retrained)
    assert isinstance(events[-1], RunFinished)


def test_run_when_too_few_labels_have_come_then_the_training_says_so_and_the_run_goes_on(
    place, service, monkeypatch
):
    thin = replace(SCENARIOS["drift"], name="thin", label_hours=24.0 * 365)
    monkeypatch.setitem(SCENARIOS, "thin", thin)
    policy = DecideByHand({1: Retrain(Window(1, flights=5_000))})
    events = run(place, service, policy, "thin", weeks=2)
    failed = next(e for e in only(events, StageFinished) if (e.stage, e.cycle) == ("train", 2))
    assert failed.headline == "failed" and "labelled flights" in failed.metrics["failure"]
    assert "labelled flights" in only(events, Rejected)[0].reason
    assert isinstance(events[-1], RunFinished)


def test_run_when_a_training_fails_halfway_then_its_run_is_failed_and_the_champion_stays(
    place, service, monkeypatch
):
    real = tracking._log_model
    left = [1]

    def breaks(*arguments):
        if not left:
            raise MemoryError("no room for the model")
        left.pop()
        return real(*arguments)

    monkeypatch.setattr(tracking, "_log_model", breaks)
    events = run(place, service, RetrainOnSchedule(1, Window(2)), weeks=2)
    said = "Not retrained: The training failed (MemoryError: no room for the model)."
    assert [event.reason for event in only(events, Rejected)] == [said, said]
    failed = [e for e in only(events, StageFinished) if e.headline == "failed"]
    assert [(e.stage, e.cycle) for e in failed] == [("train", 2), ("train", 3)]
    (promoted,) = only(events, Promoted)
    store = tracking.connect(place)
    assert versions.find(store).version == promoted.to_version == service.version
    below = f"tags.`mlflow.parentRunId` = '{events[0].run_id}'"
    runs = store.client.search_runs([store.experiment_id], below)
    assert sorted(run.info.status for run in runs) == ["FAILED", "FAILED", "FINISHED"]
    assert isinstance(events[-1], RunFinished)


KILLED = """
import sys
from mlops_course.pipeline.loop import run_pipeline
from mlops_course.pipeline.policies import DecideByHand, Retrain, Window
from mlops_course.pipeline.scenarios import RunConfig
policy = DecideByHand({5: Retrain(Window(2))})
for event in run_pipeline(RunConfig("drift", 7), sys.argv[1], policy=policy):
    print(type(event).__name__, getattr(event, "stage", ""), getattr(event, "cycle", ""))
    sys.stdout.flush()
    if (getattr(event, "stage", ""), getattr(event, "cycle", "")) == ("gate", 2):
        sys.stdin.readline()
"""


@pytest.mark.skipif(os.name == "nt", reason="sends a Unix signal")
def test_run_when_killed_between_register_and_promote_then_the_champion_stays(workspace):
    store = tracking.connect(workspace)
    command = [sys.executable, "-c", KILLED, str(workspace.root)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as program:
        told = [program.stdout.readline().strip()]
        while told[-1] != "StageStarted gate 2":
            told.append(program.stdout.readline().strip())
            assert told[-1], told
        lock = sqlite3.connect(workspace.root / "promotions.lock", isolation_level=None)
        with closing(lock):
            lock.execute("BEGIN EXCLUSIVE")  # it can register, and must wait to promote
            program.stdin.write("go on\n" * 2)
            program.stdin.flush()
            wait_for(lambda: is_registered(store, "2"))
            os.kill(program.pid, signal.SIGKILL)
            program.wait()
    assert versions.find(store).version == "1"
    assert [entry.after for entry in promotions.history(store)] == ["1"]
    assert promotions.audit(store).passed
    again = list(run_pipeline(RunConfig("good", 1), workspace))
    assert isinstance(again[-1], RunFinished) and versions.find(store).version == "3"


def is_registered(store, version):
    try:
        return bool(store.client.get_model_version(versions.MODEL_NAME, version))
    except MlflowException:
        return False


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
