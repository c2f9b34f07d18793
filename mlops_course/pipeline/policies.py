"""When to retrain, and on which weeks: a policy looks at the history and decides.

A policy decides only, and forgets nothing and remembers nothing: the same history gives the same
decision. Whoever asks it trains, lets the gate judge the candidate on later rows, and promotes what
passes: the loop on a real service, `retraining.trials` on a table of models by weeks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from statistics import fmean

from mlops_course.deciding.decisions import (
    ACCURACY,
    DRIFT,
    ESTIMATE,
    SCHEDULE,
    Decision,
    Observation,
    Policy,
    Retrain,
    RollBack,
    Wait,
    Window,
    objection,
)

RETRAIN_WEEKS = 2
OF_WEEKS = 3
QUARTER = 13  # weeks
LAST_QUARTER = Window(QUARTER)
# How far the model's own confidence must fall below that of its first weeks: as far as an estimate
# without labels may be off (`monitoring.estimation`). From April to December 2013, with nothing
# broken, two of 39 weeks of the first model lie further below, and 17 lie two points below or more.
FALL = 0.04
FIRST_WEEKS = 4


@dataclass(frozen=True)
class NeverRetrain:
    """Watch only."""

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Wait, whatever happened."""
        return Wait()


@dataclass(frozen=True)
class RetrainOnSchedule:
    """Retrain every so many weeks, whatever was seen.

    >>> policy = RetrainOnSchedule(every=2, window=Window(4))
    >>> [type(policy.decide([Observation(week, False)])).__name__ for week in (1, 2, 3, 4)]
    ['Wait', 'Retrain', 'Wait', 'Retrain']
    """

    every: int = 1
    window: Window = LAST_QUARTER

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Retrain when the number of the last week says so."""
        due = history[-1].number % self.every == 0
        return Retrain(self.window, SCHEDULE) if due else Wait()


@dataclass(frozen=True)
class RetrainOnAlert:
    """Retrain once the alert on accuracy fired in so many of the latest weeks.

    A week that stays a little above the bound between two that do not is no sign of recovery.
    Without a window, it is trained on those weeks, from the first of these alerts on.

    >>> policy = RetrainOnAlert(weeks=2, of=3)
    >>> policy.decide([Observation(1, False), Observation(2, True)])
    Wait()
    >>> low = [Observation(week, alerted=True) for week in (2, 3)]
    >>> decision = policy.decide([Observation(1, False), *low])
    >>> str(decision.window), decision.because
    ('the last 2 weeks', 'accuracy')
    """

    weeks: int = RETRAIN_WEEKS
    of: int = OF_WEEKS
    window: Window | None = None

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Retrain when the last week alerted, enough before it did, and nothing was done yet."""
        since = unanswered(history, [week.alerted for week in history], self.weeks, self.of)
        return Retrain(self.window or Window(since), ACCURACY) if since else Wait()


@dataclass(frozen=True)
class RetrainOnDrift:
    """Retrain once inputs were stranger than in each reference week, in so many of the latest.

    Without labels, and without a word on whether the model minds.
    """

    weeks: int = 1
    of: int = 1
    window: Window = LAST_QUARTER

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Retrain when the last week drifted, enough before it did, and nothing was done yet."""
        drifted = [bool(week.drifted) for week in history]
        since = unanswered(history, drifted, self.weeks, self.of)
        return Retrain(self.window, DRIFT) if since else Wait()


@dataclass(frozen=True)
class RetrainOnEstimate:
    """Retrain once the accuracy that the model believes to have has fallen, in so many weeks.

    A model's confidence has a level of its own, which a calibration would only shift; so each week
    is held against the first weeks of the version that serves. It sees harder flights, and never a
    relation that has changed.
    """

    fall: float = FALL
    weeks: int = RETRAIN_WEEKS
    of: int = OF_WEEKS
    window: Window = LAST_QUARTER

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Retrain when the last week has fallen, enough before it did, and nothing was done yet."""
        version = history[-1].version
        served = [week for week in history if week.version == version]
        known = [week.confidence for week in served if not isnan(week.confidence)]
        if len(known) <= FIRST_WEEKS:
            return Wait()
        level = fmean(known[:FIRST_WEEKS])
        fallen = [week in served and week.confidence < level - self.fall for week in history]
        since = unanswered(history, fallen, self.weeks, self.of)
        return Retrain(self.window, ESTIMATE) if since else Wait()


@dataclass(frozen=True)
class DecideByHand:
    """Do what a person has decided, by the numbers of weeks; wait in all others.

    >>> DecideByHand({2: RollBack("1")}).decide([Observation(2, False)])
    RollBack(version='1', because='hand')
    """

    decisions: Mapping[int, Decision] = field(default_factory=dict)

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Return the decision for the last week."""
        return self.decisions.get(history[-1].number, Wait())


@dataclass(frozen=True)
class ReuseFirst:
    """Go back to a former version that does better now; else do what another policy says.

    Each week it looks at the versions that served before, and rolls back to the one that surely
    would have called more of the newest labelled week right. That helps where the world has come
    back to what a version knows, as after a feed was repaired; no alert tells of that, since the
    retrained model is not bad, only worse than it need be. Without ``always`` it looks only when
    the other policy wants to retrain.
    """

    then: Policy = RetrainOnAlert()
    always: bool = True

    @property
    def needs_versions(self) -> bool:
        """Yes: it is told how versions that served before would have done."""
        return True

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Roll back if a former version does better, else do what the other policy says."""
        decision = self.then.decide(history)
        newest = history[-1]
        better = () if newest.moved else newest.better  # they were held against the one that went
        if not better or not (self.always or isinstance(decision, Retrain)):
            return decision
        return RollBack(better[0], getattr(decision, "because", ACCURACY))

    def objection(self, history: Sequence[Observation]) -> str:
        """Pass on what the other policy has against a new champion."""
        return objection(self.then, history)


def unanswered(history: Sequence[Observation], signs: Sequence[bool], weeks: int, of: int) -> int:
    """Return from how many weeks ago on a sign stands that calls for an answer; 0 for none.

    It does if the last week has it, so many of the latest do, and nothing was done since the first
    of these.

    >>> calm = [Observation(number, False) for number in (1, 2, 3)]
    >>> unanswered(calm, [True, False, True], weeks=2, of=3)
    3
    """
    latest = list(zip(history, signs, strict=True))[-of:]
    shown = [place for place, (_, sign) in enumerate(latest) if sign]
    if not latest[-1][1] or len(shown) < weeks:
        return 0
    since = latest[shown[-weeks] :]
    return 0 if any(week.acted for week, _ in since) else len(since)


POLICIES: Mapping[str, Policy] = {"auto": RetrainOnAlert(), "never": NeverRetrain()}
"""What the setting ``retrain`` of a run names."""

NAMED: Mapping[str, Policy] = {
    "never": NeverRetrain(),
    "schedule": RetrainOnSchedule(),
    "drift": RetrainOnDrift(),
    "accuracy": RetrainOnAlert(),
    "estimate": RetrainOnEstimate(),
    "reuse": ReuseFirst(),
}
"""What `mlops-course simulate --policy` names."""
