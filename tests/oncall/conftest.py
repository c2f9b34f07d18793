"""What the tests of the drill share: a calm autumn, and shifts in it with one incident each."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest

from mlops_course.oncall.engine import Engine
from mlops_course.oncall.players import PLAYERS
from mlops_course.oncall.scoring import NOTHING, ORACLE, Outcome, outcome
from mlops_course.oncall.state import Drill
from mlops_course.shifts.plans import Planned, Shift, struck
from mlops_course.shifts.systems import Rehearsed
from mlops_course.shifts.worlds import World, open_world

FIRST = date(2013, 9, 2)
WEEKS = 7
STRIKES_AFTER = 10  # days

Deed = tuple[int, str, dict[str, Any]]


@pytest.fixture(scope="session")
def autumn(shared_workspace) -> World:
    """The flights and models of a shift in autumn, in which nothing strikes."""
    return open_world(shared_workspace, Shift(1, FIRST, WEEKS))


@dataclass
class Drills:
    """Shifts in the same autumn, by what strikes; players who do nothing or know all play once."""

    world: World

    def __post_init__(self) -> None:
        self._others: dict[str, dict[str, Drill]] = {}

    def shift(self, *names: str, weeks: int = WEEKS) -> Shift:
        """Return a shift in which incidents strike on the same day."""
        first = FIRST + timedelta(days=STRIKES_AFTER)
        end = FIRST + timedelta(weeks=weeks)
        return Shift(1, FIRST, weeks, tuple(Planned(struck(name, first, end)) for name in names))

    def engine(self, shift: Shift, *, watched: bool = True) -> Engine:
        """Return a shift that begins, in memory."""
        stream = replace(self.world.stream, strikes=tuple(one.strike for one in shift.planned))
        return Engine(shift, replace(self.world, stream=stream), Rehearsed(), watched=watched)

    def others(self, name: str) -> dict[str, Drill]:
        """Return the drills of those who do nothing and who know all."""
        if name not in self._others:
            self._others[name] = {}
            for player in (NOTHING, ORACLE):
                engine = self.engine(self.shift(name), watched=False)
                PLAYERS[player](engine)
                self._others[name][player] = engine.drill
        return self._others[name]

    def after(self, name: str, deeds: Iterable[Deed]) -> Outcome:
        """Play a shift in which somebody does some things on some days, and return its outcome."""
        engine = self.engine(self.shift(name), watched=False)
        planned = {day: (action, options) for day, action, options in deeds}
        todo = list(deeds)
        assert len(planned) == len(todo), "one deed a day"
        while not engine.drill.over:
            day = (engine.drill.today - FIRST).days
            if day in planned:
                action, options = planned[day]
                engine.act(action, **options)
            engine.next_day()
        return outcome(engine.drill, engine.drill.shift.planned[0], self.others(name))


@pytest.fixture(scope="session")
def drills(autumn) -> Drills:
    """Return what makes shifts of one incident."""
    return Drills(autumn)
