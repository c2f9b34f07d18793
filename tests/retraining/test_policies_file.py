"""The file of lesson 09: what `bench --retraining` counted, held against what can be made again."""

import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from mlops_course.data.flights import labelled, load_flights, shuffle_days
from mlops_course.retraining.matrix import LAST_FORTNIGHT, LAST_QUARTER
from mlops_course.retraining.trials import usual_policies
from mlops_course.training.model import called_late
from mlops_course.training.trainer import TrainingConfig, train

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
WORLDS = {"real-year", "year-clock", "year-repaired", "year-padding"}
DAYS = {"as they were", *(f"order {number}" for number in range(5))}
SHOWN = ["trainings", "wrong", "false_alarms", "refused", "days_awaited"]


@pytest.fixture(scope="module")
def kept():
    return pd.read_csv(NOTEBOOKS / "09_policies.csv")


def test_file_when_read_then_each_world_and_order_has_each_policy_once(kept):
    policies = kept[kept["policy"] != "oracle"]
    places = policies.groupby(["world", "days"])
    assert set(kept["world"]) == WORLDS and set(kept["days"]) == DAYS
    assert set(places.groups) == {(world, days) for world in WORLDS for days in DAYS}
    once = {
        (window, gate, name)
        for window in ("13", "2")
        for gate in ("yes", "no")
        for name in usual_policies(LAST_FORTNIGHT)
    }
    for _, rows in places:
        assert len(rows) == len(once)
        assert set(rows[["window", "gate", "policy"]].itertuples(index=False, name=None)) == once


def test_oracle_when_it_trains_more_then_is_less_wrong_and_no_policy_without_reuse_beats_it(kept):
    """Without the gate a policy serves a week earlier than the oracle may."""
    for _, rows in kept.groupby(["world", "days"]):
        plans = rows[rows["policy"] == "oracle"]
        assert plans["wrong"].is_monotonic_decreasing and plans["trainings"].is_monotonic_increasing
        others = rows[(rows["gate"] == "yes") & ~rows["policy"].str.startswith("reuse")]
        for price in (0, 50, 200):
            best = (plans["wrong"] + price * plans["trainings"]).min()
            assert (others["wrong"] + price * others["trainings"]).min() >= best


@pytest.mark.parametrize("order", [0, 4])
def test_wrong_calls_of_the_first_model_when_counted_again_then_are_those_of_the_file(
    shared_workspace, kept, order
):
    year = shuffle_days(load_flights(shared_workspace), order)
    model = train(year[year["date"] < "2013-03-18"], TrainingConfig()).model
    asked = labelled(year[year["date"].between("2013-04-01", "2013-12-29")])
    calls = called_late(model.probability(asked))
    told = kept.query(f"world == 'real-year' and days == 'order {order}' and policy == 'never'")
    assert set(told["flights"]) == {len(asked)}
    assert set(told["wrong"]) == {int(np.sum(calls != (asked["late"] == 1)))}


def test_rows_of_the_real_days_when_lesson_09_shows_them_then_are_the_same(kept):
    """The lesson computes them anew, and nbval compares what it stores."""
    cells = nbformat.read(NOTEBOOKS / "09_closing_the_loop.ipynb", as_version=4).cells
    (cell,) = [one for one in cells if "pd.concat(found)" in one.source]
    world = ""
    shown = {}
    for row in re.findall(r"<tr>(.*?)</tr>", cell.outputs[0]["data"]["text/html"], re.DOTALL):
        *worlds, name = re.findall(r"<th[^>]*>(.*?)</th>", row)
        figures = re.findall(r"<td>(.*?)</td>", row)
        world = worlds[0] if worlds else world
        if name in usual_policies(LAST_QUARTER):
            shown[world, name] = [int(figure) for figure in figures[: len(SHOWN)]]
    told = kept.query("days == 'as they were' and window == '13' and gate == 'yes'")
    assert len(shown) == 16
    for place, row in told.set_index(["world", "policy"])[SHOWN].iterrows():
        if place[0] in ("real-year", "year-repaired"):
            assert shown[place] == row.tolist(), place
