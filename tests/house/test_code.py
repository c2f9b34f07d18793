"""The code itself: lint, types, floors and rooms, examples, and what no file may hold."""

import ast
import configparser
import doctest
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from squeeze import squeezed

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "mlops_course"
MAX_LINES, MAX_FUNCTION_LINES = 400, 60
MAX_ROOMS = 9
MORE_ROOMS = {"serving": 10, "pipeline": 10, "simulator": 10, "cli": 11}

# The floors, lowest first, and on each its rooms. A room imports only rooms before it.
FLOORS = {
    "core": (
        *("texts", "errors", "verdicts", "files", "memory", "addresses", "holders"),
        *("workspace", "resetting"),
    ),
    "stats": (
        *("distances", "conformal", "clustered", "confidence_sequences"),
        *("calibration", "cusum", "page_hinkley", "adwin", "betting"),
    ),
    "data": ("features", "flights", "incidents", "stream", "quality", "tables", "periods"),
    "training": (
        *("environment", "model", "evaluation", "trainer", "bad_releases", "tracking", "aside"),
    ),
    "serving": (
        *("routing", "contract", "prediction_log", "metrics", "app", "edge"),
        *("worker", "client", "service", "replay"),
    ),
    "registry": ("versions", "evidence", "promotions", "exams"),
    "drift": ("profiles", "calm_weeks", "textbook", "causes", "findings", "reports"),
    "monitoring": ("labels", "performance", "windows", "figures", "slices", "estimation"),
    "alerting": ("alerts", "rules", "rule_files", "scoring", "rehearsal", "notifier"),
    "release": ("comparison", "gate", "by_hand", "canary", "planning", "follower", "rehearsal"),
    "deciding": ("decisions", "choices"),
    "pipeline": (
        *("asking", "events", "policies", "scenarios", "stages", "production", "cycles", "loop"),
        *("state", "mystery"),
    ),
    "retraining": (*("safeguards", "matrix", "keeping", "worlds", "building", "trials", "oracle"),),
    "shifts": (
        *("plans", "prices", "systems", "ledger", "retraining", "watching", "worlds"),
        "live",
    ),
    "course": (
        *("ml_test_score", "snapshots", "lessons", "exercises", "progress"),
        *("learner_tests", "server_guard", "servers", "fixtures"),
    ),
    "telling": (
        *("wording", "standing", "advice", "setting_string", "content", "beside", "signals"),
        *("narrator", "gate_words"),
    ),
    "drawing": ("markup", "chart", "weekly", "loop", "versions", "flights"),
    "picture": ("views", "panel", "alert_log", "question", "hindsight", "poster"),
    "simulator": (
        *("settings", "widget", "recording", "kept", "runner", "others", "session", "screen"),
        *("simulator", "standalone"),
    ),
    "oncall": (
        *("state", "acting", "looks", "engine", "runbooks", "players", "scoring"),
        *("shift_files", "results"),
    ),
    "debriefing": ("documents", "evidence", "debrief", "postmortem"),
    "console": (
        *("kept", "text_mode", "page", "views", "ending", "keeping", "session", "widget"),
        "console",
    ),
    "cli": (
        *("terminal", "doctor", "mlflow_ui", "saved_widgets", "checkout", "simulate"),
        *("oncall", "watch", "release", "reset", "main"),
    ),
}
ROOMS = [f"{floor}.{room}" for floor, rooms in FLOORS.items() for room in rooms]
DOOR = ("__init__.py", "__main__.py")
PATHS = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name not in DOOR
}

HEAVY = ("pandas", "numpy", "mlflow", "sklearn", "ipywidgets", "anywidget", "fastapi", "matplotlib")

# Addresses that only the machine at hand can reach, and folders that only it has.
MACHINE = {
    "an index address": r"index[-_]url\s*[=\s]\s*['\"]?https?:",
    "a search folder for packages": r"find-links\s*[=\s]\s*['\"]?(?:https?:|file:|/)",
    "a package host": r"pypi\.org/simple|files\.pythonhosted\.org",
    "a folder of this machine": r"(?<![\w.~/:-])/(?:work|root|home/(?!jovyan)\w+|Users/\w+)/",
}
LEAVE_OUT = {Path("tests/house/test_code.py"), Path("tests/tools/guards.py")}


def test_lint_when_run_then_finds_nothing():
    run_tool("ruff", "check", "--no-cache", ".")


def test_format_when_checked_then_nothing_would_change():
    run_tool("ruff", "format", "--check", "--no-cache", ".")


def test_types_when_checked_then_all_fit():
    run_tool("mypy")


def test_rooms_when_listed_then_none_is_missing():
    assert sorted(ROOMS) == sorted(PATHS), "put a new room into FLOORS, after those it imports"


@pytest.mark.parametrize("floor", FLOORS)
def test_floor_when_entered_then_has_few_rooms_and_an_empty_face(floor):
    assert len(FLOORS[floor]) <= MORE_ROOMS.get(floor, MAX_ROOMS)
    assert (PACKAGE / floor / "__init__.py").read_bytes() == b""


@pytest.mark.parametrize("room", PATHS)
def test_room_when_measured_then_can_be_read_in_one_sitting(room):
    source = PATHS[room].read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MAX_LINES
    long = [
        f"{node.name}, line {node.lineno}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert not long


@pytest.mark.parametrize("room", PATHS)
def test_room_when_it_imports_then_knows_only_rooms_below(room):
    below = set(ROOMS[: ROOMS.index(room)])
    assert set(imported_rooms(PATHS[room])) <= below


@pytest.mark.parametrize("room", PATHS)
def test_room_when_read_then_nothing_in_it_is_squeezed(room):
    assert not list(squeezed(ast.parse(PATHS[room].read_text(encoding="utf-8"))))


def test_guide_when_read_then_names_every_room_of_each_floor_in_order():
    guide = (PACKAGE / "README.md").read_text(encoding="utf-8").split("```")[1]
    told = re.split(r"^(\w+) ", guide, flags=re.MULTILINE)[1:]
    rooms = dict(zip(told[::2], told[1::2], strict=True))
    assert list(rooms) == list(reversed(FLOORS))
    for floor, words in rooms.items():
        named = [word for word in re.findall(r"\w+", words) if word in FLOORS[floor]]
        assert named == list(FLOORS[floor]), floor


def test_tests_when_listed_then_mirror_the_floors():
    folders = {path.name for path in (ROOT / "tests").iterdir() if list(path.glob("test_*.py"))}
    assert folders == {*FLOORS, "notebooks", "house"}


@pytest.mark.parametrize("room", PATHS)
def test_examples_when_run_then_give_what_they_say(room):
    result = doctest.testmod(importlib.import_module(f"mlops_course.{room}"))
    assert result.failed == 0


def test_package_when_imported_then_loads_nothing_heavy():
    ask = f"import mlops_course, sys; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_command_when_imported_then_loads_nothing_heavy():
    ask = f"import mlops_course.cli.main, sys; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_files_when_searched_then_name_no_index_and_no_folder_of_this_machine():
    patterns = {**MACHINE, **{f"the index {host}": re.escape(host) for host in index_hosts()}}
    found = [
        f"{path}: {what}: {match.group()}"
        for path, text in texts()
        for what, pattern in patterns.items()
        if (match := re.search(pattern, text))
    ]
    assert not found, "\n".join(found)


def run_tool(*command: str) -> None:
    """Run a tool as a person would in the clone; its own words are the failure's."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def imported_rooms(path: Path) -> Iterator[str]:
    """Yield the rooms a module imports, at the top or inside functions, types included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mlops_course"):
            floor = str(node.module).removeprefix("mlops_course").removeprefix(".")
            inside = [f"{floor}.{name.name}" for name in node.names]
            yield from (inside if floor in FLOORS else [floor] if floor else [])
        elif isinstance(node, ast.Import):
            names = [name.name for name in node.names if name.name.startswith("mlops_course.")]
            yield from (name.removeprefix("mlops_course.") for name in names)


def texts() -> Iterator[tuple[Path, str]]:
    """Yield every text file that git keeps or would keep, by its path in the clone."""
    for path in kept_files():
        if path in LEAVE_OUT or not (ROOT / path).is_file():
            continue
        content = (ROOT / path).read_bytes()
        if b"\0" not in content[:4096]:
            yield path, content.decode("utf-8")


@cache
def kept_files() -> tuple[Path, ...]:
    """Return the files git keeps; without git, all that are not in a hidden or derived folder."""
    ask = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        return tuple(Path(name) for name in done.stdout.split("\0") if name)
    derived = {".venv", ".git", "workspace", "__pycache__", "build", "dist"}
    paths = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return tuple(path for path in paths if not derived & set(path.parts))


def index_hosts() -> set[str]:
    """Return the hosts from which this machine installs, unless they are the public one."""
    addresses = [os.environ.get(name, "") for name in ("PIP_INDEX_URL", "UV_INDEX_URL")]
    settings = configparser.ConfigParser(interpolation=None)
    places = [os.environ.get("PIP_CONFIG_FILE", ""), "/etc/pip.conf"]
    settings.read([*places, Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf"])
    addresses += [settings[part].get("index-url", "") for part in settings.sections()]
    return {host for url in addresses if (host := urlsplit(url).hostname)} - {"pypi.org"}
