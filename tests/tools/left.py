"""What lessons leave in a workspace, apart from what differs from one time to the next."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from mlops_course.core.workspace import open_workspace
from mlops_course.course import ml_test_score
from mlops_course.registry import promotions, versions
from mlops_course.training import tracking

VOLATILE = re.compile(r"seconds|time|commit|\bid\b|dirty|changed|environment|mlflow\.(user|source)")
DIGESTS = ("dataset_version", "model_digest", "predictions_digest")
OF_ONE_PROMOTION = {"at", "evidence", "previous", "digest"}


def left_behind(root: Path, before: str) -> dict[str, Any]:
    """Return what the lessons up to one, by its number, have left in their workspace."""
    store = tracking.connect(open_workspace(root))
    client = store.client
    experiments = {one.name: one.experiment_id for one in client.search_experiments()}
    course = client.get_experiment_by_name(tracking.EXPERIMENT)
    assert course is not None
    return {
        "runs": {
            name: [_of_run(run) for run in client.search_runs([number], order_by=["start_time"])]
            for name, number in sorted(experiments.items())
            if "lesson-" <= name < f"lesson-{before}"
        },
        "models": {
            model.name: (
                {
                    alias: _of_version(client, model.name, version)
                    for alias, version in sorted(model.aliases.items())
                },
                len(client.search_model_versions(f"name='{model.name}'")),
            )
            for model in client.search_registered_models()
        },
        "promotions": [
            {name: value for name, value in vars(entry).items() if name not in OF_ONE_PROMOTION}
            for entry in promotions.history(store)
        ],
        "audit": promotions.audit(store).passed,
        "score": ml_test_score.evidence(store.workspace),
        "tags": sorted(course.tags),
    }


def _of_run(run: Run) -> tuple[Any, ...]:
    inputs = [one.dataset.digest for one in run.inputs.dataset_inputs]
    name, status = run.info.run_name, run.info.status
    digests = {key: run.data.tags[key] for key in DIGESTS if key in run.data.tags}
    return name, status, inputs, digests, _steady(run.data.params), _steady(run.data.metrics)


def _of_version(client: MlflowClient, name: str, version: str) -> tuple[Any, ...]:
    """Return number, tags and run of a version; of its files skops writes other bytes each time."""
    kept = client.get_model_version(name, version)
    tags = {name: text for name, text in kept.tags.items() if name != versions.FILES}
    return kept.version, tags, kept.description, _of_run(client.get_run(kept.run_id))


def _steady(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in sorted(values.items()) if not VOLATILE.search(key)}
