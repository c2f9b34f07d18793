"""Try the retraining policies on years in another order: `mlops-course bench --retraining`.

It writes one CSV on stdout: what each policy did in each world, for the days as they were and in
other orders, and for the oracle the least number of wrong calls with each number of trainings, so
that any price can be set afterwards. The tables of models are kept in the cache of the workspace;
without them, an order takes some minutes.

The days are not drawn with replacement, as runs with a seed draw them: then days on which a model
learned come up again in the weeks on which it is judged.
"""

import csv
import os
import sys
from collections.abc import Iterator, Sequence

from mlops_course.core.workspace import Workspace, open_workspace
from mlops_course.pipeline.policies import Policy, Window
from mlops_course.retraining.building import build
from mlops_course.retraining.matrix import LAST_FORTNIGHT, LAST_QUARTER, Matrix
from mlops_course.retraining.oracle import plans
from mlops_course.retraining.trials import try_policy, usual_policies

WORLDS = ("real-year", "year-clock", "year-repaired", "year-padding")
WINDOWS = (LAST_QUARTER, LAST_FORTNIGHT)
ORDERS = (None, 0, 1, 2, 3, 4)
COLUMNS = (
    *("world", "days", "window", "gate", "policy", "trainings", "wrong", "flights"),
    *("false_alarms", "refused", "days_awaited"),
)

Row = Sequence[object]


def main() -> None:
    """Write the table."""
    workspace = open_workspace()
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)
    for order in ORDERS:
        days = "as they were" if order is None else f"order {order}"
        tell(days)
        for world, matrix in tables(workspace, order).items():
            for row in rows_of(matrix):
                table.writerow([world, days, *row])


def tables(workspace: Workspace, order: int | None) -> dict[str, Matrix]:
    """Return the worlds' tables of models, built where they are not kept."""
    processes = min(os.cpu_count() or 1, 2)
    return build(workspace, WORLDS, WINDOWS, shuffle=order, processes=processes, tell=tell_steps)


def rows_of(matrix: Matrix) -> Iterator[Row]:
    """Yield what each policy did in a world, and what the oracle would have done."""
    for window in WINDOWS:
        for name, policy in usual_policies(window).items():
            yield _row(matrix, window, name, policy, gated=True)
            yield _row(matrix, window, name, policy, gated=False)
    flights = int(matrix.stretch.labelled.sum())
    for plan in plans(matrix):
        yield ["any", "-", "oracle", len(plan.trained), plan.wrong, flights, 0, 0, 0]


def _row(matrix: Matrix, window: Window, name: str, policy: Policy, gated: bool) -> Row:
    trial = try_policy(matrix, policy, gated=gated)
    flights = sum(turn.labelled for turn in trial.turns)
    done = [trial.trainings, trial.wrong, flights]
    costs = [trial.false_alarms, trial.refusals, trial.days_awaited]
    return [window.weeks, "yes" if gated else "no", name, *done, *costs]


def tell(what: str) -> None:
    """Say on stderr how far it is."""
    print(f"{what} ...", file=sys.stderr, flush=True)


def tell_steps(done: int, of: int) -> None:
    """Say now and then how many models are trained."""
    if of and done % 10 == 0:
        tell(f"{done} of {of} steps")


if __name__ == "__main__":
    main()
