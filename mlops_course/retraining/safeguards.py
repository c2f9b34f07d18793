"""Who may stop it: small wrappers around a policy, each with one reason to say no.

A policy that runs by itself needs somebody who can stop it, a limit on what it may do, and a person
who looks at the first time. Each wrapper asks the policy inside it, and may turn what that decides
into waiting, or object to a promotion that the gate would let pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlops_course.core.errors import ParameterError
from mlops_course.deciding.decisions import (
    Decision,
    Observation,
    Policy,
    Wait,
    needs_versions,
    objection,
)


@dataclass(frozen=True)
class KillSwitch:
    """Stop everything while a switch is thrown: no training, no promotion, no rollback.

    Parameters
    ----------
    is_thrown
        Asked each time, for instance whether a file is there or a tag is set in the registry. One
        that fails counts as thrown.

    >>> from mlops_course.pipeline.policies import RetrainOnSchedule
    >>> stopped = KillSwitch(RetrainOnSchedule(), is_thrown=lambda: True)
    >>> stopped.decide([Observation(1, alerted=True)])
    Wait()
    """

    policy: Policy
    is_thrown: Callable[[], bool]

    @property
    def needs_versions(self) -> bool:
        """Whether the policy inside does."""
        return needs_versions(self.policy)

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Wait while the switch is thrown, else do what the policy says."""
        return Wait() if self._stopped() else self.policy.decide(history)

    def objection(self, history: Sequence[Observation]) -> str:
        """Object while the switch is thrown."""
        if self._stopped():
            return "The kill switch is thrown: nothing is promoted."
        return objection(self.policy, history)

    def _stopped(self) -> bool:
        try:
            return bool(self.is_thrown())
        except Exception:  # nobody knows, and then nothing moves
            return True


@dataclass(frozen=True)
class AtMost:
    """Allow at most so many moves of the champion in so many weeks.

    One who moves it every week chases noise, and leaves nobody the time to see what a move did.

    Raises
    ------
    ParameterError
        If one of the numbers is no whole number from 1 on.
    """

    policy: Policy
    moves: int = 1
    weeks: int = 4

    def __post_init__(self) -> None:
        for name in ("moves", "weeks"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ParameterError(
                    f"{name} is {value!r}.",
                    "Moves and weeks are whole numbers from 1 on.",
                    "Write for instance AtMost(policy, moves=1, weeks=4).",
                )

    @property
    def needs_versions(self) -> bool:
        """Whether the policy inside does."""
        return needs_versions(self.policy)

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Wait once there were enough moves, else do what the policy says."""
        return Wait() if self._enough(history) else self.policy.decide(history)

    def objection(self, history: Sequence[Observation]) -> str:
        """Object once there were enough moves."""
        if self._enough(history):
            return f"At most {self.moves} in {self.weeks} weeks may move the champion."
        return objection(self.policy, history)

    def _enough(self, history: Sequence[Observation]) -> bool:
        return sum(week.moved for week in history[-self.weeks :]) >= self.moves


@dataclass(frozen=True)
class FirstByHand:
    """Ask a person before the champion is moved for the first time.

    Parameters
    ----------
    approve
        Called with the history; whoever answers True lets the policy go on by itself. One that
        fails counts as no.
    """

    policy: Policy
    approve: Callable[[Sequence[Observation]], bool]

    @property
    def needs_versions(self) -> bool:
        """Whether the policy inside does."""
        return needs_versions(self.policy)

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Do what the policy says: a candidate may be trained, and wait for a person."""
        return self.policy.decide(history)

    def objection(self, history: Sequence[Observation]) -> str:
        """Object to the first move unless a person approves of it."""
        if not any(week.moved for week in history) and not self._approved(history):
            return "Nobody has approved of the first promotion: the champion stays."
        return objection(self.policy, history)

    def _approved(self, history: Sequence[Observation]) -> bool:
        try:
            return bool(self.approve(history))
        except Exception:  # no answer is no approval
            return False
