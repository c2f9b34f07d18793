"""What a pipeline run says about itself: one small record per thing that happened.

The pipeline yields these in order; the simulator and the command line read nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

from mlops_course.pipeline.asking import (
    Answered,
    Asked,
    Decided,
    OtherPlayed,
    Repaired,
    RepairOrdered,
    Revealed,
)

STAGES = ("data", "validate", "train", "gate", "register", "deploy", "monitor")
REFUSED = "refused"  # the headline of a gate that did not let a candidate pass
REFUSED_BY = "refused by"  # its figure that names the checks which did not hold
ASK = "ask"  # what `RunConfig.retrain` says where somebody chooses
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
        What the model that served before would have scored; None where none did, or no label is in.
    examples
        Three flights of the week at most, as `production.examples_of` chooses them.
    label_hours
        Median hours from the midnight that begins a flight's day to the arrival of its label.
    estimate, estimate_low, estimate_high
        What the accuracy probably is, told without labels, and its band
        (`estimation.estimate_accuracy`).
    watched
        Whether the alert rules were evaluated.
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
    watched: bool = True

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
    """A version became champion. ``from_version`` is empty for the first.

    ``by_hand`` says that a colleague did it, past the gate; the reason is what the registry's
    promotion log has of it.
    """

    week: str
    from_version: str
    to_version: str
    reason: str
    run_id: str
    by_hand: bool = False


@dataclass(frozen=True)
class RolledBack:
    """A version that served before became champion again."""

    week: str
    from_version: str
    to_version: str
    reason: str
    run_id: str


@dataclass(frozen=True)
class RunFinished:
    """A run reached its end."""

    seconds: float


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
