import numpy as np
import pandas as pd
import pytest

from mlops_course.data.flights import labelled, load_flights
from mlops_course.data.incidents import INCIDENTS
from mlops_course.monitoring.estimation import BAND, estimate_accuracy
from mlops_course.stats.calibration import Calibration, fit_calibration
from mlops_course.training.evaluation import right_calls
from mlops_course.training.trainer import TrainingConfig, train

AS_SAID = Calibration(np.array([0.0, 1.0]), np.array([0.0, 1.0]), rows=1_000)


@pytest.fixture(scope="module")
def model(shared_workspace):
    return train(load_flights(shared_workspace, last="2013-03-17"), TrainingConfig()).model


@pytest.fixture(scope="module")
def calibration(shared_workspace, model):
    held_out = labelled(load_flights(shared_workspace, "2013-03-18", "2013-03-31"))
    return fit_calibration(model.probability(held_out), held_out["late"].to_numpy())


@pytest.fixture(scope="module")
def later(shared_workspace):
    return labelled(load_flights(shared_workspace, first="2013-04-01", last="2013-12-29"))


def weeks(flights, model, calibration):
    """Return for each week what was estimated, and what was true."""
    scored = flights.assign(probability=model.probability(flights))
    scored["right"] = right_calls(scored["probability"].to_numpy(), scored["late"].to_numpy())
    number = (scored["date"] - pd.Timestamp("2013-04-01")).dt.days // 7
    groups = [week for _, week in scored.groupby(number)]
    estimated = np.array([estimate_accuracy(week, calibration).accuracy for week in groups])
    return estimated, np.array([week["right"].mean() for week in groups])


def window(probability, days=7):
    date = pd.Timestamp("2013-04-01") + pd.to_timedelta(
        np.arange(len(probability)) % days, unit="D"
    )
    return pd.DataFrame({"date": date, "probability": probability})


def test_estimate_when_worked_by_hand_then_is_the_expected_share_of_right_calls():
    # What NannyML's documentation does: expected true positives and true negatives over all rows.
    said = np.random.default_rng(0).random(700)
    curve = Calibration(np.array([0.0, 0.5, 1.0]), np.array([0.1, 0.4, 0.8]), rows=1_000)
    late = np.interp(said, curve.said, curve.came_true)
    true_positives = late[said >= 0.5].sum()
    true_negatives = (1 - late[said < 0.5]).sum()
    found = estimate_accuracy(window(said), curve)
    assert found.accuracy == pytest.approx((true_positives + true_negatives) / 700, abs=1e-12)
    assert found.raw == pytest.approx(np.maximum(said, 1 - said).mean(), abs=1e-12)
    assert (found.rows, found.days) == (700, 7)


def test_estimate_when_a_call_is_probably_wrong_then_counts_against_it():
    # Called late with 60%, of which 30% comes true: seven of ten such calls are wrong.
    curve = Calibration(np.array([0.0, 1.0]), np.array([0.0, 0.5]), rows=1_000)
    assert estimate_accuracy(window([0.6] * 7), curve).accuracy == pytest.approx(0.3)


def test_estimate_when_flights_were_not_answered_then_leaves_them_out():
    said = np.array([0.9, np.nan, 0.1, 0.2, np.nan, 0.3, 0.4, 0.8])
    found = estimate_accuracy(window(said), AS_SAID)
    assert found.rows == 6
    assert found.accuracy == pytest.approx((0.9 + 0.9 + 0.8 + 0.7 + 0.6 + 0.8) / 6)


@pytest.mark.parametrize("said", [[], [np.nan, np.nan]])
def test_estimate_when_nothing_was_answered_then_is_unknown_and_not_an_error(said):
    found = estimate_accuracy(window(said), AS_SAID)
    assert np.isnan([found.accuracy, found.low, found.high, found.raw]).all()
    assert (found.rows, found.days) == (0, 0)


def test_band_when_the_window_has_few_days_then_is_unknown_and_else_stays_within_shares():
    assert np.isnan(estimate_accuracy(window([0.2] * 400, days=4), AS_SAID).low)
    found = estimate_accuracy(window([0.01] * 500, days=5), AS_SAID)
    assert (found.low, found.high) == (pytest.approx(0.99 - BAND), 1.0)


def test_band_when_nothing_is_broken_then_holds_the_truth_of_the_weeks_that_it_says(
    later, model, calibration
):
    estimated, true = weeks(later, model, calibration)
    apart = np.abs(estimated - true)
    assert len(apart) == 39 and 32 <= (apart <= BAND).sum() <= 36
    assert 0.10 < apart.max() < 0.12
    assert apart.mean() == pytest.approx(0.0225, abs=0.001)
    # Worth having: the accuracy of the held-out fortnight, as a constant, is farther off.
    assert np.abs(true - 0.9218).mean() > 0.030


def test_estimate_when_inputs_alone_have_changed_then_follows_the_truth_down(
    later, model, calibration
):
    healthy, was_true = weeks(later, model, calibration)
    estimated, true = weeks(INCIDENTS["dead-weather"].apply(later), model, calibration)
    assert (was_true - true).mean() > 0.015
    assert (healthy - estimated).mean() > 0.015
    assert (np.abs(estimated - true) <= BAND).sum() >= 35


def test_estimate_when_the_relation_has_changed_then_stays_calm_and_is_wrong(
    later, model, calibration
):
    healthy, _ = weeks(later, model, calibration)
    estimated, true = weeks(INCIDENTS["padding"].apply(later), model, calibration)
    assert estimated == pytest.approx(healthy)
    assert (np.abs(estimated - true) > BAND).all() and (estimated - true).mean() > 0.2


def test_estimate_when_the_clock_has_changed_then_falls_too_far(later, model, calibration):
    estimated, true = weeks(INCIDENTS["clock"].apply(later), model, calibration)
    assert (np.abs(estimated - true) <= BAND).sum() < 20
    assert (true - estimated).mean() == pytest.approx(0.051, abs=0.005)
