"""What a drill knows while it is played: clock, pager, orders, what was served, what it has cost.

Nothing is decided here. `acting` and `looks` work on it, `engine` lets the days pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from mlops_course.alerting.alerts import Alert
from mlops_course.data.stream import Stream
from mlops_course.shifts.ledger import Charge, Day, Harm, Statement, harm_of
from mlops_course.shifts.plans import Planned, Shift
from mlops_course.shifts.prices import WORK_MINUTES
from mlops_course.shifts.retraining import Candidate
from mlops_course.shifts.systems import Served, System
from mlops_course.shifts.watching import Monitor
from mlops_course.shifts.worlds import World
from mlops_course.training.trainer import TrainingResult

DAY = timedelta(days=1)
YOU = "you"
PAGER = "pager"
ANSWER = "answer"
DONE = "done"
CHANGE = "change"


@dataclass(frozen=True)
class Step:
    """What somebody did: on which day, at which minute of it, what, and how exactly."""

    day: date
    minute: int
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A line of the log: when, of which kind (`PAGER`, `ANSWER`, `DONE`, `CHANGE`), and what."""

    day: date
    minute: int
    kind: str
    text: str


@dataclass(frozen=True)
class Alarm:
    """An alert that has called somebody, as it was this morning, and since when it fires."""

    alert: Alert
    since: date


@dataclass(frozen=True)
class Order:
    """What is to take effect on a morning: a name of `engine.EFFECTS`, and how exactly."""

    due: date
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Drill:
    """A shift that is being played.

    Attributes
    ----------
    today, minute
        The day, and how many minutes of its work are over.
    stream
        What production delivers, as far as is known; a repair changes it.
    versions
        What was registered, by version.
    champions
        The versions that were champion and were not rolled back from, the present one last.
    held
        Whether the rule answers instead of the model.
    challenger
        The version in a canary; empty for none.
    candidates
        What waits for the verdict on its canary, by its version.
    bad
        The versions that a colleague promoted past the gate, each with its incident.
    ended
        The incidents that somebody has ended, by name, and from which day they were gone.
    declared
        The day on which an incident was last declared.
    served
        The days so far.
    alarms
        The open alarms, by the name of their rule.
    dismissed, silenced
        Rules whose alarm was closed until it ends, and those that call nobody until a day.
    orders, replies
        What is to take effect; what upstream has answered: the day, and whether it is at fault.
    steps, log, days, charges, statements, minutes
        What was done, what happened, and what it has cost.
    """

    shift: Shift
    world: World
    system: System
    monitor: Monitor
    today: date
    stream: Stream
    minute: int = 0
    versions: dict[str, TrainingResult] = field(default_factory=dict)
    champions: list[str] = field(default_factory=list)
    held: bool = False
    challenger: str = ""
    candidates: dict[str, Candidate] = field(default_factory=dict)
    bad: dict[str, Planned] = field(default_factory=dict)
    ended: dict[str, date] = field(default_factory=dict)
    declared: date | None = None
    served: list[Served] = field(default_factory=list)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    dismissed: set[str] = field(default_factory=set)
    silenced: dict[str, date] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    replies: list[tuple[date, bool]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    log: list[Entry] = field(default_factory=list)
    days: list[Day] = field(default_factory=list)
    charges: list[Charge] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    minutes: int = 0

    @property
    def over(self) -> bool:
        """Whether the shift has ended."""
        return self.today > self.shift.last

    @property
    def champion(self) -> str:
        """The version that serves, unless traffic is held."""
        return self.champions[-1]

    @property
    def harm(self) -> Harm:
        """What the shift has cost so far."""
        return harm_of(self.days, self.charges, self.statements, self.minutes)

    def is_there(self, planned: Planned, day: date) -> bool:
        """Return whether an incident of the shift lasts on a day, after all that was done."""
        place = self.shift.planned.index(planned)
        return self.stream.strikes[place].share_on(day) > 0

    def present(self, day: date) -> list[Planned]:
        """Return the incidents that are there on a day, after all that was done."""
        return [one for one in self.shift.planned if self.is_there(one, day)]

    def end(self, planned: Planned, day: date) -> None:
        """End an incident: from a day on it is gone, at the earliest after its first day."""
        place = self.shift.planned.index(planned)
        strike = self.stream.strikes[place]
        gone = max(day, strike.first + DAY)
        self.stream = self.stream.repaired([strike], gone)
        self.ended[planned.incident.name] = gone

    def tell(self, kind: str, text: str) -> None:
        """Write a line into the log."""
        self.log.append(Entry(self.today, self.minute, kind, text))

    def spend(self, minutes: int) -> None:
        """Let minutes of work pass, within the day."""
        self.minutes += minutes
        self.minute = min(self.minute + minutes, WORK_MINUTES)

    def order(self, days: int, name: str, **options: Any) -> date:
        """Have something take effect so many days from now, and return the day."""
        due = self.today + days * DAY
        self.orders.append(Order(due, name, options))
        return due

    def awaits(self, name: str) -> Order | None:
        """Return an order of that name that has not taken effect."""
        return next((order for order in self.orders if order.name == name), None)
