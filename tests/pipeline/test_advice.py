"""What is said of alerts, on weeks made by hand."""

import pytest
from handmade import (
    CALM,
    MOVED,
    alert,
    silent_week,
    started,
    unanswered_alert,
    week,
)

from mlops_course.pipeline.advice import how_sure, next_move
from mlops_course.pipeline.state import fold


@pytest.mark.parametrize("accuracy", [0.5, 0.80, 0.893])
def test_how_sure_when_accuracy_is_low_then_claims_no_more_than_the_level_of_the_bound(accuracy):
    bad = week(4, accuracy)
    said = how_sure(alert(bad), bad)
    assert f"upper bound, {accuracy + 0.006:.1%}, is below 90%" in said
    assert "(one-sided 95%, by 7 days, not by 6,300 flights; one look a week)" in said
    assert "were 90%, fewer than one week in 20 would look this bad." in said


def test_how_sure_when_flights_were_unanswered_then_they_were_counted():
    bad = week(4, 0.95, answered=5166, alert=True)
    said = how_sure(unanswered_alert(bad), bad)
    assert said == "This was counted and not estimated: 1,234 of 6,400 flights unanswered."


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"errors": 3}, "3 requests failed: see the service's log"),
        ({"findings": ("dep_delay is empty.",)}, "(dep_delay is empty): have the feed repaired"),
        ({"drift": MOVED}, "dep_delay moved"),
        ({"drift": CALM, "model_version": "2"}, "roll back to v1"),
        ({"drift": CALM}, "relation itself"),
    ],
)
def test_next_move_when_the_monitor_sees_a_cause_then_fits_it(change, expected):
    bad = week(2, 0.80, **change)
    state = fold([*started(), week(1, 0.95), bad])
    assert expected in next_move(state, alert(bad), bad)


def test_next_move_when_flights_were_unanswered_then_asks_what_is_refused_and_names_the_field():
    bad = silent_week(2)
    said = next_move(fold([week(1, 0.95), bad]), unanswered_alert(bad), bad)
    assert said.startswith("7 requests failed. Look at what the service refuses, and why")
    assert "dep_delay is empty in 22 flights" in said


def test_next_move_when_flights_were_unanswered_and_checks_passed_then_leaves_them_out():
    bad = silent_week(2, findings=(), errors=1)
    said = next_move(fold([bad]), unanswered_alert(bad), bad)
    assert said == (
        "1 request failed. Look at what the service refuses, and why: its answers name the field."
    )
