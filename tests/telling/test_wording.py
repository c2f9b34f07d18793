"""What is said of events and runs, in plain text."""

from dataclasses import replace

import pytest
from handmade import (
    drift_run,
    forced,
    monday,
    silent_week,
    started,
    two_day_week,
    unwatched_week,
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
from mlops_course.pipeline.state import fold
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


def test_promotion_when_it_was_by_hand_then_every_form_of_it_says_so():
    entry = forced(3, "31", "32")
    state = fold([*started("31"), week(3, 0.95, "31"), entry, week(4, 0.9, "32")])
    line = wording.terminal_line(entry)
    assert line.startswith("promoted  version 32 by hand, past the gate. FORCED, ")
    assert wording.entry_title(entry) == "Promoted by hand"
    assert "past the gate. The promotion log has: FORCED, " in wording.log_text(state, entry)
    assert wording.still_line(state, entry) == ("Week 3. Promoted by hand, past the gate: model 2.")


def test_week_line_when_no_rule_was_evaluated_then_says_so():
    assert wording.terminal_line(unwatched_week(4, 0.8)).endswith("no rule evaluated")
    assert "evaluated" not in wording.terminal_line(week(4, 0.8))
