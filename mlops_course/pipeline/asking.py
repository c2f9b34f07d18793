"""What a run with choices says: what it asked, what was chosen, and what came of it.

They are events like those of `pipeline.events`; the questions themselves are `deciding.choices`.
"""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from mlops_course.deciding.choices import CHOICES


def _day(day: str) -> str:
    parsed = date.fromisoformat(day)
    return f"{parsed.day} {parsed:%B}"


class Told:
    """An entry of the log that says itself what it is called, and what happened."""

    title: ClassVar[str] = ""

    @property
    def message(self) -> str:
        """What happened, in plain words."""
        raise NotImplementedError


@dataclass(frozen=True)
class Asked(Told):
    """The run asks what to do about a week: its number, and the alert rules that fired on it."""

    week: str
    number: int
    alarms: tuple[str, ...]
    title: ClassVar[str] = "Question"

    @property
    def message(self) -> str:
        """What is asked."""
        return f"What would you do about week {self.number}?"


@dataclass(frozen=True)
class Decided(Told):
    """What was chosen, a key of `deciding.choices.CHOICES`."""

    week: str
    choice: str
    title: ClassVar[str] = "Chosen"

    @property
    def message(self) -> str:
        """What was chosen, and what that costs or how long it takes."""
        chosen = CHOICES[self.choice]
        return f"{chosen.title}. {chosen.cost}"


@dataclass(frozen=True)
class RepairOrdered(Told):
    """The owner of the feed was asked to repair it; ``due`` is the day of the answer."""

    week: str
    due: str
    title: ClassVar[str] = "Repair asked for"

    @property
    def message(self) -> str:
        """When the answer comes."""
        return f"The feed's owner looks, repairs what is broken, and answers on {_day(self.due)}."


@dataclass(frozen=True)
class Repaired(Told):
    """The owner repaired the feed: its flights are right from the day ``since`` on."""

    week: str
    since: str
    title: ClassVar[str] = "Feed repaired"

    @property
    def message(self) -> str:
        """From when on the flights are right."""
        return f"The feed's owner found a fault. From {_day(self.since)} on its flights are right."


@dataclass(frozen=True)
class Answered(Told):
    """The owner looked, and found nothing wrong with the feed."""

    week: str
    title: ClassVar[str] = "Nothing to repair"

    @property
    def message(self) -> str:
        """What the owner said."""
        return "The feed's owner found nothing wrong: it delivers what it should. Nothing changed."


@dataclass(frozen=True)
class Aftermath:
    """What came of a choice, in the weeks after the question.

    Attributes
    ----------
    weeks, flights
        How many weeks came after it, and their flights.
    accuracy
        The mean of their accuracies; NaN where unknown.
    wrong, unanswered
        Labelled flights that were called wrong, and flights without an answer.
    days
        From the day of the question to the end of the last week with an alert; None if that is the
        last week of the run.
    refused
        Why something that was tried led to nothing; empty if it was not refused.
    """

    weeks: int
    flights: int
    accuracy: float
    wrong: int
    unanswered: int
    days: int | None
    refused: str = ""


@dataclass(frozen=True)
class OtherPlayed:
    """After a run: it was run again with another choice at the question about a week."""

    week: str
    choice: str
    came: Aftermath


@dataclass(frozen=True)
class Revealed(Told):
    """What a mystery was.

    Attributes
    ----------
    week
        The newest week.
    truth, named
        The title of the incident, and of the one that somebody took it for; empty if nobody did.
    struck
        The weeks so far that it hit.
    story, response
        What happened in the world, and what a good engineer does about it.
    """

    week: str
    truth: str
    named: str
    struck: tuple[str, ...]
    story: str
    response: str
    title: ClassVar[str] = "The truth"

    @property
    def message(self) -> str:
        """What it was, and whether the diagnosis was right."""
        if not self.named:
            return f"It was: {self.truth}. Nobody named a diagnosis."
        if self.named == self.truth:
            return f"It was: {self.truth}. The diagnosis was right."
        return f"It was: {self.truth}. The diagnosis was not right: {self.named}."
