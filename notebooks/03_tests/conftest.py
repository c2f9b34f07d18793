"""What the tests share: the table, the model, and the folder that holds both.

    pytest 03_tests --files FOLDER

The folder, by default the one you are in, has two files. ``flights.parquet`` has a row a flight:
``part`` ("train" or "holdout"), ``date``, ``late`` (1 or 0) and the features. ``model.joblib`` is a
scikit-learn pipeline that takes the features. Such a file is code: load only your own. The tests
need pandas, pandera and scikit-learn besides pytest.

Exit status: 0 if no test is red, 1 if one is, 4 if a file is missing. A test that is skipped could
not judge, and pytest counts it as neither.
"""

from pathlib import Path

import joblib
import pandas as pd
import pytest

TABLE = "flights.parquet"
MODEL = "model.joblib"


def pytest_addoption(parser):
    """Add the option that says where the files are."""
    parser.addoption("--files", type=Path, default=Path("."), help=f"folder of {TABLE}, {MODEL}")


def pytest_sessionstart(session):
    """End at once if there is nothing to test."""
    folder = session.config.getoption("--files")
    for name in (TABLE, MODEL):
        if not (folder / name).exists():
            raise pytest.UsageError(f"{folder} has no {name}; say by --files which folder has it.")


@pytest.fixture(scope="session")
def folder(request):
    """Return the folder that holds what is tested."""
    return request.config.getoption("--files")


@pytest.fixture(scope="session")
def flights(folder):
    """Return the whole table."""
    return pd.read_parquet(folder / TABLE).reset_index(drop=True)


@pytest.fixture(scope="session")
def train(flights):
    """Return the rows that the model has learned from."""
    return flights[flights["part"] == "train"]


@pytest.fixture(scope="session")
def holdout(flights):
    """Return the rows that it has not seen."""
    return flights[flights["part"] == "holdout"]


@pytest.fixture(scope="session")
def model(folder):
    """Return the model."""
    return joblib.load(folder / MODEL)
