import numpy as np
import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.stats.conformal import (
    false_alarm_range,
    false_alarm_rate,
    newest_scores,
    nonconformity,
)

FEATURES, STREAMS = 7, 400


def correlated(generator, count):
    """Return distances of observations whose features hang together and some of which are wild."""
    common = generator.standard_t(3, size=(count, 1))
    own = generator.standard_t(3, size=(count, FEATURES))
    return 1 - np.exp(-np.abs(common + own) / 10)


def is_alarm(distances):
    return newest_scores(distances).max() > 1


@pytest.mark.parametrize("references", [4, 9, 12])
def test_newest_when_each_takes_the_last_place_in_turn_then_just_one_alarms(references):
    generator = np.random.default_rng(references)
    for _ in range(50):
        distances = correlated(generator, references + 1)
        assert sum(is_alarm(np.roll(distances, k, axis=0)) for k in range(references + 1)) == 1


def test_alarm_when_it_is_given_then_the_newest_has_the_largest_score_of_all_and_only_then():
    generator = np.random.default_rng(0)
    for _ in range(STREAMS):
        distances = correlated(generator, 6)
        strangest = nonconformity(distances).max(axis=1)
        assert is_alarm(distances) == (strangest.argmax() == 5)


def is_alarm_when_fitted_to_the_others(distances):
    """Whether the newest is farther out than all others on a scale that it had no part in."""
    others = distances[:-1]
    scaled = (distances - others.mean(axis=0)) / others.std(axis=0)
    return scaled[-1].max() > scaled[:-1].max()


def test_promise_when_the_scale_is_fitted_without_the_newest_then_is_broken_and_here_it_is_kept():
    generator = np.random.default_rng(1)
    drawn = [correlated(generator, 11) for _ in range(10 * STREAMS)]
    promised = false_alarm_rate(10)
    assert np.mean([is_alarm(one) for one in drawn]) == pytest.approx(promised, abs=0.015)
    assert np.mean([is_alarm_when_fitted_to_the_others(one) for one in drawn]) > 2 * promised


def test_newest_when_it_is_far_in_one_feature_then_that_one_alarms_and_the_others_do_not():
    distances = np.full((13, 3), 0.1)
    distances += np.linspace(0, 0.02, 13)[:, None]
    distances[-1] = (0.11, 0.5, 0.11)
    scores = newest_scores(distances)
    assert scores[1] > 3 and scores[0] < 1 and scores[2] < 1


def test_newest_when_all_are_the_same_then_there_is_no_alarm():
    for distance in (0.0, 0.3, 1.0):
        scores = newest_scores(np.full((10, 2), distance))
        assert np.isfinite(scores).all() and scores.max() <= 1


def test_newest_when_it_has_nothing_in_common_with_the_others_then_its_score_is_finite():
    scores = newest_scores(np.array([[0.1], [0.12], [0.11], [1.0]]))
    assert 1 < scores[0] < np.inf


def test_score_when_features_hardly_move_then_the_slack_keeps_them_from_deciding():
    distances = np.array([[1e-6, 0.10], [1e-6, 0.12], [1e-6, 0.11], [9e-6, 0.105]])
    assert newest_scores(distances).max() < 1


def test_score_when_there_is_no_reference_then_says_that_one_is_needed():
    with pytest.raises(ParameterError, match="at least one other"):
        newest_scores(np.array([[0.2, 0.3]]))


def test_range_when_references_stay_the_same_then_holds_the_false_alarms_of_nine_years_in_ten():
    generator = np.random.default_rng(2)
    low, high = false_alarm_range(12, looks=52)
    inside = 0
    for _ in range(STREAMS):
        references = generator.exponential(size=12)
        inside += low <= (generator.exponential(size=52) > references.max()).sum() <= high
    assert low == 0 and 0.87 < inside / STREAMS < 0.97
    assert false_alarm_range(51, looks=52)[1] < high
