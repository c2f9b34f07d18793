"""Where a shift in play is kept: its steps, whose turn it is, and what a game master injects.

One console plays a shift at a time. It writes its steps down after each, so that it can be resumed;
each morning it takes up what the game master has written beside them.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from mlops_course.core.errors import CourseError, ParameterError, WorkspaceError
from mlops_course.core.files import alone, write_text
from mlops_course.core.texts import short
from mlops_course.core.workspace import Workspace
from mlops_course.data.incidents import INCIDENTS
from mlops_course.oncall.engine import Engine
from mlops_course.oncall.results import Result, read_result, record_of, write_record
from mlops_course.oncall.shift_files import (
    STRIKING,
    read_incidents,
    write_incident,
    write_shift,
)
from mlops_course.oncall.state import DAY
from mlops_course.shifts.plans import LEVELS, Shift, draw_shift

FOLDER = "oncall"
LOCK_SECONDS = 0.3
HAND_SECONDS = 5.0


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


def place_of(workspace: Workspace, shift: Shift) -> Place:
    """Return where a shift is kept in a workspace; the same for the same shift."""
    folder = workspace.root / FOLDER
    folder.mkdir(exist_ok=True)
    level = shift.name.partition(",")[0]
    if level in LEVELS and draw_shift(shift.seed, level) == shift:
        return Place(folder, f"{level}-{shift.seed}", shift)
    digest = hashlib.sha256(write_shift(shift).encode()).hexdigest()
    return Place(folder, f"file-{digest[:12]}", shift)


@contextmanager
def playing(place: Place) -> Iterator[None]:
    """Keep a second console away from a shift while the block plays it.

    Raises
    ------
    WorkspaceError
        If one plays it already.
    """
    try:
        with alone(place.folder / f"{place.key}.lock", LOCK_SECONDS):
            yield
    except TimeoutError as error:
        raise WorkspaceError(
            f"This shift ({short(place.shift.name)}) is being played in another console.",
            "One console plays a shift at a time; its steps are kept there.",
            "Close the other one, or choose another seed.",
        ) from error


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
        raise WorkspaceError(
            error.happened,
            "A shift that was left goes on from the steps that are kept there.",
            "Put the file back as it was, or begin anew with --afresh.",
        ) from error
    if found.shift != place.shift:
        raise WorkspaceError(
            f"The steps in {short(place.steps)} are of another shift.",
            "A shift that was left goes on from the steps that are kept there.",
            "Put the file back as it was, or begin anew with --afresh.",
        )
    return found


def keep(place: Place, engine: Engine) -> None:
    """Write down the steps so far."""
    write_record(place.steps, record_of(engine.drill))


def forget(place: Place) -> None:
    """Delete what is kept of a shift, so that it begins anew."""
    place.steps.unlink(missing_ok=True)
    place.injections.unlink(missing_ok=True)


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
    with alone(place.folder / f"{place.key}.hand", HAND_SECONDS):
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
    return last.day + DAY if last.name == "next-day" else last.day


def take_up(place: Place, engine: Engine) -> str:
    """Inject what the game master has written; return a sentence if it cannot be used.

    It does not say what strikes: whoever plays reads it.
    """
    if engine.drill.over or not place.injections.exists():
        return ""
    with alone(place.folder / f"{place.key}.hand", HAND_SECONDS):
        try:
            tomorrow = engine.drill.today + DAY
            for planned in read_incidents(place.injections, engine.drill.shift, tomorrow):
                engine.inject(planned)
        except CourseError:
            refused = place.injections.with_suffix(".refused")
            place.injections.replace(refused)
            return f"What the game master wrote cannot be used; it is kept as {refused.name}."
        place.injections.unlink()
    return ""


def calendar(place: Place) -> list[Mapping[str, Any]]:
    """Return the truth of a shift, what was injected included: a row for each incident."""
    result = kept(place)
    injected = [step.options for step in result.steps if step.name == "inject"] if result else []
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
