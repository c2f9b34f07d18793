"""What is known of a pipeline run: a frozen state folded from its events.

Views render this state, `wording` says it in sentences, `RunResult` turns it into data frames;
nothing here has side effects or knows of widgets.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from itertools import takewhile
from math import isnan, nan
from statistics import fmean
from typing import TYPE_CHECKING

from mlops_course.alerting.alerts import ACCURACY_RULE
from mlops_course.pipeline.asking import (
    Answered,
    Asked,
    Decided,
    OtherPlayed,
    Repaired,
    RepairOrdered,
    Revealed,
)
from mlops_course.pipeline.events import (
    ASK,
    MYSTERY,
    REFUSED,
    AlertRaised,
    Event,
    Notified,
    Promoted,
    Rejected,
    Retrained,
    RolledBack,
    RunFinished,
    RunStarted,
    StageFailed,
    StageFinished,
    StageStarted,
    WeekScored,
)

if TYPE_CHECKING:
    import pandas as pd

_STEPS = (StageStarted, StageFinished, StageFailed, WeekScored)
Said = Asked | Decided | RepairOrdered | Repaired | Answered | Revealed
LogEntry = AlertRaised | Notified | Retrained | Rejected | Promoted | RolledBack | Said


@dataclass(frozen=True)
class StageRecord:
    """One stage in one cycle; ``state`` is ``running``, ``done`` or ``failed``."""

    stage: str
    cycle: int
    state: str = "running"
    seconds: float = 0.0
    headline: str = ""
    metrics: Mapping[str, float | int | str] = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True)
class RunState:
    """Everything a run has said so far.

    Attributes
    ----------
    status
        ``idle``, ``running``, ``paused``, ``asking`` (it waits for somebody's choice),
        ``finished`` or ``failed``.
    started
        The run's opening event, or None before it.
    records
        Every stage of every cycle, in the order in which they began.
    weeks
        The weeks of production scored so far.
    log
        Alerts, notifications, retrainings, refusals, promotions and rollbacks, questions, choices
        and what the owner of the feed said, in order.
    others
        What came of other choices, where they were played after the run.
    seconds
        How long the whole run took, or None before its end.
    error
        A plain sentence about what stopped the run; empty when nothing did.
    latest
        The event of a stage or a week that came last; None before the first.
    """

    status: str = "idle"
    started: RunStarted | None = None
    records: tuple[StageRecord, ...] = ()
    weeks: tuple[WeekScored, ...] = ()
    log: tuple[LogEntry, ...] = ()
    others: tuple[OtherPlayed, ...] = ()
    seconds: float | None = None
    error: str = ""
    latest: Event | None = None


def advance(state: RunState, event: Event) -> RunState:
    """Return the state after one more event; the given state is left as it was."""
    if isinstance(event, WeekScored) and is_hidden(state):
        event = without_truth(event)
    after = _changed(state, event)
    return replace(after, latest=event) if isinstance(event, _STEPS) else after


def _changed(state: RunState, event: Event) -> RunState:
    match event:
        case RunStarted():
            return RunState(status="running", started=event)
        case StageStarted():
            begun = StageRecord(event.stage, event.cycle)
            return replace(state, records=(*state.records, begun))
        case StageFinished():
            done = StageRecord(
                event.stage, event.cycle, "done", event.seconds, event.headline, event.metrics
            )
            return replace(state, records=_settled(state.records, done))
        case StageFailed():
            lost = StageRecord(
                event.stage, event.cycle, "failed", event.seconds, message=event.message
            )
            records = _settled(state.records, lost)
            return replace(state, records=records, status="failed", error=event.message)
        case WeekScored():
            return replace(state, weeks=(*state.weeks, event))
        case RunFinished():
            return replace(state, status="finished", seconds=event.seconds)
        case OtherPlayed():
            return replace(state, others=(*state.others, event))
        case _:
            return _logged(state, event)


def _logged(state: RunState, event: LogEntry) -> RunState:
    after = replace(state, log=(*state.log, event))
    match event:
        case Asked():
            return replace(after, status="asking")
        case Decided():
            return replace(after, status="running")
        case Revealed():
            weeks = [replace(week, incident=week.week in event.struck) for week in state.weeks]
            return replace(after, weeks=tuple(weeks))
    return after


def fold(events: Iterable[Event]) -> RunState:
    """Return the state after all of ``events``."""
    return reduce(advance, events, RunState())


def _settled(records: tuple[StageRecord, ...], new: StageRecord) -> tuple[StageRecord, ...]:
    same = [(r.stage, r.cycle) == (new.stage, new.cycle) for r in records]
    if not any(same):
        return (*records, new)
    return tuple(new if hit else record for hit, record in zip(same, records, strict=True))


# ---- questions one can ask of a state


def record_of(state: RunState, stage: str) -> StageRecord | None:
    """Return the stage's latest record, or None while the run has not reached it."""
    return next((r for r in reversed(state.records) if r.stage == stage), None)


def stage_state(state: RunState, stage: str) -> str:
    """Return ``waiting``, ``running``, ``paused``, ``done``, ``failed``, ``alert``, ``refused``."""
    record = record_of(state, stage)
    if record is None:
        return "waiting"
    if record.state == "running" and state.status in ("paused", "failed"):
        return "failed" if state.status == "failed" else "paused"
    if stage == "monitor" and record.state != "failed" and state.weeks and state.weeks[-1].alert:
        return "alert"
    if stage == "gate" and record.headline == REFUSED:
        return "refused"
    return record.state


def cycle_of(state: RunState) -> int:
    """Return the cycle that the run is in: 1 builds the first model."""
    return max((record.cycle for record in state.records), default=1)


def running_stage(state: RunState) -> StageRecord | None:
    """Return the stage that began last and has not ended, if any."""
    return next((r for r in reversed(state.records) if r.state == "running"), None)


def threshold_of(state: RunState) -> float:
    """Return the run's alert threshold; the usual one before a run began."""
    return state.started.threshold if state.started else 0.90


def question_of(state: RunState) -> Asked | None:
    """Return the question that waits for an answer, if one does."""
    asked = [entry for entry in state.log if isinstance(entry, Asked)]
    return asked[-1] if state.status == "asking" else None


def choices_of(state: RunState) -> tuple[Decided, ...]:
    """Return what was chosen so far."""
    return tuple(entry for entry in state.log if isinstance(entry, Decided))


def revealed(state: RunState) -> Revealed | None:
    """Return what a mystery was, once that has been told."""
    return next((entry for entry in state.log if isinstance(entry, Revealed)), None)


def is_yours(state: RunState) -> bool:
    """Return whether somebody is to choose in a run under way, who is to find the cause himself."""
    asks = state.started is not None and state.started.retrain == ASK
    return asks and state.status not in ("finished", "failed")


def without_truth(week: WeekScored) -> WeekScored:
    """Return a week as if no incident had struck it: its figures stay, the truth goes."""
    examples = tuple(replace(example, unharmed={}) for example in week.examples)
    return replace(week, incident=False, examples=examples)


def is_hidden(state: RunState) -> bool:
    """Return whether the run is a mystery that nobody has solved yet."""
    is_mystery = state.started is not None and state.started.scenario == MYSTERY
    return is_mystery and revealed(state) is None


def alerts_of(state: RunState, week: str) -> tuple[AlertRaised, ...]:
    """Return the alerts of a week, given by its Monday: one a rule that fired."""
    alerts = (entry for entry in state.log if isinstance(entry, AlertRaised))
    return tuple(alert for alert in alerts if alert.week == week)


def alerted_weeks(state: RunState, rule: str) -> tuple[WeekScored, ...]:
    """Return the weeks on which an alert rule fired, given by its name."""
    alerts = (entry for entry in state.log if isinstance(entry, AlertRaised))
    mondays = {alert.week for alert in alerts if alert.rule == rule}
    return tuple(week for week in state.weeks if week.week in mondays)


def has_accuracy(week: WeekScored) -> bool:
    """Return whether a week's accuracy is known: some flight of it was answered and labelled."""
    return not isnan(week.accuracy)


def wrong_calls(week: WeekScored) -> int:
    """Return how many of a week's labelled flights were called wrong."""
    return round(week.labelled * (1 - week.accuracy)) if has_accuracy(week) else 0


def can_tell(week: WeekScored) -> bool:
    """Return whether a week has days and labels enough to say what its accuracy is at most."""
    return not isnan(week.upper)


def by_hand(state: RunState, week: WeekScored) -> Promoted | None:
    """Return how a week's model came to serve, if a colleague promoted it past the gate."""
    found = [entry for entry in state.log if isinstance(entry, Promoted) and entry.by_hand]
    return next((entry for entry in found if entry.to_version == week.model_version), None)


def slowed(state: RunState, week: WeekScored) -> float:
    """Return how many times as long a request took as with other versions before; NaN of none."""
    before = [one for one in state.weeks if one.number < week.number]
    others = [one.latency_ms for one in before if one.model_version != week.model_version]
    usual = _mean(others)
    return week.latency_ms / usual if usual else nan


@dataclass(frozen=True)
class Outcome:
    """A run in five accuracies; None where nothing is known. Means are over the weeks known.

    Attributes
    ----------
    before
        Mean of the weeks before the first alert of any rule.
    at_alert, alarmed
        The first week with an alert on accuracy, and the mean of all such weeks.
    recovered
        Mean of the weeks that the last model served, if it replaced another after that alert.
    otherwise
        What the model it replaced would have scored on those.
    """

    before: float | None
    at_alert: float | None
    alarmed: float | None
    recovered: float | None
    otherwise: float | None


def outcome(state: RunState) -> Outcome:
    """Return the run in five accuracies: before, at and during the alert, and recovered."""
    calm = takewhile(lambda week: not week.alert, state.weeks)
    before = _mean([week.accuracy for week in calm])
    low = alerted_weeks(state, ACCURACY_RULE)
    if not low:
        return Outcome(before, None, None, None, None)
    last = state.weeks[-1].model_version
    since = [week for week in state.weeks if week.number > low[0].number]
    served = [week for week in since if week.model_version == last != low[0].model_version]
    former = [week.former_accuracy for week in served if week.former_accuracy is not None]
    return Outcome(
        before,
        at_alert=low[0].accuracy,
        alarmed=_mean([week.accuracy for week in low]),
        recovered=_mean([week.accuracy for week in served]),
        otherwise=_mean(former),
    )


def _mean(shares: Iterable[float]) -> float | None:
    known = [share for share in shares if not isnan(share)]
    return fmean(known) if known else None


# ---- the state as data frames


@dataclass(frozen=True, repr=False)
class RunResult:
    """A run as tidy data frames, one row a thing.

    Attributes
    ----------
    weeks
        One row a week of production: the fields of `events.WeekScored` without ``drift`` and
        ``examples``, and ``unanswered``.
    drift
        One row a week and feature: ``week``, ``feature``, ``score``, ``drifted``.
    alerts
        ``week``, ``rule``, ``value``, ``threshold``, ``message``.
    promotions
        Rollbacks, too: ``week``, ``from``, ``to``, ``reason``, ``run_id``.
    stages
        One row a stage and cycle: ``stage``, ``cycle``, ``state``, ``seconds``, ``headline``.
    """

    weeks: "pd.DataFrame"
    drift: "pd.DataFrame"
    alerts: "pd.DataFrame"
    promotions: "pd.DataFrame"
    stages: "pd.DataFrame"

    def __repr__(self) -> str:
        kinds = ("weeks", "alerts", "promotions", "stages")
        return f"RunResult({', '.join(f'{len(getattr(self, kind))} {kind}' for kind in kinds)})"


def result_of(state: RunState) -> RunResult:
    """Return the run so far as data frames; empty ones keep their columns."""
    weeks = [asdict(w) | {"unanswered": w.unanswered} for w in state.weeks]
    drift: list[dict[str, object]] = []
    for w in state.weeks:
        for name, score in w.drift.items():
            moved = name in w.drifted
            drift.append({"week": w.week, "feature": name, "score": score, "drifted": moved})
    alerts = [asdict(entry) for entry in state.log if isinstance(entry, AlertRaised)]
    promotions = [
        {"week": p.week, "from": p.from_version, "to": p.to_version}
        | {"reason": p.reason, "run_id": p.run_id}
        for p in state.log
        if isinstance(p, Promoted | RolledBack)
    ]
    stages = [{key: getattr(record, key) for key in _STAGE_COLUMNS} for record in state.records]
    return RunResult(
        _frame(weeks, _WEEK_COLUMNS),
        _frame(drift, ["week", "feature", "score", "drifted"]),
        _frame(alerts, list(AlertRaised.__dataclass_fields__)),
        _frame(promotions, ["week", "from", "to", "reason", "run_id"]),
        _frame(stages, _STAGE_COLUMNS),
    )


_NO_COLUMNS = ("drift", "examples")
_WEEK_COLUMNS = [name for name in WeekScored.__dataclass_fields__ if name not in _NO_COLUMNS]
_WEEK_COLUMNS += ["unanswered"]
_STAGE_COLUMNS = ["stage", "cycle", "state", "seconds", "headline"]


def _frame(rows: Sequence[Mapping[str, object]], columns: list[str]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows, columns=columns)
