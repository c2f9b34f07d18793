"""Files of a played shift: the steps so far, to be resumed, and the result, to be compared.

A score is worth what its steps are worth: whoever reads a result plays its steps again, in memory,
and counts anew. So a score that was edited is noticed, and steps that nobody can have played. Steps
that were made up and can be played are a play like any other.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from mlops_course.core.errors import CourseError, ParameterError
from mlops_course.core.files import write_text
from mlops_course.core.texts import short
from mlops_course.core.workspace import Workspace
from mlops_course.oncall.engine import INJECT, NEXT_DAY, Engine
from mlops_course.oncall.scoring import Score, baselines, score
from mlops_course.oncall.shift_files import parse_shift, write_shift
from mlops_course.oncall.state import Drill, Step
from mlops_course.shifts.plans import LEVELS, Shift, draw_shift
from mlops_course.shifts.prices import ACTIONS, LOOKS
from mlops_course.shifts.systems import Rehearsed
from mlops_course.shifts.worlds import World, open_world

MAX_BYTES = 20 * 2**20
MAX_WHO = 60
SOMEBODY = "somebody"
_EDITED = (
    "The file was edited, or comes from another version of the course or another kind of machine."
)


@dataclass(frozen=True)
class Result:
    """What a file says of a shift that was played.

    Attributes
    ----------
    shift
        As it was when it began.
    steps
        What was done, in order.
    who
        Who played; empty where nobody said.
    claimed
        The score as it is written there, by the names of `score_record`; empty for none.
    """

    shift: Shift
    steps: tuple[Step, ...] = field(repr=False)
    who: str = ""
    claimed: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Recomputed:
    """A result whose steps were played again.

    Attributes
    ----------
    faults
        Sentences that say where the file and its steps differ; none if it can be relied on.
    drill, score
        As they came out; no score if the shift was not played to its end, or cannot be.
    """

    result: Result
    faults: tuple[str, ...]
    drill: Drill = field(repr=False)
    score: Score | None = field(repr=False)


@dataclass(frozen=True)
class Comparison:
    """Results side by side.

    Attributes
    ----------
    rows
        For each file: ``file``, ``who``, ``harm`` in flights called wrong, ``saved``, the share of
        what the oracle saves, ``resolved`` and ``named`` of ``incidents``, ``minutes`` of work.
    sentence
        What they say of each other.
    faults
        What cannot be relied on, in sentences.
    """

    rows: tuple[Mapping[str, Any], ...]
    sentence: str
    faults: tuple[str, ...]


# ---- writing


def begun(drill: Drill) -> Shift:
    """Return the shift as it was when it began, without what was injected since."""
    injected = {step.options["what"] for step in drill.steps if step.name == INJECT}
    planned = tuple(one for one in drill.shift.planned if one.incident.name not in injected)
    return replace(drill.shift, planned=planned)


def level_of(shift: Shift) -> str:
    """Return the level that a shift was drawn from; empty for one that was composed.

    >>> level_of(draw_shift(3, "easy"))
    'easy'
    """
    level = shift.name.partition(",")[0]
    return level if level in LEVELS and draw_shift(shift.seed, level) == shift else ""


def record_of(drill: Drill, who: str = "") -> dict[str, Any]:
    """Return a shift that is being played as a record of plain values."""
    shift = begun(drill)
    level = level_of(shift)
    return {
        "who": who,
        "shift": {"seed": shift.seed, "level": level} if level else {"file": write_shift(shift)},
        "steps": [
            {
                "day": step.day.isoformat(),
                "minute": step.minute,
                "name": step.name,
                "options": dict(step.options),
            }
            for step in drill.steps
        ],
    }


def score_record(drill: Drill, scored: Score) -> dict[str, Any]:
    """Return a score as a record of plain values, for reading."""
    return {
        "harm": scored.harm.total,
        "harm_from": vars(scored.harm),
        "harm_by": {name: harm.total for name, harm in scored.others.items()},
        "minutes": drill.minutes,
        "incidents": incidents_record(scored),
    }


def incidents_record(scored: Score) -> list[dict[str, Any]]:
    """Return what became of each incident, in order of time."""
    found = sorted(scored.outcomes, key=lambda one: one.planned.strike.first)
    return [
        {
            "name": outcome.planned.incident.name,
            "from": outcome.planned.strike.first.isoformat(),
            "to": _iso(outcome.planned.strike.last),
            "resolved": _iso(outcome.resolved),
            "right": outcome.right,
        }
        for outcome in found
    ]


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record in one step.

    Raises
    ------
    ParameterError
        If the file cannot be written.
    """
    write_file(path, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_file(path: Path, text: str) -> None:
    """Write a text that somebody has asked for, in one step.

    Raises
    ------
    ParameterError
        If the file cannot be written.
    """
    try:
        write_text(path, text)
    except OSError as error:
        raise ParameterError(
            f"The file {short(path)} cannot be written ({error.strerror}).",
            "It is written into a folder that is there and may be written.",
            "Name another file.",
        ) from error


def write_result(path: Path, drill: Drill, scored: Score, who: str = "") -> None:
    """Write the result of a shift that is over.

    Parameters
    ----------
    who
        Who played, for the table of a comparison.

    Raises
    ------
    ParameterError
        If the file cannot be written, or the name is too long or no line of text.
    """
    if len(who) > MAX_WHO or not (who.isprintable() or not who):
        raise ParameterError(
            f"The name is {short(repr(who))}.",
            f"It is a line of at most {MAX_WHO} letters.",
            "Choose another name.",
        )
    record = record_of(drill, who)
    write_record(path, {**record, "score": score_record(drill, scored)})


# ---- reading


def read_result(path: Path) -> Result:
    """Read what a file says; nothing is played again yet.

    Raises
    ------
    ParameterError
        If it cannot be read, or is no such file. The message names what is wrong in it.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _unusable(path, "It is too large.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unusable(path, f"It cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise _unusable(path, f"It is no JSON: {short(error)}.") from error
    if not isinstance(content, dict):
        raise _unusable(path, "It holds no object.")
    who = content.get("who", "")
    claimed = content.get("score", {})
    steps = content.get("steps")
    if not isinstance(who, str) or not isinstance(claimed, dict) or not isinstance(steps, list):
        raise _unusable(path, "who is a text, score an object, and steps a list.")
    return Result(
        _shift_of(path, content.get("shift")),
        tuple(_step_of(path, number, row) for number, row in enumerate(steps, 1)),
        short(who, MAX_WHO),
        claimed,
    )


def _shift_of(path: Path, row: object) -> Shift:
    if isinstance(row, dict) and isinstance(row.get("file"), str):
        return parse_shift(row["file"], f"in {path}")
    if isinstance(row, dict) and set(row) == {"seed", "level"}:
        return draw_shift(row["seed"], row["level"])
    raise _unusable(path, "shift is {seed, level}, or {file}, the text of a shift file.")


def _step_of(path: Path, number: int, row: Any) -> Step:
    if not _is_step(row):
        raise _unusable(path, f"Step {number} is {short(row)}, which is no step.")
    day = date.fromisoformat(row["day"])
    return Step(day, row["minute"], row["name"], row.get("options", {}))


def _is_step(row: Any) -> bool:
    """Return whether a step can be made of a row; whether it can be played is seen later."""
    if not isinstance(row, dict) or type(row.get("minute")) is not int:
        return False
    try:
        date.fromisoformat(row.get("day", ""))
    except (TypeError, ValueError):
        return False
    options = row.get("options", {})
    known = row.get("name") in (*LOOKS, *ACTIONS, NEXT_DAY, INJECT)
    return known and isinstance(options, dict) and not {"self", "name"} & set(options)


def _unusable(path: Path, why: str) -> ParameterError:
    return ParameterError(
        f"The result file {short(path)} cannot be used. {why}",
        "It is a JSON file that `mlops-course oncall --result FILE` has written.",
        "Take the file as it was written.",
    )


# ---- playing again


def recompute(
    result: Result, world: World, others: Mapping[str, Drill] | None = None
) -> Recomputed:
    """Play the steps of a result again, in memory, and count anew.

    Parameters
    ----------
    world
        Of the result's shift.
    others
        What `scoring.baselines` returns for the shift, if it is there already; played otherwise.
    """
    engine = Engine(result.shift, world, Rehearsed(memory=world.memory))
    done = 0
    try:
        for _ in engine.replay(result.steps):
            done += 1
    except CourseError as error:
        told = f"Step {done + 1} of {len(result.steps)} cannot have been played: {error.happened}"
        return Recomputed(result, (f"{told} {_EDITED}",), engine.drill, None)
    drill = engine.drill
    if not drill.over:
        told = f"The shift was not played to its end, {drill.shift.last}, but to {drill.today}."
        return Recomputed(result, (told,), drill, None)
    usable = others is not None and drill.shift == result.shift
    scored = score(drill, others if usable and others else baselines(drill.shift, world))
    return Recomputed(result, tuple(_differences(result, drill, scored)), drill, scored)


def _differences(result: Result, drill: Drill, scored: Score) -> list[str]:
    """Return where the written score is not what the steps come to."""
    if not result.claimed:
        return []
    found = json.loads(json.dumps(score_record(drill, scored)))
    wrong = [name for name in found if result.claimed.get(name) != found[name]]
    if not wrong:
        return []
    name = wrong[0]
    said = f"{name} {short(result.claimed.get(name), 60)}, and its steps come to"
    return [f"The file says {said} {short(found[name], 60)}. {_EDITED}"]


def compare(paths: Sequence[Path], workspace: Workspace) -> Comparison:
    """Compare results of the same shift, each counted anew from its steps.

    Raises
    ------
    ParameterError
        If there are fewer than two files, one cannot be used, or they are of different shifts.
    """
    results = [read_result(path) for path in paths]
    if len(results) < 2:
        raise ParameterError(
            "One result cannot be compared.", "It takes two files or more.", "Name another."
        )
    for path, result in zip(paths, results, strict=True):
        if result.shift != results[0].shift:
            raise ParameterError(
                f"{short(path)} is of another shift than {short(paths[0])}: "
                f"{short(result.shift.name)}, not {short(results[0].shift.name)}.",
                "What is compared was played on the same seed, or the same shift file.",
                "Compare results of one shift.",
            )
    world = open_world(workspace, results[0].shift)
    others = baselines(results[0].shift, world)
    found = [recompute(result, world, others) for result in results]
    rows = tuple(_row(path, one) for path, one in zip(paths, found, strict=True))
    faults = tuple(
        f"{short(path)}: {' '.join(one.faults)}"
        for path, one in zip(paths, found, strict=True)
        if one.faults
    )
    return Comparison(rows, _sentence(rows, found), faults)


def _row(path: Path, found: Recomputed) -> Mapping[str, Any]:
    scored = found.score
    outcomes = scored.outcomes if scored else ()
    return {
        "file": path.name,
        "who": found.result.who or SOMEBODY,
        "harm": scored.harm.total if scored else None,
        "saved": scored.saved if scored else None,
        "resolved": sum(outcome.resolved is not None for outcome in outcomes),
        "named": sum(outcome.right for outcome in outcomes),
        "incidents": len(found.drill.shift.planned),
        "minutes": found.drill.minutes,
    }


def _sentence(rows: Sequence[Mapping[str, Any]], found: Sequence[Recomputed]) -> str:
    """Say who did least harm, of those whose steps could be played."""
    if len({one.drill.shift.planned for one in found}) > 1:
        return "Something was injected into one of them and not into all: they cannot be ranked."
    ranked = sorted((row for row in rows if row["harm"] is not None), key=lambda row: row["harm"])
    if not ranked:
        return "None of them was played to the end."
    best = ranked[0]
    if len(ranked) == 1:
        return f"Only {best['who']} ({best['file']}) has played to the end."
    gap = ranked[1]["harm"] - best["harm"]
    if gap == 0:
        return f"{best['who']} and {ranked[1]['who']} did the same harm: {best['harm']:,.1f}."
    return (
        f"{best['who']} ({best['file']}) did least harm: {best['harm']:,.1f} flights called wrong, "
        f"{gap:,.1f} fewer than {ranked[1]['who']} ({ranked[1]['file']})."
    )


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None
