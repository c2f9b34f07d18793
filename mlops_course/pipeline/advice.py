"""An alert in words: how sure it is, and what an engineer on call would do next."""

from mlops_course.alerting.alerts import ACCURACY_RULE, UNANSWERED_RULE
from mlops_course.pipeline.events import AlertRaised, WeekScored
from mlops_course.pipeline.state import RunState
from mlops_course.pipeline.wording import counted, day, unanswered


def how_sure(alert: AlertRaised, week: WeekScored | None) -> str:
    """Return how likely the alert is to be chance, in a sentence.

    That is said at the level of the bound and no finer: how much more seldom than one week in 20
    luck looks very bad, the 39 weeks of a year cannot tell.
    """
    if week is not None and alert.rule == UNANSWERED_RULE:
        return f"This was counted and not estimated: {unanswered(week)}."
    if week is None or alert.rule != ACCURACY_RULE:
        return f"{alert.value:.3g} was measured, the threshold is {alert.threshold:.3g}."
    return (
        f"Even the upper bound, {week.upper:.1%}, is below {alert.threshold:.0%} (one-sided 95%, "
        f"by {week.days} days, not by {week.labelled:,} flights; one look a week). If the true "
        f"accuracy were {alert.threshold:.0%}, fewer than one week in 20 would look this bad."
    )


def next_move(state: RunState, alert: AlertRaised, week: WeekScored | None) -> str:
    """Return what an engineer on call would do next, from what the monitor sees."""
    if week is None:
        return "Look at the service's log and its health endpoint."
    if alert.rule == UNANSWERED_RULE:
        named = f" {_named_fault(week)}" if week.findings else ""
        return f"{_failed_requests(week)}. {alert.runbook}{named}"
    if week.errors:
        return f"{_failed_requests(week)}: see the service's log; roll back if it is new."
    if week.findings:
        return _named_fault(week)
    if week.drifted:
        names = " and ".join(week.drifted[:2])
        since = next(w.week for w in state.weeks if week.drifted[0] in w.drifted)
        return (
            f"{names} moved further than in any week it is compared with. Ask who owns that feed "
            f"what changed around {day(since)}; retraining on the new weeks is a stopgap until it "
            f"is fixed."
        )
    before = [w.model_version for w in state.weeks if w.number == week.number - 1]
    if before and before[0] != week.model_version:
        return f"The model changed a week ago: roll back to v{before[0]}, then look for the cause."
    return (
        "No input moved further than in calm weeks, so the relation itself may have changed: "
        "compare the errors by carrier and airport, then retrain and let the gate judge."
    )


def _failed_requests(week: WeekScored) -> str:
    return f"{counted(week.errors, 'request').capitalize()} failed"


def _named_fault(week: WeekScored) -> str:
    fault = week.findings[0].rstrip(".")
    return f"The data checks name a fault ({fault}): have the feed repaired first."
