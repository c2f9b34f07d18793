import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from mlops_course.core.errors import ParameterError
from mlops_course.stats.calibration import calibrated, fit_calibration, reliability


def overconfident(seed, rows=20_000):
    """Return what a model says that exaggerates, and what comes true."""
    generator = np.random.default_rng(seed)
    log_odds = generator.normal(0, 1.5, rows)
    happened = (generator.random(rows) < 1 / (1 + np.exp(-log_odds))).astype(float)
    return 1 / (1 + np.exp(-2 * log_odds)), happened


def test_calibration_when_applied_then_equals_scikit_learn_within_and_beyond_its_corners():
    said, happened = overconfident(0, 500)
    expected = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(said, happened)
    asked = np.linspace(0, 1, 1_001)
    found = calibrated(fit_calibration(said, happened), asked)
    assert found == pytest.approx(expected.predict(asked), abs=1e-12)


def test_calibration_when_a_model_exaggerates_then_repairs_it_on_rows_that_it_has_not_seen():
    curve = fit_calibration(*overconfident(1))
    said, happened = overconfident(2)
    assert reliability(said, happened).expected_error > 0.06
    assert reliability(calibrated(curve, said), happened).expected_error < 0.015
    assert calibrated(curve, np.array([0.9]))[0] == pytest.approx(0.75, abs=0.03)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_calibration_when_rows_are_any_then_is_monotone_and_a_probability(rows):
    said, happened = np.array(rows, dtype=float).T
    curve = fit_calibration(said, happened)
    found = calibrated(curve, np.linspace(0, 1, 101))
    assert (np.diff(found) >= 0).all() and found[0] >= 0 and found[-1] <= 1
    assert curve.rows == len(rows)


def test_reliability_when_probabilities_repeat_then_equal_ones_stay_in_one_bin_in_any_order():
    said = np.repeat([0.1, 0.5, 0.9], [60, 10, 30])
    happened = np.tile([0.0, 1.0], 50)
    found = reliability(said, happened, bins=10)
    assert found.said.tolist() == pytest.approx([0.1, 0.5, 0.9])
    assert found.rows.tolist() == [60, 10, 30]
    order = np.random.default_rng(3).permutation(100)
    again = reliability(said[order], happened[order], bins=10)
    assert again.expected_error == pytest.approx(found.expected_error)
    assert found.expected_error == pytest.approx(0.6 * 0.4 + 0.3 * 0.4)


def test_reliability_when_probabilities_are_all_different_then_bins_hold_equally_many_rows():
    said, happened = overconfident(4, 1_000)
    found = reliability(said, happened, bins=8)
    assert found.rows.tolist() == [125] * 8
    order = np.argsort(said)
    expected = [part.mean() for part in np.split(happened[order], 8)]
    assert found.came_true == pytest.approx(expected)


def test_reliability_when_asked_on_the_rows_of_the_calibration_then_shows_no_error_at_all():
    said, happened = overconfident(5, 500)
    curve = fit_calibration(said, happened)
    assert reliability(calibrated(curve, said), happened).expected_error < 1e-9


@pytest.mark.parametrize(
    ("said", "happened"),
    [([], []), ([0.1, np.nan], [0, 1]), ([0.1, 1.1], [0, 1]), ([0.1], [np.nan])],
)
def test_calibration_when_rows_teach_nothing_then_says_which(said, happened):
    for function in (fit_calibration, reliability):
        with pytest.raises(ParameterError, match="probability"):
            function(np.array(said), np.array(happened))
