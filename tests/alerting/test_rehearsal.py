from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from mlops_course.alerting.rehearsal import (
    Tried,
    outcome,
    rehearse_rules,
    scored,
    try_rules,
    world,
)
from mlops_course.alerting.rule_files import read_rules
from mlops_course.alerting.scoring import Outcome
from mlops_course.core.errors import ParameterError
from mlops_course.data.flights import load_flights
from mlops_course.training.trainer import TrainingConfig, train

MONDAY = date(2013, 9, 2)
FILE = read_rules(Path(__file__).parents[2] / "notebooks" / "07_rules.toml")
RULES = {rule.name: rule for rule in FILE.rules}
HARDLY = RULES["hardly any flight called late"]


@pytest.fixture(scope="module")
def worlds(shared_workspace):
    model = train(load_flights(shared_workspace, last="2013-03-17"), TrainingConfig()).model
    flights = load_flights(shared_workspace, MONDAY, date(2013, 9, 29))
    return {name: world(model, flights, MONDAY, name, weeks=4) for name in ("none", "hours")}


def test_world_when_struck_then_is_so_from_the_fourth_week_on(worlds):
    days = worlds["hours"].windows("1 day")
    assert len(days) == 28 and worlds["hours"].windows("1 day") is days
    assert [worlds["hours"].is_struck(one) for one in days] == [False] * 21 + [True] * 7
    assert not any(worlds["none"].is_struck(one) for one in days)
    before = days[20].flights["dep_delay"].max()
    after = days[21].flights["dep_delay"].max()
    assert after < before / 10


def test_world_when_the_severity_is_a_part_then_hits_that_share_of_flights(shared_workspace):
    model = train(load_flights(shared_workspace, last="2013-01-31"), TrainingConfig()).model
    flights = load_flights(shared_workspace, MONDAY, date(2013, 9, 29))
    whole, part, calm = (
        world(model, flights, MONDAY, name, severity=severity, weeks=4).record.flights
        for name, severity in (("hours", 1.0), ("hours", 0.2), ("none", 1.0))
    )
    delayed = calm["dep_delay"].abs() > 0
    hit = part["dep_delay"] != calm["dep_delay"]
    assert not hit[calm["date"] < "2013-09-23"].any()
    assert hit[delayed & (calm["date"] >= "2013-09-23")].mean() == pytest.approx(0.2, abs=0.02)
    assert (part["dep_delay"][hit] == whole["dep_delay"][hit]).all()


def test_outcome_when_a_rule_is_for_the_incident_then_fires_on_its_days_alone(worlds):
    found = outcome(HARDLY, worlds["hours"], FILE.terms)
    assert list(found.firing) == list(found.struck) and sum(found.firing) == 7
    assert not any(outcome(HARDLY, worlds["none"], FILE.terms).firing)


def test_scored_when_worlds_are_of_several_incidents_then_only_its_own_and_calm_ones_count():
    struck = Outcome([False, True], [False, True])
    calm = Outcome([False, False], [True, False])
    tried = [Tried("none", {HARDLY: calm}), Tried("hours", {HARDLY: struck})]
    tried.append(Tried("clock", {HARDLY: Outcome([True, True], [False, False])}))
    found = scored(tried, HARDLY, "hours")
    assert (found.recall, found.precision, found.incidents) == (1.0, 0.5, 1)


def test_rehearsal_when_rules_are_sound_then_passes_and_names_what_was_seen(worlds):
    verdict = rehearse_rules(FILE.rules, FILE.terms, worlds.values())
    assert verdict.passed and len(verdict.checks) == 2
    assert verdict.checks[0].seen == "Nobody was woken."
    assert HARDLY.name in verdict.checks[1].seen


def test_rehearsal_when_a_page_rings_in_calm_weeks_or_nothing_sees_an_incident_then_fails(worlds):
    nervous = replace(HARDLY, below=0.9, clear=None)
    deaf = replace(HARDLY, for_windows=30)
    for rule, passed in ((nervous, [False, False]), (deaf, [True, False]), (HARDLY, [True, True])):
        verdict = rehearse_rules([rule], FILE.terms, worlds.values())
        assert [check.passed for check in verdict.checks] == passed
    tried = try_rules([nervous], FILE.terms, [worlds["none"]])
    assert tried[0].incident == "none" and all(tried[0].outcomes[nervous].firing)


def test_world_when_days_are_redrawn_then_is_another_one(shared_workspace, worlds):
    model = train(load_flights(shared_workspace, last="2013-03-17"), TrainingConfig()).model
    flights = load_flights(shared_workspace, date(2013, 8, 26), date(2013, 10, 6))
    drawn = world(model, flights, MONDAY, seed=1, weeks=4)
    assert not drawn.record.flights["probability"].equals(
        worlds["none"].record.flights["probability"]
    )
    assert drawn.record.flights["date"].max() == pd.Timestamp("2013-09-29")


@pytest.mark.parametrize("name", ["slow-release", "monitoring-dead"])
def test_world_when_the_incident_leaves_no_mark_on_flights_then_refuses(name):
    with pytest.raises(ParameterError, match="leaves no mark in a record of flights"):
        world(None, pd.DataFrame(), MONDAY, name)
