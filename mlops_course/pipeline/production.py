"""One week of production: sent to the service, read back from its log, joined with labels."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from math import isnan
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from mlops_course.alerting.alerts import Alert
from mlops_course.alerting.rules import Watch
from mlops_course.data.features import FEATURES, Vocabulary
from mlops_course.data.quality import validate_flights
from mlops_course.data.stream import Week
from mlops_course.drift import calm_weeks
from mlops_course.monitoring import labels
from mlops_course.monitoring.estimation import estimate_accuracy
from mlops_course.monitoring.figures import FIGURES, Terms
from mlops_course.monitoring.performance import Quality
from mlops_course.monitoring.windows import read_record, window_of
from mlops_course.pipeline.events import Example, WeekScored
from mlops_course.serving.client import milliseconds
from mlops_course.serving.replay import as_requests
from mlops_course.serving.service import Service
from mlops_course.stats.calibration import Calibration
from mlops_course.training.evaluation import right_calls
from mlops_course.training.model import DelayModel, called_late

MIN_WEEK_ROWS = 4_000
REQUEST_ROWS = 1_500  # a day of flights is one request
LABEL_WAIT = timedelta(days=10)  # from a week's Monday to the day on which it is looked at
EXAMPLES_NEAR = (
    0.05,
    0.5,
    0.95,
)  # probabilities of late: sure of on time, at the cut, sure of late


@dataclass(frozen=True)
class Production:
    """What weeks are scored with, and held against.

    Attributes
    ----------
    service, log
        The scoring service, and the file of its prediction log; the label store stands beside it.
    reference
        The weeks with which the next one is compared for drift.
    watch
        The alert rules at work.
    vocabulary
        The categories that the training data had.
    """

    service: Service
    log: Path
    reference: calm_weeks.Reference
    watch: Watch
    vocabulary: Vocabulary


@dataclass(frozen=True)
class ScoredWeek:
    """A week after its labels arrived.

    Attributes
    ----------
    event
        Its figures.
    alerts
        The alert rules that fired.
    flights
        One row a flight, as seen once labels are in, with the ``probability`` that was answered;
        NaN where there was no answer.
    """

    event: WeekScored
    alerts: Sequence[Alert]
    flights: pd.DataFrame


def looked_at(week: Week) -> date:
    """Return the day on which a week is looked at, when its labels should be in."""
    return week.monday + LABEL_WAIT


def score_week(
    week: Week,
    production: Production,
    former: DelayModel | None,
    calibration: Calibration,
    champion: DelayModel | None = None,
) -> ScoredWeek:
    """Send a week through the service, join the log with the labels, and measure.

    Parameters
    ----------
    former
        The model that the champion replaced, to say what it would have scored.
    calibration
        The champion's, for the estimate without labels.
    champion
        The model that the service answers with, for the week's examples; without it none are told.

    Raises
    ------
    ServiceError
        If the service does not answer at all.
    """
    flights, bodies = as_requests(week.flights, REQUEST_ROWS)
    store = labels.beside(production.log)
    labels.expect(store, flights)
    answers = production.service.send(bodies.values(), ids=bodies)
    labels.arrive(store, flights)
    today = looked_at(week)
    record = read_record(production.log, store, request_ids=bodies, before=today)
    window = window_of(record, f"the week of {week.monday}", week.monday, days=7)
    answered = window.answered
    alerts = () if week.blind else production.watch.look(window).alerts
    moved = calm_weeks.drift_scores(production.reference, answered)
    seen = week.seen_at(today)
    seen = seen.assign(probability=window.flights["probability"].to_numpy())
    estimate = estimate_accuracy(window.flights, calibration)
    version = answered["version"].iloc[-1] if len(answered) else production.service.version
    event = WeekScored(
        week=week.monday.isoformat(),
        number=week.number,
        **asdict(window.quality),
        model_version=version,
        latency_ms=float(np.median(milliseconds(answers))),
        errors=sum(not answer.is_success for answer in answers),
        drift=moved,
        drifted=calm_weeks.drifted(moved),
        drift_promise=production.reference.promise,
        findings=_findings(seen, production.vocabulary),
        incident=week.struck,
        alert=bool(alerts),
        former_accuracy=_accuracy(former, seen),
        examples=() if champion is None else examples_of(seen, champion, week.unharmed),
        label_hours=FIGURES["label_delay_hours"].of(window, Terms()),
        estimate=estimate.accuracy,
        estimate_low=estimate.low,
        estimate_high=estimate.high,
        watched=not week.blind,
    )
    return ScoredWeek(event, alerts, seen)


def examples_of(
    flights: pd.DataFrame, model: DelayModel, unharmed: pd.DataFrame | None
) -> tuple[Example, ...]:
    """Return three answered flights of a week, to be followed through the stages.

    They are chosen by their answers alone, and labels have no say: those whose probability lies
    closest to each of `EXAMPLES_NEAR`, the first of the week where several are as close. The same
    days with the same model give the same flights.

    Parameters
    ----------
    flights
        As `ScoredWeek` keeps them.
    model
        The one that answered.
    unharmed
        The same flights as they were before an incident; None where none struck.
    """
    probability = flights["probability"].to_numpy(dtype="float64", copy=True)
    chosen = []
    for wanted in EXAMPLES_NEAR:
        if np.isnan(probability).all():
            break
        chosen.append(int(np.nanargmin(np.abs(probability - wanted))))
        probability[chosen[-1]] = np.nan
    few = flights.iloc[chosen]
    encoded = model.encode(few)
    before = few if unharmed is None else unharmed.iloc[chosen]
    return tuple(
        _example(few.iloc[place], encoded[place], before.iloc[place]) for place in range(len(few))
    )


def _example(flight: pd.Series, encoded: np.ndarray, before: pd.Series) -> Example:
    label = _plain(flight["late"])
    changed = {}
    for name in (*FEATURES, "arr_delay"):
        was = _plain(before[name])
        unknown = name == "arr_delay" and label is None
        if was != _plain(flight[name]) and not unknown:
            changed[name] = was
    return Example(
        day=f"{flight['date']:%Y-%m-%d}",
        delivered={name: _plain(flight[name]) for name in FEATURES},
        encoded={name: _plain(value) for name, value in zip(FEATURES, encoded, strict=True)},
        probability=float(flight["probability"]),
        called_late=bool(called_late(flight["probability"])),
        late=None if label is None else bool(label),
        arr_delay=_plain(flight["arr_delay"]),
        unharmed=changed,
    )


def _plain(value: Any) -> Any:
    """Return a value of a table as Python's own: a number, a text, or None for a missing one."""
    if isinstance(value, str):
        return value
    return None if isnan(value) else float(value)


def followed_by(production: Production, result: ScoredWeek) -> Production:
    """Return what the next week is held against: the weather of this one has become a reference.

    Not if the week failed the tests of its data. Then a cause is known, and drift is told until it
    is gone.
    """
    if result.event.findings:
        return production
    answered = result.flights[result.flights["probability"].notna()]
    return replace(production, reference=production.reference.followed_by(answered))


def metrics_of(event: WeekScored) -> dict[str, float]:
    """Return a week's figures as MLflow's metrics, those that are known."""
    names = [*Quality.__dataclass_fields__, "unanswered", "errors", "latency_ms", "alert"]
    metrics = {f"drift.{name}": score for name, score in event.drift.items()}
    metrics |= {name: float(getattr(event, name)) for name in names}
    return {name: value for name, value in metrics.items() if not isnan(value)}


def summary(events: Sequence[WeekScored]) -> Mapping[str, float | int | str]:
    """Return the figures of all weeks together."""
    known = [event.accuracy for event in events if not isnan(event.accuracy)]
    return {
        "weeks": len(events),
        "weeks with alert": sum(event.alert for event in events),
        "mean accuracy": f"{fmean(known):.1%}" if known else "unknown",
        "flights unanswered": sum(event.unanswered for event in events),
    }


def _findings(flights: pd.DataFrame, vocabulary: Vocabulary) -> tuple[str, ...]:
    """Return what the tests of the data have to say against what the feed delivered."""
    verdict = validate_flights(flights, min_rows=MIN_WEEK_ROWS, vocabulary=vocabulary)
    return verdict.failures


def _accuracy(model: DelayModel | None, flights: pd.DataFrame) -> float | None:
    if model is None or flights["late"].isna().all():
        return None
    right = right_calls(model.probability(flights), flights["late"].to_numpy())
    return float(np.nanmean(right))
