from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from rule_scores import seen, year_of
from rule_troubles import TROUBLES, recorded

from mlops_course.alerting.rule_files import read_rules
from mlops_course.alerting.rules import evaluate
from mlops_course.core.errors import ParameterError
from mlops_course.data.flights import load_flights
from mlops_course.data.stream import WEEK
from mlops_course.monitoring.figures import FIGURES
from mlops_course.monitoring.windows import as_recorded, window_of

FILE = Path(__file__).parents[2] / "notebooks" / "07_rules.toml"
AUTUMN = date(2013, 9, 2)
CALM_WEEKS = 12  # until Sunday before Thanksgiving
STRUCK = date(2013, 10, 21)
WEEKS_BEFORE = 1
WEEKS_AFTER = 2
# Days until the end of the window that tells, by the length of a rule's windows.
WITHIN = {"1 day": 2, "7 days": 14}


@pytest.fixture(scope="module")
def rules():
    return read_rules(FILE)


@pytest.fixture(scope="module")
def year(shared_workspace, rules):
    return year_of(load_flights(shared_workspace), rules)


@pytest.fixture(scope="module")
def before_and_after(year):
    """Three real weeks of autumn, what the model says of them, and what they are held against."""
    begin = STRUCK - WEEKS_BEFORE * WEEK
    flights = year.weeks(begin, WEEKS_BEFORE + WEEKS_AFTER)
    return flights, year.model.probability(flights), year.reference(begin)


def test_file_when_read_then_every_rule_can_be_used_and_names_who_acts(rules):
    assert len(rules.rules) == 17 and rules.terms.objective == 0.9
    assert {rule.severity for rule in rules.rules} == {"page", "ticket", "note"}
    assert any(rule.needs_labels for rule in rules.rules)


def test_file_when_a_trouble_is_listed_then_its_rules_are_there_and_each_rule_is_for_one(rules):
    promised = {name for trouble in TROUBLES.values() for name in trouble.watched}
    assert promised == {rule.name for rule in rules.rules}


def test_rules_when_real_autumn_weeks_are_calm_then_nobody_is_woken(year, rules):
    flights = year.weeks(AUTUMN, CALM_WEEKS)
    record = as_recorded(flights, year.model.probability(flights))
    watched = evaluate(rules.rules, record, year.terms, year.reference(AUTUMN))
    told = {alert.rule for one in watched for alert in one.look.alerts}
    assert told <= {"inputs drifted"}
    assert len(watched) == CALM_WEEKS * 8


@pytest.mark.parametrize("name", TROUBLES)
def test_rules_when_something_goes_wrong_then_those_that_are_for_it_tell_in_time(
    year, before_and_after, name
):
    trouble = TROUBLES[name]
    flights, said, reference = before_and_after
    record = recorded(trouble, flights, said, year.model, STRUCK)
    rules = [rule for rule in year.rules if rule.name in trouble.rules]
    found = seen(rules, record, year.terms, reference, STRUCK)
    assert set(found) == set(trouble.rules)
    for rule in rules:
        days = found[rule.name].days
        assert days is not None and days <= WITHIN[rule.window], rule.name
        outcome = found[rule.name].outcome
        calm = outcome.struck.index(True)
        assert calm in (1, 7) and not any(outcome.firing[:calm])


def test_labels_rule_when_asked_as_the_week_ends_then_waits_for_those_of_sunday(year, rules):
    rule = next(rule for rule in rules.rules if rule.figure == "labelled_share")
    week = year.weeks(AUTUMN, 1)
    record = as_recorded(week, np.zeros(len(week)), before=AUTUMN + WEEK)
    share = FIGURES[rule.figure].of(window_of(record, "the week", AUTUMN, 7), year.terms)
    assert 0.8 < share < 0.9 and not rule.is_beyond(share)


def test_file_when_a_tier_is_copied_from_an_objective_of_three_nines_then_it_could_never_fire(
    tmp_path, rules
):
    copied = tmp_path / "copied.toml"
    text = FILE.read_text(encoding="utf-8")
    assert text.count("above = 4.0\n") == 1
    copied.write_text(text.replace("above = 4.0\n", "above = 14.4\n"), encoding="utf-8")
    with pytest.raises(ParameterError) as refused:
        read_rules(copied)
    line = text[: text.index('name = "budget burns in a day"')].count("\n")
    assert (
        f"Line {line}, budget burns in a day: It can never fire: burn_rate is at most 10, never "
        "above 14.4." in refused.value.happened
    )
    higher = text.replace("above = 4.0\n", "above = 14.4\n").replace(
        "objective = 0.90", "objective = 0.95"
    )
    copied.write_text(higher, encoding="utf-8")
    assert read_rules(copied).terms == replace(rules.terms, objective=0.95)
