"""The model registry: versions of one model, and the alias that says which one serves.

A version is a run's model with a number; ``champion`` is the one in production. Who moves it
and why is the business of `promotions`.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mlops_course.core.errors import RegistryError, WorkspaceError
from mlops_course.core.workspace import check_store
from mlops_course.serving.routing import CHAMPION
from mlops_course.training.tracking import STORE_ERRORS, Store, explain

MODEL_NAME = "push-back"
# The codes by which MLflow says that there is no such run, version or alias.
NOT_THERE = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


@dataclass(frozen=True)
class Registered:
    """A registered version: its number, the run it came from, and where its files are."""

    version: str
    run_id: str
    path: Path


def register(store: Store, run_id: str, model_uri: str) -> Registered:
    """Register a run's model as the next version; no alias moves."""
    try:
        store.client.create_registered_model(MODEL_NAME)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    created = store.client.create_model_version(MODEL_NAME, model_uri, run_id)
    return _describe(store, created)


def find(store: Store, alias: str = CHAMPION) -> Registered | None:
    """Return the version that ``alias`` points at, or None while there is none."""
    try:
        return _describe(store, store.client.get_model_version_by_alias(MODEL_NAME, alias))
    except MlflowException as error:
        if error.error_code in NOT_THERE:
            return None
        raise


def resolve(store: Store, alias: str = CHAMPION) -> Registered:
    """Return the version that an alias points at.

    Raises
    ------
    RegistryError
        If it points at none.
    WorkspaceError
        If the store is locked, damaged or deleted.
    """
    check_store(store.workspace)
    try:
        found = find(store, alias)
    except STORE_ERRORS as error:
        raise WorkspaceError(
            f"The registry could not say which version is {alias}.",
            "It is kept in the workspace's MLflow store, which has changed or is in use.",
            "Run the first cell again, which repairs it or says what to do; then this one.",
        ) from error
    if found is None:
        raise RegistryError(
            f"No version of {MODEL_NAME} is {alias}.",
            "A service serves the version that an alias of the registry points at.",
            "Promote a version first: run `mlops-course simulate`, or lesson 04.",
        )
    return found


def get(store: Store, version: str) -> Registered:
    """Return a version by its number.

    Raises
    ------
    RegistryError
        If there is no such version.
    WorkspaceError
        If the store cannot be read.
    """
    try:
        return _describe(store, store.client.get_model_version(MODEL_NAME, str(version)))
    except MlflowException as error:
        if error.error_code not in NOT_THERE:
            raise explain(error) from error
        raise RegistryError(
            f"There is no version {version} of {MODEL_NAME}.",
            "A version is made by registering a run's model.",
            "Register it, or choose one that `MlflowClient().search_model_versions()` lists.",
        ) from error


def lineage(store: Store, version: str) -> dict[str, str]:
    """Return where a version comes from: run, dataset version, commit, seed, model digest.

    Raises
    ------
    RegistryError
        If there is no such version, or its run is gone.
    """
    registered = get(store, version)
    try:
        run = store.client.get_run(registered.run_id)
    except MlflowException as error:
        raise RegistryError(
            f"The run that made version {version} of {MODEL_NAME} is gone.",
            "A registered version comes from a run of this store.",
            "Train and register the model again.",
        ) from error
    kept = {**run.data.params, **run.data.tags}
    facts = {
        "dataset version": "dataset_version",
        "commit": "mlflow.source.git.commit",
        "uncommitted changes": "git.dirty",
        "seed": "seed",
        "model digest": "model_digest",
    }
    found = {name: kept.get(key, "unknown") for name, key in facts.items()}
    return {"version": registered.version, "run": registered.run_id, **found}


def _describe(store: Store, found: ModelVersion) -> Registered:
    uri = store.client.get_model_version_download_uri(MODEL_NAME, found.version)
    return Registered(
        str(found.version), found.run_id or "", Path(url2pathname(urlparse(uri).path))
    )
