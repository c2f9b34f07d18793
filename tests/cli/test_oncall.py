import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_course.cli.main import main
from mlops_course.core.workspace import HOME_VARIABLE
from mlops_course.oncall.scoring import rehearse
from mlops_course.oncall.shift_files import read_shift
from mlops_course.shifts.worlds import open_world

SHIFT = str(Path(__file__).parents[2] / "notebooks" / "10_shift.toml")
QUICK = ("oncall", "--shift", SHIFT, "--rehearse")
WEEK = """\
seed = 1
first = 2013-05-06
weeks = 1

[[incident]]
what = "hours"
day = 2013-05-07
"""


@pytest.fixture
def run(workspace, monkeypatch, capsys):
    monkeypatch.setenv(HOME_VARIABLE, str(workspace.root))

    def call(*arguments):
        status = main(arguments)
        done = capsys.readouterr()
        return status, done.out, done.err

    return call


@pytest.fixture
def week(tmp_path):
    path = tmp_path / "week.toml"
    path.write_text(WEEK, encoding="utf-8")
    return ("oncall", "--shift", str(path), "--rehearse")


def test_policy_when_json_is_asked_then_stdout_is_one_object_as_documented(run, week, workspace):
    status, out, _ = run(*week, "--seed", "2", "--policy", "skilled", "--json")
    record = json.loads(out)
    assert status == 0
    assert list(record) == ["seed", "policy", "harm", "harm_by", "incidents", "actions"]
    assert (record["seed"], record["policy"]) == (2, "skilled")
    assert list(record["harm_by"]) == ["nothing", "retrain", "rollback", "oracle"]
    assert record["incidents"] == [
        {"name": "hours", "from": "2013-05-07", "to": "2013-05-12",
         "resolved": "2013-05-11", "right": True}
    ]  # fmt: skip
    repair = next(action for action in record["actions"] if action["name"] == "fix-feed")
    assert (repair["day"], repair["cause"], repair["sure"]) == ("2013-05-08", "hours", 0.95)
    shift = replace(read_shift(Path(week[2])), seed=2)
    drill = rehearse(shift, open_world(workspace, shift), "skilled")
    assert record["harm"] == drill.harm.total, "to the last digit"


def test_policy_when_on_the_real_system_then_the_score_is_that_of_the_rehearsal(run, week):
    rehearsed = run(*week, "--policy", "nothing")
    live = run(*week[:-1], "--policy", "nothing")
    assert live[0] == 0 and live[1] == rehearsed[1]
    assert live[1].startswith("nothing: ") and "never right, not named" in live[1]


def test_shift_when_typed_then_is_kept_resumed_ended_told_and_compared(run, week, workspace):
    result = workspace.root / "me.json"
    told = workspace.root / "me.md"
    command = [sys.executable, "-m", "mlops_course", *week, "--workspace", str(workspace.root)]
    command += ["--result", str(result), "--debrief", str(told), "--who", "Me"]

    def typed(lines):
        return subprocess.run(command, input=lines, capture_output=True, text=True, timeout=200)

    first = typed("wait\nfix-feed hours 0.9\n")
    assert first.returncode == 0, first.stderr
    assert "the same command goes on from there" in first.stderr and not result.exists()
    last = typed("wait\n" * 20)
    assert last.returncode == 0, last.stderr
    assert "Going on:" in last.stderr and "Debrief" in last.stdout and "otherwise" in last.stdout
    assert "# Post-mortem: Delay in hours" in told.read_text(encoding="utf-8")
    other = workspace.root / "edited.json"
    record = json.loads(result.read_text(encoding="utf-8"))
    record["score"]["harm"] = 1.0
    other.write_text(json.dumps(record), encoding="utf-8")
    status, out, err = run("oncall", "--compare", str(result), str(other))
    assert status == 1
    assert "Me and Me did the same harm" in out and "The file says harm 1.0" in err


def test_master_when_asked_then_shows_the_truth_and_injects(run):
    status, out, _ = run(*QUICK, "--master", "--inject", "clock", "--day", "2013-07-16")
    assert status == 0
    assert "Departure clock switched" in out and "2013-07-08 to 2013-07-21  hours" in out
    assert "Waiting to be taken up" in out
    status, _, err = run(*QUICK, "--inject", "clock")
    assert status == 2 and "waits to be taken up" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--level", "silly"), "There is no level"),
        (("--seed", "-1"), "The seed is -1"),
        (("--policy", "foo"), "There is no policy"),
        (("--shift", "none.toml"), "cannot be read"),
        (("--shift", SHIFT, "--level", "easy"), "A level and a shift file"),
        (("--json",), "--json was given without"),
        (("--day", "2013-05-01"), "--day was given without"),
        (("--inject", "foo"), "There is no incident"),
        (("--compare", "a.json"), "cannot be used"),
        (("--policy", "nothing", "--result", "none/a.json"), "There is no folder"),
    ],
)
def test_oncall_when_misused_then_a_sentence_says_what_is_allowed(run, arguments, sentence):
    status, out, err = run("oncall", *arguments)
    assert status == 2 and sentence in err and out == ""
