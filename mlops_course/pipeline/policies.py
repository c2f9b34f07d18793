"""When to retrain, and on which weeks: a policy looks at the history and decides.

A policy decides only. The loop trains, lets the gate judge the candidate on later rows, and
promotes what passes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

RETRAIN_WEEKS = 2


@dataclass(frozen=True)
class Observation:
    """What a policy may know of one week.

    Attributes
    ----------
    number
        The week of production, counted from 1.
    alerted
        Whether the rule on accuracy fired.
    acted
        Whether a candidate was trained, judged or dropped after that week.
    """

    number: int
    alerted: bool
    acted: bool = False


@dataclass(frozen=True)
class Retrain:
    """Train a candidate on these weeks, by their numbers."""

    weeks: tuple[int, ...]


@dataclass(frozen=True)
class Wait:
    """Do nothing this week."""


Decision = Retrain | Wait


class Policy(Protocol):
    """Anything that decides after each week."""

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Return what to do after the last week of the history, which is not empty."""


@dataclass(frozen=True)
class NeverRetrain:
    """Watch only."""

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Wait, whatever happened."""
        return Wait()


@dataclass(frozen=True)
class RetrainOnAlert:
    """Retrain once the alert on accuracy has persisted for so many weeks, on just those weeks.

    >>> policy = RetrainOnAlert(weeks=2)
    >>> policy.decide([Observation(1, False), Observation(2, True)])
    Wait()
    >>> policy.decide([Observation(1, False), Observation(2, True), Observation(3, True)])
    Retrain(weeks=(2, 3))
    """

    weeks: int = RETRAIN_WEEKS

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Retrain when the latest weeks all alerted and nothing was done about them yet."""
        latest = history[-self.weeks :]
        persists = all(week.alerted and not week.acted for week in latest)
        if len(latest) < self.weeks or not persists:
            return Wait()
        return Retrain(tuple(week.number for week in latest))


POLICIES: Mapping[str, Policy] = {"auto": RetrainOnAlert(), "never": NeverRetrain()}
