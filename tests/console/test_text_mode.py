import pytest

from mlops_course.console.kept import Elsewhere
from mlops_course.console.text_mode import TextConsole
from mlops_course.oncall.engine import Engine
from mlops_course.oncall.state import PAGER
from mlops_course.shifts.systems import Rehearsed


@pytest.fixture
def play(played_shift):
    engine = Engine(played_shift.shift, played_shift.world, Rehearsed())

    def typed(*lines):
        left = iter(lines)
        told = []
        kept = []

        def read(prompt):
            try:
                return next(left)
            except StopIteration as end:
                raise EOFError from end

        console = TextConsole(
            engine, read, told.append, lambda: kept.append(len(engine.drill.steps)), lambda: ""
        )
        over = console.play()
        return engine.drill, "\n".join(told), kept, over

    return typed


def test_console_when_input_ends_then_leaves_and_has_kept_each_step(play):
    drill, told, kept, over = play("next", "overview", "2")
    assert not over
    assert [step.name for step in drill.steps] == ["next-day", "overview", "weeks"]
    assert kept == [1, 2, 3]
    assert "Tuesday 2013-07-02, 09:00. Week 1 of 4." in told


def test_console_when_another_one_has_taken_the_shift_over_then_plays_no_further(played_shift):
    def keep():
        raise Elsewhere("Taken over.", "One plays.", "Go on there.")

    engine = Engine(played_shift.shift, played_shift.world, Rehearsed())
    console = TextConsole(engine, lambda prompt: "next", lambda line: None, keep, lambda: "")
    with pytest.raises(Elsewhere):
        console.play()
    assert len(engine.drill.steps) == 1


def test_wait_when_the_pager_calls_then_stops_there_and_says_why(play):
    drill, told, _, _ = play("wait", "pager")
    calls = [entry for entry in drill.log if entry.kind == PAGER]
    assert [entry.day for entry in calls] == [drill.today]
    assert f"PAGER: {calls[0].text}" in told and "Look at dep_delay" in told


def test_action_when_all_is_on_the_line_then_nothing_is_asked(play):
    drill, told, _, _ = play("wait", "fix-feed hours 95%", "silence 1 3", "15 4 padding 0.6")
    assert dict(drill.steps[-3].options) == {"cause": "hours", "sure": 0.95}
    assert dict(drill.steps[-2].options) == {"rule": "hardly any flight called late", "days": 3}
    assert drill.steps[-1].name == "retrain" and drill.steps[-1].options["weeks"] == 4
    assert "The feed's owners answer on" in told


def test_action_when_named_alone_then_asks_for_the_rest(play):
    drill, _, _, _ = play("wait", "dismiss", "3", "", "retrain", "2", "")
    assert dict(drill.steps[-2].options) == {"cause": "hours", "sure": 0.8}
    assert dict(drill.steps[-1].options) == {"weeks": 2}


@pytest.mark.parametrize(
    "line",
    ["foo", "99", "dismiss", "retrain x", "fix-feed frogs 0.9", "fix-feed hours 7", "hold now"],
)
def test_line_when_it_cannot_be_done_then_a_sentence_says_so_and_nothing_happens(play, line):
    drill, told, kept, _ = play(line)
    assert drill.steps == [] and kept == []
    assert told.splitlines()[-1].endswith(("nothing was done.", ".")) and "Traceback" not in told


def test_shift_when_played_then_its_truth_is_never_shown(play, played_shift):
    lines = ["overview", "weeks", "rows", "service", "registry", "log", "wait"] * 12
    _, told, _, over = play(*lines)
    assert over
    for planned in played_shift.shift.planned:
        assert planned.incident.title not in told and planned.incident.story not in told
    drawn = told.split("Monday 2013-07-01", 1)[1]
    assert "harm" not in drawn.lower()
