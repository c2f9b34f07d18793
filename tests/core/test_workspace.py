import os
import sqlite3
from contextlib import closing

import pytest

from mlops_course.core.errors import WorkspaceError
from mlops_course.core.workspace import HOME_VARIABLE, default_home, open_workspace, reset_workspace


def test_open_when_folder_is_new_then_it_is_made_and_reopens(tmp_path):
    workspace = open_workspace(tmp_path / "new" / "place")
    assert workspace.artifacts.is_dir() and workspace.cache.is_dir()
    assert open_workspace(workspace.root) == workspace


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
