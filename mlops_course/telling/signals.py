"""Signals besides accuracy: seven figures of each week, each beside the limit it is held against.

Where lesson 07 has a rule on a figure, its limit counts. A run watches few of them: which, each
says. How they are drawn is in `weekly`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan, nan

from mlops_course.alerting.alerts import UNANSWERED_RULE
from mlops_course.pipeline.events import WeekScored
from mlops_course.pipeline.state import RunState, alerts_of
from mlops_course.telling.wording import UNKNOWN, percent

MAX_SPELLS = 4
# Limits of notebooks/07_rules.toml; for the service's answers it is the run's own as well.
MAX_UNANSWERED = 0.01
MIN_CALLED_LATE = 0.02
MAX_CALLED_LATE = 0.65
MAX_DRIFT = 1.0


@dataclass(frozen=True)
class Signal:
    """A figure of a week, and what it is held against.

    Attributes
    ----------
    name
        What it is called; its meaning is in ``texts/words.json``.
    value, told
        What gives a week's figure, NaN where nobody knows it, and what says it in words.
    low, high
        The limits below and above which a week is marked; None where there is none.
    limit
        The limits in words, and whether the run watches them.
    at_line
        What is written at the limit that is drawn, or at zero for a figure without one.
    watched
        The alert rule of the run that watches it; empty if none does.
    beside
        What gives the figure that is drawn with it, dotted; None for most.
    span
        The least range that is drawn, so that a small change does not look large.
    """

    name: str
    value: Callable[[WeekScored], float]
    told: Callable[[WeekScored], str]
    limit: str
    at_line: str
    span: tuple[float, float]
    low: float | None = None
    high: float | None = None
    watched: str = ""
    beside: Callable[[WeekScored], float] | None = None

    def is_beyond(self, week: WeekScored) -> bool:
        """Return whether a week's figure is known, and beyond a limit."""
        value = self.value(week)
        too_low = self.low is not None and value < self.low
        return too_low or (self.high is not None and value > self.high)


# ---- what each week's figure is


def _unanswered(week: WeekScored) -> float:
    return week.unanswered / week.rows if week.rows else nan


def _lead(week: WeekScored) -> float:
    return 100 * (week.accuracy - week.baseline_accuracy)


def _drift(week: WeekScored) -> float:
    return max(week.drift.values(), default=nan)


def _checks_told(week: WeekScored) -> str:
    return f"{len(week.findings)} failed" if week.findings else "none failed"


def _unanswered_told(week: WeekScored) -> str:
    if not week.rows:
        return UNKNOWN
    return f"{week.unanswered:,} of {week.rows:,}" if week.unanswered else "none"


def _late_told(week: WeekScored) -> str:
    return f"{percent(week.predicted_late)}, were late {percent(week.observed_late)}"


def _lead_told(week: WeekScored) -> str:
    lead = _lead(week)
    return UNKNOWN if isnan(lead) else f"{_signed(lead)} points"


def _signed(points: float) -> str:
    shown = f"{points:+.1f}".replace("-", "\N{MINUS SIGN}")
    return "0.0" if shown.endswith("0.0") and len(shown) == len("+0.0") else shown


def _drift_told(week: WeekScored) -> str:
    if not week.drift:
        return UNKNOWN
    name = max(week.drift, key=lambda feature: week.drift[feature])
    above = f"; {len(week.drifted)} of {len(week.drift)} above 1.0" if week.drifted else ""
    digits = 2 if round(week.drift[name], 1) == MAX_DRIFT else 1
    return f"{week.drift[name]:.{digits}f} ({name}){above}"


def _latency_told(week: WeekScored) -> str:
    return UNKNOWN if isnan(week.latency_ms) else f"{week.latency_ms:.0f} ms"


def _labels_told(week: WeekScored) -> str:
    if isnan(week.label_hours):
        return "no label has come"
    some = f"; {week.labelled / week.answered:.1%} have one" if week.answered else ""
    return f"{week.label_hours:.0f} h{some}"


SIGNALS = (
    Signal(
        "Failed data checks",
        lambda week: float(len(week.findings)),
        _checks_told,
        "none may fail; shown only",
        "limit 0",
        span=(0.0, 2.0),
        high=0.0,
    ),
    Signal(
        "Unanswered flights",
        _unanswered,
        _unanswered_told,
        "at most 1%; watched, raises an alert",
        "limit 1%",
        span=(0.0, 0.04),
        high=MAX_UNANSWERED,
        watched=UNANSWERED_RULE,
    ),
    Signal(
        "Share called late",
        lambda week: week.predicted_late,
        _late_told,
        "2% to 65%; shown only",
        "limit 2%",
        span=(0.0, 0.3),
        low=MIN_CALLED_LATE,
        high=MAX_CALLED_LATE,
        beside=lambda week: week.observed_late,
    ),
    Signal(
        "Lead over the rule",
        _lead,
        _lead_told,
        "no limit in lesson 07; the line is no lead at all",
        "no lead",
        span=(-2.0, 4.0),
    ),
    Signal(
        "Highest drift score",
        _drift,
        _drift_told,
        "at most 1.0; shown only",
        "limit 1.0",
        span=(0.0, 2.0),
        high=MAX_DRIFT,
    ),
    Signal(
        "Time of a request",
        lambda week: week.latency_ms,
        _latency_told,
        "no limit on the median; shown only",
        "",
        span=(0.0, 40.0),
    ),
    Signal(
        "Label delay",
        lambda week: week.label_hours,
        _labels_told,
        "no limit; shown only",
        "",
        span=(0.0, 60.0),
    ),
)


def alerted(state: RunState, signal: Signal, week: WeekScored) -> bool:
    """Return whether an alert of the run was raised on a signal's figure of a week."""
    return any(alert.rule == signal.watched for alert in alerts_of(state, week.week))


def beyond(state: RunState, signal: Signal) -> str:
    """Return in which weeks a signal was beyond its limit; empty if in none."""
    found = [week for week in state.weeks if signal.is_beyond(week)]
    if not found:
        return ""
    sign = "▼ alert" if any(alerted(state, signal, week) for week in found) else "▽ beyond"
    return f"{sign} in {spells([week.number for week in found])}"


def unknown(state: RunState, signal: Signal) -> str:
    """Return in which weeks nobody knows a signal; empty if in none."""
    numbers = [week.number for week in state.weeks if isnan(signal.value(week))]
    return f"? not known in {spells(numbers)}" if numbers else ""


def spells(numbers: Sequence[int]) -> str:
    """Return weeks by their numbers, those in a row together.

    >>> spells([4, 5, 6, 8]), spells([3]), spells([1, 3, 5, 7, 9])
    ('weeks 4 to 6 and 8', 'week 3', '5 weeks, the last of them week 9')
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    if len(runs) > MAX_SPELLS:
        return f"{len(numbers)} weeks, the last of them week {numbers[-1]}"
    told = [_spell(run[0], run[-1]) for run in runs]
    if len(numbers) == 1:
        return f"week {told[0]}"
    *before, last = told
    return f"weeks {', '.join(before)} and {last}" if before else f"weeks {last}"


def _spell(first: int, last: int) -> str:
    if last == first + 1:
        return f"{first} and {last}"
    return f"{first}" if first == last else f"{first} to {last}"
