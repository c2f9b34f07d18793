"""Where a run stands, in plain text."""

import re
from dataclasses import replace

import pytest
from handmade import (
    alert,
    drift_run,
    finished,
    forced,
    silent_run,
    silent_week,
    started,
    unanswered_alert,
    unlabelled_week,
    unwatched_week,
    week,
)

from mlops_course.pipeline.events import (
    RolledBack,
    StageFailed,
    StageFinished,
    StageStarted,
)
from mlops_course.pipeline.state import RunState, advance, fold
from mlops_course.telling import standing, wording


def test_status_when_it_is_spoken_then_changes_with_stages_and_not_with_weeks():
    state = fold([*started(), StageStarted("monitor", 1), week(1, 0.95)])
    later = advance(state, week(2, 0.94))
    assert standing.status(state) == "Running: Monitor, week 1 of 8."
    assert standing.status(later) == "Running: Monitor, week 2 of 8."
    assert standing.spoken(state) == standing.spoken(later) == "Running: monitoring production."


def test_status_when_paused_in_a_second_cycle_then_names_the_stage_that_ended():
    begun = [*started(), StageStarted("monitor", 1), week(1, 0.8), StageStarted("data", 2)]
    state = fold([*begun, StageFinished("data", 2, 0.1, "12,900 flights", {})])
    paused = standing.status(replace(state, status="paused"))
    assert paused == "Paused: after Data (cycle 2). Press Continue or Step; Reset starts over."
    assert "Paused: Monitor, week 2 of 8." in standing.status(
        replace(advance(state, week(2, 0.8)), status="paused")
    )


def test_urgent_when_a_week_has_two_alerts_then_says_both():
    running = fold(silent_run()[: -len(finished())])
    assert standing.urgent(running) == (
        "1,400 of 6,400 flights have no answer. Accuracy 80.0%, below 90%."
    )


def test_urgent_when_the_loop_closes_then_says_retraining_and_promotion_but_no_message_sent():
    said = [standing.urgent(fold(drift_run()[:cut])) for cut in range(len(drift_run()) + 1)]
    heads = list(dict.fromkeys(words.partition(",")[0] for words in said))
    assert heads == [
        "",
        "Promoted",
        "Accuracy 80.0%",
        "Accuracy 79.0%",
        "Retrained",
        "Accuracy 81.0%",
    ]
    assert said[-1].startswith("Promoted, week 6, 7 Oct. v2 replaces v1")


def test_status_when_a_stage_failed_then_gives_the_sentence():
    state = fold([*started(), StageFailed("monitor", 1, 0.1, "The service is gone. Run again.")])
    assert standing.status(state) == "Stopped. The service is gone. Run again."


def told(*weeks_and_alerts) -> RunState:
    return fold([*started(), StageStarted("monitor", 1), *weeks_and_alerts, *finished()])


def test_verdict_when_nothing_fired_then_gives_the_mean_of_the_weeks_known():
    assert standing.verdict(told(week(1, 0.95))) == "No alert in 1 week; mean accuracy 95.0%."
    known = told(week(1, 0.95), unlabelled_week(2), week(3, 0.93))
    assert standing.verdict(known) == (
        "No alert in 3 weeks; mean accuracy 94.0%. No label was in for week 2: accuracy is unknown "
        "there."
    )
    nothing = standing.verdict(told(unlabelled_week(1)))
    assert nothing.startswith("No alert in 1 week; mean accuracy unknown.")
    assert standing.verdict(RunState()) == "No week of production was scored."


def test_verdict_when_a_retrained_model_took_over_then_tells_before_at_and_after():
    assert standing.verdict(fold(drift_run())) == (
        "First alert in week 4: 94.0% before, 80.0% that week; after retraining 91.5%."
    )


def test_verdict_when_flights_were_unanswered_then_says_how_many_and_no_accuracy_of_that_week():
    bad = week(2, 1.0, answered=5166, labelled=3, alert=True)
    assert standing.verdict(told(week(1, 0.95), bad, unanswered_alert(bad))) == (
        "First alert in week 2: 1,234 of 6,400 flights unanswered; 1 of 2 weeks raised one; "
        "mean accuracy 95.0% before."
    )


def test_verdict_when_the_first_week_was_silent_then_claims_no_accuracy_before():
    bad = silent_week(1)
    assert standing.verdict(told(bad, unanswered_alert(bad))) == (
        "First alert in week 1: 6,400 of 6,400 flights unanswered; 1 of 1 week raised one."
    )


def test_verdict_when_both_rules_fired_then_tells_each_the_earlier_first():
    assert standing.verdict(fold(silent_run())) == (
        "First alert in week 3: 6,400 of 6,400 flights unanswered; 3 of 5 weeks raised one. "
        "First alert on accuracy in week 5: 94.0% before, 80.0% that week; 1 of 5 weeks raised "
        "one (mean 80.0%)."
    )
    low = week(1, 0.80)
    silent = silent_week(2)
    turned = told(low, alert(low), silent, unanswered_alert(silent))
    assert standing.verdict(turned) == (
        "First alert in week 1: 80.0% that week; 1 of 2 weeks raised one (mean 80.0%). "
        "First alert on answers in week 2: 6,400 of 6,400 flights unanswered; 1 of 2 weeks raised "
        "one."
    )


@pytest.mark.parametrize("cut", range(14, len(silent_run()) + 1))
def test_words_when_weeks_are_silent_then_never_show_a_number_that_is_none(cut):
    state = fold(silent_run()[:cut])
    said = [standing.status(state), standing.spoken(state), standing.verdict(state)]
    said += [wording.terminal_line(event) for event in silent_run()[:cut]]
    assert not [sentence for sentence in said if re.search(r"\bnan\b", sentence)]


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (started(), "retrain when production calls for it"),
        ([*started(), StageStarted("data", 2)], "cycle 2: retraining on new weeks"),
        (drift_run(), "cycle 2: retrained on the weeks of 23 Sep and 30 Sep"),
    ],
)
def test_way_back_when_cycles_begin_then_says_what_it_carries(events, words):
    assert standing.way_back(fold(events)) == words


def test_verdict_when_no_rule_was_evaluated_then_no_alert_is_not_all_it_says():
    assert standing.verdict(told(week(1, 0.95), unwatched_week(2, 0.80))) == (
        "No alert in 2 weeks; mean accuracy 87.5%. The rules were not evaluated for week 2."
    )


def test_verdict_when_somebody_rolled_back_then_says_that_and_no_retraining():
    bad = week(4, 0.80, "2", former_accuracy=0.93)
    back = RolledBack(bad.week, "2", "1", "Back.", "abc")
    state = told(
        week(3, 0.95), forced(3), bad, alert(bad), back, week(5, 0.92, former_accuracy=0.8)
    )
    assert standing.verdict(state) == (
        "First alert in week 4: 95.0% before, 80.0% that week; after rolling back 92.0%, where the "
        "one that went would have had 80.0%."
    )


def test_urgent_when_a_colleague_promoted_past_the_gate_then_says_so_at_once():
    said = standing.urgent(told(week(3, 0.95), forced(3)))
    assert said.startswith("Promoted by hand, week 3, 16 Sep. v2 serves instead of v1")
