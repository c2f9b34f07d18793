from datetime import date

import pytest

from mlops_course.debriefing.debrief import debrief, sections
from mlops_course.debriefing.documents import as_text
from mlops_course.oncall.scoring import score


@pytest.fixture(scope="module")
def found(debriefed_shift):
    return debriefed_shift.found


@pytest.fixture(scope="module")
def of_nobody(played_shift):
    drill = played_shift.others["nothing"]
    return debrief(drill, score(drill, played_shift.others))


def test_chapters_when_shift_is_over_then_each_incident_has_one_in_order(found, played_shift):
    assert [chapter.planned for chapter in found.chapters] == list(played_shift.shift.planned)
    hours = found.chapters[0]
    assert hours.answer.name == "fix-feed" and hours.answer.options["cause"] == "hours"
    assert hours.outcome.right and hours.outcome.resolved > hours.answer.day


def test_delay_when_evidence_came_first_then_its_cost_is_counted_day_by_day(found):
    hours = found.chapters[0]
    assert hours.delay.days == (hours.answer.day - hours.trace.first.day).days == 2
    cost = sum(harm for day, harm in hours.trace.extra.items() if day < hours.answer.day)
    assert f"{cost:,.0f} flights called wrong" in hours.otherwise
    assert hours.otherwise.startswith("Answer it 2 days sooner: Sample of rows")


def test_incident_when_nothing_is_to_be_fixed_then_leaving_it_alone_is_right(found):
    storm = found.chapters[1]
    assert storm.harmless
    assert storm.otherwise.startswith("Nothing: it was left alone")


def test_incident_when_never_answered_then_the_right_response_is_said(of_nobody):
    hours = of_nobody.chapters[0]
    assert hours.answer is None and hours.outcome.resolved is None
    assert hours.planned.incident.response in hours.otherwise
    assert "showed it on" in hours.otherwise
    assert of_nobody.worths == () and of_nobody.statements == ()
    assert "Nothing was looked at." in as_text(sections(of_nobody))


def test_worth_when_looks_were_taken_then_minutes_and_what_they_showed_add_up(found, played_shift):
    rows = next(worth for worth in found.worths if worth.name == "rows")
    taken = [step for step in played_shift.drill.steps if step.name == "rows"]
    assert (rows.times, rows.minutes) == (len(taken), 10 * len(taken))
    assert 0 < rows.showed < rows.times
    assert "Delay in hours" in rows.incidents


def test_alarms_when_incidents_were_there_then_are_not_false(found):
    assert found.alarms >= 3
    assert all(entry.day < date(2013, 7, 8) for entry in found.false_alarms)


def test_debrief_when_said_then_nothing_is_left_out(found, played_shift):
    told = as_text(sections(found))
    for words in ("Delay in hours", "first page", "otherwise", "What each look was worth"):
        assert words in told
    assert f"{played_shift.score.harm.total:,.0f}" in told
    right = sum(one.right for one in found.statements)
    assert f"{right} of {len(found.statements)} stated causes were right" in told
