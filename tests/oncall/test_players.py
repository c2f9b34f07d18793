"""What the scripted players save: the file beside lesson 10 has the distribution over seeds."""

import pytest

from mlops_course.oncall.players import BASELINES, PLAYERS
from mlops_course.oncall.scoring import ORACLE, baselines, rehearse, score
from mlops_course.shifts.plans import draw_shift
from mlops_course.shifts.worlds import open_world

SEEDS = (3, 7)
ENOUGH = 0.8
HALF = 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_players_when_they_play_a_normal_shift_then_skill_pays_and_habits_do_not(
    shared_workspace, seed
):
    shift = draw_shift(seed)
    world = open_world(shared_workspace, shift)
    others = baselines(shift, world)
    assert set(others) == set(BASELINES)
    assert score(rehearse(shift, world, "skilled"), others).saved >= ENOUGH
    for naive in ("retrain", "rollback"):
        assert score(others[naive], others).saved < HALF
    known = score(others[ORACLE], others)
    assert all(
        outcome.resolved and outcome.right
        for outcome in known.outcomes
        if outcome.planned.incident.owner
    )


def test_players_when_named_then_they_are_those_that_the_command_line_offers():
    assert set(PLAYERS) == {"nothing", "retrain", "rollback", "skilled", "oracle"}
