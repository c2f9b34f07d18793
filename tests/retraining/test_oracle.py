from datetime import date, timedelta
from itertools import product

import numpy as np
import pandas as pd
import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.deciding.decisions import (
    Retrain,
    Window,
)
from mlops_course.pipeline.policies import (
    DecideByHand,
    NeverRetrain,
    RetrainOnAlert,
)
from mlops_course.retraining.matrix import Matrix, Stretch, Trained, Truth
from mlops_course.retraining.oracle import cost, oracle, plans, regret, table
from mlops_course.retraining.trials import try_policy

FORTNIGHT = Window(2)
MONDAY = date(2013, 9, 2)


def handmade(wrong_first, wrong_later, flights=10):
    """A table of weeks with one day of some flights, of which each model calls so many wrong.

    ``wrong_later`` maps (after, window) to the wrong calls of each week after that.
    """
    weeks = len(wrong_first)
    models = [Trained(0, None, 1, frozenset({""}))]
    rows = [list(wrong_first)]
    for (after, window), wrong in wrong_later.items():
        models.append(Trained(after, window, 1, frozenset({""})))
        rows.append([0] * after + list(wrong))
    days = [pd.Timestamp(MONDAY + timedelta(weeks=week)) for week in range(weeks)]
    calls = [np.concatenate([np.arange(flights) < count for count in row]) for row in rows]
    frame = pd.DataFrame({"date": np.repeat(days, flights), "late": 0.0})
    truths = tuple(Truth(day.date(), "", ()) for day in days)
    stretch = Stretch("good", None, None, truths, frame, np.arange(weeks + 1) * flights)
    return Matrix(
        stretch, tuple(models), np.packbits(calls, axis=1), np.full((len(models), weeks), np.nan)
    )


def random_table(seed, weeks=6):
    """A table with two windows and wrong calls by lot."""
    lot = np.random.default_rng(seed)
    later = {
        (after, window): lot.integers(0, 10, weeks - after)
        for after in range(1, weeks)
        for window in (FORTNIGHT, Window(4))
    }
    return handmade(lot.integers(0, 10, weeks), later)


def best_by_trying_all(matrix, price, lag):
    """Try every choice of what to train after each week, and of when to go back to the first."""
    weeks = matrix.stretch.weeks
    choices = [None, "back", *matrix.windows]
    least = np.inf
    for chosen in product(choices, repeat=weeks - 1):
        serving, spent = 0, matrix.wrong[0, 0]
        for week in range(2, weeks + 1):
            choice = chosen[week - 2]
            if choice == "back":
                serving = 0
            elif choice is not None and week - lag >= 1:
                serving = matrix.find(week - lag, choice)
                spent += price
            spent += matrix.wrong[serving, week - 1]
        least = min(least, spent)
    return least


@pytest.mark.parametrize("price", [0, 1.5, 4, 100])
@pytest.mark.parametrize(("seed", "lag"), [(1, 2), (2, 2), (3, 1), (4, 3)])
def test_oracle_when_every_plan_is_tried_then_none_costs_less(seed, lag, price):
    matrix = random_table(seed, weeks=5)
    best = oracle(matrix, price, lag=lag)
    assert best.cost(price) == pytest.approx(best_by_trying_all(matrix, price, lag))


@pytest.mark.parametrize("seed", range(5))
def test_plan_when_followed_week_by_week_then_has_the_wrong_calls_that_it_says(seed):
    matrix = random_table(seed)
    for plan in plans(matrix):
        spent = sum(matrix.wrong[model, week] for week, model in enumerate(plan.models))
        assert spent == plan.wrong
        for week, number in enumerate(plan.models, start=1):
            after = matrix.models[number].after
            assert number == 0 or week >= after + 2


def test_plans_when_another_training_helps_no_more_then_end():
    found = plans(random_table(0, weeks=8))
    wrong = [plan.wrong for plan in found]
    trainings = [len(plan.trained) for plan in found]
    assert wrong == sorted(set(wrong), reverse=True) and 1 < len(wrong) <= 7
    assert trainings == sorted(set(trainings)) and trainings[0] == 0


def test_plans_when_only_two_trainings_more_help_then_one_more_is_left_out():
    after_1 = [2, 0, 4, 0]
    after_2 = [6, 0, 4]
    after_3 = [2, 2]
    later = {(1, FORTNIGHT): after_1, (2, FORTNIGHT): after_2, (3, FORTNIGHT): after_3}
    found = plans(handmade([4, 6, 2, 4, 6], later))
    assert [(len(plan.trained), plan.wrong) for plan in found] == [(0, 22), (1, 14), (3, 12)]


def test_oracle_when_the_price_rises_then_trains_less_and_at_last_never():
    matrix = handmade([1, 9, 9, 9, 9], {(1, FORTNIGHT): [5, 2, 2, 2]})
    assert oracle(matrix, 0).trained == ((1, FORTNIGHT),)
    assert oracle(matrix, 0).wrong == 1 + 9 + 2 + 2 + 2
    assert oracle(matrix, 20.9).trained == ((1, FORTNIGHT),)
    assert oracle(matrix, 21.1).trained == () and oracle(matrix, 21.1).wrong == 37


def test_oracle_when_the_first_model_is_right_again_then_goes_back_to_it_for_nothing():
    matrix = handmade([1, 9, 9, 1, 1], {(1, FORTNIGHT): [9, 2, 5, 5]})
    plan = oracle(matrix, 1)
    assert plan.models == (0, 0, 1, 0, 0) and plan.wrong == 1 + 9 + 2 + 1 + 1


@pytest.mark.parametrize("price", [-1, float("nan"), float("inf"), "50", True, None])
def test_oracle_when_the_price_is_none_then_says_so(price):
    with pytest.raises(ParameterError, match="price of a training"):
        oracle(random_table(0), price)


def test_regret_when_a_policy_trains_in_vain_then_the_price_is_in_it(tables):
    matrix = tables["drift"]
    never = try_policy(matrix, NeverRetrain())
    vain = try_policy(matrix, DecideByHand({1: Retrain(FORTNIGHT)}))
    best = oracle(matrix, 50)
    assert vain.wrong == never.wrong and cost(vain, 50) == cost(never, 50) + 50
    assert regret(vain, best, 50) == regret(never, best, 50) + 50
    assert regret(never, best, 50) > 0


def test_oracle_when_policies_are_tried_then_none_of_them_does_better(tables):
    for matrix in tables.values():
        for price in (0, 50):
            best = oracle(matrix, price)
            for policy in (NeverRetrain(), RetrainOnAlert()):
                assert regret(try_policy(matrix, policy), best, price) >= 0


def test_table_when_made_then_has_a_row_for_each_policy_and_the_oracle_last(tables):
    matrix = tables["drift"]
    trials = {"never": try_policy(matrix, NeverRetrain())}
    trials["accuracy"] = try_policy(matrix, RetrainOnAlert())
    found = table(matrix, trials, price=50)
    assert list(found.index) == ["never", "accuracy", "oracle"]
    best = oracle(matrix, 50)
    assert found.loc["oracle", "wrong"] == best.wrong and found.loc["oracle", "regret"] == 0
    assert found.loc["accuracy", "regret"] == regret(trials["accuracy"], best, 50)
    assert found.loc["accuracy", "trainings"] == trials["accuracy"].trainings
    flights = matrix.stretch.labelled.sum()
    assert found.loc["never", "right"] == pytest.approx(1 - trials["never"].wrong / flights)
