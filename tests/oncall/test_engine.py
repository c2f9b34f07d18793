from dataclasses import replace
from datetime import date, timedelta

import pytest

from mlops_course.core.errors import CourseError
from mlops_course.data.incidents import INCIDENTS
from mlops_course.oncall.engine import NEXT_DAY
from mlops_course.oncall.state import ANSWER, PAGER
from mlops_course.shifts.prices import ACTIONS, IN_VAIN, LOOKS, REPAIR_DAYS, URGENT_REPAIR_DAYS


def try_to(work):
    """Return what is wrong with a call that is refused."""
    with pytest.raises(CourseError) as refused:
        work()
    return str(refused.value)


def days(engine, count):
    for _ in range(count):
        engine.next_day()


@pytest.fixture
def calm(drills):
    """A shift in which nothing strikes, two weeks old."""
    engine = drills.engine(drills.shift())
    days(engine, 14)
    return engine


def test_pages_when_each_is_looked_at_then_it_has_something_to_read_and_takes_its_minutes(calm):
    for name, thing in LOOKS.items():
        before = calm.drill.minutes
        page = calm.look(name)
        assert page.title == thing.title
        assert all(line.strip() for line in page.lines)
        assert calm.drill.minutes - before == thing.minutes


def test_pages_when_nothing_was_served_yet_then_each_says_so_or_is_empty(drills):
    engine = drills.engine(drills.shift())
    for name in LOOKS:
        assert engine.look(name).lines


@pytest.mark.parametrize("name", [name for name in INCIDENTS if name != "none"])
def test_pages_when_an_incident_is_there_then_none_names_it(drills, name):
    engine = drills.engine(drills.shift(name))
    days(engine, 21)
    shown = [engine.look(page) for page in LOOKS if page != "upstream"]
    said = " ".join(line for page in shown for line in page.lines)
    said += " ".join(entry.text for entry in engine.drill.log)
    assert INCIDENTS[name].title not in said
    assert INCIDENTS[name].story not in said


def test_steps_when_done_again_then_the_drill_is_the_same_to_the_last_digit(drills):
    shift = drills.shift("clock", "worse-release")
    first = drills.engine(shift)
    days(first, 12)
    first.look("rows")
    first.act("declare")
    first.act("fix-feed", cause="clock", sure=0.9)
    first.act("roll-back", cause="worse-release", sure=0.7)
    while not first.drill.over:
        first.next_day()
    again = drills.engine(shift)
    assert sum(1 for _ in again.replay(first.drill.steps)) == len(first.drill.steps)
    assert again.drill.harm == first.drill.harm
    assert again.drill.days == first.drill.days
    assert again.drill.log == first.drill.log
    assert again.drill.steps == first.drill.steps


def test_replay_when_a_step_was_moved_to_another_day_then_it_is_refused(drills):
    first = drills.engine(drills.shift())
    days(first, 2)
    moved = replace(first.drill.steps[1], day=date(2013, 9, 9))
    again = drills.engine(drills.shift())
    told = try_to(lambda: list(again.replay([first.drill.steps[0], moved])))
    assert "2013-09-09" in told
    assert "2013-09-03" in told


def test_feed_when_its_owners_were_asked_then_it_is_right_after_their_days_and_no_sooner(drills):
    for declared, wait in ((False, REPAIR_DAYS), (True, URGENT_REPAIR_DAYS)):
        engine = drills.engine(drills.shift("hours"), watched=False)
        days(engine, 12)
        if declared:
            engine.act("declare")
        engine.act("fix-feed")
        days(engine, wait - 1)
        assert engine.drill.present(engine.drill.today)
        days(engine, 1)
        assert not engine.drill.present(engine.drill.today)


def test_declaration_when_a_repair_was_asked_for_before_then_it_comes_sooner(drills):
    engine = drills.engine(drills.shift("hours"), watched=False)
    days(engine, 12)
    engine.act("fix-feed")
    engine.act("declare")
    days(engine, URGENT_REPAIR_DAYS)
    assert not engine.drill.present(engine.drill.today)


@pytest.mark.parametrize("action", ["fix-feed", "revert-desk", "chase-labels"])
def test_owners_when_called_in_vain_then_it_is_charged_once_they_have_looked(calm, action):
    calm.act(action)
    assert calm.drill.harm.false_alarms == 0
    days(calm, REPAIR_DAYS)
    assert calm.drill.harm.false_alarms == IN_VAIN
    assert any(entry.kind == ANSWER for entry in calm.drill.log)


def test_release_when_a_colleague_promotes_then_it_serves_and_the_registry_says_forced(drills):
    engine = drills.engine(drills.shift("stuck-release"), watched=False)
    days(engine, 10)
    move = engine.look("registry").facts["moves"][-1]
    assert (move.version, move.day) == ("3", "2013-09-12")
    assert move.reason.startswith("forced")
    days(engine, 1)
    assert engine.drill.days[-1].version == "3"
    engine.act("roll-back")
    days(engine, 2)
    assert engine.drill.days[-1].version == "2"
    assert not engine.drill.present(engine.drill.today)


def test_release_when_nobody_acts_then_the_colleague_takes_it_back_at_its_end(drills):
    engine = drills.engine(drills.shift("stuck-release"), watched=False)
    days(engine, 10 + INCIDENTS["stuck-release"].lasts + 1)
    assert engine.drill.champion == "2"
    assert engine.drill.system.moves()[-1].who == "a colleague"


def test_monitoring_when_dead_then_nobody_is_called_until_it_was_restarted(drills):
    engine = drills.engine(drills.shift("monitoring-dead", "hours"))
    days(engine, 15)
    assert not [entry for entry in engine.drill.log if entry.kind == PAGER]
    assert engine.look("overview").facts["age"] == 6
    engine.act("restart-monitoring")
    days(engine, 1)
    assert engine.look("overview").facts["age"] == 0
    assert "hardly any flight called late" in engine.drill.alarms


def test_labels_when_late_then_the_week_after_calls_and_chasing_them_helps(drills):
    engine = drills.engine(drills.shift("late-labels"))
    days(engine, 24)
    assert "labels stay away" in engine.drill.alarms
    engine.act("chase-labels")
    days(engine, 17)
    assert "labels stay away" not in engine.drill.alarms


def test_alarm_when_dismissed_then_it_calls_again_only_after_it_has_ended(drills):
    engine = drills.engine(drills.shift("hours"))
    days(engine, 11)
    assert "hardly any flight called late" in engine.drill.alarms
    engine.act("dismiss")
    days(engine, 5)
    assert "hardly any flight called late" not in engine.drill.alarms
    assert "hardly any flight called late" in engine.drill.dismissed


def test_alarm_when_silenced_then_it_calls_again_after_its_days(drills):
    engine = drills.engine(drills.shift("hours"))
    days(engine, 11)
    engine.act("silence", rule="hardly any flight called late", days=3)
    days(engine, 2)
    assert "hardly any flight called late" not in engine.drill.alarms
    days(engine, 1)
    assert "hardly any flight called late" in engine.drill.alarms


def test_traffic_when_held_then_the_rule_answers_until_it_is_resumed(calm):
    calm.act("hold")
    days(calm, 2)
    assert calm.drill.days[-1].held
    assert calm.drill.served[-1].requests.empty
    assert set(calm.drill.served[-1].flights["probability"]) <= {0.0, 1.0}
    calm.act("resume")
    days(calm, 2)
    assert not calm.drill.days[-1].held


def test_canary_when_begun_then_it_answers_a_part_and_is_judged_once_labels_are_in(calm):
    calm.act("canary", weeks=2)
    days(calm, 4)
    answered = {version for one in calm.drill.served[-3:] for version in one.flights["version"]}
    assert answered == {"2", "3"}
    days(calm, 6)
    assert calm.drill.challenger == ""
    assert any("it calls" in entry.text for entry in calm.drill.log if entry.kind == ANSWER)


def test_waiting_when_something_calls_then_the_days_stop_there(drills):
    engine = drills.engine(drills.shift("hours"))
    passed = list(engine.wait())
    assert engine.drill.today == date(2013, 9, 13)
    assert len(passed) == 11


def test_upstream_when_asked_then_it_answers_some_days_later_and_may_be_mistaken(drills):
    for honest in (True, False):
        shift = drills.shift("hours")
        one = shift.planned[0]
        reply = replace(one.reply, honest=honest)
        engine = drills.engine(replace(shift, planned=(replace(one, reply=reply),)))
        days(engine, 11)
        engine.look("upstream")
        days(engine, reply.days)
        assert engine.drill.replies == [(engine.drill.today, honest)]


@pytest.mark.parametrize(
    ("what", "named"),
    [
        (lambda engine: engine.act("rollback"), "roll-back"),
        (lambda engine: engine.look("dashbord"), "There are"),
        (lambda engine: engine.act("roll-back", cause="clocks"), "clock"),
        (lambda engine: engine.act("roll-back", cause="clock", sure=95), "0.5"),
        (lambda engine: engine.act("roll-back", cause="clock", sure=0.2), "0.5"),
        (lambda engine: engine.act("hold", weeks=3), "takes no weeks"),
        (lambda engine: engine.act("retrain", weeks=0), "whole number"),
        (lambda engine: engine.act("retrain", weeks=1), "3,000"),
        (lambda engine: engine.act("retrain", weeks="four"), "whole number"),
        (lambda engine: engine.act("dismiss"), "No alarm is open"),
        (lambda engine: engine.act("silence", rule="noise"), "Open alarms"),
        (lambda engine: engine.act("resume"), "not held"),
    ],
)
def test_step_when_it_cannot_be_done_then_a_sentence_says_why_and_nothing_has_happened(
    calm, what, named
):
    before = (list(calm.drill.steps), calm.drill.minutes, list(calm.drill.orders))
    assert named in try_to(lambda: what(calm))
    assert (calm.drill.steps, calm.drill.minutes, calm.drill.orders) == before


def test_order_when_it_is_under_way_then_another_of_its_kind_is_refused(calm):
    for action in ("fix-feed", "hold", "roll-back", "canary"):
        calm.act(action)
        with pytest.raises(CourseError, match="under way"):
            calm.act(action)


def test_rollback_when_no_version_was_there_before_then_it_is_refused(calm):
    calm.act("roll-back")
    days(calm, 1)
    assert calm.drill.champion == "1"
    assert "version 1" in try_to(lambda: calm.act("roll-back"))


def test_shift_when_over_then_nothing_more_can_be_done(drills):
    engine = drills.engine(drills.shift(), watched=False)
    while not engine.drill.over:
        engine.next_day()
    assert engine.drill.today == engine.drill.shift.last + timedelta(days=1)
    for work in (engine.next_day, lambda: engine.look("rows"), lambda: engine.act("hold")):
        assert "over" in try_to(work)


def test_day_when_its_minutes_are_spent_then_the_engine_says_so_by_its_clock(calm):
    for _ in range(60):
        calm.look("rows")
    assert calm.drill.minute == 480
    assert calm.drill.minutes == 600
    assert calm.drill.steps[-1].name != NEXT_DAY


def test_actions_when_listed_then_each_can_be_done(calm):
    from mlops_course.oncall.acting import ACTS
    from mlops_course.oncall.looks import LOOK_AT

    assert set(ACTS) == set(ACTIONS)
    assert set(LOOK_AT) == set(LOOKS)
