"""Gate, promote, rollback and log: what they print, and what their exit status says."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date

import pytest

from mlops_course.cli.main import SURROUNDINGS, main
from mlops_course.core.verdicts import Check, Verdict
from mlops_course.core.workspace import HOME_VARIABLE, open_workspace
from mlops_course.course.fixtures import train_candidate
from mlops_course.data.flights import load_flights
from mlops_course.registry import exams, promotions, versions
from mlops_course.registry.evidence import EVIDENCE, verdicts_on
from mlops_course.release import gate
from mlops_course.training import tracking

PASSED = Verdict("model", (Check("better overall", True, "Better by 1 point."),))
BLOCKED = Verdict("model", (Check("better overall", False, "Worse by 1 point."),))
DECIDING = ("gate", "promote", "rollback", "log")


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, shared_workspace):
    """A workspace with versions 1 to 3, none of them judged, and a copy of its folder."""
    root = tmp_path_factory.mktemp("release") / "workspace"
    store = tracking.connect(open_workspace(root, cache=shared_workspace.cache))
    rows = load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 14))
    for seed in (1, 2, 3):
        train_candidate(store, rows, max_iter=5, random_state=seed)
    shutil.copytree(shared_workspace.cache, root / "cache", dirs_exist_ok=True)
    return store.workspace, shutil.copytree(root, root.with_name("copy"))


@pytest.fixture
def store(prepared):
    """The store with the three versions, whatever the test before has done to it."""
    workspace, copy = prepared
    shutil.rmtree(workspace.root)
    shutil.copytree(copy, workspace.root)
    return tracking.connect(workspace)


@pytest.fixture
def promoted(store):
    """The store with versions 1 and 2 promoted in turn."""
    for version in ("1", "2"):
        evidence = gate.record(store, version, PASSED)
        promotions.promote(store, version, f"why {version}", evidence=evidence, who="Ada")
    return store


@pytest.fixture
def run(prepared):
    """Return a function that runs a command as a process of its own."""

    def do(*arguments):
        command = [sys.executable, "-m", "mlops_course", *arguments]
        done = subprocess.run(
            [*command, "--workspace", str(prepared[0].root)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "Traceback" not in done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    return do


@pytest.fixture
def call(prepared, capsys, monkeypatch):
    """Return a function that runs a command in this process, which is quicker."""
    for name, value in {**SURROUNDINGS, HOME_VARIABLE: str(prepared[0].root)}.items():
        monkeypatch.setenv(name, value)

    def do(*arguments):
        capsys.readouterr()
        status = main([*arguments, "--workspace", str(prepared[0].root)])
        said = capsys.readouterr()
        return Answer(status, said.out, said.err)

    return do


def last(store):
    return promotions.history(store)[-1]


def champion(store):
    found = versions.find(store)
    return found and found.version


def change(store, sql, *values):
    with closing(sqlite3.connect(store.workspace.database)) as database, database:
        assert database.execute(sql, values).rowcount > 0


def test_promote_when_the_gate_has_passed_it_then_status_0_and_the_entry_is_told(store, run):
    evidence = gate.record(store, "2", PASSED)
    done = run("promote", "2", "--reason", "better in May", "--who", "Ada")
    assert done.status == 0, done.err
    entry = last(store)
    assert champion(store) == "2" and (entry.evidence, entry.who) == (evidence, "Ada")
    when = f"{entry.when:%Y-%m-%d %H:%M:%SZ}"
    told = f"1 {when} promoted none -> 2 Ada better in May"
    assert " ".join(done.out.split()) == told and done.out.count("\n") == 1
    assert promotions.audit(store).passed


def test_promote_when_the_gate_has_not_judged_it_then_status_1_and_how_to_go_on(store, call):
    done = call("promote", "2", "--reason", "newer")
    assert done.status == 1 and done.out == "" and champion(store) is None
    assert "not judged it" in done.err and "Run `mlops-course gate 2` first" in done.err


def test_promote_when_there_is_no_such_version_then_status_3(store, call):
    done = call("promote", "99", "--reason", "newer")
    assert done.status == 3 and "There is no version 99" in done.err


def test_promote_when_nobody_is_named_then_the_user_decided(store, call):
    gate.record(store, "1", PASSED)
    assert call("promote", "1", "--reason", "first", "--who", " ").status == 0
    assert last(store).who == promotions._user()


def test_promote_when_several_verdicts_passed_it_then_the_newest_is_the_evidence(store, call):
    promotions.log_verdict(store, versions.get(store, "1").run_id, PASSED)
    runs = [gate.record(store, "1", PASSED) for _ in range(3)]
    gate.record(store, "2", PASSED)
    assert call("promote", "1", "--reason", "first").err == ""
    assert last(store).evidence == runs[-1]


def test_promote_when_it_is_blocked_while_another_holds_the_lock_then_is_refused(store, call):
    gate.record(store, "1", PASSED)
    with ThreadPoolExecutor(1) as other:
        with promotions._alone(store):
            asked = other.submit(call, "promote", "1", "--reason", "first")
            time.sleep(1)
            gate.record(store, "1", BLOCKED)
        done = asked.result()
    assert done.status == 1 and "blocked it" in done.err and champion(store) is None


def test_promote_when_only_the_training_run_holds_a_verdict_then_that_is_the_evidence(store, call):
    trained_by = versions.get(store, "1").run_id
    promotions.log_verdict(store, trained_by, PASSED)
    assert call("promote", "1", "--reason", "first").status == 0
    assert last(store).evidence == trained_by


def test_promote_when_the_gate_has_blocked_it_then_is_refused(store, call):
    gate.record(store, "1", BLOCKED)
    done = call("promote", "1", "--reason", "please")
    assert done.status == 1 and "blocked it" in done.err and "gate 1` first" in done.err
    assert champion(store) is None and promotions.history(store) == []


def test_promote_when_it_was_blocked_after_it_had_passed_then_the_last_verdict_counts(store, call):
    evidence = gate.record(store, "1", PASSED)
    gate.record(store, "1", BLOCKED)
    done = call("promote", "1", "--reason", "as planned")
    assert done.status == 1 and "its last verdict counts" in done.err
    assert champion(store) is None
    done = call("promote", "1", "--reason", "the second exam was wrong", "--evidence", evidence)
    assert done.status == 0 and last(store).evidence == evidence


def test_promote_when_a_verdict_was_deleted_or_is_no_verdict_then_it_does_not_count(store, call):
    store.client.delete_run(gate.record(store, "1", PASSED))
    broken = gate.record(store, "1", PASSED)
    for text in ("", "[1]", "{}", '{"subject": "it", "checks": [{"name": 1}]}', "{"):
        store.client.log_text(broken, text, EVIDENCE)
        for named in ([], ["--evidence", broken]):
            assert call("promote", "1", "--reason", "first", *named).status == 1
    assert champion(store) is None


@pytest.mark.parametrize(
    ("evidence", "reason", "sentence"),
    [
        ("nonsense", "newer", "run nonsense holds no verdict"),
        ("", "newer", "run none holds no verdict"),
        ("of version 1", "newer", "about another model"),
        ("blocked", "newer", "the gate refused it: Worse by 1 point"),
        ("passed", " \n", "no reason was given"),
    ],
)
def test_promote_when_the_rules_forbid_it_then_status_1_and_the_reason(
    store, call, evidence, reason, sentence
):
    runs = {
        "of version 1": gate.record(store, "1", PASSED),
        "blocked": gate.record(store, "2", BLOCKED),
        "passed": gate.record(store, "2", PASSED),
    }
    run_id = runs.get(evidence, evidence)
    done = call("promote", "2", "--reason", reason, "--evidence", run_id)
    assert done.status == 1 and sentence in done.err and done.out == ""
    assert champion(store) is None and promotions.history(store) == []


def test_promote_when_another_program_moves_the_champion_then_status_3(store, call, monkeypatch):
    gate.record(store, "1", PASSED)
    monkeypatch.setattr(promotions, "LOCK_SECONDS", 0.1)
    with promotions._alone(store):
        done = call("promote", "1", "--reason", "first")
    assert done.status == 3 and "another program holds" in done.err


def test_rollback_when_there_was_a_champion_before_then_status_0_and_it_is_back(promoted, call):
    done = call("rollback", "--reason", "late flights missed", "--who", "Bob")
    assert done.status == 0, done.err
    assert champion(promoted) == "1" and last(promoted).who == "Bob"
    assert " ".join(done.out.split()).endswith("rolled back 2 -> 1 Bob late flights missed")


def test_rollback_when_there_is_nothing_to_go_back_to_then_status_1(store, call):
    done = call("rollback", "--reason", "panic")
    assert done.status == 1 and "nothing to go back to from version none" in done.err


def test_rollback_when_no_reason_is_given_then_status_1_and_nothing_moves(promoted, call):
    done = call("rollback", "--reason", "")
    assert done.status == 1 and "no reason" in done.err and champion(promoted) == "2"


def test_rollback_when_the_former_version_was_deleted_then_status_3(promoted, call):
    promoted.client.delete_model_version(versions.MODEL_NAME, "1")
    done = call("rollback", "--reason", "worse")
    assert done.status == 3 and "no version 1" in done.err and champion(promoted) == "2"


def test_log_when_versions_were_promoted_then_one_line_each(promoted, call):
    done = call("log")
    assert done.status == 0, done.err
    one, two = done.out.splitlines()
    assert one.endswith("none -> 1   Ada  why 1") and two.endswith("1 -> 2      Ada  why 2")
    assert "audit" not in done.out


def test_log_when_json_is_asked_then_stdout_is_one_object_that_keeps_the_digests(promoted, run):
    done = run("log", "--audit", "--json")
    assert done.status == 0 and done.err == ""
    record = json.loads(done.out)
    kept = [promotions.Entry(**without(entry, "when")) for entry in record["entries"]]
    assert kept == promotions.history(promoted)
    assert [promotions._digest(entry) for entry in kept] == [entry.digest for entry in kept]
    assert record["audit"]["passed"] is True and len(record["audit"]["checks"]) == 7


def without(record, name):
    return {key: value for key, value in record.items() if key != name}


def test_log_when_an_entry_was_changed_then_the_audit_has_status_1(promoted, call):
    run_id = promotions._runs(promoted)[0].info.run_id
    sql = "UPDATE params SET value = 'a better story' WHERE key = 'reason' AND run_uuid = ?"
    change(promoted, sql, run_id)
    done = call("log", "--audit")
    assert done.status == 1 and "a better story" in done.out
    told = [line for line in done.out.splitlines() if line.startswith("FAIL")]
    assert len(told) == 1 and told[0].split("  ")[0] == "FAIL unchanged"
    assert "Not so in entry 1 of 2." in told[0] and done.out.endswith("The audit failed.\n")
    assert call("log").status == 0
    asked = call("log", "--audit", "--json")
    assert asked.status == 1 and json.loads(asked.out)["audit"]["passed"] is False


@pytest.mark.parametrize("value", ["yesterday", "9" * 30, "9" * 4_300, "-1" + "0" * 20, ""])
@pytest.mark.parametrize("field", ["at", "number"])
def test_log_when_a_number_was_made_an_impossible_one_then_the_audit_fails_and_nothing_breaks(
    promoted, call, field, value
):
    run_id = promotions._runs(promoted)[0].info.run_id
    sql = "UPDATE params SET value = ? WHERE key = ? AND run_uuid = ?"
    change(promoted, sql, value, field, run_id)
    for form in ([], ["--json"]):
        done = call("log", "--audit", *form)
        assert done.status == 1 and "Traceback" not in done.err


def test_log_when_nothing_was_promoted_then_says_that_there_is_no_entry(store, call):
    for arguments in (["log"], ["log", "--audit"]):
        done = call(*arguments)
        assert done.status == 0 and "no entry" in done.out
    assert json.loads(call("log", "--json").out) == {"entries": []}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["log"], 3),
        (["gate", "1"], 3),
        (["promote", "1", "--reason", "first"], 3),
        (["rollback", "--reason", "panic"], 3),
        (["serve"], 1),
    ],
)
def test_command_when_the_workspace_named_was_never_used_then_says_so_and_makes_none(
    tmp_path, call, capsys, arguments, status
):
    place = tmp_path / "wrokspace"
    assert main([*arguments, "--workspace", str(place)]) == status
    assert f"{place} has no store" in capsys.readouterr().err
    assert not place.exists()


def test_log_when_a_text_would_break_the_terminal_then_it_stays_on_one_line(store, call):
    gate.record(store, "1", PASSED)
    reason = "line one\nline two\x1b[2J\u202e\u2028end"
    done = call("promote", "1", "--reason", reason, "--who", "Ada\r\x07")
    assert done.out.endswith("Ada ?  line one line two?[2J? end\n")
    assert last(store).reason == reason
    assert call("log").out == done.out
    assert json.loads(call("log", "--json").out)["entries"][0]["reason"] == reason


def test_gate_when_the_version_or_the_exam_is_impossible_then_status_3(store, call, monkeypatch):
    done = call("gate", "99")
    assert done.status == 3 and "There is no version 99" in done.err
    monkeypatch.setattr(gate, "MIN_EXAM_ROWS", 1_000_000)
    done = call("gate", "1")
    assert done.status == 3 and "are unfit" in done.err and done.out == ""


def test_gate_when_the_exam_is_worn_out_then_status_3_and_the_last_verdict_stays(
    store, call, monkeypatch, tmp_path
):
    passed = gate.record(store, "1", PASSED)
    worn = Verdict("version 1", (*PASSED.checks, Check(exams.NAME, False, "Worn out.")))
    monkeypatch.setattr(gate, "judge", lambda *_: worn)
    report = tmp_path / "gate.md"
    done = call("gate", "1", "--report", str(report))
    assert done.status == 3 and done.out == "" and not report.exists()
    assert done.err == "Version 1 was not judged. Worn out. Name them with --first and --last.\n"
    assert [run_id for run_id, _ in verdicts_on(store, "1")] == [passed]


def test_gate_when_it_crashes_then_the_status_is_no_verdict(store, call, monkeypatch):
    monkeypatch.setattr(gate, "judge", lambda *_: 1 / 0)
    done = call("gate", "1")
    assert done.status == 3 and "ZeroDivisionError" in done.err


@pytest.mark.parametrize("place", ["nowhere/gate.md", ".", "/dev/full"])
def test_gate_when_the_report_cannot_be_written_then_status_2_before_anything_is_judged(
    store, call, monkeypatch, tmp_path, place
):
    monkeypatch.setattr(gate, "judge", lambda *_: pytest.fail("the exam was taken"))
    done = call("gate", "1", "--report", str(tmp_path / place))
    assert done.status == 2 and "The report could not be written" in done.err
    assert verdicts_on(store, "1") == []


def test_gate_when_a_report_is_asked_for_then_an_old_one_never_stands_for_the_new(
    store, call, monkeypatch, tmp_path
):
    report = tmp_path / "gate.md"
    report.write_text("## Release gate: version 1 passed\n", encoding="utf-8")
    assert call("gate", "9", "--report", str(report)).status == 3
    assert not report.exists()
    monkeypatch.setattr(gate, "judge", lambda *_: BLOCKED)
    assert call("gate", "1", "--report", str(report)).status == 1
    assert "is blocked" in report.read_text(encoding="utf-8")


def test_promote_when_the_champion_is_another_by_now_then_status_1_unless_forced(promoted, call):
    gate.record(promoted, "3", replace(PASSED, rival="1"))
    done = call("promote", "3", "--reason", "better")
    assert done.status == 1 and champion(promoted) == "2"
    assert "judged against version 1, and champion is version 2" in done.err
    done = call("promote", "3", "--reason", "better", "--force", "a hotfix")
    assert done.status == 0 and champion(promoted) == "3"
    told = "FORCED, judged against version 1, champion was version 2: a hotfix | better"
    assert told in call("log").out and last(promoted).reason == told


@pytest.mark.parametrize(
    ("named", "first", "last"),
    [
        ([], date(2013, 3, 18), date(2013, 3, 31)),
        (["--first", "2013-04-01"], date(2013, 4, 1), date(2013, 4, 14)),
        (["--first", "2013-04-01", "--last", "2013-04-28"], date(2013, 4, 1), date(2013, 4, 28)),
        (["--last", "2013-04-14"], date(2013, 3, 18), date(2013, 4, 14)),
    ],
)
def test_gate_when_days_are_named_then_judges_on_those(
    store, call, monkeypatch, named, first, last
):
    asked = []
    monkeypatch.setattr(gate, "judge", lambda *given: asked.append(given[1:]) or PASSED)
    assert call("gate", "1", *named).status == 0
    assert asked == [("1", first, last)]


@pytest.mark.parametrize(
    "named",
    [
        ["--first", "2014-01-01"],
        ["--first", "9999-12-31"],
        ["--first", "2013-04-14", "--last", "2013-04-01"],
    ],
)
def test_gate_when_there_are_no_such_days_then_status_2_and_a_sentence(store, call, named):
    done = call("gate", "1", *named)
    assert done.status == 2 and "There are no flights from" in done.err and done.out == ""


@pytest.mark.parametrize("command", DECIDING)
def test_command_when_the_store_is_locked_or_damaged_then_status_3(store, call, command):
    given = {"gate": ["1"], "promote": ["1", "--reason", "x"], "rollback": ["--reason", "x"]}
    arguments = [command, *given.get(command, [])]
    with closing(sqlite3.connect(store.workspace.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = call(*arguments)
    assert done.status == 3 and "locked by another program" in done.err and done.out == ""
    store.workspace.database.write_bytes(b"rubbish" * 500)
    done = call(*arguments)
    assert done.status == 3 and "damaged" in done.err and "Traceback" not in done.err


def test_promote_when_a_table_of_the_store_is_gone_then_status_3_and_no_traceback(store, call):
    evidence = gate.record(store, "1", PASSED)
    with closing(sqlite3.connect(store.workspace.database)) as database:
        database.execute("DROP TABLE tags")
    done = call("promote", "1", "--reason", "first", "--evidence", evidence)
    assert done.status == 3 and "no such table" in done.err and "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gate"], "required: VERSION"),
        (["gate", "1", "--first", "April"], "'April' is no day; write one as 2013-04-01"),
        (["gate", "1", "--last", "2013-02-30"], "'2013-02-30' is no day"),
        (["promote", "1"], "required: --reason"),
        (["promote", "--reason", "newer"], "required: VERSION"),
        (["rollback"], "required: --reason"),
        (["rollback", "1", "--reason", "worse"], "unrecognised: 1"),
        (["log", "--tail"], "unrecognised: --tail"),
    ],
)
def test_command_when_misused_then_status_2_and_a_sentence(run, arguments, sentence):
    done = run(*arguments)
    assert done.status == 2 and sentence in done.err and done.out == ""


@pytest.mark.parametrize("name", ["http://hub.example", "a b", "", "hub.example/x", "::1"])
def test_serve_when_a_name_is_no_hosts_then_status_2_and_a_sentence(promoted, call, name):
    done = call("serve", "--allow-host", "hub.example:443", "--allow-host", name)
    assert done.status == 2 and done.out == ""
    assert f"{name or 'An empty text'} is no host's name." in done.err


@pytest.mark.parametrize("command", DECIDING)
def test_help_when_asked_then_documents_every_status(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    _, _, told = capsys.readouterr().out.partition("Exit status: 0 ")
    assert all(f"; {status} " in told.replace("\n", " ") for status in (1, 2, 3))


@pytest.mark.skipif(os.name == "nt", reason="uses a Unix shell")
def test_log_when_its_reader_goes_away_then_it_ends_quietly(promoted):
    command = f"{sys.executable} -m mlops_course log --workspace {promoted.workspace.root} | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
