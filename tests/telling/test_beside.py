"""Two runs side by side: what the sentence and the chart say of them."""

from dataclasses import replace

import pytest
from handmade import drift_run, started, week

from mlops_course.picture import views
from mlops_course.pipeline.events import WeekScored
from mlops_course.pipeline.state import RunState, fold
from mlops_course.telling.beside import in_a_sentence, pairs


def run_of(*accuracies: float, **settings: object) -> RunState:
    """Return a run whose weeks scored so."""
    began, *stages = started()
    weeks = [week(number, share) for number, share in enumerate(accuracies, start=1)]
    named = {"run_id": str(accuracies), **settings}
    return fold([replace(began, **named), *stages, *weeks])


def test_sentence_when_two_runs_met_the_same_flights_then_counts_wrong_calls_of_both():
    here = run_of(0.92, 0.84, 0.84)
    there = run_of(0.92, 0.92, 0.92, title="Good data", scenario="good")
    said = in_a_sentence(here, there)
    assert f"({here.started.title} here, Good data there)" in said
    assert "accuracy is 5.3 points lower on average over the 3 weeks" in said
    assert "and by a point or more lower in weeks 2 and 3." in said
    wrong = [
        round(sum(one.labelled * (1 - one.accuracy) for one in run.weeks)) for run in (here, there)
    ]
    assert said.endswith(f"Wrong calls: {wrong[0]:,} here, {wrong[1]:,} there.")


def test_sentence_when_the_seeds_differ_then_says_that_part_of_it_is_luck():
    said = in_a_sentence(run_of(0.92, 0.84, seed=1), run_of(0.92, 0.92, seed=0))
    assert "seed 1 here, seed 0 there" in said
    assert said.endswith("Their flights are not the same, so part of that is luck.")
    assert "Wrong calls" not in said


def test_sentence_when_no_week_differs_by_a_point_then_claims_no_difference():
    said = in_a_sentence(run_of(0.920, 0.925), run_of(0.925, 0.920, threshold=0.85))
    assert "alert below 90% here, 85% there" in said
    assert "no week of the 2 that both have differs by a point" in said


def test_sentence_when_one_run_is_shorter_then_speaks_of_the_weeks_that_both_have():
    here = run_of(0.92)
    there = run_of(0.84, 0.60, 0.60)
    assert "8.0 points higher on average over the 1 week that both have" in in_a_sentence(
        here, there
    )
    assert len(pairs(here, there)) == 1


@pytest.mark.parametrize("cut", [0, 1, len(started())])
def test_sentence_when_a_run_has_no_week_yet_then_says_so_or_nothing(cut):
    said = in_a_sentence(fold(started()[:cut]), run_of(0.9))
    assert said == "" if cut == 0 else said.endswith("no week has been scored in both yet.")


def test_chart_when_another_run_is_beside_then_draws_each_of_its_weeks_and_names_it():
    here = fold(drift_run())
    count = len([event for event in drift_run() if isinstance(event, WeekScored)])
    there = run_of(*[0.93] * count)
    alone = views.accuracy(here)
    drawn = views.accuracy(here, there)
    assert "mls-other" not in alone and "kept run" not in alone
    assert drawn.count("of the kept run: accuracy 93.0%") == count
    assert "accuracy of the kept run" in drawn and "Beside the kept run" in drawn


def test_chart_when_the_other_run_is_longer_then_stays_within_its_own_weeks():
    here = run_of(0.92, 0.91, weeks=4)
    there = run_of(*[0.93] * 9)
    assert views.accuracy(here, there).count("of the kept run: accuracy") == 4


def test_sentence_when_the_run_is_the_kept_one_then_says_what_to_do_next():
    run = run_of(0.92, 0.91)
    assert in_a_sentence(run, run).startswith("This run is kept. Set something otherwise")


def test_sentence_when_a_person_chose_in_one_run_then_says_that_it_asked():
    said = in_a_sentence(run_of(0.92, retrain="ask", policy="Person()"), run_of(0.91))
    assert "at an alert asked here, retrained there" in said and "Person" not in said
