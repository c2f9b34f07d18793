"""The mornings of exercise 10.2: each figure told there is one that a drill shows."""

from dataclasses import replace
from datetime import date
from math import isclose

import pytest

from mlops_course.course.exercises import find
from mlops_course.oncall.engine import Engine
from mlops_course.oncall.runbooks import FORCED
from mlops_course.shifts.plans import Planned, draw_shift, struck
from mlops_course.shifts.systems import Rehearsed
from mlops_course.shifts.worlds import open_world

MORNINGS = {
    "A": ("hours", date(2013, 10, 15), date(2013, 10, 16)),
    "B": ("", None, date(2013, 11, 29)),
    "C": ("padding", date(2013, 10, 7), date(2013, 10, 16)),
    "D": ("storm", date(2013, 11, 14), date(2013, 11, 15)),
    "E": ("worse-release", date(2013, 10, 15), date(2013, 10, 16)),
    "F": ("", None, date(2013, 12, 4)),
}


def rows_told():
    """Return the rows of the exercise's table by letter, each cell's words in a list."""
    lines = [line.strip("| ") for line in find("10.2").task.splitlines() if line.startswith("| ")]
    cells = [line.split(" | ") for line in lines if line[0] in MORNINGS]
    return {row[0]: row[1:] for row in cells}


def numbers(text):
    words = text.replace("(", "").replace(")", "").replace(",", "").split()
    return [float(word) for word in words if word.lstrip("-").replace(".", "").isdigit()]


@pytest.fixture(scope="module")
def opened(shared_workspace):
    shift = draw_shift(9, "easy")
    return shift, open_world(shared_workspace, shift)


def seen_on(opened, cause, first, today):
    """Play to a morning on which one incident, or none, has struck; return its pages."""
    shift, world = opened
    planned = (Planned(struck(cause, first, shift.last)),) if cause else ()
    strikes = tuple(one.strike for one in planned)
    world = replace(world, stream=replace(world.stream, strikes=strikes))
    engine = Engine(replace(shift, planned=planned), world, Rehearsed())
    while engine.drill.today < today:
        engine.next_day()
    return {name: engine.look(name) for name in ("overview", "rows", "weeks", "registry")}


@pytest.mark.parametrize("letter", MORNINGS)
def test_morning_when_played_then_shows_what_the_exercise_tells(opened, letter):
    pages = seen_on(opened, *MORNINGS[letter])
    *before, day = pages["overview"].facts["days"]
    by = pages["rows"].facts["by"]
    week = pages["weeks"].facts["weeks"][-1]
    shares = [one.called_late for one in before]
    delays = [by["all"][f"dep_delay, {what}"] for what in ("lowest tenth", "median", "largest")]
    shown = [
        [day.flights, day.usual_flights],
        [by[airport]["flights"] for airport in ("EWR", "JFK", "LGA")],
        [day.called_late, min(shares), max(shares)],
        delays,
        None,
        [week.accuracy, week.rule],
        [week.called_late, week.observed_late],
    ]
    told = rows_told()[letter]
    for cell, figures in zip(told, shown, strict=True):
        if figures is None:
            continue
        decimals = [len(word.partition(".")[2]) for word in cell.replace(")", "").split()]
        near = 0.5 * 10.0 ** -min(d for d in decimals if d or "." not in cell) + 1e-9
        assert all(
            isclose(one, other, abs_tol=near)
            for one, other in zip(numbers(cell), figures, strict=True)
        ), (cell, figures)
    newest = pages["registry"].facts["moves"][-1]
    assert told[4].startswith(newest.version)
    assert (FORCED in told[4]) == newest.reason.startswith(FORCED)


def test_mornings_when_told_then_the_check_has_their_causes():
    check = find("10.2").check
    for letter, (cause, _, _) in MORNINGS.items():
        assert f'"{letter}": "{cause or "none"}"' in check
