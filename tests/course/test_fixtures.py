from datetime import date

import mlflow
import pytest

from mlops_course.course.fixtures import log_candidate, register_four
from mlops_course.data.flights import draw_days, fingerprint, labelled, load_flights
from mlops_course.registry import exams, versions
from mlops_course.registry.evidence import verdicts_on
from mlops_course.training import tracking
from mlops_course.training.model import load_model, model_digest


@pytest.mark.parametrize("seed", [0, 7])
def test_four_versions_when_registered_then_each_fails_the_one_comparison_it_is_made_for(
    workspace, seed
):
    store = tracking.connect(workspace)
    store.client.create_registered_model(versions.MODEL_NAME)
    loaded = load_flights(workspace, date(2013, 1, 1), date(2013, 3, 31))
    past = loaded[loaded["date"] < "2013-03-18"]
    exam = labelled(loaded[loaded["date"] >= "2013-03-18"])
    due = fingerprint(draw_days(past, seed)), exams.describe(exam).fingerprint
    wrong = {}
    for letter, version in register_four(store, past, exam, seed).items():
        told = versions.lineage(store, version.version)
        ((_, verdict),) = verdicts_on(store, version.version)
        model = load_model(versions.get(store, version.version).path)
        assert verdict.passed and told["seed"] == str(seed)
        wrong[letter] = {
            *(["rows"] if told["dataset version"] != due[0] else []),
            *(["verdict"] if verdict.exam != due[1] else []),
            *(["files"] if told["model digest"] != model_digest(model.estimator) else []),
        }
    assert wrong == {"A": {"files"}, "B": {"verdict"}, "C": set(), "D": {"rows"}}


def test_candidate_when_logged_then_its_run_names_rows_seed_and_model_and_nothing_is_registered(
    workspace,
):
    store = tracking.connect(workspace)
    rows = load_flights(workspace, date(2013, 1, 7), date(2013, 1, 8))
    exam = labelled(load_flights(workspace, date(2013, 1, 9), date(2013, 1, 9)))
    model, run_id, uri = log_candidate(store, rows, exam, 4, max_iter=3)
    run = store.client.get_run(run_id).data
    assert run.params["seed"] == run.params["random_state"] == "4"
    assert run.params["max_iter"] == "3"
    assert run.tags["dataset_version"] == fingerprint(rows)
    assert run.tags["model_digest"] == model_digest(model.estimator)
    right = (model.probability(exam) >= 0.5) == (exam["late"] == 1)
    assert run.metrics["accuracy"] == pytest.approx(right.mean())
    assert model_digest(mlflow.sklearn.load_model(uri)) == model_digest(model.estimator)
    assert not store.client.search_registered_models()
