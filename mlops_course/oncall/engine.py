"""Playing a shift: days pass, incidents strike, somebody looks and acts.

What is done on a day holds from the next morning. The truth stays in the shift; whoever plays sees
what `looks` shows. The same shift and the same steps give the same drill, so the steps are all that
has to be kept of one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date
from difflib import get_close_matches
from typing import Any

import pandas as pd

from mlops_course.core.errors import ParameterError
from mlops_course.core.texts import short
from mlops_course.data.incidents import INCIDENTS
from mlops_course.data.stream import WEEK
from mlops_course.oncall import acting, looks
from mlops_course.oncall.looks import Look
from mlops_course.oncall.state import ANSWER, DAY, DONE, PAGER, Alarm, Drill, Step
from mlops_course.shifts.ledger import Statement, day_of
from mlops_course.shifts.plans import Planned, Shift, described, planned_as
from mlops_course.shifts.prices import ACTIONS, LOOKS, SILENT
from mlops_course.shifts.systems import Served, System, is_sluggish, numbered_by_desk
from mlops_course.shifts.watching import DAILY, WEDNESDAY, WEEKLY, Monitor
from mlops_course.shifts.worlds import World
from mlops_course.training.bad_releases import BAD_RELEASES
from mlops_course.training.evaluation import baseline

COLLEAGUE = "a colleague"
RECENT = 10 * DAY  # evidence of an incident comes so late
NEXT_DAY = "next-day"
INJECT = "inject"


class Engine:
    """A shift in play.

    Parameters
    ----------
    shift, world
        What is played, and the flights of it.
    system
        What serves: `systems.Rehearsed` or `live.Live`.
    watched
        Whether the alert rules are looked at; not for a player who never would.

    Attributes
    ----------
    drill
        What is known while it is played.
    pages
        What was looked at, and when.
    """

    def __init__(self, shift: Shift, world: World, system: System, *, watched: bool = True) -> None:
        self._watched = watched
        monitor = Monitor(world.reference, world.champion.model.vocabulary)
        strikes = tuple(one.strike for one in shift.planned)
        stream = replace(world.stream, strikes=strikes)  # the world may be that of a like shift
        self.drill = Drill(shift, world, system, monitor, shift.first, stream)
        self.pages: list[tuple[Step, Look]] = []
        for result, why in ((world.former, "seven weeks of winter"), (world.champion, "winter")):
            version = system.register(result, world.rows, why)
            self.drill.versions[version] = result
            self.drill.champions.append(version)
            system.promote(version, shift.first - DAY, COLLEAGUE, f"passed the gate; {why}")
        self._strike()

    def look(self, name: str) -> Look:
        """Look at something; it takes its minutes.

        Raises
        ------
        ParameterError
            If there is no such thing to look at, or the shift is over.
        """
        drill = self._playing()
        _check_name(name, LOOKS, "look")
        self._note(name, {})
        drill.spend(LOOKS[name].minutes)
        page = looks.LOOK_AT[name](drill)
        self.pages.append((drill.steps[-1], page))
        return page

    def act(self, name: str, cause: str = "", sure: float = SILENT, **options: Any) -> str:
        """Do something, and return what comes of it.

        Parameters
        ----------
        cause
            What you think is the matter, a name of `data.incidents.INCIDENTS`; empty to say
            nothing.
        sure
            How sure you are of it, from 0.5 to 1.
        options
            What the action needs: ``weeks`` to train on; ``rule`` and ``days`` to silence.

        Raises
        ------
        ParameterError
            If there is no such action, it cannot be done now, or the shift is over. Nothing has
            happened then.
        DataError
            If there are too few labelled flights to train on.
        """
        drill = self._playing()
        _check_name(name, ACTIONS, "action")
        _check_statement(cause, sure)
        told = _called(acting.ACTS[name], drill, options)
        self._note(name, {**options, **({"cause": cause, "sure": sure} if cause else {})})
        if ACTIONS[name].states:
            right = self._is_right(cause)
            drill.statements.append(Statement(drill.today, name, cause, sure, right))
        drill.spend(ACTIONS[name].minutes)
        drill.tell(DONE, f"{ACTIONS[name].title}: {told}")
        return told

    def next_day(self) -> None:
        """Let the day end: its flights are served, and the next morning comes."""
        drill = self._playing()
        self._note(NEXT_DAY, {})
        served = self._served(drill.today)
        drill.served.append(served)
        slow = [name for name, result in drill.versions.items() if is_sluggish(result.model)]
        drill.days.append(day_of(served, drill.held, slow))
        drill.today += DAY
        drill.minute = 0
        if drill.over:
            return
        self._strike()
        self._take_effect()
        self._end_bad_releases()
        self._watch()

    def wait(self) -> Iterator[date]:
        """Let days pass until the pager calls, an answer comes or the shift ends; yield each."""
        told = len(self.drill.log)
        while not self.drill.over:
            self.next_day()
            yield self.drill.today
            if any(entry.kind in (PAGER, ANSWER) for entry in self.drill.log[told:]):
                return

    def inject(self, planned: Planned) -> None:
        """Let something strike that was not planned, as a game master may, from tomorrow on.

        Raises
        ------
        ParameterError
            If it would strike today, after the shift, or strikes in this shift anyway.
        """
        drill = self._playing()
        strike = planned.strike
        known = {one.incident.name for one in drill.shift.planned}
        if strike.incident.name in known or not drill.today < strike.first <= drill.shift.last:
            raise ParameterError(
                f"{strike.incident.title} cannot strike on {strike.first}.",
                f"It is {drill.today}; the shift ends on {drill.shift.last}, and has each "
                "incident once.",
                "Choose another incident, or a later day.",
            )
        self._note(INJECT, described(planned))
        drill.shift = replace(drill.shift, planned=(*drill.shift.planned, planned))
        drill.stream = replace(drill.stream, strikes=(*drill.stream.strikes, strike))

    def replay(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Do recorded steps again, and yield each once it is done.

        Raises
        ------
        ParameterError
            If a step is none, or stands on another day than the play has reached.
        """
        for step in steps:
            here = (self.drill.today, self.drill.minute)
            if (step.day, step.minute) != here:
                raise ParameterError(
                    f"A step is recorded for {step.day}, minute {step.minute}, and the play has "
                    f"reached {here[0]}, minute {here[1]}.",
                    "The steps of a shift follow each other as they were played.",
                    "Take the file as it was written; one that was edited does not count.",
                )
            if step.name == NEXT_DAY:
                self.next_day()
            elif step.name in LOOKS:
                self.look(step.name)
            elif step.name == INJECT:
                self.inject(planned_as(step.options))
            else:
                self.act(step.name, **step.options)
            yield step

    def _playing(self) -> Drill:
        if self.drill.over:
            raise ParameterError(
                "The shift is over.",
                f"It ended on {self.drill.shift.last}.",
                "Read the debrief, or begin another shift.",
            )
        return self.drill

    def _note(self, name: str, options: dict[str, Any]) -> None:
        drill = self.drill
        drill.steps.append(Step(drill.today, drill.minute, name, options))

    def _is_right(self, cause: str) -> bool:
        """Return whether a cause is one of now or of the last days."""
        drill = self.drill
        recent = {
            one.incident.name
            for one in drill.shift.planned
            if self._was_there(one, drill.today - RECENT, drill.today)
        }
        harmless = {name for name in recent if INCIDENTS[name].responses == ("dismiss",)}
        return cause in recent or (cause == "none" and recent == harmless)

    def _was_there(self, planned: Planned, first: date, last: date) -> bool:
        days = [first + number * DAY for number in range((last - first).days + 1)]
        return any(self.drill.is_there(planned, day) for day in days)

    # ---- a day

    def _served(self, day: date) -> Served:
        drill = self.drill
        flights = self._delivered(day)
        if not drill.held:
            return drill.system.serve(day, flights)
        by_rule = baseline(flights).astype("float64")
        answered = flights.assign(probability=by_rule, version="", role="")
        return Served(day, answered, pd.DataFrame())

    def _delivered(self, day: date) -> pd.DataFrame:
        drill = self.drill
        number = (day - drill.shift.first) // WEEK + 1
        key = (number, drill.stream.strikes)
        memory = drill.world.memory
        if key not in memory:
            flights = numbered_by_desk(drill.stream.week(number).flights)
            parts = {when.date(): part for when, part in flights.groupby("date", sort=False)}
            memory[key] = (parts, flights.iloc[:0])
        parts, none = memory[key]
        return parts.get(day, none)

    # ---- a morning

    def _strike(self) -> None:
        """Let a colleague promote what is to strike today."""
        drill = self.drill
        for planned in drill.present(drill.today):
            release = planned.incident.release
            if not release or planned.strike.first != drill.today:
                continue
            made = drill.world.memory
            if release not in made:
                made[release] = BAD_RELEASES[release](drill.world.champion, drill.world.rows)
            result = made[release]
            version = drill.system.register(result, drill.world.rows, "by hand")
            drill.versions[version] = result
            drill.champions.append(version)
            drill.bad[version] = planned
            reason = "forced, not judged by the gate: it looked good"
            drill.system.promote(version, drill.today, COLLEAGUE, reason)

    def _take_effect(self) -> None:
        drill = self.drill
        due = [order for order in drill.orders if order.due <= drill.today]
        drill.orders = [order for order in drill.orders if order.due > drill.today]
        for order in due:
            EFFECTS[order.name](drill, **order.options)

    def _end_bad_releases(self) -> None:
        """End those that serve no longer; a colleague takes back one whose time is over."""
        drill = self.drill
        for version, planned in drill.bad.items():
            there = drill.is_there(planned, drill.today)
            if there and drill.champion != version:
                drill.end(planned, drill.today)
            if not there and drill.champion == version:
                drill.champions.pop()
                reason = f"Back from version {version}."
                drill.system.roll_back(drill.champion, drill.today, COLLEAGUE, reason)

    def _watch(self) -> None:
        """Look at the rules, unless nobody does, and call whom a new alarm is for."""
        drill = self.drill
        blind = any(one.incident.blinds for one in drill.present(drill.today))
        if blind or not self._watched:
            return
        alerts = drill.monitor.look(drill.system, drill.served, drill.today)
        looked_at = {rule.name for rule in DAILY}
        if drill.today.weekday() == WEDNESDAY:
            looked_at |= {rule.name for rule in WEEKLY}
        firing = {alert.rule: alert for alert in alerts}
        for rule in looked_at - set(firing):
            drill.alarms.pop(rule, None)
            drill.dismissed.discard(rule)
        for rule, alert in firing.items():
            silent = drill.today < drill.silenced.get(rule, date.min)
            if rule in drill.dismissed or silent:
                continue
            if rule not in drill.alarms:
                drill.tell(PAGER, alert.message)
            since = drill.alarms[rule].since if rule in drill.alarms else drill.today
            drill.alarms[rule] = Alarm(alert, since)


EFFECTS: dict[str, Callable[..., None]] = {**acting.EFFECTS, **looks.EFFECTS}


def _called(work: Callable[..., str], drill: Drill, options: dict[str, Any]) -> str:
    try:
        return work(drill, **options)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise ParameterError(
            f"This action takes no {', '.join(options) or 'options'}.",
            "retrain and canary take weeks, silence takes rule and days.",
            "Leave it out.",
        ) from error


def _check_name(name: object, known: Iterable[str], what: str) -> None:
    if isinstance(name, str) and name in set(known):
        return
    near = get_close_matches(str(name), list(known), 1)
    hint = f"Do you mean {near[0]}?" if near else f"There are {', '.join(known)}."
    raise ParameterError(
        f"There is no {what} {short(repr(name))}.", hint, "Choose one of them; nothing was done."
    )


def _check_statement(cause: object, sure: object) -> None:
    if cause and cause not in INCIDENTS:
        raise ParameterError(
            f"There is no cause {short(repr(cause))}.",
            f"There are {', '.join(INCIDENTS)}.",
            "Name one of them, or none at all.",
        )
    number = isinstance(sure, int | float) and not isinstance(sure, bool)
    if not number or not SILENT <= float(sure) <= 1:  # type: ignore[arg-type]
        raise ParameterError(
            f"You are {short(repr(sure))} sure.",
            f"It is a number from {SILENT:g}, a guess, to 1, certainty.",
            "Write for instance sure=0.8.",
        )
