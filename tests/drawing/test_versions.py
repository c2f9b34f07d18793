"""Champion, challenger and generations, told from the events alone."""

import re

import pytest
from handmade import drift_run, forced, monday, started, week

from mlops_course.drawing import versions
from mlops_course.pipeline.events import (
    Promoted,
    Rejected,
    Retrained,
    RolledBack,
    RunFinished,
    StageFailed,
    StageStarted,
)
from mlops_course.pipeline.state import fold

FIRST = started()
WAITS = Retrained(monday(2), (monday(1), monday(2)), 12_900, "candidate", 0.2)


def roles(events: list) -> dict[str, tuple[str, str]]:
    """Return each role's version and what is said of it."""
    drawn = str(versions.render(fold(events)))
    found = re.findall(r'data-role="(\w+)" data-name="([^"]*)">(.*?)</li>', drawn)
    return {role: (name, re.sub(r"<[^>]*>", " ", words)) for role, name, words in found}


def fates(events: list) -> list[tuple[str, str, str]]:
    return [(one.name, one.fate, one.served) for one in versions.generations(fold(events))]


def test_versions_when_nothing_was_promoted_then_no_role_is_taken():
    assert [name for name, _ in roles([]).values()] == ["none"] * 3


def test_champion_when_promoted_then_gets_all_flights_and_nobody_else_waits():
    told = roles([*FIRST, week(1, 0.95)])
    assert told["champion"][0] == "v1"
    assert "100% of flights" in told["champion"][1]
    assert "Serves since week 1" in told["champion"][1]
    assert told["challenger"][0] == told["former"][0] == "none"


def test_challenger_when_it_waits_then_gets_no_flight_and_says_for_which_week():
    told = roles([*FIRST, week(1, 0.80), week(2, 0.80), WAITS])
    assert told["challenger"][0] == "candidate"
    assert "0% of flights" in told["challenger"][1]
    assert "waits for the labels of week 3" in told["challenger"][1]
    assert "the weeks of 2 Sep and 9 Sep" in told["challenger"][1]


def test_challenger_when_the_run_ended_first_then_says_that_its_week_never_came():
    weeks = [week(number, 0.80) for number in range(1, 9)]
    told = roles([*FIRST, *weeks, WAITS, RunFinished(1.0)])
    assert "a week that never came" in told["challenger"][1]


def test_champion_when_flights_were_unanswered_then_says_how_many():
    told = roles([*FIRST, week(1, 0.95, answered=5_000)])
    assert "Week 1: 1,400 of 6,400 flights unanswered" in told["champion"][1]


def test_generations_when_one_replaced_another_then_each_says_which_weeks_it_served():
    assert fates(drift_run()) == [
        ("v1", "former", "weeks 1 to 6"),
        ("v2", "champion", "weeks 7 to 8"),
    ]
    assert "can be rolled back to" in roles(drift_run())["former"][1]


def test_generations_when_a_candidate_was_refused_then_leaves_a_hollow_mark():
    events = [*FIRST, week(1, 0.80), week(2, 0.80), WAITS, Rejected(monday(3), "No gain.")]
    assert fates(events) == [("v1", "champion", "weeks 1 to 2"), ("candidate", "refused", "")]
    assert 'data-fate="refused"' in versions.render(fold(events))


def test_generations_when_rolled_back_then_the_former_serves_again():
    back = RolledBack(monday(7), "2", "1", "back", "abc")
    events = [*drift_run()[:-3], back, week(8, 0.95, "1")]
    assert fates(events) == [
        ("v1", "former", "weeks 1 to 6"),
        ("v2", "former", "week 7"),
        ("v1", "champion", "week 8"),
    ]
    told = roles(events)
    assert told["champion"][0] == "v1" and "Serves again since week 8" in told["champion"][1]
    assert told["former"][0] == "v2"


def test_champion_when_its_deployment_failed_then_gets_no_flight():
    events = [*FIRST, StageStarted("deploy", 1), StageFailed("deploy", 1, 0.1, "no")]
    told = roles(events)
    assert "could not be deployed" in told["champion"][1] and "0%" in told["champion"][1]


def ten_generations() -> list:
    """Return 39 weeks in which every fourth brings another version."""
    events = [*FIRST]
    for number in range(1, 40):
        version = (number - 1) // 4 + 1
        events.append(week(number, 0.92, str(version)))
        if number % 4 == 0 and number < 39:
            new = str(version + 1)
            trained = (monday(number - 1), monday(number))
            events.append(Retrained(monday(number), trained, 12_900, new, 0.2))
            events.append(Promoted(monday(number), str(version), new, "better", new))
    return events


def test_generations_when_ten_went_by_then_the_row_stays_short():
    state = fold(ten_generations())
    found = versions.generations(state)
    assert [one.name for one in found] == [f"v{number}" for number in range(1, 11)]
    assert found[-1].served == "weeks 37 to 39"
    assert len(versions.render(state)) < 4_000


@pytest.mark.parametrize("evil", ['"><b/onclick=1>'])
def test_versions_when_a_name_holds_markup_then_says_it_and_does_not_obey_it(evil):
    assert evil not in versions.render(fold([Promoted(monday(1), "", evil, evil, evil)]))


def test_generations_when_a_colleague_promoted_by_hand_then_nobody_says_what_it_learned_from():
    first, second = versions.generations(
        fold([*FIRST, week(3, 0.94), forced(3), week(4, 0.9, "2")])
    )
    assert (first.fate, second.fate) == (versions.FORMER, versions.CHAMPION)
    assert second.name == "v2" and second.served == "week 4"
    assert "a colleague" in second.trained_on and "winter" in first.trained_on
