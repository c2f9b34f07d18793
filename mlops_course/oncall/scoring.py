"""What a shift came to: its harm beside that of four other players, and each incident's end.

An incident is resolved by the state of the system, whatever was done to reach it: what is served
costs hardly more than it would under somebody who knew all, or the fault itself is gone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from mlops_course.oncall.engine import Engine
from mlops_course.oncall.players import BASELINES, PLAYERS, UNWATCHED
from mlops_course.oncall.state import DAY, Drill
from mlops_course.shifts.ledger import Day, Harm
from mlops_course.shifts.plans import Planned, Shift
from mlops_course.shifts.systems import Rehearsed
from mlops_course.shifts.worlds import World

NOTHING = "nothing"
ORACLE = "oracle"
TOLERATED = 0.25  # of what knowing all would have saved from a day on
MIN_DAYS = 7  # over which a state is judged
HURTS = 0.01  # of the flights: less cannot be told from luck
AFTER_DAYS = 28  # in which acting on nothing can do harm


@dataclass(frozen=True)
class Outcome:
    """What became of an incident.

    Attributes
    ----------
    planned
        What struck, and when it would have ended by itself.
    resolved
        The first day from which on the system was as it should be, before the incident's own end;
        None if it never was. Where nothing is to be fixed, its first day, unless something was
        made worse.
    right
        Whether it was named as a cause, or, where nothing is to be fixed, that nothing is.
    """

    planned: Planned
    resolved: date | None
    right: bool


@dataclass(frozen=True)
class Score:
    """What a shift came to.

    Attributes
    ----------
    harm
        What it has cost.
    others
        What it would have cost under each of `players.BASELINES`.
    outcomes
        What became of each incident, in order of time.
    """

    harm: Harm
    others: Mapping[str, Harm]
    outcomes: tuple[Outcome, ...]

    @property
    def saved(self) -> float:
        """The share of the oracle's saving over doing nothing; NaN where it saves nothing."""
        possible = self.others[NOTHING].total - self.others[ORACLE].total
        return (
            (self.others[NOTHING].total - self.harm.total) / possible if possible else float("nan")
        )


def rehearse(shift: Shift, world: World, player: str) -> Drill:
    """Let a scripted player play a shift in memory."""
    engine = Engine(shift, world, Rehearsed(memory=world.memory), watched=player not in UNWATCHED)
    PLAYERS[player](engine)
    return engine.drill


def baselines(shift: Shift, world: World, names: Iterable[str] = BASELINES) -> dict[str, Drill]:
    """Let each of the players play a shift that one is compared with."""
    return {name: rehearse(shift, world, name) for name in names}


def score(drill: Drill, others: Mapping[str, Drill]) -> Score:
    """Return what a shift came to that is over.

    Parameters
    ----------
    others
        What `baselines` returns for the same shift.
    """
    return Score(
        drill.harm,
        {name: other.harm for name, other in others.items()},
        tuple(outcome(drill, planned, others) for planned in drill.shift.planned),
    )


def outcome(drill: Drill, planned: Planned, others: Mapping[str, Drill]) -> Outcome:
    """Return what became of an incident."""
    first = planned.strike.first
    last = planned.strike.last or drill.shift.last
    named = {
        statement.cause
        for statement in drill.statements
        if statement.right and first <= statement.day
    }
    harmless = planned.incident.responses == ("dismiss",)
    right = planned.incident.name in named or (harmless and "none" in named)
    if harmless:
        return Outcome(planned, first if _left_alone(drill, first, others) else None, right)
    ended = drill.ended.get(planned.incident.name)
    if ended is not None and ended <= last:
        return Outcome(planned, ended, right)
    days = [first + place * DAY for place in range((last - first).days + 1)]
    candidates = (day for day in days if _is_restored(drill, day, last, others))
    return Outcome(planned, next(candidates, None), right)


def _left_alone(drill: Drill, first: date, others: Mapping[str, Drill]) -> bool:
    """Return whether for four weeks nothing was made worse, and nobody was called in vain."""
    last = first + AFTER_DAYS * DAY
    own = _days(drill, first, last)
    left = _days(others[NOTHING], first, last)
    flights = sum(day.flights for day in own)
    worse = sum(day.harm for day in own) - sum(day.harm for day in left)
    called = any(
        first <= charge.day <= last and "in vain" in charge.what for charge in drill.charges
    )
    return worse <= HURTS * flights and not called


def _is_restored(drill: Drill, first: date, last: date, others: Mapping[str, Drill]) -> bool:
    """Return whether from a day on hardly more was lost than under somebody who knew all."""
    own, calm, left = (_days(one, first, last) for one in (drill, others[ORACLE], others[NOTHING]))
    possible = sum(day.harm for day in left) - sum(day.harm for day in calm)
    if len(own) < MIN_DAYS or possible < HURTS * sum(day.flights for day in own):
        return False
    return sum(day.harm for day in own) - sum(day.harm for day in calm) <= TOLERATED * possible


def _days(drill: Drill, first: date, last: date) -> list[Day]:
    return [day for day in drill.days if first <= day.day <= last]
