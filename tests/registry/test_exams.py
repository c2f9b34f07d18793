from dataclasses import replace
from datetime import date

import pytest

from mlops_course.core.errors import WorkspaceError
from mlops_course.data.flights import labelled, load_flights
from mlops_course.registry import exams
from mlops_course.registry.exams import Pair, describe, enter, judged_on, level_for, note, world_of
from mlops_course.training import tracking

CANDIDATES = 3


@pytest.fixture
def store(workspace):
    return tracking.connect(workspace)


@pytest.fixture
def run(store):
    """Return a function that makes a training run, below another or none."""

    def do(parent=""):
        run_id = tracking.start_run(store, "c", tracking.provenance(), {}, parent=parent)
        tracking.end_run(store, run_id)
        return run_id

    return do


@pytest.fixture(scope="module")
def flights(shared_workspace):
    return labelled(load_flights(shared_workspace, date(2013, 3, 18), date(2013, 3, 24)))


@pytest.fixture(scope="module")
def exam(flights):
    return describe(flights)


@pytest.fixture
def worn_out(store, run, exam):
    """The runs of as many candidates as an exam serves, judged on it."""
    runs = [run() for _ in range(CANDIDATES)]
    for number, run_id in enumerate(runs):
        assert enter(store, run_id, exam, f"model {number}", CANDIDATES).passed
    return runs


def test_exam_when_described_then_has_a_fingerprint_of_days_features_and_labels(flights, exam):
    assert (exam.first, exam.last, exam.days) == ("2013-03-18", "2013-03-24", 7)
    assert exam.flights == len(flights)
    assert describe(flights.assign(probability=0.5)).fingerprint == exam.fingerprint
    assert describe(flights.assign(late=1 - flights["late"])).fingerprint != exam.fingerprint
    assert describe(flights.assign(temp=0.0)).fingerprint != exam.fingerprint


def test_enter_when_candidates_are_judged_then_each_is_counted_once_and_told(store, run, exam):
    first = enter(store, run(), exam, "one", 5)
    again = enter(store, run(), exam, "one", 5)
    second = enter(store, run(), exam, "two", 5)
    assert first == again and judged_on(store, exam) == {Pair("one"), Pair("two")}
    assert first.seen == (
        f"With this one 1 of at most 5 judged on exam {exam.fingerprint}: {exam.flights:,} flights "
        "of 7 days, 2013-03-18 to 2013-03-24. Each claim is held to one-sided 99%, all candidates "
        "together to 95%."
    )
    assert second.seen.startswith("With this one 2 of at most 5 judged")


def test_enter_when_the_exam_is_worn_out_then_refuses_writes_nothing_and_says_what_to_do(
    store, run, exam, worn_out
):
    refused = enter(store, run(), exam, "one more", CANDIDATES)
    assert not refused.passed and refused.name == exams.NAME
    assert refused.seen.startswith(
        "3 of at most 3 candidates, each against a rival, were judged on days of 2013-03-18 to"
    )
    assert refused.seen.endswith("These are worn out: judge on days after 2013-03-24.")
    assert Pair("one more") not in judged_on(store, exam)


def test_enter_when_a_judged_candidate_comes_back_to_a_worn_out_exam_then_may(
    store, exam, worn_out
):
    assert enter(store, worn_out[0], exam, "model 0", CANDIDATES).passed


def test_enter_when_an_exam_shares_a_day_with_a_worn_out_one_then_it_is_no_fresh_one(
    store, run, exam, worn_out
):
    shorter = replace(exam, fingerprint="0" * 12, first="2013-03-19", days=6)
    overlapping = replace(exam, fingerprint="1" * 12, first="2013-03-24", last="2013-03-30")
    later = replace(exam, fingerprint="2" * 12, first="2013-03-25", last="2013-03-31")
    assert not enter(store, run(), shorter, "one more", CANDIDATES).passed
    assert not enter(store, run(), overlapping, "one more", CANDIDATES).passed
    assert enter(store, run(), later, "one more", CANDIDATES).passed


def test_enter_when_one_comes_by_way_of_later_days_then_a_worn_out_exam_stays_worn_out(
    store, run, exam, worn_out
):
    later = replace(exam, fingerprint="2" * 12, first="2013-03-25", last="2013-03-31")
    bridge = replace(exam, fingerprint="3" * 12, first="2013-03-20", last="2013-03-26")
    run_id = run()
    assert enter(store, run_id, later, "one more", CANDIDATES).passed
    for known in (bridge, exam):
        refused = enter(store, run_id, known, "one more", CANDIDATES)
        assert not refused.passed and len(judged_on(store, exam)) == CANDIDATES
    assert "after 2013-03-24" in refused.seen


def test_enter_when_runs_of_the_pipeline_draw_their_own_days_then_each_is_a_world_of_its_own(
    store, run, exam
):
    pipeline, other = run(), run()
    candidate = run(parent=pipeline)
    assert world_of(store, candidate) == pipeline and world_of(store, pipeline) == ""
    mine = replace(exam, world=pipeline)
    assert enter(store, candidate, mine, "one", 1).passed
    assert not enter(store, run(parent=pipeline), mine, "two", 1).passed
    assert enter(store, run(parent=other), replace(exam, world=other), "two", 1).passed
    assert enter(store, candidate, exam, "three", 1).passed
    assert judged_on(store, exam) == {Pair("three")}
    assert judged_on(store, mine) == {Pair("one")}


def test_enter_when_a_run_is_deleted_afterwards_then_its_look_still_counts(store, exam, worn_out):
    store.client.delete_run(worn_out[0])
    assert Pair("model 0") in judged_on(store, exam)


def test_enter_when_the_candidates_run_is_gone_then_is_not_let_in(store, run, exam):
    gone = run()
    store.client.delete_run(gone)
    for run_id in (gone, "0" * 32):
        refused = enter(store, run_id, exam, "one", CANDIDATES)
        assert not refused.passed and "is gone" in refused.seen
    assert not judged_on(store, exam)


def test_judged_on_when_somebody_has_edited_a_tag_then_the_others_still_count(
    store, exam, worn_out
):
    for text in ("rubbish", "{}", "[1]", "7", '{"digest": "x", "colour": 1}'):
        store.client.set_tag(worn_out[1], f"exam.{exam.fingerprint}.model 1", text)
        assert judged_on(store, exam) == {Pair("model 0"), Pair("model 2")}


def test_note_when_the_store_is_deleted_in_between_then_says_so(store, run, exam):
    run_id = run()
    store.workspace.database.unlink()
    with pytest.raises(WorkspaceError, match="could not be written"):
        enter(store, run_id, exam, "one", CANDIDATES)


@pytest.mark.parametrize(("candidates", "level"), [(1, 0.95), (2, 0.975), (5, 0.99)])
def test_level_when_candidates_share_an_exam_then_together_they_fail_one_time_in_twenty(
    candidates, level
):
    assert level_for(candidates) == pytest.approx(level)


def test_enter_when_a_run_comes_back_with_another_model_then_that_is_another_candidate(
    store, run, exam
):
    run_id = run()
    assert enter(store, run_id, exam, "one", CANDIDATES).passed
    assert enter(store, run_id, exam, "two", CANDIDATES).passed
    assert judged_on(store, exam) == {Pair("one"), Pair("two")}


def test_note_when_one_run_is_judged_on_two_exams_then_both_are_kept(store, run, exam):
    run_id = run()
    later = replace(exam, fingerprint="2" * 12, first="2013-03-25", last="2013-03-31")
    note(store, run_id, exam, Pair("one"))
    note(store, run_id, later, Pair("one"))
    assert judged_on(store, exam) == judged_on(store, later) == {Pair("one")}


def test_enter_when_a_judged_candidate_meets_another_rival_then_it_takes_a_place_of_its_own(
    store, run, exam
):
    run_id = run()
    assert enter(store, run_id, exam, "one", 2, "champion 1").passed
    assert enter(store, run_id, exam, "one", 2, "champion 2").passed
    pairs = {Pair("one", "champion 1"), Pair("one", "champion 2")}
    assert judged_on(store, exam) == pairs
    refused = enter(store, run_id, exam, "one", 2, "champion 3")
    assert not refused.passed and judged_on(store, exam) == pairs
    assert enter(store, run_id, exam, "one", 2, "champion 2").passed


def test_enter_when_candidates_were_trained_in_other_experiments_then_they_are_counted_too(
    store, exam
):
    for number in range(CANDIDATES):
        elsewhere = store.client.create_experiment(f"elsewhere {number}")
        run_id = store.client.create_run(elsewhere).info.run_id
        assert enter(store, run_id, exam, f"model {number}", CANDIDATES).passed
        if number == 1:
            store.client.delete_experiment(elsewhere)
    assert len(judged_on(store, exam)) == CANDIDATES
    run_id = store.client.create_run(elsewhere).info.run_id
    assert not enter(store, run_id, exam, "one more", CANDIDATES).passed
