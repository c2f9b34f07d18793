"""Every incident of the catalogue in a run: what happens, what can be seen, and in which words."""

import re
import shutil
from math import isnan

import pytest

from mlops_course.core.workspace import open_workspace
from mlops_course.data.incidents import INCIDENTS
from mlops_course.deciding.choices import Choices
from mlops_course.picture import alert_log, poster
from mlops_course.pipeline.events import (
    AlertRaised,
    Promoted,
    RolledBack,
    RunFinished,
    WeekScored,
)
from mlops_course.pipeline.loop import run_pipeline
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.pipeline.state import RunState, advance, by_hand, fold
from mlops_course.registry import promotions
from mlops_course.simulator.widget import parts_of
from mlops_course.telling import wording
from mlops_course.telling.advice import ending
from mlops_course.telling.narrator import story
from mlops_course.telling.standing import verdict
from mlops_course.training import tracking

RELEASES = [name for name, incident in INCIDENTS.items() if incident.release]
WEEKS = 5
NOTHING = re.compile(r"\bnan\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def place(tmp_path_factory, template_cache):
    workspace = open_workspace(tmp_path_factory.mktemp("incidents") / "workspace")
    shutil.copytree(template_cache, workspace.cache, dirs_exist_ok=True)
    return workspace


@pytest.fixture(scope="module")
def played(place, service):
    """Return what plays an incident's scenario, once for all tests."""
    runs = {}

    def play(name):
        if name not in runs:
            runs[name] = list(run_pipeline(RunConfig(name, WEEKS), place, service))
        return runs[name]

    return play


def only(events, *kinds):
    return [event for event in events if isinstance(event, kinds)]


@pytest.mark.parametrize("name", INCIDENTS)
def test_run_when_an_incident_strikes_then_ends_and_no_word_of_it_is_a_missing_number(played, name):
    events = played(name)
    assert isinstance(events[-1], RunFinished)
    state = RunState()
    said = []
    for event in events:
        state = advance(state, event)
        said += [wording.terminal_line(event), story(state)]
    said += [wording.still_line(state, entry) for entry in state.log]
    said += [verdict(state), ending(state), str(poster.render(state))]
    said += map(str, parts_of(state).values())
    visible = [re.sub(r"<[^>]*>", " ", words) for words in said]
    assert not [words for words in visible if NOTHING.search(words)]
    struck = [week.incident for week in state.weeks]
    ends = INCIDENTS[name].world
    assert struck == [False] * 3 + [name != "none", name != "none" and not ends]
    if name != "none":
        assert "The evidence was there in week 4" in ending(state) or name == "padding"


@pytest.mark.parametrize("name", RELEASES)
def test_release_when_it_strikes_then_serves_from_that_week_and_the_run_says_who_did_it(
    played, place, name
):
    events = played(name)
    weeks = only(events, WeekScored)
    first, forced = only(events, Promoted)
    assert not first.by_hand and forced.by_hand
    assert [week.model_version for week in weeks] == [first.to_version] * 3 + [
        forced.to_version
    ] * 2
    assert events.index(weeks[2]) < events.index(forced) < events.index(weeks[3])
    assert (forced.week, forced.from_version) == (weeks[2].week, first.to_version)
    entries = {entry.after: entry for entry in promotions.history(tracking.connect(place))}
    assert entries[forced.to_version].reason == forced.reason
    assert forced.reason.startswith("FORCED, ")
    state = fold(events)
    assert by_hand(state, weeks[3]) == forced and by_hand(state, weeks[2]) is None
    log = str(alert_log.log(state))
    assert "Promoted by hand" in log and "past the gate" in log
    assert f"v{forced.to_version} promoted by hand after week 3" in ending(state)


def test_releases_when_they_serve_then_each_is_seen_by_what_it_is(played):
    weeks = {name: only(played(name), WeekScored)[3] for name in RELEASES}
    worse, stuck, slow = (weeks[f"{name}-release"] for name in ("worse", "stuck", "slow"))
    assert worse.former_accuracy - worse.accuracy > 0.02
    assert worse.predicted_late > 1.3 * worse.observed_late
    assert stuck.predicted_late == 0.0 < 0.05 < stuck.observed_late
    assert slow.accuracy == slow.former_accuracy
    assert slow.latency_ms > 5 * worse.latency_ms
    assert "times as long as with the version before" in ending(fold(played("slow-release")))
    assert not any(isnan(week.estimate) for week in weeks.values())


def test_release_when_it_was_rolled_back_then_the_version_before_serves_and_it_is_over(
    place, service
):
    config = RunConfig("stuck-release", 6, threshold=0.95, retrain="ask")
    events = list(run_pipeline(config, place, service, Choices("roll-back")))
    state = fold(events)
    first, forced = only(events, Promoted)
    (back,) = only(events, RolledBack)
    assert (back.from_version, back.to_version) == (forced.to_version, first.to_version)
    after = [week for week in state.weeks if week.week > back.week]
    assert after and {week.model_version for week in after} == {first.to_version}
    assert not any(week.incident for week in after)
    low = only(events, AlertRaised)[0]
    assert low.week == back.week == "2013-09-23"
    assert "after rolling back" in verdict(state) and "once it was over" in ending(state)


def test_late_labels_when_they_strike_then_accuracy_is_unknown_and_the_estimate_is_still_there(
    played,
):
    state = fold(played("late-labels"))
    for week in state.weeks[3:]:
        assert week.labelled == 0 and isnan(week.accuracy) and not week.alert
        assert week.estimate_low < week.estimate < week.estimate_high
        assert week.former_accuracy is None and not week.findings
    assert "nobody knows how many were called right, since no label has arrived" in story(state)
    assert f"it is probably {state.weeks[-1].estimate:.1%}" in story(state)
    assert "No label was in for weeks 4 and 5" in verdict(state)
    assert "no label for any of its flights" in ending(state)
    assert "accuracy unknown in weeks 4 and 5" in str(poster.render(state))


def test_monitoring_when_it_is_dead_then_bad_weeks_raise_no_alert_and_everything_says_why(
    place, service
):
    config = RunConfig("monitoring-dead", WEEKS, threshold=0.999)  # the first weeks alert
    events = list(run_pipeline(config, place, service))
    weeks = only(events, WeekScored)
    assert [week.watched for week in weeks] == [True] * 3 + [False] * 2
    assert [week.alert for week in weeks] == [True] * 3 + [False] * 2
    assert {alert.week for alert in only(events, AlertRaised)} == {week.week for week in weeks[:3]}
    state = fold(events)
    words = "The rules were not evaluated for weeks 4 and 5."
    assert words in verdict(state) and words in str(alert_log.log(state))
    assert "no rule evaluated" in ending(state)
    assert "no rule evaluated" in wording.terminal_line(weeks[-1])
    assert "the rules were not evaluated" in str(poster.render(state))


def test_storm_when_its_days_are_over_then_the_run_goes_on_as_in_calm_weather(played):
    storm, calm = (only(played(name), WeekScored) for name in ("storm", "none"))
    assert storm[3].rows < 0.95 * calm[3].rows and storm[4].rows == calm[4].rows
    assert storm[3].baseline_accuracy < calm[3].baseline_accuracy - 0.01
    assert storm[3].predicted_late > calm[3].predicted_late + 0.02
    assert "origin" in storm[3].drifted and not storm[3].findings


def test_new_carrier_when_it_strikes_then_the_checks_name_it_and_not_before(played):
    findings = [week.findings for week in only(played("new-carrier"), WeekScored)]
    assert findings[:3] == [(), (), ()]
    assert "have a carrier never seen in training" in findings[3][0]


class AsksInWeek4(Choices):
    """No rule of a run sees a desk's hours, so the question is put without an alarm."""

    def asks(self, history):
        return history[-1].number == 4


def test_desk_skew_when_its_release_is_reverted_then_hours_are_right_again(place, service):
    config = RunConfig("desk-skew", 7, retrain="ask")
    events = list(run_pipeline(config, place, service, AsksInWeek4("repair")))
    weeks = only(events, WeekScored)
    assert [week.incident for week in weeks] == [False] * 3 + [True] * 3 + [False]
    assert [("hour" in week.drifted) for week in weeks] == [week.incident for week in weeks]
