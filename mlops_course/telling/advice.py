"""What the evidence says: how sure an alert is, what to do next, and how a run ended, in words.

Advice follows from what a monitor can see, and names it: the model beside the one-line rule, what
moved against calm weeks, failed checks, and what the version before would have scored. The
scenario's true cause is told only in `ending`, after the run.
"""

from collections.abc import Collection, Sequence
from itertools import takewhile
from statistics import fmean

from mlops_course.alerting.alerts import ACCURACY_RULE, UNANSWERED_RULE
from mlops_course.pipeline.events import AlertRaised, Retrained, WeekScored
from mlops_course.pipeline.state import (
    RunState,
    alerted_weeks,
    by_hand,
    has_accuracy,
    slowed,
)
from mlops_course.telling.wording import counted, day, percent, unanswered, week_numbers, when

RULE_INPUT = "dep_delay"  # the one column that the rule reads
# With nothing broken, in the 39 weeks from April to December as they were and as two seeds draw
# them, a week's lead over the rule lay at most 1.9 points below the mean, and the share that was
# late was further above the share called late than on average by at most 10.4 points.
USUAL_LEAD = 0.02
USUAL_GAP = 0.12
A_POINT = 0.01  # of accuracy; less is not worth a word
MUCH_SLOWER = 5  # times as long as with other versions; a busy machine stays below that
NEW_NAME = "never seen in training"


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
    released = released_with(state)
    if released is not None and alert.threshold > released:
        return (
            f"The model was released with {released:.1%}, on later flights; {alert.threshold:.0%} "
            f"is more than it ever promised. Set a threshold that it can keep."
        )
    if week.former_accuracy is not None and week.former_accuracy > week.accuracy:
        return (
            f"Roll back: {_past_the_gate(state, week)}on these flights the version before would "
            f"have had {week.former_accuracy:.1%}, this one has {week.accuracy:.1%}."
        )
    return f"{_weighed(state, week)}{_no_way_back(week)}"


def _weighed(state: RunState, week: WeekScored) -> str:
    """Return what the inputs and the rule beside the model say of a bad week."""
    calm = _calm_weeks(state)
    if RULE_INPUT in week.drifted:
        return _feed_changed(state, week, calm)
    if not calm:
        return (
            "No calm week came before this one to compare it with, so the evidence does not "
            "suffice: compare the errors by carrier and airport."
        )
    usual = fmean(map(_lead, calm))
    told = f"the model is {_standing(_lead(week))} the rule, before it was {_standing(usual)} it"
    late = f"{week.observed_late:.1%} were late where {week.predicted_late:.1%} were called so"
    is_off = _lead(week) < usual - USUAL_LEAD
    is_off = is_off or _gap(week) > fmean(map(_gap, calm)) + USUAL_GAP
    if is_off and week.former_accuracy is None:
        moved = f"{_named(week)} moved" if week.drifted else "No input moved"
        return (
            f"{moved}, but {late}, and {told}: the relation itself may have changed. Compare the "
            f"errors by carrier and airport; if the next week is no better, retrain and let the "
            f"gate judge."
        )
    rule = fmean(scored.baseline_accuracy for scored in calm)
    if week.baseline_accuracy >= rule:
        return (
            f"The rule is right in {week.baseline_accuracy:.1%}, {rule:.1%} before, and {told}: "
            f"nothing got worse. Ask whether the threshold is one that such weeks can keep."
        )
    aside = f"; that {_named(week)} moved does not explain it" if week.drifted else ""
    return (
        f"The rule fell as well, from {rule:.1%} to {week.baseline_accuracy:.1%}, and {told}: "
        f"these flights are harder to call{aside}. Tell those who rely on it; neither an older "
        f"version nor retraining promises a cure."
    )


def _named(week: WeekScored) -> str:
    return " and ".join(week.drifted[:2])


def _standing(lead: float) -> str:
    return f"{abs(100 * lead):.1f} points {'ahead of' if lead >= 0 else 'behind'}"


def _feed_changed(state: RunState, week: WeekScored, calm: Sequence[WeekScored]) -> str:
    since = next(w.week for w in state.weeks if RULE_INPUT in w.drifted)
    called = [scored.predicted_late for scored in calm]
    before = f" ({min(called):.1%} to {max(called):.1%} before)" if called else ""
    return (
        f"{RULE_INPUT} moved further than in any week it is compared with; "
        f"{week.predicted_late:.1%} of flights are called late{before}, and the rule, which reads "
        f"that column alone, is right in {week.baseline_accuracy:.1%}. Ask who owns the feed what "
        f"changed around {day(since)}; retraining on the new weeks is a stopgap until it is fixed."
    )


def _no_way_back(week: WeekScored) -> str:
    if week.former_accuracy is None:
        return ""
    return f" The version before would have had {week.former_accuracy:.1%}: going back would lose."


def released_with(state: RunState) -> float | None:
    """Return the accuracy of the run's first model on the flights held out, if it is known."""
    found = [record.metrics.get("accuracy") for record in state.records if record.stage == "train"]
    return found[0] if found and isinstance(found[0], float) else None


def _calm_weeks(state: RunState) -> list[WeekScored]:
    """Return the weeks before the first alert whose inputs lay as usual."""
    before = takewhile(lambda week: not week.alert, state.weeks)
    return [week for week in before if has_accuracy(week) and RULE_INPUT not in week.drifted]


def _lead(week: WeekScored) -> float:
    return week.accuracy - week.baseline_accuracy


def _gap(week: WeekScored) -> float:
    return week.observed_late - week.predicted_late


def _failed_requests(week: WeekScored) -> str:
    return f"{counted(week.errors, 'request').capitalize()} failed"


def _past_the_gate(state: RunState, week: WeekScored) -> str:
    promoted = by_hand(state, week)
    if promoted is None:
        return ""
    return f"v{promoted.to_version} was promoted by hand, past the gate, and "


def _named_fault(week: WeekScored) -> str:
    fault = week.findings[0].rstrip(".")
    if NEW_NAME in fault:
        return (
            f"The data checks name what is new ({fault}): ask who owns the feed whether that is a "
            f"fault, or a name that the next training is to learn."
        )
    return f"The data checks name a fault ({fault}): have the feed repaired first."


# ---- the end of a run


def ending(state: RunState) -> str:
    """Return when the evidence of an incident was there and what it was, once a run is over.

    Returns
    -------
    str
        Sentences; they say so if nothing struck, or nothing yet.
    """
    struck = [week for week in state.weeks if week.incident]
    if not struck:
        return _nothing_struck(state)
    return " ".join(filter(None, (_first_evidence(state, struck), _cost(state), _unjudged(state))))


def _nothing_struck(state: RunState) -> str:
    low = alerted_weeks(state, ACCURACY_RULE)
    if not low:
        return "Nothing struck in the weeks that this run has."
    return f"Nothing struck, and still {counted(len(low), 'week')} raised an alert on accuracy."


def _first_evidence(state: RunState, struck: Sequence[WeekScored]) -> str:
    usual: set[str] = set()
    for week in state.weeks:
        usual |= set() if week.incident else set(week.drifted)
    for week in struck:
        seen = [*_signals(week, usual), *_circumstances(state, week)]
        if seen:
            waited = week.number - struck[0].number
            late = f", {counted(waited, 'week')} after it struck" if waited else ""
            return f"The evidence was there in week {week.number}{late}: {', and '.join(seen)}."
    return "No signal of this monitor showed it in the weeks of this run."


def _signals(week: WeekScored, usual: Collection[str]) -> list[str]:
    """Return what a week shows of an incident; inputs that had moved before it are ``usual``."""
    seen = []
    if week.findings:
        seen.append(f"failed data checks ({week.findings[0].rstrip('.')})")
    moved = [name for name in week.drifted if name not in usual]
    if moved:
        seen.append(f"{' and '.join(moved[:2])} further out than in any calm week")
    if week.alert:
        seen.append("the alert")
    return seen


def _circumstances(state: RunState, week: WeekScored) -> list[str]:
    """Return what is unusual about a week's model, its labels, and who watched."""
    seen = []
    promoted = by_hand(state, week)
    if promoted is not None:
        seen.append(f"v{promoted.to_version} promoted by hand after {when(state, promoted.week)}")
        former = week.former_accuracy
        if former is not None and former - week.accuracy > A_POINT:
            seen.append(f"{percent(week.accuracy)} right where the one before had {former:.1%}")
    times = slowed(state, week)
    if times >= MUCH_SLOWER:
        seen.append(f"requests that took {times:.0f} times as long as with the version before")
    if week.answered and not week.labelled:
        seen.append("no label for any of its flights")
    if not week.watched:
        seen.append("no rule evaluated")
    return seen


def _cost(state: RunState) -> str:
    """Return accuracy before and since, where it is known, with the rule's beside it."""
    known = [week for week in state.weeks if has_accuracy(week)]
    first = next(week.number for week in state.weeks if week.incident)
    before = [week for week in known if week.number < first]
    after = [week for week in known if week.number > first and not week.incident]
    since = [week for week in known if week.incident]
    if not since:
        return "What accuracy was since, nobody knows: no flight has both an answer and a label."
    if not before:
        return ""
    quiet = "" if alerted_weeks(state, ACCURACY_RULE) else f", and {_why_no_alert(state)}"
    served = dict.fromkeys(week.model_version for week in since)
    parts = {name: [week for week in since if week.model_version == name] for name in served}
    told = [f"{_both(weeks)} since with v{name}" for name, weeks in parts.items()]
    over = f", and {_both(after)} once it was over" if after else ""
    return f"Accuracy was {_both(before)} before it, {', '.join(told)}{over}{quiet}."


def _why_no_alert(state: RunState) -> str:
    blind = [week.number for week in state.weeks if not week.watched]
    if not blind:
        return "no alert was raised on it"
    return f"no alert could be raised on it in {week_numbers(blind)}"


def _both(weeks: Sequence[WeekScored]) -> str:
    rule = fmean(week.baseline_accuracy for week in weeks)
    return f"{percent(fmean(week.accuracy for week in weeks))} (rule {percent(rule)})"


def _unjudged(state: RunState) -> str:
    last = [entry for entry in state.log if isinstance(entry, Retrained)]
    if not last or not state.weeks or last[-1].week != state.weeks[-1].week:
        return ""
    return "The candidate trained after the last week was never judged: the run ended first."
