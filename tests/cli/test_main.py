import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from processes import holding

from mlops_course.cli import checkout, doctor
from mlops_course.cli.main import SURROUNDINGS, main
from mlops_course.cli.terminal import say
from mlops_course.core.workspace import HOME_VARIABLE, open_workspace
from mlops_course.pipeline.scenarios import SCENARIOS
from mlops_course.training import tracking


@pytest.fixture
def run(workspace):
    def call(*arguments, home=workspace.root, **options):
        command = [sys.executable, "-m", "mlops_course", *arguments]
        if arguments:
            command += ["--workspace", str(home)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)

    return call


def test_simulate_when_json_is_asked_then_stdout_is_one_object_as_documented(run):
    done = run("simulate", "--scenario", "drift", "--weeks", "7", "--seed", "3", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert list(record) == [
        "scenario", "seed", "threshold", "weeks", "alerts", "promotions", "stages", "total_seconds"
    ]  # fmt: skip
    assert (record["scenario"], record["seed"], record["threshold"]) == ("drift", 3, 0.9)
    assert list(record["weeks"][0]) == [
        "week", "rows", "unanswered", "accuracy", "model_version", "drifted", "alert"
    ]  # fmt: skip
    assert [week["alert"] for week in record["weeks"]] == [False] * 3 + [True] * 3 + [False]
    assert list(record["alerts"][0]) == [
        "week", "rule", "value", "threshold", "message", "severity", "owner", "runbook"
    ]  # fmt: skip
    assert list(record["promotions"][0]) == ["week", "from", "to", "reason", "run_id"]
    assert [promotion["to"] for promotion in record["promotions"]] == ["1", "2"]
    assert sum(record["stages"].values()) <= record["total_seconds"]
    assert "ALERT" in done.stderr and "Traceback" not in done.stderr


def test_simulate_when_settings_are_a_line_then_runs_them_and_says_the_line_again(run):
    line = "good weeks=2 seed=none alert=85.5% policy=never"
    done = run("simulate", "--settings", line, "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["scenario"], record["seed"], record["threshold"]) == ("good", None, 0.855)
    assert (len(record["weeks"]), record["policy"]) == (2, "never")
    assert f'the same again: mlops-course simulate --settings "{line}"' in done.stderr


def test_simulate_when_a_policy_decides_then_json_tells_what_it_cost_and_what_was_best(run):
    asked = ("simulate", "--scenario", "drift", "--weeks", "7", "--policy", "accuracy", "--json")
    done = run(*asked, "--price", "10")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert list(record)[8:] == [
        "policy", "trainings", "wrong", "oracle_wrong", "regret", "oracle_trainings", "price"
    ]  # fmt: skip
    assert (record["policy"], record["trainings"], record["price"]) == ("accuracy", 1, 10)
    assert record["regret"] == pytest.approx(
        record["wrong"] + 10 - record["oracle_wrong"] - 10 * record["oracle_trainings"]
    )
    assert record["wrong"] > record["oracle_wrong"] > 0 and record["regret"] > 0
    assert "table of models for the oracle: 0 of" in done.stderr
    dearer = json.loads(run(*asked).stdout)
    assert dearer["price"] == 50 and dearer["wrong"] == record["wrong"]


def test_simulate_when_a_policy_is_reuse_then_a_rollback_is_told_beside_the_promotions(run):
    told = run("simulate", "--scenario", "repaired", "--weeks", "10", "--policy", "reuse", "--json")
    assert told.returncode == 0 and "rolled back  version " in told.stderr
    moves = [(move["from"], move["to"]) for move in json.loads(told.stdout)["promotions"]]
    assert moves[1][::-1] == moves[2]


def test_simulate_when_weeks_go_unanswered_then_json_counts_them_and_nothing_is_nan(run):
    done = run("simulate", "--scenario", "refused", "--weeks", "5", "--json")
    assert done.returncode == 0, done.stderr
    weeks = json.loads(done.stdout)["weeks"]
    assert [week["unanswered"] for week in weeks[:3]] == [0, 0, 0]
    assert all(week["unanswered"] == week["rows"] for week in weeks[3:])
    assert [week["accuracy"] for week in weeks[3:]] == [None, None]
    assert done.stderr.count("ALERT") == 2
    assert not re.search(r"\bnan\b", done.stderr + done.stdout, re.IGNORECASE)


def test_simulate_when_a_page_is_asked_for_then_it_holds_the_run(run, tmp_path):
    page = tmp_path / "run.html"
    done = run("simulate", "--weeks", "1", "--html", str(page))
    assert done.returncode == 0 and f"saved {page}" in done.stderr
    assert "<title>Pipeline simulator: Good data: 1 week, seed 0</title>" in page.read_text()


def test_simulate_when_the_page_cannot_be_written_then_says_so(run, tmp_path):
    done = run("simulate", "--weeks", "1", "--html", str(tmp_path / "missing" / "run.html"))
    assert done.returncode == 1
    assert "run.html cannot be written (No such file or directory)" in done.stderr
    assert "week 2013" not in done.stderr, "it is said before the run, and not after it"


def test_simulate_when_asked_to_list_then_names_every_scenario(run):
    done = run("simulate", "--list")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(SCENARIOS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["simulate", "--scenario", "winter"], "no scenario 'winter'"),
        (["simulate", "--weeks", "99"], "1 to 17 weeks"),
        (["simulate", "--threshold", "90"], "between 0.5 and 0.999"),
        (["simulate", "--retrain", "maybe"], "'auto' or 'never'"),
        (["simulate", "--policy", "maybe"], "no policy 'maybe'. There are never, schedule, drift"),
        (["simulate", "--policy", "drift", "--retrain", "auto"], "not allowed with"),
        (["simulate", "--price", "50"], "and no policy"),
        (["simulate", "--policy", "drift", "--price", "-1"], "price of a training is -1.0"),
        (["simulate", "--policy", "drift", "--price", "nan"], "price of a training is nan"),
        (["simulate", "--settings", "drift colour=red"], "The word 'colour=red' is not known"),
        (["simulate", "--settings", "drift", "--seed", "0"], "as a line and as options"),
        (["simulate", "--settings", "drift", "--policy", "drift"], "as a line and as options"),
        (["simulate", "--weeks", "many"], "invalid int value: 'many'"),
        (["simulate", "--colour", "red"], "unrecognised: --colour red"),
        (["reset"], "takes a confirmation"),
        (["bench", "--statistics", "--peers"], "not allowed with"),
        (["notebooks"], "--execute --check --solved is required"),
    ],
)
def test_command_when_misused_then_status_2_and_a_sentence(run, arguments, sentence):
    done = run(*arguments, stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and sentence in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


def test_command_when_none_is_given_then_lists_them(run):
    done = run()
    assert done.returncode == 2 and "COMMAND" in done.stderr


def test_doctor_when_all_is_well_then_status_0_and_names_every_check(run, workspace):
    done = run("doctor")
    assert done.returncode == 0, done.stdout
    names = [line[4:14].strip() for line in done.stdout.splitlines()]
    assert names == [*doctor.ALWAYS_PRINTED, "databases", "addresses", "in use"]
    assert str(workspace.root) in done.stdout


def test_doctor_when_store_is_damaged_then_status_1_and_the_way_out(run, workspace):
    workspace.database.write_bytes(b"rubbish" * 500)
    done = run("doctor")
    assert done.returncode == 1
    assert "damaged" in done.stdout and "mlops-course reset" in done.stdout


def test_reset_when_confirmed_then_empties_a_damaged_workspace_and_keeps_the_cache(run, workspace):
    workspace.database.write_bytes(b"rubbish" * 500)
    done = run("reset", "--yes")
    assert done.returncode == 0, done.stderr
    assert not workspace.database.exists() and (workspace.cache / "flights.parquet").exists()


def test_reset_when_a_service_runs_then_names_it_and_after_it_was_killed_deletes(run, workspace):
    with holding(workspace) as other:
        done = run("reset", "--yes")
        assert done.returncode == 1 and f"(process {other.pid})" in done.stderr
        assert "Traceback" not in done.stderr
        assert f"(process {other.pid})" in seen_by(run("doctor"))["in use"]
        other.kill()
    assert run("reset", "--yes").returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process that takes in orphans")
def test_doctor_when_a_service_lost_its_program_then_says_how_to_end_it(run, workspace):
    """Its stdin is held open by this test, as by a program that the service's own had started."""
    workspace.predictions.touch()
    command = [sys.executable, "-m", "mlops_course.serving.worker"]
    command += ["--predictions", str(workspace.predictions)]
    parent = (
        "import subprocess, sys\n"
        "print(subprocess.Popen(sys.argv[1:], stdin=0, stdout=2).pid, flush=True)"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", parent, *command], **pipes) as gone:
        pid = int(gone.stdout.readline())
        gone.stderr.readline()  # it listens
        done = run("doctor")
        gone.stdin.close()
    assert done.returncode == 1 and f"(process {pid})" in seen_by(done)["left over"]
    assert f"kill {pid}" in done.stdout


def test_doctor_when_files_lie_elsewhere_then_tells_of_those_that_are_gone_alone(
    run, workspace, tmp_path
):
    client = tracking.connect(workspace).client
    for name in ("kept", "gone"):
        (tmp_path / name).mkdir()
        client.create_experiment(name, (tmp_path / name).as_uri())
    (tmp_path / "gone").rmdir()
    done = run("doctor")
    assert done.returncode == 1
    assert seen_by(done)["addresses"].startswith("1 lead to nothing, as file:///")
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("moment", ["after", "while it is written"])
def test_doctor_when_any_database_is_damaged_then_names_it(run, workspace, moment):
    log = open_workspace(workspace.lessons).predictions
    with closing(sqlite3.connect(log)) as database, database:
        database.execute("CREATE TABLE kept (one)")
        database.executemany("INSERT INTO kept VALUES (?)", [("x" * 900,)] * 900)
    if moment == "after":
        content = bytearray(log.read_bytes())
        content[8192:16384] = bytes(8192)
        log.write_bytes(content)
        assert f"{log}: " in seen_by(run("doctor"))["databases"]
    else:
        with closing(sqlite3.connect(log, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            assert run("doctor").returncode == 0


def test_doctor_when_it_looks_then_is_quick_and_changes_nothing(run, workspace, tmp_path):
    tracking.connect(workspace)
    tracking.connect(open_workspace(workspace.lessons))
    files = [path for path in workspace.root.rglob("*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files}
    began = time.perf_counter()
    assert all(finding.fine for finding in doctor._workspace(workspace.root))
    assert time.perf_counter() - began < 2
    assert run("doctor", home=tmp_path / "none").returncode == 0
    assert not (tmp_path / "none").exists()
    files = [path for path in workspace.root.rglob("*") if path.is_file()]
    assert {path: path.stat().st_mtime_ns for path in files} == before


@pytest.mark.parametrize("harm", ["a file", "another's folder", "read-only"])
def test_doctor_when_the_workspace_cannot_be_used_then_says_what_to_do(run, tmp_path, harm):
    home = tmp_path / "home"
    if harm == "a file":
        home.touch()
    elif harm == "read-only":
        home = Path("/proc/mlops-course")
        if not home.parent.exists():
            pytest.skip("needs Linux's /proc")
    else:
        home.mkdir()
        (home / "thesis.txt").touch()
    done = run("doctor", home=home)
    assert done.returncode == 1 and "FIX workspace" in done.stdout
    assert HOME_VARIABLE in done.stdout and "Traceback" not in done.stderr


def seen_by(done):
    """What the doctor saw, by name."""
    lines = [line for line in done.stdout.splitlines() if not line.startswith("    ")]
    return {line[4:14].strip(): line[15:] for line in lines}


@pytest.mark.skipif(os.name == "nt", reason="sends Unix signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_simulate_when_interrupted_then_status_130_and_the_run_is_closed(workspace, how):
    command = [sys.executable, "-m", "mlops_course", "simulate", "--scenario", "real-year"]
    process = subprocess.Popen(
        [*command, "--workspace", str(workspace.root)], stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if line.startswith("week"):
            process.send_signal(how)
            break
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 130
    assert "Interrupted" in said and "Traceback" not in said

    store = tracking.connect(open_workspace(workspace.root))
    runs = store.client.search_runs([store.experiment_id], "tags.`mlflow.runName` = 'real-year'")
    assert [found.info.status for found in runs] == ["KILLED"]


@pytest.mark.skipif(os.name == "nt", reason="uses a Unix shell")
def test_simulate_when_its_reader_goes_away_then_it_ends_quietly(workspace):
    command = f"{sys.executable} -m mlops_course simulate --weeks 1 --json"
    command += f" --workspace {workspace.root} | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="uses a Unix shell")
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ("reset <&-", 2, "takes a confirmation"),
        ("log 2>&- >&-", 3, ""),
        ("simulate --list 2>&-", 0, "good"),
    ],
)
def test_command_when_a_stream_is_closed_then_there_is_no_traceback(
    workspace, arguments, status, said
):
    name, *rest = arguments.split()
    call = f"{sys.executable} -m mlops_course {name} --workspace {workspace.root}"
    command = " ".join([call, *rest])
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    told = done.stdout + done.stderr
    assert done.returncode == status and said in told and "Traceback" not in told


def test_reset_when_the_question_meets_the_end_then_nothing_is_deleted(
    workspace, monkeypatch, capsys
):
    tracking.connect(workspace)
    for name, value in {**SURROUNDINGS, HOME_VARIABLE: str(workspace.root)}.items():
        monkeypatch.setenv(name, value)
    with open(os.devnull, encoding="utf-8") as ended:
        monkeypatch.setattr(sys, "stdin", ended)
        monkeypatch.setattr(ended, "isatty", lambda: True, raising=False)
        assert main(["reset"]) == 0
    assert "Nothing was deleted." in capsys.readouterr().out
    assert workspace.database.exists()


def test_command_when_the_variable_names_nobodys_folder_then_one_sentence(monkeypatch, capsys):
    for name, value in {**SURROUNDINGS, HOME_VARIABLE: "~nobody-of-this-name/x"}.items():
        monkeypatch.setenv(name, value)
    assert main(["log"]) == 3
    assert "cannot be found" in capsys.readouterr().err


def test_command_when_the_encoding_lacks_a_letter_then_it_is_escaped(tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "mlops_course", "doctor", "--workspace", "\u65e5"]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60, cwd=tmp_path)
    assert b"\\u65e5" in done.stdout and b"Traceback" not in done.stderr


def test_say_when_standard_error_is_closed_then_standard_output_is_left_alone(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    say("It goes well.")
    assert capsys.readouterr().out == ""


INTERRUPTED_WHILE_IMPORTING = """
import os, runpy, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "mlops_course.cli.release":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
runpy.run_module("mlops_course", run_name="__main__")
"""


@pytest.mark.skipif(os.name == "nt", reason="sends Unix signals")
def test_command_when_interrupted_while_it_imports_then_status_130_and_no_traceback():
    command = [sys.executable, "-c", INTERRUPTED_WHILE_IMPORTING, "log"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


BROKEN_WHILE_IMPORTING = """
import runpy, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "psutil":
            raise ModuleNotFoundError("No module named 'psutil'")

sys.meta_path.insert(0, Missing())
runpy.run_module("mlops_course", run_name="__main__")
"""


@pytest.mark.parametrize("command", ["gate", "log"])
def test_command_when_a_library_is_missing_then_the_status_is_no_verdict(command):
    asked = [sys.executable, "-c", BROKEN_WHILE_IMPORTING, command, "1"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3 and "No module named 'psutil'" in done.stderr


def test_command_when_installed_then_it_is_the_module_that_knows_a_broken_installation():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert 'mlops-course = "mlops_course.__main__:main"' in text


@pytest.mark.parametrize("arguments", [["test"], ["notebooks", "--check"]])
def test_command_when_there_is_no_clone_then_could_not_judge(
    tmp_path, monkeypatch, capsys, arguments
):
    for name, value in SURROUNDINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(checkout, "CLONE", tmp_path)
    assert main(arguments) == 3
    assert "works inside a clone" in capsys.readouterr().err


def test_doctor_when_it_crashes_then_could_not_look(monkeypatch, capsys):
    for name, value in SURROUNDINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(doctor, "examine", lambda: 1 / 0)
    assert main(["doctor"]) == 3
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_simulate_when_a_policy_has_a_single_week_then_nothing_is_retrained_and_it_is_scored(
    shared_workspace,
):
    command = ["simulate", "--scenario", "good", "--weeks", "1", "--policy", "schedule", "--json"]
    command += ["--workspace", str(shared_workspace.root)]
    done = subprocess.run(
        [sys.executable, "-m", "mlops_course", *command], capture_output=True, text=True
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert json.loads(done.stdout)["oracle_trainings"] == 0
