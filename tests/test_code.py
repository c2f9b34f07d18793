"""The code itself: lint, types, size, and who may know whom."""

import ast
import configparser
import io
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mlops_course"
MOST_LINES = 400
# What teaches must be read in an afternoon; what a person touches need only be used.
MOST_CODE_OF_TEACHING, MOST_CODE_OF_INTERFACE = 3_500, 2_200

# In the order in which data meets them. A room imports only rooms above it.
ROOMS = (
    "errors",
    "events",
    "workspace",
    "features",
    "flights",
    "incidents",
    "training",
    "tracking",
    "validation",
    "testing",
    "traffic",
    "registry",
    "promotions",
    "wire",
    "prediction_log",
    "observing",
    "scorer",
    "serving",
    "clients",
    "deployment",
    "sequential",
    "releases",
    "acceptance",
    "replay",
    "drift",
    "monitoring",
    "scenarios",
    "pipeline",
    "runstate",
    "chart",
    "picture",
    "poster",
    "alertlog",
    "controls",
    "driver",
    "simulator",
    "peers",
    "score",
    "snapshots",
    "lessons",
    "exercises",
    "mlflow_ui",
    "doctor",
    "cli",
)
FIRST_OF_INTERFACE = "runstate"
SILENT = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}
DOORS = ("__init__", "__main__")
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem not in DOORS)

HEAVY = ("pandas", "numpy", "mlflow", "sklearn", "ipywidgets", "anywidget", "fastapi", "matplotlib")

# Addresses that only the machine at hand can reach, and folders that only it has.
MACHINE = {
    "an index address": r"index[-_]url\s*[=\s]\s*['\"]?https?:",
    "a search folder for packages": r"find-links\s*[=\s]\s*['\"]?(?:https?:|file:|/)",
    "a package host": r"pypi\.org/simple|files\.pythonhosted\.org",
    "a folder of this machine": r"(?<![\w.~/:-])/(?:work|root|home/(?!jovyan)\w+|Users/\w+)/",
}
LEAVE_OUT = {Path("tests/test_code.py"), Path("tests/tools/guards.py")}


def test_lint_when_run_then_finds_nothing():
    run_tool("ruff", "check", "--no-cache", ".")


def test_format_when_checked_then_nothing_would_change():
    run_tool("ruff", "format", "--check", "--no-cache", ".")


def test_types_when_checked_then_all_fit():
    run_tool("mypy")


@pytest.mark.parametrize("module", MODULES)
def test_module_when_measured_then_can_be_read_in_one_sitting(module):
    assert count_lines(PACKAGE / f"{module}.py") <= MOST_LINES


def test_package_when_measured_then_what_teaches_can_be_read_in_an_afternoon():
    split = ROOMS.index(FIRST_OF_INTERFACE)
    teaching, interface = (
        sum(count_code(PACKAGE / f"{room}.py") for room in rooms)
        for rooms in (ROOMS[:split], ROOMS[split:])
    )
    assert teaching < MOST_CODE_OF_TEACHING and interface < MOST_CODE_OF_INTERFACE


def test_rooms_when_listed_then_none_is_missing():
    assert sorted(ROOMS) == MODULES, "put a new module into ROOMS, above whoever imports it"


@pytest.mark.parametrize("module", MODULES)
def test_room_when_it_imports_then_knows_only_rooms_above(module):
    above = set(ROOMS[: ROOMS.index(module)])
    assert set(imported_rooms(PACKAGE / f"{module}.py")) <= above


def test_package_when_imported_then_loads_nothing_heavy():
    ask = f"import mlops_course, sys; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_command_when_imported_then_loads_nothing_heavy():
    ask = f"import mlops_course.cli, sys; print([n for n in {HEAVY!r} if n in sys.modules])"
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


def count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def count_code(path: Path) -> int:
    """Count the lines that hold code: not the blank ones, the comments and the docstrings."""
    source = path.read_text(encoding="utf-8")
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            text = node.body[0]
            lines -= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return len(lines)


def imported_rooms(path: Path) -> Iterator[str]:
    """Yield the rooms a module imports, at the top or inside functions, types included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "mlops_course":
            yield from (name.name for name in node.names if name.name in ROOMS)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mlops_course."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            dotted = (name.name.split(".") for name in node.names)
            yield from (parts[1] for parts in dotted if parts[0] == "mlops_course" and parts[1:])


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
