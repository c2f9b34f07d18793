"""`OnCall` in plain Python: what the page can do, a method can do."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from mlops_course import OnCall
from mlops_course.console.page import Page
from mlops_course.console.session import ELSEWHERE
from mlops_course.core.errors import ParameterError, WorkspaceError
from mlops_course.oncall.results import read_result
from mlops_course.oncall.shift_files import write_shift
from mlops_course.shifts.plans import Shift, draw_shift


@pytest.fixture
def call(workspace):
    made = OnCall(seed=3, level="easy", workspace=workspace, live=False)
    yield made
    made.close()


def test_shift_when_played_by_methods_then_each_answers_as_the_page_would(call):
    assert "16 days have passed." in call.wait()
    assert call.alarms and call.alarms[0].startswith("Page: hardly any flight called late")
    page = call.look("rows")
    assert isinstance(page, Page) and page.facts["by"]["all"]["dep_delay, largest"] < 60
    assert "answer on" in call.act("fix-feed", cause="hours", sure=0.9)
    assert "A day has passed." in call.next_day()
    assert call.log[-1].startswith("Wed 17 Apr 2013, min 40: you did: Have the feed repaired")


def test_page_when_it_sends_what_a_method_does_then_the_same_is_done(call):
    for message in (
        {"order": "next-day"},
        {"look": "overview"},
        {"act": "hold"},
        {"act": "dismiss", "cause": "none", "sure": 70},
        {"look": "everything"},
        {"act": "roll-back", "cause": "storm", "sure": 100.5},
    ):
        call.view._msg_callbacks(call.view, message, [])
        call._session.wait()
    assert [step.name for step in call.drill.steps] == ["next-day", "overview", "hold"]
    assert "per cent, from 50 to 99" in call.view.refused and call.view.heard == 6


def test_cause_when_the_page_states_it_in_per_cent_then_counts_as_a_share(call):
    call.view._msg_callbacks(call.view, {"act": "roll-back", "cause": "storm", "sure": 70}, [])
    (statement,) = call.drill.statements
    assert (statement.cause, statement.sure) == ("storm", 0.7)


def test_console_when_made_again_then_goes_on_and_the_former_one_gives_way(call, workspace):
    call.look("overview")
    again = OnCall(seed=3, level="easy", workspace=workspace, live=False)
    assert [page.title for page in again.pages] == [page.title for page in call.pages]
    assert call.view.mode == ELSEWHERE
    call.take_over()
    assert again.view.mode == ELSEWHERE
    again.close()


def test_console_when_made_fresh_then_what_was_done_is_put_aside(call, workspace):
    call.look("overview")
    fresh = OnCall(seed=3, level="easy", workspace=workspace, live=False, fresh=True)
    assert fresh.drill.steps == []
    assert (workspace.shifts / "easy-3-before-1.json").exists()
    fresh.close()


def test_console_when_its_record_is_broken_then_says_how_to_go_on(call, workspace):
    call.look("overview")
    (workspace.shifts / "easy-3.json").write_text("{")
    with pytest.raises(WorkspaceError, match="fresh=True"):
        OnCall(seed=3, level="easy", workspace=workspace, live=False)


def test_shift_when_a_scripted_player_plays_then_ends_is_scored_and_nothing_is_kept(
    workspace, shift
):
    call = OnCall(shift=shift, workspace=workspace, play="skilled")
    assert call.over and repr(call) == "OnCall(shift='easy, seed 3')"
    assert not workspace.shifts.exists()
    scored = call.score()
    assert call.score() is scored
    assert f"You saved {scored.saved:.0%}" in call.text() and "Delay in hours" in call.picture()
    with pytest.raises(ParameterError, match="The shift is over"):
        call.look("overview")


def test_end_when_looked_back_on_then_debrief_postmortem_and_result_are_shown_and_saved(
    workspace, tmp_path, shift
):
    call = OnCall(shift=replace(shift, weeks=3, planned=shift.planned[:1]), workspace=workspace,
                  play="nothing")  # fmt: skip
    told = call.debrief()
    assert "Delay in hours" in told._repr_markdown_() and "What each look was worth" in repr(told)
    assert "Delay in hours: the truth, and what was done" in call.view.debrief
    assert "What each look was worth" in call.picture()
    path = call.postmortem("hours").save(tmp_path / "hours.md")
    assert path.read_text(encoding="utf-8").startswith("# Post-mortem: Delay in hours")
    with pytest.raises(ParameterError, match="There were hours"):
        call.postmortem("storm")
    result = read_result(call.result(tmp_path / "me.json", "Ada"))
    assert result.who == "Ada" and result.claimed["harm"] == call.score().harm.total


def test_shift_when_the_path_of_its_file_is_given_then_that_one_is_played(workspace, tmp_path):
    path = tmp_path / "two_weeks.toml"
    path.write_text('name = "two weeks"\nseed = 1\nfirst = 2013-05-06\nweeks = 2\n')
    call = OnCall(shift=str(path), workspace=workspace, live=False)
    assert call.title == "On call: two weeks, 2 weeks" and repr(call) == f"OnCall(shift='{path}')"
    call.close()
    path.write_text("seed = 1\nfirst = 2013-05-07\nweeks = 2\n")
    with pytest.raises(ParameterError, match="Line 2: first is 2013-05-07, a Tuesday"):
        OnCall(shift=path, workspace=workspace)
    with pytest.raises(ParameterError, match="The shift is 3"):
        OnCall(shift=3, workspace=workspace)


def in_terminal(workspace, arguments, lines):
    command = [sys.executable, "-m", "mlops_course", "oncall", "--rehearse", *arguments]
    command += ["--workspace", str(workspace.root)]
    return subprocess.run(command, input=lines, capture_output=True, text=True, timeout=100)


@pytest.mark.parametrize("is_drawn", [True, False])
def test_shift_when_begun_in_a_notebook_then_goes_on_in_a_terminal_and_back(
    workspace, tmp_path, is_drawn
):
    path = tmp_path / "shift.toml"
    path.write_text(write_shift(replace(draw_shift(3, "easy"), weeks=10, name="composed")))
    asked = {"seed": 3, "level": "easy"} if is_drawn else {"shift": path}
    options = ["--seed", "3", "--level", "easy"] if is_drawn else ["--shift", str(path)]
    call = OnCall(**asked, workspace=workspace, live=False)
    call.next_day()
    call.look("rows")
    refused = in_terminal(workspace, options, "next\n")
    assert refused.returncode != 0 and "plays this shift" in refused.stderr
    call.close()
    played = in_terminal(workspace, options, "hold\nnext\n")
    assert played.returncode == 0 and "Going on: 2 steps" in played.stderr
    again = OnCall(**asked, workspace=workspace, live=False)
    assert again.drill.steps[:2] == call.drill.steps
    assert [step.name for step in again.drill.steps[2:]] == ["hold", "next-day"]
    again.close()


def test_console_when_asked_for_what_there_is_not_then_says_what_there_is(workspace):
    with pytest.raises(ParameterError, match="There are nothing, retrain"):
        OnCall(seed=3, play="genius", workspace=workspace)
    with pytest.raises(ParameterError, match="The levels are"):
        OnCall(seed=3, level="hardest", workspace=workspace)


def test_repr_when_made_then_is_the_call_that_makes_it(call):
    assert repr(call) == "OnCall(seed=3, level='easy')"


def test_real_system_when_its_service_is_killed_then_a_sentence_says_so_and_the_shift_goes_on(
    workspace, shift
):
    call = OnCall(shift=Shift(3, shift.first, 1, (), "one week"), workspace=workspace)
    assert call.next_day() == "A day has passed."
    system = call.drill.system
    assert call._session.is_live
    os.kill(system.service.pid, signal.SIGKILL)
    assert "was started again" in call.next_day()
    while not call.over:
        call.next_day()
    assert system.service.pid is None and all(day.unanswered == 0 for day in call.drill.days)
