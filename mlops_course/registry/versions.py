"""The model registry: versions of one model, and the alias that says which one serves.

A version is a run's model with a number; ``champion`` is the one in production. Who moves it
and why is the business of `promotions`. Of each version's files a digest is kept, so that what
an alias gives is what was registered.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mlops_course.core.errors import ModelError, RegistryError, WorkspaceError
from mlops_course.core.texts import short
from mlops_course.core.workspace import check_store
from mlops_course.serving.routing import CHAMPION
from mlops_course.training.model import check_files, files_digest
from mlops_course.training.tracking import STORE_ERRORS, Store, explain

MODEL_NAME = "push-back"
FILES = "files.sha256"
# What MLflow's store counts with; int() would read "1e3" and Arabic digits, too, or overflow.
NUMBER = re.compile("[1-9][0-9]{0,8}")
# The codes by which MLflow says that there is no such run, version or alias.
NOT_THERE = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


@dataclass(frozen=True)
class Registered:
    """A registered version.

    Attributes
    ----------
    version, run_id
        Its number, and the run it came from.
    path
        The folder of its files.
    files
        The digest of these files when it was registered; empty where nobody kept it, as for a
        version made with MLflow's own client and not promoted yet.
    """

    version: str
    run_id: str
    path: Path
    files: str = ""


def register(store: Store, run_id: str, model_uri: str) -> Registered:
    """Register a run's model as the next version, and keep its files' digest; no alias moves."""
    try:
        store.client.create_registered_model(MODEL_NAME)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    created = store.client.create_model_version(MODEL_NAME, model_uri, run_id)
    return sealed(store, _describe(store, created))


def sealed(store: Store, version: Registered) -> Registered:
    """Keep the digest of a version's files, if none is kept yet and there are any to read."""
    if version.files:
        return version
    digest = ""
    with suppress(ModelError):
        digest = files_digest(version.path)
        store.client.set_model_version_tag(MODEL_NAME, version.version, FILES, digest)
    return replace(version, files=digest)


def checked(version: Registered) -> Registered:
    """Return a version whose files are those that were registered, or of which no digest is kept.

    Raises
    ------
    ModelError
        If they have changed, or cannot be read.
    """
    if version.files:
        check_files(version.path, version.files)
    return version


def find(store: Store, alias: str = CHAMPION) -> Registered | None:
    """Return the version that ``alias`` points at, ready to be loaded; None while there is none.

    Raises
    ------
    ModelError
        If its files are not those that were registered.
    """
    found = _at(store, alias)
    return checked(_describe(store, found)) if found else None


def version_at(store: Store, alias: str = CHAMPION) -> str:
    """Return the number that ``alias`` points at, whatever became of the files; empty for none."""
    found = _at(store, alias)
    return str(found.version) if found else ""


def resolve(store: Store, alias: str = CHAMPION) -> Registered:
    """Return the version that an alias points at.

    Raises
    ------
    RegistryError
        If it points at none.
    ModelError
        If its files are not those that were registered.
    WorkspaceError
        If the store is locked, damaged or deleted.
    """
    check_store(store.workspace)
    try:
        found = find(store, alias)
    except STORE_ERRORS as error:
        raise WorkspaceError(
            f"The registry could not say which version is {short(alias)}.",
            "It is kept in the workspace's MLflow store, which has changed or is in use.",
            "Run the first cell again, which repairs it or says what to do; then this one.",
        ) from error
    if found is None:
        raise RegistryError(
            f"No version of {MODEL_NAME} is {short(alias)}.",
            "A service serves the version that an alias of the registry points at.",
            "Promote a version first: run `mlops-course simulate`, or lesson 04.",
        )
    return found


def get(store: Store, version: str) -> Registered:
    """Return a version by its number; its files are not looked at.

    Raises
    ------
    RegistryError
        If there is no such version.
    WorkspaceError
        If the store cannot be read.
    """
    missing = RegistryError(
        f"There is no version {short(version)} of {MODEL_NAME}.",
        "A version is made by registering a run's model.",
        "Register it, or choose one that `MlflowClient().search_model_versions()` lists.",
    )
    if not NUMBER.fullmatch(str(version)):
        raise missing
    try:
        return _describe(store, store.client.get_model_version(MODEL_NAME, str(version)))
    except MlflowException as error:
        if error.error_code in NOT_THERE:
            raise missing from error
        raise explain(error) from error


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


def _at(store: Store, alias: str) -> ModelVersion | None:
    try:
        return store.client.get_model_version_by_alias(MODEL_NAME, alias)
    except MlflowException as error:
        if error.error_code in NOT_THERE:
            return None
        raise


def _describe(store: Store, found: ModelVersion) -> Registered:
    uri = store.client.get_model_version_download_uri(MODEL_NAME, found.version)
    return Registered(
        str(found.version),
        found.run_id or "",
        Path(url2pathname(urlparse(uri).path)),
        found.tags.get(FILES, ""),
    )
