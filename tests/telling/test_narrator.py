"""The line that says what happened and why it matters: true of evidence, silent about the truth."""

import re
from dataclasses import replace

import pytest
from handmade import (
    CALM,
    MOVED,
    alert,
    drift_run,
    forced,
    monday,
    silent_run,
    started,
    two_day_week,
    unlabelled_week,
    unwatched_week,
    week,
)

from mlops_course.pipeline.events import (
    REFUSED,
    Rejected,
    Retrained,
    RolledBack,
    RunFinished,
    StageFailed,
    StageFinished,
    StageStarted,
    WeekScored,
)
from mlops_course.pipeline.state import RunState, advance, fold
from mlops_course.telling.narrator import story
from mlops_course.telling.standing import status

TRAINED = StageFinished("train", 1, 0.5, "accuracy 0.920", {"accuracy": 0.92})


def told(*events) -> str:
    """Return what is said after the events, which follow a first model's stages."""
    return story(fold([*started(), TRAINED, StageStarted("monitor", 1), *events]))


def moments(events: list) -> list[str]:
    """Return what is said after each event of a run."""
    state = RunState()
    said = []
    for event in events:
        state = advance(state, event)
        said.append(story(state))
    return said


@pytest.mark.parametrize("run", [drift_run(), silent_run()], ids=["drift", "silent"])
def test_story_when_the_truth_is_another_then_says_the_same(run):
    other = [
        replace(event, incident=not event.incident) if isinstance(event, WeekScored) else event
        for event in run
    ]
    assert moments(run) == moments(other)


@pytest.mark.parametrize("run", [drift_run(), silent_run()], ids=["drift", "silent"])
def test_story_when_a_run_goes_on_then_is_whole_sentences_and_no_figure_is_none(run):
    state = RunState()
    for event in run:
        state = advance(state, event)
        said = story(state)
        ended = any(record.state == "done" for record in state.records)
        assert said.endswith(".") if ended else said == ""
        assert not re.search(r"\bnan\b|\.\.|  ", said)
        assert said not in status(state) or not said


def test_story_when_nothing_ran_or_the_run_failed_then_leaves_it_to_the_status():
    assert story(RunState()) == ""
    assert told(StageFailed("monitor", 1, 0.1, "No.")) == ""


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (StageFinished("data", 1, 0.1, "", {"training flights": 64_835}), "64,835 real flights"),
        (TRAINED, "calls 92.0% of later flights right that it has not seen"),
        (StageFinished("gate", 1, 0.1, "passed", {}), "it beat the one-line rule"),
        (StageFinished("gate", 1, 0.1, REFUSED, {}), "The gate refused the model"),
        (StageFinished("deploy", 1, 0.1, "", {}), "nobody knows how good it is until labels"),
    ],
    ids=["data", "train", "gate", "refused", "deploy"],
)
def test_story_when_a_stage_ended_then_says_what_it_did_and_why(stage, said):
    assert said in story(fold([started()[0], stage]))


def test_story_when_a_week_is_calm_then_says_that_there_is_nothing_to_do():
    said = told(week(1, 0.95))
    assert said.startswith("Week 1: 95.0% were called right, no data check failed")
    assert said.endswith("There is nothing to do.")


def test_story_when_accuracy_raised_an_alert_then_counts_wrong_calls_and_names_what_moved():
    low = week(2, 0.80)
    for events in ([low], [low, alert(low)]):
        said = told(week(1, 0.94), *events)
        assert "80.0% were called right. Even allowing for unlucky days that is 80.6%" in said
        assert "of 100 flights 20 are called wrong, 6 before the first alert" in said
        assert "2 of 3 inputs look as in calm weeks; dep_delay does not." in said


def test_story_when_no_input_moved_at_an_alert_then_says_what_was_called_and_what_was():
    low = week(2, 0.80, drift=CALM, predicted_late=0.094, observed_late=0.322)
    said = told(week(1, 0.94), low, alert(low))
    assert said.endswith("and yet 32.2% were late where 9.4% were called so.")


def test_story_when_alerts_follow_each_other_then_counts_them():
    weeks = [week(1, 0.94), week(2, 0.80), week(3, 0.79)]
    said = told(weeks[0], weeks[1], alert(weeks[1]), weeks[2], alert(weeks[2]))
    assert "79.0% were called right, the 2nd such week in a row." in said


def test_story_when_the_line_is_above_what_was_ever_shown_then_questions_the_line():
    strict = replace(started()[0], threshold=0.99)
    scored = week(1, 0.93, alert=True)
    said = story(fold([strict, TRAINED, scored, alert(scored)]))
    assert "released with 92.0%: the line asks for more than it ever showed" in said
    assert "inputs" not in said


def test_story_when_low_weeks_may_be_luck_then_says_why_there_is_no_alert():
    said = told(week(1, 0.89, upper=0.93, alert=False, drift=CALM))
    assert "less than 90%. But a few unlucky days can do that" in said and "93.0%" in said


def test_story_when_days_are_too_few_then_says_that_they_cannot_tell():
    assert "2 days cannot tell: no alert." in told(two_day_week(1, 0.80))


def test_story_when_an_input_moved_without_harm_then_does_not_call_it_a_loss():
    said = told(week(1, 0.95, drift=MOVED))
    assert "although dep_delay has moved further than in calm weeks" in said
    assert said.endswith("An input that moves is a question, and not yet a loss.")


def test_story_when_data_checks_fail_without_harm_then_names_the_fault():
    said = told(week(1, 0.95, findings=("temp is empty.", "dewp is empty.")))
    assert "2 data checks failed: temp is empty. The calls do not suffer yet." in said


def test_story_when_hardly_a_flight_is_called_late_then_says_what_accuracy_hides():
    said = told(week(1, 0.89, upper=0.93, alert=False, predicted_late=0.001, observed_late=0.11))
    assert "called 0.1% of flights late, and 11.0% were: it warns nobody." in said


def test_story_when_no_flight_was_answered_then_says_that_nobody_can_know():
    said = story(fold(silent_run()[:-5]))
    assert "6,400 of 6,400 flights unanswered" in said
    assert "1 data check failed: dep_delay is empty in 22 flights" in said


def test_story_when_no_label_has_come_then_says_what_can_tell():
    assert "nobody knows how many were called right" in told(unlabelled_week(1))


def test_story_when_retrained_then_says_that_it_serves_nobody_until_it_is_judged():
    events = [week(4, 0.80), Retrained(monday(4), (monday(4),), 6_400, "abc", 0.4)]
    assert "It serves nobody yet" in told(*events)
    assert "the run ended first" in told(*events, RunFinished(1.0))


def test_story_when_a_new_version_serves_then_sets_it_beside_the_one_before():
    run = drift_run()
    number = next(n for n, e in enumerate(run) if isinstance(e, WeekScored) and e.number == 7)
    better = replace(run[number], former_accuracy=0.77, drift=MOVED, drifted=("dep_delay",))
    said = story(fold([*run[:number], better]))
    assert "91.0% were called right with v2, and the version before would have had 77.0%." in said
    assert "dep_delay still looks unlike calm weeks: the cause may be there yet." in said
    worse = replace(run[number], former_accuracy=0.94)
    assert "did not pay" in story(fold([*run[:number], worse]))


def test_story_when_a_version_was_promoted_then_says_what_the_gate_saw():
    run = drift_run()
    said = next(one for one in moments(run) if "instead of" in one)
    assert "v2 serves instead of v1" in said and "better by more than luck" in said


def test_story_when_the_gate_refused_then_says_who_goes_on_serving():
    refused = [
        StageFinished("gate", 2, 0.1, REFUSED, {}),
        Rejected(monday(1), "Accuracy 0.90 against 0.91."),
    ]
    assert "refused the retrained model, so v1 goes on serving. Accuracy" in told(
        week(1, 0.95), *refused
    )
    assert told(week(1, 0.95), Rejected(monday(1), "The alert ended.")) == (
        "Week 1: The alert ended. So v1 goes on serving."
    )


def test_story_when_rolled_back_then_says_which_version_serves():
    back = RolledBack(monday(1), "2", "1", "Back.", "abc")
    assert "v1 serves again instead of v2" in told(week(1, 0.95, "2"), back)


def test_story_when_a_colleague_promoted_past_the_gate_then_says_who_serves_and_what_nobody_did():
    said = told(week(3, 0.95), forced(3))
    assert said.startswith(
        "Week 3: v2 serves instead of v1 from the next week on: promoted by hand"
    )
    assert "Nobody compared the two" in said and "the gate let" not in said


def test_story_when_requests_take_many_times_as_long_then_there_is_something_to_do():
    calm = [week(3, 0.95, latency_ms=10.0), forced(3)]
    assert "a request takes 25 times as long" in told(*calm, week(4, 0.95, "2", latency_ms=250.0))
    assert "nothing to do" in told(*calm, week(4, 0.95, "2", latency_ms=30.0))
    assert "nothing to do" in told(week(4, 0.95, latency_ms=250.0))  # there is no version before


def test_story_when_no_label_has_come_then_says_what_accuracy_probably_is():
    late = replace(unlabelled_week(1), estimate=0.91, estimate_low=0.87, estimate_high=0.95)
    assert told(late).endswith("By those it is probably 91.0% (87.0% to 95.0%).")
    assert told(unlabelled_week(1)).endswith("that something is wrong.")


def test_story_when_no_rule_was_evaluated_then_says_that_and_what_looking_shows():
    bad = unwatched_week(2, 0.80, findings=("temp is empty.",))
    said = told(week(1, 0.95), bad)
    assert said == (
        "Week 2: the rules were not evaluated for this week, so that no alert could come. Whoever "
        "looks sees: 80.0% were called right; dep_delay has moved further than in calm weeks. And "
        "1 data check failed: temp is empty."
    )
    unlabelled = replace(unlabelled_week(2), watched=False)
    assert "how many were called right nobody knows, since no label" in told(unlabelled)
