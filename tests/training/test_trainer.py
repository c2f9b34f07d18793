import subprocess
import sys
from datetime import date

import numpy as np
import pytest

from mlops_course.core.errors import DataError, ParameterError
from mlops_course.data.flights import labelled, load_flights
from mlops_course.training.evaluation import baseline, evaluate
from mlops_course.training.trainer import TrainingConfig, train


@pytest.fixture(scope="module")
def january(shared_workspace):
    return load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 31))


@pytest.fixture(scope="module")
def february(shared_workspace):
    return labelled(load_flights(shared_workspace, date(2013, 2, 1), date(2013, 2, 28)))


@pytest.fixture(scope="module")
def fitted(january):
    return train(january)


def test_train_when_repeated_then_same_digest_and_same_predictions(january, february, fitted):
    again = train(january)
    assert again.digest == fitted.digest
    np.testing.assert_array_equal(
        again.model.probability(february), fitted.model.probability(february)
    )


def test_train_when_run_in_another_process_then_same_digest(fitted, shared_workspace):
    code = (
        "import sys; from datetime import date;"
        "from mlops_course.core.workspace import open_workspace;"
        "from mlops_course.data.flights import load_flights;"
        "from mlops_course.training.trainer import train;"
        "flights = load_flights(open_workspace(sys.argv[1]), date(2013, 1, 1), date(2013, 1, 31));"
        "print(train(flights).digest)"
    )
    command = [sys.executable, "-c", code, str(shared_workspace.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == fitted.digest


def test_train_when_rows_order_or_configuration_changes_then_another_digest(january, fitted):
    assert train(january.iloc[:-100]).digest != fitted.digest
    assert train(january, TrainingConfig(max_iter=59)).digest != fitted.digest
    flipped = january.assign(late=1 - january["late"])
    assert train(flipped).digest != fitted.digest


def test_train_when_only_the_seed_differs_then_same_model_since_nothing_is_random(january, fitted):
    assert train(january, TrainingConfig(random_state=1)).digest == fitted.digest


def test_train_when_flights_have_no_label_then_leaves_them_out(january, fitted):
    assert fitted.rows == january["late"].notna().sum() < len(january)


def test_model_when_asked_about_later_flights_then_beats_the_rule(february, fitted):
    late = february["late"].to_numpy()
    figures = evaluate(late, fitted.model.probability(february))
    rule = (baseline(february) == (late == 1)).mean()
    assert figures["accuracy"] > rule > 0.85
    assert figures["roc_auc"] > 0.85
    assert figures["accuracy"] == pytest.approx(
        ((fitted.model.probability(february) >= 0.5) == (late == 1)).mean()
    )


def test_train_when_too_few_or_one_sided_rows_then_says_what_it_needs(january):
    with pytest.raises(DataError, match="at least 500"):
        train(january.iloc[:100])
    with pytest.raises(DataError, match="some late and some not"):
        train(january[january["late"] == 0])


def test_train_when_scikit_learn_refuses_then_passes_its_reason_on(january):
    with pytest.raises(ParameterError, match="learning_rate"):
        train(january, TrainingConfig(learning_rate=-1.0))
