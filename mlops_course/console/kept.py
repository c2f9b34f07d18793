"""The files of a shift in play: its steps, and what a game master has written beside them.

They are the same for a notebook and a terminal, so what was begun in one goes on in the other.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

from mlops_course.core.errors import CourseError, ParameterError, WorkspaceError
from mlops_course.core.files import alone, write_text
from mlops_course.core.texts import short
from mlops_course.core.workspace import Workspace
from mlops_course.data.incidents import INCIDENTS
from mlops_course.oncall.engine import INJECT, NEXT_DAY, Engine
from mlops_course.oncall.results import Result, level_of, read_result, record_of, write_record
from mlops_course.oncall.shift_files import (
    STRIKING,
    parse_shift,
    read_incidents,
    write_incident,
    write_shift,
)
from mlops_course.oncall.state import DAY, Drill
from mlops_course.shifts.plans import Shift

HAND_SECONDS = 5.0


class Elsewhere(WorkspaceError):
    """Another console plays this shift."""


@dataclass(frozen=True)
class Place:
    """The files of a shift in play.

    Attributes
    ----------
    folder
        Where they are.
    key
        What they begin with.
    shift
        As it is when it begins.
    """

    folder: Path
    key: str
    shift: Shift

    @property
    def steps(self) -> Path:
        """The file of its steps."""
        return self.folder / f"{self.key}.json"

    @property
    def injections(self) -> Path:
        """The file of what is to strike, a shift file without a shift's own fields."""
        return self.folder / f"{self.key}.inject.toml"

    @property
    def claim(self) -> Path:
        """The file of who plays it."""
        return self.folder / f"{self.key}.claim"

    @property
    def lock(self) -> Path:
        """The file that is locked while steps are written."""
        return self.folder / f"{self.key}.lock"

    @property
    def hand(self) -> Path:
        """The file that is locked while injections are written or taken up."""
        return self.folder / f"{self.key}.hand"


def place_of(workspace: Workspace, shift: Shift) -> Place:
    """Return where a shift is kept in a workspace; the same for the same shift.

    Raises
    ------
    ParameterError
        If no shift file can say what the shift is.
    """
    return Place(workspace.shifts, key_of(shift), shift)


def key_of(shift: Shift) -> str:
    """Return what the files of a shift begin with; it does not tell what strikes.

    Raises
    ------
    ParameterError
        As `place_of`.
    """
    level = level_of(shift)
    if level:
        return f"{level}-{shift.seed}"
    text = write_shift(shift)
    parse_shift(text, "of this shift")
    return f"file-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def kept(place: Place) -> Result | None:
    """Return what is kept of a shift; None if it has not begun.

    Raises
    ------
    WorkspaceError
        If the file there cannot be used.
    """
    if not place.steps.exists():
        return None
    try:
        found = read_result(place.steps)
    except ParameterError as error:
        raise _unusable(error.happened) from error
    if key_of(found.shift) != place.key:
        raise _unusable(f"The steps in {short(place.steps)} are of another shift.")
    return found


def _unusable(happened: str) -> WorkspaceError:
    return WorkspaceError(
        happened,
        "A shift that was left goes on from the steps that are kept there.",
        "Put the file back as it was, or begin anew, by fresh=True in a notebook or --afresh in a "
        "terminal: that keeps the file aside.",
    )


def keep(place: Place, drill: Drill) -> None:
    """Write down the steps so far.

    Raises
    ------
    WorkspaceError
        If they cannot be written.
    """
    try:
        place.folder.mkdir(exist_ok=True)
        write_record(place.steps, record_of(drill))
    except (OSError, ParameterError) as error:
        raise unwritable(place.steps) from error


def unwritable(path: Path) -> WorkspaceError:
    """Return what is raised where a file of a shift cannot be written."""
    return WorkspaceError(
        f"{short(path)} cannot be written.",
        "The steps of a shift are kept in that folder.",
        "Make room there and make it writable, or name another workspace.",
    )


def put_aside(place: Place) -> Path | None:
    """Give the steps another name, and return it; None if there are none.

    What a game master has written for this play is deleted: it was meant for a day of it.
    """
    place.injections.unlink(missing_ok=True)
    if not place.steps.exists():
        return None
    for number in count(1):
        aside = place.folder / f"{place.key}-before-{number}.json"
        if not aside.exists():
            break
    return place.steps.rename(aside)


# ---- the game master


def inject(place: Place, name: str, day: date | None) -> str:
    """Write down what is to strike in a shift in play, and say when the console takes it up.

    Parameters
    ----------
    name
        Of the incident.
    day
        When it strikes; None for the day after it was taken up.

    Raises
    ------
    ParameterError
        If there is no such incident, it strikes anyway, or the day has passed or is outside of the
        shift.
    """
    if name not in STRIKING:
        raise ParameterError(
            f"There is no incident {short(repr(name))}.",
            f"There are {', '.join(STRIKING)}.",
            "Choose one of them.",
        )
    _check_day(place, day)
    place.folder.mkdir(exist_ok=True)
    with alone(place.hand, HAND_SECONDS):
        waiting = place.injections.read_text(encoding="utf-8") if place.injections.exists() else ""
        text = write_incident(name, day)
        if name in {row["name"] for row in calendar(place)} or f"{_what(text)}\n" in waiting:
            raise ParameterError(
                f"{INCIDENTS[name].title} strikes in this shift anyway, or waits to be taken up.",
                "A shift has each incident once.",
                "Choose another one; --master shows what strikes.",
            )
        write_text(place.injections, waiting + text)
    when = f"on {day}" if day else "on the day after that"
    return f"{INCIDENTS[name].title}: the console takes it up next morning, and it strikes {when}."


def _what(text: str) -> str:
    return text.splitlines()[1]


def _check_day(place: Place, day: date | None) -> None:
    if day is None:
        return
    today = reached(place)
    if not today < day <= place.shift.last:
        raise ParameterError(
            f"Nothing can strike on {day}.",
            f"The play has reached {today}, and the shift ends on {place.shift.last}.",
            "Choose a later day inside the shift, or none: then it strikes as soon as it can.",
        )


def reached(place: Place) -> date:
    """Return the day that the kept play has reached."""
    result = kept(place)
    if result is None or not result.steps:
        return place.shift.first
    last = result.steps[-1]
    return last.day + DAY if last.name == NEXT_DAY else last.day


def take_up(place: Place, engine: Engine) -> str:
    """Inject what the game master has written; return a sentence if it cannot be used.

    It does not say what strikes: whoever plays reads it. The steps are kept before the file goes.
    """
    if engine.drill.over or not place.injections.exists():
        return ""
    with alone(place.hand, HAND_SECONDS):
        try:
            tomorrow = engine.drill.today + DAY
            for planned in read_incidents(place.injections, engine.drill.shift, tomorrow):
                engine.inject(planned)
        except CourseError:
            refused = place.injections.with_suffix(".refused")
            place.injections.replace(refused)
            return f"What the game master wrote cannot be used; it is kept as {refused.name}."
        keep(place, engine.drill)
        place.injections.unlink()
    return ""


def calendar(place: Place) -> list[Mapping[str, Any]]:
    """Return the truth of a shift, what was injected included: a row for each incident."""
    result = kept(place)
    injected = [step.options for step in result.steps if step.name == INJECT] if result else []
    rows: list[Mapping[str, Any]] = []
    for planned in place.shift.planned:
        reply = planned.reply
        answer = f"after {reply.days} days, {'true' if reply.honest else 'false'}"
        last = planned.strike.last or place.shift.last
        rows.append(_row(planned.incident.name, str(planned.strike.first), str(last), answer))
    rows += [_row(one["what"], one["first"], one["last"] or "", "injected") for one in injected]
    return sorted(rows, key=lambda row: row["from"])


def _row(name: str, first: str, last: str, answer: str) -> Mapping[str, Any]:
    incident = INCIDENTS[name]
    return {
        "from": first,
        "to": last,
        "name": name,
        "upstream answers": answer,
        "best": ", ".join(incident.responses),
        "visible": incident.visible,
    }
