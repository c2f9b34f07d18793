import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_course.core.errors import ParameterError
from mlops_course.stats.betting import Bet, first_alarm, wealth

SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def test_wealth_when_worked_by_hand_then_is_the_same():
    # Half of 1 buys 2.5 tickets at .2; they pay .4 each, so 1 comes back, and .5 was kept.
    assert wealth(np.array([0.4]), null=0.2, stake=0.5).tolist() == [1.5]
    assert wealth(np.array([0.4, 0.0, 0.2]), null=0.2, stake=1.0).tolist() == [2.0, 0.0, 0.0]


def test_wealth_when_streams_are_many_then_equals_that_of_each():
    streams = np.random.default_rng(0).random((3, 4, 20))
    together = wealth(streams, 0.4)
    assert together[2, 1] == pytest.approx(wealth(streams[2, 1], 0.4))


@given(SHARES, st.floats(0.01, 0.99), st.floats(0.01, 1))
def test_wealth_when_shares_are_any_then_is_never_a_debt(values, null, stake):
    assert (wealth(np.array(values), null, stake) >= 0).all()


@given(SHARES, st.floats(0.05, 0.9), st.floats(0.01, 1))
def test_wealth_when_the_null_is_higher_then_is_never_more(values, null, stake):
    lower = wealth(np.array(values), null, stake)
    assert (wealth(np.array(values), null + 0.05, stake) <= lower * (1 + 1e-9)).all()


def test_bet_when_values_are_independent_at_the_null_then_alarms_no_more_often_than_promised():
    generator = np.random.default_rng(1)
    for shares in (
        generator.binomial(40, 0.1, (4_000, 300)) / 40,
        generator.beta(3, 27, (4_000, 300)),
    ):
        for stake in (0.1, 0.5, 1.0):
            assert (wealth(shares, 0.1, stake) >= 20).any(axis=1).mean() < 0.05
    # It is no empty promise, either: the bound is nearly reached where a bet is neither too bold
    # nor too shy for so many values.
    assert (wealth(shares, 0.1, 0.5) >= 20).any(axis=1).mean() > 0.02


def test_bet_when_looked_at_each_day_then_keeps_what_a_test_for_one_look_breaks():
    generator = np.random.default_rng(2)
    shares = generator.binomial(100, 0.1, (2_000, 200)) / 100
    days = np.arange(1, 201)
    z = (np.cumsum(shares, axis=1) / days - 0.1) / np.sqrt(0.1 * 0.9 / (100 * days))
    assert (z > 1.645).any(axis=1).mean() > 0.2
    assert (wealth(shares, 0.1) >= 20).any(axis=1).mean() < 0.05


def test_bet_when_days_go_together_then_slack_keeps_the_promise_that_it_breaks_without():
    generator = np.random.default_rng(3)
    weeks = np.repeat(generator.normal(0, 0.035, (2_000, 39)), 7, axis=1)
    shares = np.clip(0.1 + weeks + generator.normal(0, 0.045, weeks.shape), 0, 1)
    without = (wealth(shares, 0.1) >= 20).any(axis=1).mean()
    with_slack = (wealth(shares, 0.13) >= 20).any(axis=1).mean()
    assert without > 0.15 and with_slack < 0.05


def test_bet_when_given_shares_one_by_one_then_alarms_where_the_function_does_and_begins_anew():
    shares = np.random.default_rng(4).beta(4, 16, 200)
    bet = Bet(null=0.13)
    begun = 0
    alarms = 0
    for number, share in enumerate(shares):
        bet.update(share)
        assert bet.wealth == pytest.approx(wealth(shares[begun : number + 1], 0.13)[-1])
        if bet.drift_detected:
            assert first_alarm(shares[begun:], 0.13) == number - begun
            begun = number + 1
            alarms += 1
    assert alarms > 3


def test_first_alarm_when_the_level_is_stricter_then_comes_later():
    shares = np.full(50, 0.2)
    assert first_alarm(shares, 0.1, alpha=0.05) == 7  # 1.5 ** 8 is 25
    assert first_alarm(shares, 0.1, alpha=0.01) == 11  # 1.5 ** 12 is 130
    assert first_alarm(shares[:7], 0.1) is None


@pytest.mark.parametrize("share", [np.nan, -0.1, 1.1])
def test_bet_when_a_share_is_missing_or_none_then_says_so_and_keeps_its_wealth(share):
    bet = Bet(null=0.1)
    bet.update(0.2)
    with pytest.raises(ParameterError, match="without labels"):
        bet.update(share)
    assert bet.wealth == 1.5


@pytest.mark.parametrize("settings", [{"null": 0}, {"null": 1}, {"null": 0.1, "stake": 0}])
def test_bet_when_null_or_stake_is_outside_of_its_limits_then_says_so(settings):
    with pytest.raises(ParameterError, match="shares"):
        Bet(**settings)
    with pytest.raises(ParameterError, match="shares"):
        wealth(np.array([0.1]), **settings)


@pytest.mark.parametrize("alpha", [0, 1, np.nan])
def test_bet_when_the_level_is_none_then_says_so(alpha):
    with pytest.raises(ParameterError, match="between 0 and 1"):
        Bet(0.1, alpha=alpha)
