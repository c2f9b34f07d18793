"""Who keeps a shift: one console at a time, whose word the others see before their next step."""

import json
import subprocess
import sys

import pytest

from mlops_course.console.keeping import Keeper
from mlops_course.console.kept import Elsewhere, inject
from mlops_course.core.errors import WorkspaceError
from mlops_course.core.files import alone

OTHER_PROGRAM = """
import sys
from mlops_course.console.keeping import Keeper
from mlops_course.core.workspace import open_workspace
from mlops_course.shifts.plans import draw_shift
Keeper(open_workspace(sys.argv[1]), draw_shift(3, "easy")).claim()
print("claimed", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def drill(engine):
    """A shift on which one thing was done."""
    engine.look("overview")
    return engine.drill


@pytest.fixture
def other_program(workspace):
    """A program in which a console plays the shift."""
    command = [sys.executable, "-c", OTHER_PROGRAM, str(workspace.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout.readline() == b"claimed\n"
        yield running
        running.kill()


def test_steps_when_kept_then_another_keeper_reads_them(workspace, shift, drill):
    keeper = Keeper(workspace, shift)
    keeper.claim()
    keeper.write(drill)
    assert Keeper(workspace, shift).read() == drill.steps


def test_claim_when_a_newer_console_of_this_program_claims_then_the_former_writes_no_more(
    workspace, shift, drill
):
    former = Keeper(workspace, shift)
    newer = Keeper(workspace, shift)
    former.claim()
    newer.claim()
    with pytest.raises(Elsewhere, match="has taken this shift over"):
        former.write(drill)
    assert newer.read() == []
    newer.write(drill)


def test_claim_when_another_program_plays_then_is_refused_by_name_unless_forced(
    workspace, shift, drill, other_program
):
    keeper = Keeper(workspace, shift)
    with pytest.raises(Elsewhere, match=f"process {other_program.pid}"):
        keeper.claim()
    keeper.claim(force=True)
    keeper.write(drill)


def test_claim_when_the_program_that_played_was_killed_then_is_free(
    workspace, shift, other_program
):
    other_program.kill()
    other_program.wait()
    Keeper(workspace, shift).claim()


def test_claim_when_a_terminal_holds_the_record_then_is_refused(workspace, shift, monkeypatch):
    monkeypatch.setattr("mlops_course.console.keeping._LOCK_SECONDS", 0.1)
    keeper = Keeper(workspace, shift)
    workspace.shifts.mkdir()
    with alone(keeper.place.lock, 1), pytest.raises(Elsewhere):
        keeper.claim()


def test_claim_when_its_file_is_damaged_then_is_free(workspace, shift):
    keeper = Keeper(workspace, shift)
    workspace.shifts.mkdir()
    for damaged in ("{", "[]", json.dumps({"holder": {"pid": 1}})):
        keeper.place.claim.write_text(damaged)
        keeper.claim()


def test_record_when_begun_anew_then_nothing_of_it_is_lost(workspace, shift, drill):
    keeper = Keeper(workspace, shift)
    keeper.claim()
    keeper.begin_anew()
    for _ in range(2):
        keeper.write(drill)
        keeper.begin_anew()
    names = sorted(path.name for path in workspace.shifts.glob("*-before-*"))
    assert names == ["easy-3-before-1.json", "easy-3-before-2.json"] and keeper.read() == []


def test_injection_when_another_console_took_the_shift_over_then_is_left_to_it(
    workspace, shift, engine
):
    former = Keeper(workspace, shift)
    former.claim()
    Keeper(workspace, shift).claim()
    inject(former.place, "clock", None)
    with pytest.raises(Elsewhere):
        former.take_up(engine)
    assert former.place.injections.exists()


def test_claim_when_the_folder_cannot_be_made_then_says_so(workspace, shift):
    workspace.shifts.write_text("a file")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        Keeper(workspace, shift).claim()
