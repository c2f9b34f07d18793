from dataclasses import replace
from datetime import date

import pytest

from mlops_course.console import kept
from mlops_course.core.errors import ParameterError, WorkspaceError
from mlops_course.data.incidents import INCIDENTS
from mlops_course.data.stream import Strike
from mlops_course.oncall.engine import Engine
from mlops_course.oncall.results import begun
from mlops_course.oncall.state import DAY
from mlops_course.shifts.plans import Planned, draw_shift
from mlops_course.shifts.systems import Rehearsed


@pytest.fixture
def place(workspace, played_shift):
    return kept.place_of(workspace, played_shift.shift)


@pytest.fixture
def engine(played_shift):
    return Engine(played_shift.shift, played_shift.world, Rehearsed())


def test_place_when_shifts_differ_then_so_do_their_files(workspace, place):
    drawn = kept.place_of(workspace, draw_shift(3, "easy"))
    assert drawn.steps.name == "easy-3.json" != place.steps.name
    assert kept.kept(drawn) is None and kept.reached(drawn) == drawn.shift.first


def test_steps_when_kept_then_a_later_console_goes_on_from_them(place, engine, played_shift):
    for _ in range(3):
        engine.next_day()
    kept.keep(place, engine.drill)
    assert kept.kept(place).steps == tuple(engine.drill.steps)
    assert kept.reached(place) == engine.drill.today
    assert kept.put_aside(place).exists() and kept.kept(place) is None


def test_shift_when_composed_in_code_then_what_is_kept_is_read_as_its_own(workspace, shift, world):
    for_ever = Planned(Strike(INCIDENTS["hours"], shift.first + DAY, None))
    composed = replace(shift, planned=(for_ever,), name="")
    place = kept.place_of(workspace, composed)
    engine = Engine(composed, world, Rehearsed())
    engine.next_day()
    kept.keep(place, engine.drill)
    assert kept.kept(place).steps == tuple(engine.drill.steps)


def test_shift_when_no_file_can_say_it_then_is_refused_before_it_is_played(workspace, shift):
    with pytest.raises(ParameterError, match="name is"):
        kept.place_of(workspace, replace(shift, name="long " * 40))


def test_record_when_broken_or_of_another_shift_then_says_how_to_begin_anew(place, engine):
    place.folder.mkdir()
    place.steps.write_text("{", encoding="utf-8")
    with pytest.raises(WorkspaceError, match="--afresh"):
        kept.kept(place)
    place.steps.write_text('{"steps": [], "shift": {"seed": 1, "level": "easy"}}')
    with pytest.raises(WorkspaceError, match="of another shift"):
        kept.kept(place)


def test_injection_when_taken_up_then_strikes_tomorrow_and_is_not_named(place, engine, workspace):
    told = kept.inject(place, "clock", None)
    assert "Departure clock switched" in told
    engine.next_day()
    assert kept.take_up(place, engine) == ""
    assert [one.incident.name for one in engine.drill.present(date(2013, 7, 3))] == ["clock"]
    assert not place.injections.exists()
    assert kept.kept(place).steps == tuple(engine.drill.steps), "kept before the file went"
    assert kept.place_of(workspace, begun(engine.drill)) == place
    assert [row["name"] for row in kept.calendar(place)] == ["clock", "hours", "storm"]
    with pytest.raises(ParameterError, match="strikes in this shift anyway"):
        kept.inject(place, "clock", None)


def test_injection_when_impossible_then_says_what_is_allowed(place, engine):
    for name, day in (("foo", None), ("clock", date(2013, 7, 1)), ("clock", date(2013, 8, 1))):
        with pytest.raises(ParameterError):
            kept.inject(place, name, day)
    kept.inject(place, "clock", date(2013, 7, 20))
    with pytest.raises(ParameterError, match="waits to be taken up"):
        kept.inject(place, "clock", None)
    with pytest.raises(ParameterError, match="strikes in this shift anyway"):
        kept.inject(place, "storm", None)


def test_injection_when_the_file_was_spoilt_by_hand_then_play_goes_on_and_it_is_kept(place, engine):
    place.folder.mkdir()
    place.injections.write_text("[[incident]]\nwhat = 'foo'\n", encoding="utf-8")
    assert "cannot be used; it is kept as" in kept.take_up(place, engine)
    assert not place.injections.exists() and list(place.folder.glob("*.refused"))
    assert engine.drill.steps == []
