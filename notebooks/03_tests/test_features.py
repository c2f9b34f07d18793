"""The feature code by itself: one flight made by hand, and what must become of it."""

import numpy as np
import pytest
from conftest import WEATHER


@pytest.fixture
def features(model):
    """Return the pipeline without its last step: what turns a flight into numbers."""
    return model[:-1]


@pytest.fixture
def flight(holdout):
    """Return one flight, as a table of one row."""
    return holdout.head(1)


def test_numbers_stay_as_they_are(features, flight):
    late = flight.assign(dep_delay=42.0)
    assert features.transform(late)["dep_delay"].item() == 42.0


@pytest.mark.parametrize("name", WEATHER)
def test_what_is_missing_stays_missing(features, flight, name):
    blind = flight.assign(**{name: np.nan})
    assert np.isnan(features.transform(blind)[name].item())


def test_unknown_airline_is_missing_and_no_other_one(features, flight):
    new = flight.assign(carrier="??")
    assert np.isnan(features.transform(new)["carrier"].item())


def test_columns_are_found_by_name(features, flight):
    turned = flight[flight.columns[::-1]]
    assert features.transform(turned).equals(features.transform(flight))
