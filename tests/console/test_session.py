"""A shift at work: one thing at a time, kept step by step, taken up again where it was."""

import threading
from datetime import timedelta

import pytest

from mlops_course.console import session as modes
from mlops_course.console.keeping import Keeper
from mlops_course.console.kept import Elsewhere, inject
from mlops_course.console.session import Session
from mlops_course.core.errors import ParameterError, ServiceError
from mlops_course.oncall.engine import Engine
from mlops_course.shifts.systems import Rehearsed


def quiet(may_wait: bool) -> None:
    """Nobody looks."""


@pytest.fixture
def keeper(workspace, shift):
    return Keeper(workspace, shift)


@pytest.fixture
def session(open_engine, keeper):
    begun = Session(open_engine, keeper, quiet)
    begun.begin()
    return begun


def same_shift(open_engine, workspace, shift) -> Session:
    """Return another console's session on the shift."""
    other = Session(open_engine, Keeper(workspace, shift), quiet)
    other.begin()
    other.wait()
    return other


def test_step_when_done_then_is_kept_at_once(session, keeper):
    session.look("overview")
    session.act("hold")
    session.pass_days(until_called=False)
    assert keeper.read() == session.drill.steps and len(session.drill.steps) == 3


def test_action_when_refused_then_is_told_and_nothing_is_kept(session, keeper):
    with pytest.raises(ParameterError):
        session.act("resume")
    assert "Traffic is not held" in session.trouble and session.mode == modes.PLAYING
    assert keeper.read() == []


def test_wait_when_the_pager_calls_then_days_stop_and_it_is_told(session):
    session.pass_days(until_called=True)
    assert session.drill.today == session.drill.shift.first + timedelta(days=16)
    assert session.called.startswith("The pager calls: Share of flights called late")
    assert "16 days have passed." in session.told


def test_days_when_they_pass_on_a_thread_then_other_things_are_refused_and_stop_stops(
    open_engine, keeper
):
    seen = threading.Event()
    session = Session(open_engine, keeper, lambda may_wait: may_wait and seen.set())
    session.begin()
    session.pass_days(until_called=True, apart=True)
    with pytest.raises(ParameterError, match="Days are passing"):
        session.look("overview")
    session.stop()
    assert session.wait(20)
    assert session.mode == modes.PLAYING
    assert session.drill.today < session.drill.shift.first + timedelta(days=16)


def test_shift_when_taken_up_again_then_nothing_is_lost(session, open_engine, workspace, shift):
    session.pass_days(until_called=True)
    session.look("rows")
    session.act("fix-feed", cause="hours", sure=0.9)
    again = same_shift(open_engine, workspace, shift)
    assert (again.drill.steps, again.drill.log) == (session.drill.steps, session.drill.log)
    assert again.drill.harm == session.drill.harm
    assert [look.lines for _, look in again.engine.pages] == [
        look.lines for _, look in session.engine.pages
    ]


def test_record_when_it_cannot_be_played_then_says_so_and_the_shift_can_begin_anew(
    session, open_engine, workspace, shift, keeper
):
    session.look("overview")
    text = keeper.place.steps.read_text().replace('"minute": 0', '"minute": 7')
    keeper.place.steps.write_text(text)
    again = same_shift(open_engine, workspace, shift)
    assert again.mode == modes.BROKEN and "minute 7" in again.trouble
    again.begin_again()
    assert again.mode == modes.PLAYING and again.drill.steps == []
    assert (workspace.shifts / "easy-3-before-1.json").read_text() == text


def test_console_when_a_newer_one_plays_the_shift_then_only_shows_it_until_it_takes_over(
    session, open_engine, workspace, shift
):
    newer = same_shift(open_engine, workspace, shift)
    assert session.mode == modes.ELSEWHERE
    with pytest.raises(ParameterError, match="Another console plays this shift"):
        session.look("overview")
    newer.look("rows")
    session.take_over()
    session.wait()
    assert session.drill.steps == newer.drill.steps and session.mode == modes.PLAYING
    assert newer.mode == modes.ELSEWHERE


def test_step_when_another_program_took_the_shift_over_then_is_not_done(session, keeper):
    keeper.place.claim.write_text('{"console": "another"}')
    with pytest.raises(Elsewhere):
        session.look("overview")
    assert session.mode == modes.ELSEWHERE and session.drill.steps == []


def test_real_system_when_it_does_not_start_then_the_shift_is_played_in_memory(
    shift, world, keeper
):
    def open_engine(live: bool) -> Engine:
        if live:
            raise ServiceError("It did not start.", "It does.", "Try again.")
        return Engine(shift, world, Rehearsed())

    session = Session(open_engine, keeper, quiet, live=True)
    session.begin()
    session.wait()
    assert session.mode == modes.PLAYING and "It did not start." in session.trouble
    session.look("overview")


def test_injection_when_written_then_strikes_from_the_morning_after_next_and_is_not_told(
    session, keeper, open_engine, workspace, shift
):
    inject(keeper.place, "clock", None)
    session.pass_days(until_called=False)
    session.pass_days(until_called=False)
    drill = session.drill
    assert [one.incident.name for one in drill.present(drill.today)] == ["clock"]
    assert session.told == "A day has passed." and session.trouble == ""
    again = same_shift(open_engine, workspace, shift)
    assert again.drill.steps == drill.steps and again.drill.shift == drill.shift


def test_injection_when_unusable_then_is_said_and_the_day_has_passed(session, keeper):
    keeper.place.injections.write_text("[[incident]]", encoding="utf-8")
    session.pass_days(until_called=False)
    assert "A day has passed. What the game master wrote cannot be used" in session.told
    assert session.drill.today == session.drill.shift.first + timedelta(days=1)


def test_score_when_the_shift_is_not_over_then_is_refused(session):
    with pytest.raises(ParameterError, match="not over"):
        session.judge(debriefs=False)


def test_closed_when_asked_for_something_then_says_what_to_do(session):
    session.close()
    with pytest.raises(ParameterError, match="was closed"):
        session.look("overview")
