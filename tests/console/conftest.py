"""An easy shift whose truth is known, and its flights, for all tests of the console."""

import pytest

from mlops_course.oncall.engine import Engine
from mlops_course.shifts.plans import draw_shift
from mlops_course.shifts.systems import Rehearsed
from mlops_course.shifts.worlds import open_world

HOURS_STRIKE_DAYS = 15  # days before the departure delay comes in hours; the pager calls the next


@pytest.fixture(scope="session")
def shift():
    return draw_shift(3, "easy")


@pytest.fixture(scope="session")
def world(shared_workspace, shift):
    return open_world(shared_workspace, shift)


@pytest.fixture
def engine(shift, world):
    return Engine(shift, world, Rehearsed())


@pytest.fixture
def open_engine(shift, world):
    """Return what a session opens its shift with."""
    return lambda live: Engine(shift, world, Rehearsed())


@pytest.fixture(scope="session")
def called(shift, world):
    """A shift in which the pager has just called; only to be read."""
    engine = Engine(shift, world, Rehearsed())
    for _ in engine.wait():
        pass
    return engine
