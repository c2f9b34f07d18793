"""A shift: the weeks for which somebody is on call, and what strikes in them.

It is drawn from a seed, and hidden from whoever plays. What can strike is `data.incidents`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from mlops_course.core.errors import ParameterError
from mlops_course.core.texts import short
from mlops_course.data.incidents import INCIDENTS, Incident
from mlops_course.data.stream import WEEK, Strike

FIRST_MONDAY = date(2013, 4, 1)
MAX_WEEKS = 39
CALM_WEEKS = 2  # nothing strikes before
TAIL_DAYS = 21  # nor so late that nobody could answer it
_LOT = 10  # keeps its draws apart from the draws of days

LOUD_FEEDS = ("clock", "hours", "refused")
QUIET_FAULTS = ("dead-weather", "celsius", "timezone", "desk-skew")
RELEASES = ("worse-release", "stuck-release", "slow-release")
NOTHING_TO_FIX = ("storm", "new-carrier")
BLIND = ("late-labels", "monitoring-dead")
WORLD = ("padding",)
APART = {"clock": ("padding",), "padding": ("clock",)}
"""What never strikes in one shift: minutes added to a delay undo minutes cut from the schedule."""


@dataclass(frozen=True)
class Reply:
    """What the owners answer who are asked: after how many days, and whether it is true."""

    days: int = 2
    honest: bool = True


@dataclass(frozen=True)
class Planned:
    """An incident of a shift, and what its owners answer while it lasts."""

    strike: Strike
    reply: Reply = Reply()

    @property
    def incident(self) -> Incident:
        """What strikes."""
        return self.strike.incident

    def is_there(self, day: date) -> bool:
        """Return whether it lasts on a day, if nobody does anything about it."""
        return self.strike.share_on(day) > 0


@dataclass(frozen=True)
class Shift:
    """Weeks on call.

    Attributes
    ----------
    seed
        Draws the days of the weeks anew.
    first
        The Monday on which it begins.
    weeks
        How many weeks it takes.
    planned
        What strikes, in order of time.
    name
        What it is called.
    """

    seed: int
    first: date
    weeks: int
    planned: tuple[Planned, ...] = ()
    name: str = ""

    @property
    def last(self) -> date:
        """Its last day."""
        return self.first + self.weeks * WEEK - timedelta(days=1)

    def __post_init__(self) -> None:
        """Refuse a shift for which there are no flights, or in which something strikes outside."""
        end = FIRST_MONDAY + MAX_WEEKS * WEEK
        if (
            self.weeks < 1
            or self.first.weekday()
            or not FIRST_MONDAY <= self.first < self.last < end
        ):
            raise ParameterError(
                f"A shift of {self.weeks} weeks from {self.first} cannot be.",
                f"It begins on a Monday from {FIRST_MONDAY} on and ends before {end}.",
                "Choose another first day, or fewer weeks.",
            )
        for one in self.planned:
            if not self.first <= one.strike.first <= self.last:
                raise ParameterError(
                    f"{one.incident.title} strikes on {one.strike.first}, outside of the shift.",
                    f"The shift goes from {self.first} to {self.last}.",
                    "Choose a day inside it.",
                )


@dataclass(frozen=True)
class Level:
    """How hard a shift is.

    Attributes
    ----------
    weeks
        How long it takes.
    deck
        From each of these groups of incidents one is drawn.
    wrong_replies
        The chance that owners who are asked are mistaken.
    """

    weeks: int
    deck: tuple[Sequence[str], ...]
    wrong_replies: float


LEVELS: Mapping[str, Level] = {
    "easy": Level(10, ((*LOUD_FEEDS, *RELEASES), NOTHING_TO_FIX), 0.0),
    "normal": Level(
        26, (LOUD_FEEDS, RELEASES, NOTHING_TO_FIX, (*QUIET_FAULTS, *BLIND, *WORLD)), 0.2
    ),
    "hard": Level(
        26, (LOUD_FEEDS, RELEASES, NOTHING_TO_FIX, BLIND, (*QUIET_FAULTS, *WORLD), RELEASES), 0.4
    ),
}
DEFAULT_LEVEL = "normal"


def draw_shift(seed: int, level: str = DEFAULT_LEVEL) -> Shift:
    """Return the shift that a seed draws: when it begins, what strikes and when.

    Raises
    ------
    ParameterError
        If there is no such level, or the seed is none.

    >>> draw_shift(0) == draw_shift(0)
    True
    """
    _check(seed, level)
    plan = LEVELS[level]
    lot = np.random.default_rng((_LOT, seed, list(LEVELS).index(level)))
    first = FIRST_MONDAY + int(lot.integers(MAX_WEEKS - plan.weeks + 1)) * WEEK
    deck = [plan.deck[place] for place in lot.permutation(len(plan.deck))]
    room = plan.weeks * 7 - CALM_WEEKS * 7 - TAIL_DAYS
    planned = []
    drawn: set[str] = set()
    for place, group in enumerate(deck):
        taken = drawn.union(*(APART.get(name, ()) for name in drawn))
        left = [name for name in group if name not in taken]
        name = left[lot.integers(len(left))]
        drawn.add(name)
        begin = CALM_WEEKS * 7 + int((place + lot.random()) * room / len(deck))
        strike = struck(name, first + timedelta(days=begin), first + plan.weeks * WEEK)
        reply = Reply(int(lot.integers(1, 4)), bool(lot.random() >= plan.wrong_replies))
        planned.append(Planned(strike, reply))
    return Shift(seed, first, plan.weeks, tuple(planned), f"{level}, seed {seed}")


def struck(name: str, day: date, end: date, severity: float = 1.0, onset_days: int = 0) -> Strike:
    """Return an incident that strikes on a day and ends by itself, at the latest with the shift."""
    incident = INCIDENTS[name]
    last = end - timedelta(days=1)
    if incident.lasts:
        last = min(last, day + timedelta(days=incident.lasts - 1))
    return Strike(incident, day, last, severity, onset_days)


def described(planned: Planned) -> dict[str, Any]:
    """Return an incident of a shift as a record of plain values, for a file."""
    strike = planned.strike
    return {
        "what": planned.incident.name,
        "first": strike.first.isoformat(),
        "last": strike.last and strike.last.isoformat(),
        "severity": strike.severity,
        "onset_days": strike.onset_days,
        "reply_days": planned.reply.days,
        "reply_honest": planned.reply.honest,
    }


def planned_as(record: Mapping[str, Any]) -> Planned:
    """Return the incident that a record of `described` tells of.

    Raises
    ------
    ParameterError
        If it is no such record.
    """
    try:
        last = record["last"]
        strike = Strike(
            INCIDENTS[record["what"]],
            date.fromisoformat(record["first"]),
            date.fromisoformat(last) if last else None,
            float(record["severity"]),
            int(record["onset_days"]),
        )
        return Planned(strike, Reply(int(record["reply_days"]), bool(record["reply_honest"])))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ParameterError(
            f"An incident cannot be read from {short(dict(record))}.",
            "It has the fields what, first, last, severity, onset_days, reply_days, reply_honest.",
            "Take the file as it was written.",
        ) from error


def _check(seed: object, level: object) -> None:
    if not isinstance(level, str) or level not in LEVELS:
        raise ParameterError(
            f"There is no level {short(repr(level))}.",
            f"The levels are {', '.join(LEVELS)}.",
            "Choose one of them.",
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ParameterError(
            f"The seed is {short(repr(seed))}.",
            "It is a whole number from 0 to 4294967295.",
            "Choose one of these.",
        )
