"""The model registry: versions of one model, and the alias that says which one serves.

A version is a run's model with a number; ``champion`` is the one in production, and only
`promote` moves it.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mlops_course.errors import RegistryError
from mlops_course.tracking import Store

MODEL_NAME = "push-back"
CHAMPION = "champion"


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
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise


def promote(store: Store, version: str, reason: str) -> str:
    """Make ``version`` the champion, keep the reason on it, and return the version it replaces.

    Raises
    ------
    RegistryError
        If there is no such version, or no reason is given.
    """
    if not reason.strip():
        raise RegistryError(
            f"Version {version} was not promoted: no reason was given.",
            "Every promotion says why, for whoever reads it later.",
            "Pass the reason, for instance the gate's verdict.",
        )
    previous = find(store, CHAMPION)
    try:
        store.client.set_model_version_tag(MODEL_NAME, version, "promotion.reason", reason[:5000])
        store.client.set_registered_model_alias(MODEL_NAME, CHAMPION, version)
    except MlflowException as error:
        raise RegistryError(
            f"There is no version {version} of {MODEL_NAME}.",
            "A version must be registered before it can be promoted.",
            "Register it, or choose one that `MlflowClient().search_model_versions()` lists.",
        ) from error
    return previous.version if previous else ""


def _describe(store: Store, found: ModelVersion) -> Registered:
    uri = store.client.get_model_version_download_uri(MODEL_NAME, found.version)
    return Registered(
        str(found.version), found.run_id or "", Path(url2pathname(urlparse(uri).path))
    )
