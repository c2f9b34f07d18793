"""The debrief of a shift: the truth laid beside what was seen and done, and what to do otherwise.

All of it is counted from the shift as it was played (`evidence`, `oncall.scoring`) and from the
catalogue of incidents; `debrief` makes the record, `sections` says it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import chain
from statistics import mean

from mlops_course.debriefing.documents import Section, Table
from mlops_course.debriefing.evidence import Trace, traces
from mlops_course.oncall.engine import RECENT
from mlops_course.oncall.scoring import Outcome, Score
from mlops_course.oncall.state import DAY, PAGER, Drill, Entry, Step
from mlops_course.shifts.ledger import Charge, Statement
from mlops_course.shifts.plans import Planned, Shift
from mlops_course.shifts.prices import ACTIONS, LOOKS

LEVELS_OF_SURETY = ((0.5, 0.7), (0.7, 0.9), (0.9, 1.0))
ASIDE = ("declare", "dismiss", "silence", "resume")  # they end no incident


@dataclass(frozen=True)
class Chapter:
    """One incident of a shift.

    Attributes
    ----------
    trace
        What it left to be seen.
    outcome
        What became of it.
    acts
        What was done while it was there, in order.
    answer
        The first act that was for it: that named it as the cause, or is among its responses.
    """

    trace: Trace
    outcome: Outcome
    acts: tuple[Step, ...]
    answer: Step | None

    @property
    def planned(self) -> Planned:
        """What struck."""
        return self.trace.planned

    @property
    def harmless(self) -> bool:
        """Whether there is nothing to be done about it."""
        return self.planned.incident.responses == ("dismiss",)

    @property
    def per_day(self) -> float:
        """The harm that it did on a day it was there, as far as it was followed."""
        return mean(self.trace.extra.values()) if self.trace.extra else 0.0

    @property
    def delay(self) -> timedelta | None:
        """The time from the first evidence to the answer; None where one of them is missing."""
        first = self.trace.first
        return self.answer.day - first.day if first and self.answer else None

    @property
    def otherwise(self) -> str:
        """What to do otherwise, in a sentence or two."""
        incident = self.planned.incident
        named = "" if self.outcome.right else f" Name the cause: {incident.title.lower()}."
        if self.harmless:
            return self._of_harmless() + named
        first = self.trace.first
        if self.outcome.resolved is None:
            where = f" {first.where} showed it on {first.day}." if first else ""
            return f"{incident.response}{where}{named}"
        if self.delay is None or self.answer is None:
            return f"It was over on {self.outcome.resolved}, and not by an answer to it.{named}"
        if self.delay.days <= 0 or first is None:
            return f"Nothing: it was answered as soon as it could be seen.{named}"
        cost = sum(harm for day, harm in self.trace.extra.items() if day < self.answer.day)
        days = "a day" if self.delay.days == 1 else f"{self.delay.days} days"
        return (
            f"Answer it {days} sooner: {first.where} showed it on {first.day}. Up to the answer it "
            f"had cost {_number(cost)} flights called wrong.{named}"
        )

    def _of_harmless(self) -> str:
        if self.outcome.resolved is not None:
            return "Nothing: it was left alone, which is right."
        return f"Leave it alone. {self.planned.incident.response}"


@dataclass(frozen=True)
class Worth:
    """What a kind of look was worth: how often, how long, and what it showed."""

    name: str
    times: int
    minutes: int
    showed: int
    incidents: tuple[str, ...]


@dataclass(frozen=True)
class Debrief:
    """A shift in hindsight.

    Attributes
    ----------
    chapters
        Its incidents, in order of time.
    worths
        The looks that were taken, the longest first.
    alarms, false_alarms
        How often the pager called, and the calls with no incident then or in the days before.
    in_vain
        What was charged for teams that found nothing.
    statements
        The causes that were stated.
    """

    shift: Shift
    score: Score
    chapters: tuple[Chapter, ...]
    worths: tuple[Worth, ...]
    alarms: int
    false_alarms: tuple[Entry, ...]
    in_vain: tuple[Charge, ...]
    statements: tuple[Statement, ...]
    log: tuple[Entry, ...] = field(repr=False)


def debrief(drill: Drill, score: Score, tell: Callable[[date], None] = lambda day: None) -> Debrief:
    """Lay the truth of a shift beside what was seen and done.

    Parameters
    ----------
    drill
        A shift that is over.
    score
        What it came to.
    tell
        Called with each day of it that is played again to see what there was to be seen.
    """
    found = traces(drill, tell)
    outcomes = {outcome.planned.incident.name: outcome for outcome in score.outcomes}
    calls = [entry for entry in drill.log if entry.kind == PAGER]
    return Debrief(
        drill.shift,
        score,
        tuple(_chapter(drill, one, outcomes[one.planned.incident.name]) for one in found),
        tuple(_worths(drill, found)),
        len(calls),
        tuple(entry for entry in calls if not _is_due(drill, entry.day)),
        tuple(charge for charge in drill.charges if "in vain" in charge.what),
        tuple(one for one in drill.statements if one.cause),
        tuple(drill.log),
    )


def _chapter(drill: Drill, trace: Trace, outcome: Outcome) -> Chapter:
    first = trace.planned.strike.first
    end = outcome.resolved or trace.planned.strike.last or drill.shift.last
    if outcome.resolved == first:
        end = trace.planned.strike.last or drill.shift.last
    acts = tuple(step for step in drill.steps if step.name in ACTIONS and first <= step.day <= end)
    name = trace.planned.incident.name
    responses = set(trace.planned.incident.responses) - set(ASIDE)
    answers = (one for one in acts if one.options.get("cause") == name or one.name in responses)
    return Chapter(trace, outcome, acts, next(answers, None))


def _is_due(drill: Drill, day: date) -> bool:
    """Return whether an incident was there on a day or in those before, from which alarms come."""
    days = [day - number * DAY for number in range(RECENT.days + 1)]
    return any(drill.present(one) for one in days)


def _worths(drill: Drill, found: Sequence[Trace]) -> list[Worth]:
    worths = []
    for name in LOOKS:
        taken = [step for step in drill.steps if step.name == name]
        hits = [
            [trace.planned.incident.title for trace in found if (step.day, name) in trace.seen]
            for step in taken
        ]
        if taken:
            titles = dict.fromkeys(chain.from_iterable(hits))  # each once, in order
            minutes = len(taken) * LOOKS[name].minutes
            showed = sum(bool(hit) for hit in hits)
            worths.append(Worth(name, len(taken), minutes, showed, tuple(titles)))
    return sorted(worths, key=lambda worth: -worth.minutes)


# ---- said


def sections(found: Debrief) -> list[Section]:
    """Return a debrief as a document."""
    return [
        Section("Debrief", _sum(found), _beside(found), 1),
        *(_told(chapter) for chapter in found.chapters),
        _looks(found),
        _alarms(found),
        _calibration(found),
    ]


def _sum(found: Debrief) -> tuple[str, ...]:
    score = found.score
    ended = sum(outcome.resolved is not None for outcome in score.outcomes)
    named = sum(outcome.right for outcome in score.outcomes)
    count = len(score.outcomes)
    lines = [
        f"{found.shift.name}: {found.shift.first} to {found.shift.last}. "
        f"It cost {_number(score.harm.total)} flights called wrong.",
        f"Incidents: {count}. Came to a good end: {ended}. Named: {named}.",
    ]
    if score.saved == score.saved:
        lines.append(
            f"That saves {score.saved:.0%} of what somebody who knew all would have saved over "
            "doing nothing."
        )
    return tuple(lines)


def _beside(found: Debrief) -> Table:
    parts = ("wrong", "downtime", "work", "false_alarms", "statements")
    players = {"you": found.score.harm, **found.score.others}
    rows = tuple(
        (
            name,
            _number(harm.total),
            *(_number(getattr(harm, part)) for part in parts),
        )
        for name, harm in players.items()
    )
    columns = ("who", "harm", *(part.replace("_", " ") for part in parts))
    return Table("Harm, in flights called wrong, by player and by what it came from", columns, rows)


def _told(chapter: Chapter) -> Section:
    incident = chapter.planned.incident
    strike = chapter.planned.strike
    alarm = chapter.trace.alarm
    page = chapter.trace.page
    outcome = chapter.outcome
    best = ", then ".join(ACTIONS[name].title.lower() for name in incident.responses)
    rows = [
        ("when", f"{strike.first} to {strike.last or 'the end'}, left alone"),
        ("what happened", incident.story),
        ("what changed", _changed(incident.changed)),
        ("what is visible", incident.visible),
        ("first alarm", alarm.sentence if alarm else "None came of it."),
        ("first page", page.sentence if page else "No page showed it."),
        ("what was done", _acts(chapter)),
        (
            "its end",
            _end(chapter),
        ),
        ("cause named", "yes" if outcome.right else "no"),
        ("cost of a day", _cost(chapter)),
        ("the best", f"{best.capitalize()}."),
        ("why", incident.response),
        ("otherwise", chapter.otherwise),
    ]
    table = Table(f"{incident.title}: the truth, and what was done", ("about", "what"), tuple(rows))
    return Section(incident.title, (), table)


def _changed(parts: Sequence[str]) -> str:
    names = {"X": "the inputs (X)", "Y": "the label (Y)", "Y|X": "their relation (Y|X)"}
    return ", ".join(names[part] for part in parts) or "Nothing in the flights."


def _cost(chapter: Chapter) -> str:
    days = len(chapter.trace.extra)
    if not days:
        return "It was not there on any day."
    return (
        f"{_number(chapter.per_day)} flights called wrong, on average of its first {days} days; "
        "the same days without it are taken off."
    )


def _acts(chapter: Chapter) -> str:
    told = []
    for step in chapter.acts:
        cause = step.options.get("cause")
        sure = f" ({cause}, {step.options['sure']:.0%} sure)" if cause else ""
        told.append(f"{step.day} {ACTIONS[step.name].title.lower()}{sure}")
    return "; ".join(told) or "Nothing."


def _looks(found: Debrief) -> Section:
    rows = tuple(
        (
            LOOKS[worth.name].title,
            str(worth.times),
            str(worth.minutes),
            str(worth.showed),
            ", ".join(worth.incidents) or "-",
        )
        for worth in found.worths
    )
    minutes = sum(worth.minutes for worth in found.worths)
    said = f"{minutes} minutes were spent on looks." if rows else "Nothing was looked at."
    columns = ("page", "times", "minutes", "showed an incident", "of")
    return Section("What each look was worth", (said,), Table("Looks", columns, rows))


def _end(chapter: Chapter) -> str:
    resolved = chapter.outcome.resolved
    if chapter.harmless:
        return "Nothing was to be repaired." if resolved else "Something was made worse."
    return f"As it should be from {resolved} on." if resolved else "None."


def _alarms(found: Debrief) -> Section:
    cost = sum(charge.harm for charge in found.in_vain)
    lines = (
        f"Calls of the pager: {found.alarms}; {len(found.false_alarms)} of them with no "
        f"incident then or in the {RECENT.days} days before.",
        f"Teams called in vain: {len(found.in_vain)}, which cost {_number(cost)}.",
    )
    rows = [(str(entry.day), "false alarm", entry.text) for entry in found.false_alarms]
    rows += [(str(one.day), "called in vain", one.what) for one in found.in_vain]
    table = Table("False alarms, and calls in vain", ("day", "what", "of"), tuple(sorted(rows)))
    return Section("False alarms and calls in vain", lines, table)


def _calibration(found: Debrief) -> Section:
    if not found.statements:
        return Section("How sure", ("No cause was stated.",))
    rows = []
    for low, high in LEVELS_OF_SURETY:
        last = high == LEVELS_OF_SURETY[-1][1]
        those = [one for one in found.statements if low <= one.sure and (one.sure < high or last)]
        if those:
            rows.append(
                (
                    f"{low:.0%} to {high:.0%}",
                    str(len(those)),
                    f"{mean(one.sure for one in those):.0%}",
                    f"{mean(one.right for one in those):.0%}",
                    _number(sum(one.harm for one in those)),
                )
            )
    right = sum(one.right for one in found.statements)
    said = (
        f"{right} of {len(found.statements)} stated causes were right, at "
        f"{mean(one.sure for one in found.statements):.0%} stated on average."
    )
    columns = ("how sure", "statements", "stated on average", "right", "harm")
    return Section("How sure", (said,), Table("Stated causes", columns, tuple(rows)))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:,.1f}"
