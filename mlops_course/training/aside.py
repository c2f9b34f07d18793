"""Working with another store beside the one that MLflow's own functions are pointed at."""

from collections.abc import Iterator
from contextlib import contextmanager

import mlflow

from mlops_course.core.workspace import Workspace


@contextmanager
def pointed_at(workspace: Workspace) -> Iterator[None]:
    """Point MLflow's own functions at a store for the block, and then back.

    Whoever opens a store points them at it (`tracking.connect`), and logging a model needs that.
    What is opened aside, for a drill or a trial, must not take a notebook's `mlflow.search_runs()`
    along. Where they were pointed at nothing before, they stay where the block left them.
    """
    tracking_uri = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else ""
    registry_uri = mlflow.get_registry_uri() if tracking_uri else ""
    mlflow.set_tracking_uri(workspace.tracking_uri)
    mlflow.set_registry_uri(workspace.tracking_uri)
    try:
        yield
    finally:
        if tracking_uri:
            mlflow.set_tracking_uri(tracking_uri)
            mlflow.set_registry_uri(registry_uri)
