"""Scripted players: what naive habits cost, what somebody skilled saves, what knowing all would.

All but the oracle see what anybody on call sees.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress

from mlops_course.core.errors import CourseError
from mlops_course.oncall.engine import Engine
from mlops_course.oncall.runbooks import built_in, follow
from mlops_course.oncall.state import DAY, PAGER
from mlops_course.shifts.plans import Planned
from mlops_course.shifts.systems import Rehearsed

NAIVE_WEEKS = 4
Plan = tuple[tuple[int, int], ...]
"""When to retrain: so many days after it struck, and on how many weeks."""
PLANS: tuple[Plan, ...] = (
    (),
    ((15, 2), (29, 4), (57, 8)),
    ((22, 3), (57, 8)),
    ((32, 4), (60, 8)),
)


def nothing(engine: Engine) -> None:
    """Let the shift pass."""
    while not engine.drill.over:
        engine.next_day()


def retrain(engine: Engine) -> None:
    """Retrain whenever the pager calls."""
    _at_each_call(engine, lambda: engine.act("retrain", weeks=NAIVE_WEEKS))


def rollback(engine: Engine) -> None:
    """Roll back whenever the pager calls."""
    _at_each_call(engine, lambda: engine.act("roll-back"))


def _at_each_call(engine: Engine, act: Callable[[], object]) -> None:
    drill = engine.drill
    while not drill.over:
        told = len(drill.log)
        engine.next_day()
        if drill.over or not any(entry.kind == PAGER for entry in drill.log[told:]):
            continue
        try:
            act()
        except CourseError:
            continue


def skilled(engine: Engine) -> None:
    """Follow the runbook of somebody who has taken lessons 07 to 09."""
    follow(engine, built_in())


def oracle(engine: Engine) -> None:
    """Do what the catalogue says is best, on the first day, knowing the truth.

    Where the relation has changed, it also knows which of some plans to retrain turns out best.
    """
    _know_all(engine, _best_plan(engine))


def _best_plan(engine: Engine) -> Plan:
    """Return the plan to retrain under which a shift costs least; it is tried in memory."""
    shift = engine.drill.shift
    if not any("retrain" in planned.incident.responses for planned in shift.planned):
        return ()

    def harm(plan: Plan) -> float:
        trial = Engine(shift, engine.drill.world, Rehearsed(), watched=False)
        _know_all(trial, plan)
        return trial.drill.harm.total

    return min(PLANS, key=harm)


def _know_all(engine: Engine, plan: Plan) -> None:
    drill = engine.drill
    while not drill.over:
        for planned in drill.shift.planned:
            if planned.strike.first == drill.today:
                for response in planned.incident.responses:
                    if response not in ("retrain", "dismiss"):
                        _try(engine, response, planned.incident.name)
            if "retrain" in planned.incident.responses:
                _retrain_in_time(engine, planned, plan)
        _resume_when_repaired(engine)
        engine.next_day()


def _retrain_in_time(engine: Engine, planned: Planned, plan: Plan) -> None:
    passed = (engine.drill.today - planned.strike.first).days
    for wait, weeks in plan:
        if passed == wait:
            _try(engine, "retrain", planned.incident.name, weeks=weeks)


def _resume_when_repaired(engine: Engine) -> None:
    drill = engine.drill
    gaps = any(one.incident.name == "refused" for one in drill.present(drill.today + DAY))
    if drill.held and not gaps and not drill.awaits("resumed"):
        _try(engine, "resume", "")


def _try(engine: Engine, name: str, cause: str, **options: int) -> None:
    with suppress(CourseError):
        engine.act(name, cause=cause, sure=1.0 if cause else 0.5, **options)


PLAYERS: Mapping[str, Callable[[Engine], None]] = {
    "nothing": nothing,
    "retrain": retrain,
    "rollback": rollback,
    "skilled": skilled,
    "oracle": oracle,
}
BASELINES = ("nothing", "retrain", "rollback", "oracle")
UNWATCHED = ("nothing", "oracle")
"""Players who never look at an alarm."""
