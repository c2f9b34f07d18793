"""The simulator over the real pipeline, driven without a browser."""

import re
import sqlite3
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from mlops_course.core.errors import CourseError, ParameterError
from mlops_course.data.incidents import INCIDENTS
from mlops_course.pipeline import loop
from mlops_course.pipeline.events import (
    STAGES,
    Retrained,
    RunStarted,
    StageFinished,
    StageStarted,
    WeekScored,
)
from mlops_course.pipeline.policies import DecideByHand, Retrain, Window
from mlops_course.pipeline.scenarios import SCENARIOS
from mlops_course.pipeline.state import stage_state
from mlops_course.simulator.runner import Driver
from mlops_course.simulator.settings import choices
from mlops_course.simulator.simulator import PipelineSimulator

PATIENCE = 60


@pytest.fixture(scope="module")
def shared(shared_workspace) -> Iterator[PipelineSimulator]:
    simulator = PipelineSimulator(weeks=2, workspace=shared_workspace)
    yield simulator
    simulator.close()


@pytest.fixture
def sim(shared) -> PipelineSimulator:
    """A simulator as if it were new, its scoring service warm."""
    shared.reset()
    assert shared._session.former is None or shared._session.former.wait(PATIENCE)
    shared.change(scenario="good", weeks=2, seed=0, threshold=0.90, retrain=True, pace="instant")
    return shared


def press(simulator: PipelineSimulator, order: str) -> None:
    """Send what the page sends when a button is pressed."""
    simulator.view._handle_custom_msg({"order": order}, [])


def put(simulator: PipelineSimulator, name: str, value: object) -> str:
    """Send what the page sends when a setting is changed; return what was refused, and why."""
    simulator.view._handle_custom_msg({"set": name, "value": value}, [])
    return simulator.view.refused


def settled(simulator: PipelineSimulator) -> str:
    """Wait until a run in the background rests or ends, and return its status."""
    assert simulator.wait(PATIENCE)
    return simulator.state.status


def stages_of(simulator: PipelineSimulator) -> str:
    """Return all stages as the page has them."""
    return "".join(getattr(simulator.view, f"stage_{stage}") for stage in STAGES)


def count(simulator: PipelineSimulator, kind: type) -> int:
    return sum(isinstance(event, kind) for event in simulator.events)


# ---- whole runs


def test_run_when_data_is_good_then_ends_without_alert_and_shows_it(sim):
    assert sim.run() is sim
    result = sim.result
    assert list(result.weeks["week"]) == ["2013-09-02", "2013-09-09"]
    assert len(result.alerts) == 0 and len(result.promotions) == 1
    assert (result.stages["seconds"] > 0).all() and (result.stages["state"] == "done").all()
    assert sim.view.mode == "finished" and "No alert in 2 weeks" in sim.view.status
    assert stages_of(sim).count("<span>done</span>") == 7


def test_run_when_data_drifts_then_alerts_retrains_promotes_and_recovers(sim):
    sim.change(weeks=8)
    sim.run("drift")
    result = sim.result
    assert result.alerts["week"].iloc[0] == "2013-09-23"
    assert len(result.promotions) == 2 and result.weeks["model_version"].nunique() == 2
    low, last = result.weeks["accuracy"][3], result.weeks["accuracy"].iloc[-1]
    assert low < 0.90 and last > low + 0.05
    assert 'data-kind="alert"' in sim.view.log and 'data-kind="again"' in sim.view.log
    assert "Right response" in sim.view.debrief
    assert '<li data-kind="drifted"><span class="mls-feature">dep_delay</span>' in sim.view.inputs
    assert "promoted" in sim.view.chart and "cycle 2" in stages_of(sim)


def test_run_when_given_a_policy_then_that_decides_unless_nothing_is_to_be_retrained(
    shared_workspace,
):
    policy = DecideByHand({1: Retrain(Window(1))})
    simulator = PipelineSimulator(weeks=1, workspace=shared_workspace, policy=policy)
    try:
        assert simulator.run().state.started.policy == repr(policy)
        assert 'data-kind="again"' in simulator.view.log and repr(policy) in repr(simulator)
        simulator.change(retrain=False)
        assert not count(simulator.run(), Retrained)
    finally:
        simulator.close()


def test_run_when_the_service_answers_hardly_a_flight_then_tells_that_and_no_low_accuracy(sim):
    sim.change(weeks=5)
    sim.run("refused")
    assert set(sim.result.alerts["rule"]) == {"flights unanswered"}
    assert re.search(
        r"First alert in week 4: [\d,]+ of [\d,]+ flights unanswered; 2 of 5 weeks raised one; "
        r"mean accuracy 9\d\.\d% before\.",
        sim.view.status,
    )
    assert "Look at what the service refuses" in sim.view.log
    assert "dep_delay is empty in" in sim.view.log
    shown = [getattr(sim.view, part) for part in ("tiles", "chart", "inputs", "log", "status")]
    assert not [text for text in (*shown, sim.picture().svg) if re.search(r"\bnan\b", text)]


def test_picture_when_a_run_is_repeated_then_is_the_same(sim):
    first = sim.run().picture()
    again = sim.run().picture()
    assert again.html() == first.html()
    assert "No alert in 2 weeks" in repr(first)


# ---- buttons


def test_run_button_when_clicked_then_shows_at_once_that_it_runs(sim):
    heard = sim.view.heard
    press(sim, "play")
    assert sim.view.mode == "running" and sim.view.heard == heard + 1
    assert settled(sim) == "finished"


def test_run_button_when_clicked_twice_then_one_run_happens(sim):
    press(sim, "play")
    press(sim, "play")
    assert settled(sim) == "finished"
    assert count(sim, RunStarted) == 1 and count(sim, WeekScored) == 2


def test_step_when_taken_again_and_again_then_walks_stages_then_weeks(sim):
    seen = []
    for _ in range(8):
        sim.step()
        seen.append((count(sim, StageFinished), count(sim, WeekScored)))
    assert seen == [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (6, 1), (7, 2)]
    assert sim.state.status == "finished"


def test_step_button_when_clicked_then_rests_after_one_stage_and_can_continue(sim):
    press(sim, "step")
    assert settled(sim) == "paused"
    assert "Paused: after Data." in sim.view.status
    press(sim, "play")
    assert settled(sim) == "finished"


def test_pause_when_pressed_during_a_run_then_rests_and_continues(sim):
    press(sim, "play")
    press(sim, "pause")
    assert settled(sim) == "paused"
    scored = count(sim, StageFinished)
    time.sleep(0.3)
    assert count(sim, StageFinished) == scored < 7
    sim.play()
    assert settled(sim) == "finished"


def test_reset_when_pressed_during_a_run_then_nothing_late_overwrites_it(sim):
    press(sim, "play")
    driver = sim._session.driver
    while count(sim, StageStarted) < 2:
        time.sleep(0.01)
    press(sim, "reset")
    assert sim.events == () and sim.view.mode == "idle"
    assert driver.wait(PATIENCE)
    time.sleep(0.3)
    assert sim.events == () and sim.view.mode == "idle"
    assert stages_of(sim).count("<span>waiting</span>") == 7
    assert sim.run().state.status == "finished"


def test_run_button_when_pressed_right_after_reset_then_waits_for_the_former_run(sim):
    press(sim, "play")
    press(sim, "reset")
    press(sim, "play")
    assert settled(sim) == "finished"
    assert count(sim, RunStarted) == 1 and count(sim, WeekScored) == 2


# ---- settings


def test_settings_when_changed_after_a_run_then_the_picture_is_marked_as_the_former_one(sim):
    sim.run()
    assert sim.view.stale == ""
    put(sim, "scenario", "drift")
    assert "former run (Good data, seed 0)" in sim.view.stale
    put(sim, "scenario", "good")
    assert sim.view.stale == ""


def test_weeks_when_the_scenario_is_longer_then_follow_it_and_come_back(sim):
    put(sim, "scenario", "real-year")
    assert sim.config.weeks == sim.view.settings["weeks"] == 39
    put(sim, "scenario", "good")
    assert sim.config.weeks == 8
    put(sim, "weeks", "5")
    put(sim, "scenario", "drift")
    assert sim.config.weeks == 5


def test_days_when_taken_as_they_were_then_no_seed_is_asked_for(sim):
    put(sim, "seed", None)
    assert sim.config.seed is None and sim.view.settings["seed"] is None
    put(sim, "seed", "3")
    assert sim.config.seed == 3


@pytest.mark.parametrize(
    ("typed", "meant"), [("85", 0.85), ("92%", 0.92), ("0.9", 0.9), (" 99.5 % ", 0.995)]
)
def test_threshold_when_typed_in_any_usual_form_then_is_understood(sim, typed, meant):
    assert put(sim, "threshold", typed) == ""
    assert sim.config.threshold == meant


@pytest.mark.parametrize(
    ("name", "typed", "why"),
    [
        ("threshold", "", "from 50 to 99.9"),
        ("threshold", "high", "from 50 to 99.9"),
        ("threshold", "100", "from 50 to 99.9"),
        ("threshold", "0.3%", "from 50 to 99.9"),
        ("weeks", "", "a whole number"),
        ("weeks", "18", "1 to 17 weeks"),
        ("seed", "-1", "from 0 to 4294967295"),
        ("scenario", "dirft", "no scenario 'dirft'"),
        ("pace", "fast", "'watch', 'quick', 'instant'"),
        ("colour", "red", "no setting 'colour'"),
    ],
)
def test_setting_when_it_cannot_be_then_says_why_and_keeps_the_former(sim, name, typed, why):
    before = sim.settings
    assert why in put(sim, name, typed)
    assert sim.settings == before
    assert put(sim, "weeks", "2") == ""


@pytest.mark.parametrize(
    ("given", "meant"), [(True, "auto"), (False, "never"), ("auto", "auto"), ("never", "never")]
)
def test_retrain_when_changed_in_either_way_then_means_the_same(sim, given, meant):
    sim.change(retrain=given)
    assert sim.config.retrain == meant


def test_settings_when_changed_together_then_the_scenario_comes_first(sim):
    sim.change(weeks=39, scenario="real-year")
    assert (sim.config.scenario, sim.config.weeks) == ("real-year", 39)


def test_run_when_another_is_under_way_then_ends_it_and_runs_the_new_scenario(sim):
    sim.change(pace="watch", weeks=3)
    sim.play()
    assert sim.run("drift").state.started.scenario == "drift"


def test_settings_when_a_run_is_under_way_then_only_the_pace_can_change(sim):
    press(sim, "step")
    assert settled(sim) == "paused"
    assert "A run is under way" in put(sim, "weeks", "3")
    assert put(sim, "pace", "quick") == "" and sim.config.weeks == 2
    press(sim, "reset")


def test_pace_when_a_week_a_second_then_weeks_lie_so_far_apart_and_the_run_counts_its_work(sim):
    sim.change(pace="watch", weeks=3)
    times = []
    sim.view.observe(lambda change: times.append(time.monotonic()), "chart")
    sim.play()
    assert settled(sim) == "finished"
    sim.view.unobserve_all("chart")
    sim.change(pace="instant")
    assert times[-1] - times[-3] > 1.8
    assert sim.state.seconds < times[-1] - times[0] + 3


def test_pace_when_changed_in_a_run_then_holds_at_once(sim):
    sim.change(pace="watch", weeks=17)
    press(sim, "play")
    while count(sim, WeekScored) < 1:
        time.sleep(0.01)
    begun = time.monotonic()
    put(sim, "pace", "instant")
    assert settled(sim) == "finished"
    assert time.monotonic() - begun < 14


def test_days_when_a_simulator_is_made_without_seed_then_are_as_they_were():
    made = PipelineSimulator(seed=None)
    made.close()
    assert made.view.settings["seed"] is None
    assert "seed=None" in repr(made)


@pytest.mark.parametrize(
    ("wrong", "possible"),
    [
        ({"scenario": "god"}, "Known scenarios: good, drift"),
        ({"weeks": 0}, "1 to 17 weeks"),
        ({"weeks": 18}, "1 to 17 weeks"),
        ({"weeks": 2.5}, "1 to 17 weeks"),
        ({"seed": -1}, "from 0 to 4294967295"),
        ({"threshold": 1.2}, "between 0.5 and 0.999"),
        ({"threshold": "high"}, "between 0.5 and 0.999"),
    ],
)
def test_simulator_when_given_a_bad_value_then_says_what_is_possible(wrong, possible):
    with pytest.raises(ParameterError, match=possible):
        PipelineSimulator(**wrong)


def test_run_when_the_scenario_is_unknown_then_changes_nothing(sim):
    sim.run()
    with pytest.raises(ParameterError, match="no scenario 'dirft'"):
        sim.run("dirft")
    assert sim.state.status == "finished" and sim.config.scenario == "good"


# ---- trouble


def test_run_button_when_the_store_is_locked_then_says_so_and_works_later(sim, shared_workspace):
    connection = sqlite3.connect(shared_workspace.database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    press(sim, "play")
    assert settled(sim) == "failed"
    connection.close()
    assert "locked by another program" in sim.view.status
    assert isinstance(sim.error, CourseError)
    press(sim, "play")
    assert settled(sim) == "finished"


def test_run_when_the_store_is_locked_then_raises_the_same_sentence(sim, shared_workspace):
    connection = sqlite3.connect(shared_workspace.database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(CourseError, match="locked by another program"):
        sim.run()
    connection.close()
    assert sim.view.mode == "failed"


def test_run_when_the_service_dies_in_the_middle_then_raises_and_a_new_run_works(sim):
    sim.change(weeks=4)
    for _ in range(7):
        sim.step()
    psutil.Process(sim.service.pid).kill()
    sim.play()
    assert settled(sim) == "failed"
    assert stage_state(sim.state, "monitor") == "failed"
    assert "Run again" in sim.view.status
    assert sim.run().state.status == "finished"


def test_run_when_something_unforeseen_breaks_then_is_shown_and_logged(sim, monkeypatch):
    def broken(*_: object) -> Iterator[StageStarted]:
        yield StageStarted("data", 1)
        raise ZeroDivisionError("by <nothing>")

    logged: list = []
    monkeypatch.setattr(loop, "run_pipeline", broken)
    monkeypatch.setattr(threading, "excepthook", logged.append)
    press(sim, "play")
    assert settled(sim) == "failed"
    assert "ZeroDivisionError: by &lt;nothing&gt;" in sim.view.status
    assert stage_state(sim.state, "data") == "failed"
    with pytest.raises(ZeroDivisionError):
        sim.run()
    time.sleep(0.1)
    assert [entry.exc_type for entry in logged] == [ZeroDivisionError]


# ---- display and end


def test_display_when_shown_twice_then_has_stable_text_and_a_still_picture(sim):
    assert repr(sim) == (
        "PipelineSimulator(scenario='good', weeks=2, seed=0, threshold=0.9, retrain=True)"
    )
    one, two = sim.picture(), sim.picture()
    assert re.fullmatch(
        r'<img src="data:image/svg\+xml;base64,[\w+/=]+" alt="[^"]+"[^>]*>', one.html()
    )
    assert one.html() == two.html() and repr(one) == repr(two)
    shown = (one.html(), one.svg, repr(one))
    assert not any(re.search(r" at 0x[0-9a-f]{6}", text) for text in shown)


def test_close_when_called_then_leaves_no_service_behind(sim):
    sim.run()
    process = psutil.Process(sim.service.pid)
    sim.close()
    assert not process.is_running()


def test_simulator_when_another_is_made_then_an_idle_one_gives_its_service_up(shared_workspace):
    first = PipelineSimulator(weeks=1, workspace=shared_workspace).run()
    second = PipelineSimulator(weeks=1, workspace=shared_workspace)
    deadline = time.monotonic() + PATIENCE
    while first.service.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not first.service.alive
    assert first.run().state.status == "finished"
    first.close()
    second.close()


def test_simulator_when_another_is_made_during_its_run_then_gives_its_service_up_at_the_end(
    shared_workspace,
):
    first = PipelineSimulator(weeks=17, workspace=shared_workspace)
    first.play()
    while count(first, WeekScored) < 1:
        time.sleep(0.01)
    second = PipelineSimulator(weeks=1, workspace=shared_workspace)
    assert first.service.alive
    first.change(pace="instant")
    assert settled(first) == "finished"
    deadline = time.monotonic() + PATIENCE
    while first.service.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not first.service.alive
    first.close()
    second.close()


# ---- two runs side by side


def test_keep_when_pressed_then_the_next_run_is_shown_beside_it_until_it_is_let_go(sim):
    sim.run()
    press(sim, "keep")
    assert sim.view.kept == "Good data: 2 weeks, seed 0"
    sim.change(weeks=3)
    sim.run()
    assert "(3 weeks here, 2 weeks there): no week of the 2 that both have" in sim.view.chart
    assert sim.view.chart.count("of the kept run: accuracy") == 2
    press(sim, "forget")
    assert sim.view.kept == "" and "kept run" not in sim.view.chart


def test_keep_when_nothing_has_run_then_says_what_to_do(sim):
    press(sim, "keep")
    assert "Nothing has run" in sim.view.refused and sim.kept is None


# ---- time as a control


def test_look_back_when_a_run_has_ended_then_shows_that_week_again_and_returns(sim):
    sim.change(weeks=3)
    sim.run()
    whole = sim.view.chart
    assert sim.view.moments[6] == "week 1, 2 Sep" and sim.view.at == -1
    sim.view._handle_custom_msg({"look": 6}, [])
    assert sim.view.at == 6 and sim.view.mode == "finished"
    assert "Looking back at week 1, 2 Sep" in sim.view.status
    assert "over 1 week against" in sim.view.chart
    sim.view._handle_custom_msg({"look": None}, [])
    assert sim.view.at == -1 and sim.view.chart == whole


def test_look_back_when_a_new_run_begins_then_is_over(sim):
    sim.run()
    sim.look_at(2)
    assert sim.run().view.at == -1 and "No alert" in sim.view.status


@pytest.mark.parametrize("moment", [-1, 99, "week 4", True])
def test_look_back_when_there_is_no_such_moment_then_refuses(sim, moment):
    sim.run()
    with pytest.raises(ParameterError, match="from 0 to"):
        sim.look_at(moment)
    assert sim.view.at == -1


def test_save_when_a_run_has_ended_then_writes_its_page_and_the_button_sends_the_same(
    sim, tmp_path, monkeypatch
):
    sim.run()
    file = sim.save(tmp_path / "run.html")
    sent: list = []
    monkeypatch.setattr(sim.view, "send", sent.append)
    press(sim, "save")
    assert sent == [{"name": "good.html", "page": file.read_text(encoding="utf-8")}]


def test_save_when_nothing_has_run_then_the_page_says_so(sim):
    press(sim, "save")
    assert "There is no run to save." in sim.view.refused


# ---- the driver alone


def test_driver_when_cancelled_while_resting_then_closes_its_source():
    closed = threading.Event()

    def source() -> Iterator[StageStarted | StageFinished]:
        try:
            for stage in ("data", "validate", "train"):
                yield StageStarted(stage, 1)
                yield StageFinished(stage, 1, 0.0, "", {})
        finally:
            closed.set()

    heard: list = []
    driver = Driver(source, lambda _, event: heard.append(event), lambda _: None, lambda *_: None)
    driver.tell("step")
    driver.start()
    assert driver.wait(5, for_rest=True) and len(heard) == 2
    driver.tell("cancel")
    assert driver.wait(5) and closed.is_set() and len(heard) == 2
    driver.tell("play")
    assert driver.cancelled


def test_scenario_when_changed_after_the_long_year_was_shown_then_the_settings_stay_valid(sim):
    sim.run()
    for scenario, weeks in (("real-year", 39), ("drift", 8), ("real-year", 39), ("padding", 8)):
        sim.change(scenario=scenario)
        assert (sim.config.scenario, sim.config.weeks) == (scenario, weeks)


@pytest.mark.parametrize(
    ("given", "meant"), [(True, "auto"), (False, "never"), ("auto", "auto"), ("never", "never")]
)
def test_retrain_when_given_in_either_way_then_means_the_same(given, meant, monkeypatch):
    monkeypatch.setattr("mlops_course.simulator.simulator.warm_up", lambda *_: None)
    assert PipelineSimulator(retrain=given).config.retrain == meant


def test_retrain_when_given_another_word_then_refuses():
    with pytest.raises(ParameterError, match="'auto' or 'never'"):
        PipelineSimulator(retrain="maybe")


def test_incidents_when_offered_then_each_stands_once_under_a_heading_that_has_some():
    offered = choices()
    groups = dict(offered["others"])
    names = [name for name, _ in offered["first"]]
    names += [name for group in groups.values() for name, _ in group]
    assert sorted([*names, "none", "clock"]) == sorted(SCENARIOS)  # good and drift are those two
    assert all(groups.values())
    for incident in INCIDENTS.values():
        if incident.release:
            assert [incident.name, incident.title] in groups["A model promoted by hand"]
