"""What the stages leave behind; in which order they come is the loop's, and tested there."""

from datetime import date

import pytest

from mlops_course.data.flights import labelled, load_flights
from mlops_course.pipeline import stages
from mlops_course.registry import exams
from mlops_course.training import tracking
from mlops_course.training.trainer import TrainingConfig


@pytest.fixture
def store(workspace):
    return tracking.connect(workspace)


@pytest.fixture
def flights(workspace):
    return labelled(load_flights(workspace, date(2013, 3, 18), date(2013, 3, 31)))


@pytest.fixture
def pipeline(store):
    """The id of a run of the pipeline."""
    return tracking.start_run(store, "pipeline", tracking.provenance(), {})


@pytest.fixture
def trained(store, pipeline, monkeypatch):
    """Return a function that trains a candidate, below the pipeline's run or another."""
    rows = load_flights(store.workspace, date(2013, 1, 1), date(2013, 1, 31))

    def do(trees, parent=pipeline):
        monkeypatch.setattr(
            stages, "TrainingConfig", lambda random_state: TrainingConfig(max_iter=trees)
        )
        origin = tracking.provenance()
        done = stages.fit(store, origin, rows, None, name="c", seed=0, parent=parent)
        return done.made

    return do


def told(verdict):
    return {check.name: check.passed for check in verdict.checks}


def test_judge_when_a_run_has_one_candidate_then_its_look_is_written_down(
    store, pipeline, flights, trained
):
    candidate = trained(20)
    verdict = stages.judge(store, candidate, flights).made
    assert told(verdict)["fresh exam"] and "better than the rule" in told(verdict)
    exam = exams.describe(flights, pipeline)
    assert exam.fingerprint in verdict.checks[0].seen
    assert exams.judged_on(store, exam) == {exams.Pair(candidate.result.digest)}


def test_judge_when_a_run_brings_a_second_candidate_to_one_exam_then_it_is_not_compared(
    store, flights, trained
):
    stages.judge(store, trained(20), flights)
    done = stages.judge(store, trained(25), flights)
    assert told(done.made) == {"fresh exam": False} and done.headline == "refused"
    assert (
        "1 of at most 1 candidates, each against a rival, were judged" in done.figures["fresh exam"]
    )


def test_judge_when_another_run_has_the_same_exam_then_each_is_a_world_of_its_own(
    store, flights, trained
):
    stages.judge(store, trained(20), flights)
    other = tracking.start_run(store, "pipeline", tracking.provenance(), {})
    assert told(stages.judge(store, trained(25, other), flights).made)["fresh exam"]
