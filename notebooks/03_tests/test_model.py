"""What must hold of the model: against a simple rule, airline by airline, and in its behaviour.

A rule is what any model must beat: a flight that left late arrives late (``LATE`` in conftest.py).
Flights of one day share its weather, so each bound goes by days, which it takes as independent.
"""

import numpy as np
import pytest
from conftest import AIRLINES, CLEAR, LATE, MARGIN, MIN_FLIGHTS
from scipy.stats import t


def bounds(gained, day, level=0.95):
    """Return the lower and the upper bound of the mean gain, each one-sided, at one look."""
    days = gained.groupby(day).agg(["sum", "size"])
    off = days["sum"] - gained.mean() * days["size"]
    n = len(days)
    error = (n / (n - 1) * (off**2).sum()) ** 0.5 / len(gained)
    reach = t.ppf(level, n - 1) * error
    return gained.mean() - reach, gained.mean() + reach


@pytest.fixture(scope="module")
def gained(model, holdout):
    """Return for each flight 1 where only the model is right, -1 where only the rule is."""
    late = holdout["late"] == 1
    right = (model.predict(holdout) == 1) == late
    rule = (holdout["dep_delay"] > LATE) == late
    return right.astype(int) - rule.astype(int)


@pytest.fixture(scope="module")
def some(holdout):
    """Return a thousand flights, always the same."""
    return holdout.sample(1_000, random_state=0)


def probability(model, flights):
    """Return each flight's probability of arriving late."""
    return model.predict_proba(flights)[:, 1]


def test_model_is_not_worse_than_the_rule(gained, holdout):
    # Green if it is shown to lose less than the margin; red if it is shown to lose, and not shown
    # to lose less than that; otherwise not judged.
    low, high = bounds(gained, holdout["date"])
    told = f"between {100 * low:+.2f} and {100 * high:+.2f} points"
    if low <= -MARGIN and high >= 0:
        pytest.skip(f"not judged: {told}")
    assert low > -MARGIN, told


@pytest.mark.parametrize("airline", AIRLINES)
def test_airline_does_not_lose_to_the_rule(gained, holdout, airline):
    of_airline = gained[holdout["carrier"] == airline]
    if len(of_airline) < MIN_FLIGHTS:
        pytest.skip(f"not judged: {airline} has {len(of_airline)} flights")
    level = 1 - 0.05 / len(AIRLINES)
    _, high = bounds(of_airline, holdout.loc[of_airline.index, "date"], level)
    at_most = round(float(high), 4)
    assert at_most >= 0


@pytest.mark.parametrize("minutes", [1, 5, 15])
def test_more_delay_never_lowers(model, some, minutes):
    later = some.assign(dep_delay=some["dep_delay"] + minutes)
    change = probability(model, later) - probability(model, some)
    lowest = round(float(change.min()), 4)
    assert lowest >= 0


@pytest.mark.parametrize(("minutes", "low", "high"), CLEAR)
def test_clear_cases_are_clear(model, some, minutes, low, high):
    told = probability(model, some.assign(dep_delay=float(minutes)))
    mean = round(float(told.mean()), 4)
    assert low <= mean <= high


def test_company_does_not_matter(model, some):
    together = probability(model, some)
    alone = np.concatenate([probability(model, some.iloc[[place]]) for place in range(20)])
    assert np.allclose(alone, together[:20])
