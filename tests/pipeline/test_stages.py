"""What the stages leave behind; in which order they come is the loop's, and tested there."""

from datetime import date, timedelta

import pandas as pd
import pytest

from mlops_course.core.errors import RegistryError
from mlops_course.data.flights import labelled, load_flights
from mlops_course.data.stream import WEEK, Stream
from mlops_course.deciding.decisions import Window
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
    assert exam.fingerprint in verdict.checks[0].seen and verdict.exam == exam.fingerprint
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


# ---- which flights to train on

APRIL = date(2013, 4, 1)


@pytest.fixture(scope="module")
def earlier(shared_workspace):
    """Winter, as a run has it: what the first model learned from, and its exam."""
    winter = load_flights(shared_workspace, last="2013-03-31")
    before = winter["date"] < "2013-03-18"
    return [winter[before], labelled(winter[~before])]


@pytest.fixture(scope="module")
def spring(shared_workspace):
    """Three weeks of production."""
    stream = Stream(load_flights(shared_workspace, "2013-03-25", "2013-05-05"), APRIL)
    return list(stream.weeks(3))


def chosen(window, earlier, spring):
    return stages.gather(window, earlier, spring, date(2013, 4, 25)).made


def test_gather_when_production_has_the_weeks_then_takes_those_as_they_were_seen(earlier, spring):
    found = chosen(Window(2), earlier, spring)
    assert found.mondays == ("2013-04-08", "2013-04-15") and found.whole_weeks == 2
    expected = pd.concat([week.seen_at(date(2013, 4, 25)) for week in spring[1:]])
    pd.testing.assert_frame_equal(found.rows, expected.reset_index(drop=True))


def test_gather_when_labels_of_the_newest_week_are_out_then_they_are_missing(earlier, spring):
    early = stages.gather(Window(1), earlier, spring, date(2013, 4, 18)).made.rows
    by_day = early.groupby("date")["late"].count()
    assert by_day["2013-04-15"] > 800 and by_day["2013-04-21"] == 0


def test_gather_when_a_window_reaches_beyond_production_then_takes_the_weeks_before(
    earlier, spring
):
    found = chosen(Window(5), earlier, spring)
    fridays = [date.fromisoformat(monday) for monday in found.mondays]
    assert fridays == [APRIL - 2 * WEEK + number * WEEK for number in range(5)]
    assert found.rows["date"].min() == pd.Timestamp("2013-03-18") and found.whole_weeks == 3
    assert found.rows["date"].is_monotonic_increasing


def test_gather_when_all_weeks_are_wanted_then_begins_in_january(earlier, spring):
    rows = chosen(Window(), earlier, spring).rows
    assert len(rows) == sum(map(len, earlier)) + sum(len(week.flights) for week in spring)
    assert rows["date"].min() == pd.Timestamp("2013-01-01")


def test_gather_when_fewer_flights_are_wanted_then_takes_about_so_many_of_every_week(
    earlier, spring
):
    every = chosen(Window(), earlier, spring)
    some = chosen(Window(flights=20_000), earlier, spring)
    assert len(some.rows) == pytest.approx(20_000, rel=0.03)
    assert some.mondays == every.mondays and some.whole_weeks == pytest.approx(0.6, rel=0.05)
    again = chosen(Window(flights=20_000), earlier, spring)
    pd.testing.assert_frame_equal(some.rows, again.rows)
    assert len(chosen(Window(flights=10**6), earlier, spring).rows) == len(every.rows)


def test_gather_when_old_flights_count_less_then_half_are_left_after_that_many_weeks(
    earlier, spring
):
    rows = chosen(Window(half_life=4), earlier, spring).rows
    whole = chosen(Window(), earlier, spring).rows
    week = timedelta(days=6)
    for monday, share in (
        (date(2013, 4, 15), 1.0),
        (date(2013, 3, 18), 0.5),
        (date(2013, 2, 18), 0.25),
    ):
        inside = [
            frame["date"].between(str(monday), str(monday + week)).sum() for frame in (rows, whole)
        ]
        assert inside[0] / inside[1] == pytest.approx(share, abs=0.03)


def test_gather_when_a_flight_was_taken_while_young_then_it_may_go_but_never_comes_back(
    earlier, spring
):
    window = Window(half_life=2)
    keys = ["date", "carrier", "dest", "hour", "dep_delay", "distance", "temp"]
    young = chosen(window, earlier, spring[:2]).rows[keys].drop_duplicates()
    older = chosen(window, earlier, spring).rows[keys].drop_duplicates()
    before = older[older["date"] < "2013-04-15"]
    assert len(before) < len(young) and len(before.merge(young)) == len(before)


# ---- going back to a version


def test_return_to_when_the_registry_does_not_know_it_then_says_so_and_nothing_moves(store):
    done = stages.return_to(store, "7", "", "the feed is repaired")
    assert isinstance(done.made, RegistryError) and "no way back to version 7" in done.made.happened
    assert done.headline == "version 7 refused"
