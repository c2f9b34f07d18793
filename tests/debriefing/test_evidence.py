from datetime import date

import pytest

from mlops_course.debriefing.evidence import traces
from mlops_course.oncall.engine import Engine
from mlops_course.oncall.shift_files import parse_shift
from mlops_course.shifts.systems import Rehearsed
from mlops_course.shifts.worlds import open_world

FIRST = "seed = 2\nfirst = 2013-05-06\nweeks = 2\n"


@pytest.fixture(scope="module")
def found(debriefed_shift):
    return [chapter.trace for chapter in debriefed_shift.found.chapters]


def watched(text, workspace, looks=("overview",)):
    shift = parse_shift(FIRST + text, "test")
    engine = Engine(shift, open_world(workspace, shift), Rehearsed())
    while not engine.drill.over:
        for name in looks:
            engine.look(name)
        engine.next_day()
    return engine.drill


def test_evidence_when_an_incident_struck_then_is_not_before_it(found, played_shift):
    for trace, planned in zip(found, played_shift.shift.planned, strict=True):
        assert trace.planned == planned
        assert planned.strike.first < trace.first.day <= planned.strike.last
        assert min(trace.seen)[0] > planned.strike.first


def test_evidence_when_a_share_is_hit_first_then_rows_show_it_before_the_pager(found):
    hours = found[0]
    assert (hours.page.page, hours.page.day) == ("rows", date(2013, 7, 9))
    assert "dep delay" in hours.page.figure
    assert not hours.page.low <= hours.page.value <= hours.page.high
    assert hours.alarm.figure == "hardly any flight called late"
    assert hours.first == hours.page and hours.alarm.day > hours.page.day


def test_harm_when_an_incident_was_there_then_is_counted_against_the_same_days_without(
    found, played_shift
):
    hours = found[0]
    ended = played_shift.drill.ended["hours"]
    assert list(hours.extra) == [day.day for day in played_shift.drill.days if
                                 date(2013, 7, 8) <= day.day < ended]  # fmt: skip
    assert sum(hours.extra.values()) > 500


def test_drill_when_traced_then_is_left_as_it_was(played_shift, debriefed_shift):
    drill = played_shift.drill
    assert debriefed_shift.before == (drill.steps, drill.log, drill.orders, drill.minutes)


def test_evidence_when_a_release_or_the_first_day_or_no_monitoring_then_the_right_page_has_it(
    shared_workspace,
):
    text = (
        "[[incident]]\nwhat = 'celsius'\nday = 2013-05-06\nlasts = 7\n"
        "[[incident]]\nwhat = 'monitoring-dead'\nday = 2013-05-13\nlasts = 2\n"
        "[[incident]]\nwhat = 'worse-release'\nday = 2013-05-16\n"
    )
    celsius, dead, worse = traces(watched(text, shared_workspace, ("overview", "upstream")))
    assert (dead.page.page, dead.page.day) == ("overview", date(2013, 5, 13))
    assert "looked at" in dead.page.figure
    assert (worse.page.page, worse.page.figure) == ("registry", "forced entries")
    assert any(page == "upstream" for _, page in celsius.seen)
    assert not any(page == "upstream" for _, page in worse.seen)
    assert not any(str(day) < "2013-05-16" for day, _ in worse.seen)
