import platform
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from importlib.metadata import version
from threading import Barrier

import mlflow
import numpy as np
import pytest
from mlflow.entities import Dataset

from mlops_course.core.errors import WorkspaceError
from mlops_course.core.resetting import reset_workspace
from mlops_course.core.workspace import open_workspace
from mlops_course.data.flights import fingerprint, labelled, load_flights
from mlops_course.registry import versions
from mlops_course.training import environment, tracking
from mlops_course.training.evaluation import evaluate
from mlops_course.training.trainer import TrainingConfig, train


@pytest.fixture(scope="module")
def january(shared_workspace):
    return load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 31))


@pytest.fixture
def store(workspace):
    return tracking.connect(workspace)


@pytest.fixture
def logged(store, january):
    """One real training in the store: its result, its run's id and its model's URI."""
    result = train(january, TrainingConfig(max_iter=5))
    known = labelled(january)
    figures = evaluate(known["late"].to_numpy(), result.model.probability(known))
    origin = tracking.provenance()
    parent = tracking.start_run(store, "parent", origin, {"scenario": "test"})
    run_id, uri = tracking.log_training(
        store, origin, result, january, figures, name="child", seed=7, parent=parent
    )
    return result, run_id, uri


def test_training_when_logged_then_the_run_holds_the_whole_provenance(store, january, logged):
    result, run_id, _ = logged
    run = store.client.get_run(run_id)
    assert run.data.params["max_iter"] == "5" and run.data.params["seed"] == "7"
    assert run.data.tags["dataset_version"] == fingerprint(january)
    assert run.data.tags["model_digest"] == result.digest
    assert not {"dataset_version", "model_digest"} & set(run.data.params), "digests are tags"
    assert run.data.metrics["training_seconds"] == pytest.approx(result.seconds)
    assert 0.5 < run.data.metrics["accuracy"] < 1
    assert run.inputs.dataset_inputs[0].dataset.digest == fingerprint(january)
    tags = run.data.tags
    origin = tracking.provenance()
    assert (tags["git.dirty"], tags["mlflow.source.git.commit"]) == (origin.dirty, origin.commit)
    assert tags["environment.scikit-learn"] == version("scikit-learn")
    assert tags["environment.python"] == platform.python_version()
    assert run.info.status == "FINISHED"
    parents = store.client.search_runs([store.experiment_id], "tags.`mlflow.runName` = 'parent'")
    assert tags["mlflow.parentRunId"] == parents[0].info.run_id


def test_training_when_loaded_by_mlflow_itself_then_predicts_the_same(store, january, logged):
    result, _, uri = logged
    loaded = mlflow.sklearn.load_model(uri)
    assert type(loaded) is type(result.model.estimator)
    ours = result.model.probability(january)
    theirs = type(result.model)(loaded, result.model.vocabulary).probability(january)
    np.testing.assert_array_equal(ours, theirs)


def test_connect_when_repeated_then_says_nothing_on_stderr(tmp_path):
    code = (
        "from mlops_course.core.workspace import open_workspace;"
        "from mlops_course.training import tracking;"
        f"workspace = open_workspace({str(tmp_path / 'fresh')!r});"
        "tracking.connect(workspace); tracking.connect(workspace)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_connect_when_store_was_deleted_or_reset_meanwhile_then_makes_a_new_one(workspace):
    first = tracking.connect(workspace)
    tracking.start_run(first, "lost", tracking.provenance(), {})
    reset_workspace(workspace, keep_cache=False)
    workspace.cache.mkdir()
    again = tracking.connect(workspace)
    tracking.start_run(again, "kept", tracking.provenance(), {})
    names = [run.info.run_name for run in again.client.search_runs([again.experiment_id])]
    assert names == ["kept"]


def test_connect_when_a_query_left_an_empty_file_then_makes_a_new_store(workspace):
    tracking.connect(workspace)
    workspace.database.unlink()
    workspace.database.touch()
    again = tracking.connect(workspace)
    assert again.client.get_experiment(again.experiment_id).name == tracking.EXPERIMENT


def test_connect_when_the_workspace_was_deleted_with_its_cache_then_makes_both_anew(tmp_path):
    for _ in range(2):
        workspace = open_workspace(tmp_path / "workspace")
        tracking.start_run(tracking.connect(workspace), "first", tracking.provenance(), {})
        shutil.rmtree(workspace.root)


def test_connect_when_the_experiment_was_deleted_then_brings_it_back_with_its_runs(workspace):
    first = tracking.connect(workspace)
    tracking.start_run(first, "kept", tracking.provenance(), {})
    first.client.delete_experiment(first.experiment_id)
    again = tracking.connect(workspace)
    names = [run.info.run_name for run in again.client.search_runs([again.experiment_id])]
    assert names == ["kept"]


CONNECTING = """
import sys
from mlops_course.core.workspace import open_workspace
from mlops_course.training import tracking
print("ready", flush=True)
for root in sys.stdin:
    store = tracking.connect(open_workspace(root.strip()))
    tracking.end_run(store, tracking.start_run(store, "mine", tracking.provenance(), {}))
    tracking.open_experiment(store.client, "another", store.workspace)
    print("done", flush=True)
"""


def test_connect_when_two_programs_make_a_workspace_at_once_then_both_keep_their_runs(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    programs = [subprocess.Popen([sys.executable, "-c", CONNECTING], **pipes) for _ in range(2)]
    assert [program.stdout.readline() for program in programs] == ["ready\n"] * 2
    for turn in range(4):
        for program in programs:
            program.stdin.write(f"{tmp_path / str(turn)}\n")
            program.stdin.flush()
        assert [program.stdout.readline() for program in programs] == ["done\n"] * 2
        store = tracking.connect(open_workspace(tmp_path / str(turn)))
        found = store.client.search_runs([store.experiment_id])
        assert [run.info.status for run in found] == ["FINISHED"] * 2
    for program in programs:
        program.communicate()


def test_dataset_when_two_programs_name_a_new_one_at_once_then_both_runs_have_it(store):
    runs = [tracking.start_run(store, name, tracking.provenance(), {}) for name in ("a", "b")]
    for number in range(20):
        start = Barrier(2)

        def name(run_id, digest=str(number), start=start):
            start.wait()
            tracking._name_dataset(store, run_id, Dataset("flights", digest, "package", "here"))

        with ThreadPoolExecutor(2) as both:
            list(both.map(name, runs))
    for run_id in runs:
        assert len(store.client.get_run(run_id).inputs.dataset_inputs) == 20


def test_connect_when_the_store_is_new_then_mlflows_own_experiment_writes_into_the_workspace(
    workspace,
):
    client = tracking.connect(workspace).client
    client.log_text(client.create_run("0").info.run_id, "text", "a.txt")
    assert list(workspace.artifacts.rglob("a.txt"))


@pytest.mark.parametrize("name", ["what?", "C#", "My%20Course", "100%"])
def test_connect_when_the_path_has_signs_of_addresses_then_everything_is_in_that_folder(
    tmp_path, shared_workspace, name
):
    root = tmp_path / name / "workspace"
    store = tracking.connect(open_workspace(root, cache=shared_workspace.cache))
    run_id = tracking.start_run(store, "one", tracking.provenance(), {})
    store.client.log_text(run_id, "text", "a.txt")
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/a.txt") == "text"
    assert list(root.rglob("a.txt")) and (root / "mlflow.db").stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_connect_when_the_workspace_is_gone_then_says_what_to_do(workspace):
    shutil.rmtree(workspace.root)
    with pytest.raises(WorkspaceError, match=r"was deleted.*first cell"):
        tracking.connect(workspace)


def test_connect_when_store_has_an_unknown_schema_then_points_to_reset(workspace):
    tracking.connect(workspace)
    with closing(sqlite3.connect(workspace.database)) as other, other:
        other.execute("UPDATE alembic_version SET version_num = 'from the future'")
    fresh = type(workspace)(workspace.root.rename(workspace.root.with_name("moved")))
    with pytest.raises(WorkspaceError, match="mlops-course reset"):
        tracking.connect(fresh)


def test_provenance_when_code_was_changed_then_names_the_file_and_keeps_the_diff(
    tmp_path, monkeypatch
):
    package = tmp_path / "clone" / "mlops_course"
    package.mkdir(parents=True)
    (package / "code.py").write_text("x = 1\n")
    (tmp_path / "clone" / "lesson.ipynb").write_text("{}")

    def git(*arguments):
        subprocess.run(
            ["git", "-C", tmp_path / "clone", *arguments], check=True, capture_output=True
        )

    git("init", "-q")
    git("add", ".")
    git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "first")
    monkeypatch.setattr(environment, "CLONE", tmp_path / "clone")
    clean = tracking.provenance()
    assert clean.dirty == "no" and len(clean.commit) == 40
    (tmp_path / "clone" / "lesson.ipynb").write_text("{saved}")
    assert tracking.provenance().dirty == "no"
    (package / "code.py").write_text("x = 2\n")
    dirty = tracking.provenance()
    assert dirty.dirty == "yes" and dirty.changed == ("mlops_course/code.py",)
    assert "+x = 2" in dirty.diff


def test_provenance_when_there_is_no_repository_then_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "CLONE", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = tracking.provenance()
    assert (found.commit, found.dirty, found.changed) == ("unknown", "unknown", ())


def test_copy_of_when_made_then_neither_store_sees_what_the_other_does(store, logged):
    _, run_id, uri = logged
    copy = tracking.copy_of(store, "copy")
    assert copy.client.get_run(run_id).data.params == store.client.get_run(run_id).data.params
    versions.register(copy, run_id, uri)
    made = tracking.start_run(copy, "in the copy", tracking.provenance(), {})
    copy.client.log_text(made, "text", "a.txt")
    assert versions.find(store, "none") is None and not store.client.search_registered_models()
    assert made not in {run.info.run_id for run in store.client.search_runs([store.experiment_id])}
    assert list(copy.workspace.artifacts.rglob("a.txt"))
    assert not list(store.workspace.artifacts.rglob("a.txt"))
    assert mlflow.get_tracking_uri() == store.workspace.tracking_uri


def test_copy_of_when_made_again_then_is_as_the_original_is_now(store):
    copy = tracking.copy_of(store, "copy")
    tracking.start_run(copy, "gone with the next copy", tracking.provenance(), {})
    kept = tracking.start_run(store, "kept", tracking.provenance(), {})
    again = tracking.copy_of(store, "copy")
    found = again.client.search_runs([again.experiment_id])
    assert [run.info.run_id for run in found] == [kept]


def test_copy_of_when_its_folder_was_deleted_and_mlflow_made_it_anew_then_copies_again(store):
    copy = tracking.copy_of(store, "copy")
    shutil.rmtree(copy.workspace.root)
    copy.workspace.artifacts.mkdir(parents=True)
    copy.workspace.database.touch()
    again = tracking.copy_of(store, "copy")
    assert again.client.get_experiment(again.experiment_id).name == tracking.EXPERIMENT


def test_copy_of_when_the_store_was_deleted_then_says_so(store):
    store.workspace.database.unlink()
    with pytest.raises(WorkspaceError, match=r"unable to open.*was deleted"):
        tracking.copy_of(store, "copy")
