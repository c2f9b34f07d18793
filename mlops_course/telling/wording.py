"""A run in words: each event in a sentence, each entry of its log.

Plain text without markup. The command line, the picture, the poster and the alert log say it in
these words; each of them decides only where a sentence stands.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from math import isnan

from mlops_course.pipeline.asking import Told
from mlops_course.pipeline.events import (
    AlertRaised,
    Event,
    Notified,
    Promoted,
    Rejected,
    Retrained,
    RolledBack,
    RunStarted,
    StageFailed,
    StageFinished,
    WeekScored,
)
from mlops_course.pipeline.state import (
    LogEntry,
    RunState,
    can_tell,
    has_accuracy,
)

UNKNOWN = "unknown"
BY_HAND = "Promoted by hand"
NOTHING_ANSWERED = "No flight was answered: nothing to compare."
_TITLES: Mapping[type[LogEntry], str] = {
    AlertRaised: "Alert",
    Notified: "Notified",
    Retrained: "Retrained",
    Rejected: "Refused",
    Promoted: "Promoted",
    RolledBack: "Rolled back",
}
MAX_NAMED_WEEKS = 4

# ---- single words


def stage_title(stage: str) -> str:
    """Return a stage's name for people.

    >>> stage_title("data")
    'Data'
    """
    return stage.capitalize()


def day(week: str) -> str:
    """Return a Monday as people write it.

    >>> day("2013-09-02")
    '2 Sep'
    """
    monday = date.fromisoformat(week)
    return f"{monday.day} {monday:%b}"


def week_list(weeks: Sequence[str]) -> str:
    """Return weeks by their Mondays.

    >>> week_list(["2013-09-23", "2013-09-30"])
    'the weeks of 23 Sep and 30 Sep'
    """
    if len(weeks) > MAX_NAMED_WEEKS:
        return f"{len(weeks)} weeks from {day(weeks[0])} to {day(weeks[-1])}"
    return f"the week{'s' if len(weeks) > 1 else ''} of {' and '.join(map(day, weeks))}"


def week_numbers(numbers: Sequence[int]) -> str:
    """Return weeks by their numbers.

    >>> week_numbers([4, 5, 6])
    'weeks 4, 5 and 6'
    """
    if len(numbers) == 1:
        return f"week {numbers[0]}"
    return f"weeks {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def counted(number: int, thing: str) -> str:
    """Return a number of things.

    >>> counted(0, "error"), counted(1, "error"), counted(1200, "error")
    ('no errors', '1 error', '1,200 errors')
    """
    many = f"{number:,}" if number else "no"
    return f"{many} {thing}{'' if number == 1 else 's'}"


def ordinal(number: int) -> str:
    """Return which one in a row.

    >>> ordinal(2), ordinal(11)
    ('2nd', '11th')
    """
    ends = {1: "st", 2: "nd", 3: "rd"}
    teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teen else ends.get(number % 10, 'th')}"


def percent(share: float | None, unknown: str = UNKNOWN) -> str:
    """Return a share as a percentage, or a word where nobody knows it.

    >>> percent(0.9347), percent(float("nan"))
    ('93.5%', 'unknown')
    """
    return unknown if share is None or isnan(share) else f"{share:.1%}"


def drawn(seed: int | None) -> str:
    """Return where the days of a run come from.

    >>> drawn(0), drawn(None)
    ('seed 0', 'days as they were')
    """
    return "days as they were" if seed is None else f"seed {seed}"


def model_name(state: RunState, version: str, ordinal: bool = False) -> str:
    """Return how a model is called: ``v7``, or ``model 2`` by its order in this run.

    The order does not depend on what the registry held before.
    """
    if not ordinal:
        return f"v{version}"
    order = list(dict.fromkeys(week.model_version for week in state.weeks))
    return f"model {order.index(version) + 1}" if version in order else "the new model"


def unanswered(week: WeekScored) -> str:
    """Return how many of a week's flights have no answer: ``1,234 of 6,400 flights unanswered``."""
    return f"{week.unanswered:,} of {week.rows:,} flights unanswered"


def drift_promise(week: WeekScored) -> str:
    """Return how seldom a calm week has a drift score above 1."""
    often = 52 * week.drift_promise
    return f"in at most {week.drift_promise:.0%} of calm weeks, {often:.0f} a year"


def why_unknown(week: WeekScored) -> str:
    """Return why a week's accuracy is unknown, or what it cannot tell."""
    if not week.answered:
        return "no flight was answered"
    if not week.labelled:
        return "no label has arrived"
    return f"{counted(week.labelled, 'label')} of {counted(week.days, 'day')} cannot tell"


def estimated(week: WeekScored) -> str:
    """Return what accuracy inputs and answers suggest, as a sentence; empty of an unknown one."""
    if isnan(week.estimate):
        return ""
    low = percent(week.estimate_low)
    return f" By those it is probably {week.estimate:.1%} ({low} to {percent(week.estimate_high)})."


# ---- events


def terminal_line(event: Event) -> str:
    """Return an event as a line in a terminal; empty for one that is not worth a line."""
    match event:
        case RunStarted():
            return f"{run_title(event)}."
        case StageFinished():
            return f"{event.stage:<9} {event.seconds:5.2f} s  {event.headline}"
        case StageFailed():
            return f"{event.stage:<9} {event.seconds:5.2f} s  FAILED  {event.message}"
        case WeekScored():
            return _week_line(event)
        case AlertRaised():
            return f"ALERT     {event.message}"
        case Retrained():
            return f"retrained on {event.rows:,} flights of {_mondays(event.weeks)}"
        case RolledBack():
            return f"rolled back  version {event.to_version}. {event.reason}"
        case Promoted():
            how = " by hand, past the gate" if event.by_hand else ""
            return f"promoted  version {event.to_version}{how}. {event.reason}"
        case Rejected():
            return f"rejected  {event.reason}"
        case Told():
            return f"{event.title.lower():<9} {event.message}"
        case _:
            return ""


def _mondays(weeks: Sequence[str]) -> str:
    if len(weeks) > MAX_NAMED_WEEKS:
        return f"{len(weeks)} weeks, {weeks[0]} to {weeks[-1]}"
    return " and ".join(weeks)


def _week_line(week: WeekScored) -> str:
    accuracy = f"{week.accuracy:.1%}" if has_accuracy(week) else UNKNOWN
    parts = [f"week {week.week}", f"accuracy {accuracy}", f"version {week.model_version}"]
    if has_accuracy(week) and not can_tell(week):
        parts.append(why_unknown(week))
    if week.unanswered:
        parts.append(unanswered(week))
    if week.drifted:
        parts.append(f"moved: {', '.join(week.drifted[:4])}")
    if not week.watched:
        parts.append("no rule evaluated")
    return "  ".join(parts)


def still_line(state: RunState, entry: LogEntry) -> str:
    """Return a log entry as a line of a picture that is the same for the same run.

    Models go by their order and not by the registry's versions. A message to the team, whose alert
    has a line already, gets none.
    """
    numbers = {week.week: week.number for week in state.weeks}
    when = f"Week {numbers[entry.week]}" if entry.week in numbers else "Before production"
    said = re.sub(r"\bversion \d+", "the champion", _said(state, entry))
    return f"{when}. {said}" if said else ""


def _said(state: RunState, entry: LogEntry) -> str:
    title = entry_title(entry)
    match entry:
        case AlertRaised():
            return f"▼ {title}: {entry.message}"
        case Retrained():
            return f"↻ {title} on {entry.rows:,} flights of {week_list(entry.weeks)}."
        case Rejected():
            return f"{title}: {entry.reason}"
        case Promoted():
            name = model_name(state, entry.to_version, ordinal=True)
            if entry.by_hand:
                return f"{title}, past the gate: {name}."
            return f"{title} {name}: {entry.reason}"
        case RolledBack():
            return f"{title} to {model_name(state, entry.to_version, ordinal=True)}."
        case Notified():
            return ""
        case Told():
            return f"{title}: {entry.message}"


def entry_title(entry: LogEntry) -> str:
    """Return the word for a log entry's kind: ``Alert``, ``Refused``."""
    if isinstance(entry, Promoted) and entry.by_hand:
        return BY_HAND
    return entry.title if isinstance(entry, Told) else _TITLES[type(entry)]


def log_text(state: RunState, entry: LogEntry) -> str:
    """Return what an entry of the alert log says, below its title."""
    match entry:
        case AlertRaised():
            return entry.message
        case Notified():
            return f"message to {entry.channel}, shown here and not sent"
        case Retrained():
            return (
                f"A candidate learned from {entry.rows:,} flights of {week_list(entry.weeks)}, "
                f"in {entry.seconds:.2f} s. It waits for the next week: the gate judges it on "
                f"rows that it has not seen."
            )
        case Rejected():
            return entry.reason
        case Promoted(by_hand=True):
            return (
                f"v{entry.to_version} serves instead of v{entry.from_version} from the next week "
                f"on, past the gate. The promotion log has: {entry.reason}"
            )
        case Promoted():
            served = any(week.model_version == entry.from_version for week in state.weeks)
            old = f" replaces v{entry.from_version}" if served else ", the first of this run"
            return f"v{entry.to_version}{old}: {entry.reason}"
        case RolledBack():
            return f"v{entry.to_version} serves again instead of v{entry.from_version}."
        case Told():
            return entry.message


def when(state: RunState, week: str) -> str:
    """Return when something happened: ``week 4, 23 Sep``, or ``before week 1``."""
    number = next((scored.number for scored in state.weeks if scored.week == week), None)
    return f"week {number}, {day(week)}" if number else "before week 1"


# ---- the run


def run_title(run: RunStarted) -> str:
    """Return a run's name: ``Data drift: 8 weeks, seed 0``."""
    return f"{run.title}: {counted(run.weeks, 'week')}, {drawn(run.seed)}"
