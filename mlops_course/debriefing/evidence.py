"""What could be seen of an incident, and when: a shift played again beside itself without it.

A figure is evidence of an incident if it stands out from the mornings before, and would not have
without that incident: same flights, same steps, one incident fewer. So nothing is said here about
any incident that its own flights do not show.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import date
from math import isfinite
from typing import Any

import pandas as pd

from mlops_course.core.errors import CourseError
from mlops_course.data.incidents import FEED
from mlops_course.oncall.engine import INJECT, NEXT_DAY, Engine
from mlops_course.oncall.looks import LOOK_AT, Look
from mlops_course.oncall.results import begun
from mlops_course.oncall.state import DAY, Drill, Step
from mlops_course.shifts.plans import Planned, planned_as
from mlops_course.shifts.prices import LOOKS
from mlops_course.shifts.systems import Rehearsed, Served

PAGER = "pager"
UPSTREAM = "upstream"
CHANGE = "change"
BEFORE = 14  # days before, of which every second morning is compared: each day of the week once
FOLLOWED = 28  # days for which an incident is followed at most
AFTER = 10  # days after its end in which it may still be seen, for labels come late
MARGIN = 0.5  # of the range of the mornings before: so far beyond it a figure stands out
NEAR = 2  # days by which a change point may miss
PAGES = tuple(name for name in LOOKS if name not in (UPSTREAM, CHANGE))
"""What is compared by figures, in the order of `prices.LOOKS`."""


@dataclass(frozen=True)
class Sighting:
    """Evidence of an incident: a figure of a page on a morning.

    Attributes
    ----------
    page
        A name of `prices.LOOKS`, or `PAGER` for an alarm.
    figure
        The figure's name, or the alarm's.
    value, low, high
        What it showed, and the range of the mornings before; NaN for an alarm or an answer.
    told
        What an alarm or an answer said.
    """

    day: date
    page: str
    figure: str
    value: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    told: str = ""

    @property
    def where(self) -> str:
        """The page's name for people."""
        return "Pager" if self.page == PAGER else LOOKS[self.page].title

    @property
    def sentence(self) -> str:
        """What was to be seen there."""
        if self.told:
            return f"{self.where}, {self.day}: {self.told}"
        usual = f"{self.low:.3g}" if self.low == self.high else f"{self.low:.3g} to {self.high:.3g}"
        return (
            f"{self.where}, {self.day}: {self.figure} {self.value:.3g}; "
            f"on the mornings before, {usual}."
        )


@dataclass
class Trace:
    """What an incident left in a shift as it was played.

    Attributes
    ----------
    alarm, page
        The first alarm that came of it, and the first page that showed it; None for none.
    seen
        By day and page: what pages showed that somebody looked at.
    extra
        By day: the harm that would not have been without it, on the days it was there.
    followed
        The last day that was compared.
    """

    planned: Planned
    alarm: Sighting | None = None
    page: Sighting | None = None
    seen: dict[tuple[date, str], Sighting] = field(default_factory=dict)
    extra: dict[date, float] = field(default_factory=dict)
    followed: date | None = None

    @property
    def first(self) -> Sighting | None:
        """The first moment at which the evidence sufficed."""
        known = [one for one in (self.alarm, self.page) if one is not None]
        return min(known, key=lambda one: (one.day, one.page != PAGER)) if known else None


def traces(drill: Drill, tell: Callable[[date], None] = lambda day: None) -> list[Trace]:
    """Play a shift again, and find what there was to be seen of each incident.

    Parameters
    ----------
    drill
        A shift that was played.
    tell
        Called with each day that is played again.
    """
    again = _Again(drill)
    for step in drill.steps:
        again.do(step)
        if step.name == NEXT_DAY:
            tell(again.engine.drill.today)
    return sorted(again.found, key=lambda one: one.planned.strike.first)


@dataclass
class _Recalled(Rehearsed):
    """A system that answers as it did, on the days that are kept."""

    kept: dict[date, Served] = field(default_factory=dict)

    def serve(self, day: date, flights: pd.DataFrame) -> Served:
        """Return a day as it was served; one that is not kept is served now."""
        return self.kept[day] if day in self.kept else super().serve(day, flights)


class _Again:
    """A shift that is played again, and beside it the same without one of its incidents each."""

    def __init__(self, drill: Drill) -> None:
        self.shift = drill.shift
        recalled = _Recalled(kept={one.day: one for one in drill.served}, memory=drill.world.memory)
        self.engine = Engine(begun(drill), drill.world, recalled)
        self.looked: dict[date, set[str]] = {}
        for step in drill.steps:
            self.looked.setdefault(step.day, set()).add(step.name)
        self.found: list[Trace] = []
        self.without: dict[str, Engine] = {}
        self.mornings: dict[date, dict[str, dict[str, float]]] = {}
        self._fork(drill.shift.first, fresh=True)

    def do(self, step: Step) -> None:
        """Do a step, here and without the incidents."""
        if step.name == UPSTREAM:
            self._ask()
        if step.name in LOOKS:
            return
        if step.name != NEXT_DAY:
            for engine in (self.engine, *self.without.values()):
                with suppress(CourseError):
                    _act(engine, step)
            return
        self._fork(self.engine.drill.today + DAY)
        for engine in (self.engine, *self.without.values()):
            engine.next_day()
        if not self.engine.drill.over:
            self._keep_morning()
        for trace in self.found:
            self._compare(trace)

    def _fork(self, day: date, fresh: bool = False) -> None:
        """Go on without an incident that strikes on a day, too."""
        for place, planned in enumerate(self.engine.drill.shift.planned):
            if planned.strike.first != day:
                continue
            self.found.append(Trace(planned))
            drill = self.engine.drill
            others = tuple(one for one in drill.shift.planned if one != planned)
            shift = replace(drill.shift, planned=others)
            if fresh:
                left = Engine(shift, drill.world, Rehearsed(memory=drill.world.memory))
            else:
                left = _copied(self.engine)
                left.drill.shift = shift
                left.drill.stream = _less(drill.stream, place)
            self.without[planned.incident.name] = left

    def _ask(self) -> None:
        """Ask upstream, and see what the answer will be worth."""
        drill = self.engine.drill
        asked = drill.present(drill.today)
        LOOK_AT[UPSTREAM](drill)
        due = drill.orders[-1].due
        honest = not asked or asked[-1].reply.honest
        for trace in self.found:
            if honest and trace.planned in asked and trace.planned.incident.owner == FEED:
                told = f"asked then, they answered on {due} that it was theirs."
                sighting = Sighting(drill.today, UPSTREAM, "answer", told=told)
                trace.seen[drill.today, UPSTREAM] = sighting

    def _keep_morning(self) -> None:
        """Keep the figures of a morning that later ones will be compared with."""
        today = self.engine.drill.today
        ahead = [(one.strike.first - today).days for one in self.shift.planned]
        if any(0 < days <= BEFORE and days % 2 for days in ahead):
            self.mornings[today] = {
                page: _figures(self.engine.drill, LOOK_AT[page](self.engine.drill))
                for page in PAGES
            }

    def _compare(self, trace: Trace) -> None:
        name = trace.planned.incident.name
        left = self.without.get(name)
        if left is None:
            return
        drill = self.engine.drill
        yesterday = drill.days[-1]
        if drill.is_there(trace.planned, yesterday.day):
            trace.extra[yesterday.day] = yesterday.harm - left.drill.days[-1].harm
        trace.followed = yesterday.day
        if self._is_past(trace):
            del self.without[name]
            return
        self._hear(trace, left.drill)
        looked = self.looked.get(drill.today, set())
        unknown = trace.page is None
        for page in (*PAGES, CHANGE):
            if unknown or page in looked:
                self._look(trace, left.drill, page)

    def _is_past(self, trace: Trace) -> bool:
        drill = self.engine.drill
        first = trace.planned.strike.first
        if drill.over or (drill.today - first).days > FOLLOWED:
            return True
        last_days = [drill.today - number * DAY for number in range(AFTER + 1)]
        return not any(day >= first and drill.is_there(trace.planned, day) for day in last_days)

    def _hear(self, trace: Trace, left: Drill) -> None:
        drill = self.engine.drill
        if trace.alarm is not None:
            return
        for rule, alarm in drill.alarms.items():
            if alarm.since == drill.today and rule not in left.alarms:
                told = alarm.alert.message
                trace.alarm = Sighting(drill.today, PAGER, rule, told=f"{rule}. {told}")
                return

    def _look(self, trace: Trace, left: Drill, page: str) -> None:
        drill = self.engine.drill
        if page == CHANGE:
            sighting = _change(trace, drill, left)
        else:
            first = trace.planned.strike.first
            before = [
                figures[page]
                for day, figures in self.mornings.items()
                if first - BEFORE * DAY <= day < first
            ]
            here = _figures(drill, LOOK_AT[page](drill))
            there = _figures(left, LOOK_AT[page](left))
            sighting = _standing_out(drill.today, page, here, there, before)
        if sighting is None:
            return
        if page in self.looked.get(drill.today, set()):
            trace.seen[drill.today, page] = sighting
        if trace.page is None:
            trace.page = sighting


def _act(engine: Engine, step: Step) -> None:
    if step.name == INJECT:
        engine.inject(planned_as(step.options))
    else:
        engine.act(step.name, **step.options)


def _less(stream: Any, place: int) -> Any:
    strikes = tuple(one for number, one in enumerate(stream.strikes) if number != place)
    return replace(stream, strikes=strikes)


def _copied(engine: Engine) -> Engine:
    """Return an engine that goes its own way from here; what never changes is shared."""
    drill = engine.drill
    shared: list[Any] = [
        *(drill.world, drill.stream, drill.shift, *drill.shift.planned),
        *(drill.monitor.reference, drill.monitor.vocabulary),
        *(*drill.served, *drill.versions.values(), *drill.candidates.values()),
        *(one.model for one in drill.versions.values()),
        *(getattr(drill.system, name, None) for name in ("_threads", "memory")),
    ]
    copied = deepcopy(engine, {id(one): one for one in shared})
    if isinstance(copied.drill.system, _Recalled):
        copied.drill.system.kept.clear()  # from here on it is otherwise than it was
    return copied


# ---- figures of a page


def _figures(drill: Drill, look: Look) -> dict[str, float]:
    """Return what a page shows as figures by name; none where it is as old as yesterday's."""
    facts = look.facts
    found: dict[str, Any] = {}
    if look.name == "overview":
        found["days since the rules were looked at"] = facts["age"]
        days = facts["days"]
        if days and days[-1].day == drill.today - DAY:
            found |= vars(days[-1])
            found["flights, of usual"] = days[-1].flights / (days[-1].usual_flights or 1)
    elif look.name == "weeks":
        found = {**vars(facts["weeks"][-1])} if facts["weeks"] else {}
    elif look.name == "drift":
        found = {f"drift of {name}": score for name, score in facts.get("scores", {}).items()}
    elif look.name == "registry":
        forced = [move for move in facts["moves"] if "forced" in move.reason]
        found = {"forced entries": len(forced), "entries": len(facts["moves"])}
    elif look.name == "service" and facts:
        speeds = facts["ms"].values()
        found = {"requests refused": facts["refused"], "ms": max(speeds, default=0.0)}
    elif look.name == "rows" and facts:
        for part, figures in facts["by"].items():
            found |= {f"{name} ({part})": value for name, value in figures.items()}
        found["unknown airlines"] = len(facts["unknown"])
    elif look.name == "slices" and facts:
        for row in facts["table"].to_dict("records"):
            found |= {f"{name} ({row['slice']})": row[name] for name in ("right", "called")}
    return {
        name.replace("_", " "): float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    }


def _standing_out(
    day: date,
    page: str,
    here: Mapping[str, float],
    there: Mapping[str, float],
    before: Sequence[Mapping[str, float]],
) -> Sighting | None:
    """Return the figure that stands out most, and would not without the incident."""
    best = None
    most = 0.0
    for name, value in here.items():
        known = [figures[name] for figures in before if name in figures]
        if len(known) < min(len(before), NEAR) or not known:
            continue
        low = min(known)
        high = max(known)
        own = _beyond(value, low, high)
        if own > max(MARGIN, most) and _beyond(there.get(name, value), low, high) <= MARGIN:
            most = own
            best = Sighting(day, page, name, value, low, high)
    return best


def _beyond(value: float, low: float, high: float) -> float:
    """Return how far a value lies outside of a range, in widths of it.

    What is never negative has left a range, too, once it is half of its low or twice its high end.
    """
    outside = max(low - value, value - high) / max(high - low, 1e-9)
    halved = low > 0 and value < low / 2
    doubled = low >= 0 and high > 0 and value > 2 * high
    return max(outside, 1.0) if halved or doubled else outside


def _change(trace: Trace, drill: Drill, left: Drill) -> Sighting | None:
    """Return the change point, if it is the incident's and would not be there without it."""
    here = LOOK_AT[CHANGE](drill).facts
    since = here.get("since")
    first = trace.planned.strike.first
    if since is None or abs((since - first).days) > NEAR:
        return None
    if LOOK_AT[CHANGE](left).facts.get("since") == since:
        return None
    told = f"{here['input']} is otherwise since {since}."
    return Sighting(drill.today, CHANGE, here["input"], told=told)
