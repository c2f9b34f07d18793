import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date

import numpy as np
import psutil
import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.data.features import encode
from mlops_course.data.flights import load_flights
from mlops_course.data.stream import LABEL_HOURS
from mlops_course.deciding.decisions import Window
from mlops_course.pipeline import stages
from mlops_course.pipeline.production import looked_at
from mlops_course.pipeline.scenarios import SCENARIOS
from mlops_course.retraining import building
from mlops_course.retraining.building import build
from mlops_course.retraining.matrix import WINDOWS
from mlops_course.retraining.worlds import inputs_of, open_worlds
from mlops_course.training.model import called_late
from mlops_course.training.trainer import TrainingConfig, train

FORTNIGHT = Window(2)
DRIFT = ["drift"]


@pytest.fixture(scope="module")
def place(shared_workspace, tmp_path_factory):
    """A workspace whose cache has the flights and nothing else."""
    from mlops_course.core.workspace import open_workspace

    fresh = open_workspace(tmp_path_factory.mktemp("tables") / "workspace")
    shutil.copy(shared_workspace.cache / "flights.parquet", fresh.cache)
    return fresh


def test_table_when_built_then_each_call_is_that_of_a_model_trained_as_the_loop_does(
    tables, shared_workspace
):
    table = tables["drift"]
    world = open_worlds(shared_workspace, DRIFT, seed=0, weeks=11)["drift"]
    weeks = world.weeks[:5]
    rows = stages.gather(FORTNIGHT, world.earlier, weeks, looked_at(weeks[-1])).made.rows
    result = train(rows, TrainingConfig(random_state=0))
    number = table.find(5, FORTNIGHT)
    assert table.models[number].rows == result.rows
    assert table.models[number].regimes == {"clock"}
    for week in (6, 11):
        probability = result.model.probability(world.weeks[week - 1].flights)
        assert (table.called_late(number, week) == called_late(probability)).all()
        sure = np.maximum(probability, 1 - probability).mean()
        assert table.confidence[number, week - 1] == pytest.approx(sure, abs=1e-12)


def test_table_when_a_week_is_before_the_training_then_nothing_is_known_of_it(tables):
    table = tables["drift"]
    number = table.find(5, FORTNIGHT)
    assert not table.called_late(number, 5).any() and np.isnan(table.confidence[number, 4])
    assert np.isinf(table.wrong[number, :5]).all() and np.isfinite(table.wrong[number, 5:]).all()
    assert (table.right[number, table.stretch.week_of_day <= 5] == 0).all()


def test_table_when_counted_by_day_then_the_days_make_the_weeks(tables):
    table = tables["repaired"]
    assert len(table.stretch.days) == 77 and list(table.stretch.week_of_day[6:8]) == [1, 2]
    flights = table.stretch.flights
    assert table.stretch.labelled.sum() == flights["late"].notna().sum()
    first = flights[flights["date"] == "2013-09-02"]
    calls = table.called_late(0, 1)[: len(first)]
    assert table.right[0, 0] == (calls == (first["late"] == 1))[first["late"].notna()].sum()
    wrong = table.stretch.labelled - table.right[0]
    assert (table.stretch.by_week(wrong) == table.wrong[0]).all()


def test_table_when_worlds_part_only_later_then_their_models_are_the_same_until_then(tables):
    drift, repaired = tables["drift"], tables["repaired"]
    for after in (3, 8):
        one, two = drift.find(after, FORTNIGHT), repaired.find(after, FORTNIGHT)
        assert (drift.called_late(one, 9) != repaired.called_late(two, 9)).any() == (after < 9)
    number = drift.find(4, FORTNIGHT)
    assert (drift.called_late(number, 8) == repaired.called_late(number, 8)).all()
    assert [truth.incident for truth in drift.stretch.truths] == [""] * 3 + ["clock"] * 8
    told = [truth.incident for truth in repaired.stretch.truths]
    assert told == [""] * 3 + ["clock"] * 5 + [""] * 3
    assert repaired.models[repaired.find(9, FORTNIGHT)].regimes == {"", "clock"}


def test_table_when_a_window_is_missing_then_says_which_there_are(tables):
    with pytest.raises(ParameterError, match=r"trained after week 5 on the last 4 weeks.*2 weeks"):
        tables["drift"].find(5, Window(4))
    with pytest.raises(ParameterError, match="after weeks 1 to 10"):
        tables["drift"].find(11, FORTNIGHT)


def same(one, other):
    return (
        one.models == other.models
        and (one.calls == other.calls).all()
        and np.array_equal(one.confidence, other.confidence, equal_nan=True)
        and one.stretch.truths == other.stretch.truths
        and one.stretch.flights.astype(str).equals(other.stretch.flights.astype(str))
    )


def test_build_when_it_was_built_before_then_reads_it_and_trains_nothing(place, monkeypatch):
    steps = []
    tell = lambda done, of: steps.append((done, of))  # noqa: E731
    made = build(place, DRIFT, [FORTNIGHT], seed=0, weeks=3, tell=tell)["drift"]
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    monkeypatch.setattr(building, "train", lambda *_: pytest.fail("it trained"))
    steps.clear()
    kept = build(place, DRIFT, [FORTNIGHT], seed=0, weeks=3, tell=tell)["drift"]
    assert same(made, kept) and steps == [(0, 0)]


def test_build_when_a_file_is_damaged_or_another_is_wanted_then_makes_that_again(place):
    made = build(place, DRIFT, [FORTNIGHT], seed=0, weeks=3)["drift"]
    for path in (place.cache / "retraining").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    steps = []
    again = build(place, DRIFT, [FORTNIGHT], seed=0, weeks=3, tell=lambda *s: steps.append(s))
    assert same(made, again["drift"]) and steps[-1] == (3, 3)
    steps.clear()
    build(place, DRIFT, [FORTNIGHT], seed=0, weeks=3, again=True, tell=lambda *s: steps.append(s))
    assert steps[-1] == (3, 3)


def test_build_when_two_programs_share_the_work_then_the_table_is_the_same(place):
    alone = build(place, DRIFT, [FORTNIGHT], seed=0, weeks=3)["drift"]
    together = build(place, DRIFT, [FORTNIGHT], seed=0, weeks=3, again=True, processes=2)["drift"]
    assert same(alone, together)


KILLED = """
import sys
from mlops_course.core.workspace import open_workspace
from mlops_course.deciding.decisions import Window
from mlops_course.retraining.building import build
tell = lambda done, of: print(done, flush=True)
build(open_workspace(sys.argv[1]), ["drift"], [Window(2)], seed=0, weeks=9, processes=2, tell=tell)
"""


def test_build_when_its_program_is_killed_then_its_helpers_end_as_well(place):
    command = [sys.executable, "-c", KILLED, str(place.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert [program.stdout.readline().strip() for _ in range(2)] == ["0", "1"]
        helpers = psutil.Process(program.pid).children(recursive=True)
        program.kill()
    assert len(helpers) >= 2
    assert psutil.wait_procs(helpers, timeout=30)[1] == []


def test_build_when_the_data_of_a_window_fail_their_tests_then_there_is_no_such_model(place):
    table = build(place, ["dead-weather"], [Window(1)], seed=0, weeks=6)["dead-weather"]
    faults = [table.models[table.find(after, Window(1))].fault for after in (3, 4, 5)]
    assert faults[0] == "" and all("missing in 100% of flights" in fault for fault in faults[1:])
    assert np.isinf(table.wrong[table.find(4, Window(1))]).all()


def test_build_when_no_label_ever_arrives_then_nothing_is_known_and_no_model_made(
    place, monkeypatch
):
    blind = replace(SCENARIOS["drift"], name="blind", label_hours=24.0 * 365)
    monkeypatch.setitem(SCENARIOS, "blind", blind)
    seeing, table = build(place, ["drift", "blind"], [Window(1)], seed=0, weeks=2).values()
    assert seeing.models[1].fault == "" and seeing.models[1].rows > 5_000
    assert table.stretch.labelled.sum() == 0 and table.right.sum() == 0
    assert "labelled flights" in table.models[1].fault
    assert blind.label_hours != LABEL_HOURS


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([], [FORTNIGHT]), "There are 0 worlds"),
        ((DRIFT, []), "0 windows"),
        ((["winter"], [FORTNIGHT]), "no scenario 'winter'"),
    ],
)
def test_build_when_nothing_can_come_of_it_then_says_why(place, arguments, said):
    with pytest.raises(ParameterError, match=said):
        build(place, *arguments)


def test_inputs_when_encoded_then_are_what_the_features_encode(shared_workspace):
    world = open_worlds(shared_workspace, DRIFT, seed=1, weeks=4)["drift"]
    week = world.weeks[3]
    vocabulary = {"carrier": ["AA", "UA", "ZZ"], "origin": ["LGA", "JFK"], "dest": ["MIA"]}
    mine = inputs_of(week).encoded(vocabulary)
    np.testing.assert_array_equal(mine, encode(week.flights, vocabulary))


def test_worlds_when_opened_together_then_share_the_weeks_that_are_equal(shared_workspace):
    worlds = open_worlds(shared_workspace, ["drift", "repaired", "padding"], None, weeks=10)
    drift, repaired, padding = worlds.values()
    assert all(drift.weeks[place] is repaired.weeks[place] for place in range(8))
    assert drift.weeks[8] is not repaired.weeks[8]
    assert drift.weeks[0] is padding.weeks[0] and drift.weeks[4] is not padding.weeks[4]
    assert padding.struck(5) and not padding.inputs_struck(5)
    real = load_flights(shared_workspace, date(2013, 9, 30), date(2013, 10, 6))
    np.testing.assert_array_equal(padding.weeks[4].flights["temp"], real["temp"])


def test_worlds_when_shuffled_then_no_day_of_a_later_week_was_in_an_earlier_one(shared_workspace):
    kept, moved = (
        open_worlds(shared_workspace, ["real-year"], None, weeks=12, shuffle=order)["real-year"]
        for order in (None, 3)
    )
    sums = [[week.flights["dep_delay"].sum() for week in world.weeks] for world in (kept, moved)]
    assert sums[0] != sums[1]
    days = [
        total
        for rows in (*moved.earlier, *(week.flights for week in moved.weeks))
        for total in rows.groupby("date")["distance"].sum()
    ]
    assert len(set(days)) > 0.98 * len(days)
    drawn = open_worlds(shared_workspace, ["real-year"], seed=0, weeks=12)["real-year"]
    again = [
        total for week in drawn.weeks for total in week.flights.groupby("date")["distance"].sum()
    ]
    assert len(set(again)) < 0.8 * len(again)


def test_build_when_the_days_are_in_another_order_then_that_is_another_table(place):
    tables = [build(place, DRIFT, [FORTNIGHT], weeks=2, shuffle=order)["drift"] for order in (1, 2)]
    assert (tables[0].wrong[0] != tables[1].wrong[0]).any()
    assert [table.stretch.shuffle for table in tables] == [1, 2]


def test_windows_when_named_then_are_five_and_none_of_them_twice():
    assert len(set(WINDOWS)) == 5
