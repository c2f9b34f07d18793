import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date

import mlflow
import pytest

from mlops_course.core import addresses
from mlops_course.core.workspace import Workspace, open_workspace
from mlops_course.data.flights import load_flights
from mlops_course.registry import versions
from mlops_course.training import tracking
from mlops_course.training.trainer import TrainingConfig, train


@pytest.fixture(scope="module")
def made(tmp_path_factory, shared_workspace):
    """A workspace with a registered model and a file, and a copy of its store inside it."""
    root = tmp_path_factory.mktemp("made") / "workspace"
    store = tracking.connect(open_workspace(root, cache=shared_workspace.cache))
    flights = load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 7))
    run_id, uri = tracking.log_training(
        *(store, tracking.provenance(), train(flights, TrainingConfig(max_iter=2)), flights, {}),
        **{"name": "t", "seed": 0, "parent": ""},
    )
    store.client.log_text(run_id, "kept", "note.txt")
    versions.register(store, run_id, uri)
    tracking.copy_of(store, "drill")
    return root, run_id, uri


@pytest.fixture
def original(made, tmp_path):
    """That workspace, once for each test, in a folder with a name that needs quoting."""
    root = tmp_path / "what? 100% #1" / "workspace"
    shutil.copytree(made[0], root)
    open_workspace(root)
    open_workspace(root / "drill")
    return root


def every_address(root):
    with closing(sqlite3.connect(root / "mlflow.db")) as store:
        return sorted(addresses._addresses(store))


def check_all_is_there(root, made, place=None):
    """See that a store's run and model are read from, and written to, the folder ``place``."""
    _, run_id, uri = made
    place = place or root
    store = tracking.connect(open_workspace(root))
    note = store.client.get_run(run_id).info.artifact_uri
    assert mlflow.artifacts.load_text(f"{note}/note.txt") == "kept"
    assert versions.get(store, "1").path.is_relative_to(place)
    mlflow.sklearn.load_model(uri)
    store.client.log_text(run_id, "more", "more.txt")
    assert len(list(place.glob(f"artifacts/{run_id}/**/more.txt"))) == 1
    assert addresses.strays(root / "mlflow.db", root / "artifacts", place) == []


def test_workspace_when_it_was_moved_then_everything_is_found_and_the_old_folder_stays_away(
    original, made, tmp_path
):
    moved = tmp_path / "elsewhere" / "course 2"
    moved.parent.mkdir()
    shutil.move(original, moved)
    check_all_is_there(moved, made)
    assert not original.exists()
    known = every_address(moved)
    assert open_workspace(moved) and every_address(moved) == known


def test_store_inside_when_the_whole_was_moved_then_finds_what_the_outer_one_keeps(
    original, made, tmp_path
):
    moved = tmp_path / "moved"
    shutil.move(original, moved)
    check_all_is_there(moved / "drill", made, moved)
    assert not original.exists()


def test_workspace_when_it_was_copied_then_each_has_its_own_files(original, made, tmp_path):
    before = every_address(original)
    copied = tmp_path / "copied"
    shutil.copytree(original, copied)
    check_all_is_there(copied, made)
    assert every_address(original) == before
    assert not list(original.rglob("more.txt"))
    check_all_is_there(original, made)


def test_workspace_when_it_was_unpacked_from_an_archive_then_everything_is_found(
    original, made, tmp_path
):
    archive = shutil.make_archive(tmp_path / "kept", "zip", original)
    shutil.rmtree(original)
    shutil.unpack_archive(archive, tmp_path / "restored")
    check_all_is_there(tmp_path / "restored", made)
    assert not original.exists()


def test_mend_when_a_folder_beside_has_a_longer_name_then_its_addresses_stay(original, tmp_path):
    store = tracking.connect(open_workspace(original))
    beside = original.with_name("workspace2")
    store.client.create_experiment("beside", (beside / "files").as_uri())
    moved = tmp_path / "moved"
    shutil.move(original, moved)
    open_workspace(moved)
    assert (beside / "files").as_uri() in every_address(moved)
    lost = addresses.strays(moved / "mlflow.db", moved / "artifacts", moved)
    assert lost == [(beside / "files").as_uri()]


def test_mend_when_killed_in_the_middle_then_the_next_opening_does_it_all(original, made, tmp_path):
    moved = tmp_path / "moved"
    shutil.move(original, moved)
    code = """
import os, sqlite3, sys
from pathlib import Path
from mlops_course.core import addresses
class Killed(sqlite3.Connection):
    def execute(self, text, *rest):
        if text == "COMMIT":
            os._exit(9)
        return super().execute(text, *rest)
connect = sqlite3.connect
addresses.sqlite3.connect = lambda *a, **k: connect(*a, factory=Killed, **k)
root = Path(sys.argv[1])
addresses.mend(root / "mlflow.db", root / "artifacts", root)
"""
    assert subprocess.run([sys.executable, "-c", code, str(moved)]).returncode == 9
    check_all_is_there(moved, made)


def test_mend_when_the_file_is_no_store_of_mlflows_then_leaves_it(tmp_path):
    workspace = open_workspace(tmp_path / "empty")
    workspace.database.touch()
    assert open_workspace(workspace.root) == Workspace(workspace.root)
    assert workspace.database.stat().st_size == 0
