"""Lesson 03's folder of tests runs anywhere, and each of its tests is red on the bug it is for."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest
from plain import plain_environment
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler

from mlops_course.data.features import CATEGORICAL, NUMERIC
from mlops_course.data.flights import labelled, load_flights

CLONE = Path(__file__).parents[2]
FOLDER = CLONE / "notebooks" / "03_tests"
CUT = pd.Timestamp("2013-03-16")
LAST = pd.Timestamp("2013-03-31")
DAY = pd.Timedelta(days=1)
NO_TEST_RED, SOME_TEST_RED, MISUSED = 0, 1, 4
OUTCOME = re.compile(r"^(PASSED|FAILED|ERROR) \S*::(\w+)(?:\[(.+?)\])?", re.MULTILINE)

# Runs the tests once a folder in one process, which imports once what they need.
DRIVER = """
import sys
import pytest

for call in sys.argv[1:]:
    print("called", call, flush=True)
    status = pytest.main([*call.split(), "-rA", "--tb=line", "-p", "no:cacheprovider"])
    print("status", int(status), flush=True)
"""

# Each fault of the table, and the test that is for it.
OF_TABLE = {
    "out of range": (
        lambda rows: rows.assign(pressure=rows["pressure"].fillna(-9999)),
        "test_table_keeps_to_the_schema",
    ),
    "gaps": (
        lambda rows: rows.assign(visib=rows["visib"].where(rows.index % 2 == 0)),
        "test_table_keeps_to_the_schema",
    ),
    "hours": (
        lambda rows: rows.assign(dep_delay=rows["dep_delay"] / 60),
        "test_table_keeps_to_the_schema",
    ),
    "swapped": (
        lambda rows: rows.assign(temp=rows["dewp"], dewp=rows["temp"]),
        "test_table_keeps_to_the_schema",
    ),
    "twice": (lambda rows: pd.concat([rows, rows.tail(50)]), "test_table_keeps_to_the_schema"),
    "no LGA": (
        lambda rows: rows[rows["origin"] != "LGA"],
        "test_airport_delivers_enough_flights[LGA]",
    ),
    "recoded": (
        lambda rows: rows.assign(
            dest=rows["dest"]
            .astype(str)
            .where(rows["part"] == "train", "K" + rows["dest"].astype(str))
        ),
        "test_few_categories_are_unknown[dest]",
    ),
    "a day short": (lambda rows: rows[rows["date"] != CUT + DAY], "test_no_day_is_missing"),
    "stale": (lambda rows: rows[rows["date"] <= LAST - 7 * DAY], "test_table_is_fresh"),
    "mixed": (
        lambda rows: rows.assign(part=rows["part"].where(rows["date"] != LAST, "train")),
        "test_training_ends_before_the_holdout_begins",
    ),
}


def pipeline(rows, *, numbers="passthrough", unknown=np.nan, classifier=None, **settings):
    """Return a model as the lesson makes it, or one with a fault."""
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=unknown)
    encoder = make_column_transformer((codes, list(CATEGORICAL)), (numbers, list(NUMERIC)))
    encoder.set_params(verbose_feature_names_out=False).set_output(transform="pandas")
    settings = {"monotonic_cst": {"dep_delay": 1}, **settings}
    usual = HistGradientBoostingClassifier(max_iter=40, early_stopping=False, **settings)
    return make_pipeline(encoder, classifier or usual).fit(rows, rows["late"])


def by_position(rows):
    """Return a model that knows its columns by their places alone."""
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    places = [[rows.columns.get_loc(name) for name in names] for names in (CATEGORICAL, NUMERIC)]
    encoder = make_column_transformer((codes, places[0]), ("passthrough", places[1]))
    usual = HistGradientBoostingClassifier(max_iter=5, early_stopping=False)
    return make_pipeline(encoder.set_output(transform="pandas"), usual).fit(
        rows.to_numpy(), rows["late"].to_numpy()
    )


def turned_for_one_airline(rows):
    """Return a model that learned the labels of one airline the wrong way round."""
    turned = rows["carrier"] == "EV"
    return pipeline(rows.assign(late=rows["late"].where(~turned, 1 - rows["late"])))


# Each faulty model, and the test that is for it.
OF_MODEL = {
    "free": (
        lambda rows: pipeline(rows, monotonic_cst=None),
        "test_more_delay_never_lowers[5]",
    ),
    "scaled": (
        lambda rows: pipeline(rows, numbers=StandardScaler()),
        "test_numbers_stay_as_they_are",
    ),
    "zeros": (
        lambda rows: pipeline(rows, numbers=SimpleImputer(strategy="constant", fill_value=0.0)),
        "test_what_is_missing_stays_missing[pressure]",
    ),
    "unknown": (
        lambda rows: pipeline(rows, unknown=-1),
        "test_unknown_airline_is_missing_and_no_other_one",
    ),
    "by position": (by_position, "test_columns_are_found_by_name"),
    "never": (
        lambda rows: pipeline(rows, classifier=DummyClassifier(strategy="constant", constant=0)),
        "test_model_is_not_worse_than_the_rule",
    ),
    "always": (
        lambda rows: pipeline(rows, classifier=DummyClassifier(strategy="constant", constant=1)),
        "test_clear_cases_are_clear[-5-0-0.3]",
    ),
    "one airline": (turned_for_one_airline, "test_airline_does_not_lose_to_the_rule[EV]"),
    "company": (
        lambda rows: pipeline(rows, numbers=FunctionTransformer(pd.DataFrame.rank)),
        "test_company_does_not_matter",
    ),
}


@pytest.fixture(scope="module")
def flights(shared_workspace):
    rows = labelled(load_flights(shared_workspace, "2013-02-18", LAST.date(), extra=("flight",)))
    return rows.assign(part=np.where(rows["date"] < CUT, "train", "holdout"))


@pytest.fixture(scope="module")
def place(tmp_path_factory, flights):
    """A folder with the tests, and below it one with a table and a model for each fault."""
    place = tmp_path_factory.mktemp("work")
    shutil.copytree(FOLDER, place / "tests", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    learned = flights[flights["part"] == "train"]
    clean = pipeline(learned)
    short = flights[flights["date"] <= LAST - 7 * DAY]
    write(place / "clean", flights, clean)
    write(place / "short", short, clean)
    for name, (change, _) in OF_TABLE.items():
        write(place / name.replace(" ", "_"), change(flights), clean)
    for name, (make, _) in OF_MODEL.items():
        write(place / name.replace(" ", "_"), flights, make(learned))
    return place


def write(folder, rows, model):
    folder.mkdir()
    rows.to_parquet(folder / "flights.parquet")
    joblib.dump(model, folder / "model.joblib")


def run_in(place, *words):
    return subprocess.run(
        [sys.executable, *words],
        cwd=place,
        env=plain_environment(place.parent / "plain"),
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def runs(place):
    """What pytest said of each folder, the data's tests on faulty tables and the others else."""
    files = {name: "tests/test_data.py" for name in OF_TABLE}
    files |= {name: "tests/test_features.py tests/test_model.py" for name in OF_MODEL}
    files |= {"clean": "tests", "short": "tests/test_model.py"}
    newest = f"--newest={LAST:%Y-%m-%d}"
    calls = [f"{file} --files={name.replace(' ', '_')} {newest}" for name, file in files.items()]
    files["no day given"] = "tests/test_data.py"
    calls.append("tests/test_data.py --files=clean")
    said = run_in(place, "-c", DRIVER, *calls)
    assert said.returncode == 0, said.stderr
    parts = said.stdout.split("called ")[1:]
    return {name: outcome(part) for name, part in zip(files, parts, strict=True)}


def outcome(said):
    red = {
        f"{test}[{value}]" if value else test
        for word, test, value in OUTCOME.findall(said)
        if word != "PASSED"
    }
    status = int(said.rpartition("status ")[2])
    return SimpleNamespace(red=red, status=status, said=said)


def test_folder_when_table_and_model_are_sound_then_no_test_is_red_and_small_airlines_are_skipped(
    runs,
):
    clean = runs["clean"]
    assert clean.status == NO_TEST_RED and not clean.red, clean.said
    assert "not judged: HA has 16 flights" in clean.said


@pytest.mark.parametrize("fault", [*OF_TABLE, *OF_MODEL])
def test_folder_when_a_fault_is_planted_then_the_test_that_is_for_it_is_red(runs, fault):
    _, test = (OF_TABLE | OF_MODEL)[fault]
    assert runs[fault].status == SOME_TEST_RED
    assert test in runs[fault].red, runs[fault].said


@pytest.mark.parametrize(
    "fault", ["no LGA", "recoded", "a day short", "twice", "gaps", "out of range", "stale"]
)
def test_folder_when_a_table_has_one_fault_then_no_other_test_of_data_is_red(runs, fault):
    assert runs[fault].red == {OF_TABLE[fault][1]}


def test_folder_when_every_fault_was_planted_then_no_test_has_stayed_green(runs):
    tests = set(re.findall(r"def (test_\w+)", "".join(map(read, FOLDER.glob("test_*.py")))))
    red = {test.partition("[")[0] for run in runs.values() for test in run.red}
    assert red == tests


def test_clear_cases_when_a_model_always_says_the_same_then_each_is_red_once(runs):
    red = runs["never"].red | runs["always"].red
    assert {test for test in red if test.startswith("test_clear")} == {
        "test_clear_cases_are_clear[-5-0-0.3]",
        "test_clear_cases_are_clear[10-0-0.5]",
        "test_clear_cases_are_clear[60-0.9-1]",
    }


def test_rule_when_the_days_do_not_tell_then_is_not_judged(runs):
    short = runs["short"]
    assert re.search(r"not judged: between -\d\.\d\d and \+\d\.\d\d points", short.said)
    assert "test_model_is_not_worse_than_the_rule" not in short.red


def test_schema_when_a_range_is_broken_then_says_which_in_a_few_lines(runs):
    said = runs["out of range"].said
    assert "in_range(950, 1060)" in said
    assert len(said) < 3_000


def test_schema_when_delays_come_in_hours_then_names_the_limits_of_the_list(runs):
    assert "5% to 50% leave over 15 minutes late" in runs["hours"].said


def test_freshness_when_no_day_is_given_then_is_not_judged(runs):
    assert runs["no day given"].status == NO_TEST_RED
    assert "not judged: say by --newest=" in runs["no day given"].said


def test_folder_when_there_is_nothing_to_test_then_says_what_is_missing(place):
    said = run_in(place, "-m", "pytest", "tests", "-p", "no:cacheprovider")
    assert said.returncode == MISUSED
    assert "has no flights.parquet; say by --files=" in said.stderr


def test_folder_when_read_then_names_nothing_of_the_course():
    assert not [path for path in FOLDER.rglob("*.py") if "mlops_course" in read(path)]


def test_clone_when_its_notebooks_are_collected_then_the_folder_is_left_out():
    command = ["-m", "pytest", "--collect-only", "-q", "--disable-plugin-autoload"]
    command += ["-p", "nbval.plugin", "--nbval", "notebooks"]
    done = subprocess.run([sys.executable, *command], cwd=CLONE, capture_output=True, text=True)
    assert "03_testing_data_and_models.ipynb" in done.stdout, done.stderr
    assert "03_tests" not in done.stdout


def read(path):
    return path.read_text(encoding="utf-8")
