"""What the console shows in play: alarms, time, what can be done; and no truth."""

from mlops_course.console import views
from mlops_course.data.incidents import INCIDENTS
from mlops_course.shifts.prices import ACTIONS, LOOKS


def test_pager_when_nothing_fires_then_says_so(engine):
    assert "No alarm is open" in views.pager(engine.drill)
    assert views.alarm_lines(engine.drill) == ["No alarm is open."]


def test_pager_when_an_alarm_is_open_then_shows_severity_message_runbook_and_since_when(called):
    shown = views.pager(called.drill)
    alarm = called.drill.alarms["hardly any flight called late"]
    for words in ("Page: hardly any", alarm.alert.message, alarm.alert.runbook, "Wed 17 Apr"):
        assert words in shown


def test_pager_when_something_was_ordered_then_it_is_under_way(engine):
    engine.act("hold")
    assert "Held: due on Tue 2 Apr 2013" in views.pager(engine.drill)


def test_clock_when_work_is_done_then_shows_what_is_left_and_what_it_counts_as(engine):
    engine.look("drift")
    engine.act("declare")
    told = {name: (value, more) for name, value, more in views.tiles(engine.drill)}
    assert told["Work left today"][0] == "400 min"
    assert told["Your work so far"] == ("1 h 20 min", "counts as 5.3 flights")
    assert told["Calls on others"][0] == "40 flights"


def test_timeline_when_days_have_passed_then_says_them_in_words(called):
    shown = views.timeline(called.drill)
    assert "16 days of 70 so far. Alarms on 1 day." in shown
    assert shown.count('class="moc-alarm"') == 1


def test_actions_when_shown_then_each_has_its_minutes_and_cost_and_its_fields(called):
    shown = str(views.actions(called.drill)) + str(views.looks())
    for thing in (*ACTIONS.values(), *LOOKS.values()):
        assert f"{thing.minutes} min, counts as" in shown
    assert shown.count('name="weeks"') == 2
    assert '<option value="hardly any flight called late">' in shown


def test_causes_when_offered_then_all_stand_in_the_order_of_the_alphabet():
    (none, words), *others = views.causes()
    assert (none, words) == ("", "I do not say")
    assert {name for name, _ in others} == set(INCIDENTS)
    assert [title for _, title in others] == sorted(title for _, title in others)


def test_views_when_a_shift_is_in_play_then_hold_no_truth(called):
    parts = (views.pager, views.clock, views.timeline, views.log, views.actions)
    shown = " ".join(str(part(called.drill)) for part in parts)
    for planned in called.drill.shift.planned:
        assert planned.incident.title not in shown and planned.incident.story not in shown
    assert f"{called.drill.harm.total:,.0f}" not in shown


def test_log_when_something_was_looked_at_and_done_then_stands_in_order_of_time(engine):
    engine.look("rows")
    engine.act("hold")
    kinds = [entry.kind for entry in views.entries(engine.drill)]
    assert kinds == ["look", "done"]
    assert views.log_lines(engine.drill, 1)[0].startswith("Mon 1 Apr 2013, min 30: you did: Hold")
