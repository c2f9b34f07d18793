"""What the tests share: the table, the model, and the folder that holds both.

    pytest 03_tests --files=FOLDER --newest=2013-03-31

Write both with ``=``: before pytest has read this file it takes what follows a blank for another
folder of tests.

FOLDER, by default the one you are in, has two files. ``flights.parquet`` has a row a flight:
``part`` ("train" or "holdout"), ``date``, ``late`` (1 or 0) and the features. ``model.joblib`` is a
scikit-learn pipeline that takes the features. Such a file is code: load only your own.

The tests need pandas, pandera and scikit-learn, pyarrow to read Parquet, and pytest 8.4 or later,
which knows the ``--disable-plugin-autoload`` of ``pytest.ini``.

``--newest`` is the newest day that the table must have: in a job of every night, yesterday. Without
it, whether the table is fresh is not judged.

Exit status: 0 if no test is red, 1 if one is, 4 if a file is missing. A test that is skipped could
not judge, and pytest counts it as neither.
"""

from pathlib import Path

import joblib
import pandas as pd
import pytest

# Change these: what is true of your table and what your model must keep to.
TABLE = "flights.parquet"
MODEL = "model.joblib"
LATE = 15  # minutes; the rule is: what left later than this arrives later than this
LEAVE_LATE = (0.05, 0.5)  # the share that leaves late where delays come in minutes
MAX_MISSING = 0.35  # of a column
MAX_UNKNOWN = 0.05  # the share of categories that training has not seen
MIN_FLIGHTS_A_DAY = 150  # of an airport
MARGIN = 0.005  # of accuracy; the model must be shown to lose less than this to the rule
MIN_FLIGHTS = 500  # an airline with fewer is not judged
CLEAR = [(-5, 0, 0.3), (10, 0, 0.5), (60, 0.9, 1)]  # minutes, and what is told: at least, at most
AIRPORTS = ["EWR", "JFK", "LGA"]
AIRLINES = ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "UA", "US", "VX", "WN"]
CATEGORICAL = ["carrier", "origin", "dest"]
WEATHER = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]  # may be missing
APART = ["date", "carrier", "flight", "origin"]  # together they tell rows apart
RANGES = {
    "dep_delay": (-60, 2_000),  # minutes
    "distance": (50, 6_000),  # miles
    "hour": (0, 23),
    "day_of_week": (0, 6),
    "temp": (-20, 120),  # degrees Fahrenheit, as the next
    "dewp": (-30, 90),
    "humid": (0, 100),
    "wind_speed": (0, 100),
    "precip": (0, 5),
    "pressure": (950, 1_060),
    "visib": (0, 10),
}


def pytest_addoption(parser):
    """Add the option that says where the files are."""
    parser.addoption("--files", type=Path, default=Path("."), help=f"folder of {TABLE}, {MODEL}")
    parser.addoption("--newest", type=pd.Timestamp, help="the newest day that the table must have")


def pytest_sessionstart(session):
    """End at once if there is nothing to test."""
    folder = session.config.getoption("--files")
    for name in (TABLE, MODEL):
        if not (folder / name).exists():
            raise pytest.UsageError(f"{folder} has no {name}; say by --files= which folder has it.")


@pytest.fixture(scope="session")
def folder(request):
    """Return the folder that holds what is tested."""
    return request.config.getoption("--files")


@pytest.fixture(scope="session")
def newest(request):
    """Return the newest day that the table must have, or None."""
    return request.config.getoption("--newest")


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
