"""What is said of events and runs, in plain text."""

import re
from dataclasses import replace

import pytest
from handmade import (
    alert,
    drift_run,
    finished,
    monday,
    silent_run,
    silent_week,
    started,
    two_day_week,
    unanswered_alert,
    unlabelled_week,
    week,
)

from mlops_course.pipeline.events import (
    AlertRaised,
    Notified,
    Promoted,
    Rejected,
    Retrained,
    RolledBack,
    RunFinished,
    RunStarted,
    StageFailed,
    StageFinished,
    StageStarted,
)
from mlops_course.pipeline.state import RunState, advance, fold
from mlops_course.telling import wording

# ---- events


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (RunStarted("good", "Good data", 3, 0.9, 1, "auto", "abc"), "Good data: 1 week, seed 3."),
        (StageFinished("data", 1, 0.5, "9 flights", {}), "data       0.50 s  9 flights"),
        (StageFailed("data", 1, 0.5, "No disk."), "data       0.50 s  FAILED  No disk."),
        (AlertRaised(monday(4), "a rule", 0.8, 0.9, "Low."), "ALERT     Low."),
        (
            Retrained(monday(5), (monday(4), monday(5)), 12900, "abc", 0.5),
            "retrained on 12,900 flights of 2013-09-23 and 2013-09-30",
        ),
        (
            Retrained(monday(5), tuple(monday(week) for week in range(1, 6)), 32000, "abc", 0.5),
            "retrained on 32,000 flights of 5 weeks, 2013-09-02 to 2013-09-30",
        ),
        (Promoted(monday(6), "1", "2", "Better.", "abc"), "promoted  version 2. Better."),
        (RolledBack(monday(9), "2", "1", "Repaired.", "abc"), "rolled back  version 1. Repaired."),
        (Rejected(monday(6), "Worse."), "rejected  Worse."),
        (StageStarted("data", 1), ""),
        (Notified(monday(4), "#oncall", {}), ""),
        (RunFinished(1.0), ""),
    ],
)
def test_terminal_line_when_an_event_comes_then_tells_it(event, line):
    assert wording.terminal_line(event) == line


@pytest.mark.parametrize(
    ("scored", "line"),
    [
        (
            week(1, 0.95, drifted=("temp", "dewp")),
            "week 2013-09-02  accuracy 95.0%  version 1  moved: temp, dewp",
        ),
        (
            silent_week(1),
            "week 2013-09-02  accuracy unknown  version 1  6,400 of 6,400 flights unanswered",
        ),
    ],
)
def test_terminal_line_when_a_week_was_scored_then_tells_what_is_known(scored, line):
    assert wording.terminal_line(scored) == line


def test_still_line_when_versions_are_named_then_says_what_holds_for_every_run():
    state = fold(drift_run("31", "32"))
    lines = [wording.still_line(state, entry) for entry in state.log]
    assert lines == [
        "Before production. Promoted model 1: better",
        "Week 4. ▼ Alert: Accuracy 80.0%, below 90%.",
        "",
        "Week 5. ▼ Alert: Accuracy 79.0%, below 90%.",
        "Week 5. ↻ Retrained on 12,900 flights of the weeks of 23 Sep and 30 Sep.",
        "Week 6. ▼ Alert: Accuracy 81.0%, below 90%.",
        "Week 6. Promoted model 2: beats the champion",
    ]


def test_log_text_when_a_version_replaces_another_then_names_both():
    state = fold(drift_run())
    first, second = [e for e in state.log if isinstance(e, Promoted)]
    assert wording.log_text(state, first) == "v1, the first of this run: better"
    assert wording.log_text(state, second) == "v2 replaces v1: beats version 1"


def test_log_text_when_another_run_left_a_champion_then_the_first_version_does_not_replace_it():
    state = fold(drift_run("17"))
    first = replace(next(e for e in state.log if isinstance(e, Promoted)), from_version="16")
    assert wording.log_text(state, first) == "v17, the first of this run: better"


def test_log_text_when_a_version_serves_again_then_says_which_and_the_picture_its_order():
    back = RolledBack(monday(8), "32", "31", "Repaired.", "abc")
    state = fold([*drift_run("31", "32"), back])
    assert wording.log_text(state, back) == "v31 serves again instead of v32."
    assert wording.still_line(state, back) == "Week 8. Rolled back to model 1."


def test_week_line_when_days_are_too_few_then_says_that_they_cannot_tell():
    assert "1,800 labels of 2 days cannot tell" in wording.terminal_line(two_day_week(1, 0.6))
    assert "cannot tell" not in wording.terminal_line(week(1, 0.6))


# ---- the run


def test_status_when_it_is_spoken_then_changes_with_stages_and_not_with_weeks():
    state = fold([*started(), StageStarted("monitor", 1), week(1, 0.95)])
    later = advance(state, week(2, 0.94))
    assert wording.status(state) == "Running: Monitor, week 1 of 8."
    assert wording.status(later) == "Running: Monitor, week 2 of 8."
    assert wording.spoken(state) == wording.spoken(later) == "Running: monitoring production."


def test_status_when_paused_in_a_second_cycle_then_names_the_stage_that_ended():
    begun = [*started(), StageStarted("monitor", 1), week(1, 0.8), StageStarted("data", 2)]
    state = fold([*begun, StageFinished("data", 2, 0.1, "12,900 flights", {})])
    paused = wording.status(replace(state, status="paused"))
    assert paused == "Paused: after Data (cycle 2). Press Continue or Step; Reset starts over."
    assert "Paused: Monitor, week 2 of 8." in wording.status(
        replace(advance(state, week(2, 0.8)), status="paused")
    )


def test_urgent_when_a_week_has_two_alerts_then_says_both():
    running = fold(silent_run()[: -len(finished())])
    assert wording.urgent(running) == (
        "1,400 of 6,400 flights have no answer. Accuracy 80.0%, below 90%."
    )


def test_urgent_when_the_loop_closes_then_says_retraining_and_promotion_but_no_message_sent():
    said = [wording.urgent(fold(drift_run()[:cut])) for cut in range(len(drift_run()) + 1)]
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
    assert wording.status(state) == "Stopped. The service is gone. Run again."


def told(*weeks_and_alerts) -> RunState:
    return fold([*started(), StageStarted("monitor", 1), *weeks_and_alerts, *finished()])


def test_verdict_when_nothing_fired_then_gives_the_mean_of_the_weeks_known():
    assert wording.verdict(told(week(1, 0.95))) == "No alert in 1 week; mean accuracy 95.0%."
    known = told(week(1, 0.95), unlabelled_week(2), week(3, 0.93))
    assert wording.verdict(known) == "No alert in 3 weeks; mean accuracy 94.0%."
    assert wording.verdict(told(unlabelled_week(1))) == "No alert in 1 week; mean accuracy unknown."
    assert wording.verdict(RunState()) == "No week of production was scored."


def test_verdict_when_a_retrained_model_took_over_then_tells_before_at_and_after():
    assert wording.verdict(fold(drift_run())) == (
        "First alert in week 4: 94.0% before, 80.0% that week; after retraining 91.5%."
    )


def test_verdict_when_flights_were_unanswered_then_says_how_many_and_no_accuracy_of_that_week():
    bad = week(2, 1.0, answered=5166, labelled=3, alert=True)
    assert wording.verdict(told(week(1, 0.95), bad, unanswered_alert(bad))) == (
        "First alert in week 2: 1,234 of 6,400 flights unanswered; 1 of 2 weeks raised one; "
        "mean accuracy 95.0% before."
    )


def test_verdict_when_the_first_week_was_silent_then_claims_no_accuracy_before():
    bad = silent_week(1)
    assert wording.verdict(told(bad, unanswered_alert(bad))) == (
        "First alert in week 1: 6,400 of 6,400 flights unanswered; 1 of 1 week raised one."
    )


def test_verdict_when_both_rules_fired_then_tells_each_the_earlier_first():
    assert wording.verdict(fold(silent_run())) == (
        "First alert in week 3: 6,400 of 6,400 flights unanswered; 3 of 5 weeks raised one. "
        "First alert on accuracy in week 5: 94.0% before, 80.0% that week; 1 of 5 weeks raised "
        "one (mean 80.0%)."
    )
    low = week(1, 0.80)
    silent = silent_week(2)
    turned = told(low, alert(low), silent, unanswered_alert(silent))
    assert wording.verdict(turned) == (
        "First alert in week 1: 80.0% that week; 1 of 2 weeks raised one (mean 80.0%). "
        "First alert on answers in week 2: 6,400 of 6,400 flights unanswered; 1 of 2 weeks raised "
        "one."
    )


@pytest.mark.parametrize("cut", range(14, len(silent_run()) + 1))
def test_words_when_weeks_are_silent_then_never_show_a_number_that_is_none(cut):
    state = fold(silent_run()[:cut])
    said = [wording.status(state), wording.spoken(state), wording.verdict(state)]
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
    assert wording.way_back(fold(events)) == words
