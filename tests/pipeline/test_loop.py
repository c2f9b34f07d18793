import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date

import numpy as np
import psutil
import pytest
import yaml

from mlops_course.alerting.alerts import UNANSWERED_RULE
from mlops_course.core.errors import ParameterError, WorkspaceError
from mlops_course.core.workspace import open_workspace
from mlops_course.data.flights import fingerprint, load_flights
from mlops_course.pipeline.events import (
    STAGES,
    AlertRaised,
    Notified,
    Promoted,
    Rejected,
    Retrained,
    RunFinished,
    RunStarted,
    StageFailed,
    StageFinished,
    StageStarted,
    WeekScored,
)
from mlops_course.pipeline.loop import run_pipeline
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.registry import promotions, versions
from mlops_course.serving.prediction_log import KEY, read_predictions
from mlops_course.serving.service import Service
from mlops_course.training import tracking
from mlops_course.training.model import called_late, files_digest


@pytest.fixture(scope="module")
def place(tmp_path_factory, template_cache):
    workspace = open_workspace(tmp_path_factory.mktemp("pipeline") / "workspace")
    shutil.copytree(template_cache, workspace.cache, dirs_exist_ok=True)
    return workspace


@pytest.fixture(scope="module")
def good(place, service):
    return list(run_pipeline(RunConfig("good"), place, service))


@pytest.fixture(scope="module")
def drift(place, service, good):
    return list(run_pipeline(RunConfig("drift"), place, service))


def only(events, *kinds):
    return [event for event in events if isinstance(event, kinds)]


def test_good_run_when_finished_then_every_stage_ran_once_in_order(good):
    assert isinstance(good[0], RunStarted) and isinstance(good[-1], RunFinished)
    started = [(event.stage, event.cycle) for event in only(good, StageStarted)]
    assert started == [(stage, 1) for stage in STAGES]
    assert [event.stage for event in only(good, StageFinished)] == list(STAGES)
    assert not only(good, StageFailed, AlertRaised, Notified, Retrained, Rejected)


def test_good_run_when_finished_then_eight_calm_weeks_were_really_scored(good, place):
    weeks = only(good, WeekScored)
    assert [week.number for week in weeks] == list(range(1, 9))
    assert weeks[0].week == "2013-09-02" and weeks[-1].week == "2013-10-21"
    for week in weeks:
        assert 6_000 < week.labelled < week.rows < 7_000
        assert week.accuracy > week.baseline_accuracy > 0.85
        assert week.upper > 0.90 and not week.alert and not week.incident
        assert week.errors == 0 and week.latency_ms > 0 and not week.findings


def test_run_when_finished_then_mlflow_holds_it_with_its_training_below(good, place):
    store = tracking.connect(place)
    run = store.client.get_run(good[0].run_id)
    assert run.info.status == "FINISHED" and run.data.params["scenario"] == "good"
    accuracy = store.client.get_metric_history(run.info.run_id, "accuracy")
    weeks = only(good, WeekScored)
    assert [metric.value for metric in accuracy] == [week.accuracy for week in weeks]
    children = store.client.search_runs(
        [store.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    )
    assert [child.info.run_id for child in children] == [only(good, Promoted)[0].run_id]
    gate = [a.path for a in store.client.list_artifacts(children[0].info.run_id)]
    assert "gate.json" in gate


def test_drift_run_when_incident_strikes_then_alert_fires_that_week_and_the_team_is_told(drift):
    weeks, alerts = only(drift, WeekScored), only(drift, AlertRaised)
    assert [week.incident for week in weeks] == [False] * 3 + [True] * 5
    assert alerts[0].week == weeks[3].week == "2013-09-23"
    assert weeks[3].accuracy < weeks[3].upper == alerts[0].value < alerts[0].threshold == 0.90
    assert weeks[3].drifted[0] == "dep_delay"
    (notice,) = only(drift, Notified)
    assert notice.payload["inputs_moved"][0] == "dep_delay"
    assert notice.payload["text"] == alerts[0].message


def test_drift_run_when_two_weeks_are_labelled_then_trains_on_those_and_judges_on_the_third(drift):
    (retrained,) = only(drift, Retrained)
    assert retrained.weeks == ("2013-09-23", "2013-09-30") and retrained.week == "2013-09-30"
    first, second = only(drift, Promoted)
    assert second.week == "2013-10-07" and second.run_id == retrained.run_id
    assert (first.to_version, second.from_version) == (second.from_version, first.to_version)
    kinds = [type(event) for event in drift]
    judged = drift[kinds.index(Retrained) :]
    assert isinstance(judged[1], WeekScored) and judged[1].week == "2013-10-07"


def test_drift_run_when_promoted_then_accuracy_recovers_under_the_new_version(drift):
    weeks, (_, promotion) = only(drift, WeekScored), only(drift, Promoted)
    hurt, healed = weeks[3:6], weeks[6:]
    assert max(week.accuracy for week in hurt) < 0.88
    assert min(week.accuracy for week in healed) > 0.89
    assert {week.model_version for week in healed} == {promotion.to_version}


def test_drift_run_when_finished_then_the_registry_says_the_same(drift, place):
    store = tracking.connect(place)
    promotion = only(drift, Promoted)[-1]
    champion = versions.find(store)
    assert champion.version == promotion.to_version and champion.run_id == promotion.run_id


def test_run_when_repeated_then_same_figures_and_another_seed_differs(good, place, service):
    again = list(run_pipeline(RunConfig("good", weeks=1), place, service))
    other = list(run_pipeline(RunConfig("good", weeks=1, seed=1), place, service))

    def facts(events):
        trained = next(e for e in only(events, StageFinished) if e.stage == "train")
        week = only(events, WeekScored)[0]
        return trained.metrics["model digest"], week.accuracy, week.rows, dict(week.drift)

    assert facts(again) == facts(good)
    assert facts(other)[0] != facts(good)[0] and facts(other)[1] != facts(good)[1]


def test_run_when_days_are_wanted_as_they_were_then_holds_the_real_flights(place, service):
    events = list(run_pipeline(RunConfig("good", weeks=1, seed=None), place, service))
    week = only(events, WeekScored)[0]
    assert week.rows == len(load_flights(place, date(2013, 9, 2), date(2013, 9, 8)))
    fetched = next(e for e in only(events, StageFinished) if e.stage == "data")
    training = load_flights(place, date(2013, 1, 1), date(2013, 3, 17))
    assert fetched.metrics["dataset version"] == fingerprint(training)


def test_run_when_told_never_to_retrain_then_only_watches(place, service):
    events = list(run_pipeline(RunConfig("drift", weeks=6, retrain="never"), place, service))
    assert len(only(events, AlertRaised)) == 3 and len(only(events, Notified)) == 1
    assert len(only(events, Promoted)) == 1 and not only(events, Retrained)


def test_run_when_the_new_data_fails_its_checks_then_refuses_to_train_on_it(place, service):
    config = RunConfig("dead-weather", weeks=6, seed=2, threshold=0.976)
    events = list(run_pipeline(config, place, service))
    (refused,) = only(events, Rejected)
    assert "missing in 100% of flights" in refused.reason
    assert only(events, WeekScored)[3].findings and isinstance(events[-1], RunFinished)


def test_run_when_the_alert_ends_by_itself_then_the_candidate_is_dropped(place, service):
    config = RunConfig("real-year", weeks=5, seed=None, threshold=0.935)
    events = list(run_pipeline(config, place, service))
    alerts = [week.alert for week in only(events, WeekScored)]
    assert alerts[-1] is False and any(alerts)
    assert "ended by itself" in only(events, Rejected)[-1].reason


def test_run_when_closed_halfway_then_mlflow_says_killed_and_nothing_is_left(place):
    before = {child.pid for child in psutil.Process().children()}
    events = run_pipeline(RunConfig("good"), place)
    started = next(events)
    while not isinstance(next(events), WeekScored):
        pass
    events.close()
    run = tracking.connect(place).client.get_run(started.run_id)
    assert run.info.status == "KILLED"
    assert {child.pid for child in psutil.Process().children()} <= before


@pytest.mark.skipif(os.name == "nt", reason="sends a Unix signal")
def test_run_when_the_service_is_killed_then_fails_in_one_sentence_and_the_next_run_works(place):
    with Service() as service:
        events = run_pipeline(RunConfig("good", weeks=2), place, service)
        seen = []
        for event in events:
            seen.append(event)
            if isinstance(event, WeekScored) and event.number == 1:
                os.kill(service.pid, signal.SIGKILL)
        assert isinstance(seen[-1], StageFailed) and seen[-1].stage == "monitor"
        assert "scoring service" in seen[-1].message and "Run again" in seen[-1].message
        assert tracking.connect(place).client.get_run(seen[0].run_id).info.status == "FAILED"
        again = list(run_pipeline(RunConfig("good", weeks=1), place, service))
        assert isinstance(again[-1], RunFinished)


def test_run_when_the_store_is_locked_then_says_so_before_the_first_event(workspace, service):
    tracking.connect(workspace)
    with closing(sqlite3.connect(workspace.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(WorkspaceError, match="locked"):
            next(run_pipeline(RunConfig(), workspace, service))


def test_run_when_the_workspace_is_deleted_meanwhile_then_fails_and_the_next_run_recovers(
    workspace, service
):
    events = run_pipeline(RunConfig("good", weeks=1), workspace, service)
    for event in events:
        if isinstance(event, StageFinished) and event.stage == "validate":
            shutil.rmtree(workspace.root)
            break
    last = list(events)[-1]
    assert isinstance(last, StageFailed) and "was deleted" in last.message
    again = list(run_pipeline(RunConfig("good", weeks=1), open_workspace(workspace.root), service))
    assert isinstance(again[-1], RunFinished)


def test_weeks_when_scored_then_the_prediction_log_holds_each_flight_once(place, service):
    weeks = only(run_pipeline(RunConfig("good", weeks=2), place, service), WeekScored)
    log = read_predictions(place.run_log)
    assert len(log) == sum(week.rows for week in weeks) and not log.duplicated(KEY).any()
    days = log["request_id"].str[:5]
    assert days.nunique() == 14 and set(log["version"]) == {weeks[0].model_version}
    first = log[days < "09-09"]
    assert called_late(first["probability"]).mean() == weeks[0].predicted_late


def test_weeks_when_another_run_goes_on_in_the_workspace_then_each_reads_its_own_log(
    place, service
):
    alone = only(run_pipeline(RunConfig("good", weeks=2), place, service), WeekScored)
    events = run_pipeline(RunConfig("good", weeks=2), place, service)
    weeks = [next(event for event in events if isinstance(event, WeekScored))]
    with closing(Service()) as another:
        only(run_pipeline(RunConfig("drift", weeks=1, seed=3), place, another), WeekScored)
        weeks += only(events, WeekScored)
    assert [week.accuracy for week in weeks] == [week.accuracy for week in alone]
    assert [week.unanswered for week in weeks] == [0, 0]


def test_week_when_the_feed_leaves_delays_empty_then_silence_alerts_and_nothing_is_retrained(
    place, service
):
    events = list(run_pipeline(RunConfig("refused", weeks=6), place, service))
    weeks = only(events, WeekScored)
    calm, silent = weeks[:3], weeks[3:]
    assert [week.unanswered for week in calm] == [0, 0, 0]
    for week in silent:
        assert week.unanswered == week.rows > 6_000 and week.labelled == 0 and week.alert
        assert np.isnan(week.accuracy) and week.drift == {} and week.errors == 7
        assert "dep_delay is empty" in week.findings[0]
        assert week.model_version == calm[0].model_version
    alerts, (notice,) = only(events, AlertRaised), only(events, Notified)
    assert [alert.rule for alert in alerts] == [UNANSWERED_RULE] * 3
    assert "refuses" in notice.payload["next"] and notice.week == silent[0].week
    assert not only(events, Retrained, StageFailed) and isinstance(events[-1], RunFinished)
    store = tracking.connect(place)
    unanswered = store.client.get_metric_history(events[0].run_id, "unanswered")
    assert [metric.value for metric in unanswered] == [week.unanswered for week in weeks]


@pytest.mark.parametrize(
    ("registry_knows", "fault"),
    [(True, "answers unlike the trained model"), (False, "have changed since it was registered")],
)
def test_deploy_when_the_version_is_not_what_was_trained_then_the_promotion_is_undone(
    place, service, good, registry_knows, fault
):
    store = tracking.connect(place)
    before = versions.find(store)
    seen = []
    for event in run_pipeline(RunConfig("good", weeks=1), place, service):
        seen.append(event)
        if isinstance(event, Promoted):
            path = versions.find(store).path
            swap_carriers(path)
            if registry_knows:
                kept = (versions.FILES, files_digest(path))
                store.client.set_model_version_tag(versions.MODEL_NAME, event.to_version, *kept)
    assert isinstance(seen[-1], StageFailed) and seen[-1].stage == "deploy"
    assert fault in seen[-1].message
    assert versions.find(store).version == before.version == service.version
    entry = promotions.history(store)[-1]
    assert (entry.action, entry.after) == ("rolled back", before.version)
    assert fault in entry.reason and promotions.audit(store).passed


def test_promotion_when_another_program_has_moved_the_champion_then_the_run_leaves_it_there(
    place, service, good
):
    store = tracking.connect(place)
    before = versions.find(store).version
    seen = []
    for event in run_pipeline(RunConfig("drift"), place, service):
        seen.append(event)
        if isinstance(event, StageFinished) and (event.stage, event.cycle) == ("gate", 2):
            store.client.set_registered_model_alias(versions.MODEL_NAME, "champion", before)
    assert isinstance(seen[-1], RunFinished)
    (promoted,) = only(seen, Promoted)
    rejected = only(seen, Rejected)[0].reason
    assert f"it was judged against version {promoted.to_version}" in rejected
    assert f"champion is version {before}" in rejected
    assert versions.find(store).version == before
    service.load(versions.find(store).path, before)


def swap_carriers(model):
    """Let the registered model know two carriers by each other's names."""
    file = model / "MLmodel"
    saved = yaml.safe_load(file.read_text())
    known = saved["metadata"]["vocabulary"]["carrier"]
    saved["metadata"]["vocabulary"]["carrier"] = known[::-1]
    file.write_text(yaml.safe_dump(saved))


def test_promotion_when_it_fails_then_the_service_goes_on_with_the_version_before(
    place, service, good
):
    before = service.version
    with closing(sqlite3.connect(place.root / "promotions.lock", isolation_level=None)) as other:
        for event in run_pipeline(RunConfig("good", weeks=1), place, service):
            if isinstance(event, StageStarted) and event.stage == "register":
                other.execute("BEGIN EXCLUSIVE")
    assert isinstance(event, StageFailed) and event.stage == "register"
    assert "another program holds promotions.lock" in event.message
    assert service.version == before == versions.find(tracking.connect(place)).version


def test_candidate_when_it_gains_nothing_then_the_gate_refuses_it_and_the_champion_stays(
    place, service
):
    config = RunConfig("real-year", weeks=5, seed=None, threshold=0.945)
    events = list(run_pipeline(config, place, service))
    judged = [
        e for e in only(events, StageFinished) if (e.stage, e.headline) == ("gate", "refused")
    ]
    refused = [e for e in only(events, Rejected) if "points" in e.reason]
    assert judged and len(refused) == len(judged)
    assert refused[0].reason in judged[0].metrics.values()
    week = next(w for w in only(events, WeekScored) if w.week > refused[0].week)
    served = next(w for w in only(events, WeekScored) if w.week == refused[0].week)
    assert week.model_version == served.model_version


def test_deploy_when_finished_then_service_and_training_agree_on_the_smoke_rows(good):
    deployed = next(e for e in only(good, StageFinished) if e.stage == "deploy")
    assert deployed.metrics["smoke rows"] == 200 and deployed.metrics["largest gap"] == 0


def test_weeks_when_measured_then_confidence_is_not_accuracy(drift):
    gaps = [week.confidence - week.accuracy for week in only(drift, WeekScored)]
    assert np.ptp(gaps) > 0.05


def test_run_when_dropped_half_read_at_the_programs_end_then_it_still_ends(workspace):
    code = (
        "import sys; from mlops_course.pipeline.loop import run_pipeline;"
        "events = run_pipeline(workspace=sys.argv[1]); print(type(next(events)).__name__)"
    )
    command = [sys.executable, "-c", code, str(workspace.root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "RunStarted\n")


def test_retrained_weeks_when_scored_then_say_what_the_old_model_would_have_had(drift):
    weeks = only(drift, WeekScored)
    assert all(week.former_accuracy is None for week in weeks[:6])
    assert all(week.former_accuracy < week.accuracy - 0.03 for week in weeks[6:])


@pytest.mark.parametrize("config", ["good", {"scenario": "good"}, 3])
def test_run_when_the_configuration_is_none_then_says_what_it_takes(workspace, config):
    with pytest.raises(ParameterError, match="takes a RunConfig"):
        next(run_pipeline(config, workspace))
