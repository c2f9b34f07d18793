"""What is told once a shift is over: its harm beside that of others, its truth, its debrief."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from math import isnan
from pathlib import Path

from markupsafe import Markup

from mlops_course.console.page import day_words
from mlops_course.core.errors import ParameterError
from mlops_course.core.texts import short
from mlops_course.debriefing.debrief import Debrief, debrief, sections
from mlops_course.debriefing.documents import as_html, as_markdown, as_text
from mlops_course.debriefing.postmortem import export, template
from mlops_course.drawing.markup import element, join
from mlops_course.oncall.players import BASELINES
from mlops_course.oncall.scoring import Outcome, Score, rehearse, score
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
DEBRIEF_HEADING = 3  # the level of its title
TO_SAVE = (
    "To keep it: debrief().save(file), postmortem(incident).save(file) and result(file), called on "
    "this console."
)


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


def debrief_of(found: Debrief) -> Markup:
    """Return what to learn from the shift; the table of its harm stands in its `ending`."""
    head, *chapters = sections(found)
    shown = as_html([replace(head, table=None), *chapters], DEBRIEF_HEADING)
    return join(shown, element("p", TO_SAVE, class_="mls-quiet"))


@dataclass(frozen=True)
class Document:
    """What a notebook shows and a file keeps; ``text`` is for where no Markdown is shown."""

    markdown: str
    text: str

    def save(self, path: Path | str) -> Path:
        """Write it to a Markdown file that is not there yet; raises what `export` raises."""
        return export(self.markdown, Path(path))

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.markdown


def debrief_document(found: Debrief) -> Document:
    """Return a debrief to be shown and kept."""
    return Document(as_markdown(sections(found)), as_text(sections(found)))


def postmortem_document(found: Debrief, drill: Drill, incident: str) -> Document:
    """Return a post-mortem to be filled in, of an incident by its name in the catalogue.

    Raises
    ------
    ParameterError
        If that one did not strike.
    """
    chapters = {chapter.planned.incident.name: chapter for chapter in found.chapters}
    if incident not in chapters:
        raise ParameterError(
            f"There was no incident {short(repr(incident))} on this shift.",
            f"There were {', '.join(chapters) or 'none'}.",
            "Choose one of them.",
        )
    written = template(found, chapters[incident], drill)
    return Document(written, written)


@dataclass
class Hindsight:
    """What a shift came to, worked out once, as far as it was asked for.

    Attributes
    ----------
    score
        What it came to.
    others
        The drills that it is set beside, by player.
    debrief
        The truth beside what was seen and done.
    """

    score: Score | None = None
    others: dict[str, Drill] = field(default_factory=dict)
    debrief: Debrief | None = None

    def is_complete(self, debriefs: bool) -> bool:
        """Return whether there is a score, and, if it is to be debriefed, a debrief."""
        return self.score is not None and (self.debrief is not None or not debriefs)

    def judge(self, drill: Drill, tell: Callable[[str], None]) -> Score:
        """Score a shift that is over.

        Parameters
        ----------
        tell
            Called with how far it is, in words.
        """
        if self.score is not None:
            return self.score
        for number, name in enumerate(BASELINES, start=1):
            tell(f"Playing the same shift as others would: {number} of {len(BASELINES)}.")
            if name not in self.others:
                self.others[name] = rehearse(drill.shift, drill.world, name)
        self.score = score(drill, self.others)
        return self.score

    def look_back(self, drill: Drill, tell: Callable[[str], None]) -> Debrief:
        """Debrief a shift that is over, its score first; ``tell`` as in `judge`."""
        if self.debrief is not None:
            return self.debrief

        def tell_day(day: date) -> None:
            tell(f"Looking for what there was to be seen: {day_words(day)}.")

        self.debrief = debrief(drill, self.judge(drill, tell), tell_day)
        return self.debrief
