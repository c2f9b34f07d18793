"""The model as it is saved, read and called."""

import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import skops.io
from sklearn._loss import HalfPoissonLoss
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from mlops_course.core.errors import ModelError
from mlops_course.course.fixtures import saved
from mlops_course.data.flights import load_flights
from mlops_course.training.evaluation import evaluate, right_calls
from mlops_course.training.model import (
    DECISION_THRESHOLD,
    MAX_BYTES,
    TRUSTED_TYPES,
    called_late,
    check_files,
    files_digest,
    load_model,
    model_digest,
)
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


def rewrite(folder, change):
    """Save the estimator again, changed on purpose, as a file that skops itself would take."""
    estimator = skops.io.load(folder / "model.skops", TRUSTED_TYPES)
    (folder / "model.skops").write_bytes(skops.io.dumps(change(estimator)))


def edit(folder, old, new):
    about = (folder / "MLmodel").read_text(encoding="utf-8")
    assert old in about
    (folder / "MLmodel").write_text(about.replace(old, new), encoding="utf-8")


def with_a_foreign_object(estimator):
    estimator.extra = SimpleNamespace()
    return estimator


def pointing(field, value):
    """Return a change that lets the root of the first tree point elsewhere."""

    def change(estimator):
        estimator._predictors[0][0].nodes[field][0] = value
        return estimator

    return change


def test_load_when_the_file_allows_its_own_types_then_is_refused_by_the_courses_list(folder):
    rewrite(folder, with_a_foreign_object)
    edit(folder, f"- {TRUSTED_TYPES[0]}", f"- {TRUSTED_TYPES[0]}\n    - types.SimpleNamespace")
    with pytest.raises(ModelError, match=r"a type that is not trusted: types\.SimpleNamespace\. "):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda estimator: LogisticRegression(), "it holds a LogisticRegression"),
        (lambda estimator: ["estimator"], "it holds a list"),
        (pointing("left", 10**6), "points outside itself"),
        (pointing("right", 0), "points outside itself"),
        (pointing("feature_idx", 14), "points outside itself"),
        (pointing("feature_idx", -1), "points outside itself"),
        (pointing("is_categorical", 1), "asks for categories"),
    ],
)
def test_load_when_the_estimator_is_another_or_its_trees_lead_astray_then_is_refused(
    folder, change, why
):
    rewrite(folder, change)
    with pytest.raises(ModelError, match=why):
        load_model(folder)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("pickled_model: model.skops", "pickled_model: ../model.skops", "no skops file"),
        ("pickled_model: model.skops", "pickled_model: /etc/passwd", "no skops file"),
        ("serialization_format: skops", "serialization_format: cloudpickle", "no skops file"),
        ("    carrier:\n", "    carrier: 5\n    other:\n", "of carrier is no list of names"),
        ("    carrier:\n", "    carrier:\n    - [9E]\n", "of carrier is no list of names"),
        ("    carrier:\n", "    carrier:\n" + "    - XX\n" * 1_001, "more than 1,000 names"),
        ("    carrier:\n", "    other:\n", "KeyError"),
        ("metadata:", "deep: " + "[" * 5_000 + "]" * 5_000 + "\nmetadata:", "RecursionError"),
        ("metadata:", "made: !!python/object/apply:os.getcwd []\nmetadata:", "ConstructorError"),
        ("metadata:", "metadata:\n" + "x" * 2_000 + ": [", "ScannerError"),
    ],
)
def test_load_when_the_description_is_hostile_then_one_short_sentence_says_why(
    folder, old, new, why
):
    edit(folder, old, new)
    with pytest.raises(ModelError, match=why) as refused:
        load_model(folder)
    assert len(refused.value.happened) < 300 and "\n" not in refused.value.happened


def test_load_when_a_small_archive_would_unpack_to_much_then_is_refused_before_that(folder):
    with ZipFile(folder / "model.skops", "w", ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * (MAX_BYTES + 1))
    assert (folder / "model.skops").stat().st_size < 2**20
    with pytest.raises(ModelError, match="unpacked it is larger than 64 MB"):
        load_model(folder)


def test_load_when_a_file_is_too_large_or_none_then_is_refused_unread(folder):
    with (folder / "model.skops").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ModelError, match=r"model\.skops is larger than 64 MB"):
        load_model(folder)
    (folder / "model.skops").unlink()
    (folder / "model.skops").mkdir()
    with pytest.raises(ModelError, match=r"model\.skops is no file"):
        load_model(folder)


@pytest.mark.parametrize("file", ["MLmodel", "model.skops"])
def test_digest_when_a_file_was_changed_then_is_another_and_loading_says_so(folder, model, file):
    digest = files_digest(folder)
    assert model_digest(load_model(folder, digest).estimator) == model_digest(model.estimator)
    with (folder / file).open("ab") as changed:
        changed.write(b"\n")
    for ask in (load_model, check_files):
        with pytest.raises(ModelError, match="have changed since it was registered"):
            ask(folder, digest)


@pytest.mark.parametrize(
    "line",
    [
        "artifact_path: x\u2028metadata: {vocabulary: {carrier: [], origin: [], dest: []}}",
        "artifact_path: x\rmetadata: {vocabulary: {carrier: [], origin: [], dest: []}}",
        "artifact_path: file:///elsewhere",
        'artifact_path: "',
        "artifact_path: {",
    ],
)
def test_digest_when_a_line_says_a_place_a_second_time_then_is_another(folder, line):
    before = files_digest(folder)
    about = folder / "MLmodel"
    about.write_bytes(about.read_bytes() + f"{line}\n".encode())
    assert files_digest(folder) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda model: setattr(model, "_preprocessor", FunctionTransformer(np.log1p)),
        lambda model: setattr(model, "predict_proba", np.log1p),
        lambda model: setattr(model, "_loss", HalfPoissonLoss()),
        lambda model: setattr(model._bin_mapper, "make_known_categories_bitsets", np.log1p),
    ],
)
def test_load_when_a_file_brings_a_method_or_a_part_of_another_kind_then_is_refused(folder, change):
    estimator = load_model(folder).estimator
    change(estimator)
    skops.io.dump(estimator, folder / "model.skops")
    with pytest.raises(ModelError, match=r"what the file says|has methods of its own"):
        load_model(folder)


def test_digest_when_the_files_were_moved_then_is_the_same(folder):
    about = folder / "MLmodel"
    written = about.read_text(encoding="utf-8")
    digests = set()
    for place in ("file:///here/a%20b", "file:///elsewhere/"):
        about.write_text(f"artifact_path: {place}\n{written}", encoding="utf-8")
        digests.add(files_digest(folder))
    assert len(digests) == 1


def test_digest_when_models_differ_in_one_name_of_the_vocabulary_then_differs(folder, model):
    other = replace(model, vocabulary={**model.vocabulary, "origin": ["EWR", "JFK", "XXX"]})
    with saved(other) as path:
        shutil.copy(folder / "model.skops", path)
        assert files_digest(path) != files_digest(folder)


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
