"""What `course.py` promises: it sets itself up, survives trouble, and says what to do about it.

Everything here runs the real file as a real process, in a small copy of the repository whose lock
is empty and whose package prints what it was called with, so nothing is downloaded.
"""

import ast
import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import psutil
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
COURSE = REPOSITORY / "course.py"
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals and links of POSIX")

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "mlops-course"
version = "0"
"""
# The smallest build backend: an editable wheel is a .pth file. It hangs while a file `slow` exists.
BACKEND = """
import pathlib, time, zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    here = pathlib.Path(__file__).resolve().parent
    while (here / "slow").exists():
        (here / "building").touch()
        time.sleep(0.05)
    files = {
        "mlops_course.pth": str(here),
        "mlops_course-0.dist-info/METADATA": "\\n".join(
            ["Metadata-Version: 2.1", "Name: mlops-course", "Version: 0"]
        ),
        "mlops_course-0.dist-info/WHEEL": "Wheel-Version: 1.0\\nTag: py3-none-any",
    }
    name = "mlops_course-0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / name, "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        record = "".join(f"{path},,\\n" for path in files)
        wheel.writestr("mlops_course-0.dist-info/RECORD", record)
    return name
"""
COMMAND = """\
import sys
print("called with", sys.argv[1:])
sys.exit(7 if "--fail" in sys.argv else 0)
"""
CALLED = "called with ['lab']\n"
MISSING = "no-such-package==1.0 --hash=sha256:" + "0" * 64 + "\n"


class Clone:
    """A small copy of the repository, in which `course.py` can be called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = folder / "requirements.txt"
        self.venv = folder / ".venv"

    def command(self, *arguments: str) -> tuple[list[str], dict]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
        offline = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
        options = dict(cwd=self.folder, env=kept | offline, text=True)
        return [sys.executable, "course.py", *arguments], options

    def call(self, *arguments: str, before: tuple = (), **env: str) -> subprocess.CompletedProcess:
        command, options = self.command(*arguments)
        options["env"] = {k: v for k, v in (options["env"] | env).items() if v}
        done = subprocess.run([*before, *command], capture_output=True, timeout=120, **options)
        assert "Traceback" not in done.stderr
        return done

    def start(self, *arguments: str) -> subprocess.Popen:
        command, options = self.command(*arguments)
        output = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return subprocess.Popen(command, start_new_session=True, **output, **options)

    def stamp(self) -> dict:
        return json.loads((self.venv / "course.json").read_text())


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone in which nothing was called yet."""
    folder = tmp_path / "my course"
    (folder / "mlops_course").mkdir(parents=True)
    (folder / "mlops_course" / "__init__.py").touch()
    (folder / "mlops_course" / "__main__.py").write_text(COMMAND)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "requirements.txt").write_text("# an empty lock\n")
    shutil.copy(COURSE, folder)
    return Clone(folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The one `.venv` that the tests share, filled by the first that asks for it."""
    return {"venv": tmp_path_factory.mktemp("finished") / ".venv"}


@pytest.fixture
def ready(clone: Clone, finished: dict[str, Path]) -> Clone:
    """A clone that is set up: with a copy of one `.venv` that really was, to save time."""
    if not finished["venv"].exists():
        assert clone.call("lab").returncode == 0
        shutil.copytree(clone.venv, finished["venv"], symlinks=True)
        return clone
    shutil.copytree(finished["venv"], clone.venv, symlinks=True, copy_function=os.link)
    moved = {clone.venv / "course.json": json.dumps(clone.stamp() | {"folder": str(clone.folder)})}
    moved |= {path: str(clone.folder) for path in clone.venv.rglob("mlops_course.pth")}
    for path, text in moved.items():
        path.unlink()  # the file is shared with the other copies
        path.write_text(text)
    return clone


def load_course() -> ModuleType:
    spec = importlib.util.spec_from_file_location("course", COURSE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.02)


def alive_in_session(session: int) -> list[list[str]]:
    """Return the command lines of what still runs of all that a call started."""
    found = []
    for process in psutil.process_iter(["status", "cmdline"]):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == session and process.info["status"] != "zombie":
                found.append(process.info["cmdline"])
    return found


# Telling what it can do


def test_course_without_arguments_lists_its_commands_and_sets_nothing_up(clone: Clone) -> None:
    done = clone.call()
    assert done.returncode == 0
    for name in load_course().COMMANDS:
        assert f"\n  {name} " in done.stdout
    assert not clone.venv.exists()


def test_course_with_a_mistyped_command_says_so_and_sets_nothing_up(clone: Clone) -> None:
    done = clone.call("lba")
    assert done.returncode == 2
    assert "no command 'lba'" in done.stderr and "  lab " in done.stderr
    assert not clone.venv.exists()


def test_listing_names_exactly_the_commands_that_the_package_has() -> None:
    command = [sys.executable, "-m", "mlops_course", "--help"]
    told = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert re.findall(r"^    (\w+)", told.stdout, re.MULTILINE), "the help has changed its shape"
    assert set(re.findall(r"^    (\w+)", told.stdout, re.MULTILINE)) == set(load_course().COMMANDS)


# A Python that will not do


def test_source_when_parsed_as_python_3_6_has_no_newer_syntax() -> None:
    ast.parse(COURSE.read_text(encoding="utf-8"), feature_version=(3, 6))


def test_course_when_python_is_too_old_names_the_version_needed(clone: Clone) -> None:
    source = COURSE.read_text(encoding="utf-8")
    demanding = source.replace("MINIMUM = (3, 11)", "MINIMUM = (3, 99)")
    assert demanding != source
    (clone.folder / "course.py").write_text(demanding, encoding="utf-8")
    done = clone.call("lab")
    assert done.returncode == 1
    assert "needs Python 3.99 or newer" in done.stderr and "python.org" in done.stderr
    assert not clone.venv.exists()


def test_lab_when_python_has_no_ensurepip_names_the_package_to_install(clone: Clone) -> None:
    crippled = clone.folder / "crippled"
    crippled.mkdir()
    (crippled / "ensurepip.py").write_text("raise ImportError('left out by the distribution')")
    done = clone.call("lab", PYTHONPATH=str(crippled))
    assert done.returncode == 1
    assert "apt install python3-venv" in done.stderr


# The ordinary way


def test_lab_when_set_up_hands_over_arguments_and_status(ready: Clone) -> None:
    before = ready.stamp()
    done = ready.call("lab", "--port", "a b", "--fail")
    assert done.stdout == "called with ['lab', '--port', 'a b', '--fail']\n"
    assert done.returncode == 7
    assert ready.stamp() == before


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_lab_when_the_lock_has_changed_installs_over_the_old_one(ready: Clone, name: str) -> None:
    before = ready.stamp()
    with (ready.folder / name).open("a") as file:
        file.write("# newer\n")
    done = ready.call("lab")
    assert "Bringing .venv up to the lock" in done.stderr and done.stdout == CALLED
    assert ready.stamp()["state"] == "ready" and ready.stamp()["lock"] != before["lock"]


def test_lab_when_a_person_made_the_venv_takes_it_over(ready: Clone) -> None:
    (ready.venv / "course.json").unlink()
    done = ready.call("lab")
    assert "Bringing .venv up to the lock" in done.stderr and done.stdout == CALLED


def test_lab_when_a_folder_of_someone_else_is_in_the_way_leaves_it_alone(clone: Clone) -> None:
    clone.venv.mkdir()
    (clone.venv / "thesis.txt").write_text("do not lose me")
    done = clone.call("lab")
    assert done.returncode == 1
    assert "not the work of course.py" in done.stderr and "Move it away" in done.stderr
    assert (clone.venv / "thesis.txt").read_text() == "do not lose me"


# Trouble on the way


@posix_only
def test_lab_when_stopped_halfway_leaves_no_process_and_the_next_call_recovers(
    ready: Clone,
) -> None:
    (ready.folder / "slow").touch()
    ready.lock.write_text("# newer\n")
    process = ready.start("lab")
    wait_for(ready.folder / "building")
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does in a terminal
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopped. Call this again" in output and "Traceback" not in output
    assert alive_in_session(process.pid) == []
    assert ready.stamp() == {"state": "unfinished"}

    (ready.folder / "slow").unlink()
    done = ready.call("lab")
    assert "making a new one" in done.stderr and done.stdout == CALLED
    assert ready.stamp()["state"] == "ready"
    assert not (ready.venv / "tmp").exists()


@posix_only
def test_lab_when_terminated_halfway_takes_pip_along(ready: Clone) -> None:
    (ready.folder / "slow").touch()
    ready.lock.write_text("# newer\n")
    process = ready.start("lab")
    wait_for(ready.folder / "building")
    process.terminate()
    output, _ = process.communicate(timeout=30)
    (ready.folder / "slow").unlink()  # lets the builder, pip's own child, come to its end
    assert process.returncode == 143 and "Traceback" not in output
    assert not [command for command in alive_in_session(process.pid) if "pip" in command]
    assert ready.stamp() == {"state": "unfinished"}


@posix_only
def test_lab_called_twice_at_once_when_the_python_is_gone_sets_up_only_once(ready: Clone) -> None:
    python = ready.venv / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")  # as after an upgrade of the system
    calls = [ready.start("lab"), ready.start("lab")]
    outputs = [call.communicate(timeout=60)[0] for call in calls]
    assert [call.returncode for call in calls] == [0, 0]
    assert all(CALLED in output for output in outputs)
    assert sum("making a new one" in output for output in outputs) == 1
    assert sum("waiting for it" in output for output in outputs) == 1


def test_lab_when_the_index_is_out_of_reach_says_to_check_the_network(ready: Clone) -> None:
    ready.lock.write_text(MISSING)
    done = ready.call("lab", PIP_NO_INDEX="", PIP_INDEX_URL="http://127.0.0.1:9/", PIP_RETRIES="1")
    assert done.returncode == 1
    assert "Check the network" in done.stderr and "install.log" in done.stderr
    assert ready.stamp() == {"state": "unfinished"}


def test_lab_when_the_lock_has_nothing_for_this_machine_says_what_it_fits(ready: Clone) -> None:
    shelf = ready.folder / "shelf"
    shelf.mkdir()
    (shelf / "no_such_package-1.0-cp311-cp311-win32.whl").touch()
    ready.lock.write_text(MISSING)
    done = ready.call("lab", PIP_FIND_LINKS=shelf.as_uri())
    assert done.returncode == 1
    assert "no package that fits this computer" in done.stderr and sys.platform in done.stderr


def test_lab_when_a_package_is_altered_says_so(ready: Clone) -> None:
    shelf = ready.folder / "shelf"
    shelf.mkdir()
    (shelf / "no_such_package-1.0-py3-none-any.whl").write_bytes(b"not what the lock names")
    ready.lock.write_text(MISSING)
    done = ready.call("lab", PIP_FIND_LINKS=shelf.as_uri())
    assert done.returncode == 1
    assert "damaged or altered" in done.stderr


@posix_only
def test_lab_when_the_folder_is_read_only_says_so(clone: Clone) -> None:
    # root writes where it likes unless the right to do so is dropped first
    drop = "-dac_override,-dac_read_search"
    before = ("setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}") if not os.getuid() else ()
    if before and not shutil.which("setpriv"):
        pytest.skip("root needs setpriv to meet a read-only folder")
    clone.folder.chmod(0o555)
    try:
        done = clone.call("lab", before=before)
    finally:
        clone.folder.chmod(0o755)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr and "folder of your own" in done.stderr


def test_check_room_when_the_disk_is_too_small_says_how_much_is_needed(tmp_path: Path) -> None:
    course = load_course()
    course.check_room(tmp_path, 0)
    with pytest.raises(course.Trouble, match=r"needs 1000000 GB of disk and [\d.]+ GB are free"):
        course.check_room(tmp_path, 1_000_000)
