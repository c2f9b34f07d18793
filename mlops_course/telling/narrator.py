"""What happened last in a run and why it matters, in two sentences or three, from the state alone.

It says what a monitor can see and no more: the incident stays hidden. What to do next is told by
`telling.advice`, where the run stands by `telling.standing`.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from statistics import fmean

from mlops_course.alerting.alerts import ACCURACY_RULE, UNANSWERED_RULE
from mlops_course.pipeline.asking import Repaired
from mlops_course.pipeline.events import (
    REFUSED,
    Promoted,
    Rejected,
    Retrained,
    RolledBack,
    WeekScored,
)
from mlops_course.pipeline.state import (
    LogEntry,
    RunState,
    StageRecord,
    alerted_weeks,
    alerts_of,
    can_tell,
    has_accuracy,
    slowed,
    threshold_of,
)
from mlops_course.telling.advice import A_POINT, MUCH_SLOWER, released_with
from mlops_course.telling.signals import MIN_CALLED_LATE
from mlops_course.telling.wording import (
    counted,
    estimated,
    ordinal,
    percent,
    unanswered,
    week_list,
    why_unknown,
)

# What was done after a week; alerts, questions and answers belong to the week itself.
_DONE = (Retrained, Promoted, RolledBack, Rejected, Repaired)
MAX_NAMED = 3


def story(state: RunState) -> str:
    """Return what happened last and why it matters; empty before anything did."""
    if state.started is None or state.status == "failed":
        return ""
    if not state.weeks:
        done = [record for record in state.records if record.state == "done"]
        return _STAGES[done[-1].stage](done[-1]) if done else ""
    week = state.weeks[-1]
    entry = _latest(state, week)
    told = _week(state, week) if entry is None else _entry(state, week, entry)
    return f"Week {week.number}: {told}"


def _latest(state: RunState, week: WeekScored) -> LogEntry | None:
    """Return what was done after a week, if anything was."""
    found = [entry for entry in state.log if entry.week == week.week and isinstance(entry, _DONE)]
    return found[-1] if found else None


# ---- before production


def _loaded(record: StageRecord) -> str:
    flights = record.metrics.get("training flights")
    rows = f"{flights:,} real flights" if isinstance(flights, int) else "Real flights"
    return f"{rows} are here to learn from. What they do not show, the model cannot know."


def _validated(record: StageRecord) -> str:
    return (
        "The flights passed the checks before anything was learned from them. A fault that gets "
        "past here is learned as if it were true."
    )


def _trained(record: StageRecord) -> str:
    accuracy = record.metrics.get("accuracy")
    if not isinstance(accuracy, float):
        return "The model has learned. How good it is, flights that it has not seen must show."
    return (
        f"The model has learned, and calls {accuracy:.1%} of later flights right that it has not "
        f"seen. That is the promise which production will be held against."
    )


def _judged(record: StageRecord) -> str:
    if record.headline == REFUSED:
        return "The gate refused the model. What cannot show that it is good does not serve."
    return (
        "The gate let the model through: it beat the one-line rule on flights new to it. Without "
        "that, a model is not worth its keep."
    )


def _registered(record: StageRecord) -> str:
    return (
        "The model is in the registry, with what spoke for it. So one knows later what serves and "
        "why, and can go back."
    )


def _deployed(record: StageRecord) -> str:
    return (
        "The service answers with the new model, just as it did in training. From here on nobody "
        "knows how good it is until labels arrive."
    )


_STAGES: Mapping[str, Callable[[StageRecord], str]] = {
    "data": _loaded,
    "validate": _validated,
    "train": _trained,
    "gate": _judged,
    "register": _registered,
    "deploy": _deployed,
    "monitor": lambda record: "",
}

# ---- what was done after a week


def _entry(state: RunState, week: WeekScored, entry: LogEntry) -> str:
    match entry:
        case Retrained():
            return _retrained(state, entry)
        case Promoted(by_hand=True):
            return (
                f"v{entry.to_version} serves instead of v{entry.from_version} from the next week "
                f"on: promoted by hand, past the gate. Nobody compared the two, so what it does is "
                f"seen on flights that count."
            )
        case Promoted():
            return (
                f"the gate let the retrained model through, and v{entry.to_version} serves instead "
                f"of v{entry.from_version}. On this week's flights, new to both, it was better by "
                f"more than luck; the next weeks show whether that lasts."
            )
        case RolledBack():
            return (
                f"v{entry.to_version} serves again instead of v{entry.from_version}. Going back "
                f"takes one call, since the registry kept it."
            )
        case Repaired():
            said = entry.message[0].lower() + entry.message[1:]
            return f"{said} What was sent before stays as it was."
        case Rejected():
            return _rejected(state, week, entry)
        case _:
            return ""


def _retrained(state: RunState, entry: Retrained) -> str:
    learned = f"a new model learned from {entry.rows:,} flights of {week_list(entry.weeks)}."
    if state.status == "finished":
        return f"{learned} It was never judged and serves nobody: the run ended first."
    return (
        f"{learned} It serves nobody yet: flights that it has not seen, those of the next week, "
        f"decide."
    )


def _rejected(state: RunState, week: WeekScored, entry: Rejected) -> str:
    last = state.records[-1]
    if last.stage == "gate" and last.headline == REFUSED:
        return (
            f"the gate refused the retrained model, so v{week.model_version} goes on serving. "
            f"{entry.reason}"
        )
    return f"{entry.reason} So v{week.model_version} goes on serving."


# ---- a week


def _week(state: RunState, week: WeekScored) -> str:
    fired = _fired(state, week)
    if UNANSWERED_RULE in fired:
        return _silent(week)
    if not week.watched:
        return _unwatched(week)
    if not has_accuracy(week):
        return (
            f"nobody knows how many were called right, since {why_unknown(week)}. Until labels "
            f"come, only inputs and answers can tell that something is wrong.{estimated(week)}"
        )
    if ACCURACY_RULE in fired:
        return _low(state, week)
    return _quiet(state, week)


def _fired(state: RunState, week: WeekScored) -> set[str]:
    """Return the rules that fired on a week; its alerts are told a moment after its figures."""
    told = {alert.rule for alert in alerts_of(state, week.week)}
    if told or not week.alert:
        return told
    low = can_tell(week) and week.upper < threshold_of(state)
    return {ACCURACY_RULE if low else UNANSWERED_RULE}


def _silent(week: WeekScored) -> str:
    fault = f" And {_failed_checks(week)}" if week.findings else ""
    return (
        f"{unanswered(week)}. Nobody was warned of those, and how good the calls would have been "
        f"nobody can know.{fault}"
    )


def _unwatched(week: WeekScored) -> str:
    """Say what a week shows for which no rule was evaluated: somebody has to look himself."""
    right = f"{percent(week.accuracy)} were called right"
    if not has_accuracy(week):
        right = f"how many were called right nobody knows, since {why_unknown(week)}"
    told = [right]
    if week.unanswered:
        told.append(unanswered(week))
    if week.drifted:
        told.append(_moved(week))
    checks = f" And {_failed_checks(week)}" if week.findings else ""
    return (
        f"the rules were not evaluated for this week, so that no alert could come. Whoever "
        f"looks sees: {'; '.join(told)}.{checks}"
    )


def _low(state: RunState, week: WeekScored) -> str:
    """Say how many calls are wrong now, and what else the week shows."""
    line = f"{threshold_of(state):.0%}"
    released = released_with(state)
    right = (
        f"{week.accuracy:.1%} were called right{_again(state, week)}. Even allowing for unlucky "
        f"days that is {week.upper:.1%} at most (95% sure), below {line}"
    )
    if released is not None and threshold_of(state) > released:
        return (
            f"{right}. But the model was released with {released:.1%}: the line asks for more than "
            f"it ever showed."
        )
    former = week.former_accuracy
    before = ""
    if former is not None and _is_first_of_version(state, week):
        before = f" The version before would have had {former:.1%}."
    return f"{right}: {_wrong(state, week)}{before} {_evidence(week)}"


def _again(state: RunState, week: WeekScored) -> str:
    low = {scored.number for scored in alerted_weeks(state, ACCURACY_RULE)}
    count = 1
    while week.number - count in low:
        count += 1
    return f", the {ordinal(count)} such week in a row" if count > 1 else ""


def _wrong(state: RunState, week: WeekScored) -> str:
    """Say what share of calls is wrong, beside the calm weeks before."""
    now = f"of 100 flights {100 * (1 - week.accuracy):.0f} are called wrong"
    before = _calm(state)
    if not before:
        return f"{now}."
    usual = 100 * (1 - fmean(scored.accuracy for scored in before))
    return f"{now}, {usual:.0f} before the first alert."


def _calm(state: RunState) -> list[WeekScored]:
    before = takewhile(lambda week: not week.alert, state.weeks)
    return [week for week in before if has_accuracy(week)]


def _evidence(week: WeekScored) -> str:
    """Say what besides accuracy is unusual, the surest first: checks, calls, inputs."""
    if week.findings:
        return f"And {_failed_checks(week)}"
    if _warns_nobody(week):
        called = percent(week.predicted_late)
        return f"The model called only {called} of flights late. {_inputs(week)}"
    return _inputs(week)


def _warns_nobody(week: WeekScored) -> bool:
    hardly = week.predicted_late < MIN_CALLED_LATE
    return hardly and week.observed_late > 2 * week.predicted_late


def _failed_checks(week: WeekScored) -> str:
    failed = f"{counted(len(week.findings), 'data check')} failed"
    return f"{failed}: {_sentence(week.findings[0])}"


def _inputs(week: WeekScored) -> str:
    """Say which inputs moved, and that the others did not."""
    count = len(week.drift)
    if not week.drifted:
        return (
            f"All {count} inputs look as in calm weeks, one by one, and yet "
            f"{percent(week.observed_late)} were late where {percent(week.predicted_late)} were "
            f"called so."
        )
    if len(week.drifted) == count:
        return f"None of {count} inputs looks as in calm weeks."
    verb = "does" if len(week.drifted) == 1 else "do"
    same = count - len(week.drifted)
    return f"{same} of {count} inputs look as in calm weeks; {_names(week.drifted)} {verb} not."


def _moved(week: WeekScored) -> str:
    verb = "has" if len(week.drifted) == 1 else "have"
    return f"{_names(week.drifted)} {verb} moved further than in calm weeks"


def _names(features: Sequence[str]) -> str:
    if len(features) > MAX_NAMED:
        return f"{', '.join(features[:2])} and {len(features) - 2} more"
    return " and ".join([", ".join(features[:-1]), features[-1]] if features[1:] else features)


# ---- a week without an alert


def _quiet(state: RunState, week: WeekScored) -> str:
    right = f"{week.accuracy:.1%} were called right"
    line = threshold_of(state)
    if _warns_nobody(week):
        return (
            f"the model called {percent(week.predicted_late)} of flights late, and "
            f"{percent(week.observed_late)} were: it warns nobody. Since most flights are on time, "
            f"{right} all the same, and no alert watches this."
        )
    if week.findings:
        unharmed = " The calls do not suffer yet." if week.accuracy >= line else ""
        return f"{right}, and {_failed_checks(week)}{unharmed} No alert watches that."
    if beside := _beside_former(state, week):
        return f"{right} with v{week.model_version}{beside}"
    if week.accuracy < line:
        return f"{right}, which is less than {line:.0%}.{_maybe_luck(week)}"
    if week.drifted:
        return (
            f"{right}, although {_moved(week)}. An input that moves is a question, and not yet a "
            f"loss."
        )
    times = slowed(state, week)
    if times >= MUCH_SLOWER:
        return (
            f"{right}, no data check failed and no input moved. But a request takes {times:.0f} "
            f"times as long as with the version before, and no alert watches that."
        )
    return f"{right}, no data check failed and no input moved. There is nothing to do."


def _sentence(words: str) -> str:
    return f"{words.rstrip('.')}."


def _maybe_luck(week: WeekScored) -> str:
    if not can_tell(week):
        return f" But {why_unknown(week)}: no alert."
    return (
        f" But a few unlucky days can do that: the true level may be as high as {week.upper:.1%}, "
        f"so there is no alert."
    )


def _beside_former(state: RunState, week: WeekScored) -> str:
    """Return what the version before would have had, where that tells something; else nothing.

    That is at a change, while the input that moved then is still unlike calm weeks, and where the
    version before would have been better by more than a point.
    """
    former = week.former_accuracy
    if former is None:
        return ""
    beside = f", and the version before would have had {former:.1%}"
    gain = week.accuracy - former
    if gain < -A_POINT:
        return f"{beside}. On these flights the change of the model did not pay."
    lasting = [name for name in week.drifted if _moved_at_an_alert(state, name)]
    cause = ""
    if lasting:
        verb = "looks" if len(lasting) == 1 else "look"
        cause = f" {_names(lasting)} still {verb} unlike calm weeks: the cause may be there yet."
    if gain > A_POINT and (lasting or _is_first_of_version(state, week)):
        return f"{beside}. The new one makes that difference.{cause}"
    return ""


def _moved_at_an_alert(state: RunState, name: str) -> bool:
    return any(name in week.drifted for week in state.weeks if week.alert)


def _is_first_of_version(state: RunState, week: WeekScored) -> bool:
    before = [scored for scored in state.weeks if scored.number == week.number - 1]
    return bool(before) and before[0].model_version != week.model_version
