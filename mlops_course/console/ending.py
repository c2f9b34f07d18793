"""What is told once a shift is over: its harm beside that of others, and the truth of it."""

from collections.abc import Sequence
from dataclasses import fields
from math import isnan

from markupsafe import Markup

from mlops_course.console.page import day_words
from mlops_course.drawing.markup import element, join
from mlops_course.oncall.scoring import Outcome, Score
from mlops_course.oncall.state import Drill
from mlops_course.shifts.ledger import Harm

PARTS = {
    "wrong": "Flights called wrong",
    "downtime": "No answers, and late ones",
    "work": "Work",
    "false_alarms": "Calls on others",
    "statements": "Causes, as stated",
}
OTHERS = {
    "nothing": "Does nothing",
    "retrain": "Always retrains",
    "rollback": "Always rolls back",
    "oracle": "Knows all",
}
YOURS = "You"


def rows_of(score: Score) -> list[list[str]]:
    """Return the harm by part of you and of the others, in words; the head first."""
    harms = [score.harm, *(score.others[name] for name in OTHERS)]
    head = ["Harm, in flights called wrong", YOURS, *OTHERS.values()]
    parts = [
        [PARTS[part.name], *(f"{getattr(harm, part.name):,.0f}" for harm in harms)]
        for part in fields(Harm)
    ]
    return [head, *parts, ["All", *(f"{harm.total:,.0f}" for harm in harms)]]


def saved_words(score: Score) -> str:
    """Return the share that was saved, in a sentence."""
    if isnan(score.saved):
        return "On this shift there was nothing to be saved."
    return (
        f"You saved {score.saved:.0%} of what somebody saves who knows all, over somebody who "
        "does nothing."
    )


def ending(score: Score, drill: Drill) -> Markup:
    """Return the score and the truth of each incident."""
    head, *rows = rows_of(score)
    table = element(
        "table",
        element("caption", f"What the shift cost. {saved_words(score)}"),
        element("thead", element("tr", *(element("th", word, scope="col") for word in head))),
        element("tbody", *map(_row, rows)),
        class_="mls-hindsight",
    )
    return join(
        element("h3", "The shift is over"),
        table,
        element("h4", "What it really was"),
        _incidents(score.outcomes),
    )


def _row(row: Sequence[str]) -> Markup:
    cells = [element("td", word) for word in row[1:]]
    return element("tr", element("th", row[0], scope="row"), *cells)


def _incidents(outcomes: Sequence[Outcome]) -> Markup:
    if not outcomes:
        return element("p", "Nothing struck on this shift.")
    return element("ol", *map(_incident, outcomes), class_="moc-truth")


def _incident(outcome: Outcome) -> Markup:
    incident = outcome.planned.incident
    return element(
        "li",
        element("b", f"{incident.title}: {span_words(outcome)}"),
        element("p", f"{incident.story} {incident.visible}"),
        element("p", element("b", "Right response:"), f" {incident.response}"),
        element("p", f"{resolved_words(outcome)} {named_words(outcome)}"),
    )


def span_words(outcome: Outcome) -> str:
    """Return from when to when an incident would have lasted."""
    strike = outcome.planned.strike
    last = f" to {day_words(strike.last)}" if strike.last else ""
    return f"{day_words(strike.first)}{last}"


def resolved_words(outcome: Outcome) -> str:
    """Return what became of an incident, in a sentence."""
    harmless = outcome.planned.incident.responses == ("dismiss",)
    if outcome.resolved is None:
        return "Acted on, where nothing was to be fixed." if harmless else "Not resolved."
    return "Left alone, rightly." if harmless else f"Resolved on {day_words(outcome.resolved)}."


def named_words(outcome: Outcome) -> str:
    """Return whether an incident was named as a cause."""
    return "You named it." if outcome.right else "You did not name it."


def text(score: Score) -> str:
    """Return the score and the truth of each incident as text."""
    rows = rows_of(score)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            word.ljust(width) if place == 0 else word.rjust(width)
            for place, (word, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    truth = [
        f"{one.planned.incident.title}, {span_words(one)}: {resolved_words(one)} {named_words(one)}"
        for one in score.outcomes
    ]
    return "\n".join([*lines, saved_words(score), *truth])


def debrief_of(drill: Drill, score: Score) -> Markup:
    """Return what to learn from the shift; the place of `console.debrief`."""
    return Markup("")
