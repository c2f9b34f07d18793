"""Every command with every odd value: no traceback, a documented status, one short sentence."""

import os
import socket
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from mlops_course.cli.main import SURROUNDINGS, main
from mlops_course.core.verdicts import Check, Verdict
from mlops_course.core.workspace import HOME_VARIABLE, open_workspace
from mlops_course.course.fixtures import train_candidate
from mlops_course.data.flights import load_flights
from mlops_course.registry import promotions
from mlops_course.registry.promotions import MAX_REASON_LETTERS, MAX_WHO_LETTERS
from mlops_course.release import gate
from mlops_course.training import tracking

ENDLESS = "x" * 10_000_000
DECIDING = ("gate", "promote", "rollback", "log")
STATUSES = {**{name: {1, 2, 3} for name in DECIDING}, "drift": {2}}
LETTERS = 2_100  # of what is said, the parser's own line on how to use it left out
LONGEST_ENTRY = 100 + MAX_WHO_LETTERS + MAX_REASON_LETTERS

# Data: add a value to a list, or a command to the table. VALUE stands for the odd value.
NUMBERS = [
    *(
        "",
        " ",
        "-1",
        "-0",
        "1.0",
        "1e3",
        "0x1",
        "nan",
        "x",
        "1\n2",
        "1;2",
        "../1",
        "'",
        "%s",
        "{0}",
    ),
    *("9" * 23, "9" * 5_000, "1" + "0" * 30, "\u0663\u0660\u0660", "\u00b2", "\x1b[2J", "\u202e1"),
    *("\0", "1\0", "\udcff", ENDLESS),
]
TEXTS = ["", " ", "\n", "\x1b[2J", "\u202e", "a|b`<i>", "\0", "\udcff", "-", "--", ENDLESS]
FILES = [
    *("/nowhere/at/all/gate.md", "", ".", "/", "x" * 5_000, "a\0b", "\udcff", ENDLESS),
    *("<a file>/inside", "<a folder>"),
]
FOLDERS = [
    *("<a file>", "<a file>/inside", "<a circle>", "~nobody-of-this-name/x", "x" * 5_000, "a\0b"),
    *("\udcff", "/dev/null", "/dev/null/x"),
]
VALUE = "VALUE"
YEAR = ["--reference", "2013-01-01..2013-03-31", "--window", "2013-09-02..2013-09-08"]
# What a store with a champion takes: any text that is not empty is a reason, and stays one line.
MOVES = [
    (TEXTS, ["promote", "1", "--reason", VALUE]),
    (TEXTS, ["promote", "1", "--reason", "why", "--who", VALUE]),
    (TEXTS, ["promote", "1", "--reason", "why", "--force", VALUE]),
    (TEXTS, ["promote", "1", "--reason", "why", "--evidence", VALUE]),
    (TEXTS, ["rollback", "--reason", VALUE]),
    (TEXTS, ["rollback", "--reason", "why", "--who", VALUE]),
]
SERVE = ["serve", "--alias", VALUE]
COMMANDS = [
    (NUMBERS, ["gate", VALUE]),
    (NUMBERS, ["gate", "1", "--first", VALUE]),
    (NUMBERS, ["gate", "1", "--last", VALUE]),
    (FILES, ["gate", "1", "--report", VALUE]),
    (NUMBERS, ["promote", VALUE, "--reason", "why"]),
    *MOVES,
    # Each starts a service; all texts are tried where there are versions to find.
    (["", "\x1b[2J", ENDLESS], SERVE),
    (TEXTS, ["log", f"--{VALUE}"]),
    (NUMBERS, ["simulate", "--weeks", VALUE]),
    (["0", "1000000000", "18"], ["simulate", "--weeks", VALUE]),
    (["nan", "inf", "-inf", "0", "1", "1e400", "x", ""], ["simulate", "--threshold", VALUE]),
    (["-1", "1" + "0" * 30, "9" * 5_000, "1e3", "x", ""], ["simulate", "--seed", VALUE]),
    (TEXTS, ["simulate", "--scenario", VALUE]),
    (TEXTS, ["simulate", "--retrain", VALUE]),
    ([one for one in NUMBERS if one != "\u0663\u0660\u0660"], ["drift", *YEAR, "--rows", VALUE]),
    *[
        (NUMBERS, ["drift", *YEAR, option, VALUE])
        for option in ("--reference", "--window", "--without")
    ],
    (["-1", "1" + "0" * 30, "9" * 5_000, "1e3", "x", ""], ["drift", *YEAR, "--seed", VALUE]),
    (TEXTS, ["drift", *YEAR, "--incident", VALUE]),
    (TEXTS, ["drift", *YEAR, "--time", VALUE]),
    ([one for one in FILES if one], ["drift", VALUE, VALUE]),
    (["-1", "65536", "99999", "9" * 5_000, "1e3", "x", "", "\0"], ["serve", "--port", VALUE]),
    *[
        (FOLDERS, [*command, "--workspace", VALUE])
        for command in (
            *(["gate", "1"], ["promote", "1", "--reason", "why"], ["rollback", "--reason", "why"]),
            *(["log"], ["simulate"], ["serve"], ["reset", "--yes"], ["drift", *YEAR]),
        )
    ],
]


def cases(table):
    for values, arguments in table:
        name = " ".join(arguments)
        yield pytest.param(values, arguments, id=name)


@pytest.fixture(scope="module")
def home(tmp_path_factory, shared_workspace):
    """A workspace in which no version was registered."""
    root = tmp_path_factory.mktemp("odd") / "workspace"
    tracking.connect(open_workspace(root, cache=shared_workspace.cache))
    return root


@pytest.fixture(scope="module")
def used(tmp_path_factory, shared_workspace):
    """A workspace with two versions, both promoted in turn."""
    root = tmp_path_factory.mktemp("used") / "workspace"
    store = tracking.connect(open_workspace(root, cache=shared_workspace.cache))
    rows = load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 7))
    for version in ("1", "2"):
        train_candidate(store, rows, max_iter=2, random_state=int(version))
        evidence = gate.record(store, version, Verdict("model", (Check("c", True, "Fine."),)))
        promotions.promote(store, version, "test", evidence=evidence)
    return root


@pytest.fixture
def odd_paths(tmp_path):
    file, circle = (tmp_path / name for name in ("file", "circle"))
    file.write_text("somebody's", encoding="utf-8")
    circle.symlink_to(circle)
    return {"<a file>": file, "<a circle>": circle, "<a folder>": tmp_path}


@pytest.mark.skipif(os.name == "nt", reason="the odd paths are those of Unix")
@pytest.mark.parametrize(("values", "arguments"), list(cases(COMMANDS)))
def test_command_when_a_value_is_odd_then_one_sentence_and_a_documented_status(
    home, odd_paths, monkeypatch, capsys, values, arguments
):
    for name, value in {**SURROUNDINGS, HOME_VARIABLE: str(home)}.items():
        monkeypatch.setenv(name, value)
    for value in values:
        for name, path in odd_paths.items():
            value = value.replace(name, str(path))
        status = status_of([one.replace(VALUE, value) for one in arguments])
        said = capsys.readouterr()
        sentence = said.err.split("error: ")[-1]
        shown = (arguments, value[:50], status, said.err[-500:])
        assert status in STATUSES.get(arguments[0], {1, 2}), shown
        assert "Traceback" not in said.err and said.out == "", shown
        assert sentence.endswith("\n") and sentence[:-1].isprintable(), shown
        assert 0 < len(sentence) < LETTERS, shown
    assert Path(odd_paths["<a file>"]).read_text(encoding="utf-8") == "somebody's"


@pytest.mark.parametrize(("values", "arguments"), list(cases([*MOVES, (TEXTS, SERVE)])))
def test_command_when_a_value_is_odd_and_versions_were_promoted_then_the_log_stays_whole(
    used, monkeypatch, capsys, values, arguments
):
    for name, value in {**SURROUNDINGS, HOME_VARIABLE: str(used)}.items():
        monkeypatch.setenv(name, value)
    for value in values:
        status = status_of([one.replace(VALUE, value) for one in arguments])
        said = capsys.readouterr()
        shown = (arguments, value[:50], status, said.err[-500:])
        assert status in {0, 1, 2, 3} and "Traceback" not in said.err, shown
        sentence = (said.out + said.err.split("error: ")[-1]).removesuffix("\n")
        assert sentence.isprintable() and 0 < len(sentence) < LONGEST_ENTRY, shown
    assert status_of(["log", "--audit"]) == 0
    *entries, _, audit = capsys.readouterr().out.splitlines()
    assert len(entries) > 2 and "audit passed" in audit
    assert max(map(len, entries)) < LONGEST_ENTRY


@pytest.mark.skipif(os.name == "nt", reason="the odd paths are those of Unix")
@pytest.mark.parametrize("place", FOLDERS)
def test_doctor_when_the_workspace_is_odd_then_says_so_in_lines(
    odd_paths, monkeypatch, capsys, place
):
    for name, value in {**SURROUNDINGS, HOME_VARIABLE: ""}.items():
        monkeypatch.setenv(name, value)
    for name, path in odd_paths.items():
        place = place.replace(name, str(path))
    status = status_of(["doctor", "--workspace", place])
    said = capsys.readouterr()
    lines = (said.out + said.err).splitlines()
    assert status in (1, 2, 3) and "Traceback" not in said.err
    assert all(line.isprintable() and len(line) < LETTERS for line in lines)


def test_serve_when_the_port_is_taken_then_one_sentence(used, capsys, monkeypatch):
    for name, value in {**SURROUNDINGS, HOME_VARIABLE: str(used)}.items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert status_of(["serve", "--port", str(port)]) == 1
    said = capsys.readouterr()
    assert f"port {port} cannot be used" in said.err and said.err.count("\n") == 1


def status_of(arguments):
    try:
        return main(arguments)
    except SystemExit as ended:
        return ended.code


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    ("arguments", "stream", "status"),
    [
        (["log"], "stdout", 3),
        (["simulate", "--list"], "stdout", 1),
        (["gate", "99"], "stderr", 3),
        (["simulate", "--weeks", "0"], "stderr", 2),
    ],
)
def test_command_when_where_it_writes_is_full_then_the_status_is_as_documented(
    home, arguments, stream, status
):
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mlops_course", *arguments, "--workspace", str(home)],
            **{**streams, stream: full},
            text=True,
            timeout=120,
        )
    assert done.returncode == status
    if stream == "stdout":
        told = "The system does not allow it: [Errno 28] No space left on device.\n"
        assert done.stderr == told
