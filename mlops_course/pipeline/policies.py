"""When to retrain, and on which weeks: a policy looks at the history and decides.

A policy decides only. The loop trains, lets the gate judge the candidate on later rows, and
promotes what passes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

RETRAIN_WEEKS = 2
OF_WEEKS = 3


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
    """Retrain once the alert on accuracy fired in so many of the latest weeks, from the first on.

    A week that stays a little above the bound between two that do not is no sign of recovery.

    >>> policy = RetrainOnAlert(weeks=2, of=3)
    >>> policy.decide([Observation(1, False), Observation(2, True)])
    Wait()
    >>> policy.decide([Observation(1, False), Observation(2, True), Observation(3, True)])
    Retrain(weeks=(2, 3))
    """

    weeks: int = RETRAIN_WEEKS
    of: int = OF_WEEKS

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Retrain when the last week alerted, enough before it did, and nothing was done yet."""
        latest = history[-self.of :]
        alerted = [place for place, week in enumerate(latest) if week.alerted]
        if not latest[-1].alerted or len(alerted) < self.weeks:
            return Wait()
        since = latest[alerted[-self.weeks] :]
        if any(week.acted for week in since):
            return Wait()
        return Retrain(tuple(week.number for week in since))


POLICIES: Mapping[str, Policy] = {"auto": RetrainOnAlert(), "never": NeverRetrain()}
