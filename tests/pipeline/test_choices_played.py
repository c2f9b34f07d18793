"""Choices at an alert, given beforehand and carried out by a real run."""

import shutil
from dataclasses import replace
from datetime import date

import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.core.workspace import open_workspace
from mlops_course.data.stream import Stream
from mlops_course.deciding.choices import Choices
from mlops_course.pipeline import stages
from mlops_course.pipeline.asking import Answered, Asked, Decided, Repaired, RepairOrdered
from mlops_course.pipeline.events import (
    Promoted,
    Rejected,
    Retrained,
    RolledBack,
    RunFinished,
    WeekScored,
)
from mlops_course.pipeline.loop import run_pipeline
from mlops_course.pipeline.scenarios import DIAGNOSES, RunConfig, scenario_of
from mlops_course.training import tracking


@pytest.fixture(scope="module")
def place(tmp_path_factory, template_cache):
    workspace = open_workspace(tmp_path_factory.mktemp("choices") / "workspace")
    shutil.copytree(template_cache, workspace.cache, dirs_exist_ok=True)
    return workspace


def only(events, *kinds):
    return [event for event in events if isinstance(event, kinds)]


def play(place, service, *choices, scenario="drift", weeks=8):
    config = RunConfig(scenario, weeks, retrain="ask")
    return list(run_pipeline(config, place, service, Choices(*choices)))


def accuracies(events):
    return [week.accuracy for week in only(events, WeekScored)]


@pytest.fixture(scope="module")
def repaired(place, service):
    return play(place, service, "repair")


def test_run_when_to_ask_and_nobody_answers_then_is_refused_before_the_first_event(place):
    with pytest.raises(ParameterError, match="nobody is there to answer"):
        next(run_pipeline(RunConfig("drift", retrain="ask"), place))


def test_repair_when_chosen_then_takes_its_days_and_the_feed_is_right_from_then_on(repaired, place):
    asked = only(repaired, Asked)
    assert [entry.number for entry in asked] == [4]  # then the repair is agreed
    assert [entry.choice for entry in only(repaired, Decided)] == ["repair"]
    (ordered,) = only(repaired, RepairOrdered)
    (done,) = only(repaired, Repaired)
    assert (ordered.week, ordered.due) == ("2013-09-23", "2013-10-10")
    assert (done.week, done.since) == ("2013-09-30", "2013-10-10")
    weeks = only(repaired, WeekScored)
    assert [week.incident for week in weeks] == [False] * 3 + [True] * 3 + [False] * 2
    assert all(week.accuracy > 0.9 and not week.alert for week in weeks[6:])
    assert len(only(repaired, Promoted)) == 1 and not only(repaired, Retrained)
    tags = tracking.connect(place).client.get_run(repaired[0].run_id).data.tags
    assert tags["choices"] == "week 4: repair"


def test_repair_when_done_then_delivers_the_flights_that_a_calm_world_has(workspace):
    config = RunConfig("drift", 8)
    broken = stages.load(workspace, config).made.stream
    calm = stages.load(workspace, replace(config, scenario="good")).made.stream
    strikes = broken.broken_feeds(date(2013, 10, 3), date(2013, 10, 10))
    mended = broken.repaired(strikes, date(2013, 10, 10))
    assert mended.week(7).flights.equals(calm.week(7).flights)
    assert mended.week(5).flights.equals(broken.week(5).flights)
    halved = mended.week(6).flights
    days = halved["date"] >= "2013-10-10"
    assert halved[days].equals(calm.week(6).flights[days])
    assert halved[~days].equals(broken.week(6).flights[~days])


def test_broken_feeds_when_the_world_has_changed_or_the_fault_is_over_then_are_none(workspace):
    asked = date(2013, 10, 3)
    for scenario in ("good", "padding"):
        stream: Stream = stages.load(workspace, RunConfig(scenario, 8)).made.stream
        assert stream.broken_feeds(asked, asked) == ()
    stream = stages.load(workspace, RunConfig("repaired", 13)).made.stream
    assert len(stream.broken_feeds(asked, asked)) == 1
    assert stream.broken_feeds(date(2013, 10, 24), date(2013, 10, 31)) == ()


def test_repair_when_nothing_upstream_is_broken_then_the_owner_says_so_and_nothing_changes(
    place, service
):
    events = play(place, service, "repair", scenario="padding", weeks=6)
    (answered,) = only(events, Answered)
    assert answered.week == "2013-09-30" and not only(events, Repaired)
    assert [week.incident for week in only(events, WeekScored)] == [False] * 3 + [True] * 3


def test_roll_back_when_no_version_served_before_then_is_refused_with_a_sentence(place, service):
    events = play(place, service, "roll-back", weeks=4)
    assert [e.reason for e in only(events, Rejected)] == [
        "Not rolled back: no other version has served in this run."
    ]
    assert not only(events, RolledBack) and isinstance(events[-1], RunFinished)


class AsksInWeeks4And6(Choices):
    """A retrained model raises no alarm here, so the second question is put without one."""

    def asks(self, history):
        return history[-1].number in (4, 6)


def test_roll_back_when_chosen_after_a_retraining_then_the_version_before_serves_again(
    place, service
):
    script = AsksInWeeks4And6("retrain", "roll-back")
    events = list(run_pipeline(RunConfig("drift", 7, retrain="ask"), place, service, script))
    (trained,) = only(events, Retrained)
    first, second = only(events, Promoted)
    (back,) = only(events, RolledBack)
    assert trained.weeks == ("2013-09-23",) and back.week == "2013-10-07"
    assert (back.from_version, back.to_version) == (second.to_version, first.to_version)
    assert only(events, WeekScored)[-1].model_version == first.to_version


def test_dismiss_when_chosen_then_that_alarm_asks_no_more_and_still_alerts(place, service):
    events = play(place, service, "dismiss", weeks=6)
    assert len(only(events, Asked)) == 1
    weeks = only(events, WeekScored)
    assert [week.alert for week in weeks[3:]] == [True] * 3


def test_run_when_seed_and_choices_are_the_same_then_so_is_every_figure(repaired, place, service):
    again = play(place, service, "repair")
    assert accuracies(again) == accuracies(repaired)
    kinds = (Asked, Decided, RepairOrdered, Repaired)
    assert only(again, *kinds) == only(repaired, *kinds)


def test_mystery_when_drawn_by_many_seeds_then_each_incident_and_nothing_come_up():
    drawn = [scenario_of(RunConfig("mystery", seed=seed)) for seed in range(100)]
    assert {scenario.incident.name for scenario in drawn} == set(DIAGNOSES)
    assert {scenario.title for scenario in drawn} == {"Mystery"}
    struck = {scenario.strikes[0].first for scenario in drawn if scenario.strikes}
    assert struck == {date(2013, 9, 16), date(2013, 9, 23), date(2013, 9, 30)}
    assert scenario_of(RunConfig("mystery", seed=7)) == drawn[7]
