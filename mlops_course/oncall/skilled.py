"""A scripted player with a runbook: a round each morning, a closer look where something is off.

It sees what anybody on call sees, and does first what is cheap and can be taken back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from statistics import median
from typing import Any

from mlops_course.alerting.alerts import ACCURACY_RULE
from mlops_course.core.errors import CourseError
from mlops_course.oncall.engine import Engine
from mlops_course.oncall.state import DAY
from mlops_course.shifts.prices import SLOW_MS
from mlops_course.shifts.watching import DayFigures, WeekFigures

THURSDAY = 3
SURE = 0.95
LIKELY = 0.8
GUESS = 0.65
USUAL_DAYS = 28
STILL_DAYS = 10  # in which alarms may still come from what was acted on
NOT_BEFORE = 7  # days after which the same thing is done again
FROZEN = 33.0  # degrees Fahrenheit, as a day's median hardly seen from April to November
LATE_GAP = 0.12  # late flights that nobody called late, beyond which the relation has changed
SECOND_RETRAINING_DAYS = 21


@dataclass
class Skilled:
    """Somebody who has taken lessons 07 to 09, and remembers what was done when."""

    engine: Engine
    done: dict[tuple[str, str], date] = field(default_factory=dict)
    trusted: set[str] = field(default_factory=set)

    def play(self) -> None:
        """Play the shift to its end."""
        drill = self.engine.drill
        self.trusted = set(drill.champions)
        while not drill.over:
            self.morning()
            self.engine.next_day()

    def morning(self) -> None:
        """Make the round, and act on what is off."""
        drill = self.engine.drill
        if not drill.served:
            return
        if drill.held:
            self._resume_when_whole()
            return
        page = self.engine.look("overview").facts
        if page["age"]:
            self._do("restart-monitoring", "monitoring-dead", SURE)
        days = page["days"]
        if days and days[-1].day == drill.today - DAY:
            self._judge_the_day(days)
        if drill.today.weekday() == THURSDAY or "inputs drifted" in drill.alarms:
            self._look_at_rows()
        self._judge_the_alarms()

    # ---- what the dashboard shows of a day

    def _judge_the_day(self, days: list[DayFigures]) -> None:
        newest = days[-1]
        usual = (
            median(day.called_late for day in days[:-1]) if len(days) > 1 else newest.called_late
        )
        if newest.unanswered > 0.01:
            self._stop_refusals()
        elif set(newest.versions) - self.trusted:
            self._doubt_the_version(newest)
        elif newest.called_late < 0.02 or newest.called_late > 1.5 * usual + 0.02:
            self._look_at_rows()
        elif newest.missing > 0.8:
            self._do("fix-feed", "dead-weather", SURE)

    def _stop_refusals(self) -> None:
        """Let the rule answer, and have repaired what the service refuses."""
        self.engine.look("service")
        self._do("hold")
        self._do("declare")
        self._do("fix-feed", "refused", SURE)

    def _resume_when_whole(self) -> None:
        found = self.engine.look("rows").facts["by"]["all"]
        if found["dep_delay, empty"] == 0:
            self._do("resume")

    def _doubt_the_version(self, newest: DayFigures) -> None:
        """Leave a version that went past the gate; trust one that was judged."""
        moves = self.engine.look("registry").facts["moves"]
        version = self.engine.drill.champion
        last = [move for move in moves if move.version == version][-1]
        if "forced" not in last.reason:
            self.trusted |= set(newest.versions)
            return
        cause = "worse-release"
        if newest.ms > SLOW_MS:
            cause = "slow-release"
        elif newest.called_late < 0.02:
            cause = "stuck-release"
        self._do("roll-back", cause, SURE)

    # ---- what was delivered

    def _look_at_rows(self) -> None:
        facts = self.engine.look("rows").facts
        by: Mapping[str, Mapping[str, float]] = facts["by"]
        everywhere = by["all"]
        airports = {name: part for name, part in by.items() if len(name) == 3 and name != "all"}
        if everywhere["dep_delay, largest"] < 60:
            self._urgent("hours", SURE)
        elif all(part["dep_delay, lowest tenth"] > 5 for part in airports.values()):
            self._urgent("clock", SURE)
        elif everywhere["weather, empty"] > 0.8:
            self._do("fix-feed", "dead-weather", SURE)
        elif any(part["hour, last"] < 12 for part in airports.values()):
            self._do("revert-desk", "desk-skew", SURE)
        elif everywhere["hour, first"] < 4 and everywhere["hour, last"] > 22:
            self._do("fix-feed", "timezone", SURE)
        elif everywhere["temp, median"] < FROZEN and self.engine.drill.today.month < 11:
            self._do("fix-feed", "celsius", SURE)

    def _urgent(self, cause: str, sure: float) -> None:
        self._do("declare")
        self._do("fix-feed", cause, sure)

    # ---- what the alarms say

    def _judge_the_alarms(self) -> None:
        alarms = self.engine.drill.alarms
        if "labels stay away" in alarms:
            self._do("chase-labels", "late-labels", SURE)
        elif ACCURACY_RULE in alarms:
            self._judge_the_weeks()
        elif "unknown places or airlines" in alarms:
            self._do("dismiss", "new-carrier", SURE)
        elif "fewer flights than usual" in alarms and not self._lately():
            self._do("dismiss", *self._storm_or_holiday())
        elif alarms:
            self._dismiss()

    def _judge_the_weeks(self) -> None:
        """Retrain where late flights stay uncalled week after week; else the weeks are harder."""
        found: list[WeekFigures] = self.engine.look("weeks").facts["weeks"]
        gaps = [week.observed_late - week.called_late for week in found]
        known = self._lately()
        if known not in ("", "padding") or not gaps or gaps[-1] < LATE_GAP:
            self._dismiss()
        elif self._days_since("retrain", "padding") >= SECOND_RETRAINING_DAYS:
            weeks = 4 if ("retrain", "padding") in self.done else 2
            self._do("retrain", "padding", LIKELY, weeks=weeks)

    def _storm_or_holiday(self) -> tuple[str, float]:
        """A storm closes one airport; on a holiday all have fewer flights."""
        by = self.engine.look("rows").facts["by"]
        sizes = [part["flights"] for name, part in by.items() if name not in ("training", "all")]
        return ("storm", SURE) if min(sizes) < 0.6 * max(sizes) else ("none", LIKELY)

    def _dismiss(self) -> None:
        """Close what is known to come from what was acted on lately, or from nothing."""
        known = self._lately()
        self._do("dismiss", known or "none", LIKELY if known else GUESS)

    def _lately(self) -> str:
        """Return the newest cause that was acted on, or named, in the last days."""
        recent = {
            when: cause
            for (_, cause), when in self.done.items()
            if cause not in ("", "none") and (self.engine.drill.today - when).days <= STILL_DAYS
        }
        return recent[max(recent)] if recent else ""

    # ---- helpers

    def _days_since(self, name: str, cause: str) -> int:
        last = self.done.get((name, cause), date.min)
        return (self.engine.drill.today - last).days

    def _do(self, name: str, cause: str = "", sure: float = 0.5, **options: Any) -> None:
        """Do something, unless it was done these days or cannot be done now."""
        if name != "hold" and name != "resume" and self._days_since(name, cause) < NOT_BEFORE:
            return
        try:
            self.engine.act(name, cause=cause, sure=sure, **options)
        except CourseError:
            return
        self.done[name, cause] = self.engine.drill.today


def skilled(engine: Engine) -> None:
    """Play as somebody who has a runbook."""
    Skilled(engine).play()
