"""What somebody may choose at an alert, and policies that ask: a person, or answers given before.

A run that asks says so with an event, and goes on when it has been told. The choices are the same
in every world, in the same order and words: they give nothing away.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from mlops_course.core.errors import ParameterError
from mlops_course.core.texts import short
from mlops_course.deciding.decisions import (
    Decision,
    Observation,
    Repair,
    Retrain,
    RollBack,
    Wait,
    Window,
)

REPAIR_DAYS = 7  # from a request to the owner of a feed to the first day that is right again
LOOK = "look"
REPAIR = "repair"
ROLL_BACK = "roll-back"
RETRAIN = "retrain"
DISMISS = "dismiss"


@dataclass(frozen=True)
class Choice:
    """What can be done at an alert: its name for people, and what it costs or how long it takes."""

    title: str
    cost: str


CHOICES: Mapping[str, Choice] = {
    LOOK: Choice("Look closer", "Nothing changes, and another week passes."),
    REPAIR: Choice(
        "Have the feed repaired",
        f"Its owner needs {REPAIR_DAYS} days to look and to repair; until then nothing changes.",
    ),
    ROLL_BACK: Choice(
        "Roll back", "One call: from next week on the version serves that served before."
    ),
    RETRAIN: Choice(
        "Retrain",
        "A candidate learns from the weeks of this alarm. The gate judges it on the next week, so "
        "it serves from the week after that, if it passes.",
    ),
    DISMISS: Choice(
        "Dismiss", "Nothing changes. This alarm asks no more until it has ended and comes back."
    ),
}


def check_choice(name: object) -> str:
    """Return the name of a choice, or raise a `ParameterError` for one that is none."""
    if not isinstance(name, str) or name not in CHOICES:
        raise ParameterError(
            f"There is no choice {short(repr(name))}.",
            f"The choices are {', '.join(CHOICES)}.",
            "Choose one of them.",
        )
    return name


def nobody_answers() -> ParameterError:
    """Return what to say of a run that is to ask, where nobody can be asked."""
    return ParameterError(
        "The run is to ask at each alert, and run() leaves nobody to answer.",
        "In the page press Run pipeline; play() and choose() do the same in code.",
        "Or answer beforehand: PipelineSimulator(..., policy=Choices('look', 'repair')).",
    )


def has_a_question(history: Sequence[Observation]) -> bool:
    """Return whether the last week has an alarm that nobody has dismissed or just acted on.

    >>> low = Observation(1, alerted=True, alarms=("accuracy",))
    >>> has_a_question([low])
    True
    """
    newest = history[-1]
    if newest.moved:  # the alarm was for the version that went
        return False
    dismissed: frozenset[str] = frozenset()
    for week in history:
        dismissed &= frozenset(week.alarms)
        if week.chosen == DISMISS:
            dismissed |= frozenset(week.alarms)
    return not dismissed.issuperset(newest.alarms)


def decision_for(history: Sequence[Observation]) -> Decision:
    """Return what is to be done about the last week, as it was chosen."""
    newest = history[-1]
    match newest.chosen:
        case "repair":
            return Repair()
        case "roll-back":
            others = [week.version for week in history if week.version != newest.version]
            return RollBack(others[-1] if others else "")
        case "retrain":
            alarmed = takewhile(
                lambda week: week.alarms and week.version == newest.version, reversed(history)
            )
            return Retrain(Window(len(list(alarmed)) or 1))
    return Wait()


@dataclass(frozen=True, init=False)
class Choices:
    """Answers given beforehand, in the order of the questions; after the last, look closer.

    Raises
    ------
    ParameterError
        If one of them is no key of `CHOICES`.

    >>> Choices("look", "repair")
    Choices('look', 'repair')
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", tuple(map(check_choice, names)))

    def __repr__(self) -> str:
        return f"Choices({', '.join(map(repr, self.names))})"

    def asks(self, history: Sequence[Observation]) -> bool:
        """Return whether the last week has an open question."""
        return has_a_question(history)

    def choice(self, history: Sequence[Observation]) -> str:
        """Return the next answer."""
        answered = sum(bool(week.chosen) for week in history)
        return self.names[answered] if answered < len(self.names) else LOOK

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Return what was chosen."""
        return decision_for(history)


class Person:
    """Somebody who answers while the run waits; whoever drives it says when that was.

    Attributes
    ----------
    answer
        What was chosen, a key of `CHOICES`; empty until then, and again once it was taken.
    """

    answer: str = ""

    def __repr__(self) -> str:
        return "Person()"

    def asks(self, history: Sequence[Observation]) -> bool:
        """Return whether the last week has an open question."""
        return has_a_question(history)

    def choice(self, history: Sequence[Observation]) -> str:
        """Take the answer."""
        answer = check_choice(self.answer)
        self.answer = ""
        return answer

    def decide(self, history: Sequence[Observation]) -> Decision:
        """Return what was chosen."""
        return decision_for(history)
