"""Stage props: models made for a lesson or a test, which no real pipeline would make."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from mlops_course.core.workspace import check_store
from mlops_course.registry.versions import Registered, register
from mlops_course.training.model import DelayModel
from mlops_course.training.tracking import (
    Store,
    connect,
    log_training,
    provenance,
    save_model,
)
from mlops_course.training.trainer import TrainingConfig, train


def train_candidate(
    store: Store, rows: pd.DataFrame, claimed: pd.DataFrame | None = None, **settings: Any
) -> Registered:
    """Train on rows, log the training, and register what came out; no alias moves.

    Parameters
    ----------
    claimed
        The rows that the run is to name as its data set, if it is to lie about it.
    settings
        Those of `training.TrainingConfig`.

    Raises
    ------
    WorkspaceError
        If the store is locked, damaged or deleted.
    """
    check_store(store.workspace)
    result = train(rows, TrainingConfig(**settings))
    connect(store.workspace)
    run_id, uri = log_training(
        store,
        provenance(),
        result,
        rows if claimed is None else claimed,
        {},
        name="candidate",
        seed=result.config.random_state,
        parent="",
    )
    return register(store, run_id, uri)


@contextmanager
def saved(model: DelayModel) -> Iterator[Path]:
    """Save a model as MLflow's files in a temporary folder that a service can load."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "model"
        save_model(model, path)
        yield path
