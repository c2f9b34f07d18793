"""What is said of alerts, on weeks made by hand."""

from dataclasses import replace

import pandas as pd
import pytest
from handmade import (
    CALM,
    MOVED,
    alert,
    drift_run,
    forced,
    monday,
    silent_week,
    started,
    unanswered_alert,
    unlabelled_week,
    unwatched_week,
    week,
)

from mlops_course.pipeline.events import Retrained, StageFinished
from mlops_course.pipeline.state import fold
from mlops_course.telling.advice import (
    USUAL_GAP,
    USUAL_LEAD,
    ending,
    how_sure,
    next_move,
)


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
        ({"drift": MOVED}, "dep_delay moved further than in any week it is compared with"),
        ({"drift": MOVED, "predicted_late": 0.0}, "0.0% of flights are called late (19.0% to"),
        (
            {"drift": CALM, "former_accuracy": 0.85},
            "Roll back: on these flights the version before",
        ),
        ({"drift": CALM, "former_accuracy": 0.75}, "would have had 75.0%: going back would lose."),
        ({"drift": CALM, "observed_late": 0.40}, "40.0% were late where 19.0% were called so"),
        (
            {"drift": CALM, "baseline_accuracy": 0.83},
            "the model is 3.0 points behind the rule, before",
        ),
        ({"drift": CALM, "baseline_accuracy": 0.94}, "the relation itself may have changed"),
        ({"drift": CALM}, "The rule fell as well, from 94.0% to 79.0%"),
        ({"drift": {"temp": 1.4}}, "that temp moved does not explain it"),
    ],
)
def test_next_move_when_the_monitor_sees_a_cause_then_fits_it(change, expected):
    bad = week(2, 0.80, **change)
    state = fold([*started(), week(1, 0.95), bad])
    assert expected in next_move(state, alert(bad), bad)


def test_next_move_when_the_threshold_is_above_what_was_released_then_blames_that_and_no_input():
    released = StageFinished("train", 1, 0.1, "accuracy 92.0%", {"accuracy": 0.92})
    bad = week(2, 0.91, drift=MOVED)
    state = fold([released, week(1, 0.95), bad])
    said = next_move(state, replace(alert(bad), threshold=0.99), bad)
    assert "released with 92.0%" in said and "dep_delay" not in said


def test_next_move_when_nothing_got_worse_then_asks_about_the_threshold():
    bad = week(2, 0.951, drift=CALM, alert=True)
    state = fold([*started(), week(1, 0.95), bad])
    assert "nothing got worse. Ask whether the threshold" in next_move(state, alert(bad), bad)


def test_next_move_when_a_new_version_gained_and_much_is_late_then_says_that_it_is_harder():
    bad = week(2, 0.80, "2", drift=CALM, former_accuracy=0.75, observed_late=0.48)
    said = next_move(fold([*started(), week(1, 0.95), bad]), alert(bad), bad)
    assert "harder to call" in said and "retrain and let" not in said


def test_next_move_when_no_week_came_before_then_says_that_the_evidence_does_not_suffice():
    bad = week(1, 0.80, drift=CALM)
    assert "the evidence does not suffice" in next_move(fold([*started(), bad]), alert(bad), bad)


def test_bounds_of_usual_weeks_when_nothing_is_broken_then_hold_in_the_real_year(real_year):
    real_year = real_year[real_year["date"] < "2013-12-30"]  # whole weeks
    model = (real_year["probability"] >= 0.5) == (real_year["late"] == 1)
    rule = (real_year["dep_delay"] > 15) == (real_year["late"] == 1)
    called = (real_year["probability"] >= 0.5).astype(float)
    weekly = pd.DataFrame({"lead": model * 1.0 - rule, "gap": real_year["late"] - called})
    weeks = weekly.groupby(real_year["date"].dt.to_period("W")).mean()
    off = weeks - weeks.mean()
    assert len(weeks) == 39
    assert off["lead"].min() > -USUAL_LEAD and off["gap"].max() < USUAL_GAP


# ---- the end of a run


def test_ending_when_an_incident_struck_then_says_when_it_could_be_seen_and_what_it_cost():
    said = ending(fold(drift_run()))
    assert said.startswith(
        "The evidence was there in week 4: dep_delay further out than in any calm week, "
        "and the alert. Accuracy was 94.0% (rule 93.0%) before it, 80.0% (rule 79.0%) since with "
        "v1, 91.5% (rule 90.5%) since with v2."
    )


def test_ending_when_checks_fail_and_accuracy_does_not_then_says_both():
    calm = {"drift": CALM, "alert": False}
    dead = week(4, 0.94, findings=("temp is missing in 100% of flights.",), **calm)
    said = ending(fold([*started(), week(3, 0.94), dead]))
    assert "in week 4: failed data checks (temp is missing in 100% of flights)." in said
    assert said.endswith("since with v1, and no alert was raised on it.")


def test_ending_when_the_evidence_comes_late_then_says_how_late():
    weeks = [week(3, 0.94), week(4, 0.94), week(5, 0.94), week(6, 0.80)]
    assert "in week 6, 2 weeks after it struck: " in ending(fold([*started(), *weeks]))


def test_ending_when_the_run_stops_before_the_incident_then_says_that_nothing_struck():
    assert ending(fold([*started(), week(1, 0.95)])).startswith("Nothing struck")


def test_ending_when_a_candidate_was_trained_after_the_last_week_then_says_it_was_never_judged():
    last = Retrained(monday(4), (monday(3), monday(4)), 12_900, "abc", 0.1)
    said = ending(fold([*started(), week(3, 0.94), week(4, 0.80), last]))
    assert said.endswith("was never judged: the run ended first.")


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


# ---- a colleague's release, labels that stay away, and nobody who watches


def by_hand_run():
    """Return five weeks, the last two with a version promoted by hand that is worse."""
    calm = {"drift": CALM, "alert": False}
    served = {"former_accuracy": 0.94, "latency_ms": 240.0, **calm}
    weeks = [week(number, 0.94, **calm) for number in (1, 2, 3)]
    return [
        *started(),
        *weeks,
        forced(3),
        week(4, 0.90, "2", **served),
        week(5, 0.91, "2", **served),
    ]


def test_next_move_when_a_version_was_promoted_by_hand_and_lost_then_says_to_roll_it_back():
    bad = week(6, 0.80, "2", drift=CALM, former_accuracy=0.93)
    said = next_move(fold([*by_hand_run(), bad]), alert(bad), bad)
    assert said == (
        "Roll back: v2 was promoted by hand, past the gate, and on these flights the version "
        "before would have had 93.0%, this one has 80.0%."
    )
    usual = week(6, 0.80, "3", drift=CALM, former_accuracy=0.93)
    assert "by hand" not in next_move(fold([*by_hand_run(), usual]), alert(usual), usual)


def test_next_move_when_a_name_is_new_then_asks_whether_it_is_a_fault_and_orders_no_repair():
    new = ("496 flights (7.7%) have a carrier never seen in training; at most 5% is usual.",)
    bad = week(2, 0.80, findings=new)
    said = next_move(fold([week(1, 0.95), bad]), alert(bad), bad)
    assert "a name that the next training is to learn" in said and "repaired" not in said


def test_ending_when_a_version_was_promoted_by_hand_then_names_it_what_it_lost_and_how_slow_it_is():
    said = ending(fold(by_hand_run()))
    assert said.startswith(
        "The evidence was there in week 4: v2 promoted by hand after week 3, 16 Sep, and 90.0% "
        "right where the one before had 94.0%, and requests that took 20 times as long as with the "
        "version before. Accuracy was 94.0%"
    )


def test_ending_when_requests_take_a_little_longer_then_does_not_call_it_evidence():
    slower = [week(number, 0.94, "2", latency_ms=40.0, drift=CALM) for number in (4, 5)]
    said = ending(fold([*started(), week(3, 0.94), *slower]))
    assert said.startswith("No signal of this monitor showed it")


def test_ending_when_no_label_came_then_says_so_and_that_nobody_knows_what_it_cost():
    late = [unlabelled_week(number) for number in (4, 5)]
    said = ending(fold([*started(), week(3, 0.94), *late]))
    assert (
        "in week 4: no label for any of its flights. What accuracy was since, nobody knows" in said
    )


def test_ending_when_no_rule_was_evaluated_then_no_alert_is_no_good_news():
    bad = [unwatched_week(number, 0.80) for number in (4, 5)]
    said = ending(fold([*started(), week(3, 0.94), *bad]))
    assert "and no rule evaluated. " in said
    assert said.endswith("and no alert could be raised on it in weeks 4 and 5.")
