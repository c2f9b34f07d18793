"""The model as it is saved, read and called."""

import subprocess
import sys
from datetime import date

import numpy as np
import pytest

from mlops_course.core.errors import ModelError
from mlops_course.course.fixtures import saved
from mlops_course.data.flights import load_flights
from mlops_course.training.evaluation import evaluate, right_calls
from mlops_course.training.model import DECISION_THRESHOLD, called_late, load_model, model_digest
from mlops_course.training.trainer import TrainingConfig, train


@pytest.fixture(scope="module")
def flights(shared_workspace):
    return load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 7))


@pytest.fixture(scope="module")
def model(flights):
    return train(flights, TrainingConfig(max_iter=3)).model


@pytest.fixture
def folder(model):
    with saved(model) as path:
        yield path


def test_load_when_a_model_was_saved_then_it_is_the_same_model(model, folder, flights):
    again = load_model(folder)
    assert model_digest(again.estimator) == model_digest(model.estimator)
    assert again.vocabulary == model.vocabulary
    np.testing.assert_array_equal(again.probability(flights), model.probability(flights))


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("MLmodel", None, "No such file"),
        ("MLmodel", "broken: [", "ParserError"),
        ("MLmodel", "flavors: {}", "KeyError"),
        ("MLmodel", "", "TypeError"),
        ("model.skops", None, "No such file"),
        ("model.skops", "no archive", "BadZipFile"),
    ],
)
def test_load_when_files_are_missing_or_damaged_then_one_sentence_says_which(
    folder, file, content, why
):
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(ModelError, match=rf"cannot be read \({why}.*register the model again"):
        load_model(folder)


def test_model_when_imported_then_needs_neither_pandas_nor_mlflow():
    ask = (
        "import sys; sys.modules['pandas'] = sys.modules['mlflow'] = None;"
        "import mlops_course.training.model, mlops_course.serving.app"
    )
    subprocess.run([sys.executable, "-c", ask], check=True)


def test_calls_when_there_is_no_answer_or_no_label_then_nobody_was_right_or_wrong():
    probability = np.array([DECISION_THRESHOLD, 0.49, np.nan, 0.9])
    late = np.array([1.0, 1.0, 0.0, np.nan])
    assert called_late(probability).tolist() == [True, False, False, True]
    np.testing.assert_array_equal(right_calls(probability, late), [1.0, 0.0, np.nan, np.nan])


def test_figures_when_calls_are_cut_then_at_the_same_threshold():
    late, probability = np.array([1, 0, 1, 0]), np.array([DECISION_THRESHOLD, 0.2, 0.4, 0.1])
    figures = evaluate(late, probability)
    assert (figures["accuracy"], figures["recall"], figures["precision"]) == (0.75, 0.5, 1.0)
