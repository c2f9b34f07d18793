"""Events of a run made by hand, for tests of what is done with them; no pipeline runs."""

from dataclasses import replace
from datetime import date, timedelta

from mlops_course.alerting.alerts import ACCURACY_RULE, UNANSWERED_RULE
from mlops_course.data.features import NUMERIC
from mlops_course.pipeline.events import (
    STAGES,
    AlertRaised,
    Example,
    Notified,
    Promoted,
    Retrained,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
    WeekScored,
)
from mlops_course.pipeline.scenarios import RunConfig

NAN = float("nan")
CALM = {"dep_delay": 0.6, "temp": 0.9, "hour": 0.3}
MOVED = {"dep_delay": 4.8, "temp": 0.95, "hour": 0.3}


def monday(number: int) -> str:
    """Return the Monday of a week of production."""
    return (date(2013, 9, 2) + timedelta(weeks=number - 1)).isoformat()


def week(number: int, accuracy: float, version: str = "1", **other: object) -> WeekScored:
    """Return a week, its inputs moved if its accuracy is low; ``other`` replaces fields."""
    low = accuracy + 0.006 < 0.90
    scored = WeekScored(
        week=monday(number),
        number=number,
        rows=6400,
        answered=6400,
        labelled=6300,
        days=7,
        accuracy=accuracy,
        upper=accuracy + 0.006,
        standard_error=0.003,
        model_version=version,
        baseline_accuracy=accuracy - 0.01,
        predicted_late=0.19,
        observed_late=0.21,
        confidence=0.93,
        latency_ms=12.0,
        errors=0,
        drift=MOVED if low else CALM,
        drifted=(),
        drift_promise=2 / 13,
        findings=(),
        incident=number >= 4,
        alert=low,
    )
    made = replace(scored, **other)  # type: ignore[arg-type]
    drifted = tuple(name for name, score in made.drift.items() if score > 1)
    return replace(made, drifted=made.drifted or drifted)


def silent_week(number: int, **other: object) -> WeekScored:
    """Return a week of which the service answered no flight, so that nothing is known of it."""
    nothing: dict[str, object] = {
        "answered": 0,
        "labelled": 0,
        "days": 0,
        "upper": NAN,
        "standard_error": NAN,
        "baseline_accuracy": NAN,
        "predicted_late": NAN,
        "confidence": NAN,
        "errors": 7,
        "drift": {},
        "findings": ("dep_delay is empty in 22 flights; it is required.",),
        "alert": True,
    }
    return week(number, NAN, **{**nothing, **other})


def unlabelled_week(number: int) -> WeekScored:
    """Return a week that was answered and of which no label has arrived."""
    unknown = dict.fromkeys(("upper", "standard_error", "baseline_accuracy", "observed_late"), NAN)
    return week(number, NAN, labelled=0, days=0, alert=False, **unknown)


def unwatched_week(number: int, accuracy: float, **other: object) -> WeekScored:
    """Return a week for which no alert rule was evaluated, however bad it was."""
    return week(number, accuracy, alert=False, watched=False, **other)


def forced(number: int, before: str = "1", after: str = "2") -> Promoted:
    """Return a promotion by hand, past the gate, after a week."""
    reason = f"FORCED, champion was version {before}: it is wanted today. | No exam."
    return Promoted(monday(number), before, after, reason, "def", by_hand=True)


def two_day_week(number: int, accuracy: float) -> WeekScored:
    """Return a week whose labels have come for two days only."""
    few: dict[str, object] = {"labelled": 1_800, "days": 2, "upper": NAN, "standard_error": NAN}
    return week(number, accuracy, alert=False, **few)


def alert(scored: WeekScored) -> AlertRaised:
    """Return the alert on a week's accuracy."""
    message = f"Accuracy {scored.accuracy:.1%}, below 90%."
    return _raised(scored, ACCURACY_RULE, scored.upper, message)


def unanswered_alert(scored: WeekScored) -> AlertRaised:
    """Return the alert on a week's flights without an answer."""
    share = scored.unanswered / scored.rows
    message = f"{scored.unanswered:,} of {scored.rows:,} flights have no answer."
    return _raised(scored, UNANSWERED_RULE, share, message)


def _raised(scored: WeekScored, name: str, value: float, message: str) -> AlertRaised:
    rule = next(rule for rule in RunConfig().rules if rule.name == name)
    told = (rule.severity, rule.owner, rule.runbook)
    return AlertRaised(scored.week, name, value, rule.limit, message, *told)


def started(version: str = "1", run_id: str = "abc", seconds: float = 0.5) -> list:
    """Return the events of a run up to its first week, all that varies named."""
    events: list = [RunStarted("drift", "Data drift", 0, 0.9, 8, "auto", run_id)]
    for stage in STAGES[:-1]:
        done = StageFinished(stage, 1, seconds, f"{stage} went well", {"rows": 65272})
        events += [StageStarted(stage, 1), done]
    return [*events, Promoted("2013-03-18", "", version, "better", run_id)]


def finished(seconds: float = 0.5) -> list:
    """Return a run's last events."""
    end = StageFinished("monitor", 1, seconds, "3 alerts in 8 weeks", {"weeks": 8})
    return [end, RunFinished(seconds)]


def drift_run(first: str = "1", second: str = "2", run_id: str = "abc", seconds: float = 0.5):
    """Return a whole run with alerts in weeks 4 to 6, a retraining and a recovery."""
    events = [*started(first, run_id, seconds), StageStarted("monitor", 1)]
    for number, accuracy in enumerate((0.95, 0.93, 0.94, 0.80, 0.79, 0.81, 0.91, 0.92), 1):
        scored = week(number, accuracy, first if number < 7 else second, latency_ms=seconds)
        events += [scored, alert(scored)] if scored.alert else [scored]
        if number == 4:
            events.append(Notified(scored.week, "#oncall", {"text": "look <here>"}))
        if number == 5:
            events += [StageStarted("train", 2), StageFinished("train", 2, seconds, "again", {})]
            events.append(Retrained(scored.week, (monday(4), monday(5)), 12900, run_id, seconds))
        if number == 6:
            events.append(Promoted(scored.week, first, second, f"beats version {first}", run_id))
    return [*events, *finished(seconds)]


def silent_run() -> list:
    """Return a whole run: two calm weeks, two silent ones, and one with both alerts."""
    both = week(5, 0.80, answered=5000, labelled=4900, errors=2)
    events = [*started(), StageStarted("monitor", 1), week(1, 0.95), week(2, 0.93)]
    for scored in (silent_week(3), silent_week(4), both):
        events += [scored, unanswered_alert(scored)]
    return [*events, alert(both), *finished()]


def example(**other: object) -> Example:
    """Return a flight that is followed through a week; ``other`` replaces fields."""
    delivered: dict[str, float | str | None] = {
        **dict.fromkeys(NUMERIC, 1.0),
        "dep_delay": 35.0,
        "carrier": "UA",
        "origin": "EWR",
        "dest": "IAH",
    }
    codes = {"carrier": 11.0, "origin": 0.0, "dest": 39.0}
    flight = Example(
        day="2013-09-24",
        delivered=delivered,
        encoded={**delivered, **codes},  # type: ignore[dict-item]
        probability=0.95,
        called_late=True,
        late=False,
        arr_delay=-4.0,
        unharmed={"dep_delay": 15.0},
    )
    return replace(flight, **other)  # type: ignore[arg-type]
