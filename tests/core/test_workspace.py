import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from processes import holding

from mlops_course.core import holders
from mlops_course.core.errors import WorkspaceError
from mlops_course.core.resetting import reset_workspace
from mlops_course.core.workspace import (
    HOME_VARIABLE,
    Workspace,
    check_store,
    default_home,
    locked,
    logs,
    open_workspace,
    own_run_log,
    workspaces_within,
)


@pytest.fixture
def unwritable():
    """A workspace that its user may read and not write; of the administrator, nobody's."""
    if os.name == "nt":
        pytest.skip("Windows has other permissions")
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    workspace = open_workspace(place / "workspace")
    with closing(sqlite3.connect(workspace.database)) as store, store:
        store.execute("CREATE TABLE kept (one)")
    for path in (*workspace.root.rglob("*"), workspace.root):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222 | 0o444)
    workspace.root.chmod(0o555)
    administrator = os.geteuid() == 0
    if administrator:
        os.seteuid(65534)
    yield workspace
    if administrator:
        os.seteuid(0)
    for path in (workspace.root, *workspace.root.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(place)


def test_open_when_folder_is_new_then_it_is_made_and_reopens(tmp_path):
    workspace = open_workspace(tmp_path / "new" / "place")
    assert workspace.artifacts.is_dir() and workspace.cache.is_dir()
    assert open_workspace(workspace.root) == workspace


@pytest.mark.skipif(sys.platform == "win32", reason="other rights there")
def test_open_when_folder_is_new_then_nobody_else_may_enter(tmp_path):
    assert open_workspace(tmp_path / "workspace").root.stat().st_mode & 0o077 == 0


def test_open_when_variable_names_a_home_then_it_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "elsewhere"))
    assert default_home() == tmp_path / "elsewhere"
    assert open_workspace().root == tmp_path / "elsewhere"


def test_open_when_folder_holds_other_files_then_refuses_and_touches_nothing(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(WorkspaceError, match="already holds files"):
        open_workspace(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_open_when_path_is_a_file_then_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkspaceError, match="is a file"):
        open_workspace(tmp_path / "file")


@pytest.mark.skipif(not os.path.exists("/proc/version"), reason="needs Linux's /proc")
def test_open_when_folder_cannot_be_written_then_names_the_way_out():
    with pytest.raises(WorkspaceError, match=f"cannot be written.*{HOME_VARIABLE}"):
        open_workspace("/proc/mlops-course")


def test_open_when_store_is_locked_then_says_so_within_two_seconds(tmp_path):
    workspace = open_workspace(tmp_path)
    with closing(sqlite3.connect(workspace.database, isolation_level=None)) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(WorkspaceError, match="locked by another program"):
            open_workspace(tmp_path)


def test_open_when_store_is_damaged_then_points_to_reset(tmp_path):
    workspace = open_workspace(tmp_path)
    workspace.database.write_bytes(b"not a database, but long enough to be taken for one" * 50)
    with pytest.raises(WorkspaceError, match=r"damaged.*mlops-course reset"):
        open_workspace(tmp_path)


def test_reset_when_store_is_damaged_then_it_can_be_opened_again(tmp_path):
    workspace = open_workspace(tmp_path)
    workspace.database.write_bytes(b"rubbish" * 500)
    (workspace.artifacts / "model").mkdir()
    (workspace.cache / "flights.parquet").write_bytes(b"kept")
    reset_workspace(workspace)
    assert not workspace.database.exists() and not workspace.artifacts.exists()
    assert (workspace.cache / "flights.parquet").exists()
    assert open_workspace(tmp_path) == workspace


def test_reset_when_folder_is_not_the_courses_then_refuses(tmp_path):
    workspace = open_workspace(tmp_path / "ours")
    (workspace.root / ".mlops-course-workspace").unlink()
    (workspace.root / "artifacts" / "keep.txt").write_text("x")
    with pytest.raises(WorkspaceError, match="not made by this course"):
        reset_workspace(workspace)
    assert (workspace.root / "artifacts" / "keep.txt").exists()


@pytest.mark.parametrize("writable", ["nothing", "the store's file alone"])
def test_open_when_the_workspace_is_read_only_then_says_so(unwritable, writable):
    if writable != "nothing":
        administrator = os.geteuid() == 65534
        if administrator:
            os.seteuid(0)
        unwritable.database.chmod(0o666)
        if administrator:
            os.seteuid(65534)
    with pytest.raises(WorkspaceError, match="cannot be written"):
        open_workspace(unwritable.root)
    with pytest.raises(WorkspaceError, match="cannot be written"):
        check_store(unwritable)


def test_open_when_the_workspace_is_another_users_then_says_so(unwritable):
    administrator = os.geteuid() == 65534
    if administrator:
        os.seteuid(0)
    unwritable.root.chmod(0o700 if administrator else 0)
    if administrator:
        os.seteuid(65534)
    for use in (open_workspace, check_store):
        with pytest.raises(WorkspaceError, match="cannot be written"):
            use(unwritable.root if use is open_workspace else unwritable)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are always text")
def test_open_when_the_path_is_no_text_then_says_so_and_makes_nothing(tmp_path):
    with pytest.raises(WorkspaceError, match="cannot be read as text"):
        open_workspace(tmp_path / os.fsdecode(b"caf\xe9"))
    assert os.listdir(tmp_path) == []


OPENING = """
import sys
from mlops_course.core.workspace import open_workspace
print("ready", flush=True)
sys.stdin.readline()
print(open_workspace(sys.argv[1]).identity)
"""


def test_open_when_many_programs_do_it_at_once_then_all_have_the_same_workspace(tmp_path):
    command = [sys.executable, "-c", OPENING, str(tmp_path / "new")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    programs = [subprocess.Popen(command, **pipes) for _ in range(6)]
    for program in programs:
        assert program.stdout.readline() == "ready\n"
    for program in programs:
        program.stdin.write("go\n")
        program.stdin.flush()
    said = {program.communicate(timeout=60)[0].strip() for program in programs}
    assert said == {open_workspace(tmp_path / "new").identity.strip()}


def test_identity_when_two_are_made_and_one_is_reset_then_all_three_differ(tmp_path):
    one = open_workspace(tmp_path / "one")
    first = one.identity
    assert open_workspace(tmp_path / "one").identity == first
    reset_workspace(one)
    assert len({first, one.identity, open_workspace(tmp_path / "two").identity, ""}) == 4
    shutil.rmtree(one.root)
    assert one.identity == ""


def test_reset_when_another_program_has_it_open_then_names_it_and_deletes_nothing(tmp_path):
    workspace = open_workspace(tmp_path / "workspace")
    inner = open_workspace(workspace.lessons)
    (workspace.artifacts / "model").mkdir()
    identity = workspace.identity
    with holding(workspace) as other:
        for one in (workspace, inner):
            with pytest.raises(WorkspaceError, match=rf"in use by .*\(process {other.pid}\)"):
                reset_workspace(one)
        assert (workspace.artifacts / "model").exists() and workspace.identity == identity
        other.stdin.close()
        other.wait()
        assert holders.others(workspace.root) == []
        reset_workspace(workspace)
    assert not workspace.artifacts.exists()


def test_reset_when_the_program_that_had_it_open_was_killed_then_deletes(tmp_path):
    workspace = open_workspace(tmp_path / "workspace")
    with holding(workspace) as other:
        other.kill()
    assert list((workspace.root / holders.FOLDER).iterdir())
    reset_workspace(workspace)
    holders.hold(workspace.root)
    own = workspace.root / holders.FOLDER / f"{os.getpid()}.json"
    assert list(own.parent.iterdir()) == [own]


def test_reset_when_a_copy_has_the_lines_of_the_original_then_it_is_nobodys(tmp_path):
    workspace = open_workspace(tmp_path / "workspace")
    with holding(workspace) as other:
        copied = Workspace(Path(shutil.copytree(workspace.root, tmp_path / "copied")))
        reset_workspace(copied)
        other.stdin.close()


def test_locked_when_another_thread_or_program_is_in_then_says_so(tmp_path):
    workspace = open_workspace(tmp_path)
    refused = pytest.raises(WorkspaceError, match="another program")
    with locked(workspace), locked(workspace, "another purpose", 0.1), refused:
        locked(workspace, seconds=0.1).__enter__()


def test_run_log_when_another_run_has_it_then_the_next_has_its_own_and_reset_takes_both(tmp_path):
    workspace = open_workspace(tmp_path)
    with own_run_log(workspace) as first, own_run_log(workspace) as second:
        assert first == workspace.run_log and second != first
        first.touch()
        second.touch()
    with own_run_log(workspace) as again:
        assert again == workspace.run_log
    assert logs(workspace) == sorted([first, second])
    reset_workspace(workspace)
    assert logs(workspace) == []


def test_workspaces_within_when_copies_lie_in_copies_then_has_them_all(tmp_path):
    home = open_workspace(tmp_path / "home")
    lessons = open_workspace(home.lessons)
    drill = open_workspace(lessons.root / "drill")
    forged = open_workspace(drill.root / "forged")
    assert [one.root for one in workspaces_within(home.root)] == [
        *(home.root, lessons.root, drill.root, forged.root)
    ]
    assert forged.outermost == home.root
