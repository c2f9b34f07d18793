from math import isnan

import pytest

from mlops_course.alerting.scoring import Outcome, episodes, score


def signs(text):
    return [letter == "x" for letter in text]


def test_score_when_an_incident_is_found_late_then_its_windows_are_counted_from_its_beginning():
    found = score([Outcome(signs("..xxxx"), signs("....xx"))])
    assert (found.recall, found.precision, found.windows_to_find) == (1.0, 1.0, 3.0)
    assert (found.incidents, found.alarms, found.calm_windows) == (1, 1, 2)


def test_score_when_alarms_last_then_each_episode_counts_once():
    found = score([Outcome(signs("......"), signs("xxx.xx"))])
    assert (found.alarms, found.false_alarms, found.precision, found.calm_windows) == (2, 2, 0, 6)
    assert isnan(found.recall) and isnan(found.windows_to_find)


def test_score_when_an_alarm_began_before_then_it_touches_the_incident_it_lasts_into():
    found = score([Outcome(signs("..xx"), signs(".xx."))])
    assert (found.recall, found.precision, found.windows_to_find) == (1.0, 1.0, 1.0)


def test_score_when_nothing_fires_then_no_incident_is_found():
    found = score([Outcome(signs(".x.x"), signs("....")), Outcome(signs("xx.."), signs("x..."))])
    assert found.incidents == 3 and found.found == 1
    assert found.recall == pytest.approx(1 / 3) and found.precision == 1


@pytest.mark.parametrize(
    ("text", "expected"), [("", []), ("...", []), ("xx", [(0, 2)]), (".x.xx", [(1, 2), (3, 5)])]
)
def test_episodes_when_signs_run_then_each_run_is_one(text, expected):
    assert episodes(signs(text)) == expected
