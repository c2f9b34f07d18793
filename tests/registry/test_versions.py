"""The registry's versions: registering, finding, and where one comes from."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date

import mlflow
import pytest

from mlops_course.core.errors import ModelError, RegistryError, WorkspaceError
from mlops_course.core.workspace import open_workspace
from mlops_course.data.flights import fingerprint, load_flights
from mlops_course.registry import versions
from mlops_course.registry.versions import MODEL_NAME
from mlops_course.training import tracking
from mlops_course.training.model import files_digest, load_model
from mlops_course.training.trainer import TrainingConfig, train


@pytest.fixture(scope="module")
def january(shared_workspace):
    return load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 14))


@pytest.fixture(scope="module")
def result(january):
    return train(january, TrainingConfig(max_iter=5))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, shared_workspace, january, result):
    """A workspace with one run and its model, a copy of its folder, and what was logged."""
    root = tmp_path_factory.mktemp("versions") / "workspace"
    workspace = open_workspace(root, cache=shared_workspace.cache)
    store = tracking.connect(workspace)
    logged = tracking.log_training(
        store, tracking.provenance(), result, january, {}, name="trained", seed=4, parent=""
    )
    return workspace, shutil.copytree(root, root.with_name("copy")), logged


@pytest.fixture
def store(prepared):
    """The store with the run and no version yet."""
    workspace, copy, _ = prepared
    shutil.rmtree(workspace.root)
    shutil.copytree(copy, workspace.root)
    return tracking.connect(workspace)


@pytest.fixture
def logged(prepared):
    """The run's id and the model's URI."""
    return prepared[2]


@pytest.fixture
def version(store, logged):
    return versions.register(store, *logged)


def test_register_when_repeated_then_counts_on_and_no_alias_moves(store, logged, version):
    again = versions.register(store, *logged)
    assert (version.version, again.version) == ("1", "2")
    assert version.run_id == again.run_id == logged[0]
    assert versions.find(store) is None


def test_version_when_registered_then_its_folder_holds_the_model(version, result, january):
    some = january.iloc[:50]
    told = load_model(version.path).probability(some)
    assert told.tolist() == result.model.probability(some).tolist()


def test_find_when_no_model_was_ever_registered_then_there_is_none(store):
    assert versions.find(store) is None


def test_find_when_an_alias_points_somewhere_then_returns_that_version(store, logged, version):
    versions.register(store, *logged)
    store.client.set_registered_model_alias(MODEL_NAME, "challenger", "1")
    assert versions.find(store, "challenger") == version
    assert versions.find(store, "champion") is None


def test_resolve_when_the_alias_points_at_none_then_says_what_to_do(store, version):
    with pytest.raises(RegistryError, match=r"No version of push-back is champion.*Promote"):
        versions.resolve(store)
    store.client.set_registered_model_alias(MODEL_NAME, "champion", "1")
    assert versions.resolve(store) == version


def test_resolve_when_the_store_was_deleted_then_says_so_and_not_that_there_is_none(store):
    store.workspace.database.unlink()
    with pytest.raises(WorkspaceError, match=r"could not say which version.*first cell"):
        versions.resolve(store)


def test_resolve_when_the_store_is_locked_then_says_so_at_once(store, version):
    with closing(sqlite3.connect(store.workspace.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(WorkspaceError, match="locked by another program"):
            versions.resolve(store)


def test_resolve_when_the_store_fails_meanwhile_then_says_what_could_not_be_read(
    store, version, monkeypatch
):
    def fails(*_):
        raise mlflow.MlflowException("(sqlite3.OperationalError) database is locked")

    monkeypatch.setattr(store.client, "get_model_version_by_alias", fails)
    with pytest.raises(WorkspaceError, match="could not say which version is champion"):
        versions.resolve(store)


@pytest.mark.parametrize("number", ["1", 1])
def test_get_when_given_a_number_or_its_text_then_returns_the_version(store, version, number):
    assert versions.get(store, number) == version


@pytest.mark.parametrize(
    "number", ["2", "latest", "", "-1", "0", "01", " 1", "1e0", "\u0661", "9" * 23, "9" * 10_000]
)
def test_get_when_there_is_no_such_version_then_says_so(store, version, number):
    with pytest.raises(RegistryError, match=r"There is no version .*of push-back") as missing:
        versions.get(store, number)
    assert number.strip()[:190] in str(missing.value) and len(str(missing.value)) < 500


def test_register_when_called_then_the_digest_of_the_files_is_kept_in_the_registry(store, version):
    assert version.files == files_digest(version.path)
    kept = store.client.get_model_version(MODEL_NAME, "1").tags
    assert kept == {versions.FILES: version.files}
    assert versions.get(store, "1") == version


@pytest.mark.parametrize("file", ["MLmodel", "model.skops"])
def test_resolve_when_files_have_changed_since_they_were_registered_then_refuses_them(
    store, version, file
):
    for alias in ("champion", "challenger"):
        store.client.set_registered_model_alias(MODEL_NAME, alias, "1")
    with (version.path / file).open("ab") as changed:
        changed.write(b"\n")
    for ask in (versions.find, versions.resolve):
        for alias in ("champion", "challenger"):
            with pytest.raises(ModelError, match="have changed since it was registered"):
                ask(store, alias)
    assert versions.version_at(store) == "1"
    (version.path / file).unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        versions.resolve(store)


def test_find_when_mlflow_itself_has_read_the_files_or_they_were_moved_then_they_are_the_same(
    store, version
):
    store.client.set_registered_model_alias(MODEL_NAME, "champion", "1")
    mlflow.sklearn.load_model(f"models:/{MODEL_NAME}@champion")  # leaves a file of its own there
    about = version.path / "MLmodel"
    text = about.read_text(encoding="utf-8")
    about.write_text(text.replace("artifact_path: ", "artifact_path: /moved"), encoding="utf-8")
    assert versions.find(store) == version


def test_version_when_made_with_mlflows_own_client_then_has_no_digest_until_it_is_sealed(
    store, logged
):
    store.client.create_registered_model(MODEL_NAME)
    store.client.create_model_version(MODEL_NAME, logged[1], logged[0])
    store.client.set_registered_model_alias(MODEL_NAME, "champion", "1")
    assert versions.find(store).files == ""
    sealed = versions.sealed(store, versions.get(store, "1"))
    assert sealed.files == files_digest(sealed.path) and versions.find(store) == sealed


def test_get_when_the_store_cannot_be_read_then_does_not_say_that_the_version_is_missing(
    store, version, monkeypatch
):
    def fails(*_):
        raise mlflow.MlflowException("(sqlite3.OperationalError) database is locked")

    monkeypatch.setattr(store.client, "get_model_version", fails)
    with pytest.raises(WorkspaceError, match="database is locked"):
        versions.get(store, "1")


def test_lineage_when_asked_for_a_version_then_leads_to_data_code_and_seed(
    store, version, logged, january, result
):
    origin = tracking.provenance()
    assert versions.lineage(store, "1") == {
        "version": "1",
        "run": logged[0],
        "dataset version": fingerprint(january),
        "commit": origin.commit,
        "uncommitted changes": origin.dirty,
        "seed": "4",
        "model digest": result.digest,
    }
    with pytest.raises(RegistryError, match="There is no version 9"):
        versions.lineage(store, "9")


def test_lineage_when_the_run_was_deleted_for_good_then_says_that_it_is_gone(
    store, version, logged
):
    store.client.delete_run(logged[0])
    command = [sys.executable, "-m", "mlflow", "gc", "--run-ids", logged[0]]
    subprocess.run([*command, "--backend-store-uri", store.workspace.tracking_uri], check=True)
    with pytest.raises(RegistryError, match=r"The run that made version 1 .* is gone.*again"):
        versions.lineage(store, "1")
    assert versions.get(store, "1") == version


def test_lineage_when_the_run_is_in_the_bin_then_is_told_as_before(store, version, logged):
    before = versions.lineage(store, "1")
    store.client.delete_run(logged[0])
    assert versions.lineage(store, "1") == before


def test_lineage_when_the_run_recorded_little_then_says_unknown(store, logged):
    run_id = store.client.create_run(store.experiment_id).info.run_id
    made = versions.register(store, run_id, logged[1])
    found = versions.lineage(store, made.version)
    assert found == {
        "version": "1",
        "run": run_id,
        "dataset version": "unknown",
        "commit": "unknown",
        "uncommitted changes": "unknown",
        "seed": "unknown",
        "model digest": "unknown",
    }
