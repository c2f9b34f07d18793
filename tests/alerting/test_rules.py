from dataclasses import replace
from datetime import date
from math import nan

import numpy as np
import pytest
from watched import flights_of, record_of

from mlops_course.alerting.alerts import ACCURACY_RULE, UNANSWERED_RULE
from mlops_course.alerting.rules import (
    Progress,
    Rule,
    Watch,
    advanced,
    evaluate,
    faults,
    window_length,
)
from mlops_course.core.errors import ParameterError
from mlops_course.monitoring.figures import Terms
from mlops_course.monitoring.windows import as_recorded, by_days, window_of
from mlops_course.pipeline.scenarios import RunConfig

MONDAY = date(2013, 9, 2)
DAILY = Rule(
    "too many called late",
    "called_late",
    above=0.5,
    clear=0.4,
    window="1 day",
    owner="somebody",
    runbook="Look.",
)


@pytest.fixture(scope="module")
def flights(shared_workspace):
    return flights_of(shared_workspace, MONDAY, date(2013, 9, 15))


def week_of(flights, probability):
    week = flights[flights["date"] < "2013-09-09"]
    return window_of(record_of(week, probability), "the week of 2013-09-02", MONDAY, 7)


def alerts_of(flights, probability):
    return Watch(RunConfig().rules).look(week_of(flights, probability))


def called(flights, share_wrong):
    """Return probabilities that are wrong for this share of every day's flights."""
    week = flights[flights["date"] < "2013-09-09"]
    wrong = (np.arange(len(week)) * 0.618034) % 1 < share_wrong
    return np.where(wrong, week["late"] != 1, week["late"] == 1) * 1.0


def test_accuracy_rule_when_accuracy_is_just_below_then_waits_for_more_evidence(flights):
    week = week_of(flights, called(flights, 0.11))
    assert week.quality.accuracy < 0.9 < week.quality.upper
    assert alerts_of(flights, called(flights, 0.11)).alerts == ()


def test_accuracy_rule_when_the_bound_is_below_then_says_what_was_seen_and_who_acts(flights):
    (alert,) = alerts_of(flights, called(flights, 0.2)).alerts
    assert (alert.rule, alert.limit, alert.severity) == (ACCURACY_RULE, 0.9, "page")
    assert 0.8 < alert.value < 0.9 and alert.owner and alert.runbook
    assert alert.since == alert.window == "the week of 2013-09-02"
    assert alert.message.startswith("Accuracy 80.") and "by 7 days), is below 90%." in alert.message


def test_unanswered_rule_when_a_hundredth_has_no_answer_then_rests_and_beyond_alerts(flights):
    week = flights[flights["date"] < "2013-09-09"]
    count = len(week) // 100
    right = called(flights, 0.0)
    assert alerts_of(flights, np.where(np.arange(len(week)) < count, nan, right)).alerts == ()
    (alert,) = alerts_of(flights, np.where(np.arange(len(week)) <= count, nan, right)).alerts
    assert alert.rule == UNANSWERED_RULE and alert.value > 0.01 == alert.limit
    assert alert.message.startswith(f"{count + 1} of {len(week):,} flights in the week of")


def test_rules_when_nothing_was_answered_then_silence_alerts_and_accuracy_cannot_tell(flights):
    look = alerts_of(flights, nan)
    assert [alert.rule for alert in look.alerts] == [UNANSWERED_RULE]
    assert [str(one) for one in look.unknown] == [
        "accuracy below threshold: cannot tell for the week of 2013-09-02, 0 labelled."
    ]


def test_rules_when_labels_are_not_in_then_what_takes_them_cannot_tell(flights):
    week = flights[flights["date"] < "2013-09-09"]
    wrong = called(flights, 0.4)
    for before, expected in (("2013-09-08", 0), ("2013-09-11", 1)):
        record = as_recorded(week, wrong, before=date.fromisoformat(before))
        look = Watch(RunConfig().rules).look(window_of(record, "the week", MONDAY, 7))
        assert len(look.alerts) == expected and len(look.unknown) == 1 - expected


def test_rules_when_there_was_no_flight_then_that_alerts(flights):
    empty = window_of(record_of(flights.iloc[:0]), "the night", MONDAY, 1)
    (alert,) = Watch(RunConfig().rules).look(empty).alerts
    assert alert.message == "There was no flight to answer in the night: has the feed ended?"


def firing(rule, values):
    """Return for each value whether the rule fires once it is seen."""
    progress = Progress()
    seen = []
    for value in values:
        progress = advanced(rule, progress, value)
        seen.append(progress.firing)
    return seen


def test_progress_when_a_value_swings_around_the_limit_then_there_is_one_episode():
    swings = [0.49, 0.51] * 6
    assert sum(firing(replace(DAILY, clear=None), swings)) == 6
    assert firing(DAILY, swings) == [False, *[True] * 11]
    patient = replace(DAILY, clear=None, for_windows=2)
    assert not any(firing(patient, swings))


def test_progress_when_rule_waits_for_windows_then_begins_and_ends_after_so_many_in_a_row():
    rule = replace(DAILY, for_windows=2, clear_windows=3)
    values = [0.6, 0.3, 0.6, 0.6, 0.3, 0.3, 0.6, 0.3, 0.3, 0.3]
    expected = [False, False, False, True, True, True, True, True, True, False]
    assert firing(rule, values) == expected


def test_progress_when_limit_is_a_lower_one_then_all_is_turned_round():
    rule = replace(DAILY, above=None, below=0.5, clear=0.6)
    assert firing(rule, [0.5, 0.49, 0.55, 0.6]) == [False, True, True, False]


def test_watch_when_a_window_cannot_tell_then_the_episode_goes_on_and_has_one_beginning(flights):
    days = sorted(flights["date"].unique())
    late = flights["date"].map({days[0]: 0.1, days[1]: 0.9, days[2]: nan, days[3]: 0.9}).fillna(0.1)
    silent = flights["date"] == days[2]
    record = record_of(flights, late.mask(silent).to_numpy())
    watch = Watch([DAILY])
    looks = [watch.look(day) for day in by_days(record, 1)[:5]]
    assert [len(look.alerts) for look in looks] == [0, 1, 0, 1, 0]
    assert {alert.since for look in looks for alert in look.alerts} == {"2013-09-03"}
    assert [len(look.unknown) for look in looks] == [0, 0, 1, 0, 0]


def test_watch_when_the_sample_is_small_then_cannot_tell(flights):
    rule = replace(DAILY, min_sample=2_000)
    look = Watch([rule]).look(by_days(record_of(flights, 0.9), 1)[0])
    assert look.alerts == () and "cannot tell for 2013-09-02" in str(look.unknown[0])


def test_evaluate_when_rules_have_windows_of_their_own_then_each_is_held_against_its_own(flights):
    rules = [
        DAILY,
        replace(DAILY, name="by week", window="7 days"),
        replace(DAILY, name="by count", window="3000 flights"),
    ]
    found = evaluate(rules, record_of(flights, 0.9))
    fired = [alert.rule for one in found for alert in one.look.alerts]
    assert {name: fired.count(name) for name in fired} == {
        "too many called late": 14,
        "by week": 2,
        "by count": len(flights) // 3_000,
    }
    ends = [one.window.end for one in found]
    assert ends == sorted(ends)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"figure": "acuracy"}, "do you mean accuracy?"),
        ({"figure": "zzz"}, "there are volume"),
        ({"above": None}, "one of above and below"),
        ({"below": 0.1}, "one of above and below"),
        ({"above": 1.0, "clear": None}, "It can never fire: called_late is at most 1"),
        ({"above": -0.1, "clear": None}, "always fires"),
        ({"clear": 0.6}, "It would end at 0.6"),
        ({"window": "a week"}, "whole number of days or flights"),
        ({"for_windows": 0}, "1 or more"),
        ({"window": "500 flights", "min_sample": 501}, "its windows hold 500 flights"),
        ({"severity": "urgent"}, "there are page, ticket, note"),
        ({"owner": " "}, "an owner"),
        ({"runbook": ""}, "a runbook line"),
        ({"needs_labels": True}, "takes no labels"),
        ({"figure": "burn_rate", "above": 14.4, "needs_labels": True}, "burn_rate is at most 10"),
        ({"figure": "accuracy_at_most", "needs_labels": True}, "a bound by days takes 5 days"),
        ({"figure": "volume", "window": "500 flights"}, "all hold as many flights"),
        ({"figure": "drift_score"}, "whole weeks are compared with whole weeks"),
    ],
)
def test_rule_when_it_cannot_be_used_then_the_fault_is_named(change, sentence):
    assert faults(DAILY, Terms()) == []
    found = faults(replace(DAILY, **change), Terms())
    assert sentence in " ".join(found)
    with pytest.raises(ParameterError, match="cannot be used"):
        Watch([replace(DAILY, **change)])


def test_rule_when_the_objective_is_higher_then_a_high_burn_rate_can_fire():
    burn = replace(DAILY, figure="burn_rate", above=14.4, clear=None, needs_labels=True)
    assert faults(burn, Terms(objective=0.9)) and not faults(burn, Terms(objective=0.99))


@pytest.mark.parametrize("text", ["", "7", "days", "7 weeks", "-1 days", "0 days", "1.5 days"])
def test_window_length_when_it_is_none_then_says_what_one_is(text):
    with pytest.raises(ParameterError, match="whole number of days or flights"):
        window_length(text)
