"""What is folded from events made by hand; real ones are in test_loop."""

from dataclasses import replace

import pytest
from handmade import (
    NAN,
    drift_run,
    monday,
    silent_run,
    silent_week,
    started,
    two_day_week,
    unanswered_alert,
    unlabelled_week,
    week,
)

from mlops_course.alerting.alerts import ACCURACY_RULE, UNANSWERED_RULE
from mlops_course.pipeline.events import (
    Rejected,
    RolledBack,
    StageFailed,
    StageFinished,
    StageStarted,
)
from mlops_course.pipeline.state import (
    RunState,
    advance,
    alerted_weeks,
    alerts_of,
    can_tell,
    fold,
    has_accuracy,
    outcome,
    result_of,
    stage_state,
)


def test_advance_when_an_event_comes_then_leaves_the_former_state_as_it_was():
    before = fold(started())
    after = advance(before, week(1, 0.95))
    assert before.weeks == () and len(after.weeks) == 1


@pytest.mark.parametrize(
    ("events", "stage", "expected"),
    [
        ([], "data", "waiting"),
        ([StageStarted("data", 1)], "data", "running"),
        ([StageStarted("data", 1), StageFinished("data", 1, 0.1, "ok", {})], "data", "done"),
        ([StageStarted("data", 1), StageFailed("data", 1, 0.1, "no disk")], "data", "failed"),
        ([StageStarted("monitor", 1), week(1, 0.95)], "monitor", "running"),
        ([StageStarted("monitor", 1), week(1, 0.80)], "monitor", "alert"),
        ([StageStarted("monitor", 1), silent_week(1)], "monitor", "alert"),
        ([StageStarted("monitor", 1), unlabelled_week(1)], "monitor", "running"),
        ([StageFinished("gate", 1, 0.1, "refused", {}), Rejected("x", "worse")], "gate", "refused"),
    ],
)
def test_stage_state_when_events_came_then_follows_them(events, stage, expected):
    assert stage_state(fold(events), stage) == expected


def test_stage_state_when_the_run_pauses_then_says_so():
    state = replace(fold([*started(), StageStarted("monitor", 1)]), status="paused")
    assert stage_state(state, "monitor") == "paused"


# ---- alerts


def test_alerts_when_a_week_has_two_then_both_are_found_and_each_rule_has_its_weeks():
    state = fold(silent_run())
    assert [found.rule for found in alerts_of(state, monday(5))] == [UNANSWERED_RULE, ACCURACY_RULE]
    assert [found.number for found in alerted_weeks(state, UNANSWERED_RULE)] == [3, 4, 5]
    assert [found.number for found in alerted_weeks(state, ACCURACY_RULE)] == [5]


@pytest.mark.parametrize("blind", [silent_week(1), unlabelled_week(1), two_day_week(1, 0.6)])
def test_week_when_days_or_labels_are_too_few_then_cannot_tell(blind):
    assert can_tell(week(1, 0.6)) and not can_tell(blind)


# ---- outcome


def test_outcome_when_a_retrained_model_took_over_then_has_before_at_during_and_after():
    found = outcome(fold(drift_run()))
    figures = (found.before, found.at_alert, found.alarmed, found.recovered)
    assert figures == pytest.approx((0.94, 0.80, 0.80, 0.915))
    assert found.otherwise is None


def test_outcome_when_the_former_model_was_measured_too_then_says_how_it_would_have_done():
    state = fold(drift_run())
    *before, seventh, eighth = state.weeks
    measured = [replace(seventh, former_accuracy=0.82), replace(eighth, former_accuracy=NAN)]
    found = outcome(replace(state, weeks=(*before, *measured)))
    assert found.otherwise == pytest.approx(0.82)


def test_outcome_when_no_alert_was_raised_then_is_the_mean_of_the_weeks_known():
    found = outcome(fold([week(1, 0.95), unlabelled_week(2), week(3, 0.93)]))
    assert found.before == pytest.approx(0.94) and found.at_alert is None


def test_outcome_when_the_only_alert_is_on_answers_then_says_nothing_of_a_low_accuracy():
    silent = silent_week(2)
    found = outcome(fold([week(1, 0.95), silent, unanswered_alert(silent)]))
    assert found.before == 0.95
    assert (found.at_alert, found.alarmed, found.recovered, found.otherwise) == (None,) * 4


def test_outcome_when_silent_weeks_come_before_a_low_one_then_is_about_the_low_one():
    found = outcome(fold(silent_run()))
    assert (found.before, found.at_alert, found.alarmed) == pytest.approx((0.94, 0.80, 0.80))


def test_outcome_when_nothing_is_known_then_is_empty():
    assert outcome(fold([silent_week(1)])).before is None
    assert outcome(RunState()).before is None


def test_accuracy_when_flights_were_answered_and_labelled_then_is_known():
    assert has_accuracy(week(1, 0.95))
    assert not has_accuracy(silent_week(1)) and not has_accuracy(unlabelled_week(1))


# ---- the state as data frames


def test_result_when_nothing_ran_then_has_columns_and_no_rows():
    result = result_of(RunState())
    assert [len(frame) for frame in (result.weeks, result.alerts, result.stages)] == [0, 0, 0]
    assert list(result.promotions) == ["week", "from", "to", "reason", "run_id"]
    assert {"week", "accuracy", "upper", "model_version", "alert"} <= set(result.weeks)


def test_result_when_a_run_ended_then_holds_one_row_a_thing():
    result = result_of(fold(drift_run()))
    assert list(result.alerts["week"]) == [monday(4), monday(5), monday(6)]
    assert list(result.promotions["to"]) == ["1", "2"]
    back = RolledBack("2013-10-21", "2", "1", "repaired", "abc")
    again = result_of(fold([*drift_run(), back])).promotions
    assert list(again["to"]) == ["1", "2", "1"] and again["reason"].iloc[-1] == "repaired"
    assert list(result.stages["stage"]).count("train") == 2
    assert len(result.drift) == 8 * 3


def test_result_when_weeks_were_not_answered_then_they_have_a_row_and_no_drift():
    result = result_of(fold(silent_run()))
    assert result.weeks["accuracy"].isna().tolist() == [False, False, True, True, False]
    assert set(result.drift["week"]) == {monday(1), monday(2), monday(5)}
    assert list(result.alerts["week"]) == [monday(3), monday(4), monday(5), monday(5)]
