"""Two runs side by side: what was set otherwise, and what came of it, in a sentence."""

from collections.abc import Iterator
from statistics import fmean

from mlops_course.pipeline.events import ASK, RunStarted, WeekScored
from mlops_course.pipeline.state import RunState, has_accuracy
from mlops_course.telling.wording import counted, drawn, week_numbers

A_POINT = 0.01  # below that, a week of one run does as well as the other's
_AT_AN_ALERT = {"auto": "retrained", "never": "nothing done", ASK: "asked"}
Pair = tuple[WeekScored, WeekScored]


def pairs(here: RunState, there: RunState) -> list[Pair]:
    """Return the weeks that both runs have, by number, where accuracy is known of both."""
    others = {week.number: week for week in there.weeks if has_accuracy(week)}
    return [
        (week, others[week.number])
        for week in here.weeks
        if week.number in others and has_accuracy(week)
    ]


def set_otherwise(here: RunStarted, there: RunStarted) -> str:
    """Return what was set otherwise in two runs; empty if nothing was.

    >>> one = RunStarted("good", "Good data", 0, 0.9, 8, "auto", "")
    >>> set_otherwise(one, RunStarted("good", "Good data", 0, 0.85, 8, "never", ""))
    'alert below 90% here, 85% there; at an alert retrained here, nothing done there'
    """
    return "; ".join(
        f"{name}{one} here, {other} there"
        for (name, one), (_, other) in zip(_settings(here), _settings(there), strict=True)
        if one != other
    )


def in_a_sentence(here: RunState, there: RunState) -> str:
    """Return how a run did beside another one; empty until both have scored a week.

    The weeks are compared by their numbers. Two runs of one seed meet the same flights, whatever
    happens to them on the way; those of other seeds do not, and part of what sets them apart is
    luck.
    """
    if here.started is None or there.started is None:
        return ""
    if here.started.run_id == there.started.run_id:
        return "This run is kept. Set something otherwise and run again: both are shown then."
    otherwise = set_otherwise(here.started, there.started)
    begin = f"Beside the kept run ({otherwise or 'the same settings'})"
    both = pairs(here, there)
    if not both:
        return f"{begin}: no week has been scored in both yet."
    gaps = [week.accuracy - other.accuracy for week, other in both]
    flights = _flights(both, here.started.seed == there.started.seed)
    if max(map(abs, gaps)) < A_POINT:
        return f"{begin}: no week of the {len(both)} that both have differs by a point. {flights}"
    mean = fmean(gaps)
    lower = [week.number for (week, _), gap in zip(both, gaps, strict=True) if gap <= -A_POINT]
    higher = [week.number for (week, _), gap in zip(both, gaps, strict=True) if gap >= A_POINT]
    sides = [
        f"{side} in {week_numbers(weeks)}"
        for side, weeks in (("lower", lower), ("higher", higher))
        if weeks
    ]
    return (
        f"{begin}: accuracy is {abs(mean) * 100:.1f} points {'higher' if mean > 0 else 'lower'} on "
        f"average over the {counted(len(both), 'week')} that both have, and by a point or more "
        f"{' and '.join(sides)}. {flights}"
    )


def _flights(both: list[Pair], of_one_seed: bool) -> str:
    if not of_one_seed or any(week.week != other.week for week, other in both):
        return "Their flights are not the same, so part of that is luck."
    return f"Wrong calls: {_wrong(both, 0):,} here, {_wrong(both, 1):,} there."


def _wrong(both: list[Pair], side: int) -> int:
    weeks = [pair[side] for pair in both]
    return round(sum(week.labelled * (1 - week.accuracy) for week in weeks))


def _settings(run: RunStarted) -> Iterator[tuple[str, str]]:
    yield "", run.title
    yield "", drawn(run.seed)
    yield "", counted(run.weeks, "week")
    yield "alert below ", f"{100 * run.threshold:g}%"
    yield "at an alert ", _AT_AN_ALERT[run.retrain]
    policy = "" if run.retrain == ASK else run.policy
    yield "policy ", policy or "as the setting says"
