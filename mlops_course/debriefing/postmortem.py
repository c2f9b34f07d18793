"""A blameless post-mortem in Markdown: what is known of an incident, and headings to fill in.

`template` fills in timeline and impact from the shift; the rest is the learner's. `missing` says
what a filled-in one still lacks, as far as a program can tell: whether it blames a person, a reader
has to judge.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from mlops_course.core.errors import ParameterError
from mlops_course.core.texts import in_markdown, short
from mlops_course.debriefing.debrief import Chapter, Debrief
from mlops_course.oncall.results import write_file
from mlops_course.oncall.state import DAY, Drill

SUMMARY = "Summary"
IMPACT = "Impact"
TIMELINE = "Timeline"
WELL = "What went well"
BADLY = "What went badly"
CAUSES = "Contributing causes"
ACTIONS = "Actions"
ASKED: Mapping[str, str] = {
    SUMMARY: "In two sentences: what happened, and what users noticed.",
    WELL: "What helped to find or to end it.",
    BADLY: "What cost time. Systems and processes have faults; people did what made sense to them.",
    CAUSES: "Several: why could it happen, why was it not seen sooner, why did it last?",
}
"""The sections to fill in, and what belongs there."""
SECTIONS = (SUMMARY, IMPACT, TIMELINE, WELL, BADLY, CAUSES, ACTIONS)
COLUMNS = ("action", "owner", "due")
MIN_WORDS = 4
ROWS = 3
_NOTE = re.compile(r"<!--.*?-->", re.DOTALL)
_HEADING = re.compile(r"^##\s+(.+?)\s*$", re.MULTILINE)
_RULE = re.compile(r"^[\s|:-]+$")


def template(found: Debrief, chapter: Chapter, drill: Drill) -> str:
    """Return a post-mortem of one incident with what is known filled in.

    Parameters
    ----------
    found, chapter
        The debrief of a shift, and the chapter of the incident.
    drill
        The shift as it was played.
    """
    parts = [
        f"# Post-mortem: {in_markdown(chapter.planned.incident.title)}",
        f"{in_markdown(found.shift.name)}, {found.shift.first} to {found.shift.last}. "
        "Blameless: it asks what made this possible, not who did it.",
    ]
    for name in SECTIONS:
        parts.append(f"## {name}")
        if name in ASKED:
            parts.append(f"<!-- {ASKED[name]} -->")
        elif name == IMPACT:
            parts.append("\n".join(f"- {line}" for line in _impact(chapter, drill)))
        elif name == TIMELINE:
            parts.append("\n".join(f"- {line}" for line in _timeline(found, chapter)))
        else:
            parts.append("<!-- What will be done so that it is rarer, seen sooner or over sooner. "
                         "Each has an owner and a date as 2013-09-30. -->")  # fmt: skip
            parts.append(_empty_table())
    return "\n\n".join(parts) + "\n"


def _empty_table() -> str:
    rows = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    rows += ["|  " * len(COLUMNS) + "|"] * ROWS
    return "\n".join(rows)


def _impact(chapter: Chapter, drill: Drill) -> list[str]:
    """Say what the incident's days cost, counted."""
    strike = chapter.planned.strike
    there = [day for day in drill.days if day.day in chapter.trace.extra]
    if not there:
        return [f"It struck on {strike.first} and was not there on any day that was served."]
    flights = sum(day.flights for day in there)
    return [
        f"{len(there)} days from {there[0].day} to {there[-1].day} were followed, "
        f"with {flights:,} flights.",
        f"{sum(day.wrong for day in there):,} flights were called wrong, "
        f"{sum(day.unanswered for day in there):,} got no answer, "
        f"{sum(day.slow for day in there):,} a late one.",
        f"Without the incident these days would have cost {sum(chapter.trace.extra.values()):,.0f} "
        "flights called wrong less.",
    ]


def _timeline(found: Debrief, chapter: Chapter) -> Iterator[str]:
    """Say what happened when: the truth, the evidence, and the shift's log, in order."""
    strike = chapter.planned.strike
    outcome = chapter.outcome
    first = chapter.trace.first
    last = outcome.resolved if outcome.resolved and outcome.resolved > strike.first else strike.last
    last = last or found.shift.last
    lines = [(strike.first, -2, f"it began. {chapter.planned.incident.story}")]
    if first is not None and first.told == "":
        lines.append((first.day, -1, f"it could be seen. {first.sentence}"))
    lines += [
        (entry.day, entry.minute, f"{entry.kind}: {entry.text}")
        for entry in found.log
        if strike.first <= entry.day <= last + DAY
    ]
    if outcome.resolved is not None and outcome.resolved > strike.first:
        lines.append((outcome.resolved, 24 * 60, "the system was as it should be."))
    for day, minute, told in sorted(lines, key=lambda line: line[:2]):
        at = f" {9 + minute // 60:02d}:{minute % 60:02d}" if 0 < minute < 24 * 60 else ""
        yield f"{day}{at} {in_markdown(told)}"


def missing(text: str) -> list[str]:
    """Return what a filled-in post-mortem still lacks, a sentence each; empty for nothing.

    >>> missing("## Summary")[0]
    'Summary: write a sentence or two there.'
    """
    sections = _sections(text)
    lacking = []
    for name in SECTIONS:
        if name not in sections:
            lacking.append(f"{name}: the heading is gone; write ## {name}.")
        elif name == ACTIONS:
            lacking += _lacking_actions(sections[name])
        elif len(re.findall(r"\w+", sections[name])) < MIN_WORDS:
            lacking.append(f"{name}: write a sentence or two there.")
    return lacking


def _sections(text: str) -> dict[str, str]:
    """Return what stands under each heading, without the notes that say what belongs there."""
    parts = _HEADING.split(_NOTE.sub("", text))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _lacking_actions(text: str) -> Iterator[str]:
    rows = [line.strip() for line in text.splitlines() if line.strip().startswith("|")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    filled = [
        row
        for row, line in zip(cells, rows, strict=True)
        if any(row) and not _RULE.match(line) and tuple(row) != COLUMNS
    ]
    if not filled:
        yield "Actions: name at least one, with its owner and a date."
    for number, row in enumerate(filled, 1):
        action, owner, due = (*row, "", "", "")[:3]
        what = short(action, 60) or f"row {number}"
        if not action:
            yield f"Actions: row {number} does not say what is to be done."
        if not owner:
            yield f"Actions: {what} has no owner."
        if not _is_date(due):
            yield f"Actions: {what} has no date; write it as 2013-09-30."


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def export(text: str, path: Path) -> Path:
    """Write a post-mortem to a Markdown file that is not there yet, and return its path.

    Raises
    ------
    ParameterError
        If the file is there already, so that nobody's words are lost, or cannot be written.
    """
    if path.exists():
        raise ParameterError(
            f"The file {short(path)} is there already.",
            "It may hold what somebody wrote.",
            "Name another file, or delete this one first.",
        )
    write_file(path, text)
    return path
