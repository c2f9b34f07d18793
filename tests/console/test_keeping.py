"""Who keeps a shift: one console at a time, whose word the others see before their next step."""

import json
import subprocess
import sys

import pytest

from mlops_course.console.keeping import Elsewhere, Keeper
from mlops_course.core.errors import WorkspaceError
from mlops_course.core.files import alone
from mlops_course.oncall.state import Step

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
def steps(shift):
    return [Step(shift.first, 0, "overview")]


@pytest.fixture
def other_program(workspace):
    """A program in which a console plays the shift."""
    command = [sys.executable, "-c", OTHER_PROGRAM, str(workspace.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout.readline() == b"claimed\n"
        yield running
        running.kill()


def test_steps_when_kept_then_another_keeper_reads_them(workspace, shift, steps):
    keeper = Keeper(workspace, shift)
    keeper.claim()
    keeper.write(steps)
    assert Keeper(workspace, shift).read() == steps


def test_claim_when_a_newer_console_of_this_program_claims_then_the_former_writes_no_more(
    workspace, shift, steps
):
    former = Keeper(workspace, shift)
    newer = Keeper(workspace, shift)
    former.claim()
    newer.claim()
    with pytest.raises(Elsewhere, match="has taken this shift over"):
        former.write(steps)
    assert newer.read() == []
    newer.write(steps)


def test_claim_when_another_program_plays_then_is_refused_by_name_unless_forced(
    workspace, shift, steps, other_program
):
    keeper = Keeper(workspace, shift)
    with pytest.raises(Elsewhere, match=f"process {other_program.pid}"):
        keeper.claim()
    keeper.claim(force=True)
    keeper.write(steps)


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
    with alone(keeper.path.with_suffix(".lock"), 1), pytest.raises(Elsewhere):
        keeper.claim()


def test_claim_when_its_file_is_damaged_then_is_free(workspace, shift):
    keeper = Keeper(workspace, shift)
    workspace.shifts.mkdir()
    for damaged in ("{", "[]", json.dumps({"holder": {"pid": 1}})):
        keeper.path.with_suffix(".claim").write_text(damaged)
        keeper.claim()


def test_record_when_put_aside_then_nothing_of_it_is_lost(workspace, shift, steps):
    keeper = Keeper(workspace, shift)
    keeper.claim()
    assert keeper.put_aside() is None
    names = []
    for _ in range(2):
        keeper.write(steps)
        names.append(keeper.put_aside().name)
    assert names == ["easy-3-before-1.json", "easy-3-before-2.json"] and keeper.read() == []


def test_claim_when_the_folder_cannot_be_made_then_says_so(workspace, shift):
    workspace.shifts.write_text("a file")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        Keeper(workspace, shift).claim()
