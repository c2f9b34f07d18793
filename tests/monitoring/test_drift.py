from datetime import date

import pytest

from mlops_course.core.errors import DataError
from mlops_course.data.features import CATEGORICAL, WEATHER
from mlops_course.data.flights import load_flights
from mlops_course.data.incidents import INCIDENTS
from mlops_course.data.stream import Stream
from mlops_course.monitoring.drift import drift_scores, drifted, fit_reference


@pytest.fixture(scope="module")
def winter(shared_workspace):
    return load_flights(shared_workspace, date(2013, 1, 1), date(2013, 3, 31))


@pytest.fixture(scope="module")
def reference(winter):
    return fit_reference(winter[winter["date"] < "2013-03-18"])


@pytest.fixture(scope="module")
def autumn(shared_workspace):
    return load_flights(shared_workspace, date(2013, 9, 23), date(2013, 9, 29))


def test_scores_when_weeks_follow_the_training_season_then_nothing_drifted(winter, reference):
    for week in Stream(winter, date(2013, 3, 18)).weeks(2):
        assert drifted(drift_scores(reference, week.flights)) == ()


def test_scores_when_season_changed_then_warmth_drifted_and_delays_did_not(reference, autumn):
    moved = drifted(drift_scores(reference, autumn))
    assert "temp" in moved and "dep_delay" not in moved


@pytest.mark.parametrize(
    ("incident", "expected"),
    [("clock", "dep_delay"), ("hours", "dep_delay"), ("timezone", "hour")],
)
def test_scores_when_one_input_is_changed_then_it_leads_the_list(
    reference, autumn, incident, expected
):
    assert expected == drifted(drift_scores(reference, INCIDENTS[incident].apply(autumn)))[0]


def test_scores_when_a_feed_is_dead_then_the_missing_columns_drifted(reference, autumn):
    moved = drifted(drift_scores(reference, INCIDENTS["dead-weather"].apply(autumn)))
    assert set(WEATHER) <= set(moved)


def test_scores_when_only_the_label_moves_then_inputs_score_as_before(reference, autumn):
    padded = INCIDENTS["padding"].apply(autumn)
    assert drift_scores(reference, padded) == drift_scores(reference, autumn)


def test_scores_when_words_are_plain_strings_as_in_the_log_then_are_the_same(reference, autumn):
    plain = autumn.astype({name: "object" for name in CATEGORICAL})
    assert drift_scores(reference, plain) == drift_scores(reference, autumn)


def test_reference_when_training_is_too_short_then_says_how_long_it_must_be(winter):
    with pytest.raises(DataError, match="at least 4"):
        fit_reference(winter[winter["date"] < "2013-01-20"])
