"""Stage props: models made for a lesson or a test, which no real pipeline would make."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from mlflow.entities.model_registry import ModelVersion

from mlops_course.core.workspace import check_store
from mlops_course.data.flights import draw_days, labelled
from mlops_course.data.incidents import INCIDENTS
from mlops_course.registry.evidence import log_verdict
from mlops_course.registry.exams import describe
from mlops_course.registry.versions import MODEL_NAME, Registered, register
from mlops_course.release.comparison import compare
from mlops_course.training.evaluation import evaluate
from mlops_course.training.model import DelayModel
from mlops_course.training.tracking import (
    Store,
    connect,
    log_training,
    provenance,
    save_model,
)
from mlops_course.training.trainer import TrainingConfig, train


def log_candidate(
    store: Store, rows: pd.DataFrame, exam: pd.DataFrame, seed: int, **settings: Any
) -> tuple[DelayModel, str, str]:
    """Train on rows, and log the training with its figures on an exam; nothing is registered.

    MLflow's own functions work in the store from then on.

    Parameters
    ----------
    rows, exam
        Flights to learn from, and labelled flights to be measured on.
    seed
        The seed that drew the rows; the training's own random numbers begin with it, too.
    settings
        Those of `training.TrainingConfig`.

    Returns
    -------
    The model, its run's id and its URI.

    Raises
    ------
    WorkspaceError
        If the store is locked, damaged or deleted.
    """
    check_store(store.workspace)
    result = train(rows, TrainingConfig(random_state=seed, **settings))
    figures = evaluate(exam["late"].to_numpy(), result.model.probability(exam))
    connect(store.workspace)
    run_id, uri = log_training(
        store, provenance(), result, rows, figures, name=f"seed {seed}", seed=seed, parent=""
    )
    return result.model, run_id, uri


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


def register_four(
    store: Store, past: pd.DataFrame, exam: pd.DataFrame, seed: int
) -> dict[str, ModelVersion]:
    """Register four versions that claim to have learned from one draw, three of them wrongly so.

    Each run holds a verdict that passed. One version is what its record says; of the others one
    learned from changed rows, one was judged on the rows that it learned from, and one has the
    files of another model. The letters A to D are shuffled over them.

    Parameters
    ----------
    past, exam
        Flights to draw from, and labelled flights to judge on.
    seed
        Draws the days.
    """
    check_store(store.workspace)
    connect(store.workspace)
    rows = draw_days(past, seed)
    sound = _learn(store, rows, seed, exam, random_state=seed, max_iter=10)
    other = _learn(store, rows, seed, exam, random_state=seed, max_iter=10, learning_rate=0.4)
    changed = INCIDENTS["celsius"].apply(rows)
    made = {
        "sound": sound,
        "files": (other[0], sound[1]),
        "verdict": _learn(store, rows, seed, labelled(rows), random_state=seed, max_iter=12),
        "rows": _learn(store, changed, seed, exam, random_state=seed, max_iter=10),
    }
    create = store.client.create_model_version
    return {
        letter: create(MODEL_NAME, uri, run_id)
        for letter, (run_id, uri) in sorted(zip("CABD", made.values(), strict=True))
    }


def _learn(
    store: Store, rows: pd.DataFrame, seed: int, exam: pd.DataFrame, **settings: Any
) -> tuple[str, str]:
    """Train, log, and keep a verdict against the rule; return the run's id and the model's URI."""
    result = train(rows, TrainingConfig(**{"learning_rate": 0.3, **settings}))
    run_id, uri = log_training(
        store, provenance(), result, rows, {}, name="waiting", seed=seed, parent=""
    )
    verdict = compare(exam, result.model.probability(exam))
    log_verdict(store, run_id, replace(verdict, exam=describe(exam).fingerprint))
    return run_id, uri


@contextmanager
def saved(model: DelayModel) -> Iterator[Path]:
    """Save a model as MLflow's files in a temporary folder that a service can load."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "model"
        save_model(model, path)
        yield path
