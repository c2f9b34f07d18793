"""The file of lesson 10: what `bench --oncall` counted, held against what can be made again."""

from pathlib import Path
from runpy import run_path

import pandas as pd
import pytest

from mlops_course.core.workspace import HOME_VARIABLE
from mlops_course.oncall.players import PLAYERS
from mlops_course.shifts.plans import LEVELS

ROOT = Path(__file__).parents[2]
BENCH = run_path(str(ROOT / "tests" / "bench_oncall.py"))


@pytest.fixture(scope="module")
def kept():
    return pd.read_csv(ROOT / "notebooks" / "10_players.csv")


def test_file_when_read_then_each_shift_has_each_player_once_and_costs_something(kept):
    assert tuple(kept.columns) == BENCH["COLUMNS"]
    assert set(kept["level"]) == set(LEVELS)
    for _, rows in kept.groupby(["seed", "level"]):
        assert list(rows["player"]) == list(PLAYERS)
    assert (kept["wrong"] > 0).all() and (kept.drop(columns=["level", "player"]) >= 0).all(
        axis=None
    )
    idle = kept[kept["player"] == "nothing"]
    assert (idle[["work", "false_alarms", "statements"]] == 0).all(axis=None)


def test_file_when_levels_are_graded_then_seed_0_is_there_for_each(kept):
    assert set(kept.loc[kept["seed"] == 0, "level"]) == set(LEVELS)


@pytest.mark.parametrize(("seed", "players"), [(0, ["skilled", "rollback"]), (1, ["oracle"])])
def test_rows_when_made_again_then_are_those_of_the_file(
    shared_workspace, monkeypatch, kept, seed, players
):
    monkeypatch.setenv(HOME_VARIABLE, str(shared_workspace.root))
    for row in BENCH["rows_of"](seed, "easy", players):
        place = (kept[["seed", "level", "player"]] == row[:3]).all(axis=1)
        assert kept[place].to_numpy().tolist() == [row]
