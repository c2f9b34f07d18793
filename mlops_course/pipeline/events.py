"""What a pipeline run says about itself: one small record per thing that happened.

The pipeline yields these in order; the simulator and the command line read nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from math import nan
from typing import ClassVar

from mlops_course.deciding.choices import CHOICES

STAGES = ("data", "validate", "train", "gate", "register", "deploy", "monitor")
REFUSED = "refused"  # the headline of a gate that did not let a candidate pass
REFUSED_BY = "refused by"  # its figure that names the checks which did not hold
MYSTERY = "mystery"  # the scenario whose truth is hidden


@dataclass(frozen=True)
class RunStarted:
    """A run began; everything that was asked for, and the MLflow run that records it.

    ``policy`` says which policy decides where it is not the one that ``retrain`` names.
    """

    scenario: str
    title: str
    seed: int | None
    threshold: float
    weeks: int
    retrain: str
    run_id: str
    policy: str = ""


@dataclass(frozen=True)
class StageStarted:
    """A stage began. Cycle 1 builds the first model, each retraining adds a cycle."""

    stage: str
    cycle: int


@dataclass(frozen=True)
class StageFinished:
    """A stage did its work: seconds taken, one headline, and the figures behind it."""

    stage: str
    cycle: int
    seconds: float
    headline: str
    metrics: Mapping[str, float | int | str]


@dataclass(frozen=True)
class StageFailed:
    """A stage could not go on; the message says what to do. It is a run's last event."""

    stage: str
    cycle: int
    seconds: float
    message: str


@dataclass(frozen=True)
class Example:
    """One flight of a week, followed from the feed to its label; None is a missing value.

    Attributes
    ----------
    day
        The day of its departure, ``YYYY-MM-DD``.
    delivered
        The 14 features by name, as the feed sent them.
    encoded
        The same as the model that answered takes them: categories are codes from 0.
    probability, called_late
        What the service answered: the probability of late, and the call.
    late, arr_delay
        How it turned out: whether it was late, and minutes at arrival, below 0 for early. None
        while the label has not arrived.
    unharmed
        What an incident changed of the flight, with the values from before: the ground truth,
        unknown to the model and to the monitor.
    """

    day: str
    delivered: Mapping[str, float | str | None]
    encoded: Mapping[str, float | None]
    probability: float
    called_late: bool
    late: bool | None
    arr_delay: float | None
    unharmed: Mapping[str, float | str | None]


@dataclass(frozen=True)
class WeekScored:
    """One week of production, after its labels arrived.

    A figure that nobody can know, since no flight was answered or labelled, is NaN.

    Attributes
    ----------
    week
        The week's Monday, ``YYYY-MM-DD``.
    number
        1 for the first week of production.
    rows, answered, labelled
        Flights to score, those the service answered, and those of the answered ones whose arrival
        is known.
    days
        Days of the week with a labelled answer.
    accuracy, upper, standard_error
        Share of labelled flights called right, its upper 95% bound (one-sided) and its
        standard error, as in `performance.Quality`; the latter two NaN where days or labels are
        too few to tell.
    baseline_accuracy
        The same for the rule ``dep_delay > 15``.
    predicted_late, observed_late
        Share of flights called late, and share that were.
    confidence
        Mean confidence of the model in its calls: what it believes its accuracy to be.
    latency_ms, errors
        Median milliseconds a request took, and requests that were refused or failed.
    drift
        Feature name to drift score, of the flights that were answered; above 1 the week is stranger
        than every week it is compared with. Empty if none was answered.
    drifted
        Features whose score is above 1, most drifted first.
    drift_promise
        The largest chance that a week like the ones it is compared with has such a feature.
    findings
        Sentences of the data checks that this week's feed failed.
    incident
        Whether the scenario's incident was active (the ground truth, unknown to the model).
    alert
        Whether any alert rule fired.
    former_accuracy
        What the model replaced by the last retraining would have scored; None before one.
    examples
        Three flights of the week at most, as `production.examples_of` chooses them.
    label_hours
        Median hours from the midnight that begins a flight's day to the arrival of its label.
    estimate, estimate_low, estimate_high
        What the accuracy probably is, told without labels, and its band
        (`estimation.estimate_accuracy`).
    """

    week: str
    number: int
    rows: int
    answered: int
    labelled: int
    days: int
    accuracy: float
    upper: float
    standard_error: float
    model_version: str
    baseline_accuracy: float
    predicted_late: float
    observed_late: float
    confidence: float
    latency_ms: float
    errors: int
    drift: Mapping[str, float]
    drifted: tuple[str, ...]
    drift_promise: float
    findings: tuple[str, ...]
    incident: bool
    alert: bool
    former_accuracy: float | None = None
    examples: tuple[Example, ...] = ()
    label_hours: float = nan
    estimate: float = nan
    estimate_low: float = nan
    estimate_high: float = nan

    @property
    def unanswered(self) -> int:
        """Flights of the week that have no answer."""
        return self.rows - self.answered


@dataclass(frozen=True)
class AlertRaised:
    """A rule fired on a week: the value seen, the threshold it crossed, and who is to do what."""

    week: str
    rule: str
    value: float
    threshold: float
    message: str
    severity: str = ""
    owner: str = ""
    runbook: str = ""


@dataclass(frozen=True)
class Notified:
    """The message that would go to the team; it is shown, never sent."""

    week: str
    channel: str
    payload: Mapping[str, object]


@dataclass(frozen=True)
class Retrained:
    """A candidate was trained on the weeks named and waits for later rows to be judged on."""

    week: str
    weeks: tuple[str, ...]
    rows: int
    run_id: str
    seconds: float


@dataclass(frozen=True)
class Rejected:
    """A retraining led to nothing, and why; the champion stays."""

    week: str
    reason: str


@dataclass(frozen=True)
class Promoted:
    """A version became champion. ``from_version`` is empty for the first."""

    week: str
    from_version: str
    to_version: str
    reason: str
    run_id: str


@dataclass(frozen=True)
class RolledBack:
    """A version that served before became champion again."""

    week: str
    from_version: str
    to_version: str
    reason: str
    run_id: str


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
class RunFinished:
    """A run reached its end."""

    seconds: float


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


Event = (
    RunStarted
    | StageStarted
    | StageFinished
    | StageFailed
    | WeekScored
    | AlertRaised
    | Notified
    | Retrained
    | Rejected
    | Promoted
    | RolledBack
    | Asked
    | Decided
    | RepairOrdered
    | Repaired
    | Answered
    | RunFinished
    | OtherPlayed
    | Revealed
)
