import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.deciding.decisions import (
    Observation,
    Retrain,
    Wait,
    Window,
    needs_versions,
    objection,
)
from mlops_course.pipeline.policies import (
    RetrainOnSchedule,
    ReuseFirst,
)
from mlops_course.retraining.safeguards import AtMost, FirstByHand, KillSwitch

ALWAYS = RetrainOnSchedule(1, Window(4))
RETRAIN = Retrain(Window(4), "schedule")


def weeks(moves):
    """Read weeks: ``.`` nothing moved, ``m`` the champion did."""
    return [
        Observation(number, False, acted=sign == "m", moved=sign == "m")
        for number, sign in enumerate(moves, start=1)
    ]


def fails(*_):
    raise OSError("the file system is gone")


def test_kill_switch_when_thrown_then_waits_and_objects_and_else_lets_the_policy_decide():
    thrown = []
    policy = KillSwitch(ALWAYS, lambda: bool(thrown))
    assert policy.decide(weeks("..")) == RETRAIN and objection(policy, weeks("..")) == ""
    thrown.append("by Ada")
    assert policy.decide(weeks("..")) == Wait()
    assert "kill switch" in objection(policy, weeks(".."))


def test_kill_switch_when_nobody_can_say_whether_it_is_thrown_then_nothing_moves():
    policy = KillSwitch(ALWAYS, fails)
    assert policy.decide(weeks(".")) == Wait() and objection(policy, weeks(".")) != ""


@pytest.mark.parametrize(
    ("moves", "allowed"),
    [("....", True), ("m...", False), ("m....", True), ("...m", False), (".m..m", False)],
)
def test_at_most_when_the_champion_has_moved_enough_then_waits_until_that_is_long_ago(
    moves, allowed
):
    policy = AtMost(ALWAYS, moves=1, weeks=4)
    assert policy.decide(weeks(moves)) == (RETRAIN if allowed else Wait())
    assert (objection(policy, weeks(moves)) == "") == allowed


def test_at_most_when_two_moves_are_allowed_then_the_third_waits():
    policy = AtMost(ALWAYS, moves=2, weeks=4)
    assert policy.decide(weeks("m...")) == RETRAIN
    assert policy.decide(weeks("m..m")) == Wait()


@pytest.mark.parametrize("settings", [{"moves": 0}, {"weeks": 0}, {"weeks": 2.5}, {"moves": True}])
def test_at_most_when_a_number_is_none_then_says_what_it_takes(settings):
    with pytest.raises(ParameterError, match="whole numbers from 1 on"):
        AtMost(ALWAYS, **settings)


def test_first_by_hand_when_nobody_approves_then_trains_and_promotes_nothing():
    policy = FirstByHand(ALWAYS, lambda history: False)
    assert policy.decide(weeks("..")) == RETRAIN
    assert "Nobody has approved" in objection(policy, weeks(".."))
    assert "Nobody has approved" in objection(FirstByHand(ALWAYS, fails), weeks(".."))


def test_first_by_hand_when_the_champion_has_moved_before_then_asks_nobody():
    asked = []
    policy = FirstByHand(ALWAYS, lambda history: asked.append(len(history)) or True)
    assert objection(policy, weeks("..")) == "" and asked == [2]
    assert objection(policy, weeks("m.")) == "" and asked == [2]


@pytest.mark.parametrize(
    "wrapped", [lambda p: KillSwitch(p, lambda: False), AtMost, lambda p: FirstByHand(p, bool)]
)
def test_safeguard_when_it_wraps_another_then_passes_on_what_that_needs_and_objects_to(wrapped):
    assert needs_versions(wrapped(ReuseFirst())) and not needs_versions(wrapped(ALWAYS))
    stopped = KillSwitch(ALWAYS, lambda: True)
    assert "kill switch" in objection(wrapped(stopped), weeks("."))
