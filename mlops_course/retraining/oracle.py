"""What would have been best, in hindsight: the oracle, the price of a training, and regret.

A training costs something: a computer, a gate, somebody's attention. Say it costs as much as so
many wrong calls, and every plan has one figure. The least that any plan could have had is the
oracle's, which knows the future; what a policy had more is its regret.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, nan

import numpy as np
import pandas as pd

from mlops_course.core.errors import ParameterError
from mlops_course.deciding.decisions import Window
from mlops_course.retraining.matrix import LAST_FORTNIGHT, LAST_QUARTER, Matrix
from mlops_course.retraining.trials import Trial

PRICE = 50.0  # wrong calls
USUAL_WINDOWS = (LAST_QUARTER, LAST_FORTNIGHT)  # what it may train on, where nothing else is said
# Trained after one week, judged on the next, in charge from the one after: as a candidate.
LAG = 2


@dataclass(frozen=True)
class Plan:
    """Which models to let serve, decided in hindsight.

    Attributes
    ----------
    wrong
        How many labelled flights are called wrong.
    models
        The model of each week, by its number in the table.
    trained
        After which weeks it trains, and on what.
    """

    wrong: int
    models: tuple[int, ...]
    trained: tuple[tuple[int, Window], ...]

    def cost(self, price: float) -> float:
        """Return its wrong calls, and its trainings in wrong calls."""
        return self.wrong + price * len(self.trained)


def plans(matrix: Matrix, *, lag: int = LAG) -> tuple[Plan, ...]:
    """Return the best plans, each with more trainings and fewer wrong calls than the one before.

    The first trains nothing. One training more may help nothing where several more do: such numbers
    are left out. A plan may keep the model that
    serves, put in charge one that it has trained, at the first moment that a candidate could be, or
    go back to the first model, which costs nothing. To others it does not go back: a policy that
    does may be better than the oracle by a little.

    Parameters
    ----------
    lag
        How many weeks after the one after whose end it was trained a model may serve.

    Source: dynamic programming over weeks, models and trainings so far; Bellman, *Dynamic
    programming*, 1957, chapter I.
    """
    wrong = matrix.wrong
    serves_from = np.array([model.after + lag for model in matrix.models])
    serves_from[0] = 1
    weeks = matrix.stretch.weeks
    most = max(weeks - lag, 0)
    best = np.full((most + 1, len(matrix.models)), np.inf)
    best[0, 0] = wrong[0, 0]
    came_from = []
    for week in range(2, weeks + 1):
        best, before = _step(best, wrong[:, week - 1], serves_from == week)
        came_from.append(before)
    found: list[Plan] = []
    for trainings, row in enumerate(best):
        last = int(row.argmin())
        if isfinite(row[last]) and (not found or row[last] < found[-1].wrong):
            found.append(_plan(matrix, came_from, trainings, last, int(row[last])))
    return tuple(found)


def oracle(matrix: Matrix, price: float = PRICE, *, lag: int = LAG) -> Plan:
    """Return the plan with the least cost at a price of a training, in wrong calls.

    Raises
    ------
    ParameterError
        If the price is no number from 0 on.
    """
    check_price(price)
    return min(plans(matrix, lag=lag), key=lambda plan: plan.cost(price))


def cost(trial: Trial, price: float = PRICE) -> float:
    """Return a policy's wrong calls, and its trainings in wrong calls."""
    check_price(price)
    return trial.wrong + price * trial.trainings


def regret(trial: Trial, best: Plan, price: float = PRICE) -> float:
    """Return how many wrong calls more a policy had than the oracle, trainings included."""
    return cost(trial, price) - best.cost(price)


def table(
    matrix: Matrix, trials: Mapping[str, Trial], price: float = PRICE, *, best: Plan | None = None
) -> pd.DataFrame:
    """Return what each policy cost in a world, one row a policy and the oracle's last."""
    best = best or oracle(matrix, price)
    rows = {
        name: {
            "trainings": trial.trainings,
            "wrong": trial.wrong,
            "right": trial.right_share,
            "false alarms": trial.false_alarms,
            "refused": trial.refusals,
            "days awaited": trial.days_awaited,
            "regret": regret(trial, best, price),
        }
        for name, trial in trials.items()
    }
    flights = int(matrix.stretch.labelled.sum())
    right = 1 - best.wrong / flights if flights else nan
    found = pd.DataFrame.from_dict(rows, orient="index")
    found.loc["oracle", ["trainings", "wrong", "right", "regret"]] = [
        len(best.trained),
        best.wrong,
        right,
        0.0,
    ]
    return found.astype(
        {name: "Int64" for name in found.columns if name not in ("right", "regret")}
    )


def _step(best: np.ndarray, wrong: np.ndarray, fresh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Go on by a week: keep the model, take a fresh one, or go back to the first.

    Parameters
    ----------
    best
        The least number of wrong calls so far, by trainings and by the model that serves; shape
        (trainings, models).
    wrong
        What each model calls wrong in the week, shape (models,).
    fresh
        Which models may be put in charge this week, shape (models,).

    Returns
    -------
    The same a week later, and the model before, of the same shape.
    """
    places = np.arange(best.shape[1])
    after = best.copy()
    before = np.tile(places, (len(best), 1))
    cheapest = best.argmin(axis=1)
    least = best[np.arange(len(best)), cheapest]
    back = least < after[:, 0]
    after[back, 0] = least[back]
    before[back, 0] = cheapest[back]
    after[0, fresh] = np.inf
    after[1:, fresh] = least[:-1, None]
    before[1:, fresh] = cheapest[:-1, None]
    return after + wrong, before


def _plan(
    matrix: Matrix, came_from: list[np.ndarray], trainings: int, last: int, wrong: int
) -> Plan:
    """Follow a plan back from the model of the last week."""
    models = [last]
    for before in reversed(came_from):
        number = models[-1]
        earlier = int(before[trainings, number])
        if number not in (earlier, 0):
            trainings -= 1
        models.append(earlier)
    models.reverse()
    used = [matrix.models[number] for number in dict.fromkeys(models)]
    trained = tuple((model.after, model.window) for model in used if model.window)
    return Plan(wrong, tuple(models), trained)


def check_price(price: float) -> None:
    """Refuse a price that is no number from 0 on.

    Raises
    ------
    ParameterError
        If it is none.
    """
    if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < np.inf:
        raise ParameterError(
            f"The price of a training is {price!r}.",
            "It is a number of wrong calls, from 0 on.",
            "Write for instance price=50.",
        )
