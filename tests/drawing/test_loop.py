"""The loop as a picture: stages, arrows and batches, in every state that a run can be in."""

import re

import pytest
from handmade import drift_run, silent_run, started, week

from mlops_course.drawing import loop
from mlops_course.drawing.loop import Batch
from mlops_course.pipeline.events import (
    REFUSED,
    STAGES,
    StageFailed,
    StageFinished,
    StageStarted,
)
from mlops_course.pipeline.state import RunState, fold, stage_state


def reached(stage: str) -> list:
    """Return the events of a run that has just begun a stage."""
    events = started()
    begins = StageStarted(stage, 1)
    return [*events[: events.index(begins) + 1]] if begins in events else [*events, begins]


GATE = [*reached("gate"), StageFinished("gate", 1, 0.1, REFUSED, {})]
RUNS = {
    "idle": [],
    **{f"running {stage}": reached(stage) for stage in STAGES},
    **{f"failed {stage}": [*reached(stage), StageFailed(stage, 1, 0.1, "no")] for stage in STAGES},
    "refused gate": GATE,
    "drift": drift_run(),
    "silent": silent_run(),
}


def page(state: RunState) -> str:
    return "".join(loop.step(state, stage) for stage in STAGES)


@pytest.mark.parametrize("run", RUNS)
def test_stages_when_drawn_then_each_tells_its_state_by_word_and_shape(run):
    state = fold(RUNS[run])
    drawn = page(state)
    states = [stage_state(state, stage) for stage in STAGES]
    assert re.findall(r'class="mls-step" [^>]*data-state="(\w+)"', drawn) == states
    assert re.findall(r"</svg><span>(\w+)</span>", drawn) == states
    assert drawn.count('class="mls-icon"') == drawn.count("<button") == len(STAGES)


@pytest.mark.parametrize("run", RUNS)
def test_arrows_when_a_stage_was_not_reached_then_nothing_went_along_them(run):
    state = fold(RUNS[run])
    for stage in STAGES:
        if stage_state(state, stage) == "waiting":
            assert "mls-batch" not in loop.step(state, stage)


def test_way_back_when_a_run_was_retrained_then_says_on_which_weeks_and_how_many_flights():
    events = drift_run()
    data = StageFinished("data", 2, 0.1, "", {"training flights": 12_918, "weeks": "2013-09-23"})
    place = events.index(StageStarted("train", 2))
    state = fold([*events[:place], StageStarted("data", 2), data, *events[place:]])
    assert "cycle 2: retrained on the weeks of 23 Sep and 30 Sep" in loop.way_back(state)
    assert loop.returning(state) == Batch("back-2", "drifted", 12_918)
    assert loop.arriving(state, "train") == Batch("train-2", "drifted", 12_918)
    assert loop.arriving(state, "validate") == Batch("validate-1", "calm", 0)


def test_way_back_when_nothing_was_retrained_then_nothing_goes_along_it():
    state = fold(started())
    assert "retrain when production calls for it" in loop.way_back(state)
    assert loop.returning(state) is None


@pytest.mark.parametrize(
    ("scored", "kind"),
    [
        (week(1, 0.95), "calm"),
        (week(1, 0.80), "drifted"),
        (week(1, 0.80, findings=("temp is missing.",)), "failed"),
        (week(1, 0.95, answered=6_000), "failed"),
    ],
)
def test_week_when_it_arrives_then_its_kind_follows_from_its_figures(scored, kind):
    state = fold([*reached("monitor"), scored])
    assert loop.arriving(state, "monitor") == Batch("week-1", kind, 6_400)


def test_models_when_they_go_on_then_are_no_flights_and_a_refused_one_goes_no_further():
    passed = fold(reached("monitor"))
    assert [loop.arriving(passed, one).kind for one in ("gate", "register", "deploy")] == [
        "model",
        "model",
        "model",
    ]
    refused = fold(GATE)
    assert loop.arriving(refused, "gate").kind == "refused"
    assert loop.arriving(refused, "register") is None


def test_batch_when_it_holds_four_times_the_flights_then_is_twice_as_wide():
    assert Batch("", "calm", 40_000).width == pytest.approx(2 * Batch("", "calm", 10_000).width)


@pytest.mark.parametrize("flights", [6_400, 64_000])
def test_batch_when_it_has_another_shape_then_covers_the_same_area(flights):
    disc = 3.14159 / 4 * Batch("", "calm", flights).width ** 2
    for kind in ("drifted", "failed"):
        assert Batch("", kind, flights).width ** 2 / 2 == pytest.approx(disc, rel=0.01)


def test_legend_when_a_week_has_come_then_says_how_many_flights_the_marks_stand_for():
    events = [StageFinished("data", 1, 0.1, "", {"training flights": 64_835})]
    assert "The area is the number of flights." in loop.legend(fold(events))
    told = loop.legend(fold([*events, week(1, 0.95)]))
    assert "64,835 of winter, 6,400 of week 1" in told
