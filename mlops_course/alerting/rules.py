"""Alert rules as data, and the watch that holds windows of production against them.

A rule names a figure and a limit. It begins an episode after so many windows in a row beyond the
limit and ends it after so many back behind another, so that a value at the edge does not make it
flap. A window that cannot tell neither begins an episode nor ends one, and is a finding. So is one
whose labels are not in yet, for a figure that takes them: those that come first flatter.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import isnan

from mlops_course.alerting.alerts import Alert
from mlops_course.core.errors import ParameterError
from mlops_course.drift.calm_weeks import Reference
from mlops_course.monitoring.figures import FIGURES, SAMPLES, Terms, range_of
from mlops_course.monitoring.performance import MIN_DAYS
from mlops_course.monitoring.windows import Record, Window, by_count, by_days, with_drift

SEVERITIES = ("page", "ticket", "note")
DAYS = "days"
FLIGHTS = "flights"
DRIFT = "drift_score"
MIN_LABELLED_SHARE = 0.95


@dataclass(frozen=True)
class Rule:
    """An alert rule.

    Attributes
    ----------
    name
        What the alert is called.
    figure
        What is watched: a name of `monitoring.figures.FIGURES`.
    above, below
        The limit, on one side; the other is None.
    clear
        The value at which an episode ends; by default the limit.
    window
        How long a window is: ``7 days``, ``1 day``, ``2000 flights``.
    for_windows, clear_windows
        So many windows in a row begin an episode, and end it.
    min_sample
        Fewer flights, answers, labels or requests than this cannot tell.
    severity
        ``page`` wakes somebody, ``ticket`` is for the next working day, ``note`` for the record.
    owner, runbook
        Who is told, and what they do first, in a line.
    needs_labels
        Whether the figure takes labels, and so comes late; said so that a reader sees it.
    """

    name: str
    figure: str
    above: float | None = None
    below: float | None = None
    clear: float | None = None
    window: str = "7 days"
    for_windows: int = 1
    clear_windows: int = 1
    min_sample: int = 0
    severity: str = "ticket"
    owner: str = ""
    runbook: str = ""
    needs_labels: bool = False

    @property
    def limit(self) -> float:
        """The value beyond which a window is bad."""
        return float(self.above if self.above is not None else self.below or 0.0)

    def is_beyond(self, value: float) -> bool:
        """Return whether a value is on the bad side of the limit."""
        return value > self.limit if self.above is not None else value < self.limit

    def is_clear(self, value: float) -> bool:
        """Return whether a value is good enough for an episode to end."""
        back = self.limit if self.clear is None else self.clear
        return value <= back if self.above is not None else value >= back


@dataclass(frozen=True)
class Progress:
    """Where a rule stands after the windows so far.

    Attributes
    ----------
    firing
        Whether an episode is under way.
    bad, good
        How many windows in a row were beyond the limit, and good enough to end an episode.
    since
        The window with which the episode began; empty if none is under way.
    """

    firing: bool = False
    bad: int = 0
    good: int = 0
    since: str = ""


@dataclass(frozen=True)
class Unknown:
    """A rule that cannot tell about a window: of what it rests on there is too little."""

    rule: str
    window: str
    seen: str

    def __str__(self) -> str:
        return f"{self.rule}: cannot tell for {self.window}, {self.seen}."


@dataclass(frozen=True)
class Look:
    """What rules have to say about a window: what fires, and what nobody could tell."""

    alerts: tuple[Alert, ...] = ()
    unknown: tuple[Unknown, ...] = ()


@dataclass(frozen=True)
class Watched:
    """A window of a length such as ``7 days``, and what its rules have to say."""

    length: str
    window: Window
    look: Look


@dataclass
class Watch:
    """Rules at work on one window after the other, in order of time.

    Raises
    ------
    ParameterError
        If a rule can never fire, or is none.
    """

    rules: Sequence[Rule]
    terms: Terms = field(default_factory=Terms)

    def __post_init__(self) -> None:
        for rule in self.rules:
            if found := faults(rule, self.terms):
                raise ParameterError(
                    f"The alert rule {rule.name!r} cannot be used.",
                    " ".join(found),
                    "Correct the rule, and try again.",
                )
        self._progress = {rule.name: Progress() for rule in self.rules}

    def look(self, window: Window) -> Look:
        """Hold the next window against all rules."""
        alerts = []
        unknown = []
        for rule in self.rules:
            figure = FIGURES[rule.figure]
            value = figure.of(window, self.terms)
            sample = SAMPLES[figure.sample](window)
            early = figure.needs_labels and not _labels_are_in(window)
            if isnan(value) or sample < rule.min_sample or early:
                seen = f"{sample:,} {figure.sample}"
                unknown.append(Unknown(rule.name, window.name, seen))
                continue
            progress = advanced(rule, self._progress[rule.name], value, window.name)
            self._progress[rule.name] = progress
            if progress.firing:
                alerts.append(_alert(rule, window, progress.since, value))
        return Look(tuple(alerts), tuple(unknown))


def advanced(rule: Rule, progress: Progress, value: float, window: str = "") -> Progress:
    """Return where a rule stands after one more window that could tell.

    >>> rule = Rule("slow", "slow_ms", above=50, clear=40, for_windows=2)
    >>> progress = Progress()
    >>> for value in (60, 60, 45, 30):
    ...     progress = advanced(rule, progress, value)
    ...     print(value, progress.firing)
    60 False
    60 True
    45 True
    30 False
    """
    bad = progress.bad + 1 if rule.is_beyond(value) else 0
    good = progress.good + 1 if rule.is_clear(value) else 0
    if progress.firing:
        firing = good < rule.clear_windows
        return Progress(firing, bad, good, progress.since if firing else "")
    firing = bad >= rule.for_windows
    return Progress(firing, bad, good, window if firing else "")


def evaluate(
    rules: Sequence[Rule],
    record: Record,
    terms: Terms | None = None,
    reference: Reference | None = None,
) -> list[Watched]:
    """Cut a record into the windows that rules ask for, and hold each against its rules.

    Parameters
    ----------
    reference
        What the inputs are compared with; without it, nobody can tell whether they have drifted.

    Returns
    -------
    In the order of the windows' ends, shorter windows first.
    """
    terms = terms or Terms()
    found = []
    for length in sorted({rule.window for rule in rules}, key=window_length):
        chosen = [rule for rule in rules if rule.window == length]
        windows: Iterable[Window] = cut(record, length)
        if reference and any(rule.figure == DRIFT for rule in chosen):
            windows = with_drift(windows, reference)
        watch = Watch(chosen, terms)
        found += [Watched(length, window, watch.look(window)) for window in windows]
    return sorted(found, key=lambda one: one.window.end)


def cut(record: Record, length: str) -> list[Window]:
    """Return the windows of a length such as ``7 days`` or ``2000 flights``."""
    unit, number = window_length(length)
    return by_days(record, number) if unit == DAYS else by_count(record, number)


def window_length(text: str) -> tuple[str, int]:
    """Return the unit of a window, and how many of it.

    Raises
    ------
    ParameterError
        If it is no such length.

    >>> window_length("7 days"), window_length("1 day"), window_length("2000 flights")
    (('days', 7), ('days', 1), ('flights', 2000))
    """
    number, _, unit = text.partition(" ")
    unit = unit.rstrip("s") + "s"
    if not number.isdecimal() or int(number) < 1 or unit not in (DAYS, FLIGHTS):
        raise ParameterError(
            f"The window {text!r} is none.",
            "A window is a whole number of days or flights.",
            "Write for instance '7 days', '1 day' or '2000 flights'.",
        )
    return unit, int(number)


def faults(rule: Rule, terms: Terms) -> list[str]:
    """Return what is wrong with a rule, a sentence each; nothing for one that can fire."""
    if rule.figure not in FIGURES:
        near = get_close_matches(rule.figure, FIGURES, 1)
        hint = f"do you mean {near[0]}?" if near else f"there are {', '.join(FIGURES)}."
        return [f"There is no figure {rule.figure!r}; {hint}"]
    return [*_faults_of_limit(rule, terms), *_faults_of_window(rule), *_faults_of_words(rule)]


def _faults_of_limit(rule: Rule, terms: Terms) -> list[str]:
    if (rule.above is None) == (rule.below is None):
        return ["It takes one of above and below."]
    low, high = range_of(FIGURES[rule.figure], terms)
    found = []
    if not rule.is_beyond(high if rule.above is not None else low):
        side = "above" if rule.above is not None else "below"
        reach = f"at most {high:g}" if rule.above is not None else f"at least {low:g}"
        found.append(f"It can never fire: {rule.figure} is {reach}, never {side} {rule.limit:g}.")
    if rule.is_beyond(low) and rule.is_beyond(high):
        found.append(f"It always fires: {rule.figure} goes from {low:g} to {high:g}.")
    if rule.clear is not None and rule.is_beyond(rule.clear):
        found.append(f"It would end at {rule.clear:g}, where it begins.")
    return found


def _faults_of_window(rule: Rule) -> list[str]:
    try:
        unit, number = window_length(rule.window)
    except ParameterError as error:
        return [f"{error.happened} {error.expected}"]
    found = []
    if rule.for_windows < 1 or rule.clear_windows < 1:
        found.append("for_windows and clear_windows are 1 or more.")
    by_days = rule.figure in ("accuracy_at_most", "burn_rate_at_least")
    if by_days and unit == DAYS and number < MIN_DAYS:
        found.append(f"It can never fire: a bound by days takes {MIN_DAYS} days.")
    counts_flights = FIGURES[rule.figure].sample != "requests"
    if unit == FLIGHTS and counts_flights and rule.min_sample > number:
        found.append(f"It can never fire: its windows hold {number} flights.")
    if rule.figure == DRIFT and (unit == FLIGHTS or number % 7):
        found.append("It can never fire: whole weeks are compared with whole weeks.")
    if rule.figure == "volume" and unit == FLIGHTS:
        found.append("It can never fire: its windows all hold as many flights.")
    return found


def _faults_of_words(rule: Rule) -> list[str]:
    found = []
    if rule.severity not in SEVERITIES:
        found.append(f"Its severity is {rule.severity!r}; there are {', '.join(SEVERITIES)}.")
    if not rule.name.strip() or not rule.owner.strip() or not rule.runbook.strip():
        found.append("It needs a name, an owner, and a runbook line: what to do first.")
    needs_labels = FIGURES[rule.figure].needs_labels
    if rule.needs_labels != needs_labels:
        word = "takes" if needs_labels else "takes no"
        found.append(f"Set needs_labels: {rule.figure} {word} labels.")
    return found


def _labels_are_in(window: Window) -> bool:
    quality = window.quality
    return quality.labelled >= MIN_LABELLED_SHARE * quality.answered


def _alert(rule: Rule, window: Window, since: str, value: float) -> Alert:
    return Alert(
        rule.name,
        window.name,
        since,
        value,
        rule.limit,
        _message(rule, window, value),
        rule.severity,
        rule.owner,
        rule.runbook,
    )


def _message(rule: Rule, window: Window, value: float) -> str:
    """Say what was seen; what a bound or a share rests on belongs to it."""
    quality = window.quality
    if rule.figure == "accuracy_at_most":
        return (
            f"Accuracy {quality.accuracy:.1%} in {window.name}; even its upper bound, {value:.1%} "
            f"(one-sided 95%, by {quality.days} days), is below {100 * rule.limit:g}%."
        )
    if rule.figure == "unanswered_share" and quality.rows == 0:
        return f"There was no flight to answer in {window.name}: has the feed ended?"
    if rule.figure == "unanswered_share":
        return (
            f"{quality.unanswered:,} of {quality.rows:,} flights in {window.name} have no answer "
            f"({value:.1%}); at most {rule.limit:.0%} may have none."
        )
    side = "above" if rule.above is not None else "below"
    meaning = FIGURES[rule.figure].meaning
    return f"{meaning.capitalize()}: {value:.3g} in {window.name}, {side} {rule.limit:g}."
