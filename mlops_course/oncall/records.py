"""What was done on a shift, as a file: so that it goes on after a restart, or is played again.

The file says which shift it was without saying what strikes in it, and has one line a step.
"""

import json
from collections.abc import Iterable
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

from mlops_course.core.errors import WorkspaceError
from mlops_course.core.files import write_text
from mlops_course.core.texts import short
from mlops_course.oncall.state import Step
from mlops_course.shifts.plans import LEVELS, Shift, draw_shift

FORMAT = 1
_SIGNS = 12  # of a digest


def digest(shift: Shift) -> str:
    """Return what no other shift has; it does not tell what strikes."""
    planned = [
        [
            one.incident.name,
            str(one.strike.first),
            str(one.strike.last),
            one.strike.severity,
            one.strike.onset_days,
            one.reply.days,
            one.reply.honest,
        ]
        for one in shift.planned
    ]
    told = json.dumps([shift.seed, str(shift.first), shift.weeks, planned])
    return sha256(told.encode()).hexdigest()[:_SIGNS]


def level_of(shift: Shift) -> str:
    """Return the level that a shift was drawn from; empty for one of somebody's own.

    >>> level_of(draw_shift(3, "easy"))
    'easy'
    """
    level = shift.name.partition(",")[0]
    return level if level in LEVELS and draw_shift(shift.seed, level) == shift else ""


def name_of(shift: Shift) -> str:
    """Return what the file of a shift is called.

    >>> name_of(draw_shift(3, "easy"))
    'easy-3.json'
    """
    level = level_of(shift)
    return f"{level}-{shift.seed}.json" if level else f"file-{digest(shift)}.json"


def shift_told(shift: Shift) -> dict[str, Any]:
    """Return which shift it is, as JSON has it."""
    level = level_of(shift)
    if level:
        return {"seed": shift.seed, "level": level}
    first = str(shift.first)
    return {"name": shift.name, "seed": shift.seed, "first": first, "weeks": shift.weeks}


def step_told(step: Step) -> dict[str, Any]:
    """Return a step as JSON has it."""
    return {
        "day": str(step.day),
        "minute": step.minute,
        "name": step.name,
        "options": dict(step.options),
    }


def step_of(told: object) -> Step:
    """Return the step that JSON tells.

    Raises
    ------
    ValueError
        If it tells none.

    >>> step_of(step_told(Step(date(2013, 4, 1), 5, "retrain", {"weeks": 4})))
    Step(day=datetime.date(2013, 4, 1), minute=5, name='retrain', options={'weeks': 4})
    """
    match told:
        case {"day": str(day), "minute": int(minute), "name": str(name), "options": dict(options)}:
            return Step(date.fromisoformat(day), minute, name, options)
    raise ValueError(f"{short(told)} has no day, minute, name and options")


def record_text(shift: Shift, steps: Iterable[Step]) -> str:
    """Return a record: one line a step."""
    lines = ",\n  ".join(json.dumps(step_told(step)) for step in steps)
    head = json.dumps({"format": FORMAT, "digest": digest(shift), "shift": shift_told(shift)})
    return f'{head[:-1]},\n "steps": [\n  {lines}\n ]}}\n'


def write_record(path: Path, shift: Shift, steps: Iterable[Step]) -> None:
    """Write a record in one step: the file is whole at every moment.

    Raises
    ------
    WorkspaceError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        write_text(path, record_text(shift, steps))
    except OSError as error:
        raise WorkspaceError(
            f"{path} cannot be written ({error.strerror}).",
            "Each step of a shift is kept there.",
            "Make room there; the next step writes all of them again.",
        ) from error


def read_record(path: Path, shift: Shift) -> list[Step]:
    """Return the steps of a shift that were kept; none if nothing was.

    Raises
    ------
    WorkspaceError
        If the file cannot be read, is no record, or one of another shift or version.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(path, f"cannot be read ({error.strerror})") from error
    except json.JSONDecodeError as error:
        raise _unreadable(path, f"is no record: line {error.lineno} is no JSON") from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, "is no record: it is no text") from error
    return _steps_of(path, told, shift)


def _steps_of(path: Path, told: object, shift: Shift) -> list[Step]:
    match told:
        case {"format": int(number)} if number != FORMAT:
            raise _unreadable(path, f"has format {number}; this version of the course reads 1")
        case {"format": int(), "digest": str(which), "steps": list(steps)}:
            pass
        case _:
            raise _unreadable(path, "is no record: format, digest or steps are missing")
    if which != digest(shift):
        raise _unreadable(path, f"is of another shift than {shift.name or 'this one'}")
    found = []
    for place, step in enumerate(steps, start=1):
        try:
            found.append(step_of(step))
        except ValueError as error:
            raise _unreadable(path, f"is no record: step {place} {error}") from error
    return found


def _unreadable(path: Path, why: str) -> WorkspaceError:
    return WorkspaceError(
        f"{path} {why}.",
        "A shift goes on from the steps that were kept there.",
        "Put the file back as it was, or begin anew with fresh=True: that keeps the file aside.",
    )
