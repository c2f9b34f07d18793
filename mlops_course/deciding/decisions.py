"""What can be done after a week of production, what is known then, and how a policy is asked.

No policy lives here, and nothing is carried out: `pipeline.cycles` does what was decided.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from numbers import Integral, Real
from typing import Any, Protocol

from mlops_course.core.errors import ParameterError
from mlops_course.core.texts import short

# What a decision answers to. The first three are alarms: something was seen.
ACCURACY = "accuracy"
DRIFT = "drift"
ESTIMATE = "estimate"
SCHEDULE = "schedule"
HAND = "hand"
ALARMS = (ACCURACY, DRIFT, ESTIMATE)


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
        Whether a candidate was trained, judged or dropped, or a version rolled back to, after that
        week.
    moved
        Whether another version became champion after that week.
    drifted
        The features that were stranger than in each reference week; it takes no labels.
    confidence
        Mean confidence of the model in its calls, which takes no labels either; NaN where nothing
        was answered.
    version
        The version that served.
    better
        Versions that served before and would surely have called more of the week's flights right,
        best first. Only policies that say ``needs_versions`` are told.
    alarms
        The alert rules that fired on the week, by name, the one on accuracy among them.
    chosen
        What was chosen when the run asked after that week, a key of `choices.CHOICES`; empty where
        it did not ask.
    """

    number: int
    alerted: bool
    acted: bool = False
    moved: bool = False
    drifted: tuple[str, ...] = ()
    confidence: float = nan
    version: str = ""
    better: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    chosen: str = ""


def _is_positive(value: object, whole: bool) -> bool:
    """Return whether a value is a number above 0; it may come from NumPy."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return float(value) > 0 and (isinstance(value, Integral) or not whole)


@dataclass(frozen=True)
class Window:
    """Which flights to train on.

    Attributes
    ----------
    weeks
        The last so many weeks that there are; None for all. Where production has fewer, those
        before it count, too.
    flights
        About how many of their flights to take, by lot; None for all.
    half_life
        Weeks after which a flight is taken half as often as a new one, by lot; None for all ages
        alike. On average that weighs them so, and a training takes no longer than on few weeks.

    Raises
    ------
    ParameterError
        If one of them is no number above 0.
    """

    weeks: int | None = None
    flights: int | None = None
    half_life: float | None = None

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items()):
            if value is None:
                continue
            whole = name != "half_life"
            if not _is_positive(value, whole):
                raise ParameterError(
                    f"The window's {name} is {short(repr(value))}.",
                    f"It is a {'whole ' if whole else ''}number above 0, or None.",
                    "Write for instance Window(weeks=13).",
                )
            number = float(value)  # equal windows have equal names, whatever their numbers are
            object.__setattr__(self, name, int(number) if number.is_integer() else number)

    def __str__(self) -> str:
        """Say which flights, in a few words."""
        parts = [f"the last {self.weeks} weeks" if self.weeks else "all weeks"]
        if self.flights:
            parts.append(f"{self.flights:,} flights of them")
        if self.half_life:
            parts.append(f"half as many after {self.half_life:g} weeks")
        return ", ".join(parts)


@dataclass(frozen=True)
class Retrain:
    """Train a candidate on these flights, and why."""

    window: Window
    because: str = HAND


@dataclass(frozen=True)
class RollBack:
    """Let a version serve again that served before, and why."""

    version: str
    because: str = HAND


@dataclass(frozen=True)
class Repair:
    """Have the owner of the feed repair it, which takes days; on a table of models, a wait."""


@dataclass(frozen=True)
class Wait:
    """Do nothing this week."""


Decision = Retrain | RollBack | Repair | Wait


class Policy(Protocol):
    """Anything that decides after each week.

    More is asked of a policy that has it: ``needs_versions``, whether it wants to know of versions
    that served before; ``objection(history)``, why no version may become champion now, as a
    sentence, empty if nothing stands against it; ``asks(history)``, whether somebody is to choose
    now, and then ``choice(history)``, which is what `choices` is about.
    """

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Return what to do after the last week of the history, which is not empty."""


# ---- asking one


def ask(policy: Policy, history: Sequence[Observation]) -> tuple[Decision, str]:
    """Return a policy's decision, and what is wrong with it; then the decision is to wait.

    Whatever a policy raises or returns, whoever asks goes on, and the history stays as it is.
    """
    try:
        decision: object = policy.decide(tuple(history))
    except Exception as error:  # a policy is anybody's code
        return Wait(), f"The policy failed ({_named(error)}): nothing was done."
    match decision:
        case Retrain(window=Window()) | RollBack(version=str()) | Repair() | Wait():
            return decision, ""
    return Wait(), f"The policy said {short(repr(decision))}, no decision: nothing was done."


def objection(policy: Policy, history: Sequence[Observation]) -> str:
    """Return why no version may become champion now, as the policy has it; empty if one may."""
    says = getattr(policy, "objection", None)
    if says is None:
        return ""
    try:
        return str(says(tuple(history)) or "")
    except Exception as error:
        return f"The policy failed ({_named(error)}): nothing was promoted."


def asks(policy: Policy, history: Sequence[Observation]) -> bool:
    """Return whether somebody is to choose now; not if the policy never asks, or fails at it."""
    says = getattr(policy, "asks", None)
    try:
        return bool(says and says(tuple(history)))
    except Exception:  # the policy is asked for its decision next, and says then what is wrong
        return False


def choice(policy: Policy, history: Sequence[Observation]) -> tuple[str, str]:
    """Return what was chosen, and what is wrong with it; then nothing was."""
    says: Any = getattr(policy, "choice", None)
    try:
        return str(says(tuple(history))), ""
    except Exception as error:
        return "", f"The choice failed ({_named(error)}): nothing was done."


def needs_versions(policy: Policy) -> bool:
    """Return whether a policy wants to know how versions that served before would have done."""
    return bool(getattr(policy, "needs_versions", False))


def _named(error: Exception) -> str:
    said = short(str(error)).strip()
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
