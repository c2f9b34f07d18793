"""Where a run stands, in a sentence: its status, what is urgent, and what monitoring has found.

Single words and the sentences of events are `telling.wording`'s.
"""

from collections.abc import Sequence

from mlops_course.alerting.alerts import ACCURACY_RULE, UNANSWERED_RULE
from mlops_course.pipeline.events import (
    AlertRaised,
    Notified,
    Promoted,
    Retrained,
    RolledBack,
    StageFinished,
    WeekScored,
)
from mlops_course.pipeline.state import (
    RunState,
    alerted_weeks,
    alerts_of,
    cycle_of,
    outcome,
    running_stage,
)
from mlops_course.telling.wording import (
    counted,
    entry_title,
    log_text,
    percent,
    stage_title,
    unanswered,
    week_list,
    week_numbers,
    when,
)


def status(state: RunState) -> str:
    """Return where the run stands, as one plain sentence."""
    match state.status:
        case "idle":
            return "Nothing has run yet. Press Run pipeline, or choose a stage to see what it does."
        case "failed":
            return f"Stopped. {state.error}"
        case "finished":
            return f"Finished: {state.seconds or 0:.1f} s of work. {verdict(state)}"
        case "asking":
            return f"Paused: waiting for your decision, after {week_reached(state)}."
        case "paused":
            return f"Paused: {_place(state)}. Press Continue or Step; Reset starts over."
        case _ if state.started is None:
            return "Starting: opening the store and the scoring service."
        case _:
            return f"Running: {_place(state)}."


def spoken(state: RunState) -> str:
    """Return the status for screen readers, which changes with stages, not with weeks."""
    now = running_stage(state)
    if state.status != "running" or now is None or now.stage != "monitor":
        return status(state)
    return "Running: monitoring production."


def urgent(state: RunState) -> str:
    """Return the newest alert, retraining, promotion or rollback, to be spoken at once."""
    if state.started is None:
        return ""
    told = [entry for entry in state.log if not isinstance(entry, Notified)]
    match told[-1] if told else None:
        case AlertRaised(week=week):
            return " ".join(alert.message for alert in alerts_of(state, week))
        case None:
            return ""
        case entry:
            return f"{entry_title(entry)}, {when(state, entry.week)}. {log_text(state, entry)}"


def _place(state: RunState) -> str:
    latest = state.latest
    if isinstance(latest, StageFinished) and latest.stage != "monitor":
        return f"after {stage_title(latest.stage)}{_cycle(latest.cycle)}"
    now = running_stage(state)
    if now is None:
        ended = state.records[-1] if state.records else None
        return f"after {stage_title(ended.stage)}" if ended else "at the start"
    week = f", {week_reached(state)}" if now.stage == "monitor" and state.weeks else ""
    return f"{stage_title(now.stage)}{_cycle(now.cycle)}{week}"


def _cycle(cycle: int) -> str:
    return f" (cycle {cycle})" if cycle > 1 else ""


def week_reached(state: RunState) -> str:
    """Return how far production has come: ``week 3 of 8``; there must be a week."""
    planned = f" of {state.started.weeks}" if state.started else ""
    return f"week {state.weeks[-1].number}{planned}"


def way_back(state: RunState, with_weeks: bool = True) -> str:
    """Return what leads from Monitor back to Data: the rule, or this cycle's retraining."""
    cycle = cycle_of(state)
    if cycle == 1:
        return "retrain when production calls for it"
    done = [entry for entry in state.log if isinstance(entry, Retrained)]
    if len(done) != cycle - 1:
        return f"cycle {cycle}: retraining on new weeks"
    weeks = f" on {week_list(done[-1].weeks)}" if with_weeks else ""
    return f"cycle {cycle}: retrained{weeks}"


def verdict(state: RunState) -> str:
    """Return what monitoring found: the first alert of each rule, and the accuracy around it."""
    if not state.weeks:
        return "No week of production was scored."
    return f"{_alerts_found(state)}{_gaps_told(state)}"


def _gaps_told(state: RunState) -> str:
    """Return in which weeks the absence of an alert says nothing; empty if in none."""
    unlabelled = [week.number for week in state.weeks if week.answered and not week.labelled]
    unwatched = [week.number for week in state.weeks if not week.watched]
    told = ""
    if unlabelled:
        told += f" No label was in for {week_numbers(unlabelled)}: accuracy is unknown there."
    if unwatched:
        told += f" The rules were not evaluated for {week_numbers(unwatched)}."
    return told


def _alerts_found(state: RunState) -> str:
    silent = alerted_weeks(state, UNANSWERED_RULE)
    low = alerted_weeks(state, ACCURACY_RULE)
    if not silent and not low:
        mean = percent(outcome(state).before)
        return f"No alert in {counted(len(state.weeks), 'week')}; mean accuracy {mean}."
    if not silent:
        return f"First alert in {_accuracy_verdict(state, low)}"
    if not low:
        before = outcome(state).before
        known = f"; mean accuracy {before:.1%} before" if before is not None else ""
        return f"First alert in {_unanswered_verdict(state, silent)}{known}."
    if low[0].number < silent[0].number:
        return (
            f"First alert in {_accuracy_verdict(state, low)} "
            f"First alert on answers in {_unanswered_verdict(state, silent)}."
        )
    return (
        f"First alert in {_unanswered_verdict(state, silent)}. "
        f"First alert on accuracy in {_accuracy_verdict(state, low)}"
    )


def _unanswered_verdict(state: RunState, silent: Sequence[WeekScored]) -> str:
    first = silent[0]
    return f"week {first.number}: {unanswered(first)}; {_share_of_weeks(state, silent)}"


def _accuracy_verdict(state: RunState, low: Sequence[WeekScored]) -> str:
    found = outcome(state)
    models = len({week.model_version for week in state.weeks})
    before = f"{found.before:.1%} before, " if found.before is not None else ""
    if models > 2 or found.recovered is None:
        after = f"{_share_of_weeks(state, low)} (mean {percent(found.alarmed)})"
        after += f", {models} models served in turn" if models > 1 else ""
    else:
        changed = _last_change(state)
        after = f"after {changed} {found.recovered:.1%}"
        if found.otherwise is not None:
            other = "old model" if changed == "retraining" else "one that went"
            after += f", where the {other} would have had {found.otherwise:.1%}"
    return f"week {low[0].number}: {before}{low[0].accuracy:.1%} that week; {after}."


def _last_change(state: RunState) -> str:
    moves = [entry for entry in state.log if isinstance(entry, Promoted | RolledBack)]
    return "rolling back" if moves and isinstance(moves[-1], RolledBack) else "retraining"


def _share_of_weeks(state: RunState, alerted: Sequence[WeekScored]) -> str:
    return f"{len(alerted)} of {counted(len(state.weeks), 'week')} raised one"
